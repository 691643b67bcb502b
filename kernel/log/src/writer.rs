//! The scheduler's end of the log.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use bytemuck::bytes_of;
use wasm_engine_abi::Tick;
use wasm_engine_abi::record::{
    Chain, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, Resumed, flags, fragment_bytes, kind,
};
use wasm_engine_shm::bytes::{Producer, ReserveError};
use wasm_engine_shm::mem::RawMem;

use crate::counters::{DurableTick, LogCounters};
use crate::error::LogError;
use crate::failure::Failure;
use crate::flusher::{LogThread, STOP, Segment, sync_dir, tag};
use crate::options::LogOptions;
use crate::order::Order;
use crate::ring::LogRing;
use crate::thread_end;

/// Smallest fragment that a ring must take; smaller ones would be mostly headers.
const FRAGMENT_BYTES_MIN: usize = 64;
/// Looks at a full ring before the core is given up between looks.
const SPINS: u32 = 200;

/// Appends records. One per log; it belongs to the scheduler's thread.
///
/// Dropping it writes and syncs what was appended and leaves the log without its `END`, as a crash
/// would.
#[derive(Debug)]
pub struct LogWriter {
    ring: Producer<RawMem>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<OnceLock<Failure>>,
    durable: DurableTick,
    fragment: usize,
    order: Order,
    records: u64,
    bytes: u64,
    stalls: u64,
    /// Held as long as the log is written: the lock on its directory.
    _lock: File,
}

impl LogWriter {
    /// Begins a log in a directory that does not exist or is empty, and starts its thread.
    ///
    /// # Errors
    /// [`LogError::Options`], [`LogError::NotEmpty`], [`LogError::InUse`]; [`LogError::Disk`] if the
    /// directory or its first segment cannot be created.
    pub fn create(options: &LogOptions, run_id: [u8; 16], ring: LogRing) -> Result<Self, LogError> {
        options.check()?;
        let dir = &options.dir;
        let disk =
            |action, source| LogError::Disk { action, path: dir.clone(), durable: None, source };
        std::fs::create_dir_all(dir).map_err(|source| disk("create", source))?;
        let lock = lock(dir)?;
        let mut entries = std::fs::read_dir(dir).map_err(|source| disk("read", source))?;
        if entries.next().is_some() {
            return Err(LogError::NotEmpty { dir: dir.clone() });
        }
        if let Some(parent) = dir.canonicalize().ok().as_deref().and_then(Path::parent) {
            sync_dir(parent).map_err(|failure| failure.to_error(None))?;
        }
        Self::start(options, Chain::new(run_id), ring, Order::default(), lock)
    }

    /// Goes on behind a recovered log: a new segment, and the record that says so.
    pub(super) fn go_on(
        options: &LogOptions,
        chain: Chain,
        ring: LogRing,
        order: Order,
        lock: File,
        resumed: &Resumed,
    ) -> Result<Self, LogError> {
        let mut writer = Self::start(options, chain, ring, order, lock)?;
        let tick = order.ticks.saturating_sub(1);
        writer.put(kind::RESUMED, tick, &[bytes_of(resumed)], &mut || {})?;
        Ok(writer)
    }

    fn start(
        options: &LogOptions,
        chain: Chain,
        ring: LogRing,
        order: Order,
        lock: File,
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
        let segment = Segment::create(options, chain, counters, clock)
            .map_err(|failure| failure.to_error(last))?;
        let failure = Arc::new(OnceLock::new());
        let ticks = order.ticks;
        let work = LogThread::new(options, segment, consumer, ticks, Arc::clone(&failure));
        let thread = std::thread::Builder::new().name("we-log".to_owned());
        let thread = thread.spawn(move || work.run()).map_err(|source| LogError::Disk {
            action: "start a thread for",
            path: options.dir.clone(),
            durable: last,
            source,
        })?;
        Ok(Self {
            ring: producer,
            thread: Some(thread),
            failure,
            durable,
            fragment,
            order,
            records: 0,
            bytes: 0,
            stalls: 0,
            _lock: lock,
        })
    }

    /// Appends a record whose payload is `parts` in a row. It allocates nothing and makes no system
    /// call; if the ring is full, it waits and counts one stall.
    ///
    /// Messages are handed over with the next record of another kind, all others at once.
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
    /// can publish what it waits for.
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

    /// Hands appended messages over now.
    #[inline]
    pub fn publish(&mut self) {
        self.ring.publish();
    }

    /// Whether the log still works: to be asked at every tick boundary, where the run stops if not
    /// (SEMANTICS L2).
    ///
    /// # Errors
    /// [`LogError::Disk`] naming path, error and durable tick; [`LogError::Thread`].
    pub fn check(&self) -> Result<(), LogError> {
        if let Some(failure) = self.failure.get() {
            return Err(failure.to_error(self.durable.get()));
        }
        match &self.thread {
            Some(thread) if thread.is_finished() => self.ended(),
            _ => Ok(()),
        }
    }

    /// The durable tick, for whoever holds back outputs or publishes it.
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

    /// Ends the log in order: everything appended, then `END`, written and synced under any policy.
    /// Gives the last tick, which is durable then.
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

    /// Cuts a record into fragments, straight from its parts into the ring.
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
        let mut source = Source { parts, at: 0 };
        let (mut left, mut cut) = (len, flags::FIRST);
        let mut waited = false;
        loop {
            let take = left.min(self.fragment);
            left -= take;
            let last = if left == 0 { flags::LAST } else { 0 };
            while !self.try_fragment(tag(kind, cut | last), tick, &mut source, take) {
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
            cut = 0;
        }
        self.records += 1;
        if kind != kind::MESSAGE {
            self.ring.publish();
        }
        Ok(())
    }

    /// Puts a fragment into the ring, if it has room.
    #[inline]
    fn try_fragment(&mut self, tag: u32, tick: Tick, source: &mut Source, len: usize) -> bool {
        match self.ring.reserve(len) {
            Ok(mut grant) => {
                source.fill(&mut grant);
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
        let mut looks = 0;
        while let Err(ReserveError::Full { .. }) = self.ring.reserve(len).map(drop) {
            self.check()?;
            if looks < SPINS {
                looks += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        Ok(())
    }

    /// Lets the thread write everything and end.
    fn join(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if thread_end::end(thread, &mut self.ring, STOP).is_err() {
            let what = "it panicked".to_owned();
            // If a failure stands already, it is the better one.
            let _ = self.failure.set(Failure::Ring(what));
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

/// What is left of a record's parts.
struct Source<'a> {
    parts: &'a [&'a [u8]],
    /// Bytes taken of the first part.
    at: usize,
}

impl Source<'_> {
    /// Fills `target` with the next bytes; the parts have as many.
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

/// Locks a log's directory for writing, as long as the file lives.
pub(super) fn lock(dir: &Path) -> Result<File, LogError> {
    let file = File::open(dir).map_err(LogError::read("open", dir))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(LogError::InUse { dir: dir.to_owned() }),
        // Where directories cannot be locked, the exclusive creation of segments still guards.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}
