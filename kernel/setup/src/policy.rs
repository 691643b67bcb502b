//! What a user chooses between: schedule order, full inboxes, what follows a fault.

use serde::{Deserialize, Serialize};

/// How runnable agents are ordered (SEMANTICS Q2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// By the position at which an agent became runnable.
    #[default]
    Fifo,
    /// By agent index, cyclically after the last one planned.
    RoundRobin,
    /// By priority and age, then by position.
    Priority,
}

/// What happens to a message for a full inbox (SEMANTICS C4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Not delivered; the sender gets an outcome.
    #[default]
    Refuse,
    /// The receiver's oldest message of this topic makes room.
    DropOldest,
    /// Not delivered, counted, the sender gets none.
    DropNewest,
    /// The receiver holds at most the latest message of this topic.
    LatestOnly,
}

/// What follows a fault (SEMANTICS A8).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Restart {
    /// The agent is terminated.
    #[default]
    Never,
    /// A fresh incarnation after `backoff_ticks`, at most `restarts_max` times within
    /// `window_ticks`; then the agent is terminated.
    Fresh {
        /// Ticks from the fault to the restart, at least 1.
        backoff_ticks: u64,
        /// Restarts allowed within the window.
        restarts_max: u32,
        /// Length of the window in ticks.
        window_ticks: u64,
    },
    /// The same with the state of the agent's save point; a fresh one while it has none.
    Saved {
        /// Ticks from the fault to the restart, at least 1.
        backoff_ticks: u64,
        /// Restarts allowed within the window.
        restarts_max: u32,
        /// Length of the window in ticks.
        window_ticks: u64,
        /// Every so many turns of an incarnation the state is a save point; 0 for only those in
        /// which the agent called `save`.
        #[serde(default)]
        save_every_turns: u32,
    },
}

/// When restarts are granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestartLimits {
    /// Ticks from the fault to the restart.
    pub backoff_ticks: u64,
    /// Restarts allowed within the window.
    pub restarts_max: u32,
    /// Length of the window in ticks.
    pub window_ticks: u64,
}

impl Restart {
    /// When restarts are granted; `None` if never.
    #[must_use]
    pub fn limits(&self) -> Option<RestartLimits> {
        match *self {
            Self::Never => None,
            Self::Fresh { backoff_ticks, restarts_max, window_ticks }
            | Self::Saved { backoff_ticks, restarts_max, window_ticks, .. } => {
                Some(RestartLimits { backoff_ticks, restarts_max, window_ticks })
            }
        }
    }

    /// Whether agents have save points, and of how many turns the state of the last becomes one by
    /// itself; 0 for never.
    #[must_use]
    pub fn saves(&self) -> Option<u32> {
        match *self {
            Self::Never | Self::Fresh { .. } => None,
            Self::Saved { save_every_turns, .. } => Some(save_every_turns),
        }
    }
}

/// Which events of a run monitors can follow; physical.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceLevel {
    /// None: the region has no trace ring.
    Off,
    /// Ticks, waits, faults, the life of agents, refusals, timers, inference: what the tick digest
    /// calls an event.
    #[default]
    Events,
    /// Microsteps, turns and deliveries too.
    Full,
}
