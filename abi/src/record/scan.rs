//! Checking a log's bytes: the chain of blocks, what is wrong where, and torn or damaged.
//!
//! [`Chain`] is the state between two blocks: what the next header must say. The writer seals
//! blocks with it, readers check them with it, so both follow one source. [`scan`] walks a segment
//! in memory; a reader that streams calls the same checks block by block.
//!
//! # Torn or damaged
//! A crash leaves what was written up to some byte, and a file system may have made the file longer
//! than that with zeros. So the end of the last segment is *torn* if
//! - the file ends inside the block: inside its header, of which the first 32 bytes are known in
//!   advance and must be right, or behind a header whose own crc is right; or
//! - the file is long enough, but from some byte inside the header on, or from the footer on at the
//!   latest, there is nothing but zeros up to the end of the file.
//!
//! Everything else is *damaged*. In particular a block whose footer is there was written to its
//! end: the footer is the last thing written, at 8-aligned bytes that no sector boundary cuts, and
//! never zero. A wrong checksum before it is a changed byte, not a crash, in the last block too.
//! The price: if a power loss lets a later page of an unsynced block reach the disk before an
//! earlier one, that is called damage. No single changed byte of a whole block can pass as torn: a
//! block's header and footer have several bytes that are not zero.
//!
//! A bad block that is not at the end of the last segment is always damage (SEMANTICS L5).

use bytemuck::{Pod, bytes_of};
use core::fmt;

use super::block::{
    BLOCK_BYTES_MAX, BLOCK_FOOTER_BYTES, BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockFooter, BlockHeader,
    CRC_AT, FOOTER_MAGIC, KNOWN_BYTES, LOG_VERSION, RECORD_HEADER_BYTES, RecordHeader,
    SEGMENT_HEADER_BYTES, SEGMENT_MAGIC, SegmentHeader, flags, record_bytes,
};
use super::corruption::Corruption;
use super::crc::Crc;

/// The state between two blocks: what the next header must say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chain {
    /// Identifies the run.
    pub run_id: [u8; 16],
    /// Number of the next segment.
    pub segment: u32,
    /// Number of the next block.
    pub block: u64,
    /// Crc field of the last header.
    pub prev_crc: u32,
}

impl Chain {
    /// The state before the first segment of a run.
    #[must_use]
    pub const fn new(run_id: [u8; 16]) -> Self {
        Self { run_id, segment: 0, block: 0, prev_crc: 0 }
    }

    /// The state before a segment, as its own header tells it: for the first segment read.
    ///
    /// # Errors
    /// [`Corruption`] if the bytes are no sound segment header.
    pub fn before(header: &[u8], crc: Crc) -> Result<Self, Corruption> {
        let found = sound_segment(header, crc)?;
        let SegmentHeader { run_id, segment, first_block, prev_crc, .. } = found;
        Ok(Self { run_id, segment, block: first_block, prev_crc })
    }

    /// The next segment's header: there is only one that fits.
    #[must_use]
    pub fn segment_header(&self, crc: Crc) -> SegmentHeader {
        let mut header = SegmentHeader {
            magic: SEGMENT_MAGIC,
            version: LOG_VERSION,
            segment: self.segment,
            run_id: self.run_id,
            first_block: self.block,
            prev_crc: self.prev_crc,
            ..SegmentHeader::default()
        };
        header.crc = crc(0, &bytes_of(&header)[..CRC_AT]);
        header
    }

    /// Goes past a segment header made by [`Chain::segment_header`].
    pub fn enter(&mut self, header: &SegmentHeader) {
        self.segment += 1;
        self.prev_crc = header.crc;
    }

    /// Checks the header of the next segment and goes past it.
    ///
    /// # Errors
    /// [`Corruption`]; the chain is as before.
    pub fn check_segment(&mut self, header: &[u8], crc: Crc) -> Result<SegmentHeader, Corruption> {
        let found = sound_segment(header, crc)?;
        if found.run_id != self.run_id {
            return Err(Corruption::RunId);
        }
        if found.segment != self.segment {
            return Err(Corruption::SegmentNumber { found: found.segment });
        }
        if found.prev_crc != self.prev_crc {
            let expected = self.prev_crc;
            return Err(Corruption::PreviousCrc { found: found.prev_crc, expected });
        }
        if found.first_block != self.block {
            return Err(Corruption::BlockNumber { found: found.first_block });
        }
        self.enter(&found);
        Ok(found)
    }

