//! `cargo xtask fuzz`: the fuzz targets, with coverage and the address sanitizer.
//!
//! Each of `shm/fuzz`, `abi/fuzz` and `ui-bridge/fuzz` is a workspace of its own in the form that
//! `cargo fuzz` expects; this task needs nothing installed but a nightly toolchain and a C++
//! compiler for libFuzzer. What it learns is kept in the target directory, beside the seeds in
//! `corpus/`; an input that fails is written to `artifacts/` and named.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::nightly;
use crate::step::{Folders, Job};

/// Package folders with their targets.
const TARGETS: [(&str, &[&str]); 3] = [
    ("shm", &["region", "readers", "rings", "descriptor"]),
    ("abi", &["log", "facts"]),
    ("ui-bridge", &["view", "screen", "names"]),
];

/// Seconds for each target, unless asked for more.
const SECONDS: u64 = 60;

const USAGE: &str = "cargo xtask fuzz [TARGET] [--seconds N]";

/// What a coverage-guided build needs; the same as `cargo fuzz` gives.
const RUSTFLAGS: [&str; 9] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Zsanitizer=address",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
];

/// The task: one target or all, one after the other.
///
/// # Errors
/// If the toolchain is missing, a target does not build, or an input makes it fail.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let (mut only, mut seconds) = (None, SECONDS);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let value = args.next().with_context(|| format!("--seconds N; use: {USAGE}"))?;
                seconds = value.parse().with_context(|| format!("{value} is no number"))?;
            }
            name if TARGETS.iter().any(|(_, names)| names.contains(&name)) => only = Some(name),
            name => bail!("there is no fuzz target {name}; use: {USAGE}"),
        }
    }
    let folders = Folders::find()?;
    let host = nightly::host(&folders)?;
    for (package, names) in TARGETS {
        let names: Vec<_> =
            names.iter().filter(|name| only.is_none_or(|only| only == **name)).collect();
        if names.is_empty() {
            continue;
        }
        let dir = folders.root.join(package).join("fuzz");
        build(&folders, &dir, &host)?;
        for name in names {
            run(&folders, &dir, &host, name, seconds)?;
        }
    }
    Ok(())
}

fn build(folders: &Folders, dir: &Path, host: &str) -> Result<()> {
    nightly::cargo(dir)
        .args(["build", "--release", "--bins", "--target", host, "--target-dir"])
        .arg(folders.target.join("fuzz"))
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"))
        .run("the fuzz targets do not build; libFuzzer needs a C++ compiler")?;
    Ok(())
}

fn run(folders: &Folders, dir: &Path, host: &str, name: &str, seconds: u64) -> Result<()> {
    let learnt = folders.target.join("fuzz/corpus").join(name);
    let (seeds, found) = (dir.join("corpus").join(name), dir.join("artifacts").join(name));
    for folder in [&learnt, &found] {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be created", folder.display()))?;
    }
    Job::new(folders.target.join("fuzz").join(host).join("release").join(name), dir)
        .arg(&learnt)
        .arg(&seeds)
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(format!("-max_total_time={seconds}"))
        .args(["-max_len=4096", "-timeout=10", "-print_final_stats=1"])
        .run("an input made it fail: the report above names the file that holds it")?;
    Ok(())
}
