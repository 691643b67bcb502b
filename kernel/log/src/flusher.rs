//! The log thread: takes records from the ring, fills blocks, writes them, syncs by policy.
//!
//! It is not pinned and, unless it is always to sync, nobody wakes it: it polls the ring and sleeps
//! between, from 0.1 ms after work up to 2 ms when idle, so appending costs the scheduler no system
//! call. It stops at the first error of the storage, so nothing is written behind a gap.
//!
//! Simulation has no thread and calls the same poll where it likes ([`LogOptions::stepped`]).
//!
//! A block is closed when the next record does not fit, when it is `block_ms` old, or when a sync
//! is due. A segment is closed when the next block does not fit; it is synced before the next
//! begins (except with [`SyncPolicy::None`]), so only the last segment can have a torn tail.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytemuck::bytes_of;
use wasm_engine_abi::Tick;
use wasm_engine_abi::counter::log;
use wasm_engine_abi::record::{
    BLOCK_FOOTER_BYTES, BLOCK_HEADER_BYTES, Chain, RECORD_HEADER_BYTES, RecordHeader,
    SEGMENT_HEADER_BYTES, SEGMENTS_MAX, flags, kind, record_bytes,
};
use wasm_engine_shm::bytes::Consumer;
use wasm_engine_shm::counters::CounterWriter;
use wasm_engine_shm::mem::RawMem;

use crate::failure::LogFailure;
use crate::options::{LogOptions, SyncPolicy};
use crate::segment::{crc, segment_name, segment_path};
use crate::storage::{Storage, StorageFile};

/// Tag of the ring record after which the thread ends.
pub(super) const STOP: u32 = u32::MAX;

/// Poll interval after work was found, and longest poll interval.
const POLL_INTERVAL_MIN: Duration = Duration::from_micros(100);
const POLL_INTERVAL_MAX: Duration = Duration::from_millis(2);
/// With [`SyncPolicy::EveryBytes`], what is left is synced after this time without new records.
const IDLE_SYNC_NS: u64 = 1_000 * NS_PER_MS;
const NS_PER_MS: u64 = 1_000_000;
/// Ring bytes taken before their room is given back to the scheduler.
const RELEASE_BYTES: usize = 64 << 10;

/// The tag under which a fragment goes through the ring.
pub(super) fn tag(kind: u16, flags: u16) -> u32 {
    u32::from(kind) | u32::from(flags) << 16
}

/// The segment being written.
#[derive(Debug)]
pub(super) struct Segment {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    file: Box<dyn StorageFile>,
    chain: Chain,
    bytes: u64,
    bytes_max: u64,
    /// Bytes written and not synced.
    unsynced: u64,
    sync_whole: bool,
    /// The first of the segments before this one that were not synced.
    behind: Option<u32>,
    counters: CounterWriter<RawMem>,
    clock: fn() -> u64,
}

impl Segment {
    /// Creates the segment that follows `chain` and makes its name durable.
    pub(super) fn create(
        storage: Arc<dyn Storage>,
        options: &LogOptions,
        chain: Chain,
        counters: CounterWriter<RawMem>,
        clock: fn() -> u64,
    ) -> Result<Self, LogFailure> {
        let (path, file) = create_file(&*storage, chain.segment)?;
        let mut segment = Self {
            storage,
            path,
            file,
            chain,
            bytes: 0,
            bytes_max: options.segment_bytes,
            unsynced: 0,
            sync_whole: options.sync != SyncPolicy::None,
            behind: None,
            counters,
            clock,
        };
        segment.begin()?;
        Ok(segment)
    }

