//! `cargo xtask conformance`: models of others through the engine, beside plain ONNX Runtime.
//!
//! | part | what | demanded |
//! |---|---|---|
//! | `--models` | models that ship inside packages of PyPI | the bits of Python's library |
//! | `--nodes` | the backend cases of the package `onnx` | what plain ONNX Runtime passes |
//! | `--hostile` | files that no exporter writes | a refusal or a model, never a signal |
//!
//! The scripts in `xtask/python/` fetch and write the cases, in a virtual environment in the target
//! directory; `kernel/inference/conformance/` runs them, each in a child process, and
//! writes a table for people and one for programs beside them. What is there and unchanged is kept,
//! so that a second run needs no network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::step::{Folders, Job, cargo};

const USAGE: &str = "cargo xtask conformance [--models] [--nodes] [--hostile] [--only PART]";

/// Names of the parts, as the scripts know them.
const MODELS: &str = "models";
const NODES: &str = "nodes";
const HOSTILE: &str = "hostile";

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Chosen<'a> {
    parts: Vec<&'static str>,
    /// Only what has this in its name.
    only: &'a str,
}

impl<'a> Chosen<'a> {
    /// Models and cases, if no part is named.
    fn of(args: &'a [String]) -> Result<Self> {
        let mut chosen = Self { parts: Vec::new(), only: "" };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--models" => chosen.parts.push(MODELS),
                "--nodes" => chosen.parts.push(NODES),
                "--hostile" => chosen.parts.push(HOSTILE),
                "--only" => {
                    chosen.only = args.next().with_context(|| format!("use: {USAGE}"))?;
                }
                _ => bail!("{arg} is unknown; use: {USAGE}"),
            }
        }
        if chosen.parts.is_empty() {
            chosen.parts.extend([MODELS, NODES]);
        }
        Ok(chosen)
    }
}

/// The task.
///
/// # Errors
/// If something cannot be had or built, a process ends in a case, or a hostile file does more than
/// to be refused or accepted.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let chosen = Chosen::of(args)?;
    let folders = Folders::find()?;
    let library = setup::library(&folders)?;
    let dir = folders.target.join("conformance");
    let scripts = folders.root.join("xtask/python");
    let python = virtual_environment(&scripts, &dir)?;
    for part in &chosen.parts {
        Job::new(&python, &folders.root)
            .arg(scripts.join("conformance.py"))
            .arg(&dir)
            .args(["--part", part])
            .run("the cases are written by it: read its message, and check the network")?;
    }
    cargo(&folders.root)
        .args(["build", "--locked", "--workspace", "--bin", "conformance"])
        .run("it did not build: read its message")?;
    let run = |task: &str, arguments: Vec<PathBuf>| {
        Job::new(folders.binary("conformance"), &folders.root)
            .args([task, "--only", chosen.only])
            .args(arguments)
            .env("ORT_DYLIB_PATH", &library)
            .run("it found what its last lines name")
    };
    let cases = dir.join("cases");
    let (hostile, asked): (Vec<&str>, Vec<&str>) =
        chosen.parts.iter().partition(|part| **part == HOSTILE);
    if !asked.is_empty() {
        let parts = asked.iter().map(|part| cases.join(part));
        run("cases", std::iter::once(dir.clone()).chain(parts).collect())?;
    }
    if !hostile.is_empty() {
        run(HOSTILE, vec![cases.join(HOSTILE)])?;
    }
    Ok(())
}

/// The Python of a virtual environment with the packages that the scripts need.
fn virtual_environment(scripts: &Path, dir: &Path) -> Result<PathBuf> {
    let wanted = scripts.join("requirements.txt");
    let text = fs::read_to_string(&wanted)
        .with_context(|| format!("{} cannot be read", wanted.display()))?;
    let venv = dir.join("venv");
    let python = venv.join("bin/python");
    let stamp = venv.join("requirements.txt");
    if python.is_file() && fs::read_to_string(&stamp).is_ok_and(|made| made == text) {
        return Ok(python);
    }
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let advice = "it needs Python 3.11 or newer with venv and pip, and network";
    Job::new("python3", dir).args(["-m", "venv", "--clear"]).arg(&venv).run(advice)?;
    Job::new(&python, dir)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&wanted)
        .run(advice)?;
    fs::write(&stamp, text).with_context(|| format!("{} cannot be written", stamp.display()))?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_chosen_by_name_and_two_of_them_by_default() {
        let args = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let chosen = |parts: &[&'static str], only| Chosen { parts: parts.to_vec(), only };
        assert_eq!(Chosen::of(&[]).expect("none"), chosen(&[MODELS, NODES], ""));
        let given = args("--hostile --only flip");
        assert_eq!(Chosen::of(&given).expect("both"), chosen(&[HOSTILE], "flip"));
        for wrong in ["--only", "--model", "silero"] {
            assert!(Chosen::of(&args(wrong)).is_err(), "{wrong}");
        }
    }
}
