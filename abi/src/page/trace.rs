//! Trace events: what happened, one by one, in the order in which it counts.
//!
//! They go through the broadcast ring of the region, one to a slot: a cache line. What an event says,
//! but its time, is decided by the run alone, so two executions of a run give the same events in the
//! same order, whatever the number of lanes.

use core::mem::offset_of;

use bytemuck::{Pod, Zeroable};

use super::Field;

layout! {
/// One event. What `subject`, `a` and `b` hold, its kind says: [`event::KINDS`].
TraceEvent {
    /// The owner's monotonic clock, in ns, when the event was published: events of a microstep share it.
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

/// What happened. The codes below 32 are those of SEMANTICS D3, which enter the tick digest.
pub mod event {
    /// A receiver accepted a message.
    pub const DELIVERED: u32 = 1;
    /// A message, a request or, of its receiver, an input was refused at a limit (SEMANTICS C2).
    pub const REFUSED: u32 = 2;
    /// A message was dropped by its topic's policy (SEMANTICS C4).
    pub const DROPPED: u32 = 3;
    /// A call got its outcome (SEMANTICS A4).
    pub const OUTCOME: u32 = 4;
    /// A reply came for an incarnation that is over.
    pub const REPLY_DROPPED: u32 = 5;
    /// A timer fired.
    pub const TIMER: u32 = 6;
    /// An incarnation begins after a fault.
    pub const RESTARTED: u32 = 7;
    /// An agent was spawned.
    pub const SPAWNED: u32 = 8;
    /// An agent is no more.
    pub const ENDED: u32 = 9;
    /// An agent was paused.
    pub const PAUSED: u32 = 10;
    /// An agent was resumed.
    pub const RESUMED: u32 = 11;
    /// A turn faulted (SEMANTICS A8).
    pub const FAULTED: u32 = 12;
    /// An agent waits for its restart.
    pub const BACKOFF: u32 = 13;
    /// The items that an ending agent leaves.
    pub const DEAD_LETTERS: u32 = 14;
    /// An inference request was accepted (SEMANTICS I1).
    pub const REQUESTED: u32 = 15;
    /// An agent fell with another one of its restart group.
    pub const FELL: u32 = 16;
    /// A tick began.
    pub const TICK_OPEN: u32 = 32;
    /// A tick ended.
    pub const TICK_CLOSE: u32 = 33;
    /// A microstep was planned.
    pub const MICROSTEP: u32 = 34;
    /// An agent took a turn.
    pub const TURN: u32 = 35;
    /// The run waited (SEMANTICS T10).
    pub const STALL: u32 = 36;
    /// A receiver accepted an input.
    pub const INPUT: u32 = 37;

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
        /// Cause of a fault: a code of `frame::fault`.
        Fault(&'static str),
        /// Cause of a wait: a position of [`stall`](super::super::stall).
        Stall(&'static str),
        /// 64 bits without a meaning of their own.
        Bits(&'static str),
    }

    /// One kind of event.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Kind {
        /// Its code.
        pub code: u32,
        /// Its word.
        pub text: &'static str,
        /// What `subject`, `a` and `b` hold.
        pub details: [Detail; 3],
        /// Whether it is published at the level `full` only.
        pub full: bool,
    }

    macro_rules! kinds {
        ($($code:ident $text:literal $($full:ident)?: $subject:expr, $a:expr, $b:expr;)*) => {
            &[$(Kind {
                code: $code,
                text: $text,
                details: [$subject, $a, $b],
                full: kinds!(@full $($full)?),
            },)*]
        };
        (@full) => { false };
        (@full full) => { true };
    }

    use Detail::{Agent, Bits, Fault, Nothing, Number, Pair, Stall};

    /// Every kind.
    pub const KINDS: &[Kind] = kinds! {
        DELIVERED "delivered" full: Agent("to"), Agent("from"), Pair("topic", "bytes");
        REFUSED "refused": Agent("agent"), Number("seq"), Nothing;
        DROPPED "dropped": Number("slot"), Number("seq"), Nothing;
        OUTCOME "outcome": Agent("agent"), Bits("call"), Nothing;
        REPLY_DROPPED "reply_dropped": Agent("agent"), Number("seq"), Nothing;
        TIMER "timer": Agent("agent"), Number("seq"), Nothing;
        RESTARTED "restarted": Agent("agent"), Number("incarnation"), Nothing;
        SPAWNED "spawned": Agent("agent"), Bits("key"), Nothing;
        ENDED "ended": Agent("agent"), Nothing, Nothing;
        PAUSED "paused": Agent("agent"), Nothing, Nothing;
        RESUMED "resumed": Agent("agent"), Nothing, Nothing;
        FAULTED "faulted": Agent("agent"), Fault("fault"), Nothing;
        BACKOFF "backoff": Agent("agent"), Number("until_tick"), Nothing;
        DEAD_LETTERS "dead_letters": Agent("agent"), Number("items"), Nothing;
        REQUESTED "requested": Agent("agent"), Number("due_tick"), Nothing;
        FELL "fell": Agent("agent"), Agent("with"), Nothing;
        TICK_OPEN "tick_open": Nothing, Number("facts"), Nothing;
        TICK_CLOSE "tick_close": Nothing, Number("turns"), Bits("digest_low");
        MICROSTEP "microstep" full: Nothing, Number("turns"), Nothing;
        TURN "turn" full: Agent("agent"), Number("fuel"), Pair("items", "effects");
        STALL "stall": Stall("cause"), Number("ns"), Nothing;
        INPUT "input" full: Agent("to"), Number("source"), Pair("topic", "bytes");
    };

    /// The kind with this code, if there is one.
    #[must_use]
    pub fn kind(code: u32) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.code == code)
    }
}

#[cfg(test)]
mod tests {
    use super::event::{KINDS, kind};

    #[test]
    fn codes_and_words_are_unique_and_digested_kinds_come_first() {
        for (at, one) in KINDS.iter().enumerate() {
            assert!(KINDS[at + 1..].iter().all(|b| one.code != b.code && one.text != b.text));
            assert_eq!(kind(one.code), Some(one));
        }
        assert_eq!(kind(0), None);
    }
}
