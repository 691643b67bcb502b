//! The outbox of a lane: payload bytes with one writer, read by all lanes one microstep later.
//!
//! ```text
//!  half 0: payloads of even epochs | half 1: payloads of odd epochs      blocks of 64 bytes
//! ```
//! A payload is written once, in whole 64-byte blocks, and named by its first block. An epoch is a
//! microstep of the run, counted without gaps; epoch `e` uses half `e mod 2`. Beginning epoch `e`
//! discards everything of epoch `e - 2`, unconditionally.
//!
//! # Why no word here has an ordering
//! The rings between scheduler and lanes order all accesses:
//! 1. a lane writes payloads in epoch `e`, then publishes its results (Release on the result ring);
//! 2. the scheduler collects the results of *all* lanes (Acquire), then dispatches epoch `e + 1`
//!    with descriptors into any outbox (Release on the command ring): so a reader, which takes its
//!    commands with Acquire, reads in epoch `e + 1` what was written before;
//! 3. a lane begins epoch `e + 2`, in the half of `e`, only on a command of epoch `e + 2`, which
//!    the scheduler sends after it has collected all results of epoch `e + 1`: so every read of
//!    epoch `e`'s payloads comes before the first write that replaces them.
//!
//! Nothing but that order makes a read meaningful, so the words are Relaxed atomics all the same: a
//! scheduler that broke it would move garbage, which the payload hash shows, and never undefined
//! behaviour. The model in `loom-tests` shows a broken order as a wrong value.
//!
//! What this does not do: no free list, no per-payload release, no knowledge of who reads.

use crate::lease::{Leased, Protocol, SetupError, Side, check_range};
use crate::mem::{ALIGN, Mem, WORD};

/// Bytes in a block, the unit in which payloads are charged and named.
pub const BLOCK: usize = 64;

/// Largest outbox in blocks: block numbers are 32 bits.
pub const BLOCKS_MAX: u64 = u32::MAX as u64;

/// Bytes of an outbox whose halves hold `half_bytes` each, in whole blocks of payload.
///
/// # Errors
/// [`SetupError::Parameter`] if the half is empty or the outbox exceeds [`BLOCKS_MAX`].
pub fn layout(half_bytes: usize) -> Result<usize, SetupError> {
    let max = BLOCKS_MAX / 2 * BLOCK as u64 - ALIGN as u64;
    check_range(Protocol::Outbox, "half in bytes", half_bytes as u64, 1, max)?;
    Ok(half_bytes.next_multiple_of(ALIGN) * 2)
}

/// Blocks that a payload of `len` bytes takes.
#[must_use]
#[inline]
pub fn blocks(len: usize) -> usize {
    len.div_ceil(BLOCK)
}

fn check_len(len: usize) -> Result<(), SetupError> {
    let (need, protocol) = (layout(len / 2)?, Protocol::Outbox);
    if need == len { Ok(()) } else { Err(SetupError::Size { protocol, need, have: len }) }
}

/// The writing side: the lane that owns the outbox.
#[derive(Debug)]
pub struct OutboxWriter<M: Mem> {
    held: Leased<M>,
    /// Blocks in a half.
    half: usize,
    /// Next free block.
    next: usize,
    /// First block after the current half.
    end: usize,
}

impl<M: Mem> OutboxWriter<M> {
    /// Leases the outbox; the first epoch is 0 until another is begun.
    ///
    /// # Errors
    /// [`SetupError`] if the memory has not the length of a [`layout`] or is leased.
    pub fn new(mem: M) -> Result<Self, SetupError> {
        check_len(mem.len_bytes())?;
        let half = mem.len_bytes() / BLOCK / 2;
        let held = Leased::new(mem, Protocol::Outbox, Side::Writer)?;
        Ok(Self { held, half, next: 0, end: half })
    }

    /// Begins an epoch: its half is empty again.
    #[inline]
    pub fn begin(&mut self, epoch: u64) {
        let first = if epoch.is_multiple_of(2) { 0 } else { self.half };
        self.next = first;
        self.end = first + self.half;
    }

