//! The model checker's memory.
//!
//! Each word has a [`Class`], given when the memory is made, and only the accesses of that class
//! are allowed: this is the rule "atomic or plain, never both" as an assertion. Plain words lie in
//! one contiguous block, so that windows are slices; beside each stands a loom cell that is held
//! read or write for as long as a window over the word lives. A record that outlives its release,
//! or a write before the space is free, is reported there.
//!
//! Leases are entered in the same list as on real memory, under a lock that loom sees.
//!
//! The futex is a mutex and a condition variable. That orders a little more than the real one does,
//! which is why the protocol may rely on nothing but the comparison.

use std::cell::UnsafeCell as UnsafeWord;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::atomic::{AtomicU64 as PlainAtomic, AtomicUsize};
use std::sync::{Arc, Mutex as Private, OnceLock, PoisonError};
use std::time::Duration;

use loom::cell::{ConstPtr, MutPtr, UnsafeCell};
use loom::sync::atomic::{AtomicU32, AtomicU64};
use loom::sync::{Condvar, Mutex};
use wasm_engine_shm::lease::{LeaseList, Protocol, SetupError, Side};
use wasm_engine_shm::mem::{Mem, Ordering, WORD};
use wasm_engine_shm::site::Site;

use crate::class::{Class, Classed};
use crate::mutant::{self, Mutant, Role, StoreEffect};

enum LoomWord {
    Unused,
    Atomic(AtomicU64),
    Alike(PlainAtomic),
    Plain(UnsafeCell<()>),
    Bell(AtomicU32, Mutex<()>, Condvar),
}

struct LoomBlock {
    words: Vec<LoomWord>,
    /// Contents of the plain words, at their indices.
    plain: Box<[UnsafeWord<u64>]>,
    leases: Mutex<LeaseList>,
}

// SAFETY: `plain` is only touched while the loom cell of each word touched is held, and loom
// reports any access that is not ordered.
unsafe impl Send for LoomBlock {}
// SAFETY: as above.
unsafe impl Sync for LoomBlock {}

/// Memory whose every access loom sees.
pub struct LoomMem {
    inner: Arc<LoomBlock>,
    start: usize,
    len: usize,
    handle: Handle,
}

/// What one handle is used for; only mutants read it, and loom need not see it.
#[derive(Default)]
struct Handle {
    role: OnceLock<(Protocol, Side)>,
    /// Marks seen by a first load, for mutants that leave out the second.
    seen: Private<Vec<(usize, u64)>>,
}

impl Clone for LoomMem {
    /// Another handle, not yet leased.
    fn clone(&self) -> Self {
        let inner = Arc::clone(&self.inner);
        Self { inner, start: self.start, len: self.len, handle: Handle::default() }
    }
}

impl LoomMem {
    /// Zeroed memory of `len_bytes`, whose words have the classes given. To be made inside a model.
    #[must_use]
    pub fn new(len_bytes: usize, class: impl Fn(usize) -> Class) -> Self {
        let count = len_bytes / WORD;
        let make = |word| match class(word) {
            Class::Unused => LoomWord::Unused,
            Class::Atomic => LoomWord::Atomic(AtomicU64::new(0)),
            Class::Alike => LoomWord::Alike(PlainAtomic::new(0)),
            Class::Plain => LoomWord::Plain(UnsafeCell::new(())),
            Class::Bell => LoomWord::Bell(AtomicU32::new(0), Mutex::new(()), Condvar::new()),
        };
        let words = (0..count).map(make).collect();
        let plain = (0..count).map(|_| UnsafeWord::new(0)).collect();
        let leases = Mutex::new(LeaseList::default());
        let inner = Arc::new(LoomBlock { words, plain, leases });
        Self { inner, start: 0, len: count, handle: Handle::default() }
    }

    /// Memory of which all words are atomic.
    #[must_use]
    pub fn atomic(len_bytes: usize) -> Self {
        Self::new(len_bytes, |_| Class::Atomic)
    }

    fn word(&self, word: usize) -> &LoomWord {
        assert!(word < self.len, "word {word} is out of range");
        &self.inner.words[self.start + word]
    }

    fn atomic_word(&self, word: usize) -> &AtomicU64 {
        match self.word(word) {
            LoomWord::Atomic(cell) => cell,
            _ => panic!("word {word} is not atomic"),
        }
    }

