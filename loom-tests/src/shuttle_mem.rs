//! Memory for random schedules at real sizes.
//!
//! Every access to an atomic or doorbell word is a point where shuttle may switch threads. Its
//! atomics know one order only, so weak orderings are not seen here: that is loom's part. What is
//! seen is the algorithm at sizes that loom cannot afford: deadlocks, loops that never end, records
//! lost, windows that overlap in time.
//!
//! Plain words are copied into a window and back when it ends; while it lives they count as read or
//! written, and any other access panics.

use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex as Private, MutexGuard as PrivateGuard, PoisonError};
use std::time::Duration;

use shuttle::sync::atomic::{AtomicU32, AtomicU64};
use shuttle::sync::{Condvar, Mutex};
use wasm_engine_shm::lease::{LeaseList, Protocol, SetupError, Side};
use wasm_engine_shm::mem::{Mem, Ordering, WORD};
use wasm_engine_shm::site::Site;

use crate::class::{Class, Classed};

enum ShuttleWord {
    Unused,
    Atomic(AtomicU64),
    Plain,
    Bell(Box<Bell>),
}

/// A doorbell word and what stands for the futex.
struct Bell {
    epoch: AtomicU32,
    mutex: Mutex<()>,
    condvar: Condvar,
}

impl Bell {
    fn new() -> Self {
        Self { epoch: AtomicU32::new(0), mutex: Mutex::new(()), condvar: Condvar::new() }
    }
}

/// The plain words: contents, and how often each is held for reading, or -1 for writing.
struct Plain {
    bytes: Vec<u8>,
    held: Vec<i32>,
}

impl Plain {
    fn hold(&mut self, words: Range<usize>, write: bool) {
        for word in words {
            let held = &mut self.held[word];
            let free = if write { *held == 0 } else { *held >= 0 };
            assert!(free, "plain word {word} is touched by two sides at once");
            *held = if write { -1 } else { *held + 1 };
        }
    }

    fn let_go(&mut self, words: Range<usize>) {
        for word in words {
            let held = &mut self.held[word];
            *held = if *held < 0 { 0 } else { *held - 1 };
        }
    }
}

struct ShuttleBlock {
    words: Vec<ShuttleWord>,
    /// Not shuttle's lock: no thread is switched while it is held.
    plain: Private<Plain>,
    leases: Private<LeaseList>,
}

/// Memory whose every atomic access is a point of scheduling.
#[derive(Clone)]
pub struct ShuttleMem {
    inner: Arc<ShuttleBlock>,
    start: usize,
    len: usize,
}

impl ShuttleMem {
    /// Zeroed memory of `len_bytes`, whose words have the classes given. To be made inside a test.
    #[must_use]
    pub fn new(len_bytes: usize, class: impl Fn(usize) -> Class) -> Self {
        let count = len_bytes / WORD;
        let make = |word| match class(word) {
            Class::Unused => ShuttleWord::Unused,
            Class::Atomic | Class::Alike => ShuttleWord::Atomic(AtomicU64::new(0)),
            Class::Plain => ShuttleWord::Plain,
            Class::Bell => ShuttleWord::Bell(Box::new(Bell::new())),
        };
        let words = (0..count).map(make).collect();
        let plain = Private::new(Plain { bytes: vec![0; len_bytes], held: vec![0; count] });
        let leases = Private::new(LeaseList::default());
        Self { inner: Arc::new(ShuttleBlock { words, plain, leases }), start: 0, len: count }
    }

    /// Memory of which all words are atomic.
    #[must_use]
    pub fn atomic(len_bytes: usize) -> Self {
        Self::new(len_bytes, |_| Class::Atomic)
    }

    fn word(&self, word: usize) -> &ShuttleWord {
        assert!(word < self.len, "word {word} is out of range");
        &self.inner.words[self.start + word]
    }

    fn atomic_word(&self, word: usize) -> &AtomicU64 {
        match self.word(word) {
            ShuttleWord::Atomic(cell) => cell,
            _ => panic!("word {word} is not atomic"),
        }
    }

    fn bell(&self, word: usize) -> &Bell {
        match self.word(word) {
            ShuttleWord::Bell(bell) => bell,
            _ => panic!("word {word} is not a doorbell"),
        }
    }