    /// Copies a payload in; returns its first block, or `None` if the half has no room for it. An
    /// empty payload takes no room.
    #[must_use]
    #[inline]
    pub fn write(&mut self, payload: &[u8]) -> Option<u32> {
        let first = self.take(payload.len())?;
        self.held.copy_in(first * (BLOCK / WORD), payload);
        u32::try_from(first).ok()
    }

    /// Room for a payload that arrives in pieces; they are appended with [`Draft::append`].
    #[must_use]
    pub fn draft(&mut self, len: usize) -> Option<Draft<'_, M>> {
        let first = self.take(len)?;
        Some(Draft { held: &self.held, first, at: 0, len })
    }

    /// Bytes free in the current half, in whole blocks.
    #[must_use]
    #[inline]
    pub fn free_bytes(&self) -> usize {
        (self.end - self.next) * BLOCK
    }

    #[inline(always)]
    fn take(&mut self, len: usize) -> Option<usize> {
        let need = blocks(len);
        if need > self.end - self.next {
            return None;
        }
        debug_assert!(self.next <= self.end, "more blocks used than a half has");
        let first = self.next;
        self.next += need;
        Some(first)
    }
}

/// A payload being written piece by piece, so that the caller can hash each piece while it is warm.
#[derive(Debug)]
pub struct Draft<'a, M: Mem> {
    held: &'a Leased<M>,
    first: usize,
    at: usize,
    len: usize,
}

impl<M: Mem> Draft<'_, M> {
    /// Appends a piece. Every piece but the last has a multiple of 8 bytes.
    ///
    /// # Panics
    /// If the pieces exceed the length reserved or an inner one is not a multiple of 8.
    #[inline]
    pub fn append(&mut self, piece: &[u8]) {
        assert!(piece.len() <= self.len - self.at, "more bytes than were reserved");
        assert!(self.at.is_multiple_of(WORD), "only the last piece may have a partial word");
        self.held.copy_in(self.first * (BLOCK / WORD) + self.at / WORD, piece);
        self.at += piece.len();
    }

    /// First block of the payload.
    #[must_use]
    pub fn block(&self) -> u32 {
        // A whole outbox has at most `BLOCKS_MAX` blocks (checked when it was opened).
        self.first as u32
    }
}

/// A payload's descriptor names blocks outside the outbox: it is corrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("block {block} with {len} bytes lies outside an outbox of {blocks} blocks")]
pub struct BlockOutOfRange {
    /// First block named.
    pub block: u32,
    /// Bytes named.
    pub len: usize,
    /// Blocks of the outbox.
    pub blocks: usize,
}

/// The reading side: any lane, any number.
#[derive(Debug)]
pub struct OutboxReader<M: Mem> {
    held: Leased<M>,
    blocks: usize,
}

impl<M: Mem> OutboxReader<M> {
    /// Opens the outbox for reading.
    ///
    /// # Errors
    /// [`SetupError`] if the memory has not the length of a [`layout`] or is used otherwise.
    pub fn new(mem: M) -> Result<Self, SetupError> {
        check_len(mem.len_bytes())?;
        let blocks = mem.len_bytes() / BLOCK;
        Ok(Self { held: Leased::new(mem, Protocol::Outbox, Side::Watcher)?, blocks })
    }

    /// Copies the payload that starts at a block into `dst`, whose length is that of the payload.
    /// Meaningful in the microstep after the payload was written (see the module's text).
    ///
    /// # Errors
    /// [`BlockOutOfRange`]; `dst` is unchanged.
    #[inline]
    pub fn copy_to(&self, block: u32, dst: &mut [u8]) -> Result<(), BlockOutOfRange> {
        self.check(block, dst.len())?;
        if !dst.is_empty() {
            self.held.copy_out(block as usize * (BLOCK / WORD), dst);
        }
        Ok(())
    }

    /// Whether a payload of `len` bytes can lie at a block.
    ///
    /// # Errors
    /// [`BlockOutOfRange`] if not.
    #[inline]
    pub fn check(&self, block: u32, len: usize) -> Result<(), BlockOutOfRange> {
        if blocks(len) > self.blocks.saturating_sub(block as usize) {
            return Err(BlockOutOfRange { block, len, blocks: self.blocks });
        }
        Ok(())
    }
}
