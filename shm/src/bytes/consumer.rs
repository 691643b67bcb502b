//! The reading end of the bytes ring: records are read in place and released together.

use core::ops::Deref;

use super::{
    AHEAD, CorruptRing, DATA, HEAD, LINE, PAD, TAIL, UNIT, check_blocks, lap_end, record_len,
};
use crate::lease::{Leased, Protocol, SetupError, Side};
use crate::mem::{Mem, Ordering, WORD};
use crate::site::Site;

/// The reading end.
#[derive(Debug)]
pub struct Consumer<M: Mem> {
    own: Leased<M>,
    peer: Leased<M>,
    /// Bytes read, released or not.
    tail: u64,
    /// Bytes released.
    released: u64,
    /// Last head seen.
    head: u64,
    /// Bytes that can be read up to here: the last head seen, or the end of the data before it.
    until: u64,
    /// Capacity in bytes, a power of two.
    capacity: u64,
}

/// One record, read in place. It ends before the next one is taken or anything is released.
pub struct RingRecord<'a, M: Mem + 'a> {
    window: M::Window<'a>,
    /// The user's tag.
    pub tag: u32,
    /// The user's number.
    pub aux: u64,
}

impl<M: Mem> Deref for RingRecord<'_, M> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.window
    }
}

impl<M: Mem> Consumer<M> {
    /// Leases the reading end over the two zeroed blocks of [`layout`](super::layout).
    ///
    /// # Errors
    /// [`SetupError`] if the blocks have other sizes or the end is leased.
    pub fn new(producer: M, consumer: M) -> Result<Self, SetupError> {
        let capacity = check_blocks(&producer, &consumer)?;
        let peer = Leased::new(producer, Protocol::BytesProducer, Side::Peer)?;
        let own = Leased::new(consumer, Protocol::BytesConsumer, Side::Writer)?;
        Ok(Self { own, peer, tail: 0, released: 0, head: 0, until: 0, capacity })
    }

    /// The next record, if one is published. It stays the consumer's until [`Consumer::release`].
    ///
    /// # Errors
    /// [`CorruptRing`] if the producer wrote something invalid; the ring must not be used again.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend from itself")]
    pub fn next(&mut self) -> Result<Option<RingRecord<'_, M>>, CorruptRing> {
        if self.tail == self.until && !self.poll_head()? {
            return Ok(None);
        }
        let mut header = self.header();
        // The length of a pad is larger than any ring.
        if record_len(u64::from(header as u32)) > self.until - self.tail {
            header = self.skip_pad(header)?;
        }
        let (len, tag) = (header as u32, (header >> 32) as u32);
        let byte = DATA + (self.tail & (self.capacity - 1)) as usize;
        self.tail += record_len(u64::from(len));
        if self.head - self.tail > AHEAD {
            let ahead = (self.tail + AHEAD) & (self.capacity - 1);
            self.peer.prefetch(DATA + ahead as usize);
        }
        // SAFETY: as above; the whole record lies in published data, checked above.
        let aux = unsafe { self.peer.get(byte / WORD + 1) };
        // SAFETY: as above; the record borrows the consumer, so nothing is released meanwhile.
        let window = unsafe { self.peer.window(byte + UNIT, len as usize) };
        Ok(Some(RingRecord { window, tag, aux }))
    }

    /// The header at the tail, which is before `until`.
    #[inline(always)]
    fn header(&self) -> u64 {
        let at = (self.tail & (self.capacity - 1)) as usize;
        // SAFETY: a unit in the data; `poll_head` found it published (Acquire load of the head),
        // and it is not released.
        unsafe { self.peer.get((DATA + at) / WORD) }
    }

    /// Goes past a pad to the header behind it; anything but a pad is invalid.
    #[inline(never)]
    fn skip_pad(&mut self, header: u64) -> Result<u64, CorruptRing> {
        let (len, room) = (header as u32, self.until - self.tail);
        let end = lap_end(self.tail, self.capacity);
        // A pad is only published together with the record behind it.
        if len != PAD || self.head <= end {
            return Err(self.invalid_len(len, room));
        }
        self.tail = end;
        self.measure();
        let header = self.header();
        let (len, room) = (header as u32, self.until - self.tail);
        if record_len(u64::from(len)) > room {
            return Err(self.invalid_len(len, room));
        }
        Ok(header)
    }

    /// What holds whatever the producer writes.
    fn check(&self) {
        debug_assert!(self.released <= self.tail && self.tail <= self.head);
        debug_assert!(self.head - self.released <= self.capacity, "more read than a ring holds");
        debug_assert!((self.tail | self.head).is_multiple_of(UNIT as u64));
    }

    /// Recomputes up to where records can be read.
    fn measure(&mut self) {
        self.check();
        self.until = lap_end(self.tail, self.capacity).min(self.head);
    }

    /// Polls the producer's head, or goes over the end of the data; returns whether there is
    /// something new.
    #[inline(never)]
    fn poll_head(&mut self) -> Result<bool, CorruptRing> {
        if self.tail != self.head {
            self.measure();
            return Ok(true);
        }
        // Acquire: pairs with `Producer::publish`. Headers and payloads before our reads.
        let head = self.peer.load(HEAD, M::ord(Site::BytesPeek, Ordering::Acquire));
        if head == self.tail {
            return Ok(false);
        }
        // Checked against what the producer may know to be free, not against what we consumed.
        let valid = head > self.tail && head - self.released <= self.capacity;
        if !valid || !head.is_multiple_of(UNIT as u64) {
            return Err(CorruptRing::Head { head, tail: self.tail });
        }
        self.head = head;
        self.measure();
        let mut at = 0;
        while at < (head - self.tail).min(AHEAD) {
            let byte = (self.tail + at) & (self.capacity - 1);
            self.peer.prefetch(DATA + byte as usize);
            at += LINE;
        }
        Ok(true)
    }

    #[cold]
    fn invalid_len(&self, len: u32, room: u64) -> CorruptRing {
        CorruptRing::Len { at: self.tail, len, room: room.saturating_sub(UNIT as u64) }
    }

    /// Gives all records taken so far back to the producer, in one store.
    #[inline]
    pub fn release(&mut self) {
        if self.released != self.tail {
            self.released = self.tail;
            // Release: pairs with `Producer::reserve`. Our reads come before its writes.
            self.own.store(TAIL, self.tail, M::ord(Site::BytesRelease, Ordering::Release));
        }
    }

    /// Whether a record is waiting. Loads the shared head.
    #[must_use]
    #[inline]
    pub fn has_next(&self) -> bool {
        // Acquire: pairs with `Producer::publish`, as in `poll_head`.
        self.tail != self.head
            || self.peer.load(HEAD, M::ord(Site::BytesPeek, Ordering::Acquire)) != self.tail
    }
}
