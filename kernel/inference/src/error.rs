//! What can go wrong between the scheduler and the inference thread.

use thiserror::Error;
use wasm_engine_shm::bytes::{CorruptRing, ReserveError};
use wasm_engine_shm::lease::SetupError;

/// What can go wrong between the scheduler and the inference thread; never a model's own error.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// The limits and models need more than a ring can have.
    #[error(
        "{which} of inference need {bytes} bytes, more than a ring can have; lower \
         limits.inferences_pending_max"
    )]
    Size {
        /// `requests` or `replies`.
        which: &'static str,
        /// Bytes needed.
        bytes: u64,
    },
    /// The memory given does not suit.
    #[error("the memory of inference cannot be used: {0}")]
    Memory(#[from] SetupError),
    /// The system gave no thread.
    #[error("the inference thread cannot be started: {0}; free some threads and try again")]
    Thread(#[source] std::io::Error),
    /// A ring was full although the limits forbid it.
    #[error(
        "the ring of inference requests cannot take request {number}: {source}; this is a mistake \
         in the kernel, report it"
    )]
    Full {
        /// The request, or `u64::MAX` for a flush.
        number: u64,
        /// What the ring said.
        #[source]
        source: ReserveError,
    },
    /// A ring holds what cannot be.
    #[error(
        "the ring of inference replies is corrupt: {0}; this is a mistake in the kernel, report it"
    )]
    CorruptRing(#[from] CorruptRing),
    /// The request cannot be submitted, or no such reply is outstanding.
    #[error(
        "inference request {number} for model {model} {reason}; this is a mistake in the kernel, \
         report it"
    )]
    Misuse {
        /// The request.
        number: u64,
        /// The model named, or `u32::MAX` if none was.
        model: u32,
        /// What is wrong.
        reason: &'static str,
    },
    /// The thread ended although nobody told it to.
    #[error("the inference thread ended: {message}; the run cannot go on, resume it from its log")]
    Died {
        /// Its last words.
        message: String,
    },
}
