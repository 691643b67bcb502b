//! Link arguments of the wasm modules: one page of memory, which cannot grow, stack included.
//!
//! A declared maximum is required of every module; one page is also all that a state digest has
//! to read.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("wasm32") {
        for arg in ["-zstack-size=16384", "--initial-memory=65536", "--max-memory=65536"] {
            println!("cargo:rustc-link-arg={arg}");
        }
    }
}
