//! `wasm-engine replay`: a log, executed again; a torn end is dropped and named (SEMANTICS L5).

use std::path::PathBuf;

use wasm_engine::{
    exit::Exit,
    replay::{self, ReplayOptions},
};

use crate::{cache, print::Outcome, summary};

const KIND: &str = "replay";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,
    /// Worker threads; they need not be those of the run.
    #[arg(long, default_value_t = 0)]
    workers: u32,
    /// Also execute a log of another engine, and compare all but fuel (SEMANTICS L6.5).
    #[arg(long)]
    other_engine: bool,
    /// Compile the modules anew, whatever the user's cache has of them.
    #[arg(long)]
    no_cache: bool,
}

pub(crate) fn replay(args: Args) -> Outcome {
    let code_cache = if args.no_cache { None } else { cache::folder() };
    let options = ReplayOptions {
        workers: args.workers,
        recover: true,
        other_engine: args.other_engine,
        code_cache,
        ..ReplayOptions::default()
    };
    match replay::replay(&args.dir, options) {
        Ok(report) => Outcome::of(KIND, &report, Exit::Ok, None)
            .with_summary(summary::of_replay(&report))
            .with_faults(&report),
        Err(error) => Outcome::error(KIND, &error),
    }
}
