//! Commands as steps: where things are, how a command is run, how long it took.
//!
//! Steps print to standard error; what a task has to say as its result goes to standard output.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Variables that `cargo run` sets for the task, and that a cargo started by it must not see: some
/// build scripts and `cargo miri` read them.
const OF_CARGO_RUN: [&str; 6] = [
    "CARGO",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_CRATE_NAME",
    "CARGO_BIN_NAME",
    "CARGO_PRIMARY_PACKAGE",
];

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    /// The repository.
    pub(crate) root: PathBuf,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
}

impl Folders {
    /// Asks cargo.
    ///
    /// # Errors
    /// If cargo cannot be asked.
    pub(crate) fn find() -> Result<Self> {
        let root = root()?;
        let text = cargo(&root)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output("check that the repository is complete")?;
        let metadata: serde_json::Value =
            serde_json::from_str(&text).context("cargo metadata printed no JSON")?;
        let target = metadata["target_directory"]
            .as_str()
            .context("cargo metadata names no target directory")?
            .into();
        Ok(Self { root, target })
    }

    /// Where a binary of the workspace lies once it is built.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }
}

/// The repository, without asking cargo.
///
/// # Errors
/// If the task lies in none.
pub(crate) fn root() -> Result<PathBuf> {
    // `cargo run` names the directory of this very checkout; a binary called by hand has the one
    // that it was built from.
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    Ok(own.parent().context("the task lies in no repository")?.to_owned())
}

/// A command to be run, its text kept for messages.
pub(crate) struct Job {
    command: Command,
    text: String,
}

impl Job {
    pub(crate) fn new(program: impl AsRef<OsStr>, dir: &Path) -> Self {
        let mut command = Command::new(&program);
        command.current_dir(dir).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if OF_CARGO_RUN.contains(&text.as_ref()) || text.starts_with("CARGO_PKG_") {
                command.env_remove(&name);
            }
        }
        Self { command, text: program.as_ref().to_string_lossy().into_owned() }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(&arg);
        self.text.push(' ');
        self.text.push_str(&arg.as_ref().to_string_lossy());
        self
    }

    pub(crate) fn args(self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, &value);
        let value = value.as_ref().to_string_lossy();
        // Separators of encoded flags are control characters.
        self.text = format!("{name}={:?} {}", value.replace('\x1f', " "), self.text);
        self
    }

    /// Runs it with this process's outputs; `advice` completes "if it fails, ...".
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub(crate) fn run(mut self, advice: &str) -> Result<Duration> {
        eprintln!("+ {}", self.text);
        let start = Instant::now();
        let status =
            self.command.status().with_context(|| self.failed("cannot be started", advice))?;
        if !status.success() {
            bail!(self.failed(&format!("failed ({status})"), advice));
        }
        Ok(start.elapsed())
    }

    /// Runs it and gives what it prints on standard output, whether it succeeds or not; its
    /// standard error is this process's.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn capture(mut self, advice: &str) -> Result<Captured> {
        eprintln!("+ {}", self.text);
        let start = Instant::now();
        let output = self
            .command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| self.failed("cannot be started", advice))?;
        Ok(Captured {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            code: output.status.code(),
            text: self.text,
            took: start.elapsed(),
        })
    }

    /// Runs it silently and gives what it prints on standard output.
    ///
    /// # Errors
    /// If it cannot be started or fails, with what it printed on standard error.
    pub(crate) fn output(mut self, advice: &str) -> Result<String> {
        let output =
            self.command.output().with_context(|| self.failed("cannot be started", advice))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{}\n{}",
                self.failed(&format!("failed ({})", output.status), advice),
                said.trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn failed(&self, how: &str, advice: &str) -> String {
        format!("`{}` {how}; {advice}", self.text)
    }
}

/// What a command printed.
#[derive(Debug)]
pub(crate) struct Captured {
    /// Standard output.
    pub(crate) stdout: String,
    /// Exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// The command.
    pub(crate) text: String,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Cargo of the repository's toolchain.
pub(crate) fn cargo(dir: &Path) -> Job {
    Job::new("cargo", dir)
}

/// Times of the steps of a task, for its last lines.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<(&'static str, Duration)>);

impl Times {
    pub(crate) fn add(&mut self, step: &'static str, took: Duration) {
        self.0.push((step, took));
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|(step, took)| format!("{step} {:.1} s", took.as_secs_f64()))
            .collect();
        write!(f, "times: {}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_names_the_command_and_what_to_do() {
        let dir = Path::new(".");
        let error = Job::new("false", dir).run("try true").expect_err("fails");
        assert_eq!(error.to_string(), "`false` failed (exit status: 1); try true");
        let error =
            Job::new("no-such-program", dir).arg("x").output("install it").expect_err("none");
        assert_eq!(error.to_string(), "`no-such-program x` cannot be started; install it");
        let captured =
            Job::new("sh", dir).args(["-c", "echo out; exit 3"]).capture("").expect("runs");
        assert_eq!((captured.stdout.as_str(), captured.code), ("out\n", Some(3)));
    }
}
