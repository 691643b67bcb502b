//! What the fuzz targets of `wasm-engine-abi` run: generators and oracles.
//!
//! `abi/tests/hostile.rs` compiles the same file into property tests, which run on a stable compiler.

pub mod oracles;
