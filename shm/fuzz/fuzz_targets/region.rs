//! A region of any bytes is attached or refused, and what is attached can be read.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasm_engine_shm_oracles::region(data));
