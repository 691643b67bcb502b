//! Read sides survive any words under them, changing ones too.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasm_engine_shm_oracles::readers(data));
