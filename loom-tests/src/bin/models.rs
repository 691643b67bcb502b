//! Every model, to the depth asked for, with what it cost.
//!
//! `models [--bound N|none] [--seconds S] [--markdown] [MODEL ...]`: without a bound each model has
//! its own, as in the tests. `--seconds` stops each model after that time, and the output marks it.

use std::process::ExitCode;
use std::time::Duration;

use wasm_engine_loom_tests::{Depth, LoomModel, check_to, models};

const USAGE: &str = "models [--bound N|none] [--seconds S] [--markdown] [MODEL ...]";

/// What the arguments ask for.
#[derive(Default)]
struct Arguments {
    bound: Option<Option<usize>>,
    limit: Option<Duration>,
    markdown: bool,
    names: Vec<String>,
}

fn parse(args: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value; use: {USAGE}"));
        let number = |text: &str| text.parse().map_err(|_| format!("{text} is not a number"));
        match arg.as_str() {
            "--bound" => {
                let text = value()?;
                arguments.bound = Some(if text == "none" { None } else { Some(number(&text)?) });
            }
            "--seconds" => arguments.limit = Some(Duration::from_secs(number(&value()?)? as u64)),
            "--markdown" => arguments.markdown = true,
            name if models::ALL.iter().any(|model| model.name == name) => arguments.names.push(arg),
            _ => return Err(format!("there is no option or model {arg}; use: {USAGE}")),
        }
    }
    Ok(arguments)
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let wanted = |model: &&LoomModel| {
        arguments.names.is_empty() || arguments.names.iter().any(|n| n == model.name)
    };
    let mut rows =
        String::from("| model | bound | executions | outcomes reached |\n|---|---:|---:|---|\n");
    for model in models::ALL.iter().filter(wanted) {
        // The deeper of the two; no bound is deepest.
        let bound = arguments.bound.unwrap_or(model.bound).zip(model.bound).map(|(a, b)| a.max(b));
        let report = check_to(model, Depth { bound, limit: arguments.limit });
        let bound = bound.map_or("none".to_owned(), |bound| bound.to_string());
        let more = if report.whole { "" } else { "+" };
        let (count, reached) = (report.executions, model.reach.join(", "));
        rows += &format!("| `{}` | {bound} | {count}{more} | {reached} |\n", model.name);
    }
    if arguments.markdown {
        print!("\n{rows}");
    }
    ExitCode::SUCCESS
}
