//! What the fuzz targets of `wasm-engine-ui-bridge` run: generators and oracles.
//!
//! `ui-bridge/tests/hostile.rs` compiles the same file into property tests, which run on a stable
//! compiler.

pub mod oracles;
#[path = "../../tests/support/mod.rs"]
mod support;
