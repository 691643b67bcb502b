//! Segments of any bytes are scanned or refused; generated ones are classified correctly.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasm_engine_abi_oracles::log(data));
