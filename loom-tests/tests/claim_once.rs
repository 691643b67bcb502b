//! A side is claimed once.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::claim;

#[test]
fn claim_once() {
    check(&claim::CLAIM_ONCE);
}
