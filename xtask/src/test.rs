//! `cargo xtask test`: `tidy`, the set-up, then every test that runs on a stable toolchain.
//!
//! One invocation over the whole workspace, so that features unify and nothing is built twice; the
//! bounded loom models are among its tests. The agents of each example are a workspace of their own
//! and come first. After a complete set-up a test may not skip for want of the library, the modules
//! or the models.

use std::time::Instant;

use anyhow::Result;

use crate::setup::{self, Prepared};
use crate::step::{Folders, Job, Times, cargo};

/// The task; `args` go to `cargo test` of the workspace, which then runs alone.
///
/// # Errors
/// If a test fails. What the set-up lacks is said and its tests are skipped, which is no error.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let start = Instant::now();
    let folders = Folders::find()?;
    let mut times = Times::default();
    if args.is_empty() {
        // First, because it takes no time; the tests hold it too.
        crate::tidy::command(&[])?;
    }
    let setup = setup::prepare(&folders)?;
    times.add("set-up", setup.took);
    let advice = "a test failed or did not build: read its message above";
    if args.is_empty() {
        // First, so that the summary of the workspace is what one sees last.
        let start_agents = Instant::now();
        for example in setup::EXAMPLES {
            cargo(&folders.root.join("examples").join(example).join("agents"))
                .args(["test", "--locked", "--target-dir"])
                .arg(&folders.target)
                .run(advice)?;
        }
        times.add("tests of the examples' agents", start_agents.elapsed());
    }
    let workspace = cargo(&folders.root).args(["test", "--workspace", "--locked"]).args(args);
    times.add("tests of the workspace", required(workspace, &setup).run(advice)?);
    setup.warn();
    eprintln!("{times}, together {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Makes a skip a failure for what the set-up has.
fn required(step: Job, setup: &Prepared) -> Job {
    let step = if setup.inference.is_ok() { step.env("REQUIRE_ORT", "1") } else { step };
    let step = if setup.modules.is_ok() { step.env("REQUIRE_MODULES", "1") } else { step };
    if setup.models.is_ok() { step.env("REQUIRE_MODELS", "1") } else { step }
}
