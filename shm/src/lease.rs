//! Leases: how safe code is kept from opening one piece of memory twice.
//!
//! The protocols of this crate are sound because each side exists once: one producer, one consumer,
//! one writer. A `Leased` memory is the proof of that. It can only be made by leasing a range for a
//! protocol and a side; the list of leases is private memory of the process and belongs to the
//! backing (heap or mapping), so that two handles to the same bytes use the same list.
//!
//! Leases last as long as the backing. A ring is never re-opened in place, because its cursors are
//! private: after a restart there is a new region.
//!
//! What this does not do: it knows nothing of other processes. Those only ever map the region
//! read-only and use the read sides whose words are all atomic.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::mem::{Mem, Ordering};
pub use crate::side::{Protocol, SetupError, Side};
use crate::site::Site;

/// One entry of the list of leases.
#[derive(Clone, Copy, Debug)]
struct Lease {
    protocol: Protocol,
    side: Side,
    offset: usize,
    end: usize,
}

impl Lease {
    /// Whether both may exist at the same time.
    fn agrees_with(&self, other: &Lease) -> bool {
        if self.end <= other.offset || other.end <= self.offset {
            return true;
        }
        if self.protocol != other.protocol {
            return false;
        }
        let same_range = self.offset == other.offset && self.end == other.end;
        let shared = self.side.is_shared() || other.side.is_shared();
        shared || (same_range && self.side != other.side)
    }
}

/// The leases on one backing, for an implementation of [`Mem`], which keeps it under a lock.
#[derive(Clone, Debug, Default)]
pub struct LeaseList(Vec<Lease>);

impl LeaseList {
    /// Enters a lease on the bytes from `offset` to `end` of the backing, or returns the one in the
    /// way.
    ///
    /// # Errors
    /// [`SetupError::Taken`].
    pub fn enter(
        &mut self,
        protocol: Protocol,
        side: Side,
        offset: usize,
        end: usize,
    ) -> Result<(), SetupError> {
        let new = Lease { protocol, side, offset, end };
        let list = &mut self.0;
        if let Some(held) = list.iter().find(|held| !held.agrees_with(&new)) {
            return Err(SetupError::Taken {
                protocol,
                side,
                offset,
                end,
                held_protocol: held.protocol,
                held_side: held.side,
            });
        }
        // Shared sides are not counted: one entry per range is enough.
        let known = side.is_shared()
            && list.iter().any(|c| {
                c.side == side && c.protocol == protocol && c.offset == offset && c.end == end
            });
        if !known {
            list.push(new);
        }
        Ok(())
    }
}

/// The list of real memory.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<LeaseList>);

impl Leases {
    /// As [`LeaseList::enter`].
    pub(crate) fn enter(
        &self,
        protocol: Protocol,
        side: Side,
        offset: usize,
        end: usize,
    ) -> Result<(), SetupError> {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.enter(protocol, side, offset, end)
    }
}

/// Memory leased to one side of one protocol: the right to touch its words.
///
/// All word accesses below are safe because of the lease: no other protocol touches these words in
/// this process, and inside one protocol each word is either always atomic or always plain (the
/// module of the protocol draws which). The plain accesses stay `unsafe`: whose turn it is, only
/// the protocol knows.
#[derive(Debug)]
pub(crate) struct Leased<M: Mem> {
    mem: M,
}

impl<M: Mem> Leased<M> {
    /// Leases `mem` for a side.
    pub(crate) fn new(mem: M, protocol: Protocol, side: Side) -> Result<Self, SetupError> {
        mem.lease(protocol, side)?;
        Ok(Self { mem })
    }

    /// Loads an atomic word.
    #[inline(always)]
    pub(crate) fn load(&self, word: usize, order: Ordering) -> u64 {
        // SAFETY: the lease makes this protocol the only user of the words; callers pass words that
        // their protocol only uses atomically.
        unsafe { self.mem.load(word, order) }
    }

    /// Stores an atomic word.
    #[inline(always)]
    pub(crate) fn store(&self, word: usize, value: u64, order: Ordering) {
        // SAFETY: as in `load`; a lease for a writing side is refused on read-only memory.
        unsafe { self.mem.store(word, value, order) }
    }

    /// Copies atomic words out, from `word` on, `dst.len()` bytes.
    #[inline(always)]
    pub(crate) fn copy_out(&self, word: usize, dst: &mut [u8]) {
        // SAFETY: as in `load`.
        unsafe { self.mem.copy_out(word, dst) }
    }

