//! `cargo xtask miri`: the tests of `shm` and `abi` under Miri, with strict provenance.
//!
//! Miri finds undefined behaviour that no test can see: it interprets the code that touches raw
//! memory. It needs a nightly toolchain, which nothing else here does.

use anyhow::{Context, Result};

use crate::step::{Places, Step};

const INSTALL: &str = "rustup toolchain install nightly --component miri,rust-src";

/// The task; `args` go to `cargo miri test`.
///
/// # Errors
/// If Miri is missing or finds something.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let places = Places::find()?;
    Step::new("rustup", &places.root)
        .args(["run", "nightly", "cargo", "miri", "--version"])
        .output("Miri is not installed")
        .with_context(|| format!("Miri is needed here; install it with `{INSTALL}`"))?;
    let flags = std::env::var("MIRIFLAGS").unwrap_or_default();
    let took = Step::new("rustup", &places.root)
        .args(["run", "nightly", "cargo", "miri", "test", "--locked"])
        .args(["-p", "wasm-engine-shm", "-p", "wasm-engine-abi"])
        .args(args)
        .env("MIRIFLAGS", format!("-Zmiri-strict-provenance {flags}").trim_end())
        .run("Miri found something or a test failed: read its message above")?;
    eprintln!("Miri found nothing in {:.1} s", took.as_secs_f64());
    Ok(())
}
