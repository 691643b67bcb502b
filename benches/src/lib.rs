//! Benchmarks against the goals, each of which checks its result first.
//!
//! ```text
//! row.rs      one line of a report                    ring_spsc.rs        S1, one by one
//! rig.rs      a kernel with simple agents             ring_batch.rs       S1, batched
//!                                                     page_read.rs        S2
//! of `measure/`, which the kernel's command uses too: wasm_turn.rs        S3, one turn
//! measure.rs, machine.rs, rings.rs,                   tick_50.rs          S3, a tick of 50
//! guests.rs, graphs.rs                                brokered.rs         S4
//! bare_loop.rs  the same without a kernel             dispatch.rs         S5
//! alone.rs    a kernel in a process of its own        infer_roundtrip.rs  S6
//! readers.rs  reading in Rust, C and Python           slow_model.rs       S6, a slow model
//! counting.rs (U) counts allocations                  sleepers.rs         S9
//!                                                     lanes.rs            S10
//!                                                     start.rs            S11
//!                                                     allocations.rs      S13
//!                                                     growth.rs           S3b, S14
//!                                                     host_push.rs        S15
//!                                                     feeder_push.rs      S15, of a feeder
//!                                                     keyframes.rs        S16, a checkpoint
//!                                                     watched.rs          P9
//! ```
//! Absolute figures do not travel between machines, so every row holds its peer or the machine's
//! own limit, measured in the same seconds. The rivals of the rings live in `rivals/`, a workspace
//! of its own, which uses this package without the feature `kernel`; those of ticks and messages in
//! `rivals-node/` and `rivals-erlang/`.
#![deny(unsafe_code)]

#[cfg(feature = "kernel")]
pub use wasm_engine_measure::guests;
pub use wasm_engine_measure::{machine, measure, rings};

#[cfg(feature = "kernel")]
pub mod allocations;
#[cfg(feature = "kernel")]
pub mod alone;
#[cfg(feature = "kernel")]
pub mod bare_loop;
#[cfg(feature = "kernel")]
pub mod brokered;
#[cfg(feature = "kernel")]
#[allow(unsafe_code, reason = "an allocator is unsafe by its trait")]
pub mod counting;
pub mod dispatch;
#[cfg(all(feature = "kernel", target_os = "linux"))]
pub mod feeder_push;
#[cfg(feature = "kernel")]
pub mod growth;
#[cfg(feature = "kernel")]
pub mod host_push;
#[cfg(feature = "kernel")]
pub mod infer_roundtrip;
#[cfg(feature = "kernel")]
pub mod keyframes;
#[cfg(feature = "kernel")]
pub mod lanes;
pub mod page_read;
#[cfg(target_os = "linux")]
pub mod readers;
#[cfg(feature = "kernel")]
pub mod rig;
pub mod ring_batch;
pub mod ring_spsc;
mod rivals;
pub mod row;
#[cfg(feature = "kernel")]
pub mod sleepers;
#[cfg(feature = "kernel")]
pub mod slow_model;
#[cfg(feature = "kernel")]
pub mod start;
#[cfg(feature = "kernel")]
pub mod tick_50;
#[cfg(feature = "kernel")]
pub mod wasm_turn;
pub mod watched;
