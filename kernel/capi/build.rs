//! How the shared library is linked.

/// The library stays mapped when somebody unloads it: its threads, and what it keeps for each
/// thread of the host, outlive `dlclose`.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if matches!(system.as_str(), "linux" | "android" | "freebsd") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
