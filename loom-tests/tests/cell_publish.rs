//! Cells arrive whole and in order.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::rings;

#[test]
fn cell_publish() {
    check(&rings::CELL_PUBLISH);
}
