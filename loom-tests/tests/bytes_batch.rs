//! Batches are published and released in one store.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::rings;

#[test]
fn bytes_batch() {
    check(&rings::BYTES_BATCH);
}
