//! A region of any bytes is painted, whatever keys are pressed.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasm_engine_ui_bridge_testkit::oracles::screen(data));
