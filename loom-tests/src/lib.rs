//! LoomModel checking of the shared-memory protocols, on the source that ships.
//!
//! The protocols of `wasm-engine-shm` are generic over its `Mem`. Here a [`LoomMem`] takes the
//! place of the mapping: every atomic word is a loom atomic, every plain word is watched for races,
//! and loom runs each [`LoomModel`] in all interleavings and with all stale values that the memory
//! model allows, up to a bound on preemptions.
//!
//! | piece | what |
//! |---|---|
//! | [`mem`] | the memory, and the switch that weakens one site |
//! | [`ends`] | the ends of rings and doorbells in such memory |
//! | [`check()`] | runs a model, counts executions, demands that outcomes were reached |
//! | [`models`] | one property each, two or three threads, rings of two |
//! | `tests/loom/` | each model passes, and each deliberate bug fails |
//! | [`mutant`] | bugs injected into that memory |
//! | `src/bin/models.rs` | every model to a greater depth, with its count of executions |
//! | `src/bin/mutants.rs` | each ordering weakened, each mutant injected: some model must fail |
//! | [`shuttle_mem`], [`liveness`] | the same protocols at real sizes on random schedules |
//!
//! Three rules keep a model from passing for the wrong reason: all roles are spawned and the main
//! thread only joins; a writer's cursor is private; and every model lists the outcomes it must have
//! reached (full, empty, wrapped, new value, retry).
//!
//! What this does not show: load buffering (loom has none), weak orderings at real sizes (shuttle
//! knows one order only), the real futex. Those are argued in the source, or tested in `shm/tests`.
//! `docs/PROOF.md` lists which property is shown by what.

pub mod check;
pub mod class;
pub mod ends;
pub mod liveness;
pub mod mem;
pub mod models;
pub mod mutant;
pub mod shuttle_mem;

pub use check::{Depth, LoomModel, Marks, Report, check, check_to};
pub use class::Class;
pub use mem::LoomMem;
