//! The trace of a run, event by event, for whoever watches.
//!
//! Events are collected here and drained by the kernel after each step of the core; they decide
//! nothing, and the core never reads them. The trace follows from the run alone. Of more than there
//! is room for, the newest are kept, as in the ring through which they go.

use wasm_engine_abi::{
    Tick,
    page::{TraceEvent, event},
};
use wasm_engine_setup::TraceLevel;

/// Events not yet taken.
#[derive(Debug)]
pub(crate) struct TraceBuffer {
    level: TraceLevel,
    tick: Tick,
    microstep: u32,
    /// At most `room` events; once there are as many, the oldest is at `first`.
    events: Vec<TraceEvent>,
    room: usize,
    first: usize,
    /// Events that newer ones replaced.
    lost: u64,
}

impl Default for TraceBuffer {
    fn default() -> Self {
        Self {
            level: TraceLevel::Off,
            tick: 0,
            microstep: 0,
            events: Vec::new(),
            room: 0,
            first: 0,
            lost: 0,
        }
    }
}

impl TraceBuffer {
    /// From now on, this much; `room` events are kept until they are taken.
    pub(crate) fn set_level(&mut self, level: TraceLevel, room: usize) {
        self.level = if room == 0 { TraceLevel::Off } else { level };
        (self.room, self.first, self.lost) = (room, 0, 0);
        self.events = Vec::with_capacity(room);
    }

    /// What follows belongs to the open of this tick.
    #[inline]
    pub(crate) fn open(&mut self, tick: Tick) {
        (self.tick, self.microstep) = (tick, 0);
    }

    /// What follows belongs to this microstep of the tick.
    #[inline]
    pub(crate) fn microstep(&mut self, number: u32) {
        self.microstep = number;
    }

    /// Notes an event.
    #[inline]
    pub(crate) fn event(&mut self, kind: u32, subject: u64, a: u64, b: u64) {
        if self.level != TraceLevel::Off {
            self.note(kind, subject, a, b);
        }
    }

    /// Notes an event of those that are many; it is made only if somebody wants it.
    #[inline]
    pub(crate) fn detail(&mut self, make: impl FnOnce() -> (u32, u64, u64, u64)) {
        if self.level == TraceLevel::Full {
            let (kind, subject, a, b) = make();
            debug_assert!(event::is_full_only(kind));
            self.note(kind, subject, a, b);
        }
    }

    fn note(&mut self, kind: u32, subject: u64, a: u64, b: u64) {
        let (tick, microstep) = (self.tick, self.microstep);
        let event = TraceEvent { time_ns: 0, tick, subject, a, b, kind, microstep };
        if self.events.len() < self.room {
            self.events.push(event);
            return;
        }
        self.events[self.first] = event;
        self.first = (self.first + 1) % self.room;
        self.lost += 1;
    }

    /// How many events were lost since the last call, and those after them, in order.
    #[inline]
    pub(crate) fn take(&mut self) -> (u64, impl Iterator<Item = TraceEvent> + '_) {
        // Nothing to move unless some were lost.
        self.events.rotate_left(std::mem::take(&mut self.first));
        (std::mem::take(&mut self.lost), self.events.drain(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(trace: &mut TraceBuffer) -> (u64, Vec<u64>) {
        let (lost, events) = trace.take();
        (lost, events.map(|event| event.a).collect())
    }

    #[test]
    fn the_newest_are_kept_and_the_others_counted_without_new_memory() {
        let mut trace = TraceBuffer::default();
        trace.event(event::TIMER, 0, 0, 0);
        assert_eq!(taken(&mut trace), (0, vec![]), "the level is off");
        trace.set_level(TraceLevel::Events, 4);
        let room = trace.events.capacity();
        for (count, expected) in [(3, (0, 0..3)), (4, (0, 0..4)), (5, (1, 1..5)), (11, (7, 7..11))]
        {
            (0..count).for_each(|a| trace.event(event::TIMER, 0, a, 0));
            assert_eq!(taken(&mut trace), (expected.0, expected.1.collect()));
        }
        assert_eq!(trace.events.capacity(), room);
        trace.set_level(TraceLevel::Full, 0);
        trace.detail(|| (event::TURN, 0, 0, 0));
        assert_eq!(taken(&mut trace), (0, vec![]), "there is no room for any");
    }
}
