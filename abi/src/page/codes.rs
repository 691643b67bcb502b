//! Codes in published rows, and their words.
//!
//! A code may be added; none changes its meaning. A reader shows one that it does not know as
//! `unknown`.
//!
//! What this is not: the kernel's own states are its private business; these are what it shows.

/// What the run as a whole is doing; the owner's moment-to-moment state is in the region header.
pub mod run_state {
    /// Modules and models are loading; tick 0 has not closed.
    pub const STARTING: u32 = 0;
    /// Ticks are being executed, or waited for.
    pub const RUNNING: u32 = 1;
    /// Ended as it should (SEMANTICS T9); nothing follows.
    pub const FINISHED: u32 = 2;
    /// Ended with an error; `exit_code` says which kind.
    pub const FAILED: u32 = 3;

    /// The word for a state.
    #[must_use]
    pub const fn text(state: u32) -> &'static str {
        match state {
            STARTING => "starting",
            RUNNING => "running",
            FINISHED => "finished",
            FAILED => "failed",
            _ => "unknown",
        }
    }
}

/// What an agent slot holds.
pub mod agent_state {
    /// Nobody; the other fields are what the last agent left.
    pub const EMPTY: u32 = 0;
    /// Its init turn is pending.
    pub const INITIALISING: u32 = 1;
    /// It takes turns.
    pub const ACTIVE: u32 = 2;
    /// It queues and takes no turns until resumed.
    pub const PAUSED: u32 = 3;
    /// It faulted and restarts at tick `until_tick` (SEMANTICS A8).
    pub const BACKOFF: u32 = 4;
    /// Its shutdown turn is pending (SEMANTICS A10).
    pub const STOPPING: u32 = 5;

    /// The word for a state.
    #[must_use]
    pub const fn text(state: u32) -> &'static str {
        match state {
            EMPTY => "empty",
            INITIALISING => "initialising",
            ACTIVE => "active",
            PAUSED => "paused",
            BACKOFF => "backoff",
            STOPPING => "stopping",
            _ => "unknown",
        }
    }
}

/// What a lane does between dispatch and collect.
pub mod lane_state {
    /// No turns of this microstep are left.
    pub const IDLE: u32 = 0;
    /// It executes turns.
    pub const BUSY: u32 = 1;
    /// It sleeps until the next dispatch.
    pub const PARKED: u32 = 2;
    /// Its thread has ended.
    pub const STOPPED: u32 = 3;

    /// The word for a state.
    #[must_use]
    pub const fn text(state: u32) -> &'static str {
        match state {
            IDLE => "idle",
            BUSY => "busy",
            PARKED => "parked",
            STOPPED => "stopped",
            _ => "unknown",
        }
    }
}

/// Whether a model can be asked.
pub mod model_state {
    /// Configured, not asked for yet.
    pub const UNLOADED: u32 = 0;
    /// Being loaded.
    pub const LOADING: u32 = 1;
    /// Usable.
    pub const READY: u32 = 2;
    /// It could not be loaded; every request is answered with an error (SEMANTICS I3).
    pub const FAILED: u32 = 3;

    /// The word for a state.
    #[must_use]
    pub const fn text(state: u32) -> &'static str {
        match state {
            UNLOADED => "unloaded",
            LOADING => "loading",
            READY => "ready",
            FAILED => "failed",
            _ => "unknown",
        }
    }
}

/// What computes a model's rows.
pub mod provider {
    /// Not decided: the model is not loaded.
    pub const NONE: u32 = 0;
    /// ONNX Runtime on the processor.
    pub const CPU: u32 = 1;
    /// ONNX Runtime on an NVIDIA card.
    pub const CUDA: u32 = 2;
    /// Replies come from a log.
    pub const REPLAY: u32 = 3;

    /// The word for a provider.
    #[must_use]
    pub const fn text(provider: u32) -> &'static str {
        match provider {
            NONE => "none",
            CPU => "cpu",
            CUDA => "cuda",
            REPLAY => "replay",
            _ => "unknown",
        }
    }
}

/// What a tick waited for (SEMANTICS T10); positions in `stalls` and `stall_ns`.
pub mod stall {
    /// A due source was not complete through the tick.
    pub const SOURCE: usize = 0;
    /// A reply that was due.
    pub const MODEL: usize = 1;
    /// Configured modules and models.
    pub const LOAD: usize = 2;
    /// Room in the log ring.
    pub const LOG: usize = 3;
    /// How many there are.
    pub const COUNT: usize = 4;
    /// Their words, by position.
    pub const TEXT: [&str; COUNT] = ["source", "model", "load", "log"];
}