    /// Makes `block` the next block: writes header and footer around the records that lie behind
    /// the place of the header. The chain goes past it.
    ///
    /// # Panics
    /// If `block` is shorter than header and footer, longer than [`BLOCK_BYTES_MAX`], or its
    /// length is no multiple of 8.
    pub fn seal(
        &mut self,
        block: &mut [u8],
        records: u32,
        first_tick: u64,
        last_tick: u64,
        crc: Crc,
    ) {
        assert!(block.len() <= BLOCK_BYTES_MAX && block.len().is_multiple_of(8));
        let body_end = block.len() - BLOCK_FOOTER_BYTES;
        let len = (body_end - BLOCK_HEADER_BYTES) as u32;
        let mut header = BlockHeader {
            magic: BLOCK_MAGIC,
            prev_crc: self.prev_crc,
            run_id: self.run_id,
            block: self.block,
            first_tick,
            last_tick,
            len,
            records,
            records_crc: crc(0, &block[BLOCK_HEADER_BYTES..body_end]),
            crc: 0,
        };
        header.crc = crc(0, &bytes_of(&header)[..CRC_AT]);
        block[..BLOCK_HEADER_BYTES].copy_from_slice(bytes_of(&header));
        block[body_end..].copy_from_slice(bytes_of(&BlockFooter { len, magic: FOOTER_MAGIC }));
        self.block += 1;
        self.prev_crc = header.crc;
    }

    /// Checks the header of the next block. The chain stays before it.
    ///
    /// # Errors
    /// [`Corruption`].
    pub fn check_header(&self, header: &[u8], crc: Crc) -> Result<BlockHeader, Corruption> {
        let found = sound_block(header, crc)?;
        if found.run_id != self.run_id {
            return Err(Corruption::RunId);
        }
        if found.prev_crc != self.prev_crc {
            let expected = self.prev_crc;
            return Err(Corruption::PreviousCrc { found: found.prev_crc, expected });
        }
        if found.block != self.block {
            return Err(Corruption::BlockNumber { found: found.block });
        }
        Ok(found)
    }

    /// Checks what follows a checked header, records and footer, and goes past the block.
    ///
    /// # Errors
    /// [`Corruption`]; the chain is as before.
    pub fn check_rest(
        &mut self,
        header: &BlockHeader,
        rest: &[u8],
        crc: Crc,
    ) -> Result<(), Corruption> {
        let len = header.len as usize;
        let body = rest.get(..len).ok_or(Corruption::Short)?;
        let footer = rest.get(len..len + BLOCK_FOOTER_BYTES).ok_or(Corruption::Short)?;
        if footer != bytes_of(&BlockFooter { len: header.len, magic: FOOTER_MAGIC }) {
            return Err(Corruption::Footer);
        }
        let computed = crc(0, body);
        if computed != header.records_crc {
            return Err(Corruption::RecordsCrc { found: header.records_crc, computed });
        }
        check_records(header, body)?;
        self.block += 1;
        self.prev_crc = header.crc;
        Ok(())
    }
}

/// Reads a struct from the first bytes, wherever they lie.
fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    Some(bytemuck::pod_read_unaligned(bytes.get(..size_of::<T>())?))
}

fn check_crc(header: &[u8], found: u32, crc: Crc) -> Result<(), Corruption> {
    let computed = crc(0, &header[..CRC_AT]);
    if found == computed { Ok(()) } else { Err(Corruption::HeaderCrc { found, computed }) }
}

/// A segment header that is sound in itself.
fn sound_segment(header: &[u8], crc: Crc) -> Result<SegmentHeader, Corruption> {
    let found: SegmentHeader = read(header).ok_or(Corruption::Short)?;
    if found.magic != SEGMENT_MAGIC {
        return Err(Corruption::SegmentMagic);
    }
    check_crc(header, found.crc, crc)?;
    if found.version == LOG_VERSION {
        Ok(found)
    } else {
        Err(Corruption::Version { found: found.version })
    }
}

