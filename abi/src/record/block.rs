//! Segments, blocks and records: how the log lies on disk (SEMANTICS L3).
//!
//! ```text
//! directory      000000.log  000001.log  ...          (and outputs.jsonl, which is no part of it)
//! segment        segment header 64 | block | block | ...                  a new one when full
//! block          block header 64 | records, `len` bytes | block footer 8         at most 1 MiB
//! record         record header 16 | payload | zeros up to a multiple of 8
//!
//! segment header 0 magic "WE-EVLOG" | 8 version u32 | 12 segment u32 | 16 run id 16
//!                32 first block u64 | 40 previous crc u32 | 44 zeros 16 | 60 crc u32
//! block header   0 magic "WEBK" | 4 previous crc u32 | 8 run id 16 | 24 block u64
//!                32 first tick u64 | 40 last tick u64 | 48 len u32 | 52 records u32
//!                56 crc of the records u32 | 60 crc u32
//! block footer   0 len u32 | 4 magic "KBEW"
//! record header  0 len u32 | 4 kind u16 | 6 flags u16 | 8 tick u64
//! ```
//! All checksums are CRC-32C (see [`crc32c`](super::crc32c)). A header's own crc covers its first
//! 60 bytes; the crc of the records stands inside the block header, so it is covered too.
//! `previous crc` is the crc field of the header before: a segment's first block names its segment
//! header, a segment names the last block of the segment before (or that segment's header if it has
//! no block); the first segment has 0. So every byte of a log is covered, and no block can be left
//! out, repeated or moved.
//!
//! A record longer than a fragment is cut: the first fragment carries [`flags::FIRST`], the last
//! [`flags::LAST`], a whole record both. Fragments of one record follow each other without others
//! between; only a [`kind::RESUMED`] may abandon a record that a crash left unfinished.
//!
//! The footer is what tells a torn block from a damaged one, see `scan.rs`.

use bytemuck::{Pod, Zeroable};

use crate::codes;

/// First bytes of every segment.
pub const SEGMENT_MAGIC: [u8; 8] = *b"WE-EVLOG";
/// First bytes of every block.
pub const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"WEBK");
/// Last bytes of every block.
pub const FOOTER_MAGIC: u32 = u32::from_le_bytes(*b"KBEW");
/// Version of the layouts in this file and of the rules that execute what is in them (SEMANTICS):
/// a log is executed by the rules under which it was written, or refused by this number. Magic,
/// version and the place of the segment header's crc stay where they are in all versions.
pub const LOG_VERSION: u32 = 3;
/// Longest block, header and footer included (SEMANTICS L3).
pub const BLOCK_BYTES_MAX: usize = 1 << 20;
/// Shortest length to which blocks may be limited.
pub const BLOCK_BYTES_MIN: usize = 256;
/// Longest fragment, without its header.
pub const FRAGMENT_BYTES_MAX: usize = 64 << 10;
/// Longest record, all fragments together: what a reader must be able to hold.
pub const RECORD_BYTES_MAX: usize = 1 << 30;
/// Most segments of a log: six digits.
pub const SEGMENTS_MAX: u32 = 1_000_000;

/// Bytes of a segment header.
pub const SEGMENT_HEADER_BYTES: usize = size_of::<SegmentHeader>();
/// Bytes of a block header.
pub const BLOCK_HEADER_BYTES: usize = size_of::<BlockHeader>();
/// Bytes of a block footer.
pub const BLOCK_FOOTER_BYTES: usize = size_of::<BlockFooter>();
/// Bytes of a record header.
pub const RECORD_HEADER_BYTES: usize = size_of::<RecordHeader>();
/// Bytes of a header in front of its crc.
pub(super) const CRC_AT: usize = 60;
/// Bytes of a block header that are known before it is read: magic, previous crc, run id, number.
pub(super) const KNOWN_BYTES: usize = 32;

/// Head of a segment file. The layout is drawn above.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct SegmentHeader {
    /// [`SEGMENT_MAGIC`].
    pub magic: [u8; 8],
    /// [`LOG_VERSION`].
    pub version: u32,
    /// Number of the segment, from 0; also its file name.
    pub segment: u32,
    /// Identifies the run; the same in all segments and blocks.
    pub run_id: [u8; 16],
    /// Number of the first block in it, counted over the whole log.
    pub first_block: u64,
    /// Crc field of the last header in the segment before; 0 in the first segment.
    pub prev_crc: u32,
    /// Zeros.
    pub reserved: [u32; 4],
    /// CRC-32C of the 60 bytes before.
    pub crc: u32,
}

