//! Checks that need a nightly toolchain: Miri, ThreadSanitizer, the fuzzer. Nothing else here does.

use anyhow::{Context, Result};

use crate::step::{Folders, Job};

const INSTALL: &str = "rustup toolchain install nightly --component miri,rust-src";

/// Cargo of the nightly toolchain, in a folder.
pub(crate) fn cargo(dir: &std::path::Path) -> Job {
    Job::new("rustup", dir).args(["run", "nightly", "cargo"])
}

/// The target triple of this machine, if the nightly toolchain is there with its sources.
///
/// # Errors
/// If something is missing, with the command that installs it.
pub(crate) fn host(folders: &Folders) -> Result<String> {
    let rustc = |args: &[&str]| {
        Job::new("rustup", &folders.root)
            .args(["run", "nightly", "rustc"])
            .args(args)
            .output("there is no nightly toolchain")
            .with_context(|| format!("a nightly toolchain is needed; install it with `{INSTALL}`"))
    };
    let root = rustc(&["--print", "sysroot"])?;
    let sources = std::path::Path::new(root.trim()).join("lib/rustlib/src/rust/library");
    anyhow::ensure!(sources.exists(), "the nightly toolchain lacks its sources; `{INSTALL}`");
    let version = rustc(&["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}
