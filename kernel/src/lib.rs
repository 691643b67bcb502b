//! A local-first, deterministic multi-agent runtime on a lock-free shared-memory kernel.
//!
//! A state machine ([`core`]) turns a totally ordered log of outside facts into a totally ordered
//! evolution of state; threads, models, monitors and disks make it faster, visible or durable,
//! never different.
//!
//! ```text
//!  sources -> ingest.rs -> facts.rs ---------> event_log/ -> segments -> replay.rs
//!                             |                                            |
//!  +-----------+ commands +---v-------------------+ requests +-------------v+
//!  | worker.rs |<---------| kernel.rs: core/ on   |--------->| inference.rs |
//!  | lane, host|--------->| lane 0, lanes.rs      |<---------| onnx.rs      |
//!  +-----------+ results  +----|------------------+ replies  +--------------+
//!                              v
//!                       snapshot.rs: pages, rows == read-only map ==> monitors
//! ```
#![deny(unsafe_code)]

pub mod admission;
pub mod config;
pub mod core;
pub mod engine;
pub mod event_log;
pub mod exit;
pub mod facts;
mod host;
pub mod inference;
mod ingest;
pub mod kernel;
pub mod lane;
mod lanes;
mod memory;
pub mod models;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod output;
mod preamble;
mod recompute;
mod region;
pub mod replay;
pub mod report;
pub mod resolve;
mod resume;
mod rights;
pub mod runtime;
pub mod setup;
pub mod snapshot;
pub mod source;
mod start;
mod takers;
pub mod thread;
pub mod time;
mod turn_digest;
pub mod worker;

pub use self::{
    memory::Sink,
    preamble::{ModuleMismatch, PreambleError},
    recompute::RecomputeError,
    region::{BuildError, Placing},
    resume::ResumeError,
    takers::TakeError,
};
