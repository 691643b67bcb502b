//! What the count of a page promises.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::slots;

#[test]
fn page_fresh() {
    check(&slots::PAGE_FRESH);
}
