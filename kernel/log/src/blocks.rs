//! The blocks of a log, checked one at a time, and what is wrong with the first invalid one.
//!
//! Memory: one block. [`wasm_engine_abi::record::Tail`] decides whether an invalid end is torn or
//! damaged. This file collects what it needs, and adds what only all files together show: which
//! segments there are and which ticks a damaged block may have held.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use wasm_engine_abi::Tick;
use wasm_engine_abi::record::{
    BLOCK_HEADER_BYTES, BlockHeader, Chain, Corruption, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC, Tail,
    sound_block,
};

use crate::error::LogError;
use crate::segment::{crc, segment_name, segment_number, segment_path};
use crate::storage::{Storage, StorageFile};

/// Bytes read together when searching for zeros or for a later block.
const SEARCH_BYTES: usize = 64 << 10;

/// A torn tail: the end of the last segment, incomplete after a crash. Normal, and not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Torn {
    /// Segment.
    pub segment: u32,
    /// Byte of the segment at which the torn part begins.
    pub offset: u64,
    /// Bytes from there to the end of the file.
    pub bytes: u64,
    /// Records of the torn block, if its header is whole.
    pub records: Option<u32>,
    /// First and last tick of those records, if known.
    pub ticks: Option<(Tick, Tick)>,
}

impl Torn {
    pub(super) fn new(segment: u32, offset: u64, bytes: u64, header: Option<BlockHeader>) -> Self {
        let records = header.map(|header| header.records);
        let ticks = header.map(|header| (header.first_tick, header.last_tick));
        Self { segment, offset, bytes, records, ticks }
    }
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, offset, bytes, records, ticks } = self;
        write!(f, "the last {bytes} bytes of segment {segment}, from byte {offset} on, are torn")?;
        match (records, ticks) {
            (Some(records), Some((first, last))) => {
                write!(f, " and were dropped: {records} records of ticks {first} to {last}")
            }
            _ => write!(f, " and were dropped: less than a header"),
        }
    }
}

/// What follows in a log.
#[derive(Clone, Copy, Debug)]
pub(super) enum NextBlock {
    /// A valid block; its records are [`Blocks::body`].
    Block(BlockHeader),
    /// The end, in the middle of a block or segment header.
    Torn(Torn),
    /// The end, behind a valid block.
    End,
}

/// An open segment.
#[derive(Debug)]
struct OpenSegment {
    file: Box<dyn StorageFile>,
    path: PathBuf,
    number: u32,
    len: u64,
    /// Byte at which the next block begins.
    at: u64,
}

impl OpenSegment {
    /// Reads up to `len` bytes at `offset` into `buffer`; less only at the end of the file.
    fn read(&self, buffer: &mut Vec<u8>, offset: u64, len: usize) -> Result<(), LogError> {
        // No more than the file had when it was opened: that length decides how it ends.
        let len = self.len.saturating_sub(offset).min(len as u64) as usize;
        buffer.resize(len, 0);
        let mut have = 0;
        while have < len {
            match self.file.read_at(&mut buffer[have..], offset + have as u64) {
                Ok(0) => break,
                Ok(more) => have += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(LogError::read("read", &self.path)(error)),
            }
        }
        buffer.truncate(have);
        Ok(())
    }

    /// Bytes from `at` up to and including the last one that is not zero.
    fn solid(&self) -> Result<u64, LogError> {
        let (mut solid, mut from, mut buffer) = (0, self.at, Vec::new());
        while from < self.len {
            self.read(&mut buffer, from, SEARCH_BYTES)?;
            if buffer.is_empty() {
                break;
            }
            if let Some(last) = buffer.iter().rposition(|byte| *byte != 0) {
                solid = from - self.at + last as u64 + 1;
            }
            from += buffer.len() as u64;
        }
        Ok(solid)
    }

    /// The next block header of the run behind `at`, at any offset where one can be.
    fn later(&self, run_id: [u8; 16]) -> Result<Option<BlockHeader>, LogError> {
        let (mut from, mut buffer) = (self.at + 8, Vec::new());
        while from < self.len {
            self.read(&mut buffer, from, SEARCH_BYTES + BLOCK_HEADER_BYTES)?;
            let offsets = (0..buffer.len().min(SEARCH_BYTES)).step_by(8);
            let found = offsets.filter_map(|at| sound_block(&buffer[at..], crc).ok());
            if let Some(header) = found.into_iter().find(|header| header.run_id == run_id) {
                return Ok(Some(header));
            }
            from += SEARCH_BYTES as u64;
        }
        Ok(None)
    }
}

