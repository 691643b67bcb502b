//! A page is whole and never goes back.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::slots;

#[test]
fn page_torn() {
    check(&slots::PAGE_TORN);
}