    /// Copies bytes into atomic words; the rest of a partial last word becomes zero.
    #[inline(always)]
    pub(crate) fn copy_in(&self, word: usize, src: &[u8]) {
        // SAFETY: as in `store`.
        unsafe { self.mem.copy_in(word, src) }
    }

    /// A fence of this memory.
    #[inline(always)]
    pub(crate) fn fence(site: Site, order: Ordering) {
        M::fence(site, order);
    }

    /// Loads a plain word.
    ///
    /// # Safety
    /// The word is in range and it is this side's turn: no other side writes it now.
    #[inline(always)]
    pub(crate) unsafe fn get(&self, word: usize) -> u64 {
        // SAFETY: the caller has the turn and stays in range.
        unsafe { self.mem.get(word) }
    }

    /// Stores a plain word.
    ///
    /// # Safety
    /// The word is in range and it is this side's turn: no other side touches it now.
    #[inline(always)]
    pub(crate) unsafe fn put(&self, word: usize, value: u64) {
        // SAFETY: the caller has the turn and stays in range.
        unsafe { self.mem.put(word, value) }
    }

    /// Bytes to read in place.
    ///
    /// # Safety
    /// The bytes are in range and it is this side's turn for as long as the window lives: nobody
    /// writes them.
    #[inline(always)]
    pub(crate) unsafe fn window(&self, byte: usize, len: usize) -> M::Window<'_> {
        // SAFETY: the caller has the turn and stays in range.
        unsafe { self.mem.window(byte, len) }
    }

    /// Bytes to write in place.
    ///
    /// # Safety
    /// The bytes are in range and it is this side's turn for as long as the window lives: nobody
    /// else touches them, through this handle either.
    #[inline(always)]
    pub(crate) unsafe fn window_mut(&self, byte: usize, len: usize) -> M::WindowMut<'_> {
        // SAFETY: the caller has the turn and stays in range.
        unsafe { self.mem.window_mut(byte, len) }
    }

    /// Asks for the cache line of a byte that will be read soon.
    #[inline(always)]
    pub(crate) fn prefetch(&self, byte: usize) {
        self.mem.prefetch(byte);
    }

    /// Loads a 32-bit doorbell word.
    #[inline(always)]
    pub(crate) fn bell_load(&self, word: usize, order: Ordering) -> u32 {
        // SAFETY: as in `load`; the word is a doorbell word for life.
        unsafe { self.mem.bell_load(word, order) }
    }

    /// Adds one to a 32-bit doorbell word.
    #[inline(always)]
    pub(crate) fn bell_bump(&self, word: usize, order: Ordering) {
        // SAFETY: as in `bell_load`.
        unsafe { self.mem.bell_bump(word, order) }
    }

    /// Sleeps while the doorbell word equals `expected`.
    pub(crate) fn futex_wait(&self, word: usize, expected: u32, timeout: Option<Duration>) {
        // SAFETY: as in `bell_load`.
        unsafe { self.mem.futex_wait(word, expected, timeout) }
    }

    /// Wakes all sleepers on the doorbell word.
    pub(crate) fn futex_wake(&self, word: usize) {
        // SAFETY: as in `bell_load`.
        unsafe { self.mem.futex_wake(word) }
    }
}

/// Refuses a parameter outside its range.
pub(crate) fn check_range(
    protocol: Protocol,
    what: &'static str,
    value: u64,
    min: u64,
    max: u64,
) -> Result<(), SetupError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(SetupError::Parameter { protocol, what, value, min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_leased_once_and_watchers_are_free() {
        let leases = Leases::default();
        leases.enter(Protocol::Page, Side::Writer, 0, 128).expect("first writer");
        assert!(leases.enter(Protocol::Page, Side::Writer, 0, 128).is_err());
        leases.enter(Protocol::Page, Side::Watcher, 0, 128).expect("watcher");
        leases.enter(Protocol::Page, Side::Watcher, 0, 128).expect("second watcher");
        assert!(leases.enter(Protocol::Bell, Side::Watcher, 64, 256).is_err());
        leases.enter(Protocol::Bell, Side::Writer, 128, 256).expect("next range");
    }

    #[test]
    fn ranges_of_a_ring_must_agree() {
        let leases = Leases::default();
        leases.enter(Protocol::BytesProducer, Side::Writer, 0, 256).expect("producer");
        assert!(leases.enter(Protocol::BytesProducer, Side::Peer, 0, 128).is_err());
        leases.enter(Protocol::BytesProducer, Side::Peer, 0, 256).expect("consumer");
        assert!(leases.enter(Protocol::BytesProducer, Side::Peer, 0, 256).is_err());
    }
}
