//! `simulate [--seeds N] [--seed S]`: the runs of N seeds from S on; what `cargo xtask simulate`
//! starts.

use std::{panic, process::ExitCode, time::Instant};

use anyhow::{Context, Result, bail};
use wasm_engine_sim::{Coverage, simulate};

const USAGE: &str = "use: cargo xtask simulate [--seeds N] [--seed S]";
/// Seeds, unless asked for others.
const SEEDS: u64 = 10_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "only the rate that is printed is measured")]
fn run() -> Result<()> {
    let (mut seeds, mut first) = (SEEDS, 0);
    let args: Vec<String> = std::env::args().skip(1).collect();
    for option in args.chunks(2) {
        let [name, value] = option else { bail!("{} has no number; {USAGE}", option[0]) };
        let number = value.parse().with_context(|| format!("{value} is no number; {USAGE}"))?;
        match name.as_str() {
            "--seeds" => seeds = number,
            "--seed" => first = number,
            _ => bail!("{name} is unknown; {USAGE}"),
        }
    }
    let (begin, mut met) = (Instant::now(), Coverage::default());
    for seed in (first..).take(seeds as usize) {
        let ended = panic::catch_unwind(|| simulate(seed, None));
        let Ok(ended) = ended else {
            bail!("it panics\nrepeat it with: cargo xtask simulate --seeds 1 --seed {seed}");
        };
        met.join(&ended.map_err(|failure| anyhow::anyhow!("{failure}"))?);
    }
    let seconds = begin.elapsed().as_secs_f64();
    print!("{met}");
    println!("{seeds} seeds from {first} on in {seconds:.1} s: {:.0}/s", seeds as f64 / seconds);
    let missed = met.missed();
    // A few seeds cannot meet everything.
    if seeds >= 500 && !missed.is_empty() {
        bail!("never met: {}", missed.join("; "));
    }
    Ok(())
}
