//! `bench [--goal S1] [--out FILE] [--merge FILE] [--tiny]`: runs the benchmarks, prints their
//! rows.
//!
//! Rows go to standard output as JSON and to standard error as a table. `--merge` takes the rows of
//! another report, which the rivals' binary writes, into this one.

use std::process::ExitCode;

use serde_json::Value;
use wasm_engine_benches::measure::Scale;
use wasm_engine_benches::row::{Row, report, table};
use wasm_engine_benches::{
    allocations, alone, brokered, dispatch, feeder_push, growth, host_push, infer_roundtrip,
    keyframes, lanes, machine, page_read, ring_batch, ring_spsc, sleepers, slow_model, start,
    tick_50, wasm_turn, watched,
};

/// One question: its goal, its name, its answer.
type Question = (&'static str, &'static str, fn(Scale) -> Vec<Row>);

const QUESTIONS: [Question; 19] = [
    ("S1", "ring_spsc", ring_spsc::rows),
    ("S1", "ring_batch", ring_batch::rows),
    ("S2", "page_read", page_read::rows),
    ("S3", "wasm_turn", wasm_turn::rows),
    ("S3", "tick_50", tick_50::rows),
    ("S3b", "turns", growth::turns),
    ("S4", "brokered", brokered::rows),
    ("S5", "dispatch", dispatch::rows),
    ("S6", "infer_roundtrip", infer_roundtrip::rows),
    ("S6", "slow_model", slow_model::rows),
    ("S9", "sleepers", sleepers::rows),
    ("S10", "lanes", lanes::rows),
    ("S11", "start", start::rows),
    ("S13", "allocations", allocations::rows),
    ("S14", "growth", growth::curve),
    ("S15", "host_push", host_push::rows),
    ("S15", "feeder_push", feeder_push::rows),
    ("S16", "keyframes", keyframes::rows),
    ("P9", "watched", watched::rows),
];

/// What is asked for.
struct Options {
    goal: Option<String>,
    out: Option<String>,
    merge: Option<String>,
    scale: Scale,
}

fn main() -> ExitCode {
    if watched::is_reader() || alone::is_alone() {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let Options { goal, out, merge, scale } = options(std::env::args().skip(1))?;
    let machine = machine::banner(scale);
    let mut rows: Vec<Value> = Vec::new();
    for (of, name, question) in QUESTIONS {
        if goal.as_deref().is_none_or(|goal| goal == of) {
            eprintln!("{of} {name} ...");
            rows.extend(question(scale).iter().map(Row::to_json));
        }
    }
    if let Some(file) = merge {
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        let other: Value =
            serde_json::from_str(&text).map_err(|error| format!("{file} is no report: {error}"))?;
        let others = other["rows"].as_array().ok_or_else(|| format!("{file} holds no rows"))?;
        rows.extend(
            others.iter().filter(|row| goal.as_deref().is_none_or(|g| row["goal"] == g)).cloned(),
        );
    }
    eprintln!("{}", table(&rows));
    let text = format!("{:#}\n", report(&machine, &rows));
    match out {
        Some(file) => std::fs::write(&file, text).map_err(|error| format!("{file}: {error}")),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { goal: None, out: None, merge: None, scale: Scale::FULL };
    while let Some(arg) = args.next() {
        let mut value =
            || args.next().ok_or_else(|| format!("{arg} takes a value; see `cargo xtask help`"));
        match arg.as_str() {
            "--goal" => options.goal = Some(value()?),
            "--out" => options.out = Some(value()?),
            "--merge" => options.merge = Some(value()?),
            "--tiny" => options.scale = Scale::TINY,
            _ => return Err(format!("there is no option {arg}; see `cargo xtask help`")),
        }
    }
    if let Some(goal) = &options.goal
        && !QUESTIONS.iter().any(|(of, ..)| of == goal)
    {
        let mut goals = QUESTIONS.map(|(of, ..)| of).to_vec();
        goals.dedup();
        return Err(format!("no benchmark belongs to goal {goal}; there are {}", goals.join(", ")));
    }
    Ok(options)
}
