//! Real memory: the only file that names hardware atomics and fences.
//!
//! A [`RawMem`] is a range of a heap block or a mapping. The backing carries the list of leases
//! (see [`crate::lease`]), so that all handles to the same bytes agree on who holds what.
//!
//! Bulk copies are word copies too: on x86-64 in assembly (the compiler does not vectorise relaxed
//! loops), elsewhere and without the feature `asm-copy` in a loop. Both are relaxed 8-byte
//! accesses, so a copy that races with a writer is garbage, never undefined, and the sequence check
//! behind it throws the garbage away.
//!
//! What this file does not do: it knows no protocol; it never waits except in `futex_wait`.

#![expect(clippy::disallowed_types, reason = "this is the file that names them")]

use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::sync::Arc;
use std::time::Duration;

use memmap2::MmapRaw;

use crate::lease::Leases;
use crate::mem::{ALIGN, Mem, Ordering, WORD};
use crate::os;
use crate::side::{Protocol, SetupError, Side};
use crate::site::Site;

/// What keeps the bytes alive.
#[derive(Debug)]
enum Keep {
    Heap { start: NonNull<u8>, layout: Layout },
    Map(MmapRaw),
}

/// One heap block or mapping with its list of leases.
#[derive(Debug)]
struct SharedBlock {
    keep: Keep,
    writable: bool,
    leases: Leases,
}

// SAFETY: the heap block and the mapping are owned and reachable from any thread; `SharedBlock`
// gives out nothing but the address, and all access goes through `RawMem`.
unsafe impl Send for SharedBlock {}
// SAFETY: as above; the leases are behind a mutex, the rest is never changed.
unsafe impl Sync for SharedBlock {}

impl Drop for SharedBlock {
    fn drop(&mut self) {
        if let Keep::Heap { start, layout } = self.keep {
            // SAFETY: allocated in `RawMem::zeroed` with this layout, freed once: the last user of
            // the reference count drops it.
            unsafe { dealloc(start.as_ptr(), layout) }
        }
    }
}

/// A range of real memory: a mapping shared with other processes, or the heap.
///
/// Cloning and slicing make further handles to the same bytes and keep the backing alive. A handle
/// alone can do nothing to the bytes: a protocol has to lease them first.
#[derive(Clone, Debug)]
pub struct RawMem {
    start: NonNull<u8>,
    len: usize,
    /// Distance of `start` from the start of the backing, for the list of leases.
    offset: usize,
    backing: Arc<SharedBlock>,
}

// SAFETY: a handle is an address into a backing that it keeps alive; every access is atomic or made
// under a lease by the one side whose turn it is.
unsafe impl Send for RawMem {}
// SAFETY: as for `Send`; the handle itself is never changed.
unsafe impl Sync for RawMem {}

impl RawMem {
    /// Zeroed heap memory of at least `len_bytes`, rounded up to whole 128-byte blocks.
    ///
    /// # Panics
    /// If the length is 0 or beyond `isize::MAX`; aborts like `Vec` if there is no memory.
    #[must_use]
    pub fn heap(len_bytes: usize) -> Self {
        Self::zeroed(len_bytes, true)
    }

    /// The same; nothing if there is no memory of that length.
    pub(crate) fn try_heap(len_bytes: usize) -> Option<Self> {
        Self::try_zeroed(Self::layout(len_bytes)?, true)
    }

