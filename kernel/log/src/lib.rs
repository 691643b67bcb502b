//! What is durable: the run log, appended by the scheduler, written by a thread of its own, read
//! back by replay; and the outputs file beside it.
//!
//! ```text
//!  scheduler                      log thread                        directory
//!  LogWriter::append --ring--> block in memory --write(2)--> 000000.log 000001.log ...
//!  LogWriter::durable <-- durable tick <-------- fdatasync
//!
//!  directory --> recovery: chain of blocks, last TickOpen --> LogReport
//!                                                         --> LogReader: records, one by one
//!                                                         --> resume: the same chain goes on
//! ```
//! - `writer.rs` the scheduler's end: fragments, no allocation, no system call; a full ring is a
//!   counted stall with the same results (SEMANTICS L2)
//! - `flusher.rs` the log thread: blocks, segments, sync, the durable tick
//! - `blocks.rs` the checked blocks of a directory, streamed, and what is wrong with the first bad one
//! - `recovery.rs` what a log comes to (SEMANTICS L5) and how it is resumed
//! - `reader.rs` the records that count, in order, with bounded memory
//! - `error.rs` everything that can go wrong
//!
//! Where bytes lie is [`wasm_engine_abi::record`]. What payloads mean is the caller's: the log looks
//! at kinds and ticks only.
//!
//! # What is guaranteed
//! A tick that [`LogWriter::durable`] names is found again by [`LogReader::open`] after any crash of
//! the process, and, except with [`SyncPolicy::None`], of the machine. One changed byte anywhere is
//! found. What this does not do: a log cut off exactly between two blocks looks like a crash there,
//! since nothing outside the directory says how long it was; and CRC-32C is no signature.

mod blocks;
mod error;
mod flusher;
pub mod outputs;
mod reader;
mod recovery;
pub mod run_header;
#[cfg(feature = "tamper")]
pub mod tamper;
mod thread_end;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasm_engine_abi::Tick;
use wasm_engine_abi::counter::{self, log};
use wasm_engine_abi::record::{BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, SEGMENT_HEADER_BYTES};
use wasm_engine_shm::bytes::{Consumer, Producer, layout};
use wasm_engine_shm::counters::{self, CounterEntry, CounterSpec, CounterWriter, CountersReader};
use wasm_engine_shm::lease::SetupError;
use wasm_engine_shm::mem::RawMem;

pub use error::LogError;
pub use reader::{LogReader, Record};
pub use recovery::{Ending, LogReport, SegmentContent, Torn, resume};
pub use writer::LogWriter;

/// When written blocks are forced to the disk (SEMANTICS L3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncPolicy {
    /// Never but at the orderly close; written counts as durable. A crash of the process loses
    /// nothing written, a crash of the machine may, and may leave damage instead of a torn tail.
    None,
    /// So many milliseconds after the last time, if there is anything new.
    EveryMs(u32),
    /// After so many bytes, looked at block by block, and after a second in which nothing was
    /// appended.
    EveryBytes(u64),
}

/// Where and how a log is written. All of it is physical: nothing here enters a digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// Directory of the log.
    pub dir: PathBuf,
    /// When blocks are forced to the disk. Default every 100 ms.
    pub sync: SyncPolicy,
    /// Longest segment file. Default 256 MiB.
    pub segment_bytes: u64,
    /// Longest block, at most 1 MiB. Default 512 KiB: longer ones leave the processor's cache
    /// before they are written.
    pub block_bytes: usize,
    /// Longest time that a record waits for its block to fill, in milliseconds. Default 10.
    pub block_ms: u32,
}

impl LogOptions {
    /// The defaults for a directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            sync: SyncPolicy::EveryMs(100),
            segment_bytes: 256 << 20,
            block_bytes: 512 << 10,
            block_ms: 10,
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`LogError::Options`] naming the first that does not fit.
    pub fn check(&self) -> Result<(), LogError> {
        let out = |what, value, min, max| Err(LogError::Options { what, value, min, max });
        let (min, max) = (BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
        if !(min..=max).contains(&self.block_bytes) {
            return out("block_bytes", self.block_bytes as u64, min as u64, max as u64);
        }
        let min = (SEGMENT_HEADER_BYTES + self.block_bytes) as u64;
        if self.segment_bytes < min {
            return out("segment_bytes", self.segment_bytes, min, u64::MAX);
        }
        if self.sync == SyncPolicy::EveryBytes(0) {
            return out("bytes between syncs", 0, 1, u64::MAX);
        }
        Ok(())
    }
}

