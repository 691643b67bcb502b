//! Where the time of a tick goes. Off unless somebody asks: each lap reads the clock.

use std::time::Duration;

use crate::clock;

/// Parts of a tick, in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TickStage {
    Gather,
    Open,
    Plan,
    Step,
    Commit,
    Close,
    Log,
    Publish,
}

/// Stages that there are.
const STAGES: usize = TickStage::Publish as usize + 1;

/// How long each stage of a tick took, over all its microsteps. Waits for a model, for the pace
/// and, between two calls, for the log are in none of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct StageTimes {
    /// Inputs, replies and commands were put together.
    pub gather: Duration,
    /// They were applied, with timers and backoffs.
    pub open: Duration,
    /// Turns were chosen.
    pub plan: Duration,
    /// Turns ran.
    pub step: Duration,
    /// What they did was applied.
    pub commit: Duration,
    /// Digests were closed, of states as well where due.
    pub close: Duration,
    /// Records were handed to the log.
    pub log: Duration,
    /// Outputs left, and monitors were shown the tick.
    pub publish: Duration,
}

/// Times the stages of one tick.
#[derive(Debug, Default)]
pub(crate) struct StageClock {
    on: bool,
    last_ns: u64,
    ns: [u64; STAGES],
}

impl StageClock {
    pub(crate) fn set(&mut self, on: bool) {
        self.on = on;
    }

    /// A tick begins.
    #[inline]
    pub(crate) fn begin(&mut self) {
        if self.on {
            self.ns = [0; STAGES];
            self.last_ns = clock::now_ns();
        }
    }

    /// What was since the last call belongs to no stage.
    #[inline]
    pub(crate) fn skip(&mut self) {
        if self.on {
            self.last_ns = clock::now_ns();
        }
    }

    /// What was since the last call belongs to `stage`.
    #[inline]
    pub(crate) fn lap(&mut self, stage: TickStage) {
        if self.on {
            let now_ns = clock::now_ns();
            self.ns[stage as usize] += now_ns.saturating_sub(self.last_ns);
            self.last_ns = now_ns;
        }
    }

    /// The times of the tick; none if it is off.
    pub(crate) fn times(&self) -> Option<StageTimes> {
        let of = |stage: TickStage| Duration::from_nanos(self.ns[stage as usize]);
        self.on.then(|| StageTimes {
            gather: of(TickStage::Gather),
            open: of(TickStage::Open),
            plan: of(TickStage::Plan),
            step: of(TickStage::Step),
            commit: of(TickStage::Commit),
            close: of(TickStage::Close),
            log: of(TickStage::Log),
            publish: of(TickStage::Publish),
        })
    }
}
