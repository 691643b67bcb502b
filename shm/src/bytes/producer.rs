//! The writing end of the bytes ring: room is reserved, filled in place and committed; committed
//! records are published together.

use core::ops::{Deref, DerefMut};

use super::{DATA, HEAD, PAD, ReserveError, TAIL, UNIT, check_blocks, lap_end, record_len};
use crate::lease::{Leased, Protocol, SetupError, Side};
use crate::mem::{Mem, Ordering, WORD};
use crate::site::Site;

/// The producer's cursors, private.
#[derive(Debug)]
struct ProducerCursor {
    /// Bytes written, published or not.
    head: u64,
    /// Bytes published.
    published: u64,
    /// Last tail seen.
    tail: u64,
    /// Bytes that can be written up to here without another poll: the data end there or are in use.
    until: u64,
    /// Capacity in bytes, a power of two.
    capacity: u64,
}

impl ProducerCursor {
    fn new(capacity: u64) -> Self {
        Self { head: 0, published: 0, tail: 0, until: capacity, capacity }
    }

    /// What holds whatever the consumer writes.
    fn check(&self) {
        debug_assert!(self.tail <= self.published && self.published <= self.head);
        debug_assert!(self.head - self.tail <= self.capacity, "more written than the ring holds");
        debug_assert!((self.head | self.tail).is_multiple_of(UNIT as u64));
    }

    /// Recomputes up to where a record that begins at the head can be written.
    fn measure(&mut self) {
        self.check();
        self.until = lap_end(self.head, self.capacity).min(self.tail + self.capacity);
    }
}

/// The writing end.
#[derive(Debug)]
pub struct Producer<M: Mem> {
    own: Leased<M>,
    peer: Leased<M>,
    cursor: ProducerCursor,
}

impl<M: Mem> Producer<M> {
    /// Leases the writing end over the two zeroed blocks of [`layout`](super::layout).
    ///
    /// # Errors
    /// [`SetupError`] if the blocks have other sizes or the end is leased.
    pub fn new(producer: M, consumer: M) -> Result<Self, SetupError> {
        let capacity = check_blocks(&producer, &consumer)?;
        let own = Leased::new(producer, Protocol::BytesProducer, Side::Writer)?;
        let peer = Leased::new(consumer, Protocol::BytesConsumer, Side::Peer)?;
        Ok(Self { own, peer, cursor: ProducerCursor::new(capacity) })
    }

    /// Largest payload of a record in bytes.
    #[must_use]
    #[inline]
    pub fn payload_max(&self) -> usize {
        self.cursor.capacity as usize / 2 - UNIT
    }

    /// Room for a payload of up to `len` bytes, to be filled in place. Nothing happens until
    /// [`Grant::commit`]; a dropped grant leaves no trace.
    ///
    /// # Errors
    /// [`ReserveError`].
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<Grant<'_, M>, ReserveError> {
        let max = self.payload_max();
        if len > max {
            return Err(ReserveError::TooBig { len, max });
        }
        let need = record_len(len as u64);
        let cursor = &mut self.cursor;
        let mut pad = 0;
        if cursor.head + need > cursor.until {
            pad = make_room(&self.peer, cursor, need)?;
        }
        let byte = DATA + ((cursor.head + pad) & (cursor.capacity - 1)) as usize;
        // SAFETY: the record lies in the data, since it ends at its end at most, and its bytes are
        // free: released by the consumer (Acquire load of the tail in `make_room`) and not
        // published again. The grant borrows the producer, so there is one at a time.
        let window = unsafe { self.own.window_mut(byte + UNIT, len) };
        Ok(Grant { window, own: &self.own, cursor, byte, pad, len })
    }

    /// Writes a whole record. It is visible after [`Producer::publish`].
    ///
    /// # Errors
    /// [`ReserveError`].
    #[inline]
    pub fn push(&mut self, tag: u32, aux: u64, payload: &[u8]) -> Result<(), ReserveError> {
        let mut grant = self.reserve(payload.len())?;
        grant.copy_from_slice(payload);
        grant.commit(payload.len(), tag, aux);
        Ok(())
    }

    /// Makes all committed records visible to the consumer, in one store.
    #[inline]
    pub fn publish(&mut self) {
        if self.cursor.published != self.cursor.head {
            self.cursor.published = self.cursor.head;
            // Release: pairs with `Consumer::next`. Publishes headers and payloads.
            self.own.store(HEAD, self.cursor.head, M::ord(Site::BytesPublish, Ordering::Release));
        }
    }

    /// Whether the consumer has released everything published. Loads the shared tail.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        // Acquire: pairs with `Consumer::release`.
        self.peer.load(TAIL, M::ord(Site::BytesReclaim, Ordering::Acquire)) == self.cursor.published
    }
}

/// Finds room for a record of `need` bytes beyond the last tail seen or the end of the data;
/// returns the pad before it.
#[inline(never)]
fn make_room<M: Mem>(
    peer: &Leased<M>,
    cursor: &mut ProducerCursor,
    need: u64,
) -> Result<u64, ReserveError> {
    let to_end = lap_end(cursor.head, cursor.capacity) - cursor.head;
    let pad = if need > to_end { to_end } else { 0 };
    let total = pad + need;
    if total > cursor.capacity - (cursor.head - cursor.tail) {
        // Acquire: pairs with `Consumer::release`. The consumer's reads of these bytes come before
        // our writes.
        let tail = peer.load(TAIL, M::ord(Site::BytesReclaim, Ordering::Acquire));
        // An invalid tail changes nothing: it only hides free bytes.
        let valid = tail >= cursor.tail && tail <= cursor.published;
        if valid && tail.is_multiple_of(UNIT as u64) {
            cursor.tail = tail;
        }
    }
    cursor.measure();
    let free = cursor.capacity - (cursor.head - cursor.tail);
    if total > free {
        return Err(ReserveError::Full { need: total as usize, free: free as usize });
    }
    Ok(pad)
}

/// Room in the ring for one record, not yet part of it.
pub struct Grant<'a, M: Mem + 'a> {
    window: M::WindowMut<'a>,
    own: &'a Leased<M>,
    cursor: &'a mut ProducerCursor,
    /// First byte of the record's header in the producer block.
    byte: usize,
    /// Bytes of pad before the record.
    pad: u64,
    len: usize,
}

impl<M: Mem> Grant<'_, M> {
    /// Makes the first `len` bytes a record. `tag` and `aux` are the user's, stored beside it.
    ///
    /// # Panics
    /// If `len` exceeds what was reserved.
    #[inline]
    pub fn commit(self, len: usize, tag: u32, aux: u64) {
        assert!(len <= self.len, "committed more than was reserved");
        if self.pad > 0 {
            let at = (self.cursor.head & (self.cursor.capacity - 1)) as usize;
            // SAFETY: a unit in the data that `Producer::reserve` counted as free.
            unsafe { self.own.put((DATA + at) / WORD, u64::from(PAD)) };
        }
        let word = self.byte / WORD;
        // SAFETY: the header's unit is part of the bytes that `Producer::reserve` found free.
        unsafe { self.own.put(word, u64::from(tag) << 32 | len as u64) };
        // SAFETY: as above.
        unsafe { self.own.put(word + 1, aux) };
        self.cursor.head += self.pad + record_len(len as u64);
        self.cursor.check();
        if self.pad > 0 {
            self.cursor.measure();
        }
    }
}

impl<M: Mem> Deref for Grant<'_, M> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.window
    }
}

impl<M: Mem> DerefMut for Grant<'_, M> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.window
    }
}
