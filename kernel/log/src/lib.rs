//! What is durable: the run log, appended by the scheduler, written by a thread of its own, read
//! back by replay; and the outputs file beside it.
//!
//! ```text
//!  scheduler                      log thread                        directory
//!  LogWriter::append --ring--> block in memory --write(2)--> 000000.log 000001.log ...
//!  LogWriter::durable <-- durable tick <-------- fdatasync
//!
//!  directory --> recovery: chain of blocks, last TickOpen --> LogReport
//!                                                         --> LogReader: records, one by one
//!                                                         --> resume: the same chain goes on
//! ```
//! - `writer.rs` the scheduler's end: fragments, no allocation, no system call; a full ring is a
//!   counted stall with the same results (SEMANTICS L2)
//! - `flusher.rs` the log thread: blocks, segments, sync, the durable tick
//! - `blocks.rs` the checked blocks of a directory, streamed, and what is wrong with the first bad one
//! - `recovery.rs` what a log comes to (SEMANTICS L5) and how it is resumed
//! - `reader.rs` the records that count, in order, with bounded memory
//! - `error.rs` everything that can go wrong
//!
//! Where bytes lie is [`wasm_engine_abi::record`]. What payloads mean is the caller's: the log looks
//! at kinds and ticks only.
//!
//! # What is guaranteed
//! A tick that [`LogWriter::durable`] names is found again by [`LogReader::open`] after any crash of
//! the process, and, except with [`SyncPolicy::None`], of the machine. One changed byte anywhere is
//! found. What this does not do: a log cut off exactly between two blocks looks like a crash there,
//! since nothing outside the directory says how long it was; and CRC-32C is no signature.

mod blocks;
mod counters;
mod error;
mod failure;
mod flusher;
mod options;
mod order;
pub mod outputs;
mod reader;
mod recovery;
mod resume;
mod ring;
pub mod run_header;
mod segment;
#[cfg(feature = "tamper")]
pub mod tamper;
mod thread_end;
mod writer;

pub use blocks::Torn;
pub use counters::{DurableTick, LogCounters};
pub use error::LogError;
pub use options::{LogOptions, SyncPolicy};
pub use reader::{LogReader, Record};
pub use recovery::{Ending, LogReport, SegmentContent};
pub use resume::resume;
pub use ring::LogRing;
pub use segment::segment_path;
pub use writer::LogWriter;
