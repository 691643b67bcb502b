//! Counters have complete names and growing values, also where a place is used again.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::tables;

#[test]
fn counter_read() {
    check(&tables::COUNTER_READ);
}

#[test]
fn counter_reuse() {
    check(&tables::COUNTER_REUSE);
}
