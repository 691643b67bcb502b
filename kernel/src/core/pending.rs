//! What waits for a later tick: inference requests and timers (SEMANTICS I1, T3).

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use wasm_engine_abi::{AgentId, Tick};

/// An accepted inference request; its reply is delivered at the open of `due`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Number over the run, in commit order.
    pub number: u64,
    /// Model handle.
    pub model: u32,
    /// Tick in which it was committed.
    pub tick: Tick,
    /// Tick at whose open the reply is delivered.
    pub due: Tick,
    /// The agent that asked.
    pub agent: AgentId,
    /// Its incarnation then.
    pub incarnation: u32,
    /// Its sequence number of the call.
    pub seq: u64,
    /// Trace of the call.
    pub trace: u64,
    /// Input bytes.
    pub len: u32,
}

#[derive(Debug)]
struct Waiting {
    request: Request,
    input: Vec<u8>,
}

/// Requests whose reply is outstanding. A model's latency is fixed, so each model's queue is
/// ordered by due tick and by number alike.
#[derive(Debug)]
pub(super) struct Requests {
    queues: Vec<VecDeque<Waiting>>,
    /// Buffers for inputs, reused.
    spare: Vec<Vec<u8>>,
    next_number: u64,
    /// Requests whose reply has not been received: it has a place reserved from commit to receipt.
    pub(super) count: u32,
    /// Input bytes of those whose reply has not been delivered.
    pub(super) bytes: u32,
}

impl Requests {
    pub(super) fn new(models: usize) -> Self {
        let queues = (0..models).map(|_| VecDeque::new()).collect();
        Self { queues, spare: Vec::new(), next_number: 0, count: 0, bytes: 0 }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    pub(super) fn add(&mut self, request: Request, input: &[u8]) {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(input);
        self.count += 1;
        self.bytes += request.len;
        self.queues[request.model as usize].push_back(Waiting { request, input: buffer });
    }

    /// The earliest tick with a reply due.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.queues.iter().filter_map(|queue| Some(queue.front()?.request.due)).min()
    }

    /// The next request due at `tick`, in request order over all models (T3).
    pub(super) fn first_due(&self, tick: Tick) -> Option<Request> {
        self.queues
            .iter()
            .filter_map(|queue| Some(queue.front()?.request))
            .filter(|request| request.due <= tick)
            .min_by_key(|request| request.number)
    }

    /// All requests due at `tick`, in request order.
    pub(super) fn due(&self, tick: Tick, into: &mut Vec<Request>) {
        into.clear();
        for queue in &self.queues {
            into.extend(queue.iter().map(|w| w.request).take_while(|request| request.due <= tick));
        }
        into.sort_unstable_by_key(|request| request.number);
    }

    /// Takes the next request due at `tick`.
    pub(super) fn pop_due(&mut self, tick: Tick) -> Option<Request> {
        let request = self.first_due(tick)?;
        let waiting = self.queues[request.model as usize].pop_front()?;
        self.spare.push(waiting.input);
        self.bytes -= request.len;
        Some(request)
    }

    /// All outstanding requests with their inputs, in request order.
    pub(super) fn outstanding(&self) -> Vec<(Request, &[u8])> {
        let mut all: Vec<_> = self
            .queues
            .iter()
            .flatten()
            .map(|waiting| (waiting.request, waiting.input.as_slice()))
            .collect();
        all.sort_by_key(|(request, _)| request.number);
        all
    }
}

/// A timer that is set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Timer {
    pub(super) due: Tick,
    /// Slot, then sequence: the order in which timers of one tick fire.
    pub(super) index: u32,
    pub(super) seq: u64,
    pub(super) agent: u64,
    pub(super) incarnation: u32,
    pub(super) tag: u64,
    pub(super) trace: u64,
}

/// Timers by (due tick, agent, sequence).
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
}

impl Timers {
    pub(super) fn add(&mut self, timer: Timer) {
        self.heap.push(Reverse(timer));
    }

    /// The earliest due tick among timers of incarnations that still live; others are forgotten.
    pub(super) fn next_due(&mut self, lives: impl Fn(AgentId, u32) -> bool) -> Option<Tick> {
        while let Some(Reverse(timer)) = self.heap.peek() {
            if lives(AgentId::from_bits(timer.agent), timer.incarnation) {
                return Some(timer.due);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes the next timer due at `tick`, dead ones included.
    pub(super) fn pop_due(&mut self, tick: Tick) -> Option<Timer> {
        let Reverse(first) = self.heap.peek()?;
        if first.due > tick {
            return None;
        }
        self.heap.pop().map(|Reverse(timer)| timer)
    }
}
