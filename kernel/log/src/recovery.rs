//! What a log comes to after a stop, an end or a crash, and how it goes on (SEMANTICS L5).
//!
//! Recovery walks all blocks once and keeps every record up to a *mark*: behind the last complete
//! `TickClose` or `END`, or behind the last complete `TickOpen` if its tick was left open, or behind
//! the setup records if no tick was opened. What lies behind the mark are records of an unfinished
//! tick, which will be executed again, or the first fragments of an unfinished record.
//!
//! Resuming changes nothing that was sound: only torn bytes are cut off. The unfinished rest stays
//! where it is, in sealed blocks, and a `RESUMED` record behind it says that it counts no more; so
//! no crash while resuming can lose a `TickOpen` that was durable before. The new records begin in a
//! new segment, chained to the last sound block.

use std::fmt;
use std::fs::OpenOptions;
use std::ops::Range;

use wasm_engine_abi::Tick;
use wasm_engine_abi::record::{
    BlockHeader, Defect, RECORD_BYTES_MAX, RecordHeader, Resumed, flags, kind, record_at,
};

use crate::blocks::{Blocks, Step};
use crate::error::Failure;
use crate::flusher::sync_dir;
use crate::writer::{Order, lock};
use crate::{LogError, LogOptions, LogReader, LogRing, LogWriter, segment_path};

/// A torn tail: the end of the last segment, which a crash cut short. Normal, and not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Torn {
    /// Segment.
    pub segment: u32,
    /// Byte of the segment from which on it is torn.
    pub offset: u64,
    /// Bytes from there to the end of the file.
    pub bytes: u64,
    /// Records that were meant to be there, if the block's header got to the disk.
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

/// How a log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// With `END`: the run was closed in order.
    Closed,
    /// Without, behind a whole block: the process ended before it closed the log.
    Stopped,
    /// In the middle of a block: a crash while writing.
    Torn(Torn),
}

/// What a segment holds in sound blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SegmentContent {
    /// Sound blocks.
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

/// What a log comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogReport {
    /// Identifies the run.
    pub run_id: [u8; 16],
    /// How it ends.
    pub ending: Ending,
    /// Segments in order, one whose header is torn not counted.
    pub segments: Vec<SegmentContent>,
    /// Sound blocks.
    pub blocks: u64,
    /// Records kept.
    pub records: u64,
    /// Complete records not kept, because their tick was left open and is executed again.
    pub unfinished_records: u64,
    /// Last tick that was opened.
    pub opened: Option<Tick>,
    /// Whether that tick was closed too. If not, it is to be executed again with its facts.
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

/// Place of a record: number of its block, place in the block. The end of a block and the start of
/// the next are two names for one place; comparing records with either gives the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Place {
    pub(super) block: u64,
    pub(super) record: u32,
}

/// What recovery found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) report: LogReport,
    /// Behind the last record that counts.
    pub(super) end: Place,
    /// Records in between that count no more.
    pub(super) skips: Vec<Range<Place>>,
    order: Order,
}

/// The walk over all records.
#[derive(Debug, Default)]
struct Walk {
    order: Order,
    mark: Place,
    records: u64,
    /// Complete records behind the mark.
    unfinished: u64,
    /// Kind, tick and bytes of the record whose last fragment is still to come.
    partial: Option<(u16, Tick, usize)>,
    skips: Vec<Range<Place>>,
    resumed: u32,
    ended: bool,
}

