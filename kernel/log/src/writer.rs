//! The scheduler's end of the log.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use bytemuck::bytes_of;
use wasm_engine_abi::Tick;
use wasm_engine_abi::record::{
    Chain, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, Resumed, flags, fragment_bytes, kind,
};
use wasm_engine_shm::bytes::{Producer, ReserveError, UNIT};
use wasm_engine_shm::mem::RawMem;

use crate::counters::{DurableTick, LogCounters};
use crate::error::LogError;
use crate::failure::LogFailure;
use crate::flusher::{LogThread, Polled, STOP, Segment, tag};
use crate::options::{LogOptions, SyncPolicy};
use crate::order::RecordOrder;
use crate::ring::LogRing;
use crate::storage::{Lock, Storage, disk::Disk};
use crate::thread_end;

/// Smallest fragment that a ring must take; smaller ones would be mostly headers.
const FRAGMENT_BYTES_MIN: usize = 64;
/// Polls of a full ring before the core is yielded between polls.
const SPINS: u32 = 200;

/// Who takes records out of the ring.
#[derive(Debug)]
enum RingReader {
    /// A thread.
    Thread(JoinHandle<()>),
    /// Nobody but who calls [`LogWriter::step`] ([`LogOptions::stepped`]).
    Stepped(Box<LogThread>),
}

/// Appends records. One per log; it belongs to the scheduler's thread.
///
/// Dropping it writes and syncs what was appended and leaves the log without its `END`, as a crash
/// would.
#[derive(Debug)]
pub struct LogWriter {
    ring: Producer<RawMem>,
    reader: Option<RingReader>,
    failure: Arc<OnceLock<LogFailure>>,
    durable: DurableTick,
    fragment: usize,
    /// The thread is woken for facts: every wait is one of those who wait until they are durable.
    wakes: bool,
    order: RecordOrder,
    records: u64,
    bytes: u64,
    stalls: u64,
    /// The lock on the log's directory.
    _lock: Lock,
}

impl LogWriter {
    /// Begins a log in a directory that does not exist or is empty, and starts its thread.
    ///
    /// # Errors
    /// [`LogError::Options`], [`LogError::NotEmpty`], [`LogError::InUse`]; [`LogError::Disk`] if
    /// the directory or its first segment cannot be created.
    pub fn create(options: &LogOptions, run_id: [u8; 16], ring: LogRing) -> Result<Self, LogError> {
        Self::create_in(Arc::new(Disk::new(&options.dir)), options, run_id, ring)
    }

    /// As [`LogWriter::create`], in any storage in place of `options.dir`.
    ///
    /// # Errors
    /// As [`LogWriter::create`].
    pub fn create_in(
        storage: Arc<dyn Storage>,
        options: &LogOptions,
        run_id: [u8; 16],
        ring: LogRing,
    ) -> Result<Self, LogError> {
        options.check()?;
        let disk = |action, path, source| LogError::Disk { action, path, durable: None, source };
        let dir = || storage.dir().to_owned();
        storage.create_dir().map_err(|source| disk("create", dir(), source))?;
        let lock = lock(&*storage)?;
        let names = storage.names().map_err(|source| disk("read", dir(), source))?;
        if !names.is_empty() {
            return Err(LogError::NotEmpty { dir: dir() });
        }
        storage.sync_parent().map_err(|(path, source)| disk("sync", path, source))?;
        Self::start(storage, options, Chain::new(run_id), ring, RecordOrder::default(), lock)
    }

    /// Continues a recovered log with a new segment and a `RESUMED` record.
    pub(super) fn resume(
        storage: Arc<dyn Storage>,
        options: &LogOptions,
        chain: Chain,
        ring: LogRing,
        order: RecordOrder,
        lock: Lock,
        resumed: &Resumed,
    ) -> Result<Self, LogError> {
        let mut writer = Self::start(storage, options, chain, ring, order, lock)?;
        let tick = order.ticks.saturating_sub(1);
        writer.put(kind::RESUMED, tick, &[bytes_of(resumed)], &mut || {})?;
        Ok(writer)
    }

    fn start(
        storage: Arc<dyn Storage>,
        options: &LogOptions,
        chain: Chain,
        ring: LogRing,
        order: RecordOrder,
        lock: Lock,
    ) -> Result<Self, LogError> {
        let LogRing { producer, consumer, counters, clock } = ring;
        let LogCounters { writer: counters, durable } = counters;
        let fragment = fragment_bytes(options.block_bytes).min(producer.payload_max());
        if fragment < FRAGMENT_BYTES_MIN {
            let (min, max) = (FRAGMENT_BYTES_MIN as u64, u64::MAX);
            let (what, value) = ("ring payload in bytes", fragment as u64);
            return Err(LogError::Options { what, value, min, max });
        }
        let last = order.ticks.checked_sub(1);
        let dir = storage.dir().to_owned();
        let segment = Segment::create(storage, options, chain, counters, clock)
            .map_err(|failure| failure.to_error(last))?;
        let failure = Arc::new(OnceLock::new());
        let ticks = order.ticks;
        let work = LogThread::new(options, segment, consumer, ticks, Arc::clone(&failure));
        let reader = if options.stepped {
            RingReader::Stepped(Box::new(work))
        } else {
            let thread = std::thread::Builder::new().name("we-log".to_owned());
            let thread = thread.spawn(move || work.run()).map_err(|source| LogError::Disk {
                action: "start a thread for",
                path: dir,
                durable: last,
                source,
            })?;
            RingReader::Thread(thread)
        };
        Ok(Self {
            ring: producer,
            reader: Some(reader),
            failure,
            durable,
            fragment,
            wakes: options.sync == SyncPolicy::EveryMs(0),
            order,
            records: 0,
            bytes: 0,
            stalls: 0,
            _lock: lock,
        })
    }

