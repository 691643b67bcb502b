//! The integration tests of `wasm-engine-abi`, one module per subject.

mod hostile;
