//! A broadcast reader that is overtaken.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::slots;

#[test]
fn broadcast_overrun() {
    check(&slots::BROADCAST_OVERRUN);
}
