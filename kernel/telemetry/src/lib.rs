//! What is visible: writer and reader of everything that monitors see of a running kernel.
//!
//! ```text
//!  kernel process                               |  monitor process
//!  publisher.rs -> pages, rows, names, trace,  ==|==  read-only map -> reader.rs  -> Snapshot
//!                  counters                     |                     trace.rs   -> Seen
//!                                               |                     counters.rs -> Counted
//! ```
//! Both ends stand here, so that one build cannot disagree with itself about a section. The readers
//! trust nothing: whatever a region holds, the worst outcome is an error.
//!
//! What this does not do: it counts nothing, names no lane or agent of its own, and shows nothing
//! to people; the kernel fills the rows, `ui-bridge` shows them.
#![forbid(unsafe_code)]

pub mod counters;
pub mod error;
pub mod names;
pub mod publisher;
pub mod reader;
pub mod snapshot;
pub mod trace;

pub use error::MonitorError;
pub use names::Names;
pub use reader::Live;
pub use snapshot::{Liveness, Owner, Snapshot, Source};