    /// Writes the header of the file just created.
    fn begin(&mut self) -> Result<(), LogFailure> {
        let header = self.chain.segment_header(crc);
        self.write(bytes_of(&header))?;
        self.chain.enter(&header);
        let dir = self.storage.dir();
        self.storage.sync_dir().map_err(LogFailure::disk("sync", dir))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LogFailure> {
        let begin_ns = (self.clock)();
        self.file.append(bytes).map_err(LogFailure::disk("write", &self.path))?;
        self.counters.add(log::WRITE_NS, (self.clock)() - begin_ns);
        self.counters.add(log::WRITTEN_BYTES, bytes.len() as u64);
        self.bytes += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        Ok(())
    }

    /// Seals and writes a block, in a new segment if this one has no room for it. Returns whether
    /// everything before the block is synced.
    fn put(&mut self, block: &mut Filling) -> Result<bool, LogFailure> {
        let mut synced = false;
        if self.bytes + block.sealed_bytes() as u64 > self.bytes_max
            && self.bytes > SEGMENT_HEADER_BYTES as u64
        {
            if self.sync_whole {
                self.sync()?;
                synced = true;
            } else {
                self.behind.get_or_insert(self.chain.segment.saturating_sub(1));
            }
            (self.path, self.file) = create_file(&*self.storage, self.chain.segment)?;
            self.bytes = 0;
            self.begin()?;
        }
        let bytes = block.seal(&mut self.chain);
        self.write(bytes)?;
        self.counters.add(log::BLOCKS, 1);
        Ok(synced)
    }

    fn sync(&mut self) -> Result<(), LogFailure> {
        let begin_ns = (self.clock)();
        if let Some(behind) = self.behind.take() {
            sync_segments(&*self.storage, behind..self.chain.segment.saturating_sub(1))?;
        }
        self.file.sync().map_err(LogFailure::disk("sync", &self.path))?;
        let took_ns = (self.clock)() - begin_ns;
        self.counters.add(log::SYNCS, 1);
        self.counters.add(log::SYNC_NS, took_ns);
        let longest = self.counters.get(log::SYNC_NS_MAX).max(took_ns);
        self.counters.set(log::SYNC_NS_MAX, longest);
        self.unsynced = 0;
        Ok(())
    }
}

/// Syncs segments that are whole.
pub(super) fn sync_segments(
    storage: &dyn Storage,
    mut segments: std::ops::Range<u32>,
) -> Result<(), LogFailure> {
    segments.try_for_each(|segment| {
        let path = segment_path(storage.dir(), segment);
        let file = storage.open_append(&segment_name(segment));
        let mut file = file.map_err(LogFailure::disk("open", &path))?;
        file.sync().map_err(LogFailure::disk("sync", &path))
    })
}

fn create_file(
    storage: &dyn Storage,
    segment: u32,
) -> Result<(PathBuf, Box<dyn StorageFile>), LogFailure> {
    let path = segment_path(storage.dir(), segment);
    if segment >= SEGMENTS_MAX {
        let source = std::io::Error::other("a log has at most 1,000,000 segments");
        return Err(LogFailure::Disk { action: "begin", path, source });
    }
    let file = storage.create(&segment_name(segment));
    let file = file.map_err(LogFailure::disk("create", &path))?;
    Ok((path, file))
}

/// The block being filled.
#[derive(Debug)]
struct Filling {
    /// Room for the header, then the records so far, then remains of an earlier block.
    bytes: Vec<u8>,
    /// Bytes of header and records.
    len: usize,
    records: u32,
    first_tick: Tick,
    last_tick: Tick,
    /// The clock when its first record was taken.
    since_ns: Option<u64>,
}

impl Filling {
    fn new(bytes_max: usize) -> Self {
        let (bytes, len) = (vec![0; bytes_max], BLOCK_HEADER_BYTES);
        Self { bytes, len, records: 0, first_tick: Tick::MAX, last_tick: 0, since_ns: None }
    }

    fn sealed_bytes(&self) -> usize {
        self.len + BLOCK_FOOTER_BYTES
    }

    fn has_room(&self, len: usize) -> bool {
        self.sealed_bytes() + record_bytes(len) <= self.bytes.len()
    }

    /// Appends a fragment, for which there is room.
    fn push(&mut self, header: RecordHeader, payload: &[u8]) {
        let record = &mut self.bytes[self.len..][..record_bytes(payload.len())];
        let (head, rest) = record.split_at_mut(RECORD_HEADER_BYTES);
        head.copy_from_slice(bytes_of(&header));
        let (body, padding) = rest.split_at_mut(payload.len());
        body.copy_from_slice(payload);
        padding.iter_mut().for_each(|byte| *byte = 0);
        self.len += record_bytes(payload.len());
        self.records += 1;
        self.first_tick = self.first_tick.min(header.tick);
        self.last_tick = self.last_tick.max(header.tick);
    }

    fn seal(&mut self, chain: &mut Chain) -> &[u8] {
        let len = self.sealed_bytes();
        let block = &mut self.bytes[..len];
        chain.seal(block, self.records, self.first_tick, self.last_tick, crc);
        block
    }

    fn clear(&mut self) {
        self.len = BLOCK_HEADER_BYTES;
        (self.records, self.first_tick, self.last_tick, self.since_ns) = (0, Tick::MAX, 0, None);
    }
}

/// Fills and writes blocks, and knows what is durable. Ticks count as last tick + 1.
#[derive(Debug)]
struct BlockWriter {
    segment: Segment,
    filling: Filling,
    /// Ticks opened in the records taken.
    taken: u64,
    /// Ticks opened in the blocks written.
    written: u64,
    sync: SyncPolicy,
    block_age_ns: u64,
    /// When the last sync ended.
    synced_ns: u64,
    /// When the last record was taken.
    last_ns: u64,
}

impl BlockWriter {
    fn push(
        &mut self,
        header: RecordHeader,
        payload: &[u8],
        now_ns: u64,
    ) -> Result<(), LogFailure> {
        if !self.filling.has_room(payload.len()) {
            self.flush()?;
            if !self.filling.has_room(payload.len()) {
                let what = format!("a fragment of {} bytes exceeds a block", payload.len());
                return Err(LogFailure::Ring(what));
            }
        }
        self.filling.push(header, payload);
        self.filling.since_ns.get_or_insert(now_ns);
        if header.kind == kind::TICK_OPEN && header.flags & flags::LAST != 0 {
            self.taken = header.tick + 1;
        }
        Ok(())
    }

