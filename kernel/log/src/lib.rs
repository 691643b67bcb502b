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
//!                                                         --> resume: the same chain continues
//! ```
//! Reading, in every build:
//! - `storage/` the only file system calls, behind one trait: a directory, or files in memory
//! - `segment.rs` names of segment files
//! - `blocks.rs` the blocks of a directory, checked one by one, and what is wrong with the first
//!   invalid one
//! - `order.rs` which records may follow which
//! - `recovery.rs` which records count after an end, a stop or a crash (SEMANTICS L5)
//! - `reader.rs` the records that count, in order, with bounded memory
//! - `run_header.rs` the records before the first tick
//! - `keyframes/` the state of a run at a tick, in files beside its log
//! - `outputs/` the lines of the outputs file, written and compared
//! - `error.rs` everything that can go wrong
//!
//! Writing, with the feature `writer`:
//! - `options.rs` where and how a log is written
//! - `writer.rs` the scheduler's end: fragments, no allocation, no system call; a full ring is a
//!   counted stall with the same results (SEMANTICS L2)
//! - `ring.rs`, `counters.rs` what lies between it and the log thread; the durable tick
//! - `flusher.rs` the log thread: blocks, segments, sync, the durable tick
//! - `failure.rs`, `thread_end.rs` how it fails and how it ends
//! - `resume.rs` how a recovered log is continued
//!
//! Where bytes lie is [`wasm_engine_abi::record`]. What payloads mean is the caller's: the log
//! reads kinds and ticks only.
//!
//! # Features
//! - `writer` (default): writing and resuming; needs `wasm-engine-shm` and threads. Without it the
//!   crate compiles for `wasm32-unknown-unknown`, where a [`Storage`](storage::Storage) of the
//!   embedder takes the place of a directory.
//! - `faults`: [`storage::memory`](storage), for tests.
//! - `tamper`: changes finished logs, for tests and `cargo xtask tamper`.
//!
//! # What is guaranteed
//! A tick that `LogWriter::durable` returns is found again by [`LogReader::open`] after any crash
//! of the process, and, except with `SyncPolicy::None`, of the machine. One changed byte anywhere
//! is found. Not found: a log truncated exactly between two blocks looks like a crash there, since
//! nothing outside the directory has its length; and CRC-32C is no signature.

mod blocks;
#[cfg(feature = "writer")]
mod counters;
mod error;
#[cfg(feature = "writer")]
mod failure;
#[cfg(feature = "writer")]
mod flusher;
pub mod keyframes;
#[cfg(feature = "writer")]
mod options;
mod order;
pub mod outputs;
mod reader;
mod recovery;
#[cfg(feature = "writer")]
mod resume;
#[cfg(feature = "writer")]
mod ring;
pub mod run_header;
mod segment;
pub mod storage;
#[cfg(feature = "tamper")]
pub mod tamper;
#[cfg(feature = "writer")]
mod thread_end;
#[cfg(feature = "writer")]
mod writer;

pub use blocks::Torn;
#[cfg(feature = "writer")]
pub use counters::{DurableTick, LogCounters};
pub use error::LogError;
#[cfg(feature = "writer")]
pub use options::{LogOptions, SyncPolicy};
pub use reader::{LogReader, LogRecord};
pub use recovery::{Ending, LogReport, SegmentContent};
#[cfg(feature = "writer")]
pub use resume::{resume, resume_in};
#[cfg(feature = "writer")]
pub use ring::LogRing;
pub use segment::segment_path;
#[cfg(feature = "writer")]
pub use writer::LogWriter;
