//! Where the memories of agents lie: slots of one size, side by side in one reservation.
//!
//! ```text
//!  guarded  | fence | slot 0: RW to its size, fence to 4 GiB + 32 MiB | slot 1 ...
//!  dense    | slot 0: RW | slot 1: RW | ...                    (one mapping, no fences)
//! ```
//! Why our own: a slot is the largest memory that a module of the run declares and there are as
//! many as the run can use, so a run reserves what its agents need; and dense slots that lie side
//! by side are one mapping, of which Linux gives a process 65,530.
//!
//! Guarded slots are made readable up to the size of their memory, and code does not check
//! addresses of 32 bits: what lies behind traps. Dense slots are readable as a whole, and code
//! checks each address against the size. Neither gets huge pages: most agents touch one page or two
//! of 4 KiB and would take a whole slot each, for turns that were a tenth faster at 4,096 agents
//! and no faster at 500.
//!
//! What this does not do: it does not know agents; `seats/` clears and fills memories.
#![expect(unsafe_code, reason = "it maps memory and hands it to the engine")]

use std::ffi::c_void;
use std::io;
use std::ptr::{NonNull, null_mut};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::mm::{
    Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect, munmap,
};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

/// Bytes that dense slots are made readable by at once.
const COMMIT_BYTES: usize = 4 << 20;

/// Sizes of an arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ArenaShape {
    /// Slots, at least 1.
    pub(crate) slots: usize,
    /// Distance of two slots: whole pages of the system.
    pub(crate) stride_bytes: usize,
    /// Bytes a memory may grow to.
    pub(crate) memory_bytes_max: usize,
    /// Bytes before the first slot, and behind each memory, that trap; 0 for dense slots.
    pub(crate) guard_bytes: usize,
}

impl ArenaShape {
    /// Address space it takes; the largest number if that is more than there can be.
    pub(crate) fn reserved_bytes(self) -> u64 {
        let slots = (self.slots as u64).saturating_mul(self.stride_bytes as u64);
        slots.saturating_add(self.guard_bytes as u64)
    }

    fn is_dense(self) -> bool {
        self.guard_bytes == 0
    }
}

/// A reservation of address space, given back when the last memory in it is gone.
struct Reservation {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it is an address and a length; what lies there is shared by slots, each with one owner.
unsafe impl Send for Reservation {}
// SAFETY: as above, and nothing of it changes.
unsafe impl Sync for Reservation {}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this base and length, and no memory refers to it any
        // more, since each holds the arena.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own is unmapped");
    }
}

/// Slots that are free.
#[derive(Debug, Default)]
struct Slots {
    /// Given back.
    free: Vec<usize>,
    /// Those from here on were never used.
    fresh: usize,
    /// Dense: bytes from the first slot on that are readable.
    committed: usize,
}

/// The memories of one engine.
pub(crate) struct Arena {
    reservation: Reservation,
    shape: ArenaShape,
    slots: Mutex<Slots>,
}

impl Arena {
    /// Reserves address space; no memory.
    pub(crate) fn reserve(shape: ArenaShape) -> io::Result<Self> {
        let bytes = shape.reserved_bytes();
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: no address is asked for, so no mapping of anybody is replaced.
        let base = unsafe { mmap_anonymous(null_mut(), bytes, ProtFlags::empty(), flags)? };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let arena = Self {
            reservation: Reservation { base, bytes },
            shape,
            slots: Mutex::new(Slots::default()),
        };
        // Where the system has no huge pages it says so, and there is nothing to refuse.
        // SAFETY: the range is the reservation; the advice changes no contents.
        let _ = unsafe { madvise(base.as_ptr().cast(), bytes, Advice::LinuxNoHugepage) };
        Ok(arena)
    }

    fn base(&self, slot: usize) -> NonNull<u8> {
        let offset = self.shape.guard_bytes + slot * self.shape.stride_bytes;
        // SAFETY: a slot is below `shape.slots`, so the offset lies inside the reservation.
        unsafe { self.reservation.base.add(offset) }
    }

    /// Takes a slot whose first `bytes` are readable and zero.
    fn take(&self, bytes: usize) -> io::Result<usize> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match slots.free.pop() {
            Some(slot) => slot,
            None if slots.fresh < self.shape.slots => {
                slots.fresh += 1;
                slots.fresh - 1
            }
            None => return Err(io::ErrorKind::OutOfMemory.into()),
        };
        let readable = if self.shape.is_dense() {
            self.commit(&mut slots, slot)
        } else {
            self.protect(self.base(slot), bytes, true)
        };
        readable.inspect_err(|_| slots.free.push(slot)).map(|()| slot)
    }

    /// Makes dense slots readable up to `slot`, and some more.
    fn commit(&self, slots: &mut Slots, slot: usize) -> io::Result<()> {
        let needed = (slot + 1) * self.shape.stride_bytes;
        if needed <= slots.committed {
            return Ok(());
        }
        let all = self.shape.slots * self.shape.stride_bytes;
        let end = needed.next_multiple_of(COMMIT_BYTES).min(all);
        // SAFETY: what is committed and `end` lie inside the reservation.
        let from = unsafe { self.base(0).add(slots.committed) };
        self.protect(from, end - slots.committed, true)?;
        slots.committed = end;
        Ok(())
    }

    fn protect(&self, from: NonNull<u8>, bytes: usize, readable: bool) -> io::Result<()> {
        let rights = MprotectFlags::READ | MprotectFlags::WRITE;
        let rights = if readable { rights } else { MprotectFlags::empty() };
        if bytes > 0 {
            let at: *mut c_void = from.as_ptr().cast();
            // SAFETY: the range lies in a slot or between the slots of our own reservation; a slot
            // that loses its rights has no owner.
            unsafe { mprotect(at, bytes, rights)? };
        }
        Ok(())
    }

    /// Gives a slot back, whose memory had `bytes`.
    fn give_back(&self, slot: usize, bytes: usize) {
        let base = self.base(slot);
        // SAFETY: the range is the memory of a slot whose only owner gives it back; its pages are
        // private and anonymous, so they are zero when they are touched again.
        let cleared = unsafe { madvise(base.as_ptr().cast(), bytes, Advice::LinuxDontNeed) };
        let closed = self.shape.is_dense() || self.protect(base, bytes, false).is_ok();
        if cleared.is_ok() && closed {
            self.slots.lock().unwrap_or_else(PoisonError::into_inner).free.push(slot);
        }
        // A slot that could not be cleared is never used again.
    }
}

