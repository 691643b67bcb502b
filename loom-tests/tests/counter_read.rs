//! Counters have complete names and growing values.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::tables;

#[test]
fn counter_read() {
    check(&tables::COUNTER_READ);
}
