//! The guest contract, ABI v1: what a module exports, what it may import, what a call returns.
//!
//! [`calls!`](crate::calls!) is the only list of them: admission, linker and SDK are made of it.
//!
//! # Exports
//! | export | type | meaning |
//! |---|---|---|
//! | `memory` | memory | one memory with a declared maximum |
//! | `_initialize` | `() -> ()` | may be left out; once per incarnation, before all others: constructors of a language's runtime |
//! | `agent_init` | `() -> i32` | once per incarnation; a [`Context`](crate::frame::Context) and the arguments lie in the inbox |
//! | `agent_receive` | `(i32) -> i32` | one item: an [`ItemHeader`](crate::frame::ItemHeader) and its payload lie at the pointer |
//! | `agent_step` | `(i32) -> i32` | once per turn, after the items; a [`Context`](crate::frame::Context) lies at the pointer |
//! | `agent_shutdown` | `() -> i32` | once, when terminated on request |
//! | `agent_inbox` | `() -> i32` | address of the inbox, 8-aligned, constant |
//! | `agent_inbox_cap` | `() -> i32` | bytes of the inbox, constant |
//!
//! A function returns 0 for ok, a positive code of its own (counted and digested; a monitor shows
//! the last), or a negative one, which is a fault (SEMANTICS A1).
//!
//! # Calls
//! Calls answer only from the agent's own rights, arguments and quotas (SEMANTICS A3). Those that
//! return `i64` give the agent's own sequence number (≥ 0) of the accepted call, or a negative
//! [status](Status). Accepted means accepted for commit: what depends on others comes back as an
//! item. A pointer outside the memory is misuse and faults the turn.

use crate::codes;

/// Import module of every host call.
pub const MODULE: &str = "wasm_engine";

/// Export that runs once per incarnation before every other, if a module has it: what a language's
/// runtime must do first. Its name is the one that compilers give it in modules without `main`.
pub const INITIALIZE: &str = "_initialize";

/// Type of a number that crosses the boundary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
}

/// What a parameter of a call is.
#[expect(non_camel_case_types, reason = "the words of the table of calls")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Address and length of UTF-8 text.
    text,
    /// Address and length of bytes.
    bytes,
    /// Address and length in bytes of `f32`s.
    floats,
    /// 32 bits: a handle or a level.
    u32,
    /// 64 bits: an address of an agent or a number.
    u64,
}

impl Form {
    /// The numbers that the parameter takes.
    #[must_use]
    pub const fn types(self) -> &'static [Type] {
        match self {
            Self::text | Self::bytes | Self::floats => &[Type::I32, Type::I32],
            Self::u32 => &[Type::I32],
            Self::u64 => &[Type::I64],
        }
    }
}

/// What a call returns.
#[expect(non_camel_case_types, reason = "the words of the table of calls")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The agent's own sequence number of the call, or a status below 0.
    sequence,
    /// A handle, or a status below 0.
    handle,
    /// 0, or a status below 0.
    status,
    /// 64 bits, all of which are values.
    number,
}

impl Answer {
    /// The number that is returned.
    #[must_use]
    pub const fn kind(self) -> Type {
        match self {
            Self::sequence | Self::number => Type::I64,
            Self::handle | Self::status => Type::I32,
        }
    }
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
    /// Names and forms of the parameters.
    pub params: &'static [(&'static str, Form)],
    /// What it returns.
    pub answer: Answer,
    /// What the manifest must declare.
    pub needs: Needs,
    /// Fuel charged whatever the call does.
    pub fuel_base: u64,
    /// The kind of effect it asks for, if any: one of [`effect`](crate::frame::effect).
    pub effect: Option<u32>,
    /// What it does, for people.
    pub doc: &'static str,
}

impl Call {
    /// Types of the imported function's parameters.
    pub fn param_types(&self) -> impl Iterator<Item = Type> + use<> {
        self.params.iter().flat_map(|(_, form)| form.types()).copied()
    }
}

