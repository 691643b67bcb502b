//! Frames that cross a boundary: items and contexts into a guest, turns between threads.
//!
//! ```text
//!  scheduler -- TurnCommand, ItemFrame x items, args --> lane      (bytes ring, one record a turn)
//!  scheduler <-- TurnResult, Effect x effects ---------- lane      (bytes ring, one record a turn)
//!  lane ------- ItemHeader, payload | Context, args ---> guest     (the guest's inbox)
//! ```
//! All are `Pod`, 8-aligned and without padding.

use bytemuck::{Pod, Zeroable};

use crate::ids::{AgentId, Digest};
use crate::{calls, codes};

/// `topic` of an item that came by no topic.
pub const NO_TOPIC: u32 = u32::MAX;
/// `topic` of a message that came through a channel.
pub const CHANNEL: u32 = u32::MAX - 1;

codes! {
/// Kinds of item (SEMANTICS A2).
item: u32 {
    /// From an agent: `from` its address, `from_seq` its sequence, `topic` or [`super::NO_TOPIC`].
    /// By a channel: `topic` is [`super::CHANNEL`], `request` the sequence of the receiver's own
    /// last accepted join of it.
    MESSAGE = 1 "message",
    /// From a source: `from` the source's number, `from_seq` its sequence, `topic`.
    INPUT = 2 "input",
    /// Answer to `infer` or `infer_tensors`: `request` its sequence, `topic` the model, `code` a
    /// status; the payload is the output row or the list of tensors, or with the status `Mismatch`
    /// a text; else it is empty.
    REPLY = 3 "reply",
    /// Answer to another call: `request` its sequence, `code` a status, `from` the agent it is
    /// about (the new one for `spawn`). Of `schedule`, when the task has ended: `from_seq` the
    /// attempts times 2^32 and the code that `agent_step` returned for the last.
    OUTCOME = 4 "outcome",
    /// A timer: `request` its sequence, `from_seq` its tag.
    TIMER = 5 "timer",
    /// A task, which `agent_step` gets behind its context: `from` who scheduled it, `from_seq` its
    /// sequence of that, `code` the attempt, from 1.
    TASK = 6 "task",
    /// The first item of an incarnation whose state is that of a save point: `from_seq` the tick of
    /// that.
    RESTARTED = 7 "restarted",
}
}

/// What a guest finds at the pointer of `agent_receive`; the payload follows.
///
/// ```text
///  0 kind u32 | 4 len u32 | 8 from u64 | 16 from_seq u64 | 24 tick u64 | 32 topic u32
/// 36 code i32 | 40 microstep u32 | 44 hash u32 | 48 request u64 | 56 trace u64 | 64 payload[len]
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct ItemHeader {
    /// One of [`item`].
    pub kind: u32,
    /// Bytes of the payload.
    pub len: u32,
    /// Sender, by kind.
    pub from: u64,
    /// The sender's own sequence number, by kind.
    pub from_seq: u64,
    /// Tick in which it was committed, or opened.
    pub tick: u64,
    /// Topic handle, by kind.
    pub topic: u32,
    /// Status, by kind.
    pub code: i32,
    /// Microstep in which it was committed; 0 at open.
    pub microstep: u32,
    /// Low half of the payload's xxh3-64, 0 for an empty one: so a header names its content.
    pub hash: u32,
    /// Sequence of the call that it answers or comes by, by kind.
    pub request: u64,
    /// Trace id: that of its cause (SEMANTICS D1).
    pub trace: u64,
}

