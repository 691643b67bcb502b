//! What a look at a ring promises.

use wasm_engine_loom_tests::check;
use wasm_engine_loom_tests::models::looks;

#[test]
fn bytes_looks() {
    check(&looks::BYTES_LOOKS);
}

#[test]
fn cell_looks() {
    check(&looks::CELL_LOOKS);
}