/// Payload bytes, read from the guest or written to it, that cost one unit of fuel.
pub const BYTES_PER_FUEL: u64 = 8;

/// Every host call of ABI v1, in alphabetical order: `$then!` gets the table.
///
/// A line: name, parameters and answer; fuel charged whatever the call does; what the manifest must
/// declare; the effect with its number and what its fields hold, if the call has one; what it does.
/// [`CALLS`] and [`effect`](crate::frame::effect) are made of it here, the imports in the SDK, the
/// linker in the kernel; tests compare the C header and SEMANTICS A3.
#[macro_export]
macro_rules! calls {
    ($then:ident) => { $then! {
        cast(name: text, payload: bytes) -> sequence; 200; Pattern("channel:");
            CAST = 7 "`target` and `arg` channel key, payload.";
            "Message to every member of a channel.";
        infer(model: u32, row: floats) -> sequence; 200; Pattern("infer:");
            INFER = 8 "`target` model, payload.";
            "One row of `f32` for a model; exactly one reply item.";
        infer_tensors(model: u32, tensors: bytes) -> sequence; 200; Pattern("infer:");
            INFER_TENSORS = 15 "`target` model, payload a list of tensors.";
            "A list of tensors for a model; exactly one reply item, such a list too.";
        join(name: text) -> sequence; 100; Pattern("channel:");
            JOIN = 5 "`target` and `arg` channel key.";
            "Becomes a member of a channel.";
        leave(name: text) -> sequence; 100; Pattern("channel:");
            LEAVE = 6 "`target` and `arg` channel key.";
            "Ends the membership of a channel.";
        log(level: u32, text: text) -> status; 100; Capability("log");
            LOG = 14 "`target` level, payload the text.";
            "A line for the operator: level 1 error, 2 warning, 3 information, 4 and more detail.";
        model(name: text) -> handle; 100; Nothing; ;
            "Handle of a configured model.";
        model_input(model: u32, name: text) -> handle; 100; Nothing; ;
            "Number of a model's input, which a tensor for it has as its port.";
        model_output(model: u32, name: text) -> handle; 100; Nothing; ;
            "Number of a model's output, which a tensor of its reply has as its port.";
        next_topic(pattern: text, after: u32) -> handle; 100; Nothing; ;
            "Handle of the next topic behind `after`, 2^32 - 1 to begin, that the pattern matches.";
        panic(message: text) -> status; 100; Nothing; ;
            "Why the agent is about to trap: shown with the fault; no effect and not digested.";
        pause(agent: u64) -> sequence; 100; Capability("lifecycle");
            PAUSE = 12 "`target` address.";
            "Pauses an agent; exactly one outcome item.";
        publish(topic: u32, payload: bytes) -> sequence; 100; Pattern("publish:");
            PUBLISH = 2 "`target` topic, payload.";
            "Message to every subscriber of a topic.";
        random() -> number; 60; Capability("random"); ;
            "64 bits from the seed, the agent's key and the place in time (SEMANTICS A6).";
        resume(agent: u64) -> sequence; 100; Capability("lifecycle");
            RESUME = 13 "`target` address.";
            "Ends the pause of an agent; exactly one outcome item.";
        save() -> sequence; 100; Nothing;
            SAVE = 17 "Nothing.";
            "Makes the state behind this turn the save point; costs fuel for the whole memory.";
        schedule(agent: u64, task: bytes) -> sequence; 200; Capability("schedule");
            SCHEDULE = 16 "`target` address, payload the task.";
            "A task for an agent; exactly one outcome item, when it has ended.";
        send(to: u64, payload: bytes) -> sequence; 100; Capability("send");
            SEND = 1 "`target` address, payload.";
            "Message to one agent.";
        spawn(name: text, args: bytes) -> sequence; 500; Pattern("spawn:");
            SPAWN = 10 "`target` template, payload the arguments.";
            "New agent from a configured one; exactly one outcome item.";
        subscribe(topic: u32) -> sequence; 100; Pattern("subscribe:");
            SUBSCRIBE = 3 "`target` topic.";
            "Subscribes to a topic.";
        terminate(agent: u64) -> sequence; 100; Capability("lifecycle");
            TERMINATE = 11 "`target` address.";
            "Ends an agent; exactly one outcome item.";
        tick() -> number; 40; Nothing; ;
            "The current tick.";
        timer(delay_ticks: u64, tag: u64) -> sequence; 100; Capability("timer");
            TIMER = 9 "`target` delay in ticks, `arg` tag.";
            "One timer item after `delay_ticks`, at least 1.";
        topic(name: text) -> handle; 100; Nothing; ;
            "Handle of a configured topic.";
        unsubscribe(topic: u32) -> sequence; 100; Pattern("subscribe:");
            UNSUBSCRIBE = 4 "`target` topic.";
            "Ends the subscription of a topic.";
    } };
}

