//! The log thread: takes records from the ring, fills blocks, writes them, syncs by policy.
//!
//! It is a plain thread, pinned nowhere and woken by nobody: it polls the ring and sleeps between,
//! from 0.1 ms after work up to 2 ms when idle, so appending costs the scheduler no system call. It
//! stops at the first refusal of the disk: nothing is written behind a gap.
//!
//! A block is closed when the next record does not fit, when it is `block_ms` old, or when a sync is
//! due. A segment is closed when the next block does not fit; it is synced before the next begins
//! (except with [`SyncPolicy::None`]), so only the last segment can have a torn tail.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
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

use crate::failure::Failure;
use crate::options::{LogOptions, SyncPolicy};
use crate::segment::{crc, segment_path};

/// Tag of the ring record after which the thread ends.
pub(super) const STOP: u32 = u32::MAX;

/// Sleep after work was found, and longest sleep.
const NAP_MIN: Duration = Duration::from_micros(100);
const NAP_MAX: Duration = Duration::from_millis(2);
/// With [`SyncPolicy::EveryBytes`], what is left is synced after this time without new records.
const IDLE_SYNC_NS: u64 = 1_000 * NS_PER_MS;
const NS_PER_MS: u64 = 1_000_000;
/// Ring bytes taken before they are given back to the scheduler.
const RELEASE_BYTES: usize = 64 << 10;

/// The tag under which a fragment goes through the ring.
pub(super) fn tag(kind: u16, flags: u16) -> u32 {
    u32::from(kind) | u32::from(flags) << 16
}

/// The open segment file.
#[derive(Debug)]
pub(super) struct Segment {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    chain: Chain,
    bytes: u64,
    bytes_max: u64,
    /// Bytes written and not synced.
    unsynced: u64,
    sync_whole: bool,
    counters: CounterWriter<RawMem>,
    clock: fn() -> u64,
}

impl Segment {
    /// Creates the segment that follows `chain` and makes its name durable.
    pub(super) fn create(
        options: &LogOptions,
        chain: Chain,
        counters: CounterWriter<RawMem>,
        clock: fn() -> u64,
    ) -> Result<Self, Failure> {
        let (path, file) = create_file(&options.dir, chain.segment)?;
        let mut segment = Self {
            dir: options.dir.clone(),
            path,
            file,
            chain,
            bytes: 0,
            bytes_max: options.segment_bytes,
            unsynced: 0,
            sync_whole: options.sync != SyncPolicy::None,
            counters,
            clock,
        };
        segment.begin()?;
        Ok(segment)
    }

    /// Writes the header of the file just created.
    fn begin(&mut self) -> Result<(), Failure> {
        let header = self.chain.segment_header(crc);
        self.write(bytes_of(&header))?;
        self.chain.enter(&header);
        sync_dir(&self.dir)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let begin_ns = (self.clock)();
        self.file.write_all(bytes).map_err(Failure::disk("write", &self.path))?;
        self.counters.add(log::WRITE_NS, (self.clock)() - begin_ns);
        self.counters.add(log::WRITTEN_BYTES, bytes.len() as u64);
        self.bytes += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        Ok(())
    }

    /// Seals and writes a block, in a new segment if this one has no room for it; whether all before
    /// it is synced.
    fn put(&mut self, block: &mut Filling) -> Result<bool, Failure> {
        let mut synced = false;
        if self.bytes + block.sealed_bytes() as u64 > self.bytes_max
            && self.bytes > SEGMENT_HEADER_BYTES as u64
        {
            if self.sync_whole {
                self.sync()?;
                synced = true;
            }
            (self.path, self.file) = create_file(&self.dir, self.chain.segment)?;
            self.bytes = 0;
            self.begin()?;
        }
        let bytes = block.seal(&mut self.chain);
        self.write(bytes)?;
        self.counters.add(log::BLOCKS, 1);
        Ok(synced)
    }

    fn sync(&mut self) -> Result<(), Failure> {
        let begin_ns = (self.clock)();
        self.file.sync_data().map_err(Failure::disk("sync", &self.path))?;
        let took_ns = (self.clock)() - begin_ns;
        self.counters.add(log::SYNCS, 1);
        self.counters.add(log::SYNC_NS, took_ns);
        let longest = self.counters.get(log::SYNC_NS_MAX).max(took_ns);
        self.counters.set(log::SYNC_NS_MAX, longest);
        self.unsynced = 0;
        Ok(())
    }
}

fn create_file(dir: &Path, segment: u32) -> Result<(PathBuf, File), Failure> {
    let path = segment_path(dir, segment);
    if segment >= SEGMENTS_MAX {
        let source = std::io::Error::other("a log has at most 1,000,000 segments");
        return Err(Failure::Disk { action: "begin", path, source });
    }
    let file = OpenOptions::new().append(true).create_new(true).open(&path);
    let file = file.map_err(Failure::disk("create", &path))?;
    Ok((path, file))
}

