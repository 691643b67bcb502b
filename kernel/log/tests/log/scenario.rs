//! A small log in a storage in memory, with the same operations in the same order every time.
//!
//! The clock stands still, so that only the bytes decide when blocks are written and synced. The
//! ring is shorter than the log, so that appending waits for the log thread.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use wasm_engine_abi::record::kind;
use wasm_engine_log::storage::memory::Memory;
use wasm_engine_log::{
    DurableTick, LogError, LogOptions, LogReader, LogRing, LogWriter, SyncPolicy, resume_in,
};
use wasm_engine_telemetry::publisher::log_counter_specs;

pub(crate) const RUN_ID: [u8; 16] = *b"a run's identity";
/// Ticks that each part of the log appends.
const TICKS: u64 = 6;

/// Sync whenever two blocks are unsynced.
pub(crate) const SYNC: SyncPolicy = SyncPolicy::EveryBytes(500);

pub(crate) fn options(sync: SyncPolicy) -> LogOptions {
    let (block_bytes, segment_bytes, block_ms) = (256, 64 + 4 * 256, 1000);
    LogOptions { sync, block_bytes, segment_bytes, block_ms, ..LogOptions::new("unused") }
}

fn ring() -> LogRing {
    LogRing::heap(1024, &log_counter_specs(), || 0).expect("a power of two")
}

/// The durable tick of the writer at work, as others see it.
#[derive(Clone, Default)]
pub(crate) struct Durable(Arc<Mutex<Option<DurableTick>>>);

impl Durable {
    fn follow(&self, log: &LogWriter) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(log.durable().clone());
    }

    pub(crate) fn get(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get()
    }
}

/// Begins a log, appends ticks, the last of which stays open, and ends in order.
pub(crate) fn begin(
    storage: &Memory,
    sync: SyncPolicy,
    durable: &Durable,
) -> Result<Option<u64>, LogError> {
    let storage = Arc::new(storage.clone());
    let mut log = LogWriter::create_in(storage, &options(sync), RUN_ID, ring())?;
    durable.follow(&log);
    log.append(kind::RUN, 0, &[&[1; 90]])?;
    append_ticks(&mut log, 0..TICKS)?;
    log.append(kind::TICK_OPEN, TICKS, &[&[6; 50]])?;
    log.append(kind::MESSAGE, TICKS, &[&[7; 300]])?;
    log.close()
}

/// Resumes a log, reads it, appends ticks and ends in order.
pub(crate) fn go_further(
    storage: &Memory,
    sync: SyncPolicy,
    durable: &Durable,
) -> Result<Option<u64>, LogError> {
    let storage = Arc::new(storage.clone());
    let (mut reader, report, mut log) = resume_in(storage, &options(sync), ring())?;
    durable.follow(&log);
    while reader.next()?.is_some() {}
    if let (Some(tick), false) = (report.opened, report.closed) {
        log.append(kind::TICK_CLOSE, tick, &[&[8; 48]])?;
    }
    let next = report.opened.map_or(0, |tick| tick + 1);
    append_ticks(&mut log, next..next + TICKS)?;
    log.close()
}

fn append_ticks(log: &mut LogWriter, ticks: std::ops::Range<u64>) -> Result<(), LogError> {
    for tick in ticks {
        log.append(kind::TICK_OPEN, tick, &[&vec![3; 20 + (tick as usize * 97) % 300]])?;
        log.append(kind::MESSAGE, tick, &[&[4; 33]])?;
        log.append(kind::TICK_CLOSE, tick, &[&[5; 48]])?;
        log.check()?;
    }
    Ok(())
}

/// The last tick opened in a log, which must hold at least `durable`. There may be no log where
/// nothing was durable; it may never look damaged.
pub(crate) fn opened(storage: &Memory, durable: Option<u64>, case: &str) -> Option<u64> {
    match LogReader::open_in(Arc::new(storage.clone())) {
        Ok((mut reader, report)) => {
            while reader.next().expect("it was checked when it was opened").is_some() {}
            assert!(report.opened >= durable, "{case}: {report}, but {durable:?} was durable");
            report.opened
        }
        Err(LogError::NoLog { .. } | LogError::Empty { .. }) if durable.is_none() => None,
        Err(error) => panic!("{case}: {error}, but {durable:?} was durable"),
    }
}

/// Runs a test that could hang.
pub(crate) fn within_a_minute(test: impl FnOnce() + Send + 'static) {
    let (done, waiting) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    let waited = waiting.recv_timeout(Duration::from_secs(60));
    assert_ne!(waited, Err(mpsc::RecvTimeoutError::Timeout), "it hangs");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
