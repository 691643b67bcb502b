//! `cargo xtask`: everything one does with this repository beyond plain `cargo`.
//!
//! One file per task. A task runs ordinary commands, says which and how long each took on standard
//! error, and stops at the first that fails with the command and what to do. Nothing is installed
//! outside rustup and cargo's target directory, and there is one of those: `CARGO_TARGET_DIR` and
//! cargo's configuration are honoured. All tasks build the workspace whole, in the one profile, so
//! that no feature set makes cargo build the engine twice.

mod bench;
mod bench_picture;
mod conformance;
mod demo;
mod download;
mod example_picture;
mod fuzz;
mod loom;
mod miri;
mod nightly;
mod portability;
mod recordings;
mod setup;
mod simulate;
mod step;
mod tamper;
mod test;
mod tidy;
mod torn;
mod tsan;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask TASK

  setup                          fetch and build what runs need: wasm target, ONNX Runtime, modules,
                                 models of the examples
  demo                           set-up, then a year of weather: run, log, verify, summary
  test [ARGS]                    set-up, then every test that runs on stable; ARGS go to cargo test
  tidy [CHECK ...]               what no lint holds: lengths, names, citations, walls, circles;
                                 --rules writes docs/RULES.md
  loom [--bound N|none] ...      every loom model to a greater depth; 3 preemptions by default
  mutants [--markdown]           weak orderings and wrong algorithms: each must fail a loom model
  shuttle [SCHEDULES] [SEED]     random schedules at real sizes; 50,000 of each kind
  miri [--seeds N] [ARGS]        the tests of shm and abi under Miri (nightly); ARGS go to cargo
  tsan                           what hands over plain memory under ThreadSanitizer (nightly)
  torn [--reads N] [--seconds S] reads under a writer that never stops, each checked; a billion
  fuzz [TARGET] [--seconds N]    the fuzz targets, a minute each (nightly, C++ compiler)
  simulate [--seeds N] [--seed S] whole runs under a seed over a disk that fails and crashes; 10,000
  portability                    what monitors and players need, type-checked for other systems
  conformance [--only PART] ...  models of others against plain ONNX Runtime; --hostile: bad ones
  bench [--goal S1] [--out FILE] the benchmarks against the goals; a goal that is none lists them
  bench-picture FILE ... [SVG]   draws docs/growth.svg from the reports of S9 and S14
  example-picture NAME FILE [SVG] draws what filetypes or speech found, from their outputs.jsonl
  tamper DIR ...                 change one byte of a finished log and seal it again

ORT_DYLIB_PATH names another ONNX Runtime library; CARGO_TARGET_DIR another target directory.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let (task, rest) = match args.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("help", &[][..]),
    };
    match task {
        "setup" => setup::command(none(task, rest)?),
        "demo" => demo::command(none(task, rest)?),
        "test" => test::command(rest),
        "tidy" => tidy::command(rest),
        "loom" => loom::models(rest),
        "mutants" => loom::mutants(rest),
        "shuttle" => loom::shuttle(rest),
        "miri" => miri::command(rest),
        "torn" => torn::command(rest),
        "tsan" => tsan::command(rest),
        "fuzz" => fuzz::command(rest),
        "simulate" => simulate::command(rest),
        "portability" => portability::command(rest),
        "conformance" => conformance::command(rest),
        "bench" => bench::command(rest),
        "bench-picture" => bench_picture::command(rest),
        "example-picture" => example_picture::command(rest),
        "tamper" => tamper::command(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("there is no task {task}\n\n{USAGE}"),
    }
}

/// Refuses arguments where a task takes none.
fn none(task: &str, rest: &[String]) -> Result<()> {
    match rest.first() {
        Some(argument) => bail!("`cargo xtask {task}` takes no arguments, {argument} is one"),
        None => Ok(()),
    }
}
