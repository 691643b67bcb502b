//! Whether it pays to let workers step their share of a microstep.
//!
//! Handing turns to another thread costs the scheduler some time for each and a fixed time until
//! the thread has woken and answered; it saves the time of the turns. For short turns, or few, that
//! is a loss, so then the scheduler steps them itself, in the lanes where they live. What is used:
//!
//! ```text
//!  alone     = sum over lanes of (turns x time of one)
//!  together  = fixed + the longest of: own turns + handing over the others, each worker's turns
//! ```
//! All times are averages of what was measured in this run, the latest weighing most; once in a
//! while the other way is tried, to learn whether it has become better. Results do not depend on it
//! (SEMANTICS T4).

/// Share of the latest figure in an average.
const LATEST: f64 = 1.0 / 8.0;
/// The same of one that is lower: most that is measured too high was disturbed, or a beginning.
const LATEST_LOWER: f64 = 1.0 / 2.0;
/// Rounds in which workers are used whatever it costs, to learn what it costs.
const FIRST_ROUNDS: u32 = 32;
/// Rounds alone after which one together is tried.
const TRIED_AFTER: u32 = 512;
/// Rounds of a trial: the first finds the workers asleep.
const TRIAL_ROUNDS: u32 = 8;
/// Rounds shorter than this are not worth a trial, in ns.
const TRIED_FROM_NS: f64 = 100_000.0;
/// Together must be better by this factor.
const MARGIN: f64 = 0.95;

/// An average of what was measured.
#[derive(Clone, Copy, Debug, Default)]
struct Average(Option<f64>);

impl Average {
    fn take(&mut self, figure: f64) {
        let share = |known| if figure < known { LATEST_LOWER } else { LATEST };
        self.0 = Some(self.0.map_or(figure, |known| known + (figure - known) * share(known)));
    }

    fn get(self) -> f64 {
        self.0.unwrap_or(0.0)
    }
}

/// What rounds have cost so far.
#[derive(Debug)]
pub(crate) struct LaneCosts {
    /// By lane: a turn in it, in ns.
    turn_ns: Vec<Average>,
    /// Handing one turn over and taking its result, for the scheduler.
    handover_ns: Average,
    /// Until workers have been rung and woken, and the last answer is seen.
    fixed_ns: Average,
    rounds: u32,
    /// Rounds since workers were used.
    alone: u32,
    /// Rounds left of a trial.
    trial: u32,
}

impl LaneCosts {
    pub(crate) fn new(lanes: usize) -> Self {
        Self {
            turn_ns: vec![Average::default(); lanes],
            handover_ns: Average::default(),
            fixed_ns: Average::default(),
            rounds: 0,
            alone: 0,
            trial: 0,
        }
    }

    /// Whether workers are to step their share of a round with so many turns in each lane.
    pub(crate) fn pays(&mut self, turns: &[u32]) -> bool {
        let remote = remote(turns);
        if remote == 0 {
            return false;
        }
        self.rounds = self.rounds.saturating_add(1);
        let alone = self.alone_ns(turns);
        let together = self.fixed_ns.get() + self.longest_ns(turns);
        if self.alone >= TRIED_AFTER && alone >= TRIED_FROM_NS {
            // What it cost long ago says nothing.
            (self.fixed_ns, self.trial) = (Average::default(), TRIAL_ROUNDS);
        }
        let pays = self.rounds <= FIRST_ROUNDS || self.trial > 0 || together < alone * MARGIN;
        self.trial = self.trial.saturating_sub(1);
        self.alone = if pays { 0 } else { self.alone.saturating_add(1) };
        pays
    }

    /// A lane's turns took so long.
    pub(crate) fn stepped(&mut self, lane: usize, turns: u32, ns: u64) {
        if turns > 0 {
            self.turn_ns[lane].take(ns as f64 / f64::from(turns));
        }
    }

    /// A round together took `ns`, of which handing turns over took `handover_ns`.
    pub(crate) fn together(&mut self, turns: &[u32], handover_ns: u64, ns: u64) {
        let remote = remote(turns);
        if remote > 0 {
            // Taking a result costs about what handing the turn over did.
            self.handover_ns.take(2.0 * handover_ns as f64 / f64::from(remote));
            self.fixed_ns.take((ns as f64 - self.longest_ns(turns)).max(0.0));
        }
    }

    fn alone_ns(&self, turns: &[u32]) -> f64 {
        let lanes = turns.iter().zip(&self.turn_ns);
        lanes.map(|(turns, ns)| f64::from(*turns) * ns.get()).sum()
    }

    fn longest_ns(&self, turns: &[u32]) -> f64 {
        let remote = remote(turns);
        let handover = f64::from(remote) * self.handover_ns.get();
        let mut longest = 0.0_f64;
        for (lane, (turns, ns)) in turns.iter().zip(&self.turn_ns).enumerate() {
            let own = f64::from(*turns) * ns.get();
            longest = longest.max(if lane == 0 { own + handover } else { own });
        }
        longest
    }
}

/// Turns of the workers' lanes.
fn remote(turns: &[u32]) -> u32 {
    turns.iter().skip(1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of `turns` turns a lane that take `turn_ns` each, on two lanes; hops cost `fixed_ns`.
    /// Gives how many of the last hundred were together.
    fn together(turns: u32, turn_ns: u64, fixed_ns: u64) -> u32 {
        let mut costs = LaneCosts::new(2);
        let (both, handover_ns) = ([turns, turns], u64::from(turns) * 100);
        let share = u64::from(turns) * turn_ns;
        let mut last = 0;
        for round in 0..1_000 {
            let pays = costs.pays(&both);
            if pays {
                costs.together(&both, handover_ns, share + 2 * handover_ns + fixed_ns);
            }
            (0..2).for_each(|lane| costs.stepped(lane, turns, share));
            last += u32::from(pays && round >= 900);
        }
        last
    }

    #[test]
    fn workers_are_used_where_they_pay() {
        assert_eq!(together(25, 5_000, 10_000), 100, "long turns");
        assert_eq!(together(2_000, 2_000, 10_000), 100, "many turns");
        assert!(together(25, 150, 10_000) <= 1, "short turns and few");
        assert!(together(2_000, 150, 10_000) <= 1, "handing over costs more than the turn");
    }

    #[test]
    fn where_nothing_is_to_be_handed_over_nobody_is_asked() {
        let mut costs = LaneCosts::new(3);
        assert!(!costs.pays(&[9, 0, 0]));
        assert!(costs.pays(&[0, 1, 0]), "to learn what it costs");
    }

    #[test]
    fn what_became_better_is_found() {
        let mut costs = LaneCosts::new(2);
        for _ in 0..100 {
            let pays = costs.pays(&[100, 100]);
            (0..2).for_each(|lane| costs.stepped(lane, 100, 200_000));
            if pays {
                costs.together(&[100, 100], 10_000, 9_000_000);
            }
        }
        assert!(!costs.pays(&[100, 100]), "its core was taken");
        let mut used = 0;
        for _ in 0..20 * TRIED_AFTER {
            if costs.pays(&[100, 100]) {
                costs.together(&[100, 100], 2_000, 230_000);
                used += 1;
            }
            (0..2).for_each(|lane| costs.stepped(lane, 100, 200_000));
        }
        assert!(used > 1_000, "{used}");
    }
}