/// Where a block begins.
#[derive(Clone, Copy, Debug)]
struct BlockStart {
    /// The chain before it.
    chain: Chain,
    /// Byte of its segment at which it begins.
    at: u64,
    /// First tick of its records.
    first_tick: Tick,
}

/// The blocks of a log in order.
#[derive(Debug)]
pub(super) struct Blocks {
    storage: Arc<dyn Storage>,
    /// Segments that the directory had when it was opened.
    count: u32,
    first: Chain,
    chain: Chain,
    open: Option<OpenSegment>,
    body: Vec<u8>,
    /// Last tick of the blocks so far.
    last_tick: Tick,
    /// Where each block begins that was read so far.
    starts: Vec<BlockStart>,
}

impl Blocks {
    /// Opens a log at its first block.
    pub(super) fn open(storage: Arc<dyn Storage>) -> Result<Self, LogError> {
        let count = count_segments(&*storage)?;
        let mut blocks = Self {
            storage,
            count,
            first: Chain::new([0; 16]),
            chain: Chain::new([0; 16]),
            open: None,
            body: Vec::new(),
            last_tick: 0,
            starts: Vec::new(),
        };
        let open = blocks.open_segment(0)?;
        let mut head = Vec::new();
        open.read(&mut head, 0, SEGMENT_HEADER_BYTES)?;
        let written = open.len.min(open.solid()?);
        let known = SEGMENT_MAGIC.len().min(head.len()).min(written as usize);
        if count == 1
            && written < SEGMENT_HEADER_BYTES as u64
            && head[..known] == SEGMENT_MAGIC[..known]
        {
            return Err(LogError::Empty { dir: blocks.storage.dir().to_owned() });
        }
        let chain =
            Chain::before(&head, crc).map_err(|corruption| blocks.segment_error(&open, corruption));
        blocks.first = Chain::new(chain?.run_id);
        blocks.chain = blocks.first;
        Ok(blocks)
    }

    /// Returns to the first block.
    pub(super) fn rewind(&mut self) {
        (self.chain, self.open, self.last_tick) = (self.first, None, 0);
    }

    /// Blocks that were read at least once and begin before `tick`: their records may have it.
    pub(super) fn before(&self, tick: Tick) -> usize {
        self.starts.partition_point(|start| start.first_tick < tick)
    }

    /// Goes to a block that was read before: the next one is the one at `position`.
    pub(super) fn go_to(&mut self, position: usize) -> Result<(), LogError> {
        let Some(&BlockStart { chain, at, first_tick }) = self.starts.get(position) else {
            self.rewind();
            return Ok(());
        };
        let number = chain.segment - 1;
        let open = match self.open.take().filter(|open| open.number == number) {
            Some(open) => open,
            None => self.open_segment(number)?,
        };
        self.open = Some(OpenSegment { at, ..open });
        (self.chain, self.last_tick) = (chain, first_tick);
        Ok(())
    }

    /// The chain behind the blocks so far.
    pub(super) fn chain(&self) -> Chain {
        self.chain
    }

    /// Records of the block read last.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Path of the segment being read, or of the last one.
    pub(super) fn path(&self) -> PathBuf {
        segment_path(self.storage.dir(), self.chain.segment.saturating_sub(1))
    }

    /// Byte of its segment at which the block read last begins.
    pub(super) fn offset(&self, header: &BlockHeader) -> u64 {
        self.open.as_ref().map_or(0, |open| open.at - header.block_bytes() as u64)
    }

    /// The error for a log that has become shorter since recovery.
    pub(super) fn shortened(&self) -> LogError {
        let path = self.path();
        LogError::read("read", &path)(ErrorKind::UnexpectedEof.into())
    }

    fn open_segment(&self, number: u32) -> Result<OpenSegment, LogError> {
        let path = segment_path(self.storage.dir(), number);
        let file = self.storage.open(&segment_name(number));
        let file = file.map_err(LogError::read("open", &path))?;
        let len = file.bytes().map_err(LogError::read("inspect", &path))?;
        Ok(OpenSegment { file, path, number, len, at: 0 })
    }

