//! The guest contract, ABI v1: what a module exports, what it may import, what a call returns.
//!
//! This is the only list; admission checks imports against it and the SDK declares them from it.
//!
//! # Exports
//! | export | type | meaning |
//! |---|---|---|
//! | `memory` | memory | one memory with a declared maximum |
//! | `agent_init` | `() -> i32` | once per incarnation; a [`Context`](crate::frame::Context) and the arguments lie in the inbox |
//! | `agent_receive` | `(i32) -> i32` | one item: an [`ItemHeader`](crate::frame::ItemHeader) and its payload lie at the pointer |
//! | `agent_step` | `(i32) -> i32` | once per turn, after the items; a [`Context`](crate::frame::Context) lies at the pointer |
//! | `agent_shutdown` | `() -> i32` | once, when terminated on request |
//! | `agent_inbox` | `() -> i32` | address of the inbox, 8-aligned, constant |
//! | `agent_inbox_cap` | `() -> i32` | bytes of the inbox, constant |
//!
//! A function returns 0 for ok, a positive code of its own (logged and digested), or a negative
//! one, which is a fault (SEMANTICS A1).
//!
//! # Calls
//! Calls answer only from the agent's own rights, arguments and quotas (SEMANTICS A3). Those that
//! return `i64` give the agent's own sequence number (≥ 0) of the accepted call, or a negative
//! [status](Status). Accepted means accepted for commit: what depends on others comes back as an
//! item. A pointer outside the memory is misuse and faults the turn.

use crate::codes;

/// Import module of every host call.
pub const MODULE: &str = "wasm_engine";

/// Type of a parameter or result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
}

/// What a module must declare to import a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// Nothing: every agent may.
    Nothing,
    /// The capability of this name.
    Capability(&'static str),
    /// At least one capability with this prefix, which a pattern follows.
    Pattern(&'static str),
}

/// One host call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Import name.
    pub name: &'static str,
    /// Parameters.
    pub params: &'static [Type],
    /// Result.
    pub result: Type,
    /// What the manifest must declare.
    pub needs: Needs,
    /// Fuel charged whatever the call does.
    pub fuel_base: u64,
}

/// Payload bytes, read from the guest or written to it, that cost one unit of fuel.
pub const BYTES_PER_FUEL: u64 = 8;

const fn call(
    name: &'static str,
    params: &'static [Type],
    result: Type,
    needs: Needs,
    fuel_base: u64,
) -> Call {
    Call { name, params, result, needs, fuel_base }
}

use Needs::{Capability, Nothing, Pattern};
use Type::{I32, I64};

/// Every host call of ABI v1, in alphabetical order.
///
/// | call | meaning |
/// |---|---|
/// | `cast(name, name_len, ptr, len)` | message to every member of a channel |
/// | `infer(model, ptr, len)` | one row of `f32` for a model; exactly one reply item |
/// | `join(name, name_len)`, `leave` | membership of a channel |
/// | `log(level, ptr, len)` | a line for the operator, level 1 error, 2 warning, 3 information, 4 and more detail; 0 or a status |
/// | `model(name, name_len)` | handle of a configured model or a status |
/// | `pause(agent)`, `resume`, `terminate` | lifecycle; exactly one outcome item |
/// | `publish(topic, ptr, len)` | message to every subscriber of a topic |
/// | `random()` | 64 bits from the seed, the agent's key and the place in time (SEMANTICS A6) |
/// | `send(to, ptr, len)` | message to one agent |
/// | `spawn(name, name_len, args, args_len)` | new agent from a configured one; exactly one outcome |
/// | `subscribe(topic)`, `unsubscribe` | subscription of a topic |
/// | `tick()` | the current tick |
/// | `timer(delay_ticks, tag)` | one timer item after `delay_ticks` ≥ 1 |
/// | `topic(name, name_len)` | handle of a configured topic or a status |
pub const CALLS: &[Call] = &[
    call("cast", &[I32, I32, I32, I32], I64, Pattern("channel:"), 200),
    call("infer", &[I32, I32, I32], I64, Pattern("infer:"), 200),
    call("join", &[I32, I32], I64, Pattern("channel:"), 100),
    call("leave", &[I32, I32], I64, Pattern("channel:"), 100),
    call("log", &[I32, I32, I32], I32, Capability("log"), 100),
    call("model", &[I32, I32], I32, Nothing, 100),
    call("pause", &[I64], I64, Capability("lifecycle"), 100),
    call("publish", &[I32, I32, I32], I64, Pattern("publish:"), 100),
    call("random", &[], I64, Capability("random"), 20),
    call("resume", &[I64], I64, Capability("lifecycle"), 100),
    call("send", &[I64, I32, I32], I64, Capability("send"), 100),
    call("spawn", &[I32, I32, I32, I32], I64, Pattern("spawn:"), 500),
    call("subscribe", &[I32], I64, Pattern("subscribe:"), 100),
    call("terminate", &[I64], I64, Capability("lifecycle"), 100),
    call("tick", &[], I64, Nothing, 10),
    call("timer", &[I64, I64], I64, Capability("timer"), 100),
    call("topic", &[I32, I32], I32, Nothing, 100),
    call("unsubscribe", &[I32], I64, Pattern("subscribe:"), 100),
];

codes! {
/// Status of a call, an outcome or a reply. 0 is success; the kernel's own codes are negative.
enum Status: i32, reserved [-9, -10] {
    /// Done.
    Ok = 0 "ok",
    /// The agent has no right to it.
    Denied = -1 "denied",
    /// No topic or model of that name, no such handle.
    Unknown = -2 "no such name or handle",
    /// Longer than the limit, or an argument outside its range.
    Invalid = -3 "invalid",
    /// The agent's quota of effects or payload bytes in this turn is used up.
    Quota = -4 "quota used up",
    /// None of the agent's pending-call slots is free.
    Busy = -5 "no pending-call slot free",
    /// The addressed agent is gone (its slot is empty or of another generation).
    Gone = -6 "gone",
    /// The receiver's inbox is full, by count or bytes.
    InboxFull = -7 "inbox full",
    /// A limit of the whole kernel is reached.
    KernelFull = -8 "kernel full",
    /// No free agent slot.
    NoSlot = -11 "no agent slot free",
    /// The model failed on this request.
    ModelFailed = -12 "model failed",
    /// The agent was already in that state.
    Already = -13 "already so",
}
}
