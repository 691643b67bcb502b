//! The structs and codes of the header.
//!
//! Each struct begins with its size in bytes and grows at its end only. Where a caller gives one to
//! be filled, it states the size it knows and gets as much; where a callback gets one, the library
//! states the size it has.
#![expect(non_camel_case_types, reason = "their names in C")]

use std::ffi::{c_char, c_void};

use wasm_engine_abi::task::{on_failure, task_state};

/// No number: no tick yet, no log, no agent.
pub const WE_NONE: u64 = u64::MAX;
/// Version of the functions and structs of this header; it changes when a program has to.
pub const WE_HOST_ABI_VERSION: u32 = 1;

/// A struct that begins with its size.
pub trait CStruct: Copy {
    /// Its size in version 1 of the interface.
    const LEAST: u32;
}

macro_rules! c_structs {
    ($($name:ident $least:literal;)*) => {$(
        impl CStruct for $name {
            const LEAST: u32 = $least;
        }
        const _: () = assert!(size_of::<$name>() >= $least);
    )*};
}

c_structs! {
    we_host_poll 32;
    we_host_output 64;
    we_host_outcome 32;
    we_task_outcome 48;
    we_host_snapshot 152;
    we_tick_report 96;
}

/// What a poll came to: `what` of a `we_host_poll`. Later versions add to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum we_poll {
    /// Something that has no number yet.
    Other = 0,
    /// `tick` was executed; its outputs are there.
    Done = 1,
    /// By the pace the next tick is not due for `wait_ns`.
    IdleUntil = 2,
    /// Nothing is due until an input is pushed.
    Idle = 3,
    /// The next tick, or the end of this one, waits for `pending_on`.
    Pending = 4,
    /// No more ticks are executed; `ended` says why.
    Ended = 5,
}

/// What a tick waits for. Later versions add to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum we_pending {
    /// Something that has no number yet.
    Other = 0,
    /// The reply of a model or the outcome of a load.
    Model = 1,
    /// Room in the log, whose disk is slower than the ticks.
    LogSpace = 2,
}

/// Why a run has ended. Later versions add to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum we_ending {
    /// Every source is closed and nothing is due.
    Done = 0,
    /// The limit of ticks was reached.
    Ticks = 1,
    /// It was interrupted.
    Interrupted = 2,
    /// The time was up.
    Timeout = 3,
    /// An agent faulted where by configuration a fault ends the run.
    Fault = 4,
}

/// What becomes of a task when one that it waits for did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum we_on_failure {
    /// It is cancelled, and has itself not succeeded.
    Fail = 0,
    /// It is skipped; tasks that wait for it go on as if it had succeeded.
    Skip = 1,
    /// It runs nevertheless.
    Run = 2,
}

/// How a task ended. Later versions add to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum we_task_state {
    /// It succeeded.
    Done = 3,
    /// Its attempts are used up, or its agent is gone or cannot hold it.
    Failed = 4,
    /// It was left out, because another one did not succeed.
    Skipped = 5,
    /// It will not run: another one did not succeed.
    Cancelled = 6,
}

// The header has the numbers of the guest contract.
const _: () = {
    assert!(we_on_failure::Fail as u32 == on_failure::FAIL);
    assert!(we_on_failure::Skip as u32 == on_failure::SKIP);
    assert!(we_on_failure::Run as u32 == on_failure::RUN);
    assert!(we_task_state::Done as u32 == task_state::DONE);
    assert!(we_task_state::Failed as u32 == task_state::FAILED);
    assert!(we_task_state::Skipped as u32 == task_state::SKIPPED);
    assert!(we_task_state::Cancelled as u32 == task_state::CANCELLED);
};

/// What a poll came to.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct we_host_poll {
    /// `sizeof` this struct, set by the caller.
    pub size: u32,
    /// One of `we_poll`.
    pub what: u32,
    /// With `WE_POLL_DONE`: number of the tick.
    pub tick: u64,
    /// With `WE_POLL_IDLE_UNTIL`: nanoseconds to wait.
    pub wait_ns: u64,
    /// With `WE_POLL_PENDING`: one of `we_pending`.
    pub pending_on: u32,
    /// With `WE_POLL_ENDED`: one of `we_ending`.
    pub ended: u32,
}

/// A message on an output topic. `payload` is valid until the next call with this host that
/// executes ticks, or its close; `topic` and `agent_name` until the next call with this host at
/// all.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct we_host_output {
    /// `sizeof` this struct; in `we_host_next_output` set by the caller.
    pub size: u32,
    /// Microstep in which it was committed.
    pub microstep: u32,
    /// Tick in which it was committed.
    pub tick: u64,
    /// Address of the agent that published it.
    pub agent: u64,
    /// That agent's sequence number.
    pub seq: u64,
    /// Name of the topic.
    pub topic: *const c_char,
    /// Name of the agent.
    pub agent_name: *const c_char,
    /// Its payload; not null, and not aligned to anything.
    pub payload: *const u8,
    /// Bytes of the payload.
    pub payload_len: usize,
}