/// Head of a block. The layout is drawn above.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct BlockHeader {
    /// [`BLOCK_MAGIC`].
    pub magic: u32,
    /// Crc field of the header before this one.
    pub prev_crc: u32,
    /// Identifies the run.
    pub run_id: [u8; 16],
    /// Number of the block, from 0 over the whole log.
    pub block: u64,
    /// Smallest tick of its records.
    pub first_tick: u64,
    /// Largest tick of its records.
    pub last_tick: u64,
    /// Bytes of records behind the header; a multiple of 8.
    pub len: u32,
    /// Fragments in it.
    pub records: u32,
    /// CRC-32C of the records.
    pub records_crc: u32,
    /// CRC-32C of the 60 bytes before.
    pub crc: u32,
}

impl BlockHeader {
    /// Bytes of the whole block, header and footer included.
    #[must_use]
    #[inline]
    pub const fn block_bytes(&self) -> usize {
        BLOCK_HEADER_BYTES + self.len as usize + BLOCK_FOOTER_BYTES
    }
}

/// End of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct BlockFooter {
    /// Bytes of records, as in the header.
    pub len: u32,
    /// [`FOOTER_MAGIC`].
    pub magic: u32,
}

/// Head of a record or of a fragment of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct RecordHeader {
    /// Payload bytes, without padding.
    pub len: u32,
    /// One of [`kind`].
    pub kind: u16,
    /// Bits of [`flags`].
    pub flags: u16,
    /// Tick that the record belongs to; 0 for those before the first tick.
    pub tick: u64,
}

/// Bits of [`RecordHeader::flags`].
pub mod flags {
    /// First fragment of a record.
    pub const FIRST: u16 = 1;
    /// Last fragment of a record.
    pub const LAST: u16 = 2;
    /// Both: a record in one piece.
    pub const WHOLE: u16 = FIRST | LAST;
}

codes! {
/// Kinds of record. Readers pass over kinds they do not know.
kind: u16 {
    /// The setup of the run, canonical JSON; the first record of every log (SEMANTICS L4).
    RUN = 1 "run",
    /// The engine: version, fingerprint, cost table, instrumentation, library hash, CPU class.
    ENGINE = 2 "engine",
    /// A module, admitted: its bytes.
    MODULE = 3 "module",
    /// A model: its metadata, not its weights.
    MODEL = 4 "model",
    /// The log goes on after a stop or crash: [`Resumed`](super::Resumed). Written by the log
    /// itself.
    RESUMED = 5 "resumed",
    /// All outside facts of a tick (SEMANTICS L1): [`Facts`](crate::record::Facts).
    TICK_OPEN = 16 "tick_open",
    /// The digests of a tick: [`TickClose`](crate::record::TickClose).
    TICK_CLOSE = 17 "tick_close",
    /// A message, at level `full`.
    MESSAGE = 18 "message",
    /// The run was closed in order. Without payload, written by the log itself.
    END = 19 "end",
}
}

/// Payload of a [`kind::RESUMED`] record: what the log before it came to. All of it follows from
/// that log, so a reader compares every byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Resumed {
    /// Ticks opened before, as last tick + 1; 0 if none was.
    pub ticks: u64,
    /// Complete records of the tick left open that count no more, because it is executed again.
    pub unfinished_records: u64,
}

/// Bytes that a record or fragment with `len` payload bytes takes in a block.
#[must_use]
#[inline]
pub const fn record_bytes(len: usize) -> usize {
    RECORD_HEADER_BYTES + len.next_multiple_of(8)
}

/// Payload bytes of the longest fragment that fits a block of `block_bytes`.
#[must_use]
pub const fn fragment_bytes(block_bytes: usize) -> usize {
    let room = block_bytes - BLOCK_HEADER_BYTES - BLOCK_FOOTER_BYTES - RECORD_HEADER_BYTES;
    let room = room / 8 * 8;
    if room < FRAGMENT_BYTES_MAX { room } else { FRAGMENT_BYTES_MAX }
}

const _: () = assert!(SEGMENT_HEADER_BYTES == 64);
const _: () = assert!(BLOCK_HEADER_BYTES == 64);
const _: () = assert!(BLOCK_FOOTER_BYTES == 8);
const _: () = assert!(RECORD_HEADER_BYTES == 16);
const _: () = assert!(core::mem::offset_of!(SegmentHeader, crc) == CRC_AT);
const _: () = assert!(core::mem::offset_of!(BlockHeader, crc) == CRC_AT);
const _: () = assert!(core::mem::offset_of!(BlockHeader, first_tick) == KNOWN_BYTES);
const _: () = assert!(fragment_bytes(BLOCK_BYTES_MIN) == 168);
const _: () = assert!(fragment_bytes(BLOCK_BYTES_MAX) == FRAGMENT_BYTES_MAX);
const _: () = assert!(SEGMENT_MAGIC[7] != 0 && FOOTER_MAGIC >> 24 != 0 && FOOTER_MAGIC & 0xFF != 0);
