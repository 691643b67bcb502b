//! A ring that is full again and again.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::rings;

#[test]
fn bytes_full() {
    check(&rings::BYTES_FULL);
}
