//! Everything that can go wrong with a log.

use std::io;
use std::path::{Path, PathBuf};

use wasm_engine_abi::Tick;
use wasm_engine_abi::record::{Corruption, LOG_VERSION, RECORD_BYTES_MAX};
#[cfg(feature = "writer")]
use wasm_engine_shm::lease::SetupError;

/// Why a log cannot be written, read or resumed. [`LogError::exit_code`] sorts them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A number in the options is out of range.
    #[error("the log's {what} is {value}, which is not in {min}..={max}; change the configuration")]
    Options {
        /// Which number.
        what: &'static str,
        /// As given.
        value: u64,
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// The directory of a new log is not empty.
    #[error(
        "the log directory {} is not empty; name a new one, or resume the run in it",
        dir.display()
    )]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process writes a log there.
    #[error("another process writes the log in {}; wait for its end", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no log.
    #[error(
        "there is no log in {}: it has no segment 000000.log; name the directory of a run",
        dir.display()
    )]
    NoLog {
        /// The directory.
        dir: PathBuf,
    },
    /// The log ends inside its first segment header.
    #[error(
        "the log in {} ends inside its first header; nothing of the run is left",
        dir.display()
    )]
    Empty {
        /// The directory.
        dir: PathBuf,
    },
    /// The operating system refused something while writing (SEMANTICS L2).
    #[error(
        "cannot {action} {}; {}; make room or repair the disk, then resume, or begin \
         in another directory if nothing can be resumed",
        path.display(), durable_text(*durable)
    )]
    Disk {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The durable tick.
        durable: Option<Tick>,
        /// The system's error.
        source: io::Error,
    },
    /// The operating system refused something while reading.
    #[error("cannot {action} {}; check the path and its permissions", path.display())]
    Read {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A valid segment of another version of the format.
    #[error(
        "{} is a log of version {found}, this program reads {LOG_VERSION}; \
         use the program that wrote it",
        path.display()
    )]
    Version {
        /// The segment.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A segment is missing, but later ones are there.
    #[error("{} is missing, but later segments are there; restore it from a copy", path.display())]
    MissingSegment {
        /// The segment.
        path: PathBuf,
        /// Its number.
        segment: u32,
    },
    /// An invalid block that no crash explains (SEMANTICS L5).
    #[error(
        "{} is damaged: block {block} at byte {offset}, ticks {first_tick} to {}: {corruption}; \
         restore it from a copy",
        path.display(), last_tick.map_or_else(|| "the end".to_owned(), |tick| tick.to_string())
    )]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Its number.
        segment: u32,
        /// Number of the block in the log.
        block: u64,
        /// Byte of the block's header in the segment; 0 is the segment's own header.
        offset: u64,
        /// First tick that may be affected.
        first_tick: Tick,
        /// Last tick that may be affected; `None` if no valid block follows that would bound it.
        last_tick: Option<Tick>,
        /// What is wrong.
        corruption: Corruption,
    },
    /// A record was appended out of order: a fault of the caller.
    #[error(
        "a log record of kind {kind} for tick {tick} cannot follow; \
         this is a fault in the kernel, report it"
    )]
    Order {
        /// Kind of the record.
        kind: u16,
        /// Its tick.
        tick: Tick,
    },
    /// A record is longer than readers accept.
    #[error(
        "a log record of {len} bytes exceeds {RECORD_BYTES_MAX}; make modules or inputs smaller"
    )]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The log thread ended without a failure, or the ring held something invalid.
    #[error("the log thread has ended: {what}; this is a fault in the kernel, report it")]
    Thread {
        /// What is known.
        what: String,
    },
    /// The ring's memory has the wrong size or is in use.
    #[cfg(feature = "writer")]
    #[error("the ring to the log thread cannot be used; this is a fault in the kernel, report it")]
    Setup(#[from] SetupError),
}

impl LogError {
    /// Exit code of the program: 4 for damage, 2 for what the caller can correct, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Corrupt { .. } | Self::MissingSegment { .. } => 4,
            Self::Options { .. }
            | Self::NotEmpty { .. }
            | Self::InUse { .. }
            | Self::NoLog { .. }
            | Self::Empty { .. }
            | Self::Read { .. }
            | Self::Version { .. } => 2,
            _ => 1,
        }
    }

    /// For `map_err`: a refused read of `path`.
    pub(super) fn read(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { action, path: path.to_owned(), source }
    }
}

fn durable_text(durable: Option<Tick>) -> String {
    match durable {
        Some(tick) => format!("the log is durable up to tick {tick}"),
        None => "no tick is durable yet".to_owned(),
    }
}
