//! The fingerprint of what other processes read.

use crate::counter;
use crate::page::{AgentRow, Field, KernelPage, LaneRow, ModelRow, RingRow, TraceEvent, section};

/// Fingerprint of the published structs and the counters, stored in the region header.
///
/// FNV-1a over names, offsets, sizes and section ids: what a reader of another build would misread.
pub const SCHEMA: u64 = {
    let mut hash = FNV_START;
    hash = fingerprint(hash, "kernel", section::KERNEL, KernelPage::FIELDS);
    hash = fingerprint(hash, "agent", section::AGENTS, AgentRow::FIELDS);
    hash = fingerprint(hash, "lane", section::LANES, LaneRow::FIELDS);
    hash = fingerprint(hash, "model", section::MODELS, ModelRow::FIELDS);
    hash = fingerprint(hash, "ring", section::RINGS, RingRow::FIELDS);
    hash = fingerprint(hash, "names", section::NAMES, &[]);
    hash = fingerprint(hash, "trace", section::TRACE, TraceEvent::FIELDS);
    counters(hash)
};

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a of a number's bytes.
const fn mix(hash: u64, value: u64) -> u64 {
    let bytes = value.to_le_bytes();
    let (mut hash, mut i) = (hash, 0);
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(FNV_PRIME);
        i += 1;
    }
    hash
}

/// FNV-1a of a text and its length.
const fn mix_text(hash: u64, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let (mut hash, mut i) = (mix(hash, bytes.len() as u64), 0);
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(FNV_PRIME);
        i += 1;
    }
    hash
}

const fn fingerprint(hash: u64, name: &str, id: u32, fields: &[Field]) -> u64 {
    let mut hash = mix(mix_text(hash, name), id as u64);
    let mut i = 0;
    while i < fields.len() {
        let field = &fields[i];
        hash = mix_text(hash, field.name);
        hash = mix(hash, field.offset as u64);
        hash = mix(hash, (field.bytes as u64) << 8 | field.word as u64);
        i += 1;
    }
    hash
}

/// Mixes in the counters that the kernel's page holds.
const fn counters(hash: u64) -> u64 {
    let (mut hash, mut i) = (hash, 0);
    while i < counter::KERNEL.len() {
        let counter = &counter::KERNEL[i];
        hash = mix(mix_text(hash, counter.name), counter.offset as u64);
        i += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_a_field_changes_the_fingerprint() {
        let field = Field { name: "tick", offset: 8, bytes: 8, word: 8, doc: "" };
        let base = fingerprint(1, "row", 2, &[field]);
        for other in [
            fingerprint(1, "row", 3, &[field]),
            fingerprint(1, "page", 2, &[field]),
            fingerprint(1, "row", 2, &[Field { name: "tack", ..field }]),
            fingerprint(1, "row", 2, &[Field { offset: 16, ..field }]),
            fingerprint(1, "row", 2, &[Field { bytes: 16, ..field }]),
            fingerprint(1, "row", 2, &[Field { word: 4, ..field }]),
            fingerprint(1, "row", 2, &[field, field]),
        ] {
            assert_ne!(base, other);
        }
        let same = fingerprint(1, "row", 2, &[Field { doc: "said better", ..field }]);
        assert_eq!(base, same, "words are not bytes");
    }
}
