//! What the fuzz targets of `wasm-engine-shm` run: generators and oracles.
//!
//! `shm/tests/hostile.rs` compiles the same file into property tests, which run on a stable compiler.

pub mod oracles;
