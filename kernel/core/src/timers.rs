//! Timers that wait for their tick (SEMANTICS T3).

use std::{cmp::Reverse, collections::BinaryHeap};

use wasm_engine_abi::{AgentId, Tick};

use crate::codec::{CheckpointError, Coded as _, Reader, coded, ensure};

/// A timer that is set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Timer {
    pub(crate) due: Tick,
    /// Slot, then sequence: the order in which timers of one tick fire.
    pub(crate) index: u32,
    pub(crate) seq: u64,
    pub(crate) agent: u64,
    pub(crate) incarnation: u32,
    pub(crate) tag: u64,
    pub(crate) trace: u64,
}

coded!(Timer { due, index, seq, agent, incarnation, tag, trace });

/// Forgotten timers are cleared away when there are so many and they are the larger part.
const FORGOTTEN_MAX: usize = 1024;

/// Timers by (due tick, agent, sequence).
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    /// Those of incarnations that are over.
    forgotten: usize,
}

impl Timers {
    pub(crate) fn add(&mut self, timer: Timer) {
        self.heap.push(Reverse(timer));
    }

    /// The earliest due tick among timers of incarnations that still live; others are forgotten.
    pub(crate) fn next_due(&mut self, lives: impl Fn(AgentId, u32) -> bool) -> Option<Tick> {
        while let Some(Reverse(timer)) = self.heap.peek() {
            if lives(AgentId::from_bits(timer.agent), timer.incarnation) {
                return Some(timer.due);
            }
            self.heap.pop();
            self.forgotten = self.forgotten.saturating_sub(1);
        }
        None
    }

    /// `count` timers belong to an incarnation that is over. They are cleared away together, so
    /// that no crash loop fills the memory and no fault costs a walk over the timers of all.
    pub(crate) fn forget(&mut self, count: u32, lives: impl Fn(AgentId, u32) -> bool) {
        self.forgotten += count as usize;
        if self.forgotten > FORGOTTEN_MAX && self.forgotten > self.heap.len() / 2 {
            self.heap
                .retain(|Reverse(timer)| lives(AgentId::from_bits(timer.agent), timer.incarnation));
            self.forgotten = 0;
        }
    }

    /// Timers in memory, forgotten ones among them.
    pub(crate) fn held(&self) -> usize {
        self.heap.len()
    }

    /// The timer taken last was one of those that are forgotten.
    pub(crate) fn took_forgotten(&mut self) {
        self.forgotten = self.forgotten.saturating_sub(1);
    }

    /// Appends the timers of incarnations that live, in the order in which they fire: what is
    /// forgotten names no tick and fires for nobody.
    pub(crate) fn put(&self, lives: impl Fn(AgentId, u32) -> bool, into: &mut Vec<u8>) {
        let Self { heap, forgotten: _ } = self;
        let living = |timer: &Timer| lives(AgentId::from_bits(timer.agent), timer.incarnation);
        let timers = heap.iter().map(|Reverse(timer)| *timer);
        let mut timers: Vec<_> = timers.filter(living).collect();
        timers.sort_unstable();
        timers.put(into);
    }

    /// Reads them; `each` gets the slot of every one.
    pub(crate) fn take(
        from: &mut Reader<'_>,
        mut each: impl FnMut(&Timer) -> Result<(), CheckpointError>,
    ) -> Result<Self, CheckpointError> {
        let timers = Vec::<Timer>::take(from)?;
        ensure(timers.is_sorted(), "timers are out of order")?;
        timers.iter().try_for_each(&mut each)?;
        Ok(Self { heap: timers.into_iter().map(Reverse).collect(), forgotten: 0 })
    }

    /// Takes the next timer due at `tick`, dead ones included.
    pub(crate) fn pop_due(&mut self, tick: Tick) -> Option<Timer> {
        let Reverse(first) = self.heap.peek()?;
        if first.due > tick {
            return None;
        }
        self.heap.pop().map(|Reverse(timer)| timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(due: Tick, index: u32, seq: u64) -> Timer {
        let agent = AgentId::new(index, 0).to_bits();
        // Numbers that a wrong order would follow: they go the other way.
        let other = 100 - seq;
        Timer { due, index, seq, agent, incarnation: 0, tag: other, trace: other }
    }

    #[test]
    fn t3_2_timers_fire_by_due_tick_slot_and_sequence() {
        let mut timers = Timers::default();
        let order = [(4, 2, 9), (5, 0, 7), (5, 0, 8), (5, 1, 1), (5, 1, 2), (6, 0, 0)];
        for at in [3, 0, 5, 2, 4, 1] {
            let (due, index, seq) = order[at];
            timers.add(timer(due, index, seq));
        }
        let mut fired = Vec::new();
        for tick in [3, 5, 6] {
            while let Some(timer) = timers.pop_due(tick) {
                fired.push((tick, timer.due, timer.index, timer.seq));
            }
        }
        let by_tick = |(due, index, seq)| (if due == 6 { 6 } else { 5 }, due, index, seq);
        assert_eq!(fired, order.map(by_tick));
    }

    #[test]
    fn t5_4_a_timer_of_an_incarnation_that_is_gone_names_no_tick() {
        let mut timers = Timers::default();
        timers.add(timer(4, 1, 0));
        timers.add(timer(9, 2, 0));
        assert_eq!(timers.next_due(|_, _| true), Some(4));
        assert_eq!(timers.next_due(|agent, _| agent.index() == 2), Some(9));
        assert_eq!(timers.next_due(|_, incarnation| incarnation == 1), None);
    }
}