    /// A copy of bytes on the heap, followed by zeros up to a whole block. No writing side can be
    /// opened on it.
    ///
    /// # Panics
    /// As [`RawMem::heap`].
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let mem = Self::zeroed(bytes.len(), false);
        // SAFETY: the block is this function's own: nobody has leased or seen a word of it.
        unsafe { mem.copy_in(0, bytes) };
        mem
    }

    fn zeroed(len_bytes: usize, writable: bool) -> Self {
        let Some(layout) = Self::layout(len_bytes) else {
            panic!("a memory of {len_bytes} bytes is none or exceeds the address space");
        };
        Self::try_zeroed(layout, writable).unwrap_or_else(|| handle_alloc_error(layout))
    }

    /// Whole blocks for at least `len_bytes`, if there are any and they fit the address space.
    fn layout(len_bytes: usize) -> Option<Layout> {
        let len = len_bytes.checked_next_multiple_of(ALIGN).filter(|len| *len > 0)?;
        Layout::from_size_align(len, ALIGN).ok()
    }

    /// Memory of this layout, which [`RawMem::layout`] made: its size is not 0.
    fn try_zeroed(layout: Layout, writable: bool) -> Option<Self> {
        debug_assert!(layout.size() > 0);
        // SAFETY: the layout has a non-zero size.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self::over(start, layout.size(), Keep::Heap { start, layout }, writable))
    }

    /// The whole of a mapping.
    pub(crate) fn mapping(map: MmapRaw, writable: bool) -> Self {
        let len = map.len() / WORD * WORD;
        let start = NonNull::new(map.as_mut_ptr()).unwrap_or(NonNull::dangling());
        Self::over(start, len, Keep::Map(map), writable)
    }

    fn over(start: NonNull<u8>, len: usize, keep: Keep, writable: bool) -> Self {
        let backing = Arc::new(SharedBlock { keep, writable, leases: Leases::default() });
        Self { start, len, offset: 0, backing }
    }

    /// Whether writing sides can be opened on it.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.backing.writable
    }

    /// Gives the pages of `part` of the whole mapping their memory, if the system does so in one
    /// call, so that the first access takes no page fault. What is in them stays: it may be done
    /// while sides are at work.
    #[must_use]
    pub fn populate(&self, part: Range<usize>) -> bool {
        match &self.backing.keep {
            Keep::Map(map) if part.end <= map.len() => os::populate(map, part),
            Keep::Map(_) => false,
            // Memory of this process is its allocator's business.
            Keep::Heap { .. } => true,
        }
    }

    /// Touches every page, so that the first real access takes no page fault.
    pub(crate) fn touch(&self, page_bytes: usize) {
        let step = (page_bytes / WORD).max(1);
        for word in (0..self.len / WORD).step_by(step) {
            // SAFETY: called while the mapping is fresh and no protocol has leased anything; the
            // word keeps its value.
            let value = unsafe { self.load(word, Ordering::Relaxed) };
            if self.backing.writable {
                // SAFETY: as above.
                unsafe { self.store(word, value, Ordering::Relaxed) };
            }
        }
    }

    /// Address of a word.
    #[inline(always)]
    fn at(&self, word: usize) -> *mut u64 {
        assert!(word < self.len / WORD, "word out of range of the shared memory");
        // SAFETY: the word lies inside the range, checked above.
        unsafe { self.start.as_ptr().cast::<u64>().add(word) }
    }

    #[inline(always)]
    fn atomic(&self, word: usize) -> &AtomicU64 {
        // SAFETY: the address is valid and 8-aligned while `self` lives; the callers' contract is
        // that the word is only used atomically.
        unsafe { AtomicU64::from_ptr(self.at(word)) }
    }

    #[inline(always)]
    fn bell(&self, word: usize) -> &AtomicU32 {
        // SAFETY: as in `atomic`; the word is only used through these 32 bits.
        unsafe { AtomicU32::from_ptr(self.at(word).cast::<u32>()) }
    }

    /// Address of a range of bytes.
    #[inline(always)]
    fn range(&self, byte: usize, len: usize) -> *mut u8 {
        assert!(byte <= self.len && len <= self.len - byte, "bytes out of range of the memory");
        // SAFETY: the range lies inside, checked above.
        unsafe { self.start.as_ptr().add(byte) }
    }
}

// SAFETY: words are the words of the backing, which no one moves or frees while a handle lives; all
// requests are checked against the length.
unsafe impl Mem for RawMem {
    type Window<'a> = &'a [u8];
    type WindowMut<'a> = &'a mut [u8];

    #[inline(always)]
    fn len_bytes(&self) -> usize {
        self.len
    }

    fn slice(&self, offset_bytes: usize, len_bytes: usize) -> Option<Self> {
        let end = offset_bytes.checked_add(len_bytes)?;
        if end > self.len || !offset_bytes.is_multiple_of(WORD) || !len_bytes.is_multiple_of(WORD) {
            return None;
        }
        // SAFETY: the offset lies inside the range or at its end, checked above.
        let start = unsafe { self.start.add(offset_bytes) };
        let offset = self.offset + offset_bytes;
        Some(Self { start, len: len_bytes, offset, backing: Arc::clone(&self.backing) })
    }

    fn lease(&self, protocol: Protocol, side: Side) -> Result<(), SetupError> {
        // A peer reads plain bytes in its turn, and through a read-only mapping nobody can take
        // turns.
        if side != Side::Watcher && !self.backing.writable {
            return Err(SetupError::ReadOnly { protocol });
        }
        self.backing.leases.enter(protocol, side, self.offset, self.offset + self.len)
    }

    #[inline(always)]
    fn fence(_site: Site, order: Ordering) {
        #[expect(clippy::disallowed_methods, reason = "this is the file that orders memory")]
        core::sync::atomic::fence(order);
    }

    #[inline(always)]
    fn spin() {
        core::hint::spin_loop();
    }

    fn yield_now() {
        std::thread::yield_now();
    }

