//! Which records of a log count after an orderly end, a stop or a crash (SEMANTICS L5).
//!
//! Recovery reads all blocks once and keeps every record up to a *mark*: behind the last complete
//! `TickClose` or `END`, or behind the last complete `TickOpen` if its tick was left open, or
//! behind the setup records if no tick was opened. Behind the mark are records of an unfinished
//! tick, which will be executed again, or the first fragments of an unfinished record.

use std::fmt;
use std::ops::Range;

use bytemuck::bytes_of;
use wasm_engine_abi::Tick;
use wasm_engine_abi::record::{
    BlockHeader, Corruption, RECORD_BYTES_MAX, RecordHeader, Resumed, flags, kind, record_at,
};

use crate::blocks::{Blocks, NextBlock, Torn};
use crate::error::LogError;
use crate::order::RecordOrder;

/// How a log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// With `END`: the run was closed in order.
    Closed,
    /// Without `END`, behind a whole block: the process ended before it closed the log.
    Stopped,
    /// In the middle of a block: a crash while writing.
    Torn(Torn),
}

/// What a segment holds in valid blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SegmentContent {
    /// Valid blocks.
    pub blocks: u64,
    /// First and last tick of their records, those before tick 0 counted as 0.
    pub ticks: Option<(Tick, Tick)>,
}

impl SegmentContent {
    fn add(&mut self, block: &BlockHeader) {
        self.blocks += 1;
        let (first, last) = self.ticks.unwrap_or((Tick::MAX, 0));
        self.ticks = Some((first.min(block.first_tick), last.max(block.last_tick)));
    }
}

/// What recovery found in a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogReport {
    /// Identifies the run.
    pub run_id: [u8; 16],
    /// How it ends.
    pub ending: Ending,
    /// Segments in order, one whose header is torn not counted.
    pub segments: Vec<SegmentContent>,
    /// Valid blocks.
    pub blocks: u64,
    /// Records kept.
    pub records: u64,
    /// Complete records not kept, because their tick was left open and is executed again.
    pub unfinished_records: u64,
    /// Last tick that was opened.
    pub opened: Option<Tick>,
    /// Whether that tick was closed too. If not, it must be executed again with its facts.
    pub closed: bool,
    /// How often the run was resumed.
    pub resumed: u32,
}

impl fmt::Display for LogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records in {} segments", self.records, self.segments.len())?;
        match self.opened {
            Some(tick) if self.closed => write!(f, ", last tick {tick}, closed")?,
            Some(tick) => write!(f, ", last tick {tick}, left open")?,
            None => write!(f, ", no tick")?,
        }
        match &self.ending {
            Ending::Closed => write!(f, "; ended in order"),
            Ending::Stopped => write!(f, "; it has no end record: the run was cut off"),
            Ending::Torn(torn) => write!(f, "; {torn}"),
        }
    }
}

/// Position of a record: number of its block, index in the block. The end of a block and the start
/// of the next are two names for one position: records compare alike with either.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct RecordPosition {
    pub(super) block: u64,
    pub(super) record: u32,
}

/// A log's report, and the records that count.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) report: LogReport,
    /// Behind the last record that counts.
    pub(super) end: RecordPosition,
    /// Records before it that no longer count.
    pub(super) skips: Vec<Range<RecordPosition>>,
}

/// The walk over all records.
#[derive(Debug, Default)]
struct Walk {
    order: RecordOrder,
    mark: RecordPosition,
    records: u64,
    /// Complete records behind the mark.
    unfinished: u64,
    /// Kind, tick and bytes of the record whose last fragment is still to come.
    partial: Option<(u16, Tick, usize)>,
    skips: Vec<Range<RecordPosition>>,
    resumed: u32,
    ended: bool,
}

