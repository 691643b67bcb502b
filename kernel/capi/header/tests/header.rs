//! The header in the repository is the one that the sources declare.

use wasm_engine_capi_header::{header, package};

#[test]
fn the_header_is_what_the_code_declares() {
    let path = package().join("include/wasm_engine.h");
    let new = header();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &new).expect("it can be written");
        return;
    }
    let old = std::fs::read_to_string(&path).expect("it is in the repository");
    let differs = old.lines().zip(new.lines()).find(|(old, new)| old != new);
    assert!(
        old == new,
        "kernel/capi/include/wasm_engine.h is not what the code declares: {differs:?}. Run \
         UPDATE_GOLDEN=1 cargo test --manifest-path kernel/capi/header/Cargo.toml, and read the \
         difference"
    );
}
