//! The names page of any bytes is parsed and shown or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasm_engine_ui_bridge_testkit::oracles::names(data));
