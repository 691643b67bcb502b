//! A descriptor of any bytes is decoded or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasm_engine_shm_oracles::descriptor(data));
