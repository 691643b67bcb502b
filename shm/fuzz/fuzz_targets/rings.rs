//! Ring ends survive any peer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasm_engine_shm_oracles::rings(data));
