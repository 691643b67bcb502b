//! The spill: payloads that outlive a microstep, in chained 64-byte blocks.
//!
//! ```text
//!  block 0 | block 1 | ... | block n-1 | next 0 | next 1 | ... | next n-1
//!  64 bytes of payload each            | one word each: the block that follows in its chain
//! ```
//! Written by one lane (the scheduler), read by all lanes. A payload of any length fits wherever
//! enough blocks are free, in any order: fragmentation never decides anything. Free list and chains
//! are also kept in the writer's private memory; what lies here is a copy for readers.
//!
//! As in the [`outbox`](crate::outbox), the rings order all accesses: a lane reads a chain between
//! a command that names it and the results that follow, and the scheduler releases it after it has
//! collected those results. The words are Relaxed atomics: if that order were broken, a reader
//! would see garbage, never undefined behaviour.
//!
//! What this does not do: it counts no references and knows no owner of a payload.

use crate::lease::{Leased, Protocol, SetupError, Side, check_range};
use crate::mem::{ALIGN, Mem, Ordering, WORD};
use crate::outbox::{BLOCK, BLOCKS_MAX, BlockOutOfRange, OutboxReader};

/// Bytes per block, with its `next` word.
const COST: usize = BLOCK + WORD;

/// The private `next` of a block that is free.
const FREE: u32 = u32::MAX;

/// The `next` of the last block of a chain.
const END: u32 = u32::MAX - 1;

/// Bytes of a spill of `blocks` blocks.
///
/// # Errors
/// [`SetupError::Parameter`] if there are none or too many.
pub fn layout(blocks: usize) -> Result<usize, SetupError> {
    let max = BLOCKS_MAX - 2;
    check_range(Protocol::Spill, "blocks", blocks as u64, 1, max)?;
    Ok((blocks * COST).next_multiple_of(ALIGN))
}

/// Blocks that memory of `len` bytes holds.
fn blocks_in(len: usize) -> Result<usize, SetupError> {
    let blocks = len / COST;
    check_range(Protocol::Spill, "blocks", blocks as u64, 1, BLOCKS_MAX - 2)?;
    Ok(blocks)
}

/// A chain does not exist or is shorter than its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no payload of {len} bytes at block {first} of the spill")]
pub struct NoChain {
    /// First block named.
    pub first: u32,
    /// Bytes named.
    pub len: usize,
}

/// The writing side.
#[derive(Debug)]
pub struct Spill<M: Mem> {
    held: Leased<M>,
    /// Stack of free blocks; lowest numbers on top at the start.
    free: Vec<u32>,
    /// Chains, as in the shared words.
    next: Vec<u32>,
}

impl<M: Mem> Spill<M> {
    /// Leases the spill over memory of [`layout`]. Allocates its private lists, once.
    ///
    /// # Errors
    /// [`SetupError`] if the memory is too small or leased.
    pub fn new(mem: M) -> Result<Self, SetupError> {
        let blocks = blocks_in(mem.len_bytes())?;
        let held = Leased::new(mem, Protocol::Spill, Side::Writer)?;
        // `blocks_in` keeps the count below `FREE`, so numbers fit.
        let free = (0..blocks as u32).rev().collect();
        Ok(Self { held, free, next: vec![FREE; blocks] })
    }

    /// Copies a payload in; returns its first block, or `None` if too few blocks are free. An empty
    /// payload takes one block, so that it has a name.
    #[must_use]
    pub fn retain(&mut self, payload: &[u8]) -> Option<u32> {
        self.retain_with(payload.len(), |at, chunk| {
            chunk.copy_from_slice(&payload[at..at + chunk.len()]);
        })
    }

    /// As [`Spill::retain`], with bytes that `fill(at, chunk)` produces: `chunk` is the part of the
    /// payload from byte `at` on, at most 64 bytes, in order.
    #[must_use]
    pub fn retain_with(
        &mut self,
        len: usize,
        mut fill: impl FnMut(usize, &mut [u8]),
    ) -> Option<u32> {
        let count = chain_len(len);
        if count > self.free.len() {
            return None;
        }
        let mut chunk = [0; BLOCK];
        let mut before = END;
        let mut first = END;
        for index in 0..count {
            let block = self.free.pop()?;
            let at = index * BLOCK;
            let part = &mut chunk[..(len - at).min(BLOCK)];
            fill(at, part);
            self.held.copy_in(block as usize * (BLOCK / WORD), part);
            debug_assert!(self.next[block as usize] == FREE, "a free block is in a chain");
            if index == 0 {
                first = block
            } else {
                self.link(before, block)
            }
            before = block;
        }
        self.link(before, END);
        Some(first)
    }