    #[inline(always)]
    unsafe fn load(&self, word: usize, order: Ordering) -> u64 {
        self.atomic(word).load(order)
    }

    #[inline(always)]
    unsafe fn store(&self, word: usize, value: u64, order: Ordering) {
        self.atomic(word).store(value, order);
    }

    #[inline]
    unsafe fn copy_out(&self, word: usize, dst: &mut [u8]) {
        let src = self.range(word.saturating_mul(WORD), dst.len().next_multiple_of(WORD));
        let whole = dst.len() / WORD * WORD;
        // SAFETY: source and destination hold `whole` bytes; the source is 8-aligned and its words
        // are only used atomically.
        unsafe { copy::words_out(src, dst.as_mut_ptr(), whole) };
        if whole == dst.len() {
            return;
        }
        let last = self.atomic(word + whole / WORD).load(Ordering::Relaxed).to_ne_bytes();
        let rest = &mut dst[whole..];
        rest.copy_from_slice(&last[..rest.len()]);
    }

    #[inline]
    unsafe fn copy_in(&self, word: usize, src: &[u8]) {
        let dst = self.range(word.saturating_mul(WORD), src.len().next_multiple_of(WORD));
        let whole = src.len() / WORD * WORD;
        // SAFETY: source and destination hold `whole` bytes; the destination is 8-aligned, writable
        // and its words are only used atomically.
        unsafe { copy::words_in(src.as_ptr(), dst, whole) };
        if whole == src.len() {
            return;
        }
        let mut last = [0; WORD];
        last[..src.len() - whole].copy_from_slice(&src[whole..]);
        self.atomic(word + whole / WORD).store(u64::from_ne_bytes(last), Ordering::Relaxed);
    }

    #[inline(always)]
    unsafe fn get(&self, word: usize) -> u64 {
        debug_assert!(word < self.len / WORD, "plain word out of range");
        // SAFETY: the caller promises that the word is in range.
        let address = unsafe { self.start.as_ptr().cast::<u64>().add(word) };
        // SAFETY: valid and aligned; the caller promises that nobody writes it now.
        unsafe { address.read() }
    }

    #[inline(always)]
    unsafe fn put(&self, word: usize, value: u64) {
        debug_assert!(word < self.len / WORD, "plain word out of range");
        // SAFETY: the caller promises that the word is in range.
        let address = unsafe { self.start.as_ptr().cast::<u64>().add(word) };
        // SAFETY: valid and aligned; the caller promises that it is writable and nobody touches it.
        unsafe { address.write(value) }
    }

    #[inline(always)]
    unsafe fn window(&self, byte: usize, len: usize) -> &[u8] {
        debug_assert!(byte <= self.len && len <= self.len - byte, "window out of range");
        // SAFETY: the caller promises that the bytes are in range.
        let start = unsafe { self.start.as_ptr().add(byte) };
        // SAFETY: the bytes lie inside the backing, are initialised (zeroed at birth) and, by the
        // caller's promise, unchanged while the window lives.
        unsafe { core::slice::from_raw_parts(start, len) }
    }

    #[inline(always)]
    unsafe fn window_mut(&self, byte: usize, len: usize) -> &mut [u8] {
        debug_assert!(byte <= self.len && len <= self.len - byte, "window out of range");
        // SAFETY: the caller promises that the bytes are in range.
        let start = unsafe { self.start.as_ptr().add(byte) };
        // SAFETY: as in `window`; by the caller's promise nobody else touches the bytes.
        unsafe { core::slice::from_raw_parts_mut(start, len) }
    }

    #[inline(always)]
    fn prefetch(&self, byte: usize) {
        copy::prefetch(self.start.as_ptr().wrapping_add(byte));
    }

    #[inline(always)]
    unsafe fn bell_load(&self, word: usize, order: Ordering) -> u32 {
        self.bell(word).load(order)
    }

    #[inline(always)]
    unsafe fn bell_bump(&self, word: usize, order: Ordering) {
        self.bell(word).fetch_add(1, order);
    }

    unsafe fn futex_wait(&self, word: usize, expected: u32, timeout: Option<Duration>) {
        crate::os::futex_wait(self.bell(word), expected, timeout);
    }

    unsafe fn futex_wake(&self, word: usize) {
        crate::os::futex_wake(self.bell(word));
    }
}

