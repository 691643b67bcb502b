//! The ring of variable-size records: one producer, one consumer, in place, in batches.
//!
//! ```text
//!  producer block (written by the producer)          consumer block (written by the consumer)
//!  byte 0    head: bytes ever published              byte 0  tail: bytes ever released
//!  byte 128  data: capacity bytes, a power of two            (128 bytes)
//!
//!  record   | len: u32 | tag: u32 | aux: u64 | payload, padded to 16 |
//!  pad      | u32::MAX |                     ... to the end of data  |
//! ```
//! Head and tail only grow, in units of 16 bytes, so full and empty differ and no value comes twice. A
//! record never wraps: where it would, a pad fills the end of the data. Records are written and read
//! in place. [`Producer::publish`] and [`Consumer::release`] each are one store for a whole batch.
//!
//! | word | written by | read by | ordering |
//! |---|---|---|---|
//! | head | producer | consumer, monitors | Release store, Acquire load; monitors Relaxed |
//! | tail | consumer | producer, monitors | Release store, Acquire load; monitors Relaxed |
//! | data | producer before publish, nobody until release | consumer between the two | plain |
//!
//! Why a record takes at most half the ring: a record of `need` bytes may have to skip almost as
//! many at the end; with `need` over half the ring, skipped and needed bytes together could exceed it
//! for ever, even with the ring empty, and the producer would never get on.
//!
//! What goes into a payload: `Pod` frames where the shape is fixed, as in what the kernel's threads send
//! each other; rkyv where it varies (text, lists, options), serialised straight into the [`Grant`] and
//! read in place through the checked `access`, as `shm/tests/rkyv_in_place.rs` shows. For either, a
//! payload begins at a multiple of a unit and has its exact length.
//!
//! What this does not do: it does not wait (see [`crate::wait`]), it does not know what tags mean.
//! The consumer trusts nothing it reads: a record that cannot be is [`Bad`], never a panic.

use core::ops::{Deref, DerefMut};

use crate::claim::{Held, Protocol, SetupError, Side};
use crate::mem::{Mem, Ordering, WORD};
use crate::site::Site;

/// Bytes in a unit: every record starts at a multiple, and so does its payload.
pub const UNIT: usize = 16;

/// Smallest capacity in bytes: room for two records without payload.
pub const CAPACITY_MIN: usize = 2 * UNIT;

/// Largest capacity in bytes.
pub const CAPACITY_MAX: usize = 1 << 31;

const HEAD: usize = 0;
const TAIL: usize = 0;
const DATA: usize = 128;
const CONSUMER_LEN: usize = 128;
/// Bytes beyond the cursor whose cache line is asked for, so that several lines are on their way from
/// core to core at a time: a record's place is known only when the one before it has arrived, and
/// without this the consumer waits for each line alone.
const AHEAD: u64 = 2048;
/// Bytes of a cache line.
const LINE: u64 = 64;
/// Length that marks a pad.
const PAD: u32 = u32::MAX;

/// Lengths of the two blocks of a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Bytes of the producer block.
    pub producer_len: usize,
    /// Bytes of the consumer block.
    pub consumer_len: usize,
    /// Largest payload of a record in bytes.
    pub payload_max: usize,
}

/// The layout of a ring of `capacity_bytes`, headers included.
///
/// # Errors
/// [`SetupError::Parameter`] if the capacity is not a power of two in
/// [`CAPACITY_MIN`]`..=`[`CAPACITY_MAX`].
pub fn layout(capacity_bytes: usize) -> Result<Layout, SetupError> {
    if !capacity_bytes.is_power_of_two() || !(CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity_bytes)
    {
        return Err(SetupError::Parameter {
            protocol: Protocol::BytesProducer,
            what: "capacity in bytes (a power of two)",
            value: capacity_bytes as u64,
            min: CAPACITY_MIN as u64,
            max: CAPACITY_MAX as u64,
        });
    }
    Ok(Layout {
        producer_len: DATA + capacity_bytes,
        consumer_len: CONSUMER_LEN,
        payload_max: capacity_bytes / 2 - UNIT,
    })
}

/// Why no record could be reserved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReserveError {
    /// The consumer has not released enough; it works again later.
    #[error("the ring is full: {need} bytes needed, {free} free; wait for the consumer")]
    Full {
        /// Bytes needed, header and padding included.
        need: usize,
        /// Bytes free when last looked.
        free: usize,
    },
    /// Never fits: more than half the ring.
    #[error("a payload of {len} bytes exceeds the ring's maximum of {max}")]
    TooBig {
        /// Payload asked for, in bytes.
        len: usize,
        /// Largest payload in bytes.
        max: usize,
    },
}