impl Walk {
    /// Moves past a fragment at `at`; false if it is out of order, or a `RESUMED` that is not that
    /// of what is before it.
    fn pass(&mut self, at: RecordPosition, header: &RecordHeader, payload: &[u8]) -> bool {
        let after = RecordPosition { record: at.record + 1, ..at };
        if header.kind == kind::RESUMED {
            let (ticks, unfinished_records) = (self.order.ticks, self.unfinished);
            let known = header.flags == flags::WHOLE
                && header.tick == ticks.saturating_sub(1)
                && payload == bytes_of(&Resumed { ticks, unfinished_records });
            return known && self.resume(at, after);
        }
        let first = header.flags & flags::FIRST != 0;
        let before = match self.partial.take() {
            None if first => 0,
            Some((kind, tick, len)) if !first && (kind, tick) == (header.kind, header.tick) => len,
            _ => return false,
        };
        let len = before + header.len as usize;
        if header.flags & flags::LAST == 0 {
            self.partial = Some((header.kind, header.tick, len));
            return len <= RECORD_BYTES_MAX && !self.ended;
        }
        len <= RECORD_BYTES_MAX && !self.ended && self.complete(after, header)
    }

    fn complete(&mut self, after: RecordPosition, header: &RecordHeader) -> bool {
        self.unfinished += 1;
        self.ended = header.kind == kind::END;
        let fits = self.order.pass(header.kind, header.tick);
        if !self.order.open || header.kind == kind::TICK_OPEN || self.ended {
            self.keep(after);
        }
        fits
    }

    fn keep(&mut self, after: RecordPosition) {
        self.records += std::mem::take(&mut self.unfinished);
        self.mark = after;
    }

    /// Records between the mark and a `RESUMED` no longer count.
    fn resume(&mut self, at: RecordPosition, after: RecordPosition) -> bool {
        if self.mark < at {
            self.skips.push(self.mark..at);
        }
        (self.partial, self.unfinished, self.ended) = (None, 1, false);
        self.resumed += 1;
        self.keep(after);
        true
    }
}

/// Reads and checks the whole log.
pub(super) fn recover(blocks: &mut Blocks) -> Result<Recovered, LogError> {
    let mut walk = Walk::default();
    let (mut count, mut segments) = (0, Vec::<SegmentContent>::new());
    let torn = loop {
        let header = match blocks.next()? {
            NextBlock::Block(header) => header,
            NextBlock::Torn(torn) => break Some(torn),
            NextBlock::End => break None,
        };
        // The chain already has the number of the next segment.
        segments.resize_with(blocks.chain().segment as usize, Default::default);
        segments.last_mut().into_iter().for_each(|segment| segment.add(&header));
        let (mut at, mut position) = (0, RecordPosition { block: header.block, record: 0 });
        while let Some((record, payload, next)) = record_at(blocks.body(), at) {
            if !walk.pass(position, &record, payload) {
                return Err(order_error(blocks, &header, &record));
            }
            (at, position.record) = (next, position.record + 1);
        }
        count += 1;
    };
    let ending = match torn {
        Some(torn) => Ending::Torn(torn),
        None if walk.ended => Ending::Closed,
        None => Ending::Stopped,
    };
    let chain = blocks.chain();
    segments.resize_with(chain.segment as usize, Default::default);
    let report = LogReport {
        run_id: chain.run_id,
        ending,
        segments,
        blocks: count,
        records: walk.records,
        unfinished_records: walk.unfinished,
        opened: walk.order.ticks.checked_sub(1),
        closed: !walk.order.open && walk.order.ticks > 0,
        resumed: walk.resumed,
    };
    Ok(Recovered { report, end: walk.mark, skips: walk.skips })
}

fn order_error(blocks: &Blocks, header: &BlockHeader, record: &RecordHeader) -> LogError {
    LogError::Corrupt {
        path: blocks.path(),
        segment: blocks.chain().segment - 1,
        block: header.block,
        offset: blocks.offset(header),
        first_tick: header.first_tick,
        last_tick: Some(header.last_tick),
        corruption: Corruption::Order { kind: record.kind, tick: record.tick },
    }
}
