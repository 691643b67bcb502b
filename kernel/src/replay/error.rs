//! Why a log cannot be executed again.

use std::path::PathBuf;

use wasm_engine_guest::engine::EngineError;
use wasm_engine_inference::InferenceError;
use wasm_engine_log::{LogError, outputs::OutputError, run_header::RunHeaderError};

use super::recompute::RecomputeError;
use crate::{
    exit::{Exit, HasExitCode},
    machine::{KernelError, TickError},
    report::Divergence,
    run::keyframes::FromKeyframeError,
    run::sinks::SinkError,
};

/// Why a log could not be executed again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What it says before tick 0.
    #[error(transparent)]
    RunHeader(#[from] RunHeaderError),
    /// Its end is torn, and nobody said that this is fine.
    #[error("{torn}; use --recover to verify what is left")]
    Torn {
        /// What is torn.
        torn: String,
    },
    /// Another engine (SEMANTICS L6).
    #[error(
        "the log was written with engine \"{logged}\", this is \"{here}\"; use that version, or \
         compare all but fuel with --other-engine"
    )]
    Engine {
        /// The log's.
        logged: String,
        /// This one's.
        here: String,
    },
    /// The engine could not start.
    #[error(transparent)]
    Start(#[from] EngineError),
    /// The kernel could not be built.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The machine failed.
    #[error(transparent)]
    Tick(#[from] TickError),
    /// A sink failed.
    #[error(transparent)]
    Take(#[from] SinkError),
    /// A keyframe that is whole and of this log.
    #[error(transparent)]
    Keyframe(#[from] FromKeyframeError),
    /// The outputs file.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The models of `--recompute`.
    #[error(transparent)]
    Recompute(#[from] RecomputeError),
    /// The inference thread.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The replay of a log that diverges.
    #[error("the replay diverges from the log in tick {}: {}", .0.tick, .0.what)]
    Diverged(Box<Divergence>),
    /// A file of the log cannot be measured.
    #[error("{} cannot be read: {source}; check its permissions", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl HasExitCode for ReplayError {
    fn exit(&self) -> Exit {
        match self {
            Self::Log(error) => Exit::of_code(error.exit_code()),
            Self::RunHeader(error) => error.exit(),
            Self::Torn { .. } => Exit::Corrupt,
            Self::Engine { .. } => Exit::Refused,
            Self::Output(error) | Self::Take(SinkError::Output(error)) => error.exit(),
            Self::Recompute(error) => error.exit(),
            Self::Diverged(_) | Self::Tick(TickError::Open(_)) => Exit::Divergence,
            _ => Exit::Failure,
        }
    }
}