/// What the other side wrote cannot be true. The ring is of no use any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Bad {
    /// The head is behind the tail, more than the capacity before it, or not a whole unit.
    #[error("the ring's head is {head} with the tail at {tail}; its producer is broken")]
    Head {
        /// Bytes published, as read.
        head: u64,
        /// Bytes consumed.
        tail: u64,
    },
    /// A record reaches beyond what was published or beyond the end of the data.
    #[error("the record at byte {at} says {len} bytes, {room} are there; its producer is broken")]
    Len {
        /// Byte of the record, counted like head and tail.
        at: u64,
        /// Length found.
        len: u32,
        /// Bytes that could be there.
        room: u64,
    },
}

/// Bytes of a record with a payload of `len` bytes; `len` is at most the capacity.
#[inline(always)]
fn record_len(len: u64) -> u64 {
    (len + 2 * UNIT as u64 - 1) & !(UNIT as u64 - 1)
}

/// The producer's cursors, private.
#[derive(Debug)]
struct Cursor {
    /// Bytes written, published or not.
    head: u64,
    /// Bytes published.
    published: u64,
    /// Last tail seen.
    tail: u64,
    /// Bytes that can be written up to here without another look: the data end there or are in use.
    until: u64,
    /// Capacity in bytes, a power of two.
    capacity: u64,
}

impl Cursor {
    fn new(capacity: u64) -> Self {
        Self { head: 0, published: 0, tail: 0, until: capacity, capacity }
    }

    /// Says again up to where a record that begins at the head can be written.
    fn measure(&mut self) {
        self.until = lap_end(self.head, self.capacity).min(self.tail + self.capacity);
    }
}

/// End of the lap that a cursor is in: records never cross it.
fn lap_end(cursor: u64, capacity: u64) -> u64 {
    (cursor & !(capacity - 1)) + capacity
}

/// The writing end.
#[derive(Debug)]
pub struct Producer<M: Mem> {
    own: Held<M>,
    peer: Held<M>,
    cursor: Cursor,
}

/// Checks the two blocks; gives the capacity in bytes.
fn check_blocks<M: Mem>(producer: &M, consumer: &M) -> Result<u64, SetupError> {
    let have = producer.len_bytes();
    let capacity = have.saturating_sub(DATA);
    let shape = layout(capacity)?;
    if consumer.len_bytes() < shape.consumer_len {
        return Err(SetupError::Size {
            protocol: Protocol::BytesConsumer,
            need: shape.consumer_len,
            have: consumer.len_bytes(),
        });
    }
    Ok(capacity as u64)
}

impl<M: Mem> Producer<M> {
    /// Claims the writing end over the two zeroed blocks of [`layout`].
    ///
    /// # Errors
    /// [`SetupError`] if the blocks have other sizes or the end is claimed.
    pub fn new(producer: M, consumer: M) -> Result<Self, SetupError> {
        let capacity = check_blocks(&producer, &consumer)?;
        let own = Held::claim(producer, Protocol::BytesProducer, Side::Writer)?;
        let peer = Held::claim(consumer, Protocol::BytesConsumer, Side::Peer)?;
        Ok(Self { own, peer, cursor: Cursor::new(capacity) })
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
        // free: released by the consumer (Acquire load of the tail in `reclaim`) and not published
        // again. The grant borrows the producer, so there is one at a time.
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

    /// Whether the consumer has released everything published. Looks at the shared tail.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        // Acquire: pairs with `Consumer::release`.
        self.peer.load(TAIL, M::ord(Site::BytesReclaim, Ordering::Acquire)) == self.cursor.published
    }
}

