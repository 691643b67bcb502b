//! The models, the random schedules and the mutation gate, as tests.
//!
//! A model's test has the model's name: `cargo test -p wasm-engine-loom-tests bytes_wrap` runs one.

mod liveness;
mod models;
mod mutation_gate;
mod sites;