    /// Appends a record whose payload is `parts` in a row. It allocates nothing and makes no system
    /// call, except to wake a log thread that is always to sync; if the ring is full, it waits and
    /// counts one stall.
    ///
    /// Messages reach the log thread with the next record of another kind, other records at once.
    ///
    /// # Errors
    /// [`LogError::Disk`] or [`LogError::Thread`] if the log has failed and the ring is full;
    /// [`LogError::Order`] for a tick that cannot open or close now, for `END` and `RESUMED`;
    /// [`LogError::TooLong`] over [`RECORD_BYTES_MAX`].
    #[inline]
    pub fn append(&mut self, kind: u16, tick: Tick, parts: &[&[u8]]) -> Result<(), LogError> {
        self.append_with(kind, tick, parts, &mut || {})
    }

    /// As [`LogWriter::append`]; calls `stalled` once before it begins to wait, so that the caller
    /// can publish that it waits.
    ///
    /// # Errors
    /// As [`LogWriter::append`].
    pub fn append_with(
        &mut self,
        kind: u16,
        tick: Tick,
        parts: &[&[u8]],
        stalled: &mut dyn FnMut(),
    ) -> Result<(), LogError> {
        if matches!(kind, kind::END | kind::RESUMED) || !self.order.pass(kind, tick) {
            return Err(LogError::Order { kind, tick });
        }
        self.put(kind, tick, parts, stalled)
    }

    /// Whether a record of `len` bytes can be appended without waiting. Of one that is longer than
    /// the ring takes at once, whether its first part can.
    ///
    /// # Errors
    /// As [`LogWriter::check`].
    pub fn has_room(&mut self, len: usize) -> Result<bool, LogError> {
        self.check()?;
        // Each fragment has a header in the ring and is filled up to a multiple of its length.
        let whole = len + 2 * UNIT * len.div_ceil(self.fragment);
        Ok(self.ring.reserve(whole.min(self.ring.payload_max())).is_ok())
    }

    /// Waits until a record of `len` bytes can be appended, and counts one stall; calls `stalled`
    /// before it begins to wait. Returns at once where [`LogWriter::has_room`].
    ///
    /// # Errors
    /// As [`LogWriter::append`].
    pub fn wait_for_room(&mut self, len: usize, stalled: &mut dyn FnMut()) -> Result<(), LogError> {
        let mut polls = 0;
        while !self.has_room(len)? {
            if polls == 0 {
                self.stalls += 1;
                stalled();
            }
            self.pause(&mut polls);
        }
        Ok(())
    }

    /// Does what its thread does in one poll of the ring, in a log without one
    /// ([`LogOptions::stepped`]). Nothing after a failure, which [`LogWriter::check`] returns.
    pub fn step(&mut self) {
        if let Some(RingReader::Stepped(work)) = &mut self.reader
            && self.failure.get().is_none()
        {
            let _ = work.step();
        }
    }

    /// Hands appended messages to the log thread now.
    #[inline]
    pub fn publish(&mut self) {
        self.ring.publish();
    }

    /// Fails if the log has failed. The run calls it at every tick boundary and stops on an error
    /// (SEMANTICS L2).
    ///
    /// # Errors
    /// [`LogError::Disk`] naming path, error and durable tick; [`LogError::Thread`].
    pub fn check(&self) -> Result<(), LogError> {
        if let Some(failure) = self.failure.get() {
            return Err(failure.to_error(self.durable.get()));
        }
        match &self.reader {
            Some(RingReader::Thread(thread)) if thread.is_finished() => self.ended(),
            _ => Ok(()),
        }
    }

    /// The durable tick, for those who hold back outputs or publish it.
    #[must_use]
    pub fn durable(&self) -> &DurableTick {
        &self.durable
    }

    /// Records appended.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes appended, with record headers.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How often a record had to wait for room in the ring.
    #[must_use]
    pub fn stalls(&self) -> u64 {
        self.stalls
    }

    /// Ends the log in order: writes everything appended, then `END`, and syncs under any policy.
    /// Returns the last tick, which is durable then.
    ///
    /// # Errors
    /// As [`LogWriter::check`].
    pub fn close(mut self) -> Result<Option<Tick>, LogError> {
        let tick = self.order.ticks.saturating_sub(1);
        self.put(kind::END, tick, &[], &mut || {})?;
        self.join();
        match self.failure.get() {
            Some(failure) => Err(failure.to_error(self.durable.get())),
            None => Ok(self.durable.get()),
        }
    }

