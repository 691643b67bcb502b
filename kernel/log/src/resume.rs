//! How a recovered log is continued (SEMANTICS L5).
//!
//! Resuming changes nothing that was sound: only torn bytes are cut off. The unfinished rest stays
//! where it is, in sealed blocks, and a `RESUMED` record behind it says that it counts no more; so
//! no crash while resuming can lose a `TickOpen` that was durable before. The new records begin in a
//! new segment, chained to the last sound block.

use std::fs::OpenOptions;

use wasm_engine_abi::record::Resumed;

use crate::blocks::{Blocks, Torn};
use crate::error::LogError;
use crate::failure::Failure;
use crate::flusher::sync_dir;
use crate::options::LogOptions;
use crate::reader::LogReader;
use crate::recovery::{Ending, LogReport, recover};
use crate::ring::LogRing;
use crate::segment::segment_path;
use crate::writer::{LogWriter, lock};

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