/// A block header that is sound in itself, whatever it follows.
///
/// # Errors
/// [`Corruption`] if the bytes are no block header.
pub fn sound_block(header: &[u8], crc: Crc) -> Result<BlockHeader, Corruption> {
    let found: BlockHeader = read(header).ok_or(Corruption::Short)?;
    if found.magic != BLOCK_MAGIC {
        return Err(Corruption::BlockMagic);
    }
    check_crc(header, found.crc, crc)?;
    let room = BLOCK_BYTES_MAX - BLOCK_HEADER_BYTES - BLOCK_FOOTER_BYTES;
    if !found.len.is_multiple_of(8) || found.len as usize > room {
        return Err(Corruption::Len { found: found.len });
    }
    Ok(found)
}

/// Walks the records of a block: lengths, flags, padding, ticks, count.
fn check_records(header: &BlockHeader, body: &[u8]) -> Result<(), Corruption> {
    let (mut at, mut count) = (0, 0);
    let ticks = header.first_tick..=header.last_tick;
    while at < body.len() {
        let bad = Corruption::Record { at: at as u32 };
        let record: RecordHeader = read(&body[at..]).ok_or(bad)?;
        if record.len as usize > body.len() {
            return Err(bad);
        }
        let start = at + RECORD_HEADER_BYTES;
        let end = at + record_bytes(record.len as usize);
        let padding = body.get(start + record.len as usize..end).ok_or(bad)?;
        let known = record.flags & !flags::WHOLE == 0;
        if !known || !ticks.contains(&record.tick) || padding.iter().any(|byte| *byte != 0) {
            return Err(bad);
        }
        (at, count) = (end, count + 1);
    }
    if count == header.records { Ok(()) } else { Err(Corruption::Record { at: body.len() as u32 }) }
}

/// The record at byte `at` of a block's checked records, and the byte of the next; `None` at the
/// end.
#[must_use]
pub fn record_at(body: &[u8], at: usize) -> Option<(RecordHeader, &[u8], usize)> {
    let header: RecordHeader = read(body.get(at..)?)?;
    let start = at + RECORD_HEADER_BYTES;
    let payload = body.get(start..start + header.len as usize)?;
    Some((header, payload, at + record_bytes(header.len as usize)))
}

/// The end of the last segment, of which [`Chain`] says what should be there.
#[derive(Clone, Copy, Debug)]
pub struct Tail<'a> {
    /// The first bytes, up to 64.
    pub head: &'a [u8],
    /// Bytes up to the end of the file.
    pub bytes: u64,
    /// Bytes up to and with the last one that is not zero.
    pub solid: u64,
}

impl<'a> Tail<'a> {
    /// The tail that `rest` is.
    #[must_use]
    pub fn of(rest: &'a [u8]) -> Self {
        let solid = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let head = &rest[..rest.len().min(BLOCK_HEADER_BYTES)];
        Self { head, bytes: rest.len() as u64, solid: solid as u64 }
    }

    /// Whether the head begins like `known`, as far as it goes before its zeros.
    fn begins(&self, known: &[u8]) -> bool {
        let len = known.len().min(self.head.len()).min(self.solid as usize);
        self.head[..len] == known[..len]
    }

    /// Whether a crash while a segment was begun can have left this.
    #[must_use]
    pub fn is_torn_segment(&self, chain: &Chain, crc: Crc) -> bool {
        let cut = self.bytes.min(self.solid) < SEGMENT_HEADER_BYTES as u64;
        cut && self.begins(bytes_of(&chain.segment_header(crc)))
    }

