//! The two digest chains of a run (SEMANTICS D3, D4).
//!
//! ```text
//! tick digest = xxh3-128( previous 16 | tick 8 | facts of the TickOpen record
//!                         | events of the open
//!                         | per microstep: number 8, digest of each turn 16, events of the
//!                           passes in their order
//!                         | agents carried over 8 | state digest 16 )
//! event       = code 8 | subject 8 | a 8 | b 8
//! fuel chain  = xxh3-128( previous 16 | tick 8 | fuel of each turn 8 )
//! ```
//! The first value of both is blake3, cut to 128 bits, of the canonical setup. The state digest
//! is present only in ticks that close a state interval (D5).

use bytemuck::{Pod, bytes_of};
/// Codes of events; those below 32 enter the tick digest.
pub(crate) use wasm_engine_abi::page::event;
use wasm_engine_abi::{Digest, Tick};
use xxhash_rust::xxh3::Xxh3Default;

use crate::trace::TraceBuffer;

/// Bytes that a stream collects before it hashes them.
const STAGE_BYTES: usize = 4 << 10;

/// A hash over bytes that come in small pieces: the hasher is slow for each piece, fast for many.
struct Stream {
    hasher: Box<Xxh3Default>,
    stage: Vec<u8>,
}

impl Stream {
    fn new() -> Self {
        Self { hasher: Box::new(Xxh3Default::new()), stage: Vec::with_capacity(STAGE_BYTES) }
    }

    fn reset(&mut self) {
        self.hasher.reset();
        self.stage.clear();
    }

    /// Adds a few bytes.
    #[inline]
    fn add<T: Pod>(&mut self, value: T) {
        if self.stage.len() + size_of::<T>() > STAGE_BYTES {
            self.flush();
        }
        self.stage.extend_from_slice(bytes_of(&value));
    }

    /// Adds bytes of any number.
    fn add_bytes(&mut self, bytes: &[u8]) {
        self.flush();
        self.hasher.update(bytes);
    }

    fn flush(&mut self) {
        self.hasher.update(&self.stage);
        self.stage.clear();
    }

    fn digest(&mut self) -> Digest {
        self.flush();
        Digest::new(self.hasher.digest128())
    }
}

/// Chains over ticks; one tick is open at a time.
pub(crate) struct DigestChain {
    digest: Digest,
    fuel: Digest,
    tick: Stream,
    tick_fuel: Stream,
    /// What enters the digest as an event enters the trace as well.
    pub(crate) trace: TraceBuffer,
}

impl std::fmt::Debug for DigestChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DigestChain").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl DigestChain {
    /// A chain that begins at `first`.
    pub(crate) fn new(first: Digest) -> Self {
        Self {
            digest: first,
            fuel: first,
            tick: Stream::new(),
            tick_fuel: Stream::new(),
            trace: TraceBuffer::default(),
        }
    }

    /// A chain that goes on behind a tick that was closed so.
    pub(crate) fn behind(digest: Digest, fuel: Digest) -> Self {
        Self { fuel, ..Self::new(digest) }
    }

    /// Digest of the last closed tick.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Fuel chain at the last closed tick.
    pub(crate) fn fuel(&self) -> Digest {
        self.fuel
    }

    pub(crate) fn open(&mut self, tick: Tick, facts: &[u8]) {
        self.trace.open(tick);
        self.tick.reset();
        self.tick.add(self.digest.to_bytes());
        self.tick.add(tick.to_le_bytes());
        self.tick.add_bytes(facts);
        self.tick_fuel.reset();
        self.tick_fuel.add(self.fuel.to_bytes());
        self.tick_fuel.add(tick.to_le_bytes());
    }

    pub(crate) fn microstep(&mut self, number: u32) {
        self.trace.microstep(number);
        self.tick.add(u64::from(number).to_le_bytes());
    }

    #[inline]
    pub(crate) fn turn(&mut self, digest: Digest, fuel: u64) {
        self.tick.add(digest.to_bytes());
        self.tick_fuel.add(fuel.to_le_bytes());
    }

    /// An event with one detail.
    #[inline]
    pub(crate) fn event(&mut self, code: u32, subject: u64, a: u64) {
        self.event_of_two(code, subject, a, 0);
    }

    /// An event with two details.
    #[inline]
    pub(crate) fn event_of_two(&mut self, code: u32, subject: u64, a: u64, b: u64) {
        self.tick.add([u64::from(code), subject, a, b].map(u64::to_le_bytes));
        self.trace.event(code, subject, a, b);
    }

    pub(crate) fn close(&mut self, carried_over: u64, state: Option<Digest>) {
        self.tick.add(carried_over.to_le_bytes());
        if let Some(state) = state {
            self.tick.add(state.to_bytes());
        }
        self.digest = self.tick.digest();
        self.fuel = self.tick_fuel.digest();
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// One tick with everything in it, whose facts are longer than the stage of a stream.
    fn tick(chain: &mut DigestChain, number: Tick, facts: &[u8], state: Option<Digest>) {
        chain.open(number, facts);
        chain.event(event::TIMER, 1, 2);
        chain.microstep(1);
        chain.turn(Digest::new(70), 1000);
        chain.turn(Digest::new(71), 2000);
        chain.event_of_two(event::REFUSED, 3, 4, 5);
        chain.event(event::SPAWNED, 5, 6);
        chain.microstep(2);
        chain.turn(Digest::new(72), 3000);
        chain.close(9, state);
    }

    #[test]
    fn d3_1_d4_1_both_chains_are_hashes_of_the_documented_bytes() {
        let facts: Vec<u8> = (0..STAGE_BYTES + 100).map(|at| at as u8).collect();
        let first = Digest::new(0x1234);
        let mut chain = DigestChain::new(first);
        assert_eq!((chain.digest(), chain.fuel()), (first, first), "one first value for both");
        let (mut digest, mut fuel) = (first, first);
        for (number, state) in [(0, Some(Digest::new(50))), (7, None)] {
            tick(&mut chain, number, &facts, state);
            let mut bytes = digest.to_bytes().to_vec();
            bytes.extend(words(&[number]));
            bytes.extend(&facts);
            bytes.extend(words(&[event::TIMER.into(), 1, 2, 0]));
            // The digests of all turns come first, then the events.
            bytes.extend(words(&[1, 70, 0, 71, 0, event::REFUSED.into(), 3, 4, 5]));
            bytes.extend(words(&[event::SPAWNED.into(), 5, 6, 0, 2, 72, 0, 9]));
            bytes.extend(state.iter().flat_map(|state| state.to_bytes()));
            digest = Digest::new(xxh3_128(&bytes));
            assert_eq!(chain.digest(), digest, "tick {number}");
            let mut bytes = fuel.to_bytes().to_vec();
            bytes.extend(words(&[number, 1000, 2000, 3000]));
            fuel = Digest::new(xxh3_128(&bytes));
            assert_eq!(chain.fuel(), fuel, "tick {number}");
        }
    }

    #[test]
    fn d4_2_fuel_shows_in_its_own_chain_alone() {
        let close = |fuel| {
            let mut chain = DigestChain::new(Digest::new(1));
            chain.open(0, b"");
            chain.microstep(1);
            chain.turn(Digest::new(70), fuel);
            chain.close(0, None);
            (chain.digest(), chain.fuel())
        };
        let (cheap, dear) = (close(10), close(11));
        assert_eq!(cheap.0, dear.0);
        assert_ne!(cheap.1, dear.1);
    }
}
