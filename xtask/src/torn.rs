//! `cargo xtask torn`: reads under a writer that never stops, in number, each checked word by word.
//!
//! The check is a test of `shm` (`shm/tests/shm/torn.rs`), in which one process publishes and
//! another reads through a read-only mapping. `cargo test` does 300,000 reads; here it goes on for
//! a billion, or for as long as one says.

use anyhow::{Context, Result, bail};

use crate::step::{Folders, cargo};

/// Reads of pages, unless asked for less.
const READS: u64 = 1_000_000_000;

/// Seconds after which it ends with fewer, unless asked for less: a day, so that nobody takes a
/// part for the whole.
const SECONDS: u64 = 86_400;

/// The task: `[--reads N] [--seconds S]`, whichever is reached first.
///
/// # Errors
/// If a read is torn or the arguments are wrong.
pub(crate) fn command(args: &[String]) -> Result<()> {
    let (reads, seconds) = limits(args)?;
    cargo(&Folders::find()?.root)
        .args(["test", "--locked", "-p", "wasm-engine-shm", "--test", "shm", "--"])
        .args(["--exact", "torn::no_read_is_torn", "--nocapture"])
        .env("TORN_READS", reads.to_string())
        .env("TORN_SECONDS", seconds.to_string())
        .run("a read was torn or the test did not build: see the table or the message above")?;
    Ok(())
}

fn limits(args: &[String]) -> Result<(u64, u64)> {
    let (mut reads, mut seconds) = (READS, SECONDS);
    for option in args.chunks(2) {
        let [name, value] = option else {
            bail!("use: cargo xtask torn [--reads N] [--seconds S]; {} has no number", option[0]);
        };
        let number =
            value.parse().with_context(|| format!("{name} takes a number, {value} is none"))?;
        match name.as_str() {
            "--reads" => reads = number,
            "--seconds" => seconds = number,
            _ => bail!("use: cargo xtask torn [--reads N] [--seconds S]; {name} is unknown"),
        }
    }
    Ok((reads, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_with_names() {
        let args = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(limits(&[]).expect("none"), (READS, SECONDS));
        assert_eq!(limits(&args("--seconds 5 --reads 7")).expect("both"), (7, 5));
        for wrong in ["--reads", "--reads x", "--read 5", "5"] {
            assert!(limits(&args(wrong)).is_err(), "{wrong}");
        }
    }
}
