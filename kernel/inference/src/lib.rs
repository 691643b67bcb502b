//! Inference: requests leave the tick in commit order, replies come back in request order.
//!
//! ```text
//!  scheduler                                             inference thread
//!  InferenceHandle --{request | flush | stop}--> bytes ring --> batcher.rs: chunks of `batch` rows
//!        |                                                          | Backend::run
//!        +<------- {batch done | reply | died} <-- bytes ring <-----+
//! ```
//! What: [`InferenceHandle`] starts the one inference thread and joins it when dropped. A request
//! is a record {number, model, list of tensors or row}, a reply {number, code, the same}. Requests
//! of a tick are batched per model and shape in commit order, in chunks of the model's batch; a
//! chunk runs as soon as it is full and the rest, its last row repeated, at the flush that the
//! scheduler sends when the tick closes (SEMANTICS I2). So what runs together depends on the
//! requests alone, never on how fast anything is.
//!
//! - *Every error is a reply* (SEMANTICS I3): a request that is not what the model takes gives
//!   [`Status::Mismatch`](wasm_engine_abi::calls::Status) and says what differs, a model that fails
//!   or panics gives `ModelFailed`. A failure is that of the rows that fail, not of those in the
//!   same chunk; a model that panicked is not run again. What ends a whole process ends only the
//!   model's where it has one of its own (`isolated`).
//! - *NaN* passes through in and out, each one as the quiet NaN of its type: sign and payload of a
//!   NaN are the processor's choice, and replies are hashed. All other values keep their bits.
//! - *The rings may fill* where requests or replies are large: [`InferenceLayout`] bounds them, the
//!   scheduler keeps what has no room and never waits for it, the inference thread waits.
//! - *Copies of a request*: into the ring, out of it, to its chunk where it is not the first one
//!   there, into the stack where there is one, and into tensors that stay where its shape is bound
//!   (`onnx/bound.rs`); else its first tensor is read in place, and the others are copied where
//!   they do not begin at a multiple of 64; of a reply: out of the library, cut into rows, and
//!   through the ring.
//! - *Nothing is allocated by us* per request once the buffers have seen the largest tick, but for
//!   what waits for room and, where a shape is not bound, the library's handles of tensors.
//!
//! - *A model that never returns* holds its thread, not the scheduler:
//!   [`InferenceHandle::wait_until`] can be ended, and dropping the handle interrupts what runs.
//!   Where it has a deadline, its request is answered with `Late` (SEMANTICS I4).
//!
//! What not: no clock of its own (it is handed one, for telemetry and deadlines), no agents: who
//! asked and when the reply is due, the core knows.

#![deny(unsafe_code)]

mod absent;
pub mod account;
mod backend;
mod batcher;
mod deadline;
#[cfg(feature = "onnx")]
mod describe;
mod error;
mod external_file;
#[cfg(feature = "onnx")]
mod fallback;
#[cfg(all(test, feature = "onnx"))]
mod fallback_tests;
mod guarded;
mod handle;
mod histogram;
mod interrupt;
#[cfg(all(feature = "onnx", unix))]
pub mod isolated;
mod layout;
mod list_buffer;
mod measures;
mod nan;
#[cfg(feature = "onnx")]
pub mod onnx;
mod protocol;
mod provider;
pub mod registry;
mod replace;
#[cfg(test)]
mod replace_tests;
mod reply_slot;
mod request;
mod request_pipe;
mod scan;
mod server;
#[cfg(all(test, feature = "onnx", target_os = "linux"))]
mod soak_tests;
mod stack;
#[cfg(test)]
mod tensor_tests;
mod terms;
#[cfg(test)]
mod tests;

pub use self::{
    absent::AbsentModel,
    backend::{Backend, BackendFailure, ModelPorts},
    batcher::ServedModel,
    error::InferenceError,
    external_file::{ExternalFile, model_sha256},
    handle::{InferenceHandle, InferenceOptions, ModelReply},
    histogram::Spread,
    interrupt::{Canceller, Interrupter, is_thread_left},
    layout::{InferenceLayout, InferenceMemory},
    list_buffer::ListBuffer,
    measures::ModelMeasures,
    provider::ProviderName,
    stack::StackedRows,
};