    /// Whether a crash while a block was written can have left this; see the head of this file.
    #[must_use]
    pub fn is_torn_block(&self, chain: &Chain, crc: Crc) -> bool {
        let Chain { run_id, block, prev_crc, .. } = *chain;
        let known =
            BlockHeader { magic: BLOCK_MAGIC, prev_crc, run_id, block, ..BlockHeader::default() };
        if !self.begins(&bytes_of(&known)[..KNOWN_BYTES]) {
            return false;
        }
        let Ok(header) = chain.check_header(self.head, crc) else {
            return self.bytes.min(self.solid) < BLOCK_HEADER_BYTES as u64;
        };
        let whole = header.block_bytes() as u64;
        self.bytes < whole || self.solid <= whole - BLOCK_FOOTER_BYTES as u64
    }
}

/// A block found sound by [`scan`].
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Its header.
    pub header: BlockHeader,
    /// Byte of the header in the segment.
    pub offset: usize,
    /// Its records.
    pub body: &'a [u8],
}

impl<'a> Block<'a> {
    /// Its records and fragments: byte of the header behind the block header, header, payload.
    pub fn records(&self) -> impl Iterator<Item = (usize, RecordHeader, &'a [u8])> + use<'a> {
        let (body, mut at) = (self.body, 0);
        core::iter::from_fn(move || {
            let (header, payload, next) = record_at(body, at)?;
            Some((core::mem::replace(&mut at, next), header, payload))
        })
    }
}

/// Where and why [`scan`] could not go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CorruptBlock {
    /// Byte of the header in front of which the scan stopped.
    pub offset: usize,
    /// Number of the block that should be there.
    pub block: u64,
    /// What is wrong.
    pub corruption: Corruption,
    /// Whether a crash explains it, if this is the end of the last segment.
    pub torn: bool,
}

impl fmt::Display for CorruptBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, block, corruption, .. } = self;
        write!(f, "block {block} at byte {offset} is corrupt: {corruption}")
    }
}

impl core::error::Error for CorruptBlock {}

/// A walk over the blocks of one segment in memory.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    bytes: &'a [u8],
    chain: Chain,
    crc: Crc,
    at: usize,
    done: bool,
}

/// Walks the bytes of a segment: its sound blocks in order, then, if they do not reach its end,
/// what is wrong.
///
/// `before` is the chain at the end of the segment before; without it, the segment's header is
/// believed about its place in the log.
///
/// # Errors
/// [`CorruptBlock`] if the segment's header is not sound or does not follow `before`.
pub fn scan(bytes: &[u8], before: Option<Chain>, crc: Crc) -> Result<Scan<'_>, CorruptBlock> {
    let tail = Tail::of(bytes);
    let corrupt = |corruption, block, torn| CorruptBlock { offset: 0, block, corruption, torn };
    let mut chain = match before {
        Some(chain) => chain,
        None => Chain::before(bytes, crc)
            .map_err(|corruption| corrupt(corruption, 0, tail.solid == 0))?,
    };
    chain.check_segment(bytes, crc).map_err(|corruption| {
        corrupt(corruption, chain.block, tail.is_torn_segment(&chain, crc))
    })?;
    Ok(Scan { bytes, chain, crc, at: SEGMENT_HEADER_BYTES, done: false })
}

impl<'a> Scan<'a> {
    /// The chain behind the blocks seen so far.
    #[must_use]
    pub fn after(&self) -> Chain {
        self.chain
    }

    /// Bytes of the segment that are sound so far.
    #[must_use]
    pub fn sound_bytes(&self) -> usize {
        self.at
    }

    fn block(&mut self) -> Result<Block<'a>, Corruption> {
        let rest = &self.bytes[self.at..];
        let header = self.chain.check_header(rest, self.crc)?;
        self.chain.check_rest(&header, &rest[BLOCK_HEADER_BYTES..], self.crc)?;
        let body = &rest[BLOCK_HEADER_BYTES..][..header.len as usize];
        let offset = self.at;
        self.at += header.block_bytes();
        Ok(Block { header, offset, body })
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Result<Block<'a>, CorruptBlock>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done || self.at == self.bytes.len() {
            return None;
        }
        Some(self.block().map_err(|corruption| {
            self.done = true;
            let torn = Tail::of(&self.bytes[self.at..]).is_torn_block(&self.chain, self.crc);
            CorruptBlock { offset: self.at, block: self.chain.block, corruption, torn }
        }))
    }
}
