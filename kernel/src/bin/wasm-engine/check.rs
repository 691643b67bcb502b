//! `wasm-engine check`: a configuration tried without running it.

use std::{path::PathBuf, sync::atomic::AtomicBool};

use wasm_engine::{
    check::{self, CheckDocument},
    exit::Exit,
    resolve::resolve,
    units::{bytes, count, of},
};

use crate::{load, print::Outcome, serve::program};

const KIND: &str = "check";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration, a TOML file; `-` is standard input.
    config: PathBuf,
    /// Set any key, as in `--set source.0.copies=4`; may be given again.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    sets: Vec<String>,
    /// Worker threads beside the scheduler's own lane.
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
}

pub(crate) fn check(mut args: Args) -> Outcome {
    args.sets.extend(args.workers.map(|workers| format!("kernel.workers={workers}")));
    let config = match load::config(&args.config, &args.sets) {
        Ok(config) => config,
        Err(error) => return Outcome::error(KIND, &error),
    };
    let resolved = match resolve(&config) {
        Ok(resolved) => resolved,
        Err(error) => return Outcome::error(KIND, &error),
    };
    // Nothing here has to be put in order when a signal ends the process.
    match check::check(&config, resolved, program().as_deref(), &AtomicBool::new(false)) {
        Ok(document) => {
            let summary = summary(&document);
            Outcome::of(KIND, &document, Exit::Ok, None).with_summary(summary)
        }
        Err(error) => Outcome::error(KIND, &error),
    }
}

fn summary(document: &CheckDocument) -> Vec<String> {
    let mut lines = vec![format!("ok: `{}` would run; nothing was written", document.name)];
    let outputs = document.topics.iter().filter(|topic| topic.output).count() as u64;
    lines.push(format!(
        "{} of {}, {} of {}, {}, {}, of which {} go to the host",
        of(document.agents, "agent"),
        of(document.modules.len() as u64, "module"),
        of(document.inputs, "input"),
        of(document.sources.len() as u64, "source"),
        of(document.models.len() as u64, "model"),
        of(document.topics.len() as u64, "topic"),
        count(outputs)
    ));
    lines.extend(document.last_tick.map(|tick| format!("inputs end with tick {}", count(tick))));
    lines.extend(document.region_bytes.map(|needed| {
        let (needed, allowed) = (bytes(needed), bytes(document.region_bytes_max));
        format!("the region needs {needed}, region.bytes_max allows {allowed}")
    }));
    lines.extend(document.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines
}
