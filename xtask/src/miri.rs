//! `cargo xtask miri`: the tests of `shm` and `abi` under Miri, with strict provenance.
//!
//! Miri finds undefined behaviour that no test can see: it interprets the code that touches raw
//! memory, watches for races, and lets loads see older values. Every test runs once; those with
//! threads run again with other seeds, each of which is another schedule and other old values.

use anyhow::{Context, Result};

use crate::nightly;
use crate::step::{Folders, Job, Times};

/// Seeds of the tests with threads, unless asked for more.
const SEEDS: &str = "8";

/// Tests with threads, by parts of their names.
const THREADED: [&str; 3] = ["threads_", "are_never_", "slow_readers_"];

/// The task; `--seeds N` asks for more, anything else goes to `cargo miri test`, which then runs
/// alone.
///
/// # Errors
/// If Miri is missing or finds something.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let folders = Folders::find()?;
    nightly::host(&folders)?;
    nightly::cargo(&folders.root)
        .args(["miri", "--version"])
        .output("Miri is not installed")
        .context("install it with `rustup component add --toolchain nightly miri`")?;
    let (seeds, args) = match args {
        [option, seeds, rest @ ..] if option == "--seeds" => (seeds.as_str(), rest),
        _ => (SEEDS, args),
    };
    let mut times = Times::default();
    let all = ["-p", "wasm-engine-shm", "-p", "wasm-engine-abi"];
    let once = miri(&folders, "").args(all).args(args);
    times.add("every test once", once.run(FOUND)?);
    if args.is_empty() {
        let seeds = format!("-Zmiri-many-seeds=0..{seeds}");
        let threaded =
            miri(&folders, &seeds).args(["-p", "wasm-engine-shm", "--test", "shm", "--"]);
        let threaded = threaded.args(THREADED);
        times.add("tests with threads, many seeds", threaded.run(FOUND)?);
    }
    eprintln!("Miri found nothing; {times}");
    Ok(())
}

const FOUND: &str = "Miri found something or a test failed: read its message above";

fn miri(folders: &Folders, more: &str) -> Job {
    let flags = std::env::var("MIRIFLAGS").unwrap_or_default();
    let flags = format!("-Zmiri-strict-provenance {more} {flags}");
    nightly::cargo(&folders.root)
        .args(["miri", "test", "--locked"])
        .env("MIRIFLAGS", flags.split_whitespace().collect::<Vec<_>>().join(" "))
}
