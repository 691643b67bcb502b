//! Memory as the protocols see it.
//!
//! A protocol is written once, over [`Mem`]: an array of 64-bit words, some of which are used as
//! 32-bit doorbell words, some of which are plain bytes whose owner changes by agreement. What
//! ships is [`RawMem`], a pointer and a length over a mapping or the heap, whose methods compile to
//! bare moves, and [`ReadMem`] for monitors, which can only watch. A model checker brings its own
//! `Mem` and runs the same source.
//!
//! Rules for a word, for life:
//! - atomic (`load`, `store`, `copy_*`), or plain (`get`, `put`, `window*`), or doorbell (`bell_*`,
//!   32 bits): never two of them, because overlapping accesses of different size or kind are
//!   undefined behaviour when they race;
//! - a read-only mapping is read with Relaxed loads of at most 8 bytes followed by
//!   `fence(Acquire)`, never with Acquire loads and never with read-modify-write: this is what the
//!   language guarantees for read-only pages.
//!
//! What this file does not do: it knows no protocol and no hardware.

use core::ops::{Deref, DerefMut};
use std::time::Duration;

pub use core::sync::atomic::Ordering;

pub use crate::raw::RawMem;
pub use crate::read_map::ReadMem;
use crate::side::{Protocol, SetupError, Side};
use crate::site::Site;

/// Alignment of every section and block, in bytes: two cache lines, because the adjacent-line
/// prefetcher pairs lines.
pub const ALIGN: usize = 128;

/// Bytes in a word.
pub const WORD: usize = 8;

/// Memory that a protocol runs on.
///
/// # Safety
/// An implementation keeps every word at one address, returns from `load` and `get` what `store`
/// and `put` left there under the memory model of the orderings given, and returns windows over
/// exactly the bytes asked for. Atomic and doorbell accesses out of range panic. `len_bytes` never
/// changes.
pub unsafe trait Mem: Clone + Send + Sync {
    /// Bytes being read in place.
    type Window<'a>: Deref<Target = [u8]>
    where
        Self: 'a;
    /// Bytes being written in place.
    type WindowMut<'a>: DerefMut<Target = [u8]>
    where
        Self: 'a;

    /// Length in bytes; a multiple of 8.
    fn len_bytes(&self) -> usize;

    /// A part of this memory, or `None` if it does not lie inside or is not 8-aligned.
    fn slice(&self, offset_bytes: usize, len_bytes: usize) -> Option<Self>;

    /// Registers a side of a protocol on this memory.
    ///
    /// # Errors
    /// [`SetupError::Taken`] if the side exists, [`SetupError::ReadOnly`] for any side but a
    /// watcher on a read-only mapping.
    fn lease(&self, protocol: Protocol, side: Side) -> Result<(), SetupError>;

    /// The ordering to use at a site. A model may weaken it; memory that ships returns it
    /// unchanged.
    #[inline(always)]
    fn ord(site: Site, order: Ordering) -> Ordering {
        let _ = site;
        order
    }

    /// A fence at a site. A model may leave it out.
    fn fence(site: Site, order: Ordering);

    /// A pause in a spinning loop.
    fn spin();

    /// Lets other threads run.
    fn yield_now();

    /// Loads an atomic word.
    ///
    /// # Safety
    /// The word is only used atomically.
    ///
    /// # Panics
    /// If the word is out of range.
    unsafe fn load(&self, word: usize, order: Ordering) -> u64;

    /// Stores an atomic word.
    ///
    /// # Safety
    /// The word is only used atomically and the memory is writable.
    ///
    /// # Panics
    /// If the word is out of range.
    unsafe fn store(&self, word: usize, value: u64, order: Ordering);

    /// Copies atomic words out with Relaxed loads.
    ///
    /// # Safety
    /// The words are only used atomically.
    ///
    /// # Panics
    /// If the words are out of range.
    unsafe fn copy_out(&self, word: usize, dst: &mut [u8]) {
        for (index, chunk) in dst.chunks_mut(WORD).enumerate() {
            // SAFETY: the caller's promise covers all words of the copy.
            let value = unsafe { self.load(word + index, Ordering::Relaxed) };
            chunk.copy_from_slice(&value.to_ne_bytes()[..chunk.len()]);
        }
    }

    /// Copies bytes into atomic words with Relaxed stores; a partial last word is filled with
    /// zeros.
    ///
    /// # Safety
    /// The words are only used atomically and the memory is writable.
    ///
    /// # Panics
    /// If the words are out of range.
    unsafe fn copy_in(&self, word: usize, src: &[u8]) {
        for (index, chunk) in src.chunks(WORD).enumerate() {
            let mut bytes = [0; WORD];
            bytes[..chunk.len()].copy_from_slice(chunk);
            // SAFETY: the caller's promise covers all words of the copy.
            unsafe { self.store(word + index, u64::from_ne_bytes(bytes), Ordering::Relaxed) };
        }
    }

    /// Loads a plain word.
    ///
    /// # Safety
    /// The word is in range and only used plainly, and nobody writes it now.
    unsafe fn get(&self, word: usize) -> u64;

    /// Stores a plain word.
    ///
    /// # Safety
    /// The word is in range and only used plainly, nobody else touches it now, and the memory is
    /// writable.
    unsafe fn put(&self, word: usize, value: u64);

    /// Plain bytes to read in place.
    ///
    /// # Safety
    /// The bytes are in range, the words touched are only used plainly, and nobody writes them
    /// while the window lives.
    unsafe fn window(&self, byte: usize, len: usize) -> Self::Window<'_>;

    /// Plain bytes to write in place.
    ///
    /// # Safety
    /// The bytes are in range, the words touched are only used plainly, nobody else touches them
    /// while the window lives, and the memory is writable.
    unsafe fn window_mut(&self, byte: usize, len: usize) -> Self::WindowMut<'_>;

    /// Asks for the cache line of a byte that will be read soon. No access: it changes nothing and
    /// orders nothing, and any byte may be named.
    #[inline(always)]
    fn prefetch(&self, byte: usize) {
        let _ = byte;
    }

    /// Loads a doorbell word: the 32 bits at the start of `word`.
    ///
    /// # Safety
    /// The word is only used as a doorbell word.
    ///
    /// # Panics
    /// If the word is out of range.
    unsafe fn bell_load(&self, word: usize, order: Ordering) -> u32;

    /// Adds one to a doorbell word.
    ///
    /// # Safety
    /// The word is only used as a doorbell word and the memory is writable.
    ///
    /// # Panics
    /// If the word is out of range.
    unsafe fn bell_bump(&self, word: usize, order: Ordering);

    /// Sleeps while the doorbell word equals `expected`, at most `timeout`. May return early.
    ///
    /// # Safety
    /// The word is only used as a doorbell word.
    ///
    /// # Panics
    /// If the word is out of range.
    unsafe fn futex_wait(&self, word: usize, expected: u32, timeout: Option<Duration>);

    /// Wakes all sleepers on the doorbell word, in all processes.
    ///
    /// # Safety
    /// The word is only used as a doorbell word.
    ///
    /// # Panics
    /// If the word is out of range.
    unsafe fn futex_wake(&self, word: usize);
}

/// Words as bytes.
#[inline(always)]
pub(crate) fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: any byte of a `u64` is a valid `u8`, the length in bytes is that of the words.
    unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

/// Words as bytes, to be filled.
#[inline(always)]
pub(crate) fn bytes_of_mut(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: as above, and any bytes are a valid `u64`.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
}
