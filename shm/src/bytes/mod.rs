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
//! Head and tail only grow, in units of 16 bytes, so full and empty differ and no value comes
//! twice. A record never wraps: where it would, a pad fills the end of the data. Records are
//! written and read in place. [`Producer::publish`] and [`Consumer::release`] each are one store
//! for a whole batch.
//!
//! | word | written by | read by | ordering |
//! |---|---|---|---|
//! | head | producer | consumer, monitors | Release store, Acquire load; monitors Relaxed |
//! | tail | consumer | producer, monitors | Release store, Acquire load; monitors Relaxed |
//! | data | producer before publish, nobody until release | consumer between the two | plain |
//!
//! Why a record takes at most half the ring: a record of `need` bytes may have to skip almost as
//! many at the end; with `need` over half the ring, skipped and needed bytes together could exceed
//! it for ever, even with the ring empty, and the producer would never make progress.
//!
//! What goes into a payload: `Pod` frames where the shape is fixed, as in what the kernel's threads
//! send each other; rkyv where it varies (text, lists, options), serialised straight into the
//! [`Grant`] and read in place through the checked `access`, as `shm/tests/shm/rkyv_in_place.rs`
//! shows. For either, a payload begins at a multiple of a unit and has its exact length.
//!
//! What this does not do: it does not wait (see [`crate::wait`]), it does not know what tags mean.
//! The consumer trusts nothing it reads: an invalid record is [`CorruptRing`], never a panic.

mod consumer;
mod producer;

pub use self::consumer::{Consumer, RingRecord};
pub use self::producer::{Grant, Producer};
use crate::lease::{Leased, Protocol, SetupError, Side};
use crate::mem::{Mem, Ordering};

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
/// Bytes beyond the cursor whose cache line is asked for, so that several lines are on their way
/// from core to core at a time: a record's position is known only when the one before it has
/// arrived, and without this the consumer waits for each line alone.
const AHEAD: u64 = 2048;
/// Bytes of a cache line.
const LINE: u64 = 64;
/// Length that marks a pad.
const PAD: u32 = u32::MAX;

/// Lengths of the two blocks of a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BytesLayout {
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
pub fn layout(capacity_bytes: usize) -> Result<BytesLayout, SetupError> {
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
    Ok(BytesLayout {
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
        /// Bytes free at the last poll of the tail.
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

/// The producer wrote something invalid. The ring must not be used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CorruptRing {
    /// The head is behind the tail, more than the capacity before it, or not a whole unit.
    #[error("the ring is corrupt: its head is {head} with the tail at {tail}")]
    Head {
        /// Bytes published, as read.
        head: u64,
        /// Bytes consumed.
        tail: u64,
    },
    /// A record reaches beyond what was published or beyond the end of the data.
    #[error("the ring is corrupt: the record at byte {at} has {len} bytes where {room} are left")]
    Len {
        /// Byte of the record, counted like head and tail.
        at: u64,
        /// Length found.
        len: u32,
        /// Bytes of payload left for it.
        room: u64,
    },
}

/// Bytes of a record with a payload of `len` bytes; `len` is at most the capacity.
#[inline(always)]
fn record_len(len: u64) -> u64 {
    (len + 2 * UNIT as u64 - 1) & !(UNIT as u64 - 1)
}

/// End of the lap that a cursor is in: records never cross it.
fn lap_end(cursor: u64, capacity: u64) -> u64 {
    (cursor & !(capacity - 1)) + capacity
}

/// Checks the two blocks; returns the capacity in bytes.
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

/// A monitor's view of how full a ring is, never of its content.
#[derive(Debug)]
pub struct Gauge<M: Mem> {
    producer: Leased<M>,
    consumer: Leased<M>,
}

impl<M: Mem> Gauge<M> {
    /// Opens the gauge over the two blocks.
    ///
    /// # Errors
    /// [`SetupError`] if the blocks do not have the sizes of a ring.
    pub fn new(producer: M, consumer: M) -> Result<Self, SetupError> {
        check_blocks(&producer, &consumer)?;
        Ok(Self {
            producer: Leased::new(producer, Protocol::BytesProducer, Side::Watcher)?,
            consumer: Leased::new(consumer, Protocol::BytesConsumer, Side::Watcher)?,
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
