//! Segments of any bytes are scanned or refused; made ones are judged rightly.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasm_engine_abi_fuzz::oracles::log(data));
