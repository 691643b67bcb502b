//! What the owner of a region says it is doing.
//!
//! Before any wait the owner publishes what it waits for, so that a monitor judges the heartbeat only
//! while the owner says it runs. Owner: sole writer. Readers: any process.
//!
//! A monitor puts the status and what it knows of the process together in [`Pulse::judge`].
//!
//! What this does not do: no clock. Times are numbers that the owner, or the monitor, brings.

use crate::descriptor::Owner;

/// Declares the states: number and meaning of each, once.
macro_rules! states {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal,)*) => {
        /// What the owner says it is doing. Before it waits it says what for, so that a monitor
        /// judges the heartbeat only while it runs.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum OwnerState {
            $($(#[doc = $doc])* $name,)*
            /// A value that this program does not know.
            Unknown(u64),
        }

        impl OwnerState {
            /// All that this program knows, each with what it is in words.
            pub const ALL: &'static [(Self, &'static str)] =
                &[$((Self::$name, concat!($($doc),*).trim_ascii()),)*];

            /// From the shared word.
            #[must_use]
            pub fn from_word(word: u64) -> Self {
                match word {
                    $($word => Self::$name,)*
                    other => Self::Unknown(other),
                }
            }

            /// To the shared word.
            #[must_use]
            pub fn to_word(self) -> u64 {
                match self {
                    $(Self::$name => $word,)*
                    Self::Unknown(other) => other,
                }
            }
        }
    };
}

states! {
    /// Setting up.
    Starting = 0,
    /// Executing ticks: the heartbeat must grow.
    Running = 1,
    /// Nothing to do until an input or a timer.
    Idle = 2,
    /// Waiting for inference results.
    WaitingForModel = 3,
    /// Waiting for space in the log.
    WaitingForLog = 4,
    /// Waiting for a due source.
    WaitingForSource = 5,
    /// A host program decides when the next tick runs.
    HostOwned = 6,
    /// Finished; the region will not change any more.
    Stopped = 7,
}

/// The owner's status as a monitor sees it. The four words are read one by one: each is true, their
/// combination may be a moment apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// What the owner is doing.
    pub state: OwnerState,
    /// Grows while the owner runs.
    pub heartbeat: u64,
    /// Last tick closed.
    pub tick: u64,
    /// Time of the last change on the owner's clock, in nanoseconds.
    pub since_ns: u64,
}

/// A status that stands still for longer than this while the owner says that it runs is stale.
pub const STALE_AFTER_NS: u64 = 1_000_000_000;

/// What a monitor concludes about the owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Liveness {
    /// It runs, or waits as it said it would.
    Live,
    /// It says that it runs but has shown nothing for [`STALE_AFTER_NS`]: stopped, hanging, or a
    /// machine out of breath. It may go on at any time.
    Stale,
    /// Its process is gone. What it published last stays readable; look for a new owner of the name.
    Dead,
    /// It said that it has finished.
    Finished,
}

/// Watches a status for signs of life.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    seen: Status,
    seen_ns: u64,
}

impl Pulse {
    /// Begins with a status read now; the time is the monitor's own monotonic clock.
    #[must_use]
    pub fn new(status: Status, now_ns: u64) -> Self {
        Self { seen: status, seen_ns: now_ns }
    }

    /// Judges the owner by a status read now. Any change counts as a sign of life, a change of
    /// state too: an owner that waited for long and runs again is given its time from there.
    pub fn judge(&mut self, status: Status, owner: Owner, now_ns: u64) -> Liveness {
        if status != self.seen {
            *self = Self::new(status, now_ns);
        }
        if status.state == OwnerState::Stopped {
            return Liveness::Finished;
        }
        if owner.is_gone() {
            return Liveness::Dead;
        }
        let quiet_ns = self.quiet_ns(now_ns);
        if status.state == OwnerState::Running && quiet_ns > STALE_AFTER_NS {
            return Liveness::Stale;
        }
        Liveness::Live
    }

    /// How long nothing has changed, in nanoseconds.
    #[must_use]
    pub fn quiet_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.seen_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_owner_is_stale_only_while_it_says_that_it_runs() {
        let second = STALE_AFTER_NS;
        let running = Status { state: OwnerState::Running, heartbeat: 1, tick: 1, since_ns: 5 };
        let waiting = Status { state: OwnerState::WaitingForModel, ..running };
        let mut pulse = Pulse::new(waiting, 0);
        assert_eq!(pulse.judge(waiting, Owner::Alive, 90 * second), Liveness::Live);
        // It runs again: its time begins here.
        assert_eq!(pulse.judge(running, Owner::Alive, 91 * second), Liveness::Live);
        assert_eq!(pulse.judge(running, Owner::Alive, 92 * second), Liveness::Live);
        assert_eq!(pulse.judge(running, Owner::Alive, 92 * second + 1), Liveness::Stale);
        let beat = Status { heartbeat: 2, ..running };
        assert_eq!(pulse.judge(beat, Owner::OtherNamespace, 93 * second), Liveness::Live);
        assert_eq!(pulse.judge(beat, Owner::Dead, 93 * second), Liveness::Dead);
        assert_eq!(pulse.judge(beat, Owner::OtherBoot, 93 * second), Liveness::Dead);
        let stopped = Status { state: OwnerState::Stopped, ..beat };
        assert_eq!(pulse.judge(stopped, Owner::Dead, 94 * second), Liveness::Finished);
        assert_eq!(pulse.quiet_ns(95 * second), second);
    }
}
