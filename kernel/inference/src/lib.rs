//! Inference: requests leave the tick in commit order, replies come back in request order.
//!
//! ```text
//!  scheduler                                             inference thread
//!  InferenceHandle --{request | flush | stop}--> bytes ring --> batcher.rs: chunks of `batch` rows
//!        |                                                          | Backend::run
//!        +<------- {batch done | reply | died} <-- bytes ring <-----+
//! ```
//! What: [`InferenceHandle`] starts the one inference thread and joins it when dropped. A request
//! is a record {number, model, row}, a reply {number, code, row}. Requests of a tick are batched
//! per model in commit order, in chunks of the model's batch; a chunk runs as soon as it is full
//! and the rest, its last row repeated, at the flush that the scheduler sends when the tick closes
//! (SEMANTICS I2). So what runs together depends on the requests alone, never on how fast anything
//! is.
//!
//! - *Every error is a reply* (SEMANTICS I3): a row of the wrong length, a model that fails and a
//!   model that panics all give [`Status::ModelFailed`](wasm_engine_abi::calls::Status). A failure
//!   is that of the rows that fail, not of those in the same chunk; a model that panicked is not
//!   run again. What ends a whole process ends only the model's where it has one of its own
//!   (`isolated`).
//! - *NaN* passes through in and out, each one as the quiet NaN `0x7fc00000`: sign and payload of a
//!   NaN are the processor's choice, and replies are hashed. All other values keep their bits.
//! - *The rings never fill.* [`InferenceLayout`] sizes them from `inferences_pending_max` and
//!   `inference_bytes_pending_max`, which the core keeps before it accepts a request; a full ring
//!   is a mistake of ours and ends the run as [`InferenceError::Full`].
//! - *Nothing is allocated* per request once the buffers have seen the largest tick.
//!
//! - *A model that never returns* holds its thread, not the scheduler:
//!   [`InferenceHandle::wait_until`] can be ended, and dropping the handle interrupts what runs.
//!
//! What not: no limit on a model's run time (SEMANTICS I4 is off), no clock of its own (it is
//! handed one, for telemetry), no agents: who asked and when the reply is due, the core knows.

#![deny(unsafe_code)]

mod backend;
mod batcher;
mod error;
mod handle;
mod interrupt;
#[cfg(all(feature = "onnx", unix))]
pub mod isolated;
mod layout;
#[cfg(feature = "onnx")]
pub mod onnx;
mod protocol;
pub mod registry;
mod server;
#[cfg(test)]
mod tests;

pub use self::{
    backend::{Backend, BackendFailure},
    error::InferenceError,
    handle::{InferenceHandle, InferenceOptions, ModelReply},
    interrupt::{Interrupter, is_thread_left},
    layout::{InferenceLayout, InferenceMemory},
};
