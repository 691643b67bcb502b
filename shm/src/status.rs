//! The status of a region's owner: its state and its signs of life.
//!
//! Before any wait the owner publishes what it waits for, so that a monitor expects a heartbeat
//! only in the state *running*. Owner: sole writer. Readers: any process.
//!
//! A monitor combines the status with what it knows of the process in [`Pulse::classify`].
//!
//! What this does not do: it reads no clock. The owner, or the monitor, passes the time in.

use crate::identity::OwnerProcess;

/// Declares the states: number and meaning of each, once.
macro_rules! states {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal,)*) => {
        /// The owner's state. The owner sets it before each wait, so that a monitor expects a
        /// heartbeat only in the state [`OwnerState::Running`].
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum OwnerState {
            $($(#[doc = $doc])* $name,)*
            /// A value that this program does not know.
            Unknown(u64),
        }

        impl OwnerState {
            /// All states that this program knows, each with its meaning.
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

/// The owner's status as a monitor sees it. The four words are read one by one: each is true, but
/// they may be from different moments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnerStatus {
    /// State of the owner.
    pub state: OwnerState,
    /// Grows while the owner runs.
    pub heartbeat: u64,
    /// Last tick closed.
    pub tick: u64,
    /// Time of the last change on the owner's clock, in nanoseconds.
    pub since_ns: u64,
}

/// A status that does not change for longer than this in the state *running* is stale.
pub const STALE_AFTER_NS: u64 = 1_000_000_000;

/// What a monitor concludes about the owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Liveness {
    /// It runs, or waits for what its state names.
    Live,
    /// Its state is *running* but its status has not changed for [`STALE_AFTER_NS`]: it is stopped
    /// or hangs, or the machine is overloaded. It may go on at any time.
    Stale,
    /// Its process is gone. What it published last stays readable; look for a new owner of the
    /// name.
    Dead,
    /// Its state is *stopped*: it has finished.
    Finished,
}

/// Watches a status for signs of life.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    seen: OwnerStatus,
    seen_ns: u64,
}

impl Pulse {
    /// Begins with a status read now; the time is the monitor's own monotonic clock.
    #[must_use]
    pub fn new(status: OwnerStatus, now_ns: u64) -> Self {
        Self { seen: status, seen_ns: now_ns }
    }

    /// Classifies the owner by a status read now. Any change counts as a sign of life, also one of
    /// the state: an owner that runs again after a long wait has the full time from there.
    pub fn classify(&mut self, status: OwnerStatus, owner: OwnerProcess, now_ns: u64) -> Liveness {
        if status != self.seen {
            *self = Self::new(status, now_ns);
        }
        if status.state == OwnerState::Stopped {
            return Liveness::Finished;
        }
        if owner.is_gone() {
            return Liveness::Dead;
        }
        let idle_ns = self.idle_ns(now_ns);
        if status.state == OwnerState::Running && idle_ns > STALE_AFTER_NS {
            return Liveness::Stale;
        }
        Liveness::Live
    }

    /// How long nothing has changed, in nanoseconds.
    #[must_use]
    pub fn idle_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.seen_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_owner_is_stale_only_in_the_state_running() {
        let second = STALE_AFTER_NS;
        let running =
            OwnerStatus { state: OwnerState::Running, heartbeat: 1, tick: 1, since_ns: 5 };
        let waiting = OwnerStatus { state: OwnerState::WaitingForModel, ..running };
        let mut pulse = Pulse::new(waiting, 0);
        assert_eq!(pulse.classify(waiting, OwnerProcess::Alive, 90 * second), Liveness::Live);
        // It runs again: its time begins here.
        assert_eq!(pulse.classify(running, OwnerProcess::Alive, 91 * second), Liveness::Live);
        assert_eq!(pulse.classify(running, OwnerProcess::Alive, 92 * second), Liveness::Live);
        assert_eq!(pulse.classify(running, OwnerProcess::Alive, 92 * second + 1), Liveness::Stale);
        let next = OwnerStatus { heartbeat: 2, ..running };
        assert_eq!(pulse.classify(next, OwnerProcess::OtherNamespace, 93 * second), Liveness::Live);
        assert_eq!(pulse.classify(next, OwnerProcess::Dead, 93 * second), Liveness::Dead);
        assert_eq!(pulse.classify(next, OwnerProcess::OtherBoot, 93 * second), Liveness::Dead);
        let stopped = OwnerStatus { state: OwnerState::Stopped, ..next };
        assert_eq!(pulse.classify(stopped, OwnerProcess::Dead, 94 * second), Liveness::Finished);
        assert_eq!(pulse.idle_ns(95 * second), second);
    }
}
