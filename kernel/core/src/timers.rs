//! Timers that wait for their tick (SEMANTICS T3).

use std::{cmp::Reverse, collections::BinaryHeap};

use wasm_engine_abi::{AgentId, Tick};

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

/// Timers by (due tick, agent, sequence).
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
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
        }
        None
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
