//! `cargo xtask portability`: what monitors and players need type-checks for other systems.
//!
//! `shm`, `abi` and `ui-bridge` with all features and tests go through clippy for each target; the
//! kernel does not, since wasmtime and its C parts want a compiler for the target. What a player in
//! a browser needs goes through clippy for wasm32, where there are no files, threads or shared
//! memory: `abi`, `setup`, `core` and the reading half of `log`. Nothing is run.

use anyhow::{Result, bail};

use crate::step::{Folders, Job, Times, cargo};

/// The targets: two Windows, two of another processor.
const TARGETS: [&str; 4] = [
    "x86_64-pc-windows-gnu",
    "x86_64-pc-windows-msvc",
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-gnu",
];

/// The target without an operating system, and what type-checks for it without default features.
const BARE_TARGET: &str = "wasm32-unknown-unknown";
const BARE_PACKAGES: [&str; 4] =
    ["wasm-engine-abi", "wasm-engine-setup", "wasm-engine-core", "wasm-engine-log"];

/// The task; `--targets` only adds the standard libraries.
///
/// # Errors
/// If a target cannot be added or something does not type-check.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let only_targets = match args {
        [] => false,
        [option] if option == "--targets" => true,
        _ => bail!("use: cargo xtask portability [--targets]"),
    };
    let folders = Folders::find()?;
    add_targets(&folders)?;
    if only_targets {
        return Ok(());
    }
    let mut times = Times::default();
    for target in TARGETS {
        let took = cargo(&folders.root)
            .args(["clippy", "--locked", "--all-features", "--all-targets", "--target", target])
            .args(["-p", "wasm-engine-shm", "-p", "wasm-engine-abi", "-p", "wasm-engine-ui-bridge"])
            .args(["--", "-D", "warnings"])
            .run("it does not type-check there; what differs belongs into shm/src/os")?;
        times.add(target, took);
    }
    let took = cargo(&folders.root)
        .args(["clippy", "--locked", "--no-default-features", "--target", BARE_TARGET])
        .args(BARE_PACKAGES.iter().flat_map(|package| ["-p", package]))
        .args(["--", "-D", "warnings"])
        .run(
            "it does not type-check there; what needs threads or shm belongs to a feature of log",
        )?;
    times.add(BARE_TARGET, took);
    eprintln!("{times}");
    Ok(())
}

/// Adds the standard libraries that are missing.
fn add_targets(folders: &Folders) -> Result<()> {
    let installed = Job::new("rustup", &folders.root)
        .args(["target", "list", "--installed"])
        .output("rustup is needed to add targets")?;
    for target in TARGETS.into_iter().chain([BARE_TARGET]) {
        if !installed.lines().any(|line| line.trim() == target) {
            Job::new("rustup", &folders.root)
                .args(["target", "add", target])
                .run("without network no target can be added")?;
        }
    }
    Ok(())
}
