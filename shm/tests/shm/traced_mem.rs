//! Real memory that reports each access just before it happens: to count what a side does, or to
//! let another side act in the middle of it.

use std::sync::Arc;
use std::time::Duration;

use wasm_engine_shm::lease::{Protocol, SetupError, Side};
use wasm_engine_shm::mem::{Mem, Ordering, RawMem};
use wasm_engine_shm::site::Site;

/// What is about to happen to the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// A word is read, or a window over words is opened for reading.
    Load,
    /// A word is written, or a window over words is opened for writing.
    Store,
}

/// Memory that calls a function before each access. Copies of atomic words are reported word by
/// word.
#[derive(Clone)]
pub(crate) struct TracedMem {
    mem: RawMem,
    on_access: Arc<dyn Fn(Access) + Send + Sync>,
}

impl TracedMem {
    pub(crate) fn new(mem: RawMem, on_access: impl Fn(Access) + Send + Sync + 'static) -> Self {
        Self { mem, on_access: Arc::new(on_access) }
    }
}

// SAFETY: all accesses are those of the real memory under it; the default copies are made of them.
unsafe impl Mem for TracedMem {
    type Window<'a> = &'a [u8];
    type WindowMut<'a> = &'a mut [u8];

    fn len_bytes(&self) -> usize {
        self.mem.len_bytes()
    }

    fn slice(&self, offset_bytes: usize, len_bytes: usize) -> Option<Self> {
        let mem = self.mem.slice(offset_bytes, len_bytes)?;
        Some(Self { mem, on_access: Arc::clone(&self.on_access) })
    }

    fn lease(&self, protocol: Protocol, side: Side) -> Result<(), SetupError> {
        self.mem.lease(protocol, side)
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
        (self.on_access)(Access::Load);
        // SAFETY: the caller's promise.
        unsafe { self.mem.load(word, order) }
    }

    unsafe fn store(&self, word: usize, value: u64, order: Ordering) {
        (self.on_access)(Access::Store);
        // SAFETY: the caller's promise.
        unsafe { self.mem.store(word, value, order) }
    }

    unsafe fn get(&self, word: usize) -> u64 {
        (self.on_access)(Access::Load);
        // SAFETY: the caller's promise.
        unsafe { self.mem.get(word) }
    }

    unsafe fn put(&self, word: usize, value: u64) {
        (self.on_access)(Access::Store);
        // SAFETY: the caller's promise.
        unsafe { self.mem.put(word, value) }
    }

    unsafe fn window(&self, byte: usize, len: usize) -> &[u8] {
        (self.on_access)(Access::Load);
        // SAFETY: the caller's promise.
        unsafe { self.mem.window(byte, len) }
    }

    unsafe fn window_mut(&self, byte: usize, len: usize) -> &mut [u8] {
        (self.on_access)(Access::Store);
        // SAFETY: the caller's promise.
        unsafe { self.mem.window_mut(byte, len) }
    }

    unsafe fn bell_load(&self, word: usize, order: Ordering) -> u32 {
        (self.on_access)(Access::Load);
        // SAFETY: the caller's promise.
        unsafe { self.mem.bell_load(word, order) }
    }

    unsafe fn bell_bump(&self, word: usize, order: Ordering) {
        (self.on_access)(Access::Store);
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
