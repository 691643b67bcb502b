//! Why a kernel cannot be started in a host, or cannot go on.

use crate::{config::ConfigError, resolve::ResolveError, run::RunError};

/// Why a kernel cannot be started in a host, or cannot go on. An input that is not taken is a
/// [`PushRefusal`](crate::sources::PushRefusal) and ends nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostFailure {
    /// Nothing says what to run.
    #[error("no configuration was given; call config_file, config_text or config")]
    NoConfig,
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What it names.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Starting or executing it.
    #[error(transparent)]
    Run(#[from] Box<RunError>),
    /// An earlier call has failed.
    #[error("the kernel has failed before; close it, and start another or go on from its log")]
    Failed,
    /// This process is a fork of the one that started the kernel.
    #[error(
        "this process was forked from the one that started the kernel, whose threads and memory it \
         does not have; start another kernel here"
    )]
    Forked,
}

impl From<RunError> for HostFailure {
    fn from(error: RunError) -> Self {
        Self::Run(Box::new(error))
    }
}
