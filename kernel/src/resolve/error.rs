//! Why a configuration cannot be resolved, and the reading of files that it names.

use std::{
    io,
    path::{Path, PathBuf},
};

use wasm_engine_guest::admission::AdmissionError;

use crate::config::ConfigError;
use crate::exit::{Exit, HasExitCode};
use crate::files;
use crate::model_files::ModelFileError;
use crate::sources::SourceError;

/// Why a configuration cannot be turned into a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A value does not fit another, or names nothing.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A source cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A module was refused.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// A file cannot be read.
    #[error(
        "{key}: file {} cannot be read: {source}; build it or correct the path",
        file.display()
    )]
    File {
        /// The key that names it.
        key: String,
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The files of a model cannot be read.
    #[error("{key}: {source}")]
    Model {
        /// The key that names them.
        key: String,
        /// Why.
        #[source]
        source: Box<ModelFileError>,
    },
    /// A model is not the one that was configured.
    #[error(
        "{key}: file {} has SHA-256 {found}, the configuration expects {expected}; restore the \
         file or correct the key",
        file.display()
    )]
    Sha256 {
        /// The key that says what it should be.
        key: String,
        /// The file.
        file: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The run needs more than its own limits allow (SEMANTICS Q3).
    #[error("{what} needs {needed}, but {limit} is {max}; raise the limit or lower the need")]
    Refused {
        /// What needs it.
        what: String,
        /// How much of it.
        needed: u64,
        /// Key of the limit.
        limit: String,
        /// Its value.
        max: u64,
    },
}

impl HasExitCode for ResolveError {
    fn exit(&self) -> Exit {
        match self {
            Self::Config(error) => error.exit(),
            Self::Source(error) => error.exit(),
            Self::Admission(error) => error.exit(),
            Self::Refused { .. } => Exit::Refused,
            Self::File { source, .. } => Exit::of_reading(source),
            Self::Model { source, .. } => source.exit(),
            Self::Sha256 { .. } => Exit::Usage,
        }
    }
}

pub(crate) fn refuse_above(
    what: &str,
    needed: u64,
    limit: &str,
    max: u64,
) -> Result<(), ResolveError> {
    if needed <= max {
        return Ok(());
    }
    Err(ResolveError::Refused { what: what.to_owned(), needed, limit: limit.to_owned(), max })
}

pub(crate) fn read(key: &str, file: &Path, bytes_max: u64) -> Result<Vec<u8>, ResolveError> {
    files::read(file, bytes_max).map_err(|source| ResolveError::File {
        key: key.to_owned(),
        file: file.to_owned(),
        source,
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
