//! Codes in published rows.
//!
//! What this is not: the kernel's own states are its private business; these are what it shows.

use crate::codes;

codes! {
/// What the run as a whole is doing; the owner's moment-to-moment state is in the region header.
run_state: u32 {
    /// Modules and models are loading; tick 0 has not closed.
    STARTING = 0 "starting",
    /// Ticks are being executed, or waited for.
    RUNNING = 1 "running",
    /// Ended as it should (SEMANTICS T9); nothing follows.
    FINISHED = 2 "finished",
    /// Ended with an error; `exit_code` says which kind.
    FAILED = 3 "failed",
}
}

codes! {
/// What an agent slot holds.
agent_state: u32 {
    /// Nobody; the other fields are what the last agent left.
    EMPTY = 0 "empty",
    /// Its init turn is pending.
    INITIALISING = 1 "initialising",
    /// It takes turns.
    ACTIVE = 2 "active",
    /// It queues and takes no turns until resumed.
    PAUSED = 3 "paused",
    /// It faulted and restarts at tick `until_tick` (SEMANTICS A8).
    BACKOFF = 4 "backoff",
    /// Its shutdown turn is pending (SEMANTICS A10).
    STOPPING = 5 "stopping",
}
}

codes! {
/// What a lane does between dispatch and collect.
lane_state: u32, reserved [2] {
    /// No turns of this microstep are left.
    IDLE = 0 "idle",
    /// It executes turns.
    BUSY = 1 "busy",
    /// Its thread has ended.
    STOPPED = 3 "stopped",
}
}

codes! {
/// Whether a model can be asked.
model_state: u32, reserved [0, 1] {
    /// Usable.
    READY = 2 "ready",
    /// It could not be loaded; every request is answered with an error (SEMANTICS I3).
    FAILED = 3 "failed",
    /// It is not loaded (SEMANTICS A13).
    UNLOADED = 4 "unloaded",
}
}

codes! {
/// What a tick waited for (SEMANTICS T10). Each has counters: `stalls_` and `stall_` with its word.
stall: usize, reserved [0, 2] {
    /// A reply that was due.
    MODEL = 1 "model",
    /// Room in the log ring.
    LOG = 3 "log",
}
}