    fn plain_word(&self, word: usize) -> &UnsafeCell<()> {
        match self.word(word) {
            LoomWord::Plain(cell) => cell,
            _ => panic!("word {word} is not plain"),
        }
    }

    fn bell_word(&self, word: usize) -> (&AtomicU32, &Mutex<()>, &Condvar) {
        match self.word(word) {
            LoomWord::Bell(epoch, mutex, condvar) => (epoch, mutex, condvar),
            _ => panic!("word {word} is not a doorbell"),
        }
    }

    fn role(&self) -> Role {
        self.handle.role.get().copied()
    }

    /// What the first load of a mark returned, instead of the second.
    fn second_load(&self, word: usize, value: u64) -> u64 {
        let mut seen = self.handle.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.iter().position(|(at, _)| *at == word) {
            Some(at) => seen.swap_remove(at).1,
            None => {
                seen.push((word, value));
                value
            }
        }
    }

    /// Words that a range of bytes touches.
    fn touched(byte: usize, len: usize) -> std::ops::Range<usize> {
        byte / WORD..(byte + len).div_ceil(WORD)
    }

    /// Address of plain bytes.
    fn bytes(&self, byte: usize, len: usize) -> *mut u8 {
        assert!(byte + len <= self.len * WORD, "bytes out of range");
        let start = self.inner.plain.as_ptr().cast::<u8>().cast_mut();
        // SAFETY: the bytes lie inside the block, checked above.
        unsafe { start.add(self.start * WORD + byte) }
    }
}

/// A window for reading: loom sees a read that lasts as long as this lives.
pub struct LoomWindow<'a> {
    bytes: &'a [u8],
    _held: Vec<ConstPtr<()>>,
}

impl Deref for LoomWindow<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

/// A window for writing: loom sees a write that lasts as long as this lives.
pub struct LoomWindowMut<'a> {
    bytes: &'a mut [u8],
    _held: Vec<MutPtr<()>>,
}

impl Deref for LoomWindowMut<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl DerefMut for LoomWindowMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes
    }
}

/// The site that is weakened, as its index in [`Site::ALL`] plus one; 0 for none.
static WEAKENED: AtomicUsize = AtomicUsize::new(0);

/// The line of the use that is weakened; 0 for all uses of the site.
static USE: AtomicUsize = AtomicUsize::new(0);

/// Weakens a site for the rest of the process, all its uses or the one on a line of its file: an
/// access becomes Relaxed, an acquire or release fence disappears, a sequentially consistent fence
/// becomes acquire and release.
pub fn weaken(site: Site, line: Option<usize>) {
    let number = Site::ALL.iter().position(|s| *s == site).map_or(0, |index| index + 1);
    WEAKENED.store(number, Ordering::Relaxed);
    USE.store(line.unwrap_or(0), Ordering::Relaxed);
}

fn is_weak(site: Site, line: u32) -> bool {
    let number = WEAKENED.load(Ordering::Relaxed);
    let used = USE.load(Ordering::Relaxed);
    number > 0 && Site::ALL[number - 1] == site && (used == 0 || used == line as usize)
}

// SAFETY: atomic words are loom atomics, plain words lie in one block that lives as long as any
// handle; ranges are checked; loom reports races of plain accesses.
unsafe impl Mem for LoomMem {
    type Window<'a> = LoomWindow<'a>;
    type WindowMut<'a> = LoomWindowMut<'a>;

    fn len_bytes(&self) -> usize {
        self.len * WORD
    }

    fn slice(&self, offset_bytes: usize, len_bytes: usize) -> Option<Self> {
        let (start, len) = (offset_bytes / WORD, len_bytes / WORD);
        (start + len <= self.len).then(|| Self {
            inner: Arc::clone(&self.inner),
            start: self.start + start,
            len,
            handle: Handle::default(),
        })
    }

    fn lease(&self, protocol: Protocol, side: Side) -> Result<(), SetupError> {
        let (offset, end) = (self.start * WORD, (self.start + self.len) * WORD);
        let Ok(mut list) = self.inner.leases.lock() else { panic!("a lease panicked") };
        if mutant::injected() == Some(Mutant::LeaseInTwoSteps) {
            let mut copy = list.clone();
            drop(list);
            copy.enter(protocol, side, offset, end)?;
            let Ok(mut list) = self.inner.leases.lock() else { panic!("a lease panicked") };
            *list = copy;
        } else {
            list.enter(protocol, side, offset, end)?;
        }
        // The first lease of a handle decides its role.
        let _ = self.handle.role.set((protocol, side));
        Ok(())
    }