/// What a guest finds at the pointer of `agent_step`, and in its inbox at `agent_init`, where
/// `args_len` bytes of arguments follow. At `agent_step` they are those of a task, its
/// [`ItemHeader`] and payload, or none.
///
/// ```text
///  0 tick u64 | 8 agent u64 | 16 microstep u32 | 20 incarnation u32 | 24 items u32 | 28 copy u32
/// 32 args_len u32 | 36 reserved u32 | 40 args[args_len]
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Context {
    /// Current tick.
    pub tick: u64,
    /// The agent's own address.
    pub agent: u64,
    /// Current microstep.
    pub microstep: u32,
    /// Incarnation, raised by each restart.
    pub incarnation: u32,
    /// Items received in this turn.
    pub items: u32,
    /// Number of this copy among the copies of its configuration entry.
    pub copy: u32,
    /// Bytes of arguments that follow; 0 in a step.
    pub args_len: u32,
    /// Zero.
    pub reserved: u32,
}

impl Context {
    /// The context of a call in the turn of `command`.
    #[inline]
    #[must_use]
    pub const fn of(command: &TurnCommand, args_len: u32) -> Self {
        Self {
            tick: command.tick,
            agent: command.agent,
            microstep: command.microstep,
            incarnation: command.incarnation,
            items: command.items,
            copy: command.copy,
            args_len,
            reserved: 0,
        }
    }
}

/// Where payload bytes lie: physical, never hashed (SEMANTICS D1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Location {
    /// A lane's outbox, [`Location::OPEN`] or [`Location::SPILL`].
    pub area: u32,
    /// First block.
    pub block: u32,
}

impl Location {
    /// The scheduler's outbox of what enters at open.
    pub const OPEN: u32 = 0xffff_0000;
    /// The spill of what outlives a microstep.
    pub const SPILL: u32 = 0xffff_0001;
}

/// One item of a turn, for the lane: header and place of the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct ItemFrame {
    /// What the guest gets.
    pub header: ItemHeader,
    /// Where the payload lies.
    pub location: Location,
    /// Outbox epoch in which it was written, for areas that have epochs.
    pub epoch: u64,
}

codes! {
/// Kinds of turn.
turn: u32 {
    /// `agent_init` alone, in a new instance.
    INIT = 1 "init",
    /// `agent_receive` per item, then `agent_step`.
    STEP = 2 "step",
    /// `agent_shutdown` alone; the instance is dropped afterwards.
    SHUTDOWN = 3 "shutdown",
    /// No call: the instance is dropped.
    DROP = 4 "drop",
    /// No call: the state is hashed into `TurnResult::digest`.
    HASH = 5 "hash",
}
}

/// One planned turn, from the scheduler to a lane; `items` item frames and `args_len` bytes follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct TurnCommand {
    /// The agent.
    pub agent: u64,
    /// The agent's key (SEMANTICS A5): feeds random and traces.
    pub key: u64,
    /// Tick.
    pub tick: u64,
    /// Next own sequence number.
    pub seq: u64,
    /// Microstep.
    pub microstep: u32,
    /// Location in the plan of this microstep.
    pub position: u32,
    /// Incarnation.
    pub incarnation: u32,
    /// One of [`turn`].
    pub kind: u32,
    /// Template: which module, rights and budgets.
    pub template: u32,
    /// Copy number.
    pub copy: u32,
    /// Item frames that follow.
    pub items: u32,
    /// Argument bytes that follow the frames.
    pub args_len: u32,
    /// Pending-call slots free at dispatch (SEMANTICS A4).
    pub answers_free: u32,
    /// Slot of an agent whose turn comes some commands later, so that the lane may fetch what it
    /// reads; [`TurnCommand::NOBODY`] without. It decides nothing.
    pub ahead: u32,
    /// 1 if the state behind the turn becomes the agent's save point, whatever the turn asks for;
    /// else 0 (SEMANTICS A9).
    pub save: u32,
    /// Zero.
    pub reserved: u32,
}

impl TurnCommand {
    /// [`TurnCommand::ahead`] where nobody comes.
    pub const NOBODY: u32 = u32::MAX;
}

