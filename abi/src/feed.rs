//! What a feeder, another process that hands inputs over, and a kernel say to each other at the
//! socket before they share memory, and the records of their ring.
//!
//! ```text
//!  feeder                                   kernel
//!  FeedRequest                        ->
//!                                     <-    FeedHello, and with code 0 the memory's descriptor
//!  records in the ring, tag and aux:
//!    stream, sequence: an input
//!    FEED_END, sequence: no input comes any more
//!  a byte at the socket: wake up      <->
//! ```
//! Sequences number the inputs of a source from 0. The kernel says which it expects. One that is
//! smaller was taken before and is passed over; one that is larger means that those between are
//! lost.
//!
//! What this does not do: it knows no socket and no memory.

use bytemuck::{Pod, Zeroable};

use crate::codes;

/// First word of both messages.
pub const FEED_MAGIC: u64 = u64::from_le_bytes(*b"WE-FEED\n");
/// Version of messages, memory and records. Others are refused.
pub const FEED_VERSION: u32 = 1;
/// Tag of the record behind the last input.
pub const FEED_END: u32 = u32::MAX;
/// Sequences are below this: a larger one is nonsense.
pub const FEED_SEQ_MAX: u64 = 1 << 62;

/// What a feeder says first.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct FeedRequest {
    /// [`FEED_MAGIC`].
    pub magic: u64,
    /// [`FEED_VERSION`] of the feeder.
    pub version: u32,
    /// 0.
    pub reserved: u32,
}

impl FeedRequest {
    /// Of this version.
    pub const THIS: Self = Self { magic: FEED_MAGIC, version: FEED_VERSION, reserved: 0 };
}

/// What the kernel answers.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct FeedHello {
    /// [`FEED_MAGIC`].
    pub magic: u64,
    /// [`FEED_VERSION`] of the kernel.
    pub version: u32,
    /// 0, or a [`FeedRefusal`].
    pub code: u32,
    /// The run, the same after it was resumed.
    pub run_id: [u8; 16],
    /// Bytes of the ring.
    pub ring_bytes: u64,
    /// Bytes of the keys behind the ring, each followed by a line end.
    pub keys_bytes: u64,
    /// Sequence that is expected next.
    pub next_seq: u64,
    /// How many are durable.
    pub durable_seq: u64,
    /// Bytes of the longest payload.
    pub payload_bytes_max: u32,
    /// 1 where the run has a log; without one nothing ever becomes durable.
    pub has_log: u32,
}

impl FeedHello {
    /// An answer that says no.
    #[must_use]
    pub fn refusing(refusal: FeedRefusal) -> Self {
        let code = refusal as u32;
        Self { magic: FEED_MAGIC, version: FEED_VERSION, code, ..Self::zeroed() }
    }
}

codes! {
/// Why a kernel does not take a feeder.
enum FeedRefusal: u32, reserved [0] {
    /// Another feeder of this source is connected.
    Busy = 1 "another feeder of this source is connected; end it first",
    /// Feeder and kernel are of releases that do not understand each other.
    Version = 2 "kernel and feeder are of different releases; build both from one",
    /// The source takes no more inputs.
    Closed = 3 "the source is closed; it takes no more inputs",
    /// There is no memory to share.
    Memory = 4 "the kernel has no memory to share",
}
}

const _: () = assert!(size_of::<FeedRequest>() == 16 && size_of::<FeedHello>() == 72);
