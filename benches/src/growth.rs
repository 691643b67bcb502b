//! S3b: what a turn costs in a kernel of few, many and very many trivial agents.
//!
//! All kernels live in one process and take turns in short segments, so that a ratio is one of the
//! same second. Their state digests are left out, because a segment of very many agents is shorter
//! than their interval; their share of a turn does not depend on the number of agents.

use crate::measure::{Scale, apart, median, median_ratio, ns_each, pin};
use crate::rig::{Case, Rig, check};
use crate::row::{Row, Unit};

/// Turns of a segment.
const TURNS: u32 = 1 << 16;

/// A kernel and its figures.
struct Candidate {
    rig: Rig,
    turn_ns: Vec<f64>,
}

impl Candidate {
    fn open(case: Case) -> Result<Self, String> {
        let mut rig = Rig::open(case)?;
        // What grows with the first ticks, and what is touched in them first.
        (0..3).try_for_each(|_| rig.try_tick())?;
        Ok(Self { rig, turn_ns: Vec::new() })
    }

    fn segment(&mut self, turns: u32) {
        let active = self.rig.case().active();
        let ticks = (turns / active).max(1) as usize;
        self.turn_ns.push(ns_each(ticks, || self.rig.tick()) / f64::from(active));
    }
}

/// S3b.
///
/// # Panics
/// If a tick fails or a digest depends on the lanes.
#[must_use]
pub fn turns(scale: Scale) -> Vec<Row> {
    let sizes = [(50, None), (4_096, Some(1.5)), (65_536, Some(2.5))];
    let sizes = sizes.map(|(agents, goal)| (scale.of(agents as usize).max(50) as u32, goal));
    check(Case::all(sizes[1].0), scale.of(200));
    apart(|| {
        let open = |(agents, _)| Candidate::open(Case::all(agents).without_states());
        let mut candidates = sizes.map(open);
        // After the logs' threads have started, which else would share the core.
        pin(0);
        for _ in 0..scale.segments * 2 {
            for candidate in candidates.iter_mut().flatten() {
                candidate.segment(scale.of(TURNS as usize) as u32);
            }
        }
        let base = candidates[0].as_ref().map(|c| c.turn_ns.clone()).unwrap_or_default();
        let rows = sizes.iter().zip(&candidates);
        rows.map(|(&(agents, goal), candidate)| turn_row(agents, goal, &base, candidate)).collect()
    })
}

fn turn_row(
    agents: u32,
    goal: Option<f64>,
    base: &[f64],
    candidate: &Result<Candidate, String>,
) -> Row {
    let case = format!("turn of a trivial agent, {agents} in a tick");
    let turn_ns = match candidate {
        Ok(candidate) => &candidate.turn_ns,
        Err(reason) => return Row::skipped("S3b", case, Unit::Ns, reason),
    };
    let row = Row::new("S3b", case, Unit::Ns, median(turn_ns));
    match goal {
        None => row,
        Some(goal) => row
            .against("50 in a tick", median(base), Some(median_ratio(base, turn_ns)))
            .goal(1.0 / goal),
    }
}