/// Both ends of the ring between scheduler and log thread, and that thread's counters.
#[derive(Debug)]
pub struct LogRing {
    /// The scheduler's end.
    pub producer: Producer<RawMem>,
    /// The log thread's end.
    pub consumer: Consumer<RawMem>,
    /// What it counts.
    pub counters: LogCounters,
    /// Nanoseconds of a clock that only grows; it decides when blocks are written and synced.
    pub clock: fn() -> u64,
}

impl LogRing {
    /// Claims both ends over two zeroed blocks of [`layout`], as they lie in a region.
    ///
    /// # Errors
    /// [`SetupError`] if they have other sizes or are claimed.
    pub fn new(
        producer: RawMem,
        consumer: RawMem,
        counters: LogCounters,
        clock: fn() -> u64,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            producer: Producer::new(producer.clone(), consumer.clone())?,
            consumer: Consumer::new(producer, consumer)?,
            counters,
            clock,
        })
    }

    /// A ring of `capacity_bytes`, a power of two, on the heap; `specs` describe the log's counters.
    ///
    /// # Errors
    /// [`SetupError`] if the capacity is none of a ring.
    ///
    /// # Panics
    /// If `specs` lack a counter of the log.
    pub fn heap(
        capacity_bytes: usize,
        specs: &[CounterSpec<'_>],
        clock: fn() -> u64,
    ) -> Result<Self, SetupError> {
        let shape = layout(capacity_bytes)?;
        let (producer, consumer) =
            (RawMem::heap(shape.producer_len), RawMem::heap(shape.consumer_len));
        Self::new(producer, consumer, LogCounters::heap(specs)?, clock)
    }
}

/// Counters of the log thread, by the places of [`counter::log`], and a look at one of them.
#[derive(Debug)]
pub struct LogCounters {
    writer: CounterWriter<RawMem>,
    durable: DurableTick,
}

impl LogCounters {
    /// Over the writer of [`counter::LOG`] and the section in which it writes.
    ///
    /// # Errors
    /// [`SetupError`] if the section is none of counters.
    ///
    /// # Panics
    /// If the section lacks the log's counters.
    pub fn new(writer: CounterWriter<RawMem>, section: RawMem) -> Result<Self, SetupError> {
        let reader = CountersReader::new(section)?;
        let id = counter::id(counter::LOG[log::DURABLE_TICKS].name);
        let Some(counter) = reader.list().into_iter().find(|counter| counter.id == id) else {
            unreachable!("the section was formatted with the log's counters");
        };
        Ok(Self { writer, durable: DurableTick { reader: Arc::new(reader), counter } })
    }

    /// In memory of their own, which no monitor sees.
    fn heap(specs: &[CounterSpec<'_>]) -> Result<Self, SetupError> {
        let mem = RawMem::heap(counters::layout(specs)?);
        let Some(writer) = counters::format(&mem, specs)?.pop() else {
            unreachable!("a group of counters was asked for");
        };
        Self::new(writer, mem)
    }
}

/// The last tick whose `TickOpen` is durable (SEMANTICS L2). Written by the log thread, read by
/// anyone at any time; it never goes back.
#[derive(Clone, Debug)]
pub struct DurableTick {
    reader: Arc<CountersReader<RawMem>>,
    counter: CounterEntry,
}

impl DurableTick {
    /// The tick, or `None` if no `TickOpen` is durable yet.
    #[must_use]
    pub fn get(&self) -> Option<Tick> {
        self.reader.value(&self.counter)?.checked_sub(1)
    }
}

/// File of a segment.
#[must_use]
pub fn segment_path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{segment:06}.log"))
}

/// The CRC-32C of the processor, where it has one.
fn crc(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}
