//! `wasm-engine verify`: a log, executed again and compared; the first difference is exit code 3.

use std::path::PathBuf;

use wasm_engine::{
    exit::Exit,
    replay::{self, ReplayOptions},
    report::Divergence,
};

use crate::{cache, print::Outcome, serve::program, summary};

const KIND: &str = "verify";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory of the log.
    dir: PathBuf,
    /// Worker threads; they need not be those of the run.
    #[arg(long, default_value_t = 0)]
    workers: u32,
    /// Accept a torn end, as a crash leaves it (SEMANTICS L5).
    #[arg(long)]
    recover: bool,
    /// Compute every inference again and compare; needs the models' files.
    #[arg(long)]
    recompute: bool,
    /// Begin behind the newest keyframe: what lies before it is not executed.
    #[arg(long, conflicts_with = "recompute")]
    from_keyframe: bool,
    /// Also execute a log of another engine, and compare all but fuel (SEMANTICS L6.5).
    #[arg(long)]
    other_engine: bool,
    /// Compile the modules anew, whatever the user's cache has of them.
    #[arg(long)]
    no_cache: bool,
}

pub(crate) fn verify(args: Args) -> Outcome {
    let Args { dir, workers, recover, recompute, from_keyframe, other_engine, no_cache } = args;
    let code_cache = if no_cache { None } else { cache::folder() };
    let options = ReplayOptions {
        workers,
        recover,
        recompute,
        from_keyframe,
        other_engine,
        model_program: program(),
        code_cache,
    };
    match replay::verify(&dir, options) {
        Ok(report) => {
            if report.divergence.is_none() && report.log_end != "in order" {
                tracing::warn!("the log ends {}", report.log_end);
            }
            let error = report.divergence.as_ref().map(describe);
            let exit = if error.is_some() { Exit::Divergence } else { Exit::Ok };
            Outcome::of(KIND, &report, exit, error)
                .with_summary(summary::of_verify(&report))
                .with_faults(&report.run)
        }
        Err(error) => Outcome::error(KIND, &error),
    }
}

fn describe(divergence: &Divergence) -> String {
    let Divergence { tick, agent, message, what } = divergence;
    let agent = agent.as_ref().map_or_else(String::new, |agent| format!(", agent {agent}"));
    let message =
        message.as_ref().map_or_else(String::new, |message| format!(", message {message}"));
    format!("the replay diverges from the log in tick {tick}{agent}{message}: {what}")
}