    #[track_caller]
    fn ord(site: Site, order: Ordering) -> Ordering {
        if is_weak(site, Location::caller().line()) { Ordering::Relaxed } else { order }
    }

    fn fence(site: Site, order: Ordering) {
        // Each fence has a site of its own, and its caller is not the protocol: no line.
        match (is_weak(site, 0), order) {
            (true, Ordering::SeqCst) => loom::sync::atomic::fence(Ordering::AcqRel),
            (true, _) => {}
            (false, order) => loom::sync::atomic::fence(order),
        }
    }

    fn spin() {
        loom::thread::yield_now();
    }

    fn yield_now() {
        loom::thread::yield_now();
    }

    unsafe fn load(&self, word: usize, order: Ordering) -> u64 {
        if let LoomWord::Alike(cell) = self.word(word) {
            return cell.load(Ordering::Relaxed);
        }
        let value = mutant::loaded(self.role(), self.atomic_word(word).load(order));
        if mutant::loads_once(self.role(), word) { self.second_load(word, value) } else { value }
    }

    unsafe fn store(&self, word: usize, value: u64, order: Ordering) {
        match mutant::stored(self.role(), word, value) {
            StoreEffect::As(value) => match self.word(word) {
                LoomWord::Alike(cell) => cell.store(value, Ordering::Relaxed),
                _ => self.atomic_word(word).store(value, order),
            },
            StoreEffect::Dropped => {}
            StoreEffect::After(before, with) => {
                self.atomic_word(before).store(with, Ordering::Release);
                self.atomic_word(word).store(value, order);
            }
        }
    }

    unsafe fn get(&self, word: usize) -> u64 {
        let word_at = self.inner.plain[self.start + word].get();
        // SAFETY: loom has checked that nobody writes the word now.
        self.plain_word(word).with(|_| unsafe { word_at.read() })
    }

    unsafe fn put(&self, word: usize, value: u64) {
        let word_at = self.inner.plain[self.start + word].get();
        // SAFETY: loom has checked that nobody touches the word now.
        self.plain_word(word).with_mut(|_| unsafe { word_at.write(value) });
    }

    unsafe fn window(&self, byte: usize, len: usize) -> LoomWindow<'_> {
        let held = Self::touched(byte, len).map(|word| self.plain_word(word).get()).collect();
        let start = self.bytes(byte, len);
        // SAFETY: the bytes lie in the block; loom holds every word touched as read.
        let bytes = unsafe { std::slice::from_raw_parts(start, len) };
        LoomWindow { bytes, _held: held }
    }

    unsafe fn window_mut(&self, byte: usize, len: usize) -> LoomWindowMut<'_> {
        let held = Self::touched(byte, len).map(|word| self.plain_word(word).get_mut()).collect();
        let start = self.bytes(byte, len);
        // SAFETY: the bytes lie in the block; loom holds every word touched as written.
        let bytes = unsafe { std::slice::from_raw_parts_mut(start, len) };
        LoomWindowMut { bytes, _held: held }
    }

    unsafe fn bell_load(&self, word: usize, order: Ordering) -> u32 {
        self.bell_word(word).0.load(order)
    }

    unsafe fn bell_bump(&self, word: usize, order: Ordering) {
        if mutant::injected() != Some(Mutant::EpochBumpMissing) {
            self.bell_word(word).0.fetch_add(1, order);
        }
    }

    unsafe fn futex_wait(&self, word: usize, expected: u32, _timeout: Option<Duration>) {
        let (epoch, mutex, condvar) = self.bell_word(word);
        let Ok(guard) = mutex.lock() else { return };
        // The kernel compares under its own lock, with the newest value: an addition of zero reads
        // it.
        if epoch.fetch_add(0, Ordering::Relaxed) == expected {
            drop(condvar.wait(guard));
        }
    }

    unsafe fn futex_wake(&self, word: usize) {
        let (_, mutex, condvar) = self.bell_word(word);
        if mutant::injected() == Some(Mutant::WakeMissing) {
            return;
        }
        let Ok(_guard) = mutex.lock() else { return };
        condvar.notify_all();
    }
}

impl Classed for LoomMem {
    fn classed(len_bytes: usize, class: impl Fn(usize) -> Class) -> Self {
        Self::new(len_bytes, class)
    }
}
