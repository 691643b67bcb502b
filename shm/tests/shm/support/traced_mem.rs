//! Real memory that tells of each access just before it happens: to count what a side does, or to let
//! another side act in the middle of it.
#![allow(unreachable_pub, reason = "the tests are the only users")]

use std::sync::Arc;
use std::time::Duration;

use wasm_engine_shm::claim::{Protocol, SetupError, Side};
use wasm_engine_shm::mem::{Mem, Ordering, RawMem};
use wasm_engine_shm::site::Site;

/// What is about to happen to the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A word is read, or a window over words is opened for reading.
    Load,
    /// A word is written, or a window over words is opened for writing.
    Store,
}

/// Memory that calls a function before each access. Copies of atomic words are told word by word.
#[derive(Clone)]
pub struct Seen {
    mem: RawMem,
    tell: Arc<dyn Fn(Access) + Send + Sync>,
}

impl Seen {
    pub fn new(mem: RawMem, tell: impl Fn(Access) + Send + Sync + 'static) -> Self {
        Self { mem, tell: Arc::new(tell) }
    }
}

// SAFETY: all accesses are those of the real memory under it; the default copies are made of them.
unsafe impl Mem for Seen {
    type Window<'a> = &'a [u8];
    type WindowMut<'a> = &'a mut [u8];

    fn len_bytes(&self) -> usize {
        self.mem.len_bytes()
    }

    fn slice(&self, offset_bytes: usize, len_bytes: usize) -> Option<Self> {
        let mem = self.mem.slice(offset_bytes, len_bytes)?;
        Some(Self { mem, tell: Arc::clone(&self.tell) })
    }

    fn claim(&self, protocol: Protocol, side: Side) -> Result<(), SetupError> {
        self.mem.claim(protocol, side)
    }

    fn fence(site: Site, order: Ordering) {
        RawMem::fence(site, order);
    }

    fn spin() {
        RawMem::spin();
    }

    fn yield_now() {
        RawMem::yield_now();
    }

    unsafe fn load(&self, word: usize, order: Ordering) -> u64 {
        (self.tell)(Access::Load);
        // SAFETY: the caller's promise.
        unsafe { self.mem.load(word, order) }
    }

    unsafe fn store(&self, word: usize, value: u64, order: Ordering) {
        (self.tell)(Access::Store);
        // SAFETY: the caller's promise.
        unsafe { self.mem.store(word, value, order) }
    }

    unsafe fn get(&self, word: usize) -> u64 {
        (self.tell)(Access::Load);
        // SAFETY: the caller's promise.
        unsafe { self.mem.get(word) }
    }

    unsafe fn put(&self, word: usize, value: u64) {
        (self.tell)(Access::Store);
        // SAFETY: the caller's promise.
        unsafe { self.mem.put(word, value) }
    }

    unsafe fn window(&self, byte: usize, len: usize) -> &[u8] {
        (self.tell)(Access::Load);
        // SAFETY: the caller's promise.
        unsafe { self.mem.window(byte, len) }
    }

    unsafe fn window_mut(&self, byte: usize, len: usize) -> &mut [u8] {
        (self.tell)(Access::Store);
        // SAFETY: the caller's promise.
        unsafe { self.mem.window_mut(byte, len) }
    }

    unsafe fn bell_load(&self, word: usize, order: Ordering) -> u32 {
        (self.tell)(Access::Load);
        // SAFETY: the caller's promise.
        unsafe { self.mem.bell_load(word, order) }
    }

    unsafe fn bell_bump(&self, word: usize, order: Ordering) {
        (self.tell)(Access::Store);
        // SAFETY: the caller's promise.
        unsafe { self.mem.bell_bump(word, order) }
    }

    unsafe fn futex_wait(&self, word: usize, expected: u32, timeout: Option<Duration>) {
        // SAFETY: the caller's promise.
        unsafe { self.mem.futex_wait(word, expected, timeout) }
    }

    unsafe fn futex_wake(&self, word: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.mem.futex_wake(word) }
    }
}
