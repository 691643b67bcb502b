//! Counts of a run.

/// Counts over the run so far; all logical, so equal in every execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Ticks executed.
    pub ticks: u64,
    /// Microsteps executed.
    pub microsteps: u64,
    /// Turns executed.
    pub turns: u64,
    /// Items received.
    pub items: u64,
    /// Messages delivered, per receiver.
    pub messages: u64,
    /// Messages refused, per receiver.
    pub refused: u64,
    /// Messages dropped by a topic's policy, per receiver.
    pub dropped: u64,
    /// Items that ended unreceived or with a fault.
    pub dead_letters: u64,
    /// Inputs that entered.
    pub inputs: u64,
    /// Inference requests accepted.
    pub inferences: u64,
    /// Faulted turns.
    pub faults: u64,
    /// Restarts.
    pub restarts: u64,
    /// Messages on output topics.
    pub outputs: u64,
    /// Fuel used.
    pub fuel: u64,
}
