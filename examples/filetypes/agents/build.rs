//! Link arguments of the wasm modules: three pages of memory, which cannot grow, stack included.
//!
//! A declared maximum is required of every module. A file's two ends, the numbers made of them and
//! the request lie side by side, some 25 KB, and the stack holds the last two.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("wasm32") {
        for arg in ["-zstack-size=32768", "--initial-memory=196608", "--max-memory=196608"] {
            println!("cargo:rustc-link-arg={arg}");
        }
    }
}
