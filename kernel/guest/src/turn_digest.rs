//! The turn digest (SEMANTICS D2): 128 bits that say what one turn did.
//!
//! xxh3-128 over these words, little-endian:
//!
//! ```text
//!  0  microstep | incarnation << 32
//!  1  agent: its address
//!  2  items consumed, the faulting one included | calls << 32
//!  3  received: the hash of the first item's header; with each further one
//!     h = xxh3-64(hash of its header, seed h); 0 for none
//!  4  effects, 0 for a faulted turn | fault << 32, 0 if the turn did not fault
//!  5  the code of each call that returned, two to a word, the last one alone if they are odd:
//!     agent_init | agent_receive ..., agent_step | agent_shutdown
//!  .  the first 56 bytes of each effect, in call order
//! ```
//! The counts make the bytes unambiguous. A call that trapped returned no code: the fault says
//! so. Payloads, log lines among them, enter by their hash, which is part of an effect; where
//! they lie is not (D1). The tick is not in it: the tick digest holds it (D3).
//!
//! What this does not do: fuel has a chain of its own (D4).

use bytemuck::{bytes_of, cast_slice};
use wasm_engine_abi::Digest;
use wasm_engine_abi::frame::Effect;
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
    /// What they were: [`receive`] of each.
    pub(crate) received: u64,
    /// Codes of the calls that returned.
    pub(crate) codes: &'a [i32],
    /// Effects, none if the turn faulted.
    pub(crate) effects: &'a [Effect],
    /// One of [`fault`](wasm_engine_abi::frame::fault).
    pub(crate) fault: u32,
}

/// Names the items that a turn consumed, one more of them: `cause` is the hash of its header. A
/// header holds a hash of its payload, so a changed input shows in the turn of the agent that
/// received it, whatever that agent did with it.
#[inline]
pub(crate) fn receive(received: u64, cause: u64) -> u64 {
    if received == 0 { cause } else { xxh3_64_with_seed(&cause.to_le_bytes(), received) }
}

/// Words before the codes.
const HEAD_WORDS: usize = 5;
/// Words of an effect.
const EFFECT_WORDS: usize = Effect::LOGICAL_BYTES / size_of::<u64>();

/// Computes turn digests in a buffer of its own, which is allocated once. Whole words are written,
/// because words are read: the processor waits where a word is read that was written in parts.
#[derive(Debug, Default)]
pub(crate) struct TurnDigest {
    words: Vec<u64>,
}

impl TurnDigest {
    /// A digest that allocates no more for turns within these numbers.
    pub(crate) fn with_room(calls: usize, effects: usize) -> Self {
        Self { words: vec![0; HEAD_WORDS + calls.div_ceil(2) + EFFECT_WORDS * effects] }
    }

    /// The digest of one turn.
    #[inline]
    pub(crate) fn of(&mut self, facts: &TurnFacts<'_>) -> Digest {
        let TurnFacts { microstep, incarnation, agent, items, received, codes, effects, fault } =
            *facts;
        let pairs = codes.len().div_ceil(2);
        let len = HEAD_WORDS + pairs + EFFECT_WORDS * effects.len();
        if self.words.len() < len {
            self.words.resize(len, 0);
        }
        let words = &mut self.words[..len];
        let (head, rest) = words.split_at_mut(HEAD_WORDS);
        head.copy_from_slice(&[
            pair(microstep, incarnation),
            agent.to_le(),
            pair(items, count(codes.len())),
            received.to_le(),
            pair(count(effects.len()), fault),
        ]);
        let (in_codes, in_effects) = rest.split_at_mut(pairs);
        for (to, codes) in in_codes.iter_mut().zip(codes.chunks(2)) {
            let second = codes.get(1).map_or(0, |code| code.cast_unsigned());
            *to = pair(codes[0].cast_unsigned(), second);
        }
        for (to, effect) in in_effects.chunks_exact_mut(EFFECT_WORDS).zip(effects) {
            to.copy_from_slice(&cast_slice(bytes_of(effect))[..EFFECT_WORDS]);
        }
        Digest::new(xxh3_128(cast_slice(words)))
    }
}

/// Two numbers as one little-endian word.
#[inline]
fn pair(low: u32, high: u32) -> u64 {
    (u64::from(low) | u64::from(high) << 32).to_le()
}

/// Calls and effects of a turn are bounded by `u32` limits.
#[inline]
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
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
    fn d2_1_golden_value_of_the_layout() {
        let mut bytes = Vec::new();
        for word in [1_u32, 2, 3, 0, 1, 2, 4, 5, 1, 0, 0, 7, 2, 3] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        for word in [4_u64, 5, 6, 7, 8, 9] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let digest = TurnDigest::default().of(&FACTS);
        assert_eq!(digest, Digest::new(xxh3_128(&bytes)));
        assert_eq!(digest.to_string(), "0433dbfb336d637434a1d3cf9f871cd2", "breaks D2");
    }

    #[test]
    fn d1_2_d2_1_every_part_counts_and_locations_do_not() {
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
