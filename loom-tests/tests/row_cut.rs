//! Rows of one cut belong together.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::tables;

#[test]
fn row_cut() {
    check(&tables::ROW_CUT);
}
