//! `cargo xtask simulate`: whole runs under a seed, over a disk that fails, crashes and forgets.
//!
//! The program and what it checks are `kernel/sim`; some hundred seeds are among its tests.

use anyhow::Result;

use crate::step::{Folders, Job, cargo};

/// The runs of many seeds, or as `args` say.
///
/// # Errors
/// If a check fails; its last line repeats the seed.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let folders = Folders::find()?;
    cargo(&folders.root)
        .args(["build", "--workspace", "--locked", "--bin", "simulate"])
        .run("the simulation does not build: read the message above")?;
    let program = Job::new(folders.binary("simulate"), &folders.root).args(args);
    program.run("a check failed: the message above has the line that repeats it")?;
    Ok(())
}