/// What came of a command.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct we_host_outcome {
    /// `sizeof` this struct, set by the caller.
    pub size: u32,
    /// 0, or the status by which it was refused: those of the guest contract.
    pub status: i32,
    /// The number that giving the command returned.
    pub number: u64,
    /// Tick at whose open it was applied.
    pub tick: u64,
    /// The agent that it was about, or that it made; else `WE_NONE`.
    pub agent: u64,
}

/// How a task of the host ended.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct we_task_outcome {
    /// `sizeof` this struct, set by the caller.
    pub size: u32,
    /// 0, or why it did not succeed: a status of the guest contract.
    pub status: i32,
    /// The number that scheduling it returned.
    pub number: u64,
    /// Tick in which it ended.
    pub tick: u64,
    /// The agent that it was for.
    pub agent: u64,
    /// One of `we_task_state`.
    pub state: u32,
    /// Attempts made.
    pub attempts: u32,
    /// What `agent_step` returned in the last of them.
    pub code: i32,
    /// 0.
    pub reserved: u32,
}

/// How a kernel stands between two ticks.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct we_host_snapshot {
    /// `sizeof` this struct, set by the caller.
    pub size: u32,
    /// Agents that exist.
    pub agents: u32,
    /// Agents that have something to do.
    pub runnable: u32,
    /// Requests to models whose reply has not been received.
    pub inferences_pending: u32,
    /// Number of the last tick; `WE_NONE` before tick 0.
    pub tick: u64,
    /// Ticks executed, those of a resumed log among them.
    pub ticks: u64,
    /// Inputs that wait for the next tick.
    pub inputs_waiting: u64,
    /// Inputs that entered.
    pub inputs: u64,
    /// Messages delivered.
    pub messages: u64,
    /// Turns that faulted.
    pub faults: u64,
    /// The last tick whose facts are on disk; `WE_NONE` without a log.
    pub durable_tick: u64,
    /// Digest of the last tick, 32 hexadecimal digits and NUL.
    pub digest: [c_char; 40],
    /// Fuel chain, alike.
    pub fuel_digest: [c_char; 40],
}

/// What a tick did. Times are in nanoseconds and all 0 unless `we_builder_time_stages` asked for
/// them; waits for a model, for the pace and, between two calls, for the log are in none of them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct we_tick_report {
    /// `sizeof` this struct, set by the caller.
    pub size: u32,
    /// Microsteps executed.
    pub microsteps: u32,
    /// Turns taken.
    pub turns: u32,
    /// Agents that are left to go on in the next tick.
    pub carried_over: u32,
    /// The tick.
    pub tick: u64,
    /// Fuel that its turns took.
    pub fuel: u64,
    /// Inputs, replies and commands were put together.
    pub gather_ns: u64,
    /// They were applied, with timers and backoffs.
    pub open_ns: u64,
    /// Turns were chosen.
    pub plan_ns: u64,
    /// Turns ran.
    pub step_ns: u64,
    /// What they did was applied.
    pub commit_ns: u64,
    /// Digests were closed, of states as well where due.
    pub close_ns: u64,
    /// Records were handed to the log.
    pub log_ns: u64,
    /// Outputs left, and monitors were shown the tick.
    pub publish_ns: u64,
}

/// A line that an agent logged; all of it is valid until the callback returns.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct we_log_line {
    /// `sizeof` this struct.
    pub size: u32,
    /// 1 an error, 2 a warning, 3 information, above that for debugging.
    pub level: u32,
    /// The tick.
    pub tick: u64,
    /// Name of the agent.
    pub agent_name: *const c_char,
    /// What it says, UTF-8 and a NUL: anything that a module may write, NULs among it.
    pub text: *const c_char,
    /// Bytes of the text without the last NUL.
    pub text_len: usize,
}

/// An agent's fault; all of it is valid until the callback returns.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct we_fault {
    /// `sizeof` this struct.
    pub size: u32,
    /// Microstep of the faulted turn.
    pub microstep: u32,
    /// Tick of it.
    pub tick: u64,
    /// Name of the agent.
    pub agent_name: *const c_char,
    /// What happened, in one sentence.
    pub what: *const c_char,
    /// What to do about it.
    pub advice: *const c_char,
    /// All that is known, as JSON: as `first_fault` of a run's report.
    pub json: *const c_char,
}

/// Takes each message on an output topic, after its tick.
pub type we_on_output =
    Option<unsafe extern "C" fn(context: *mut c_void, output: *const we_host_output)>;
/// Takes each line that an agent logs, after its tick.
pub type we_on_log = Option<unsafe extern "C" fn(context: *mut c_void, line: *const we_log_line)>;
/// Takes each fault of an agent, after its tick and at most the first 64 of it.
pub type we_on_fault = Option<unsafe extern "C" fn(context: *mut c_void, fault: *const we_fault)>;