    /// Writes the block, if it has records.
    fn flush(&mut self) -> Result<(), LogFailure> {
        if self.filling.records == 0 {
            return Ok(());
        }
        if self.segment.put(&mut self.filling)? {
            // The previous segment is synced, and so is all that was written before this block.
            self.set_durable();
        }
        self.filling.clear();
        self.written = self.taken;
        match self.sync {
            SyncPolicy::None => self.set_durable(),
            SyncPolicy::EveryBytes(bytes) if self.segment.unsynced >= bytes => {
                self.force()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Syncs what is written.
    fn force(&mut self) -> Result<(), LogFailure> {
        self.segment.sync()?;
        self.set_durable();
        self.synced_ns = (self.segment.clock)();
        Ok(())
    }

    /// Publishes that what is written is durable.
    fn set_durable(&mut self) {
        self.segment.counters.set(log::DURABLE_TICKS, self.written);
    }

    /// Writes and syncs what is due.
    fn write_due(&mut self, now_ns: u64) -> Result<(), LogFailure> {
        let sync_due = match self.sync {
            SyncPolicy::None => false,
            SyncPolicy::EveryMs(ms) => now_ns >= self.synced_ns + u64::from(ms) * NS_PER_MS,
            SyncPolicy::EveryBytes(_) => now_ns >= self.last_ns + IDLE_SYNC_NS,
        };
        if sync_due && (self.filling.records > 0 || self.segment.unsynced > 0) {
            self.flush()?;
            return self.force();
        }
        match self.filling.since_ns {
            Some(since_ns) if now_ns >= since_ns + self.block_age_ns => self.flush(),
            _ => Ok(()),
        }
    }
}

/// What one poll of the ring found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Polled {
    Nothing,
    Records,
    Stop,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct LogThread {
    ring: Consumer<RawMem>,
    blocks: BlockWriter,
    failure: Arc<OnceLock<LogFailure>>,
    /// Most ring bytes taken before the clock is read again.
    batch_bytes: usize,
}

impl LogThread {
    /// `ticks` is how many ticks are durable already, as last tick + 1.
    pub(super) fn new(
        options: &LogOptions,
        mut segment: Segment,
        ring: Consumer<RawMem>,
        ticks: u64,
        failure: Arc<OnceLock<LogFailure>>,
    ) -> Self {
        segment.counters.set(log::DURABLE_TICKS, ticks);
        let start_ns = (segment.clock)();
        let blocks = BlockWriter {
            segment,
            filling: Filling::new(options.block_bytes),
            taken: ticks,
            written: ticks,
            sync: options.sync,
            block_age_ns: u64::from(options.block_ms) * NS_PER_MS,
            synced_ns: start_ns,
            last_ns: start_ns,
        };
        Self { ring, blocks, failure, batch_bytes: options.block_bytes }
    }

    /// Runs until the stop record or the first failure, which it keeps for the scheduler.
    pub(super) fn run(mut self) {
        let mut interval = POLL_INTERVAL_MIN;
        loop {
            match self.step() {
                Polled::Stop => return,
                Polled::Nothing => {
                    std::thread::park_timeout(interval);
                    interval = (interval * 2).min(POLL_INTERVAL_MAX);
                }
                Polled::Records => interval = POLL_INTERVAL_MIN,
            }
        }
    }

    /// One poll of the ring; writes and syncs what is due. After [`Polled::Stop`] there is nothing
    /// more to do: the stop record was found, or something failed, which it keeps for the
    /// scheduler.
    pub(super) fn step(&mut self) -> Polled {
        self.work().unwrap_or_else(|failure| {
            // Nobody else sets it before this has ended.
            let _ = self.failure.set(failure);
            Polled::Stop
        })
    }

    fn work(&mut self) -> Result<Polled, LogFailure> {
        let polled_ns = (self.blocks.segment.clock)();
        let polled = self.take(polled_ns)?;
        if polled == Polled::Stop {
            self.blocks.flush()?;
            self.blocks.force()?;
            return Ok(Polled::Stop);
        }
        self.blocks.write_due(polled_ns)?;
        if polled == Polled::Records {
            self.blocks.last_ns = polled_ns;
        }
        Ok(polled)
    }

    /// Moves what is in the ring into blocks, about one block of it.
    fn take(&mut self, polled_ns: u64) -> Result<Polled, LogFailure> {
        let (mut bytes, mut held, mut polled) = (0, 0, Polled::Nothing);
        while bytes < self.batch_bytes {
            let record = self.ring.next().map_err(|error| LogFailure::Ring(error.to_string()))?;
            let Some(record) = record else { break };
            if record.tag == STOP {
                polled = Polled::Stop;
                break;
            }
            let (kind, flags) = (record.tag as u16, (record.tag >> 16) as u16);
            let header = RecordHeader { len: record.len() as u32, kind, flags, tick: record.aux };
            held += RECORD_HEADER_BYTES + record.len();
            self.blocks.push(header, &record, polled_ns)?;
            polled = Polled::Records;
            if held >= RELEASE_BYTES {
                self.ring.release();
                bytes += held;
                held = 0;
            }
        }
        self.ring.release();
        Ok(polled)
    }
}
