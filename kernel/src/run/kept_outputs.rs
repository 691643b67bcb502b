//! What ticks published on output topics, kept in memory for a host to read.
//!
//! All of it lies in two buffers that are used again, so keeping an output allocates nothing once
//! they are large enough.

use std::borrow::Cow;

use wasm_engine_abi::{AgentId, Tick};
use wasm_engine_core::Output;
use wasm_engine_setup::Setup;

/// An output without its payload.
#[derive(Clone, Copy, Debug)]
struct Head {
    tick: Tick,
    microstep: u32,
    topic: u32,
    from: AgentId,
    template: u32,
    copy: u32,
    seq: u64,
    /// Where its payload ends; it begins where that of the one before ends.
    end: usize,
}

/// Outputs in the order of their commits.
#[derive(Debug, Default)]
pub(crate) struct KeptOutputs {
    heads: Vec<Head>,
    bytes: Vec<u8>,
    /// What is kept is of ticks before: the next output replaces it.
    old: bool,
}

/// A message on an output topic.
#[derive(Clone, Copy)]
pub struct HostOutput<'a> {
    /// Tick in which it was committed.
    pub tick: Tick,
    /// Microstep in which it was committed.
    pub microstep: u32,
    /// Name of the topic.
    pub topic: &'a str,
    /// Address of the agent that published it.
    pub from: AgentId,
    /// That agent's sequence number.
    pub seq: u64,
    /// Its payload.
    pub payload: &'a [u8],
    setup: &'a Setup,
    template: u32,
    copy: u32,
}

impl<'a> HostOutput<'a> {
    /// Name of the agent that published it; allocates for a spawned one only.
    #[must_use]
    pub fn agent(&self) -> Cow<'a, str> {
        self.setup.agent_name(self.from, self.template, self.copy)
    }
}

impl std::fmt::Debug for HostOutput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostOutput")
            .field("tick", &self.tick)
            .field("topic", &self.topic)
            .field("agent", &self.agent())
            .field("seq", &self.seq)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

impl KeptOutputs {
    /// What is kept now is old: it is forgotten with the next output, or by [`KeptOutputs::renew`].
    pub(crate) fn age(&mut self) {
        self.old = true;
    }

    /// Forgets what is old.
    pub(crate) fn renew(&mut self) {
        if std::mem::take(&mut self.old) {
            self.heads.clear();
            self.bytes.clear();
        }
    }

    pub(crate) fn note(&mut self, output: &Output<'_>) {
        self.renew();
        let Output { tick, microstep, topic, from, template, copy, from_seq: seq, payload } =
            *output;
        self.bytes.extend_from_slice(payload);
        let end = self.bytes.len();
        self.heads.push(Head { tick, microstep, topic, from, template, copy, seq, end });
    }

    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// All from position `first` on.
    pub(crate) fn iter<'a>(
        &'a self,
        setup: &'a Setup,
        first: usize,
    ) -> impl Iterator<Item = HostOutput<'a>> {
        let heads = self.heads.get(first..).unwrap_or_default();
        heads.iter().enumerate().map(move |(at, head)| {
            let before = (first + at).checked_sub(1);
            let begin = before.map_or(0, |before| self.heads[before].end);
            let Head { tick, microstep, topic, from, template, copy, seq, end } = *head;
            let topic = setup.topics[topic as usize].name.as_str();
            let payload = &self.bytes[begin..end];
            HostOutput { tick, microstep, topic, from, seq, payload, setup, template, copy }
        })
    }
}
