//! Read-only views of a running kernel.
//!
//! ```text
//!  kernel process                     |  this process
//!  Publisher -> page, rows, names  == | == map, read-only -> reader -> Snapshot -> View -+-> tui
//!                                     |                                                  +-> json
//!                                     |                                                  +-> text
//!            -> trace ring        == | ==              trace, one event after the other
//!            -> counters          == | ==              counters, of any build
//! ```
//! # What a monitor may conclude
//! - **Each number is true.** It was published by the kernel at some moment, whole.
//! - **A page is one moment.** All numbers of the kernel belong together. The rows of a table are
//!   one moment too, unless `agents_one_version` is false; tables and page may be a tick apart.
//! - **Live** means: the process exists, and it runs with a moving heartbeat or says what it waits
//!   for. **Stale** means: its status is *running*, and its heartbeat has stood still for a second:
//!   a very long tick, a stopped process, a starved machine or a hang. **Dead** means: the process
//!   is gone and said no good-bye; what is shown is the last it published. **Finished** means: the
//!   numbers are final.
//! - **Nothing follows about the log.** `durable_tick` is what the kernel said; only the log tells.
//! - **Looking changes nothing.** The mapping cannot be written, the kernel does not know of it,
//!   and there is no file, lock or signal through which a monitor could reach it.
//!
//! # In other languages
//! `include/wasm_engine_monitor.h` (C11, C++) and `python/wasm_engine_monitor.py` read the same
//! sections with the same checks: pages, tables, the trace, counters. `docs/REGION.md` lists their
//! functions; `tests/readers*.rs` hold that all three say the same.
//!
//! # Absences
//! No dependency on the kernel, wasmtime or ONNX Runtime; no unsafe code; no writable mapping; no
//! thread; nothing is kept between polls but earlier snapshots.
#![forbid(unsafe_code)]

pub mod counters;
pub mod durations;
pub mod json;
pub mod text;
pub mod trace;
#[cfg(feature = "tui")]
pub mod tui;
pub mod units;
pub mod view;

pub use view::View;
pub use wasm_engine_telemetry::{Live, Liveness, MonitorError, Names, Snapshot, SnapshotSource};
