//! The state digest (SEMANTICS D5): xxh3-128 over the memory, its length as `u64`, then each
//! mutable global in index order as 16 bytes, zero-extended.

use std::ops::Range;

use wasm_engine_abi::Digest;
use xxhash_rust::xxh3::Xxh3Default;

use crate::image::ZEROS;

/// The state digest of a memory whose clean pages are not read: that would map them.
#[derive(Default)]
pub(crate) struct StateDigest {
    hasher: Xxh3Default,
    /// Bytes hashed so far.
    len: usize,
}

impl StateDigest {
    /// The next run of dirty bytes.
    pub(crate) fn run(&mut self, memory: &[u8], run: Range<usize>) {
        self.zeros(run.start);
        self.hasher.update(&memory[run.clone()]);
        self.len = run.end;
    }

    /// Zeros up to `end`.
    fn zeros(&mut self, end: usize) {
        while self.len < end {
            let count = ZEROS.len().min(end - self.len);
            self.hasher.update(&ZEROS[..count]);
            self.len += count;
        }
    }

    pub(crate) fn finish(mut self, memory: &[u8], globals: &[u128]) -> Digest {
        self.zeros(memory.len());
        self.hasher.update(&(memory.len() as u64).to_le_bytes());
        for value in globals {
            self.hasher.update(&value.to_le_bytes());
        }
        Digest::new(self.hasher.digest128())
    }
}