/// What one turn did; `effects` frames follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct TurnResult {
    /// The agent.
    pub agent: u64,
    /// Next own sequence number; as dispatched if the turn faulted.
    pub seq: u64,
    /// Fuel used, full budgets if the turn faulted.
    pub fuel: u64,
    /// Turn digest (SEMANTICS D2).
    pub digest: Digest,
    /// Location in the plan.
    pub position: u32,
    /// Incarnation.
    pub incarnation: u32,
    /// Items consumed, the faulting one included.
    pub items: u32,
    /// The last code other than 0 that a call returned, 0 if there is none.
    pub code: i32,
    /// One of [`fault`].
    pub fault: u32,
    /// Effect frames that follow; 0 if the turn faulted.
    pub effects: u32,
    /// Pending-call slots taken.
    pub answers: u32,
    /// Payload bytes, in blocks, of all effects.
    pub blocks: u32,
    /// Of an init turn: bytes of the longest payload that the inbox takes.
    pub item_bytes_max: u32,
    /// What `agent_step` returned, if it had a task; else 0.
    pub step_code: i32,
}

codes! {
/// Why a turn faulted.
fault: u32 {
    /// It did not.
    NONE = 0 "none",
    /// `unreachable`.
    UNREACHABLE = 1 "unreachable executed",
    /// Access outside the memory or a table.
    OUT_OF_BOUNDS = 2 "access out of bounds",
    /// Division by zero, overflow or a bad conversion.
    ARITHMETIC = 3 "arithmetic trap",
    /// Null or wrong-typed indirect call.
    INDIRECT_CALL = 4 "bad indirect call",
    /// Fuel budget of a call used up.
    OUT_OF_FUEL = 5 "fuel budget exceeded",
    /// Calls nested too deep.
    CALL_DEPTH = 6 "call depth exceeded",
    /// An invalid pointer or handle: misuse of a host call.
    MISUSE = 7 "misuse of a host call",
    /// A function returned a negative code.
    NEGATIVE_CODE = 8 "negative return code",
    /// The inbox a module names is outside its memory, unaligned or too small.
    BAD_INBOX = 9 "bad inbox",
}
}

/// The effects of the table of calls.
macro_rules! effects {
    ($(
        $name:ident($($param:ident: $form:ident),*) -> $answer:ident; $fuel:literal;
        $needs:ident $(($what:literal))?; $($effect:ident = $number:literal $fields:literal)?;
        $doc:literal;
    )*) => {
        codes! {
            /// Kinds of effect, of the [`calls`](mod@crate::calls) of the same names.
            effect: u32 { $($(#[doc = $fields] $effect = $number stringify!($name),)?)* }
        }
    };
}
calls!(effects);

/// One accepted call (SEMANTICS A3), for commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Effect {
    /// One of [`effect`].
    pub kind: u32,
    /// Payload bytes.
    pub len: u32,
    /// The agent's own sequence number of the call.
    pub seq: u64,
    /// By kind.
    pub target: u64,
    /// By kind.
    pub arg: u64,
    /// xxh3-64 of the payload.
    pub hash: u64,
    /// Hash of the item that caused it, 0 for none (SEMANTICS D1).
    pub cause: u64,
    /// Trace id.
    pub trace: u64,
    /// First block of the payload in the lane's outbox: physical, not hashed.
    pub block: u32,
    /// Zero.
    pub reserved: u32,
}

impl Effect {
    /// Bytes of the logical part, which are hashed: all but the place of the payload.
    pub const LOGICAL_BYTES: usize = 56;

    /// Key of the channel of a `JOIN`, `LEAVE` or `CAST`.
    #[must_use]
    pub const fn channel(&self) -> u128 {
        (self.arg as u128) << 64 | self.target as u128
    }
}

const _: () = assert!(size_of::<ItemHeader>() == 64);
const _: () = assert!(size_of::<Context>() == 40);
const _: () = assert!(size_of::<ItemFrame>() == 80);
const _: () = assert!(size_of::<TurnCommand>() == 80);
const _: () = assert!(size_of::<TurnResult>() == 80);
const _: () = assert!(size_of::<Effect>() == 64);
const _: () = assert!(AgentId::NONE.to_bits() == u64::MAX);
