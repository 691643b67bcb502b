//! `cargo xtask bench`: the benchmarks against the goals. All arguments go to their binary, which
//! knows the goals and writes the rows.

use anyhow::Result;

use crate::setup;
use crate::step::{Places, Step, cargo};

/// The task; `args` go to the binary.
///
/// # Errors
/// If a benchmark's check of its own result fails.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let places = Places::find()?;
    setup::prepare(&places)?.warn();
    cargo(&places.root)
        .args(["build", "--workspace", "--locked", "--bin", "bench"])
        .run("the benchmarks do not build: read the message above")?;
    Step::new(places.binary("bench"), &places.root)
        .args(args)
        .run("a benchmark failed: read its message above")?;
    Ok(())
}
