//! Memory that another process writes too, and that need not keep to the protocol.
//!
//! Between threads of one process a ring's bytes are read in place: the producer does not touch
//! what it has published. Of another process nobody knows that. So here each access is a relaxed
//! access to a word, a header is read once, and what a ring gives to read in place is a copy: the
//! other side can write nonsense, never change what was checked. The protocols run unchanged.
//!
//! What this does not do: nothing is written in place through it, so no producer can be opened.

use core::time::Duration;

use crate::mem::{Mem, Ordering, RawMem, WORD};
use crate::side::{Protocol, SetupError, Side};
use crate::site::Site;

/// A range of real memory that another process may write at any time.
#[derive(Clone, Debug)]
pub struct ForeignMem(RawMem);

impl ForeignMem {
    /// The same memory, distrusted.
    #[must_use]
    pub fn new(mem: RawMem) -> Self {
        Self(mem)
    }
}

// SAFETY: words are those of the memory inside, whose promises hold; plain words are accessed as
// atomic ones of the same width, everywhere in this process, since no other handle can lease them;
// a window is a copy of exactly the bytes asked for.
unsafe impl Mem for ForeignMem {
    type Window<'a> = Vec<u8>;
    type WindowMut<'a> = &'a mut [u8];

    #[inline(always)]
    fn len_bytes(&self) -> usize {
        self.0.len_bytes()
    }

    fn slice(&self, offset_bytes: usize, len_bytes: usize) -> Option<Self> {
        self.0.slice(offset_bytes, len_bytes).map(Self)
    }

    fn lease(&self, protocol: Protocol, side: Side) -> Result<(), SetupError> {
        // A producer would write in place.
        if (protocol, side) == (Protocol::BytesProducer, Side::Writer) {
            return Err(SetupError::ReadOnly { protocol });
        }
        self.0.lease(protocol, side)
    }

    #[inline(always)]
    fn fence(site: Site, order: Ordering) {
        RawMem::fence(site, order);
    }

    #[inline(always)]
    fn spin() {
        RawMem::spin();
    }

    fn yield_now() {
        RawMem::yield_now();
    }

    #[inline(always)]
    unsafe fn load(&self, word: usize, order: Ordering) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { self.0.load(word, order) }
    }

    #[inline(always)]
    unsafe fn store(&self, word: usize, value: u64, order: Ordering) {
        // SAFETY: the caller's promise.
        unsafe { self.0.store(word, value, order) }
    }

    #[inline]
    unsafe fn copy_out(&self, word: usize, dst: &mut [u8]) {
        // SAFETY: the caller's promise.
        unsafe { self.0.copy_out(word, dst) }
    }

    #[inline(always)]
    unsafe fn get(&self, word: usize) -> u64 {
        // Relaxed: a plain word of the protocol, which the cursors order.
        // SAFETY: the word is used as here by all handles of this process.
        unsafe { self.0.load(word, Ordering::Relaxed) }
    }

    #[inline(always)]
    unsafe fn put(&self, word: usize, value: u64) {
        // Relaxed: as in `get`.
        // SAFETY: as in `get`.
        unsafe { self.0.store(word, value, Ordering::Relaxed) }
    }

    #[inline]
    unsafe fn window(&self, byte: usize, len: usize) -> Vec<u8> {
        assert!(byte.is_multiple_of(WORD), "payloads begin at a word");
        let mut copy = vec![0; len];
        // SAFETY: the words are used as in `get`; a range outside panics.
        unsafe { self.0.copy_out(byte / WORD, &mut copy) };
        copy
    }

    unsafe fn window_mut(&self, _byte: usize, _len: usize) -> &mut [u8] {
        unreachable!("`lease` admits nobody who writes in place");
    }

    #[inline(always)]
    fn prefetch(&self, byte: usize) {
        self.0.prefetch(byte);
    }

    unsafe fn bell_load(&self, word: usize, order: Ordering) -> u32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.bell_load(word, order) }
    }

    unsafe fn bell_bump(&self, word: usize, order: Ordering) {
        // SAFETY: the caller's promise.
        unsafe { self.0.bell_bump(word, order) }
    }

    unsafe fn futex_wait(&self, word: usize, expected: u32, timeout: Option<Duration>) {
        // SAFETY: the caller's promise.
        unsafe { self.0.futex_wait(word, expected, timeout) }
    }

    unsafe fn futex_wake(&self, word: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.0.futex_wake(word) }
    }
}