/// The table as a list.
macro_rules! list {
    ($(
        $name:ident($($param:ident: $form:ident),*) -> $answer:ident; $fuel:literal;
        $needs:ident $(($what:literal))?; $($effect:ident = $number:literal $fields:literal)?;
        $doc:literal;
    )*) => {
        /// Every host call of ABI v1, in alphabetical order.
        pub const CALLS: &[Call] = &[$(Call {
            name: stringify!($name),
            params: &[$((stringify!($param), Form::$form)),*],
            answer: Answer::$answer,
            needs: Needs::$needs $(($what))?,
            fuel_base: $fuel,
            effect: optional(&[$($number)?]),
            doc: $doc,
        },)*];
    };
}
calls!(list);

/// The one number, if there is one.
const fn optional(number: &[u32]) -> Option<u32> {
    match number {
        [number] => Some(*number),
        _ => None,
    }
}

codes! {
/// Status of a call, an outcome or a reply. 0 is success; the kernel's own codes are negative.
enum Status: i32, reserved [-9, -10] {
    /// Done.
    Ok = 0 "ok",
    /// The agent has no right to it.
    Denied = -1 "denied",
    /// No topic or model of that name, no such handle, no task of that name any more.
    Unknown = -2 "no such name or handle",
    /// Longer than the limit, or an argument outside its range.
    Invalid = -3 "invalid",
    /// The agent's quota of effects or payload bytes in this turn is used up.
    Quota = -4 "quota used up",
    /// None of the agent's pending-call slots is free.
    Busy = -5 "no pending-call slot free",
    /// The addressed agent is gone (its slot is empty or of another generation).
    Gone = -6 "gone",
    /// The receiver's inbox is full, by count or bytes, or its list of tasks.
    InboxFull = -7 "inbox full",
    /// A limit of the whole kernel is reached.
    KernelFull = -8 "kernel full",
    /// No free agent slot.
    NoSlot = -11 "no agent slot free",
    /// The model failed on this request.
    ModelFailed = -12 "model failed",
    /// The agent was already in that state.
    Already = -13 "already so",
    /// The payload is longer than the receiver's inbox takes.
    TooLong = -14 "longer than the receiver's inbox",
    /// The model takes other tensors; the reply's payload says in UTF-8 what differs.
    Mismatch = -15 "not what the model takes",
    /// The model did not answer before its deadline.
    Late = -16 "later than the deadline",
    /// The model is configured and not loaded.
    NotLoaded = -17 "not loaded",
    /// The attempts of the task are used up.
    TaskFailed = -18 "task failed",
    /// The task will not run: one that it waited for did not succeed.
    Cancelled = -19 "cancelled",
    /// The task was left out: one that it waited for did not succeed.
    Skipped = -20 "skipped",
    /// The quota of the topic is used up by what inboxes hold of it.
    TopicFull = -21 "topic full",
}
}
