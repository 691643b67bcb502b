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
lane_state: u32 {
    /// No turns of this microstep are left.
    IDLE = 0 "idle",
    /// It executes turns.
    BUSY = 1 "busy",
    /// It sleeps until the next dispatch.
    PARKED = 2 "parked",
    /// Its thread has ended.
    STOPPED = 3 "stopped",
}
}

codes! {
/// Whether a model can be asked.
model_state: u32 {
    /// Configured, not asked for yet.
    UNLOADED = 0 "unloaded",
    /// Being loaded.
    LOADING = 1 "loading",
    /// Usable.
    READY = 2 "ready",
    /// It could not be loaded; every request is answered with an error (SEMANTICS I3).
    FAILED = 3 "failed",
}
}

codes! {
/// What computes a model's rows.
provider: u32 {
    /// Not decided: the model is not loaded.
    NONE = 0 "none",
    /// ONNX Runtime on the processor.
    CPU = 1 "cpu",
    /// ONNX Runtime on an NVIDIA card.
    CUDA = 2 "cuda",
    /// Replies come from a log.
    REPLAY = 3 "replay",
}
}

codes! {
/// What a tick waited for (SEMANTICS T10); positions in `stalls` and `stall_ns`.
stall: usize {
    /// A due source was not complete through the tick.
    SOURCE = 0 "source",
    /// A reply that was due.
    MODEL = 1 "model",
    /// Configured modules and models.
    LOAD = 2 "load",
    /// Room in the log ring.
    LOG = 3 "log",
}
/// How many there are.
pub const COUNT: usize = ALL.len();
/// Their words, by position.
pub const TEXT: [&str; COUNT] = {
    let (mut words, mut i) = ([""; COUNT], 0);
    while i < COUNT {
        words[i] = ALL[i].text;
        i += 1;
    }
    words
};
}
