//! The run of a seed: processes one behind the other, and what lies between two of them.

use std::fmt;

use wasm_engine_abi::{Tick, record::TickClose};
use wasm_engine_core_scripts::{Mix, Out};
use wasm_engine_log::storage::memory::{Memory, Operation, Survival};

use crate::{
    check, clock,
    coverage::{Coverage, Point},
    life::{End, live},
    world::{World, mix},
};

/// Processes of a run that anything may happen to; the next ones are left in peace.
const LIVES: u64 = 5;

/// A wrong disk or log, which the checks must find: so they are shown to see something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// Files are not synced.
    SkipSync,
    /// Names are not synced.
    SkipSyncDir,
    /// A tick is executed before it is in the log.
    ExecuteFirst,
}

impl Mutant {
    fn ignored(self) -> Option<Operation> {
        match self {
            Self::SkipSync => Some(Operation::Sync),
            Self::SkipSyncDir => Some(Operation::SyncDir),
            Self::ExecuteFirst => None,
        }
    }
}

/// A check that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, what } = self;
        write!(f, "{what}\nrepeat it with: cargo xtask simulate --seeds 1 --seed {seed}")
    }
}

/// A tick as it was executed live.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) tick: Tick,
    pub(crate) facts: Vec<u8>,
    /// None of a tick that was not executed before its process ended.
    pub(crate) close: Option<(TickClose, Vec<Out>)>,
}

/// What is known of a run from the outside.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) mix: Mix,
    pub(crate) storage: Memory,
    pub(crate) history: Vec<Done>,
    /// The last tick that was reported durable, by a log that syncs.
    pub(crate) durable: Option<Tick>,
    /// The last one that was reported to outlast the process.
    pub(crate) written: Option<Tick>,
    /// The process at work never syncs.
    pub(crate) never_syncs: bool,
    /// The machine ended under such a process: nothing is promised of what is found.
    pub(crate) unpromised: bool,
    pub(crate) met: Coverage,
    pub(crate) mutant: Option<Mutant>,
}

impl Run {
    fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let run = Self {
            seed,
            mix: mix(seed, 0, 0),
            storage: Memory::new("run"),
            history: Vec::new(),
            durable: None,
            written: None,
            never_syncs: false,
            unpromised: false,
            met: Coverage::default(),
            mutant,
        };
        run.storage.ignore(mutant.and_then(Mutant::ignored));
        run
    }

    /// Puts another storage in the place of this one.
    pub(crate) fn replace(&mut self, storage: Memory) {
        storage.ignore(self.mutant.and_then(Mutant::ignored));
        self.storage = storage;
    }

    /// What the next process finds.
    fn crash(&mut self) {
        if self.mix.below(2) == 0 {
            self.met.hit(Point::CrashProcess);
            let found = self.storage.process_ended();
            return self.replace(found);
        }
        self.met.hit(Point::CrashMachine);
        if self.never_syncs {
            self.met.hit(Point::Unpromised);
            (self.durable, self.unpromised) = (None, true);
        }
        self.written = self.durable;
        let mix = &mut self.mix;
        let found = self.storage.crash_by(&mut |end| mix.below(end));
        let names = |storage: &Memory| storage.count();
        self.met.add(Point::NameLost, u64::from(names(&found) < names(&self.storage)));
        self.replace(found);
    }
}

/// Runs the run of a seed.
///
/// # Errors
/// The check that failed.
pub fn simulate(seed: u64, mutant: Option<Mutant>) -> Result<Coverage, Failure> {
    clock::reset();
    let mut run = Run::new(seed, mutant);
    match whole(&mut run) {
        Ok(()) => Ok(run.met),
        Err(what) => Err(Failure { seed, what }),
    }
}

fn whole(run: &mut Run) -> Result<(), String> {
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
