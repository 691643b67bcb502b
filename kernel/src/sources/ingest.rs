//! Inputs get their tick: what is due, what was left over, what fits (SEMANTICS T5, T7).

use std::collections::VecDeque;

use wasm_engine_abi::{
    Tick,
    limits::{BLOCK_BYTES, blocks},
    record::{FactHeader, fact},
};

use crate::sources::csv::CsvSource;
use wasm_engine_core::FactsBuilder;
use wasm_engine_setup::Limits;

/// An input that was due and did not fit into its tick.
#[derive(Debug)]
struct Left {
    header: FactHeader,
    payload: Vec<u8>,
}

/// All sources of a run and the remainder of the last tick.
#[derive(Debug)]
pub(crate) struct Ingest {
    sources: Vec<CsvSource>,
    left: VecDeque<Left>,
    inputs_max: u32,
    blocks_max: u32,
    scratch: Vec<u8>,
}

/// What still fits into the tick being opened.
struct Room {
    inputs: u32,
    blocks: u32,
}

impl Room {
    fn take(&mut self, payload_bytes: usize) -> bool {
        let need = blocks(payload_bytes as u32);
        if self.inputs == 0 || self.blocks < need {
            return false;
        }
        self.inputs -= 1;
        self.blocks -= need;
        true
    }
}

impl Ingest {
    pub(crate) fn new(sources: Vec<CsvSource>, limits: &Limits) -> Self {
        Self {
            sources,
            left: VecDeque::new(),
            inputs_max: limits.inputs_per_tick_max,
            blocks_max: limits.input_bytes_per_tick_max / BLOCK_BYTES,
            scratch: Vec::new(),
        }
    }

    /// The first tick after `after` at which an input enters, none when every source is closed.
    pub(crate) fn next_due(&self, after: Tick) -> Option<Tick> {
        if !self.left.is_empty() {
            return Some(after + 1);
        }
        self.sources.iter().filter_map(|source| source.next_due(after)).min()
    }

    /// The last tick at which an input is due.
    pub(crate) fn last_tick(&self) -> Option<Tick> {
        self.sources.iter().map(CsvSource::last_tick).max()
    }

    /// Inputs left over.
    pub(crate) fn left(&self) -> usize {
        self.left.len()
    }

    /// Adds the inputs of `tick` to its facts: the last tick's remainder, then by source, then by
    /// source sequence, as far as they fit (T7).
    pub(crate) fn enter(&mut self, tick: Tick, facts: &mut FactsBuilder) {
        let mut room = Room { inputs: self.inputs_max, blocks: self.blocks_max };
        while let Some(first) = self.left.front() {
            if !room.take(first.payload.len()) {
                break;
            }
            facts.push(first.header, &first.payload);
            self.left.pop_front();
        }
        let Self { sources, left, scratch, .. } = self;
        for (number, source) in sources.iter().enumerate() {
            source.inputs_at(tick, scratch, |due| {
                let header = FactHeader {
                    kind: fact::INPUT,
                    a: number as u64,
                    b: due.seq,
                    c: due.topic,
                    ..FactHeader::default()
                };
                if left.is_empty() && room.take(due.payload.len()) {
                    facts.push(header, due.payload);
                } else {
                    left.push_back(Left { header, payload: due.payload.to_vec() });
                }
            });
        }
    }
}
