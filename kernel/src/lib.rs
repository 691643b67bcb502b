//! A local-first, deterministic multi-agent runtime on a lock-free shared-memory kernel.
//!
//! A state machine (`wasm-engine-core`) turns a totally ordered log of outside facts into a totally
//! ordered evolution of state; threads, models, monitors and disks make it faster, visible or
//! durable, never different. This crate composes them and decides no result itself.
//!
//! ```text
//!  config -> resolve -> run, host ----------------------------------------> report, exit
//!            sources     |  assemble, poll, sinks, resume          replay
//!                        v                                            |
//!                     machine <---------------------------------------+
//!                        |  one tick at a time: core on lane 0, lane pool, region
//!                        +-> guest, inference, log, telemetry
//! ```
#![deny(unsafe_code)]

#[cfg(feature = "bench")]
pub mod bench;
pub mod check;
mod clock;
mod code_cache;
pub mod config;
pub mod doctor;
pub mod exit;
mod files;
pub mod host;
pub mod machine;
pub mod model_document;
pub mod model_files;
pub mod replay;
pub mod report;
pub mod resolve;
pub mod run;
pub mod sources;
pub mod units;

pub use host::Host;