    /// Reads and checks the next block, or finds how the log ends.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::Version`], [`LogError::Read`].
    pub(super) fn next(&mut self) -> Result<NextBlock, LogError> {
        loop {
            let Some(mut open) = self.open.take() else {
                if self.chain.segment == self.count {
                    return Ok(NextBlock::End);
                }
                let open = self.open_segment(self.chain.segment)?;
                if let Some(torn) = self.enter(open)? {
                    return Ok(NextBlock::Torn(torn));
                }
                continue;
            };
            if open.at == open.len {
                continue;
            }
            let mut head = Vec::with_capacity(BLOCK_HEADER_BYTES);
            open.read(&mut head, open.at, BLOCK_HEADER_BYTES)?;
            let chain = self.chain;
            let header = match chain.check_header(&head, crc) {
                Ok(header) => header,
                Err(corruption) => return self.classify(&open, &head, corruption),
            };
            let rest = header.block_bytes() - BLOCK_HEADER_BYTES;
            open.read(&mut self.body, open.at + BLOCK_HEADER_BYTES as u64, rest)?;
            if let Err(corruption) = self.chain.check_rest(&header, &self.body, crc) {
                return self.classify(&open, &head, corruption);
            }
            self.body.truncate(header.len as usize);
            self.last_tick = self.last_tick.max(header.last_tick);
            if self.starts.last().is_none_or(|last| last.chain.block < chain.block) {
                self.starts.push(BlockStart { chain, at: open.at, first_tick: header.first_tick });
            }
            open.at += header.block_bytes() as u64;
            self.open = Some(open);
            return Ok(NextBlock::Block(header));
        }
    }

    /// Checks a segment's header and makes it the open segment, or returns how it is torn.
    fn enter(&mut self, mut open: OpenSegment) -> Result<Option<Torn>, LogError> {
        let mut head = Vec::new();
        open.read(&mut head, 0, SEGMENT_HEADER_BYTES)?;
        match self.chain.check_segment(&head, crc) {
            Ok(_) => {
                open.at = SEGMENT_HEADER_BYTES as u64;
                self.open = Some(open);
                Ok(None)
            }
            Err(corruption) => {
                let tail = Tail { head: &head, bytes: open.len, solid: open.solid()? };
                if self.is_last(&open) && tail.is_torn_segment(&self.chain, crc) {
                    return Ok(Some(Torn::new(open.number, 0, open.len, None)));
                }
                Err(self.segment_error(&open, corruption))
            }
        }
    }

    fn is_last(&self, open: &OpenSegment) -> bool {
        open.number + 1 == self.count
    }

    /// Decides whether an invalid block is torn or damaged.
    fn classify(
        &self,
        open: &OpenSegment,
        head: &[u8],
        corruption: Corruption,
    ) -> Result<NextBlock, LogError> {
        let header = self.chain.check_header(head, crc).ok();
        if self.is_last(open) {
            let tail = Tail { head, bytes: open.len - open.at, solid: open.solid()? };
            if tail.is_torn_block(&self.chain, crc) {
                return Ok(NextBlock::Torn(Torn::new(open.number, open.at, tail.bytes, header)));
            }
        }
        let (first_tick, last_tick) = match header {
            Some(header) => (header.first_tick, Some(header.last_tick)),
            None => (self.last_tick, self.tick_after(open)?),
        };
        Err(LogError::Corrupt {
            path: open.path.clone(),
            segment: open.number,
            block: self.chain.block,
            offset: open.at,
            first_tick,
            last_tick,
            corruption,
        })
    }

    /// First tick of the next valid block, if there is one.
    fn tick_after(&self, open: &OpenSegment) -> Result<Option<Tick>, LogError> {
        if let Some(header) = open.later(self.chain.run_id)? {
            return Ok(Some(header.first_tick));
        }
        for number in open.number + 1..self.count {
            if let Some(header) = self.open_segment(number)?.later(self.chain.run_id)? {
                return Ok(Some(header.first_tick));
            }
        }
        Ok(None)
    }

    /// The error for a segment header that is damaged or has another version.
    fn segment_error(&self, open: &OpenSegment, corruption: Corruption) -> LogError {
        if let Corruption::Version { found } = corruption {
            return LogError::Version { path: open.path.clone(), found };
        }
        LogError::Corrupt {
            path: open.path.clone(),
            segment: open.number,
            block: self.chain.block,
            offset: 0,
            first_tick: self.last_tick,
            last_tick: self.tick_after(open).ok().flatten(),
            corruption,
        }
    }
}

/// Counts the segments of a directory; they are numbered without a gap.
fn count_segments(storage: &dyn Storage) -> Result<u32, LogError> {
    let dir = storage.dir();
    let names = match storage.names() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(LogError::NoLog { dir: dir.to_owned() });
        }
        names => names.map_err(LogError::read("read", dir))?,
    };
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    if numbers.is_empty() {
        return Err(LogError::NoLog { dir: dir.to_owned() });
    }
    for (expected, number) in (0..).zip(&numbers) {
        if expected != *number {
            let path = segment_path(dir, expected);
            return Err(LogError::MissingSegment { path, segment: expected });
        }
    }
    Ok(numbers.len() as u32)
}
