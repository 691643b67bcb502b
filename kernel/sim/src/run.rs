//! The run of a seed: processes one behind the other, and what must hold at its end.

use std::fmt;

use wasm_engine_log::storage::memory::Survival;

use crate::{
    check, clock,
    coverage::{Coverage, Point},
    life::{End, live},
    observed::{SeedRun, WrongPart},
    world::World,
};

/// Processes of a run that anything may happen to; the next ones are left in peace.
const LIVES: u64 = 5;

/// A check that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FailedCheck {
    /// The seed.
    pub seed: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for FailedCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, what } = self;
        write!(f, "{what}\nrepeat it with: cargo xtask simulate --seeds 1 --seed {seed}")
    }
}

/// Runs the run of a seed.
///
/// # Errors
/// The check that failed.
pub fn simulate(seed: u64, mutant: Option<WrongPart>) -> Result<Coverage, FailedCheck> {
    clock::reset();
    let mut run = SeedRun::new(seed, mutant);
    match whole(&mut run) {
        Ok(()) => Ok(run.met),
        Err(what) => Err(FailedCheck { seed, what }),
    }
}

fn whole(run: &mut SeedRun) -> Result<(), String> {
    let ticks = 6 + run.mix.below(20) as usize;
    for life in 0.. {
        let end = live(run, life, ticks, life >= LIVES)?;
        if end == End::Closed {
            break;
        }
        run.crash();
    }
    run.met.hit(Point::Closed);
    let live = World::is_live(run.seed);
    run.met.hit(if live { Point::LiveInputs } else { Point::DueInputs });
    check::closed(run, &run.storage.crash(Survival::SYNCED))?;
    check::closed(run, &run.storage.crash(Survival::ALL))?;
    check::order(run)?;
    check::same_anywhere(run)?;
    check::damage(run)
}