/// Finds room for a record of `need` bytes behind the last look or the end of the data; gives the
/// pad before it.
#[inline(never)]
fn make_room<M: Mem>(peer: &Held<M>, cursor: &mut Cursor, need: u64) -> Result<u64, ReserveError> {
    let to_end = lap_end(cursor.head, cursor.capacity) - cursor.head;
    let pad = if need > to_end { to_end } else { 0 };
    let total = pad + need;
    if total > cursor.capacity - (cursor.head - cursor.tail) {
        // Acquire: pairs with `Consumer::release`. The consumer's reads of these bytes come before
        // our writes.
        let tail = peer.load(TAIL, M::ord(Site::BytesReclaim, Ordering::Acquire));
        // A tail that cannot be changes nothing: it only ever hides free bytes.
        let possible = tail >= cursor.tail && tail <= cursor.published;
        if possible && tail.is_multiple_of(UNIT as u64) {
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
    own: &'a Held<M>,
    cursor: &'a mut Cursor,
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

/// The reading end.
#[derive(Debug)]
pub struct Consumer<M: Mem> {
    own: Held<M>,
    peer: Held<M>,
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
pub struct Record<'a, M: Mem + 'a> {
    window: M::Window<'a>,
    /// The user's tag.
    pub tag: u32,
    /// The user's number.
    pub aux: u64,
}

impl<M: Mem> Deref for Record<'_, M> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.window
    }
}

impl<M: Mem> Consumer<M> {
    /// Claims the reading end over the two zeroed blocks of [`layout`].
    ///
    /// # Errors
    /// [`SetupError`] if the blocks have other sizes or the end is claimed.
    pub fn new(producer: M, consumer: M) -> Result<Self, SetupError> {
        let capacity = check_blocks(&producer, &consumer)?;
        let peer = Held::claim(producer, Protocol::BytesProducer, Side::Peer)?;
        let own = Held::claim(consumer, Protocol::BytesConsumer, Side::Writer)?;
        Ok(Self { own, peer, tail: 0, released: 0, head: 0, until: 0, capacity })
    }

    /// The next record, if one is published. It stays the consumer's until [`Consumer::release`].
    ///
    /// # Errors
    /// [`Bad`] if the producer wrote what cannot be; the ring is then dead.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend from itself")]
    pub fn next(&mut self) -> Result<Option<Record<'_, M>>, Bad> {
        if self.tail == self.until && !self.look()? {
            return Ok(None);
        }
        let mut header = self.header();
        // A pad says that it is longer than any ring.
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
        Ok(Some(Record { window, tag, aux }))
    }

    /// The header at the tail, which is before `until`.
    #[inline(always)]
    fn header(&self) -> u64 {
        let at = (self.tail & (self.capacity - 1)) as usize;
        // SAFETY: a unit in the data; `look` found it published (Acquire load of the head), and it is
        // not released.
        unsafe { self.peer.get((DATA + at) / WORD) }
    }

    /// Goes past a pad to the header behind it; anything else than a pad is broken.
    #[inline(never)]
    fn skip_pad(&mut self, header: u64) -> Result<u64, Bad> {
        let (len, room) = (header as u32, self.until - self.tail);
        let end = lap_end(self.tail, self.capacity);
        // A pad is only published together with the record behind it.
        if len != PAD || self.head <= end {
            return Err(self.bad_len(len, room));
        }
        self.tail = end;
        self.measure();
        let header = self.header();
        let (len, room) = (header as u32, self.until - self.tail);
        if record_len(u64::from(len)) > room {
            return Err(self.bad_len(len, room));
        }
        Ok(header)
    }

    /// Says again up to where records can be read.
    fn measure(&mut self) {
        self.until = lap_end(self.tail, self.capacity).min(self.head);
    }

    /// Looks at the producer's progress, or over the end of the data; gives whether there is
    /// something new.
    #[inline(never)]
    fn look(&mut self) -> Result<bool, Bad> {
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
        let possible = head > self.tail && head - self.released <= self.capacity;
        if !possible || !head.is_multiple_of(UNIT as u64) {
            return Err(Bad::Head { head, tail: self.tail });
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
    fn bad_len(&self, len: u32, room: u64) -> Bad {
        Bad::Len { at: self.tail, len, room: room.saturating_sub(UNIT as u64) }
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

    /// Whether a record is waiting. Looks at the shared head.
    #[must_use]
    #[inline]
    pub fn has_next(&self) -> bool {
        // Acquire: pairs with `Producer::publish`, as in `look`.
        self.tail != self.head
            || self.peer.load(HEAD, M::ord(Site::BytesPeek, Ordering::Acquire)) != self.tail
    }
}

/// A monitor's view of how full a ring is; never of what is in it.
#[derive(Debug)]
pub struct Gauge<M: Mem> {
    producer: Held<M>,
    consumer: Held<M>,
}

impl<M: Mem> Gauge<M> {
    /// Opens the gauge over the two blocks.
    ///
    /// # Errors
    /// [`SetupError`] if the blocks do not have the sizes of a ring.
    pub fn new(producer: M, consumer: M) -> Result<Self, SetupError> {
        check_blocks(&producer, &consumer)?;
        Ok(Self {
            producer: Held::claim(producer, Protocol::BytesProducer, Side::Watcher)?,
            consumer: Held::claim(consumer, Protocol::BytesConsumer, Side::Watcher)?,
        })
    }

    /// Bytes ever published and bytes now waiting; a moment apart, so for display only.
    #[must_use]
    pub fn read(&self) -> (u64, u64) {
        // Relaxed: two numbers for display; the payload is never touched.
        let tail = self.consumer.load(TAIL, Ordering::Relaxed);
        let head = self.producer.load(HEAD, Ordering::Relaxed);
        (head, head.saturating_sub(tail))
    }
}
