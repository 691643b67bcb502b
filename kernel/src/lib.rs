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

mod clock;
pub mod config;
pub mod exit;
pub mod machine;
pub mod replay;
pub mod report;
pub mod resolve;
pub mod run;
pub mod sources;
