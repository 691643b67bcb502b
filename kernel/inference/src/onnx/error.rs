//! What can go wrong with the library or a model.

use std::path::PathBuf;

use thiserror::Error;

use crate::onnx::pinned::{LIBRARY_CURE, TELEMETRY_ENV};

/// What can go wrong with the library or a model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// No location held a usable library.
    #[error("no ONNX Runtime library found (tried {tried}); {LIBRARY_CURE}")]
    LibraryNotFound {
        /// Every location tried, with what was wrong there.
        tried: String,
    },
    /// A library that was asked for by name cannot serve.
    #[error(
        "ONNX Runtime library {} (from {origin}) cannot be used: {reason}; name none there, and \
         {LIBRARY_CURE}",
        path.display()
    )]
    LibraryUnusable {
        /// The file.
        path: PathBuf,
        /// Who named it.
        origin: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The library contains an uploader and nothing has silenced it.
    #[error(
        "ONNX Runtime library {} is version {version}, which sends telemetry unless told not to; \
         set {TELEMETRY_ENV}=1 before starting, or {LIBRARY_CURE}",
        path.display()
    )]
    LibraryTelemetry {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// The process already runs another library, and can run only one.
    #[error(
        "ONNX Runtime library {} is already active in this process, so {} cannot be; start another \
         process for it",
        active.display(),
        wanted.display()
    )]
    LibraryActive {
        /// The library in use.
        active: PathBuf,
        /// The library asked for.
        wanted: PathBuf,
    },
    /// [`load`](crate::onnx::load) came before a successful
    /// [`init`](crate::onnx::init).
    #[error("model {model} cannot be loaded: ONNX Runtime is not initialised; call init first")]
    NotInitialised {
        /// The model.
        model: String,
    },
    /// The bytes are no ONNX model, or one this kernel cannot look through.
    #[error("model {model} is not a readable ONNX file: {reason}; export it again")]
    ModelMalformed {
        /// The model.
        model: String,
        /// What the reader met.
        reason: &'static str,
    },
    /// The model contains something that could end the process.
    #[error(
        "model {model} is refused: it contains {what}; {cure}, or give it a process of its own: \
         isolation = \"process\""
    )]
    EndsProcess {
        /// The model.
        model: String,
        /// What it contains.
        what: String,
        /// What to do about it in the model.
        cure: &'static str,
    },
    /// The model contains something that cannot be replayed or is not covered by its hash.
    #[error("model {model} is refused: it contains {what}; {cure}")]
    ModelRefused {
        /// The model.
        model: String,
        /// What it contains.
        what: String,
        /// What to do about it.
        cure: &'static str,
    },
    /// Rows of a batch influence each other, so who is asked together would decide results.
    #[error("model {model}: rows influence each other; set batch = 1 (it is {batch}): {reason}")]
    RowsMix {
        /// The model.
        model: String,
        /// Rows of a batch.
        batch: u32,
        /// How that is known.
        reason: String,
    },
    /// It was stopped from outside.
    #[error("model {model} was stopped before it was done")]
    Interrupted {
        /// The model.
        model: String,
    },
    /// Its inputs or outputs are not what requests and replies can hold, or not what the
    /// configuration says of them.
    #[error("model {model} cannot be asked: {reason}")]
    ModelShape {
        /// The model.
        model: String,
        /// What cannot be, and what to do.
        reason: String,
    },
    /// None of the providers that it may be computed with can be had.
    #[error(
        "model {model} cannot be computed as model.{model}.providers asks, because {reasons}; \
         use an ONNX Runtime library and a machine that have it (ORT_DYLIB_PATH names a library), \
         or add \"cpu\" to the list"
    )]
    NoProvider {
        /// The model.
        model: String,
        /// Each of them with the reason.
        reasons: String,
    },
    /// ONNX Runtime refused the model or failed in it.
    #[error("ONNX Runtime failed to {action} model {model}: {message}; check the model file")]
    Runtime {
        /// The model.
        model: String,
        /// `load` or `run`.
        action: &'static str,
        /// The library's own words.
        message: String,
    },
}
