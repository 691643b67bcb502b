//! The records of a log that count, in order.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use wasm_engine_abi::Tick;
use wasm_engine_abi::record::{BlockHeader, RecordHeader, flags, kind, record_at};

use crate::blocks::{Blocks, NextBlock};
use crate::error::LogError;
use crate::recovery::{LogReport, RecordPosition, Recovered, recover};
use crate::storage::{Storage, disk::Disk};

/// A record, read from the reader's buffers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRecord<'a> {
    /// One of [`wasm_engine_abi::record::kind`].
    pub kind: u16,
    /// The tick it belongs to.
    pub tick: Tick,
    /// Payload, all fragments joined.
    pub payload: &'a [u8],
}

/// Reads the records kept by recovery, one by one. Memory: one block and the longest record.
///
/// Every byte is checked when the log is opened and again while it is read, so files changed in
/// between are found.
#[derive(Debug)]
pub struct LogReader {
    blocks: Blocks,
    end: RecordPosition,
    skips: Vec<Range<RecordPosition>>,
    cursor: ReaderCursor,
    joined: Vec<u8>,
}

/// Where the reader is.
#[derive(Debug, Default)]
struct ReaderCursor {
    /// The block in the buffer; `None` before the first one.
    block: Option<BlockHeader>,
    position: RecordPosition,
    /// Byte of the next record in the block.
    at: usize,
    /// Number of ranges skipped.
    skipped: usize,
    /// Records of earlier ticks are passed over.
    from: Tick,
}

/// Where a fragment's payload lies.
struct Fragment {
    header: RecordHeader,
    payload: Range<usize>,
}

impl LogReader {
    /// Opens the log of a directory and recovers it: checks every byte, finds how the log ends and
    /// which records are kept. Changes nothing on disk.
    ///
    /// # Errors
    /// [`LogError::NoLog`], [`LogError::Empty`], [`LogError::Read`], [`LogError::Version`];
    /// [`LogError::Corrupt`] and [`LogError::MissingSegment`] for damage. A torn tail is no error.
    pub fn open(dir: &Path) -> Result<(Self, LogReport), LogError> {
        Self::open_in(Arc::new(Disk::new(dir)))
    }

    /// As [`LogReader::open`], in any storage.
    ///
    /// # Errors
    /// As [`LogReader::open`].
    pub fn open_in(storage: Arc<dyn Storage>) -> Result<(Self, LogReport), LogError> {
        let mut blocks = Blocks::open(storage)?;
        let recovered = recover(&mut blocks)?;
        let report = recovered.report.clone();
        Ok((Self::over(blocks, recovered), report))
    }

    pub(super) fn over(mut blocks: Blocks, recovered: Recovered) -> Self {
        blocks.rewind();
        let Recovered { end, skips, .. } = recovered;
        Self { blocks, end, skips, cursor: ReaderCursor::default(), joined: Vec::new() }
    }

    /// Returns to the first record.
    pub fn rewind(&mut self) {
        self.blocks.rewind();
        self.cursor = ReaderCursor::default();
    }

    /// Goes to the first record of `tick` or, if there is none, of the next tick that has one. It
    /// reads no more than the block in which that begins.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub fn go_to(&mut self, tick: Tick) -> Result<(), LogError> {
        self.go_to_block(self.blocks.before(tick).saturating_sub(1), tick)
    }

    fn go_to_block(&mut self, position: usize, from: Tick) -> Result<(), LogError> {
        self.blocks.go_to(position)?;
        self.cursor = ReaderCursor { from, ..ReaderCursor::default() };
        Ok(())
    }

    /// The last tick before `tick` that was opened. The reader is anywhere afterwards.
    ///
    /// # Errors
    /// As [`LogReader::next`].
    pub fn tick_before(&mut self, tick: Tick) -> Result<Option<Tick>, LogError> {
        let mut found = None;
        for position in (0..self.blocks.before(tick)).rev() {
            self.go_to_block(position, 0)?;
            while let Some(record) = self.next()? {
                if record.tick >= tick {
                    break;
                }
                if record.kind == kind::TICK_OPEN {
                    found = Some(record.tick);
                }
            }
            if found.is_some() {
                break;
            }
        }
        Ok(found)
    }

    /// The next record, or `None` at the end of what is kept.
    ///
    /// # Errors
    /// As [`LogReader::open`], if the files were changed since then.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend from itself")]
    pub fn next(&mut self) -> Result<Option<LogRecord<'_>>, LogError> {
        self.joined.clear();
        let mut begun = false;
        loop {
            let Some(Fragment { header, payload }) = self.fragment()? else { return Ok(None) };
            let RecordHeader { kind, tick, .. } = header;
            begun |= header.flags & flags::FIRST != 0;
            if tick < self.cursor.from || !begun {
                continue;
            }
            match header.flags & flags::WHOLE {
                flags::WHOLE => {
                    let payload = &self.blocks.body()[payload];
                    return Ok(Some(LogRecord { kind, tick, payload }));
                }
                flags::FIRST => self.joined.clear(),
                _ => {}
            }
            self.joined.extend_from_slice(&self.blocks.body()[payload]);
            if header.flags & flags::LAST != 0 {
                return Ok(Some(LogRecord { kind, tick, payload: &self.joined }));
            }
        }
    }

    /// The next fragment that counts.
    fn fragment(&mut self) -> Result<Option<Fragment>, LogError> {
        loop {
            let cursor = &mut self.cursor;
            let found = cursor.block.and_then(|_| record_at(self.blocks.body(), cursor.at));
            let Some((header, _, next)) = found else {
                if cursor.position >= self.end || !self.load()? {
                    return Ok(None);
                }
                continue;
            };
            if cursor.position >= self.end {
                return Ok(None);
            }
            let start = cursor.at + size_of::<RecordHeader>();
            let position = cursor.position;
            (cursor.at, cursor.position.record) = (next, position.record + 1);
            while self.skips.get(cursor.skipped).is_some_and(|skip| skip.end <= position) {
                cursor.skipped += 1;
            }
            let skip = self.skips.get(cursor.skipped);
            if skip.is_none_or(|skip| !skip.contains(&position)) {
                return Ok(Some(Fragment { header, payload: start..start + header.len as usize }));
            }
        }
    }

    /// Loads the next block.
    fn load(&mut self) -> Result<bool, LogError> {
        match self.blocks.next()? {
            NextBlock::Block(header) => {
                self.cursor.block = Some(header);
                self.cursor.position = RecordPosition { block: header.block, record: 0 };
                self.cursor.at = 0;
                Ok(true)
            }
            // Recovery read more: the files have been truncated since.
            NextBlock::Torn(_) | NextBlock::End => Err(self.blocks.shortened()),
        }
    }
}