    fn plain(&self) -> PrivateGuard<'_, Plain> {
        self.inner.plain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the plain bytes of a range and copies them.
    fn hold(&self, byte: usize, len: usize, write: bool) -> ShuttleWindow<'_> {
        let start = self.start * WORD + byte;
        let words = start / WORD..(start + len).div_ceil(WORD);
        for word in words.clone() {
            assert!(
                matches!(self.inner.words[word], ShuttleWord::Plain),
                "word {word} is not plain"
            );
        }
        let mut plain = self.plain();
        plain.hold(words.clone(), write);
        ShuttleWindow { mem: self, bytes: plain.bytes[start..start + len].to_vec(), start, words }
    }
}

/// A window for reading: the words count as read for as long as it lives.
pub struct ShuttleWindow<'a> {
    mem: &'a ShuttleMem,
    bytes: Vec<u8>,
    start: usize,
    words: Range<usize>,
}

impl Deref for ShuttleWindow<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for ShuttleWindow<'_> {
    fn drop(&mut self) {
        self.mem.plain().let_go(self.words.clone());
    }
}

/// A window for writing: the bytes are there when it ends.
pub struct ShuttleWindowMut<'a>(ShuttleWindow<'a>);

impl Deref for ShuttleWindowMut<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for ShuttleWindowMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0.bytes
    }
}

impl Drop for ShuttleWindowMut<'_> {
    fn drop(&mut self) {
        let ShuttleWindow { mem, bytes, start, .. } = &self.0;
        mem.plain().bytes[*start..*start + bytes.len()].copy_from_slice(bytes);
    }
}

// SAFETY: atomic words are shuttle's atomics; plain words lie in one block, are checked to be
// touched by one side at a time, and windows are copies; ranges are checked.
unsafe impl Mem for ShuttleMem {
    type Window<'a> = ShuttleWindow<'a>;
    type WindowMut<'a> = ShuttleWindowMut<'a>;

    fn len_bytes(&self) -> usize {
        self.len * WORD
    }

    fn slice(&self, offset_bytes: usize, len_bytes: usize) -> Option<Self> {
        let (start, len) = (offset_bytes / WORD, len_bytes / WORD);
        (start + len <= self.len).then(|| Self {
            inner: Arc::clone(&self.inner),
            start: self.start + start,
            len,
        })
    }

    fn lease(&self, protocol: Protocol, side: Side) -> Result<(), SetupError> {
        let (offset, end) = (self.start * WORD, (self.start + self.len) * WORD);
        let mut list = self.inner.leases.lock().unwrap_or_else(PoisonError::into_inner);
        list.enter(protocol, side, offset, end)
    }

    fn fence(_site: Site, _order: Ordering) {}

    fn spin() {
        shuttle::thread::yield_now();
    }

    fn yield_now() {
        shuttle::thread::yield_now();
    }

    unsafe fn load(&self, word: usize, order: Ordering) -> u64 {
        self.atomic_word(word).load(order)
    }

    unsafe fn store(&self, word: usize, value: u64, order: Ordering) {
        self.atomic_word(word).store(value, order);
    }

    unsafe fn get(&self, word: usize) -> u64 {
        let mut bytes = [0; WORD];
        bytes.copy_from_slice(&self.hold(word * WORD, WORD, false));
        u64::from_ne_bytes(bytes)
    }

    unsafe fn put(&self, word: usize, value: u64) {
        let mut window = ShuttleWindowMut(self.hold(word * WORD, WORD, true));
        window.copy_from_slice(&value.to_ne_bytes());
    }

    unsafe fn window(&self, byte: usize, len: usize) -> ShuttleWindow<'_> {
        self.hold(byte, len, false)
    }

    unsafe fn window_mut(&self, byte: usize, len: usize) -> ShuttleWindowMut<'_> {
        ShuttleWindowMut(self.hold(byte, len, true))
    }

    unsafe fn bell_load(&self, word: usize, order: Ordering) -> u32 {
        self.bell(word).epoch.load(order)
    }

    unsafe fn bell_bump(&self, word: usize, order: Ordering) {
        self.bell(word).epoch.fetch_add(1, order);
    }

    unsafe fn futex_wait(&self, word: usize, expected: u32, _timeout: Option<Duration>) {
        let Bell { epoch, mutex, condvar } = self.bell(word);
        let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        if epoch.load(Ordering::SeqCst) == expected {
            drop(condvar.wait(guard));
        }
    }

    unsafe fn futex_wake(&self, word: usize) {
        let Bell { mutex, condvar, .. } = self.bell(word);
        let _guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        condvar.notify_all();
    }
}

impl Classed for ShuttleMem {
    fn classed(len_bytes: usize, class: impl Fn(usize) -> Class) -> Self {
        Self::new(len_bytes, class)
    }
}
