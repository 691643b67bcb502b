//! The series of JSON lines and of a folder: inputs one after the other, each with its tick.
//!
//! Every input was read before tick 0, so that what follows is a pure function of the tick, and
//! nothing that happens to the files later can change it.

use wasm_engine_abi::ids::Tick;

use crate::sources::grid::Grid;
use crate::sources::payload::Due;
use crate::sources::streams::Streams;

/// An input of a list.
#[derive(Clone, Copy, Debug)]
struct Listed {
    /// The source's own tick, at least 1.
    tick: Tick,
    stream: u32,
    /// Where its payload ends; it begins where that of the one before ends.
    end: usize,
}

/// The longest input of a list, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Longest {
    pub(crate) bytes: u32,
    /// The file, with the line where it holds several.
    pub(crate) from: String,
}

/// Inputs in the order of their ticks.
#[derive(Clone, Default)]
pub(crate) struct List {
    /// The periods, where lines carry times.
    pub(crate) grid: Option<Grid>,
    pub(crate) longest: Longest,
    inputs: Vec<Listed>,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "List({} inputs, {} bytes)", self.inputs.len(), self.bytes.len())
    }
}

impl List {
    /// Adds an input, whose tick is not before that of the last.
    pub(crate) fn push(
        &mut self,
        tick: Tick,
        stream: u32,
        payload: &[u8],
        from: impl FnOnce() -> String,
    ) {
        let bytes = payload.len() as u32;
        if bytes > self.longest.bytes || self.inputs.is_empty() {
            self.longest = Longest { bytes, from: from() };
        }
        self.bytes.extend_from_slice(payload);
        self.inputs.push(Listed { tick, stream, end: self.bytes.len() });
    }

    /// Whether there is no input.
    pub(crate) fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Bytes of all payloads.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The last own tick.
    pub(crate) fn last(&self) -> Tick {
        self.inputs.last().map_or(0, |input| input.tick)
    }

    fn lead(&self) -> u64 {
        self.grid.map_or(0, |grid| grid.lead)
    }

    /// The last tick at which an input is due.
    pub(crate) fn last_tick(&self) -> Tick {
        self.lead() + self.last()
    }

    /// The first tick after `after` at which an input is due.
    pub(crate) fn next_due(&self, after: Tick) -> Option<Tick> {
        let own = after.saturating_sub(self.lead());
        let index = self.inputs.partition_point(|input| input.tick <= own);
        self.inputs.get(index).map(|input| self.lead() + input.tick)
    }

    /// How many inputs enter before `tick`.
    pub(crate) fn first_seq(&self, tick: Tick) -> u64 {
        let own = tick.saturating_sub(self.lead());
        self.inputs.partition_point(|input| input.tick < own) as u64
    }

    /// Gives the inputs of `tick` to `enter`, in their order.
    pub(crate) fn inputs_at(&self, tick: Tick, streams: &Streams, mut enter: impl FnMut(Due<'_>)) {
        let own = tick.saturating_sub(self.lead());
        let first = self.inputs.partition_point(|input| input.tick < own);
        let mut begin = first.checked_sub(1).map_or(0, |before| self.inputs[before].end);
        for (seq, input) in (first as u64..).zip(&self.inputs[first..]) {
            if input.tick != own {
                break;
            }
            let Listed { stream, end, .. } = *input;
            let payload = &self.bytes[begin..end];
            enter(Due { topic: streams.topic_of(stream), stream, seq, payload });
            begin = end;
        }
    }
}
