//! The two digest chains of a run (SEMANTICS D3, D4).
//!
//! ```text
//! tick digest = xxh3-128( previous 16 | tick 8 | facts of the TickOpen record
//!                         | events of the open | per microstep: number 8, turn digests 16 each,
//!                           events in pass order | agents carried over 8 | state digest 16 )
//! event       = code 4 | zero 4 | subject 8 | detail 8
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
    /// What enters the digest as an event is told as well.
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

    #[inline]
    pub(crate) fn event(&mut self, code: u32, subject: u64, detail: u64) {
        self.tick.add([u64::from(code).to_le_bytes(), subject.to_le_bytes(), detail.to_le_bytes()]);
        self.trace.event(code, subject, detail, 0);
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
