//! The integration tests of `wasm-engine-agent`, one module per subject.

mod contract;
