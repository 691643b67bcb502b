//! What bytes mean: ids, limits, the guest contract, frames between threads, log records, rows.
//!
//! Every byte layout that more than one crate reads is written down here. Guests, the kernel, the
//! log and monitors all read it from here; `shm` moves the bytes and never looks inside.
//!
//! ```text
//!  ids.rs      AgentId, Digest                 calls.rs   guest exports, imports, status codes
//!  limits.rs   hard maxima, with units         manifest.rs  the module's custom section
//!  frame.rs    items, effects, turn frames     record/    log blocks and records
//!  page/       rows and pages for monitors     counter.rs counter ids, names, units
//!  code.rs     tables of codes and their words    schema.rs   the fingerprint of what is published
//!  plain.rs    text from outside, fit to be shown
//!  short.rs    the same, as one short line      input.rs   what inputs are made of
//!  tensor/     what models are asked and answer  feed.rs  what feeders and kernels say first
//!  task.rs     what `schedule` takes           pattern.rs  names that a pattern stands for
//! ```
//!
//! It does no IO, reads no clock, knows no thread and has no `unsafe`. All integers are
//! little-endian; every struct is `Pod` without padding, so any bit pattern is a value and every
//! check is explicit.
//!
//! # Versions
//! [`ABI_VERSION`] is what a module declares in its manifest. Calls may be added under the same
//! version; none may change its type or meaning. [`SCHEMA`] fingerprints everything other
//! processes read in the region, computed from the layout itself.
#![no_std]
#![forbid(unsafe_code)]

pub mod calls;
pub mod code;
pub mod counter;
pub mod feed;
pub mod frame;
pub mod ids;
pub mod input;
pub mod limits;
pub mod manifest;
pub mod page;
pub mod pattern;
pub mod plain;
pub mod record;
mod schema;
pub mod short;
pub mod task;
pub mod tensor;

pub use ids::{AgentId, Digest, Tick};
pub use schema::SCHEMA;

/// Version of the guest contract (see [`calls`](mod@calls)); a module that declares another is
/// refused.
pub const ABI_VERSION: u32 = 1;
