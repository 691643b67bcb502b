//! The facts of a tick of any bytes are parsed or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasm_engine_abi_oracles::facts(data));
