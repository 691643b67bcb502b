//! `cargo xtask bench`: the benchmarks against the goals. All arguments go to their binary, which
//! knows the goals and writes the rows.
//!
//! The rivals of the rings are a workspace of their own, built beside ours under cargo's target
//! directory; their rows are merged into the report. Where they cannot be built, the report lacks
//! them and the task says so.

use anyhow::Result;

use crate::setup;
use crate::step::{Folders, Job, cargo};

/// The task; `args` go to the binary.
///
/// # Errors
/// If a benchmark's check of its own result fails.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let folders = Folders::find()?;
    setup::prepare(&folders)?.warn();
    cargo(&folders.root)
        .args(["build", "--workspace", "--locked", "--bin", "bench", "--bin", "wasm-engine"])
        .run("the benchmarks do not build: read the message above")?;
    let mut bench = Job::new(folders.binary("bench"), &folders.root).args(args);
    if of_rivals(args) {
        match rivals(&folders, args.iter().any(|arg| arg == "--tiny")) {
            Ok(report) => bench = bench.arg("--merge").arg(report),
            Err(error) => eprintln!("warning: no rows of the rivals: {error:#}"),
        }
    }
    bench.run("a benchmark failed: read its message above")?;
    Ok(())
}

/// Whether the rivals in Rust are asked about: those of the rings and of the page.
fn of_rivals(args: &[String]) -> bool {
    let goal = args.iter().position(|arg| arg == "--goal").and_then(|at| args.get(at + 1));
    goal.is_none_or(|goal| goal == "S1" || goal == "S2")
}

/// Builds and runs the rivals; gives their report.
///
/// One of them, iceoryx2, needs LLVM's libclang to build: where it is missing, the others are built
/// without it, and their report says so.
fn rivals(folders: &Folders, tiny: bool) -> Result<std::path::PathBuf> {
    let (dir, target) = (folders.root.join("benches/rivals"), folders.target.join("rivals"));
    let build = |features: &[&str], advice| {
        cargo(&dir)
            .args(["build", "--locked"])
            .args(features)
            .arg("--target-dir")
            .arg(&target)
            .run(advice)
    };
    build(&[], "install libclang to have iceoryx2 among the rivals").or_else(|error| {
        eprintln!("warning: {error:#}");
        build(
            &["--no-default-features"],
            "without network the rivals cannot be fetched; the other benchmarks do not need them",
        )
    })?;
    let report = target.join("rivals.json");
    let binary = target.join("debug").join(format!("rivals{}", std::env::consts::EXE_SUFFIX));
    let mut rivals = Job::new(binary, &dir).arg("--out").arg(&report);
    if tiny {
        rivals = rivals.arg("--tiny");
    }
    rivals.run("a rival's ring failed its own check: read the message above")?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rivals_run_for_their_goals_only() {
        let args = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(
            of_rivals(&[])
                && of_rivals(&args("--goal S1"))
                && of_rivals(&args("--goal S2 --out F"))
        );
        assert!(!of_rivals(&args("--out F --goal S3")));
    }
}
