//! Why the log thread ended early, kept for every later call.

use std::io;
use std::path::{Path, PathBuf};

use wasm_engine_abi::Tick;

use crate::error::LogError;

/// Why the log thread ended early. Every later call returns the first failure.
#[derive(Debug)]
pub(super) enum LogFailure {
    /// The operating system refused something.
    Disk { action: &'static str, path: PathBuf, source: io::Error },
    /// The ring held something invalid.
    Ring(String),
}

impl LogFailure {
    /// For `map_err`: a refused operation on `path`.
    pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { action, path: path.to_owned(), source }
    }

    /// As an error of a call, at a time when `durable` was durable.
    pub(super) fn to_error(&self, durable: Option<Tick>) -> LogError {
        match self {
            Self::Disk { action, path, source } => {
                LogError::Disk { action, path: path.clone(), durable, source: copy_error(source) }
            }
            Self::Ring(what) => LogError::Thread { what: what.clone() },
        }
    }
}

/// A copy of the error: `io::Error` cannot be cloned.
pub(crate) fn copy_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
