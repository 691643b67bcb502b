//! A list of distinct errors is one moment of its table.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::tables;

#[test]
fn errors_list() {
    check(&tables::ERRORS_LIST);
}
