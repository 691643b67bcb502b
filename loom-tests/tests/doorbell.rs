//! No wake-up is lost.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::bell;

#[test]
fn doorbell() {
    check(&bell::DOORBELL);
}

#[test]
fn doorbell_twice() {
    check(&bell::DOORBELL_TWICE);
}
