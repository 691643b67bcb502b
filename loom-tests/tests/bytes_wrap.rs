//! Records that skip the end of the data.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::rings;

#[test]
fn bytes_wrap() {
    check(&rings::BYTES_WRAP);
}