impl Walk {
    /// Goes past a fragment at `at`, or says that it cannot come here.
    fn pass(&mut self, at: Place, header: &RecordHeader) -> bool {
        let after = Place { record: at.record + 1, ..at };
        if header.kind == kind::RESUMED {
            return header.flags == flags::WHOLE && self.resume(at, after);
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

    fn complete(&mut self, after: Place, header: &RecordHeader) -> bool {
        self.unfinished += 1;
        self.ended = header.kind == kind::END;
        let fits = self.order.pass(header.kind, header.tick);
        if !self.order.open || header.kind == kind::TICK_OPEN || self.ended {
            self.keep(after);
        }
        fits
    }

    fn keep(&mut self, after: Place) {
        self.records += std::mem::take(&mut self.unfinished);
        self.mark = after;
    }

    /// What lies between the mark and a `RESUMED` counts no more.
    fn resume(&mut self, at: Place, after: Place) -> bool {
        if self.mark < at {
            self.skips.push(self.mark..at);
        }
        (self.partial, self.unfinished, self.ended) = (None, 1, false);
        self.resumed += 1;
        self.keep(after);
        true
    }
}

/// Walks the whole log.
pub(super) fn recover(blocks: &mut Blocks) -> Result<Recovered, LogError> {
    let mut walk = Walk::default();
    let (mut count, mut segments) = (0, Vec::<SegmentContent>::new());
    let torn = loop {
        let header = match blocks.next()? {
            Step::Block(header) => header,
            Step::Torn(torn) => break Some(torn),
            Step::End => break None,
        };
        // The chain names the segment behind the one being read.
        segments.resize_with(blocks.chain().segment as usize, Default::default);
        segments.last_mut().into_iter().for_each(|segment| segment.add(&header));
        let (mut at, mut place) = (0, Place { block: header.block, record: 0 });
        while let Some((record, _, next)) = record_at(blocks.body(), at) {
            if !walk.pass(place, &record) {
                return Err(order_error(blocks, &header, &record));
            }
            (at, place.record) = (next, place.record + 1);
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
    Ok(Recovered { report, end: walk.mark, skips: walk.skips, order: walk.order })
}

fn order_error(blocks: &Blocks, header: &BlockHeader, record: &RecordHeader) -> LogError {
    LogError::Corrupt {
        path: blocks.path(),
        segment: blocks.chain().segment - 1,
        block: header.block,
        offset: blocks.offset(header),
        first_tick: header.first_tick,
        last_tick: Some(header.last_tick),
        defect: Defect::Order { kind: record.kind, tick: record.tick },
    }
}

/// Opens the log in `options.dir` to go on with it: cuts off a torn tail, begins a new segment and
/// appends `RESUMED`. The reader gives the records kept; the writer continues behind them. If
/// [`LogReport::closed`] is false, the last tick is to be executed again with its facts, and its
/// `TickClose`, not its `TickOpen`, is appended next.
///
/// # Errors
/// As [`LogReader::open`] and [`LogWriter::create`]; a damaged log is left as it is.
pub fn resume(
    options: &LogOptions,
    ring: LogRing,
) -> Result<(LogReader, LogReport, LogWriter), LogError> {
    options.check()?;
    if !segment_path(&options.dir, 0).exists() {
        return Err(LogError::NoLog { dir: options.dir.clone() });
    }
    let lock = lock(&options.dir)?;
    let mut blocks = Blocks::open(&options.dir)?;
    let recovered = recover(&mut blocks)?;
    let (report, order, chain) = (recovered.report.clone(), recovered.order, blocks.chain());
    let torn = if let Ending::Torn(torn) = report.ending { Some(torn) } else { None };
    let durable = order.ticks.checked_sub(1);
    cut(options, chain.segment, torn).map_err(|failure| failure.to_error(durable))?;
    let resumed = Resumed {
        ticks: order.ticks,
        torn_bytes: torn.map_or(0, |torn| torn.bytes),
        unfinished_records: report.unfinished_records,
    };
    let writer = LogWriter::go_on(options, chain, ring, order, lock, &resumed)?;
    Ok((LogReader::over(blocks, recovered), report, writer))
}

/// Cuts off what is torn and makes the rest durable; `next` is the segment that will follow.
fn cut(options: &LogOptions, next: u32, torn: Option<Torn>) -> Result<(), Failure> {
    if let Some(torn) = torn.filter(|torn| torn.segment >= next) {
        let path = segment_path(&options.dir, torn.segment);
        std::fs::remove_file(&path).map_err(Failure::disk("remove", &path))?;
    }
    let path = segment_path(&options.dir, next.saturating_sub(1));
    let open = OpenOptions::new().write(true).open(&path);
    let file = open.map_err(Failure::disk("open", &path))?;
    if let Some(torn) = torn.filter(|torn| torn.segment < next) {
        file.set_len(torn.offset).map_err(Failure::disk("truncate", &path))?;
    }
    file.sync_all().map_err(Failure::disk("sync", &path))?;
    sync_dir(&options.dir)
}
