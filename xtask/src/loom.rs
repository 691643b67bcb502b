//! `cargo xtask loom`, `mutants`, `shuttle`: the models to a greater depth, the gate, more
//! schedules.
//!
//! All three are plain programs and tests of `loom-tests`; the tasks only spare their names. The
//! bounded models and schedules are part of `cargo test` without any of them.

use anyhow::{Result, ensure};

use crate::step::{Folders, Job, cargo};

fn program(folders: &Folders, name: &str, args: &[String]) -> Result<Job> {
    cargo(&folders.root)
        .args(["build", "--workspace", "--locked", "--bin", name])
        .run("the models do not build: read the message above")?;
    Ok(Job::new(folders.binary(name), &folders.root).args(args))
}

/// Every model with three preemptions, or as `args` say.
///
/// # Errors
/// If a model fails.
pub(crate) fn models(args: &[String]) -> Result<()> {
    let deep = ["--bound".to_owned(), "3".to_owned()];
    let args = if args.is_empty() { &deep[..] } else { args };
    let models = program(&Folders::find()?, "models", args)?;
    models.run("a model failed: read its message; LOOM_LOCATION=1 adds locations to it")?;
    Ok(())
}

/// The mutation gate, whole.
///
/// # Errors
/// If an ordering or a mutant survives.
pub(crate) fn mutants(args: &[String]) -> Result<()> {
    let mutants = program(&Folders::find()?, "mutants", args)?;
    mutants.run("something survived or no trial was possible: its row says NOTHING")?;
    Ok(())
}

/// The scenarios on this many schedules, from a seed of their own.
///
/// # Errors
/// If a schedule fails or the arguments are no numbers.
pub(crate) fn shuttle(args: &[String]) -> Result<()> {
    ensure!(args.len() <= 2, "use: cargo xtask shuttle [SCHEDULES] [SEED]");
    let number = |at: usize, usual: &str| args.get(at).map_or(usual.to_owned(), Clone::clone);
    cargo(&Folders::find()?.root)
        .args(["test", "--workspace", "--locked", "--test", "loom", "liveness::"])
        .env("SCHEDULES", number(0, "50000"))
        .env("SEED", number(1, "2"))
        .run("a schedule failed: the message above has what `shuttle::replay` needs")?;
    Ok(())
}
