//! Encodes the facts of a tick, once, for core, digest and log alike (SEMANTICS L1).

use bytemuck::bytes_of;
use wasm_engine_abi::{
    Tick,
    record::{FactHeader, TickOpen},
};

/// Builds `TickOpen` records in one buffer.
#[derive(Debug, Default)]
pub struct FactsBuilder {
    bytes: Vec<u8>,
    open: TickOpen,
}

impl FactsBuilder {
    /// Begins the record of `tick`.
    pub fn begin(&mut self, tick: Tick) {
        self.open = TickOpen { tick, chosen: 0, facts: 0 };
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes_of(&self.open));
    }

    /// Notes that a live fact chose the tick's number (SEMANTICS T5.8).
    pub fn choose(&mut self) {
        self.open.chosen = 1;
    }

    /// Adds a fact, whose length is that of `payload`.
    pub fn push(&mut self, fact: impl Into<FactHeader>, payload: &[u8]) {
        let header = FactHeader { len: payload.len() as u32, ..fact.into() };
        self.bytes.extend_from_slice(bytes_of(&header));
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.open.facts += 1;
    }

    /// The record.
    pub fn finish(&mut self) -> &[u8] {
        self.bytes[..size_of::<TickOpen>()].copy_from_slice(bytes_of(&self.open));
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use wasm_engine_abi::AgentId;
    use wasm_engine_abi::record::{FactFields, Facts, InputFact, ReplyFact};

    use super::*;

    #[test]
    fn l1_1_what_is_built_is_read_back() {
        let mut builder = FactsBuilder::default();
        builder.begin(7);
        let input = InputFact { source: 1, seq: 2, topic: 3 };
        let agent = AgentId::new(4, 5);
        let reply = ReplyFact { agent, request: 6, model: 7, code: -12 };
        builder.push(input, b"seven b");
        builder.push(reply, b"");
        let facts = Facts::parse(builder.finish()).expect("well-formed");
        assert_eq!(facts.open(), TickOpen { tick: 7, chosen: 0, facts: 2 });
        let fields: Vec<_> = facts.iter().map(|fact| fact.header.fields()).collect();
        assert_eq!(fields, [Some(FactFields::Input(input)), Some(FactFields::Reply(reply))]);
        assert_eq!(FactHeader { kind: 77, ..reply.into() }.fields(), None);
        let payloads: Vec<_> = facts.iter().map(|fact| fact.payload).collect();
        assert_eq!(payloads, [b"seven b".as_slice(), b""]);
        builder.begin(8);
        builder.choose();
        builder.push(input, b"");
        let facts = Facts::parse(builder.finish()).expect("well-formed");
        assert_eq!(facts.open(), TickOpen { tick: 8, chosen: 1, facts: 1 });
        builder.begin(9);
        assert_eq!(Facts::parse(builder.finish()).expect("well-formed").open().chosen, 0);
    }
}
