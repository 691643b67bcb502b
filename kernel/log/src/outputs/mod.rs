//! What leaves a run: `outputs.jsonl` and the last message of each output topic.
//!
//! One line for each message on an output topic, in commit order, so the file is a function of the
//! run and can be compared byte by byte:
//!
//! ```text
//! {"tick":7,"microstep":3,"topic":"score/EWR","from":"scorer/EWR","seq":12,"payload":{"n":1}}
//! ```
//! The payload is embedded as it is where it is JSON, else it is a string where it is UTF-8, else
//! `{"base64":"..."}`. The file is no log: after a crash it may lack lines of logged ticks or have
//! lines of ticks that are not logged. So a resumed run truncates it to earlier ticks (SEMANTICS
//! L5), compares the rest with what it executes again, and writes what is missing.
//!
//! Lines are written by a thread of their own (`writer.rs`), so that a slow disk does not hold up
//! the tick; a full ring to it is a counted stall.
//!
//! Not here: holding outputs until their tick is durable.

mod compare;
mod error;
#[cfg(feature = "writer")]
mod file;
mod format;
mod last;
mod line;
#[cfg(feature = "writer")]
mod stream;
#[cfg(feature = "writer")]
mod writer;

pub use compare::OutputComparison;
pub use error::OutputError;
#[cfg(feature = "writer")]
pub use file::{OutputFile, Truncation};
pub use format::{Misfit, OutputFormat};
pub use last::LastOutputs;
pub use line::{OUTPUTS_FILE, OutputLine, payload_value};
#[cfg(feature = "writer")]
pub use stream::{OutputStream, OutputTarget};