    /// Splits a record into fragments, straight from its parts into the ring.
    fn put(
        &mut self,
        kind: u16,
        tick: Tick,
        parts: &[&[u8]],
        stalled: &mut dyn FnMut(),
    ) -> Result<(), LogError> {
        let len = parts.iter().map(|part| part.len()).sum();
        if len > RECORD_BYTES_MAX {
            return Err(LogError::TooLong { len });
        }
        let mut rest = PartsCursor { parts, at: 0 };
        let (mut left, mut first) = (len, flags::FIRST);
        let mut waited = false;
        loop {
            let take = left.min(self.fragment);
            left -= take;
            let last = if left == 0 { flags::LAST } else { 0 };
            while !self.try_fragment(tag(kind, first | last), tick, &mut rest, take) {
                if !waited {
                    (waited, self.stalls) = (true, self.stalls + 1);
                    stalled();
                }
                self.wait(take)?;
            }
            self.bytes += (RECORD_HEADER_BYTES + take) as u64;
            if left == 0 {
                break;
            }
            first = 0;
        }
        self.records += 1;
        if kind != kind::MESSAGE {
            self.ring.publish();
        }
        if let Some(RingReader::Thread(thread)) = &self.reader
            && self.wakes
            && kind == kind::TICK_OPEN
        {
            // A call of the system only where it sleeps.
            thread.thread().unpark();
        }
        Ok(())
    }

    /// Puts a fragment into the ring; false if it has no room.
    #[inline]
    fn try_fragment(
        &mut self,
        tag: u32,
        tick: Tick,
        rest: &mut PartsCursor<'_>,
        len: usize,
    ) -> bool {
        match self.ring.reserve(len) {
            Ok(mut grant) => {
                rest.fill(&mut grant);
                grant.commit(len, tag, tick);
                true
            }
            Err(_) => false,
        }
    }

    /// Waits until a fragment of `len` bytes has room.
    #[cold]
    fn wait(&mut self, len: usize) -> Result<(), LogError> {
        self.ring.publish();
        let mut polls = 0;
        while let Err(ReserveError::Full { .. }) = self.ring.reserve(len).map(drop) {
            self.check()?;
            self.pause(&mut polls);
        }
        Ok(())
    }

    /// Waits between two polls of a full ring, of which there were `polls`; or makes room.
    fn pause(&mut self, polls: &mut u32) {
        match &self.reader {
            Some(RingReader::Stepped(_)) => self.step(),
            _ => pause(polls),
        }
    }

    /// Lets the thread write everything and waits for its end.
    fn join(&mut self) {
        let thread = match self.reader.take() {
            None => return,
            Some(RingReader::Thread(thread)) => thread,
            Some(RingReader::Stepped(mut work)) => {
                while self.failure.get().is_none() {
                    // Behind everything that is in the ring, once there is room for it.
                    if self.ring.push(STOP, 0, &[]).is_ok() {
                        self.ring.publish();
                    }
                    if work.step() == Polled::Stop {
                        return;
                    }
                }
                return;
            }
        };
        if thread_end::end(thread, &mut self.ring, STOP).is_err() {
            let what = "it panicked".to_owned();
            // An earlier failure explains more and stays.
            let _ = self.failure.set(LogFailure::Ring(what));
        }
    }

    #[cold]
    fn ended(&self) -> Result<(), LogError> {
        let failure = self.failure.get();
        Err(failure.map_or_else(
            || LogError::Thread { what: "nothing is known".to_owned() },
            |failure| failure.to_error(self.durable.get()),
        ))
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.join();
    }
}

/// Waits between two polls of a full ring, of which there were `polls`.
fn pause(polls: &mut u32) {
    if *polls < SPINS {
        *polls += 1;
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// The rest of a record's parts.
struct PartsCursor<'a> {
    parts: &'a [&'a [u8]],
    /// Bytes taken of the first part.
    at: usize,
}

impl PartsCursor<'_> {
    /// Fills `target` with the next bytes; the parts have at least as many.
    #[inline]
    fn fill(&mut self, mut target: &mut [u8]) {
        while !target.is_empty() {
            let part = &self.parts[0][self.at..];
            let take = part.len().min(target.len());
            let (now, later) = target.split_at_mut(take);
            now.copy_from_slice(&part[..take]);
            target = later;
            self.at += take;
            if self.at == self.parts[0].len() {
                (self.parts, self.at) = (&self.parts[1..], 0);
            }
        }
    }
}

/// Locks a log's directory for writing.
pub(super) fn lock(storage: &dyn Storage) -> Result<Lock, LogError> {
    let dir = storage.dir();
    let lock = storage.lock().map_err(LogError::read("open", dir))?;
    lock.ok_or_else(|| LogError::InUse { dir: dir.to_owned() })
}
