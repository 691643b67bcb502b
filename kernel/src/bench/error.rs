//! Why nothing could be measured.

use std::{io, path::PathBuf};

use crate::{
    config::ConfigError,
    exit::{Exit, HasExitCode},
    replay::ReplayError,
    resolve::ResolveError,
    run::RunError,
};

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A stage gave another result than it must: a figure of it would mean nothing.
    #[error("{stage} gave a wrong result: {what}; report this bug")]
    Wrong {
        /// The stage.
        stage: &'static str,
        /// What was wrong.
        what: String,
    },
    /// The machine did not give what a stage needs.
    #[error("{stage}: {what}; `wasm-engine doctor` says what this machine lacks")]
    Machine {
        /// The stage.
        stage: &'static str,
        /// What was not given.
        what: String,
    },
    /// A file could not be written or read.
    #[error("{} cannot be used: {source}; name another folder with --dir", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The figures to compare with are not there.
    #[error("{} holds no figures: {problem}; name a file that --json wrote", path.display())]
    Figures {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The configuration of a stage.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What it names.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Its run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Its replay.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl HasExitCode for BenchError {
    fn exit(&self) -> Exit {
        match self {
            Self::File { .. } | Self::Figures { .. } => Exit::Usage,
            _ => Exit::Failure,
        }
    }
}
