//! A region is ready or nothing.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::publish;

#[test]
fn region_ready() {
    check(&publish::REGION_READY);
}

#[test]
fn owner_stopped() {
    check(&publish::OWNER_STOPPED);
}
