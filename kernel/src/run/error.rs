//! Why a run failed, and with which exit code it ends.

use wasm_engine_abi::Tick;
use wasm_engine_guest::engine::EngineError;
use wasm_engine_inference::InferenceError;
use wasm_engine_log::{LogError, outputs::OutputError};

use crate::{
    exit::{Exit, HasExitCode},
    machine::{BuildError, KernelError, ThreadError, TickError},
    run::{model_loader::LoaderError, models::ModelsError, resume::ResumeError, sinks::SinkError},
    sources::ListenError,
};

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A source into which only a host can push.
    #[error(
        "source `{id}` is of kind \"live\": a host program pushes its inputs, and this command has \
         none; name a file or socket of JSON lines, write kind = \"feeder\", or embed the kernel \
         (wasm_engine::host)"
    )]
    Live {
        /// Id of the source.
        id: String,
    },
    /// A live source whose lines only the command reads.
    #[error(
        "source `{id}` has a file, whose lines the wasm-engine command reads; remove \
         source.{id}.file, and push what it holds"
    )]
    LiveFile {
        /// Id of the source.
        id: String,
    },
    /// Nobody can feed it.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No thread for lines.
    #[error("no thread can be started that reads lines: {0}; free some threads")]
    Lines(std::io::Error),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// More spinning threads than cores.
    #[error(transparent)]
    Threads(#[from] ThreadError),
    /// The kernel could not be built.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The models.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The inference thread.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The thread that loads models.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The outputs file.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The outputs file, in a run that has a log.
    #[error("{source}; {}", durable.map_or_else(
        || "no tick is known to be durable".to_owned(),
        |tick| format!("tick {tick} is durable"),
    ))]
    Outputs {
        /// What happened.
        source: OutputError,
        /// The last tick whose facts are on disk.
        durable: Option<Tick>,
    },
    /// A tick.
    #[error(transparent)]
    Tick(#[from] TickError),
    /// A sink of what a tick gave.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The log of a run to be resumed.
    #[error(transparent)]
    Resume(#[from] ResumeError),
}

impl HasExitCode for RunError {
    fn exit(&self) -> Exit {
        match self {
            Self::Engine(EngineError::Start(_) | EngineError::AddressSpace { .. }) => Exit::Failure,
            Self::Engine(_) | Self::Threads(_) | Self::Live { .. } | Self::LiveFile { .. } => {
                Exit::Usage
            }
            Self::Kernel(KernelError::Build(error)) => match error {
                BuildError::Locate(_) => Exit::Usage,
                BuildError::TooLarge { .. } | BuildError::TickTooLong { .. } => Exit::Refused,
                _ => Exit::Failure,
            },
            Self::Log(error) => Exit::of_code(error.exit_code()),
            Self::Output(error)
            | Self::Outputs { source: error, .. }
            | Self::Sink(SinkError::Output(error)) => error.exit(),
            Self::Resume(error) => error.exit(),
            Self::Listen(error) => error.exit(),
            Self::Models(error) => error.exit(),
            _ => Exit::Failure,
        }
    }
}
