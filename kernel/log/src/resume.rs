//! How a recovered log is continued (SEMANTICS L5).
//!
//! Resuming changes nothing that is valid: it only truncates torn bytes. The unfinished rest stays
//! where it is, in sealed blocks, and a `RESUMED` record behind it marks it as not counting; so no
//! crash while resuming can lose a `TickOpen` that was durable before. The new records begin in a
//! new segment, chained to the last valid block.

use std::io::ErrorKind;
use std::sync::Arc;

use wasm_engine_abi::record::Resumed;

use crate::blocks::{Blocks, Torn};
use crate::error::LogError;
use crate::failure::LogFailure;
use crate::flusher::sync_segments;
use crate::options::LogOptions;
use crate::order::RecordOrder;
use crate::reader::LogReader;
use crate::recovery::{Ending, LogReport, recover};
use crate::ring::LogRing;
use crate::segment::{segment_name, segment_path};
use crate::storage::{Storage, disk::Disk};
use crate::writer::{LogWriter, lock};

/// Opens the log in `options.dir` to continue it: truncates a torn tail, begins a new segment and
/// appends `RESUMED`. The reader gives the records kept; the writer appends behind them. If
/// [`LogReport::closed`] is false, the caller executes the last tick again with its facts and
/// appends its `TickClose`, not its `TickOpen`, next.
///
/// # Errors
/// As [`LogReader::open`] and [`LogWriter::create`]; a damaged log is left as it is.
pub fn resume(
    options: &LogOptions,
    ring: LogRing,
) -> Result<(LogReader, LogReport, LogWriter), LogError> {
    resume_in(Arc::new(Disk::new(&options.dir)), options, ring)
}

/// As [`resume`], in any storage in place of `options.dir`.
///
/// # Errors
/// As [`resume`].
pub fn resume_in(
    storage: Arc<dyn Storage>,
    options: &LogOptions,
    ring: LogRing,
) -> Result<(LogReader, LogReport, LogWriter), LogError> {
    options.check()?;
    let dir = storage.dir().to_owned();
    match storage.names() {
        Ok(names) if names.contains(&segment_name(0)) => {}
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(LogError::read("read", &dir)(error));
        }
        _ => return Err(LogError::NoLog { dir }),
    }
    let lock = lock(&*storage)?;
    let mut blocks = Blocks::open(Arc::clone(&storage))?;
    let recovered = recover(&mut blocks)?;
    let (report, chain) = (recovered.report.clone(), blocks.chain());
    let torn = if let Ending::Torn(torn) = report.ending { Some(torn) } else { None };
    let truncated = truncate(&*storage, chain.segment, torn);
    truncated.map_err(|failure| failure.to_error(report.opened))?;
    let order = RecordOrder::after(report.opened, report.closed);
    let unfinished_records = report.unfinished_records;
    let resumed = Resumed { ticks: order.ticks, unfinished_records };
    let writer = LogWriter::resume(storage, options, chain, ring, order, lock, &resumed)?;
    Ok((LogReader::over(blocks, recovered), report, writer))
}

/// Removes torn bytes and makes the rest durable, all of it: the process before may have been one
/// that never syncs, or have ended before it did. `next` is the number of the segment to begin.
fn truncate(storage: &dyn Storage, next: u32, torn: Option<Torn>) -> Result<(), LogFailure> {
    let dir = storage.dir();
    if let Some(torn) = torn.filter(|torn| torn.segment >= next) {
        let path = segment_path(dir, torn.segment);
        storage.remove(&segment_name(torn.segment)).map_err(LogFailure::disk("remove", &path))?;
    }
    let last = next.saturating_sub(1);
    sync_segments(storage, 0..last)?;
    let path = segment_path(dir, last);
    let file = storage.open_append(&segment_name(last));
    let mut file = file.map_err(LogFailure::disk("open", &path))?;
    if let Some(torn) = torn.filter(|torn| torn.segment < next) {
        file.truncate(torn.offset).map_err(LogFailure::disk("truncate", &path))?;
    }
    file.sync().map_err(LogFailure::disk("sync", &path))?;
    storage.sync_dir().map_err(LogFailure::disk("sync", dir))
}
