//! What the core tells of its doings, event by event, for whoever watches.
//!
//! Events are collected here and taken by the kernel after each step of the core; they decide
//! nothing, and the core never reads them. What is told follows from the run alone.

use wasm_engine_abi::{
    Tick,
    page::{TraceEvent, event},
};

/// Which events are told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Telling {
    /// None.
    #[default]
    Nothing,
    /// Ticks, and what the tick digest calls an event.
    Events,
    /// Microsteps, turns and deliveries too.
    All,
}

/// Events not yet taken.
#[derive(Debug, Default)]
pub(super) struct Told {
    telling: Telling,
    tick: Tick,
    microstep: u32,
    events: Vec<TraceEvent>,
}

impl Told {
    /// From now on, this much.
    pub(super) fn tell(&mut self, telling: Telling) {
        self.telling = telling;
    }

    /// What follows belongs to this microstep; 0 is the open.
    #[inline]
    pub(super) fn at(&mut self, tick: Tick, microstep: u32) {
        (self.tick, self.microstep) = (tick, microstep);
    }

    /// Whether microsteps, turns and deliveries are told.
    #[inline]
    pub(super) fn all(&self) -> bool {
        self.telling == Telling::All
    }

    /// Notes an event.
    #[inline]
    pub(super) fn event(&mut self, kind: u32, subject: u64, a: u64, b: u64) {
        if self.telling != Telling::Nothing {
            self.note(kind, subject, a, b);
        }
    }

    /// Notes an event of those that are many.
    #[inline]
    pub(super) fn detail(&mut self, kind: u32, subject: u64, a: u64, b: u64) {
        debug_assert!(event::is_full_only(kind));
        if self.all() {
            self.note(kind, subject, a, b);
        }
    }

    fn note(&mut self, kind: u32, subject: u64, a: u64, b: u64) {
        let (tick, microstep) = (self.tick, self.microstep);
        self.events.push(TraceEvent { time_ns: 0, tick, subject, a, b, kind, microstep });
    }

    /// The events since the last call, in order.
    #[inline]
    pub(super) fn take(&mut self) -> impl Iterator<Item = TraceEvent> + '_ {
        self.events.drain(..)
    }
}
