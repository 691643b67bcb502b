//! `wasm-engine bench`: what this machine does with the kernel, as a table or as JSON.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
};

use wasm_engine::{
    bench::{self, BenchDocument, BenchOptions, Change, Figure, Trend},
    exit::Exit,
    units::{bytes, count, duration},
};

use crate::{print::Outcome, terminal};

const KIND: &str = "figures";
/// Characters of the longest bar.
const BAR: usize = 24;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure less: some seconds, with more noise.
    #[arg(long)]
    quick: bool,
    /// Compare with the figures that `--json` wrote into this file.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The folder whose disk is measured; the working directory without.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

pub(crate) fn bench(args: Args) -> Outcome {
    // A wrong file is said before a minute has passed.
    let before = match args.against.as_deref().map(bench::read).transpose() {
        Ok(before) => before,
        Err(error) => return Outcome::error(KIND, &error),
    };
    let options = BenchOptions { quick: args.quick, dir: args.dir };
    let shows = std::io::stderr().is_terminal() && terminal::moves();
    let say = |stage: &str| {
        if shows {
            // A terminal that is gone changes nothing.
            let _ = write!(std::io::stderr(), "\r\x1b[Kmeasuring {stage} ...");
        }
    };
    let measured = bench::measure(&options, &say);
    if shows {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    match measured {
        Ok(mut document) => {
            document.changes = before.map_or_else(Vec::new, |it| bench::compare(&it, &document));
            let lines = table(&document);
            Outcome::of(KIND, &document, Exit::Ok, None).with_words_alone(lines)
        }
        Err(error) => Outcome::error(KIND, &error),
    }
}

fn table(document: &BenchDocument) -> Vec<String> {
    let BenchDocument { machine, figures, skipped, changes, .. } = document;
    let ns = |value: f64| duration(value.round() as u64);
    let mut lines = vec![
        format!("machine   {} cores", machine.cores),
        format!(
            "          cache line to another core and back  {}",
            ns(machine.line_round_trip_ns)
        ),
        format!(
            "          copying                              {}/s",
            bytes((machine.memcpy_bytes_per_ns * 1e9) as u64)
        ),
        format!("          system call                          {}", ns(machine.system_call_ns)),
        format!("          waking a thread                      {}", ns(machine.wake_ns)),
        format!(
            "          4 KiB forced to the disk             {}, p99 {}",
            ns(machine.sync_ns),
            ns(machine.sync_p99_ns)
        ),
        String::new(),
        format!(
            "{:<40} {:>10} {:>5}  {:>8} {:>8} {:>8}  {:BAR$}  beside",
            "", "median", "+-", "p50", "p99", "p99.9", "1 ns to 10 ms"
        ),
    ];
    lines.extend(figures.iter().map(row));
    lines.extend(skipped.iter().map(|reason| format!("not measured: {reason}")));
    if !changes.is_empty() {
        lines.push(String::new());
        lines.push(format!(
            "{:<40} {:>10} {:>10} {:>8} {:>7}",
            "", "before", "now", "change", "noise"
        ));
        lines.extend(changes.iter().map(changed));
    }
    lines
}

fn shown(value: f64, unit: &str) -> String {
    match unit {
        "ns" if value < 100.0 => format!("{value:.1} ns"),
        "ns" => duration(value.round() as u64),
        "B/s" => format!("{}/s", bytes(value as u64)),
        _ => format!("{}/s", count(value as u64)),
    }
}

fn row(figure: &Figure) -> String {
    let Figure { case, unit, value, spread, p50, p99, p999, limit, limit_of, .. } = figure;
    let part = |part: &Option<f64>| part.map_or_else(String::new, |value| shown(value, unit));
    let beside = match (limit, limit_of) {
        (Some(limit), Some(of)) => format!("{} {of}", shown(*limit, unit)),
        _ => String::new(),
    };
    format!(
        "{case:<40} {:>10} {:>4.0}%  {:>8} {:>8} {:>8}  {:BAR$}  {beside}",
        shown(*value, unit),
        spread * 100.0,
        part(p50),
        part(p99),
        part(p999),
        bar(*value, *limit, unit)
    )
}

/// A time's bar is as long as it has digits: seven are the whole bar. A rate's is its part of its
/// limit. `|` is where the limit is.
fn bar(value: f64, limit: Option<f64>, unit: &str) -> String {
    let at = |value: f64| {
        let part = match (unit, limit) {
            ("ns", _) | (_, None) => value.max(1.0).log10() / 7.0,
            (_, Some(limit)) => value / limit,
        };
        ((part * BAR as f64).round() as usize).clamp(1, BAR)
    };
    let (length, limit) = (at(value), limit.map(at));
    let character = |index: usize| match index + 1 {
        index if Some(index) == limit => '|',
        index if index <= length => '#',
        _ => ' ',
    };
    (0..length.max(limit.unwrap_or(0))).map(character).collect()
}

fn changed(change: &Change) -> String {
    let Change { case, before, now, unit, change, noise, trend } = change;
    let verdict = match trend {
        Trend::Better => "better",
        Trend::Worse => "WORSE",
        Trend::Same => "within noise",
    };
    format!(
        "{case:<40} {:>10} {:>10} {:>+7.1}% {:>6.1}%  {verdict}",
        shown(*before, unit),
        shown(*now, unit),
        change * 100.0,
        noise * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_grows_with_the_figure_and_shows_its_limit() {
        let length = |value| bar(value, None, "ns").len();
        assert!(length(1e2) < length(1e4) && length(1e4) < length(1e6));
        assert_eq!((length(0.0), length(1e30)), (1, BAR));
        assert_eq!(bar(1e2, Some(1e4), "ns").trim_start_matches('#').trim(), "|");
        assert_eq!(bar(50.0, Some(100.0), "1/s").matches('#').count(), BAR / 2);
    }
}
