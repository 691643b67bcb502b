//! Everything that can go wrong with the outputs file.

use std::{
    io,
    path::{Path, PathBuf},
};

use wasm_engine_abi::ids::Tick;

/// Why outputs cannot be written or are not what the run produced.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// An operation on the file failed.
    #[error(
        "outputs {} cannot be {action}: {source}; the run stops at the end of a tick. Make \
         room or repair the disk and the rights, then resume: the log has what is missing here",
        file.display()
    )]
    Io {
        /// The file.
        file: PathBuf,
        /// What was attempted, as a participle.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// An operation on what outputs are also written to failed.
    #[error(
        "output {} cannot be {action}: {source}; name a file that can be written, or make room",
        file.display()
    )]
    Stream {
        /// The file, `-` for standard output.
        file: PathBuf,
        /// What was attempted, as a participle.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A line does not have the documented form.
    #[error("outputs {}, line {line}: {problem}; the file was changed or damaged", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A line is not what the run produced.
    #[error(
        "outputs {}, line {line}: the run's tick {tick} gives another line; the file was changed \
         or damaged",
        file.display()
    )]
    Mismatch {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Tick of the run's own line.
        tick: Tick,
    },
    /// The file has fewer or more lines than the run.
    #[error(
        "outputs {}: it has {found} lines, the run gives {expected}; \
         the file was cut or added to",
        file.display()
    )]
    Length {
        /// The file.
        file: PathBuf,
        /// Lines of the file, as far as they were compared.
        found: u64,
        /// Lines of the run.
        expected: u64,
    },
}

pub(super) fn io_error(file: &Path, action: &'static str, source: io::Error) -> OutputError {
    OutputError::Io { file: file.to_owned(), action, source }
}
