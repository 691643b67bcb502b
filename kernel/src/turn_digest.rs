//! The turn digest (SEMANTICS D2): 128 bits that say what one turn did.
//!
//! xxh3-128 over these bytes, little-endian, without padding between them:
//!
//! ```text
//!  microstep   u32    incarnation u32    agent u64 (its address)
//!  items       u32    items consumed, the faulting one included
//!  received    u64    their headers in order: h = xxh3-64(header, seed h), from 0
//!  calls       u32    then one i32 for each call that returned, in call order:
//!                     agent_init | agent_receive ..., agent_step | agent_shutdown
//!  effects     u32    then the first 56 bytes of each effect, in call order;
//!                     0 for a faulted turn
//!  fault       u32    0 if the turn did not fault
//! ```
//! The counts make the bytes unambiguous. A call that trapped returned no code: the fault says
//! so. Payloads, log lines among them, enter by their hash, which is part of an effect; where
//! they lie is not (D1). The tick is not in it: the tick digest holds it (D3).
//!
//! What this does not do: fuel has a chain of its own (D4).

use bytemuck::bytes_of;
use wasm_engine_abi::Digest;
use wasm_engine_abi::frame::{Effect, ItemFrame};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// What a turn did, as far as its digest says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnFacts<'a> {
    /// Microstep.
    pub(crate) microstep: u32,
    /// Incarnation of the agent.
    pub(crate) incarnation: u32,
    /// Address of the agent.
    pub(crate) agent: u64,
    /// Items consumed.
    pub(crate) items: u32,
    /// What they were: [`received`] of their headers.
    pub(crate) received: u64,
    /// Codes of the calls that returned.
    pub(crate) codes: &'a [i32],
    /// Effects, none if the turn faulted.
    pub(crate) effects: &'a [Effect],
    /// One of [`fault`](wasm_engine_abi::frame::fault).
    pub(crate) fault: u32,
}

/// Names the items that a turn consumed. A header holds a hash of its payload, so a changed input
/// shows in the turn of the agent that received it, whatever that agent did with it.
#[inline]
pub(crate) fn received(items: &[ItemFrame]) -> u64 {
    items.iter().fold(0, |hash, item| xxh3_64_with_seed(bytes_of(&item.header), hash))
}

/// Computes turn digests in a buffer of its own, which is allocated once.
#[derive(Debug, Default)]
pub(crate) struct TurnDigest {
    bytes: Vec<u8>,
}

impl TurnDigest {
    /// Bytes around the codes and effects.
    const FIXED_BYTES: usize = 40;

    /// A digest that allocates no more for turns within these numbers.
    pub(crate) fn with_room(calls: usize, effects: usize) -> Self {
        let bytes = Self::FIXED_BYTES + 4 * calls + Effect::LOGICAL_BYTES * effects;
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// The digest of one turn.
    #[inline]
    pub(crate) fn of(&mut self, facts: &TurnFacts<'_>) -> Digest {
        let TurnFacts { microstep, incarnation, agent, items, received, codes, effects, fault } =
            *facts;
        let bytes = &mut self.bytes;
        bytes.clear();
        let mut head = [0; 32];
        head[..4].copy_from_slice(&microstep.to_le_bytes());
        head[4..8].copy_from_slice(&incarnation.to_le_bytes());
        head[8..16].copy_from_slice(&agent.to_le_bytes());
        head[16..20].copy_from_slice(&items.to_le_bytes());
        head[20..28].copy_from_slice(&received.to_le_bytes());
        head[28..].copy_from_slice(&count(codes.len()));
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(bytemuck::cast_slice(codes));
        bytes.extend_from_slice(&count(effects.len()));
        for effect in effects {
            bytes.extend_from_slice(&bytes_of(effect)[..Effect::LOGICAL_BYTES]);
        }
        bytes.extend_from_slice(&fault.to_le_bytes());
        Digest::new(xxh3_128(bytes))
    }
}

/// Calls and effects of a turn are bounded by `u32` limits.
#[inline]
fn count(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EFFECT: Effect = Effect {
        kind: 2,
        len: 3,
        seq: 4,
        target: 5,
        arg: 6,
        hash: 7,
        cause: 8,
        trace: 9,
        block: 10,
        reserved: 0,
    };
    const FACTS: TurnFacts<'_> = TurnFacts {
        microstep: 1,
        incarnation: 2,
        agent: 3,
        items: 1,
        received: 0x5_0000_0004,
        codes: &[0, 7],
        effects: &[EFFECT],
        fault: 0,
    };

    #[test]
    fn golden_value_of_the_layout() {
        let mut bytes = Vec::new();
        for word in [1_u32, 2, 3, 0, 1, 4, 5, 2, 0, 7, 1, 2, 3] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        for word in [4_u64, 5, 6, 7, 8, 9] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        let digest = TurnDigest::default().of(&FACTS);
        assert_eq!(digest, Digest::new(xxh3_128(&bytes)));
        assert_eq!(digest.to_string(), "2fedea8d69b8603d62eec9c7fa3a9ed4", "breaks D2");
    }

    #[test]
    fn every_part_counts_and_places_do_not() {
        let mut digest = TurnDigest::with_room(4, 4);
        let base = digest.of(&FACTS);
        let others = [
            TurnFacts { microstep: 9, ..FACTS },
            TurnFacts { incarnation: 9, ..FACTS },
            TurnFacts { agent: 9, ..FACTS },
            TurnFacts { items: 9, ..FACTS },
            TurnFacts { received: 9, ..FACTS },
            TurnFacts { codes: &[0], ..FACTS },
            TurnFacts { effects: &[], ..FACTS },
            TurnFacts { fault: 9, ..FACTS },
        ];
        for other in others {
            assert_ne!(digest.of(&other), base, "{other:?}");
        }
        let elsewhere = [Effect { block: 99, ..EFFECT }];
        assert_eq!(digest.of(&TurnFacts { effects: &elsewhere, ..FACTS }), base, "D1");
        assert_eq!(digest.of(&FACTS), base);
    }
}
