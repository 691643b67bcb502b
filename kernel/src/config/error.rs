//! Why a configuration cannot be used.

use std::{io, path::PathBuf};

use crate::exit::{Exit, HasExitCode};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "configuration {} cannot be read: {source}; name an existing TOML file",
        file.display()
    )]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not TOML, has an unknown key or a value of a wrong type.
    #[error("configuration {}{position}: {problem}", file.display())]
    Parse {
        /// The file.
        file: PathBuf,
        /// `, line L, column C` where the position is known, else empty.
        position: String,
        /// What is wrong there and what is expected.
        problem: String,
    },
    /// An override does not fit.
    #[error("--set {set}: {problem}")]
    Set {
        /// The override as given.
        set: String,
        /// What is wrong with it and what to write instead.
        problem: String,
    },
    /// A value is outside its range or does not fit another.
    #[error("configuration {}: {key} {problem}", file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// The key, as `--set` would name it.
        key: String,
        /// What is wrong with it and what to write instead.
        problem: String,
    },
}

impl HasExitCode for ConfigError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read { source, .. } => Exit::of_reading(source),
            _ => Exit::Usage,
        }
    }
}