    /// As [`Spill::retain`], from an outbox.
    ///
    /// # Errors
    /// [`BlockOutOfRange`] if the payload named does not lie in the outbox; nothing is retained
    /// then.
    pub fn retain_from(
        &mut self,
        outbox: &OutboxReader<M>,
        block: u32,
        len: usize,
    ) -> Result<Option<u32>, BlockOutOfRange> {
        outbox.check(block, len)?;
        Ok(self.retain_with(len, |at, chunk| {
            let from = block + (at / BLOCK) as u32;
            let copied = outbox.copy_to(from, chunk);
            debug_assert!(copied.is_ok(), "the whole payload was checked");
        }))
    }

    /// Releases the blocks of a payload.
    ///
    /// # Errors
    /// [`NoChain`] if there is no such payload (released before, or another length); nothing is
    /// released then.
    pub fn release(&mut self, first: u32, len: usize) -> Result<(), NoChain> {
        let count = chain_len(len);
        let mut block = first;
        for _ in 0..count {
            block = match self.next.get(block as usize) {
                None | Some(&FREE) => return Err(NoChain { first, len }),
                Some(next) => *next,
            };
        }
        if block != END {
            return Err(NoChain { first, len });
        }
        block = first;
        for _ in 0..count {
            let next = core::mem::replace(&mut self.next[block as usize], FREE);
            self.free.push(block);
            block = next;
        }
        debug_assert!(self.free.len() <= self.next.len(), "more blocks free than there are");
        Ok(())
    }

    /// Blocks free.
    #[must_use]
    pub fn free_blocks(&self) -> usize {
        self.free.len()
    }

    /// Copies a payload out on the writer's side.
    ///
    /// # Errors
    /// [`NoChain`].
    pub fn copy_to(&self, first: u32, dst: &mut [u8]) -> Result<(), NoChain> {
        let next = |block: u32| u64::from(self.next[block as usize]);
        walk(&self.held, self.next.len(), first, dst, next)
    }

    fn link(&mut self, from: u32, to: u32) {
        self.next[from as usize] = to;
        let word = self.next.len() * (BLOCK / WORD) + from as usize;
        // Relaxed: the command that names the chain publishes it.
        self.held.store(word, u64::from(to), Ordering::Relaxed);
    }
}

/// Blocks of the chain of a payload.
#[must_use]
#[inline]
pub fn chain_len(len: usize) -> usize {
    len.div_ceil(BLOCK).max(1)
}

/// The reading side: any lane, any number.
#[derive(Debug)]
pub struct SpillReader<M: Mem> {
    held: Leased<M>,
    blocks: usize,
}

impl<M: Mem> SpillReader<M> {
    /// Opens the spill for reading.
    ///
    /// # Errors
    /// [`SetupError`] if the memory is too small or used otherwise.
    pub fn new(mem: M) -> Result<Self, SetupError> {
        let blocks = blocks_in(mem.len_bytes())?;
        Ok(Self { held: Leased::new(mem, Protocol::Spill, Side::Watcher)?, blocks })
    }

    /// Copies the payload that starts at a block into `dst`, whose length is that of the payload.
    ///
    /// # Errors
    /// [`NoChain`] if the chain leaves the spill or ends early; `dst` is then partly written.
    #[inline]
    pub fn copy_to(&self, first: u32, dst: &mut [u8]) -> Result<(), NoChain> {
        let base = self.blocks * (BLOCK / WORD);
        // Relaxed: published by the command that named the chain.
        let next = |block: u32| self.held.load(base + block as usize, Ordering::Relaxed);
        walk(&self.held, self.blocks, first, dst, next)
    }
}

/// Copies along a chain; the length bounds the walk, so a chain in a circle ends too.
#[inline]
fn walk<M: Mem>(
    held: &Leased<M>,
    blocks: usize,
    first: u32,
    dst: &mut [u8],
    next: impl Fn(u32) -> u64,
) -> Result<(), NoChain> {
    let len = dst.len();
    let mut block = u64::from(first);
    let mut previous = None;
    for chunk in dst.chunks_mut(BLOCK) {
        if let Some(previous) = previous {
            block = next(previous);
        }
        let Some(index) = u32::try_from(block).ok().filter(|b| (*b as usize) < blocks) else {
            return Err(NoChain { first, len });
        };
        held.copy_out(index as usize * (BLOCK / WORD), chunk);
        previous = Some(index);
    }
    Ok(())
}
