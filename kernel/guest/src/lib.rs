//! Modules that somebody sent: admitted, instrumented, compiled, and run turn by turn.
//!
//! ```text
//!  bytes --admission--> Admitted --engine, program--> LoadedModule --lane--> instances, turns
//! ```
//! - `admission/` from bytes to a module that the engine may compile
//! - `profile.rs`, `engine.rs` every setting of wasmtime that decides bits
//! - `program.rs` compiled modules and what lanes share; `rights.rs` what a template may do
//! - `code_cache/` compiled modules, kept between runs
//! - `lane.rs`, `seats/`, `seat.rs` one lane, its agents awake and asleep, their save points, and
//!   calls into them; `ahead.rs`, `prefetch.rs` asking for what they read
//! - `memory_arena.rs`, `guest_memory.rs`, `dirty_pages.rs`, `image.rs` memories, and what of them
//!   an agent changed
//! - `turn.rs`, `host_calls.rs`, `turn_digest.rs` one turn: what the guest asks for, and its digest
//! - `fault.rs`, `call_note.rs`, `symbols.rs` a fault in words
//! - `worker.rs`, `worker_codec.rs` a lane on a thread of its own, and both ends of its rings
//!
//! This is the only crate that names wasmtime, wasmparser or wasm-encoder. It schedules nothing,
//! supervises nothing and reads no clock.
#![deny(unsafe_code)]

pub mod admission;
mod ahead;
mod areas;
mod call;
mod call_note;
pub mod code_cache;
mod dirty_pages;
pub mod engine;
mod error;
mod fault;
mod footprint;
mod guest_memory;
mod host_calls;
mod image;
pub mod lane;
mod lane_store;
mod lane_use;
mod memory_arena;
mod memory_limiter;
mod model_calls;
mod prefetch;
mod profile;
mod program;
mod rights;
mod seat;
mod seats;
mod sleeper;
mod state_digest;
mod symbols;
mod terms;
mod turn;
mod turn_digest;
pub mod worker;
pub mod worker_codec;

pub use self::{
    ahead::AHEAD_COMMANDS,
    areas::Areas,
    error::{MachineError, MachineFailure},
    fault::{FaultAccount, FaultBook},
    lane_use::LaneUse,
    program::{LaneShared, LoadError, LoadedModule},
    rights::RightsError,
};
