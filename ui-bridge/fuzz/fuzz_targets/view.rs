//! A region of any bytes is shown as text and JSON or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasm_engine_ui_bridge_testkit::oracles::view(data));
