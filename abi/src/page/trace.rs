//! Trace events: what happened, one by one, in the order in which it counts.
//!
//! They go through the broadcast ring of the region, one to a slot: a cache line. What an event
//! says, but its time, is decided by the run alone, so two executions of a run give the same events
//! in the same order, whatever the number of lanes; waits, which are of the machine, are the
//! exception.

use core::mem::offset_of;

use bytemuck::{Pod, Zeroable};

use super::Field;
use crate::codes;

layout! {
/// One event. What `subject`, `a` and `b` hold, its kind says: [`event::details`].
TraceEvent {
    /// The owner's monotonic clock, in ns: of the opening of a tick its beginning, of a microstep
    /// when it was planned, of what its turns did when all of them had ended.
    time_ns: u64,
    /// The tick.
    tick: u64,
    /// Whom it is about.
    subject: u64,
    /// First detail.
    a: u64,
    /// Second detail.
    b: u64,
    /// One of [`event`].
    kind: u32,
    /// Microstep of the tick, from 1; 0 is its open.
    microstep: u32,
}
}

const _: () = assert!(size_of::<TraceEvent>() == 48);

codes! {
/// What happened. The codes below 32 are those of SEMANTICS D3, which enter the tick digest.
event: u32 {
    /// A message or a request of this agent was refused by some of its receivers, or inputs by
    /// this agent, or by so many when nobody was tried any more (SEMANTICS C2).
    REFUSED = 2 "refused",
    /// A message or input from this sender or source was dropped from its receiver's inbox by its
    /// topic's policy (SEMANTICS C4).
    DROPPED = 3 "dropped",
    /// A call got its outcome: the code of a status without its sign (SEMANTICS A4).
    OUTCOME = 4 "outcome",
    /// A reply came for an incarnation that is over.
    REPLY_DROPPED = 5 "reply_dropped",
    /// A timer fired.
    TIMER = 6 "timer",
    /// An incarnation begins after a fault.
    RESTARTED = 7 "restarted",
    /// An agent was spawned.
    SPAWNED = 8 "spawned",
    /// An agent is no more.
    ENDED = 9 "ended",
    /// An agent was paused.
    PAUSED = 10 "paused",
    /// An agent was resumed.
    RESUMED = 11 "resumed",
    /// A turn faulted (SEMANTICS A8).
    FAULTED = 12 "faulted",
    /// An agent waits for its restart.
    BACKOFF = 13 "backoff",
    /// The items that an agent leaves at its end, or that its inbox cannot hold (SEMANTICS C2).
    DEAD_LETTERS = 14 "dead_letters",
    /// An inference request was accepted (SEMANTICS I1).
    REQUESTED = 15 "requested",
    /// An agent was stopped with another one of its restart group.
    GROUP_STOPPED = 16 "group_stopped",
    /// The load of a model began (SEMANTICS A13).
    MODEL_LOADING = 17 "model_loading",
    /// The load of a model ended: the code of a status without its sign.
    MODEL_LOADED = 18 "model_loaded",
    /// A model was unloaded, by a command or to make room.
    MODEL_UNLOADED = 19 "model_unloaded",
    /// The name of a model means this version of it from now on.
    MODEL_SWAPPED = 20 "model_swapped",
    /// A command of the host got its outcome: the code of a status without its sign.
    COMMANDED = 21 "commanded",
    /// A task was accepted for this agent (SEMANTICS A12).
    TASK_SCHEDULED = 22 "task_scheduled",
    /// A task of this scheduler ended: a code of `task_state`, and the attempts made.
    TASK_ENDED = 23 "task_ended",
    /// The state behind a turn became the agent's save point (SEMANTICS A9).
    SAVED = 24 "saved",
    /// An incarnation begins with the state of a save point.
    RESTORED = 25 "restored",
    /// A tick began.
    TICK_OPEN = 32 "tick_open",
    /// A tick ended.
    TICK_CLOSE = 33 "tick_close",
    /// A microstep was planned.
    MICROSTEP = 34 "microstep",
    /// An agent took a turn.
    TURN = 35 "turn",
    /// The run waited (SEMANTICS T10).
    STALL = 36 "stall",
    /// A receiver accepted an input.
    INPUT = 37 "input",
    /// A receiver accepted a message.
    DELIVERED = 38 "delivered",
}
    /// What a field of an event holds.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Detail {
        /// Nothing; it is 0.
        Nothing,
        /// Address of an agent.
        Agent(&'static str),
        /// A number.
        Number(&'static str),
        /// The number in the upper 32 bits, then that in the lower.
        Pair(&'static str, &'static str),
        /// Position of a source in the names.
        Source(&'static str),
        /// Position of a topic in the names, or a number beyond all of them, in the upper 32 bits;
        /// a number in the lower.
        Topic(&'static str, &'static str),
        /// Cause of a fault: a code of [`fault`](crate::frame::fault).
        Fault(&'static str),
        /// Cause of a wait: a code of [`stall`](super::super::stall).
        Stall(&'static str),
        /// 64 bits without a meaning of their own.
        Bits(&'static str),
    }

    use Detail::{Agent, Bits, Fault, Nothing, Number, Pair, Source, Stall, Topic};

    /// What `subject`, `a` and `b` hold in an event of this kind; of an unknown one just bits.
    #[must_use]
    pub const fn details(kind: u32) -> [Detail; 3] {
        match kind {
            REFUSED => [Agent("agent"), Number("seq"), Pair("refused", "delivered")],
            DROPPED => [Agent("agent"), Number("seq"), Bits("from")],
            OUTCOME => [Agent("agent"), Number("call"), Number("status")],
            REPLY_DROPPED => [Agent("agent"), Number("seq"), Nothing],
            TIMER => [Agent("agent"), Number("seq"), Nothing],
            RESTARTED => [Agent("agent"), Number("incarnation"), Nothing],
            SPAWNED => [Agent("agent"), Bits("key"), Nothing],
            ENDED => [Agent("agent"), Nothing, Nothing],
            PAUSED => [Agent("agent"), Nothing, Nothing],
            RESUMED => [Agent("agent"), Nothing, Nothing],
            FAULTED => [Agent("agent"), Fault("fault"), Nothing],
            BACKOFF => [Agent("agent"), Number("until_tick"), Nothing],
            DEAD_LETTERS => [Agent("agent"), Number("items"), Nothing],
            REQUESTED => [Agent("agent"), Number("due_tick"), Nothing],
            GROUP_STOPPED => [Agent("agent"), Agent("with"), Nothing],
            MODEL_LOADING => [Number("model"), Number("due_tick"), Nothing],
            MODEL_LOADED => [Number("model"), Number("status"), Nothing],
            MODEL_UNLOADED | MODEL_SWAPPED => [Number("model"), Nothing, Nothing],
            COMMANDED => [Number("command"), Number("action"), Number("status")],
            TASK_SCHEDULED => [Agent("agent"), Number("seq"), Agent("by")],
            TASK_ENDED => [Agent("by"), Number("seq"), Pair("state", "attempts")],
            SAVED => [Agent("agent"), Nothing, Nothing],
            RESTORED => [Agent("agent"), Number("saved_tick"), Nothing],
            TICK_OPEN => [Nothing, Number("facts"), Nothing],
            TICK_CLOSE => [Nothing, Number("turns"), Bits("digest_low")],
            MICROSTEP => [Nothing, Number("turns"), Nothing],
            TURN => [Agent("agent"), Number("fuel"), Pair("items", "effects")],
            STALL => [Stall("cause"), Number("ns"), Nothing],
            INPUT => [Agent("to"), Source("source"), Topic("topic", "bytes")],
            DELIVERED => [Agent("to"), Agent("from"), Topic("topic", "bytes")],
            _ => [Bits("subject"), Bits("a"), Bits("b")],
        }
    }

    /// Whether events of this kind are published at the level `full` only.
    #[must_use]
    pub const fn is_full_only(kind: u32) -> bool {
        matches!(kind, DELIVERED | MICROSTEP | TURN | INPUT)
    }
}

#[cfg(test)]
mod tests {
    use super::event::{ALL, Detail, details};

    #[test]
    fn every_kind_says_what_its_fields_hold() {
        let unknown = [Detail::Bits("subject"), Detail::Bits("a"), Detail::Bits("b")];
        assert_eq!(details(0), unknown);
        assert!(ALL.iter().all(|kind| details(kind.value) != unknown));
    }
}