/// One memory.
struct ArenaMemory {
    arena: Arc<Arena>,
    slot: usize,
    bytes: usize,
}

// SAFETY: `as_ptr` is the start of a slot that only this memory owns until it is dropped; it is
// readable and writable for `byte_size` bytes, zero at first, never moves, and has its guard behind
// it: that of a guarded arena is what its stride leaves, and a dense one promises none.
unsafe impl LinearMemory for ArenaMemory {
    fn byte_size(&self) -> usize {
        self.bytes
    }

    fn byte_capacity(&self) -> usize {
        self.arena.shape.memory_bytes_max
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        if new_size > self.byte_capacity() {
            let max = self.byte_capacity();
            return Err(wasmtime::format_err!("{new_size} bytes are more than a slot of {max}"));
        }
        if !self.arena.shape.is_dense() && new_size > self.bytes {
            // SAFETY: both sizes lie within the slot.
            let from = unsafe { self.arena.base(self.slot).add(self.bytes) };
            self.arena.protect(from, new_size - self.bytes, true)?;
        }
        self.bytes = new_size;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.arena.base(self.slot).as_ptr()
    }
}

impl Drop for ArenaMemory {
    fn drop(&mut self) {
        self.arena.give_back(self.slot, self.bytes);
    }
}

/// What the engine asks for memories.
pub(crate) struct ArenaMemories(pub(crate) Arc<Arena>);

// SAFETY: every memory has a slot of its own (`Arena::take`), see `ArenaMemory`; the sizes that the
// engine expects are checked against those of the slot.
unsafe impl MemoryCreator for ArenaMemories {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let shape = self.0.shape;
        let reserved = reserved_size_in_bytes.unwrap_or(0);
        let fits = minimum <= shape.memory_bytes_max
            && guard_size_in_bytes <= shape.guard_bytes
            && reserved.saturating_add(guard_size_in_bytes) <= shape.stride_bytes;
        if !fits {
            return Err(format!("a memory of {minimum} bytes does not fit a slot of {shape:?}"));
        }
        let slot = self.0.take(minimum).map_err(|error| {
            format!("there is no memory for one more agent, of {} awake: {error}", shape.slots)
        })?;
        Ok(Box::new(ArenaMemory { arena: Arc::clone(&self.0), slot, bytes: minimum }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;
    const DENSE: ArenaShape =
        ArenaShape { slots: 3, stride_bytes: 2 * PAGE, memory_bytes_max: 2 * PAGE, guard_bytes: 0 };
    const GUARDED: ArenaShape = ArenaShape { stride_bytes: 8 * PAGE, guard_bytes: PAGE, ..DENSE };

    fn memory(arena: &Arc<Arena>, bytes: usize) -> ArenaMemory {
        ArenaMemory { slot: arena.take(bytes).expect("a slot"), arena: Arc::clone(arena), bytes }
    }

    fn bytes(memory: &mut ArenaMemory) -> &mut [u8] {
        // SAFETY: the memory is readable for its size and only this test uses it.
        unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), memory.byte_size()) }
    }

    #[test]
    fn slots_are_apart_zero_and_used_again() {
        for shape in [DENSE, GUARDED] {
            let arena = Arc::new(Arena::reserve(shape).expect("address space"));
            let mut all: Vec<_> = (0..3).map(|_| memory(&arena, PAGE)).collect();
            assert!(arena.take(PAGE).is_err(), "there are three");
            for (number, memory) in (1..).zip(&mut all) {
                memory.grow_to(2 * PAGE).expect("it may");
                assert!(memory.grow_to(2 * PAGE + 1).is_err());
                assert!(bytes(memory).iter().all(|byte| *byte == 0));
                bytes(memory).fill(number);
            }
            for (number, memory) in (1..).zip(&mut all) {
                assert!(bytes(memory).iter().all(|byte| *byte == number));
            }
            let second = all.remove(1).slot;
            let mut again = memory(&arena, PAGE);
            assert_eq!(again.slot, second);
            assert!(bytes(&mut again).iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn what_cannot_be_reserved_is_an_error() {
        let shape = ArenaShape { slots: usize::MAX / PAGE, ..DENSE };
        assert!(Arena::reserve(shape).is_err());
        assert!(Arena::reserve(ArenaShape { slots: 1 << 40, ..DENSE }).is_err());
    }
}