/// Makes created and removed names durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), Failure> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Failure::disk("sync", dir))
}

/// The block being filled.
#[derive(Debug)]
struct Filling {
    /// Place for the header, then the records so far, then what is left of an earlier block.
    bytes: Vec<u8>,
    /// Bytes of header and records.
    len: usize,
    records: u32,
    first_tick: Tick,
    last_tick: Tick,
    /// When its first record came, by the clock.
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

    /// Appends a fragment, for which there is room. The ring's own header has the same parts.
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

/// Blocks on their way to the disk, and how far they have come. Ticks count as last tick + 1.
#[derive(Debug)]
struct Output {
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
    /// When the last record came.
    last_ns: u64,
}

impl Output {
    fn push(&mut self, header: RecordHeader, payload: &[u8], now_ns: u64) -> Result<(), Failure> {
        if !self.filling.has_room(payload.len()) {
            self.flush()?;
            if !self.filling.has_room(payload.len()) {
                let what = format!("a fragment of {} bytes exceeds a block", payload.len());
                return Err(Failure::Ring(what));
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
    fn flush(&mut self) -> Result<(), Failure> {
        if self.filling.records == 0 {
            return Ok(());
        }
        if self.segment.put(&mut self.filling)? {
            // The segment before is on the disk, with all that was written into it.
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
    fn force(&mut self) -> Result<(), Failure> {
        self.segment.sync()?;
        self.set_durable();
        self.synced_ns = (self.segment.clock)();
        Ok(())
    }

    /// What is written is durable.
    fn set_durable(&mut self) {
        self.segment.counters.set(log::DURABLE_TICKS, self.written);
    }

    /// Does what the time says.
    fn by_time(&mut self, now_ns: u64) -> Result<(), Failure> {
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

/// What one look into the ring brought.
#[derive(PartialEq, Eq)]
enum Took {
    Nothing,
    Records,
    Stop,
}

/// The thread's state.
#[derive(Debug)]
pub(super) struct LogThread {
    ring: Consumer<RawMem>,
    output: Output,
    failure: Arc<OnceLock<Failure>>,
    /// Most ring bytes taken before the time is looked at.
    batch_bytes: usize,
}

impl LogThread {
    /// `ticks` is how many ticks are durable already, as last tick + 1.
    pub(super) fn new(
        options: &LogOptions,
        mut segment: Segment,
        ring: Consumer<RawMem>,
        ticks: u64,
        failure: Arc<OnceLock<Failure>>,
    ) -> Self {
        segment.counters.set(log::DURABLE_TICKS, ticks);
        let start_ns = (segment.clock)();
        let output = Output {
            segment,
            filling: Filling::new(options.block_bytes),
            taken: ticks,
            written: ticks,
            sync: options.sync,
            block_age_ns: u64::from(options.block_ms) * NS_PER_MS,
            synced_ns: start_ns,
            last_ns: start_ns,
        };
        Self { ring, output, failure, batch_bytes: options.block_bytes }
    }

    /// Runs until the stop record or the first failure, which it leaves for the scheduler.
    pub(super) fn run(mut self) {
        if let Err(failure) = self.work() {
            // The only setter: this thread, once.
            let _ = self.failure.set(failure);
        }
    }

    fn work(&mut self) -> Result<(), Failure> {
        let mut nap = NAP_MIN;
        loop {
            let polled_ns = (self.output.segment.clock)();
            let took = self.take(polled_ns)?;
            if took == Took::Stop {
                self.output.flush()?;
                return self.output.force();
            }
            self.output.by_time(polled_ns)?;
            if took == Took::Nothing {
                std::thread::park_timeout(nap);
                nap = (nap * 2).min(NAP_MAX);
            } else {
                self.output.last_ns = polled_ns;
                nap = NAP_MIN;
            }
        }
    }

    /// Moves what is in the ring into blocks, about one block of it.
    fn take(&mut self, polled_ns: u64) -> Result<Took, Failure> {
        let (mut bytes, mut held, mut took) = (0, 0, Took::Nothing);
        while bytes < self.batch_bytes {
            let record = self.ring.next().map_err(|bad| Failure::Ring(bad.to_string()))?;
            let Some(record) = record else { break };
            if record.tag == STOP {
                took = Took::Stop;
                break;
            }
            let (kind, flags) = (record.tag as u16, (record.tag >> 16) as u16);
            let header = RecordHeader { len: record.len() as u32, kind, flags, tick: record.aux };
            held += RECORD_HEADER_BYTES + record.len();
            self.output.push(header, &record, polled_ns)?;
            took = Took::Records;
            if held >= RELEASE_BYTES {
                self.ring.release();
                bytes += held;
                held = 0;
            }
        }
        self.ring.release();
        Ok(took)
    }
}
