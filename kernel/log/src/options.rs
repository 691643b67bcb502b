//! Where and how a log is written.

use std::path::PathBuf;

use wasm_engine_abi::record::{BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, SEGMENT_HEADER_BYTES};
pub use wasm_engine_setup::SyncPolicy;
use wasm_engine_setup::log_defaults;

use crate::error::LogError;

/// Where and how a log is written; [`log_defaults`] has the numbers that [`LogOptions::new`] takes.
/// Nothing here enters a digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// Directory of the log.
    pub dir: PathBuf,
    /// When blocks are forced to the disk.
    pub sync: SyncPolicy,
    /// Longest segment file.
    pub segment_bytes: u64,
    /// Longest block, at most 1 MiB: longer ones leave the processor's cache before they are
    /// written.
    pub block_bytes: usize,
    /// Longest time a record waits for its block to fill, in milliseconds.
    pub block_ms: u32,
    /// No thread: the log works where [`LogWriter::step`](crate::LogWriter::step) is called, and
    /// where a record finds no room. For simulation, which decides when it does.
    pub stepped: bool,
}

impl LogOptions {
    /// The defaults for a directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            sync: log_defaults::LOG_SYNC,
            segment_bytes: log_defaults::LOG_SEGMENT_BYTES,
            block_bytes: log_defaults::LOG_BLOCK_BYTES as usize,
            block_ms: log_defaults::LOG_BLOCK_MS,
            stepped: false,
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`LogError::Options`] naming the first that is out of range.
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
