//! `wasm-engine inspect`: what a log holds, read without executing it.

use std::path::PathBuf;

use wasm_engine::{exit::Exit, replay};

use crate::print::Outcome;

const KIND: &str = "inspect";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,
}

pub(crate) fn inspect(args: Args) -> Outcome {
    match replay::inspect(&args.dir) {
        Ok(report) => Outcome::of(KIND, &report, Exit::Ok, None),
        Err(error) => Outcome::error(KIND, &error),
    }
}
