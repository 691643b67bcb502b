//! What the owner of a region says it is doing.
//!
//! Before any wait the owner publishes what it waits for, so that a monitor judges the heartbeat only
//! while the owner says it runs. Owner: sole writer. Readers: any process.
//!
//! What this does not do: no clock. Times are numbers that the owner brings.

/// What the owner says it is doing. Before it waits it says what for, so that a monitor judges the
/// heartbeat only while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum OwnerState {
    /// Setting up.
    Starting,
    /// Executing ticks: the heartbeat must grow.
    Running,
    /// Nothing to do until an input or a timer.
    Idle,
    /// Waiting for inference results.
    WaitingForModel,
    /// Waiting for space in the log.
    WaitingForLog,
    /// Waiting for a due source.
    WaitingForSource,
    /// A host program decides when the next tick runs.
    HostOwned,
    /// Finished; the region will not change any more.
    Stopped,
    /// A value that this program does not know.
    Unknown(u64),
}

impl OwnerState {
    /// From the shared word.
    #[must_use]
    pub fn from_word(word: u64) -> Self {
        match word {
            0 => Self::Starting,
            1 => Self::Running,
            2 => Self::Idle,
            3 => Self::WaitingForModel,
            4 => Self::WaitingForLog,
            5 => Self::WaitingForSource,
            6 => Self::HostOwned,
            7 => Self::Stopped,
            other => Self::Unknown(other),
        }
    }

    /// To the shared word.
    #[must_use]
    pub fn to_word(self) -> u64 {
        match self {
            Self::Starting => 0,
            Self::Running => 1,
            Self::Idle => 2,
            Self::WaitingForModel => 3,
            Self::WaitingForLog => 4,
            Self::WaitingForSource => 5,
            Self::HostOwned => 6,
            Self::Stopped => 7,
            Self::Unknown(other) => other,
        }
    }
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