/// Bulk copies as relaxed 8-byte accesses.
mod copy {
    /// Asks for a cache line, on x86-64; elsewhere this does nothing.
    #[inline(always)]
    pub(super) fn prefetch(at: *const u8) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint that accesses nothing; any address will do.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = at;
    }

    /// From here on the string instruction beats the loop.
    #[cfg(all(target_arch = "x86_64", feature = "asm-copy", not(miri)))]
    const STRING_MIN: usize = 1024;

    /// Copies `len` bytes, a multiple of 8, out of 8-aligned shared words.
    ///
    /// # Safety
    /// `src` is valid and 8-aligned for `len` bytes used atomically by everyone; `dst` is valid for
    /// `len` bytes of this thread's own.
    #[inline(always)]
    pub(super) unsafe fn words_out(src: *const u8, dst: *mut u8, len: usize) {
        #[cfg(all(target_arch = "x86_64", feature = "asm-copy", not(miri)))]
        // SAFETY: the caller's promise; every 8-byte part of the moves is 8-aligned in `src`.
        unsafe {
            moves(src, dst, len);
        }
        #[cfg(not(all(target_arch = "x86_64", feature = "asm-copy", not(miri))))]
        for at in (0..len).step_by(8) {
            // SAFETY: inside the source, 8-aligned.
            let from = unsafe { src.add(at) };
            // SAFETY: inside the destination.
            let to = unsafe { dst.add(at) };
            // SAFETY: the word is only used atomically.
            let word = unsafe { super::AtomicU64::from_ptr(from.cast_mut().cast()) };
            // SAFETY: the destination is this thread's own.
            unsafe { to.cast::<u64>().write_unaligned(word.load(super::Ordering::Relaxed)) };
        }
    }

    /// Copies `len` bytes, a multiple of 8, into 8-aligned shared words.
    ///
    /// # Safety
    /// `dst` is valid, writable and 8-aligned for `len` bytes used atomically by everyone; `src` is
    /// valid for `len` bytes that nobody changes.
    #[inline(always)]
    pub(super) unsafe fn words_in(src: *const u8, dst: *mut u8, len: usize) {
        #[cfg(all(target_arch = "x86_64", feature = "asm-copy", not(miri)))]
        // SAFETY: the caller's promise; every 8-byte part of the moves is 8-aligned in `dst`.
        unsafe {
            moves(src, dst, len);
        }
        #[cfg(not(all(target_arch = "x86_64", feature = "asm-copy", not(miri))))]
        for at in (0..len).step_by(8) {
            // SAFETY: inside the source.
            let from = unsafe { src.add(at) };
            // SAFETY: inside the destination, 8-aligned.
            let to = unsafe { dst.add(at) };
            // SAFETY: the source is stable.
            let value = unsafe { from.cast::<u64>().read_unaligned() };
            // SAFETY: the word is only used atomically.
            let word = unsafe { super::AtomicU64::from_ptr(to.cast()) };
            word.store(value, super::Ordering::Relaxed);
        }
    }

    /// Moves in steps of 64, then 8 bytes; long copies by the string instruction.
    ///
    /// # Safety
    /// Both ranges are valid for `len` bytes, do not overlap, and one of them is 8-aligned: then no
    /// 8-byte part on that side is ever torn (16-byte moves are two 8-byte accesses at worst).
    #[cfg(all(target_arch = "x86_64", feature = "asm-copy", not(miri)))]
    #[inline(always)]
    unsafe fn moves(src: *const u8, dst: *mut u8, len: usize) {
        if len >= STRING_MIN {
            // SAFETY: `len / 8` words lie in both ranges; the direction flag is clear by the ABI.
            unsafe {
                core::arch::asm!(
                    "rep movsq",
                    inout("rcx") len / 8 => _,
                    inout("rsi") src => _,
                    inout("rdi") dst => _,
                    options(nostack, preserves_flags)
                );
            }
            return;
        }
        // SAFETY: the loop stops before the index passes `len`, a multiple of 8.
        unsafe {
            core::arch::asm!(
                "jmp 3f",
                "2:",
                "movups {a}, [{src} + {at}]",
                "movups {b}, [{src} + {at} + 16]",
                "movups {c}, [{src} + {at} + 32]",
                "movups {d}, [{src} + {at} + 48]",
                "movups [{dst} + {at}], {a}",
                "movups [{dst} + {at} + 16], {b}",
                "movups [{dst} + {at} + 32], {c}",
                "movups [{dst} + {at} + 48], {d}",
                "add {at}, 64",
                "3:",
                "lea {t}, [{at} + 64]",
                "cmp {t}, {len}",
                "jbe 2b",
                "jmp 5f",
                "4:",
                "mov {t}, [{src} + {at}]",
                "mov [{dst} + {at}], {t}",
                "add {at}, 8",
                "5:",
                "cmp {at}, {len}",
                "jb 4b",
                src = in(reg) src,
                dst = in(reg) dst,
                len = in(reg) len,
                at = inout(reg) 0_usize => _,
                t = out(reg) _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack)
            );
        }
    }
}
