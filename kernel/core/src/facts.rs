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

    /// Adds a fact; `header.len` is set from `payload`.
    pub fn push(&mut self, header: FactHeader, payload: &[u8]) {
        let header = FactHeader { len: payload.len() as u32, ..header };
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
    use wasm_engine_abi::record::{Facts, fact};

    use super::*;

    #[test]
    fn l1_1_what_is_built_is_read_back() {
        let mut builder = FactsBuilder::default();
        builder.begin(7);
        let header = FactHeader { kind: fact::INPUT, a: 1, b: 2, c: 3, ..FactHeader::default() };
        builder.push(header, b"seven b");
        builder.push(FactHeader { kind: fact::REPLY, ..header }, b"");
        let facts = Facts::parse(builder.finish()).expect("well-formed");
        assert_eq!((facts.open().tick, facts.open().facts), (7, 2));
        let payloads: Vec<_> = facts.iter().map(|fact| fact.payload).collect();
        assert_eq!(payloads, [b"seven b".as_slice(), b""]);
    }
}
