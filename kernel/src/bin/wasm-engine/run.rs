//! `wasm-engine run`: a configuration, run.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use wasm_engine::{
    config::check_kernel_name,
    exit::{Exit, HasExitCode},
    report::{Ended, RunReport},
    resolve::resolve,
    run::{self, Loading, RunOptions},
    units,
};
use wasm_engine_log::outputs::OutputTarget;

use crate::{cache, load, print::Outcome, progress, serve::program, signals, summary};

const KIND: &str = "run";

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
    /// End before the tick of this number.
    #[arg(long, value_name = "N")]
    ticks: Option<u64>,
    /// Ticks per second; without it back to back.
    #[arg(long, value_name = "R", value_parser = positive)]
    pace: Option<f64>,
    /// Write a log into this directory, which is made or must be empty.
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// Continue the run whose log this directory holds.
    #[arg(long, value_name = "DIR", conflicts_with = "log")]
    resume: Option<PathBuf>,
    /// Executed ticks between two keyframes beside the log, from which `--resume` goes on; with 0
    /// there are none.
    #[arg(long, value_name = "N")]
    checkpoint_every: Option<u64>,
    /// Name under which monitors find the run; the configuration's file stem by default.
    #[arg(long, value_parser = kernel_name)]
    name: Option<String>,
    /// Time, loading included, after which the run stops at a tick boundary, with exit code 7:
    /// seconds, or a time such as `500 ms` or `2 min`.
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<Duration>,
    /// Also write what goes to output topics into this file, which is made or emptied, one JSON
    /// object a line, payloads in the format that `output.format` declares; `-` is standard output,
    /// and the result then goes to standard error.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Args {
    /// Where outputs go besides the log.
    fn target(&self) -> Option<OutputTarget> {
        let file = self.output.as_ref()?;
        Some(match file == Path::new(load::STANDARD) {
            true => OutputTarget::Standard,
            false => OutputTarget::File(file.clone()),
        })
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let wanted = "give a time above 0, such as 90, \"500 ms\" or \"2 min\"";
    match units::parse_ns(text, 1_000_000_000) {
        // Beyond a century a time is a slip of the keyboard.
        Ok(ns) if ns > 0 && ns < 4_000_000_000 * 1_000_000_000 => Ok(Duration::from_nanos(ns)),
        Ok(_) => Err(wanted.to_owned()),
        Err(problem) => Err(format!("{problem}; {wanted}")),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        // Beyond a century a number is a slip, and a duration could not hold it.
        Ok(value) if value > 0.0 && value < 4e9 => Ok(value),
        _ => Err("give a number above 0".to_owned()),
    }
}

fn kernel_name(text: &str) -> Result<String, String> {
    check_kernel_name(text).map(|()| text.to_owned())
}

pub(crate) fn run(args: Args, json: bool) -> Outcome {
    let target = args.target();
    let aside = target == Some(OutputTarget::Standard);
    run_to(args, target, json).aside(aside)
}

fn run_to(args: Args, target: Option<OutputTarget>, json: bool) -> Outcome {
    let aside = target == Some(OutputTarget::Standard);
    if let Some(outcome) = args.log.as_deref().and_then(refuse_log) {
        return outcome;
    }
    let stop = match stop_on_signals() {
        Ok(stop) => stop,
        Err(error) => {
            let problem = format!("signals cannot be caught: {error}");
            return Outcome::failed(KIND, Exit::Failure, problem);
        }
    };
    let timeout = args.timeout;
    let loading = match Loading::watch(timeout, Arc::clone(&stop), move |ended| {
        give_up(ended, json, aside);
    }) {
        Ok(loading) => loading,
        Err(error) => return Outcome::no_thread(KIND, &error),
    };
    let mut config = match load::config(&args.config, &all_sets(&args)) {
        Ok(config) => config,
        Err(error) => return Outcome::error(KIND, &error),
    };
    config.kernel.pace = args.pace.or(config.kernel.pace);
    let mut resolved = match resolve(&config) {
        Ok(resolved) => resolved,
        Err(error) => return Outcome::error(KIND, &error),
    };
    resolved.physical.output_to = target;
    let options = RunOptions {
        workers: args.workers,
        ticks: args.ticks,
        pace: args.pace,
        log_dir: args.log.clone(),
        resume: args.resume.clone(),
        name: args.name,
        timeout,
        loading: Some(loading),
        model_program: program(),
        code_cache: config.kernel.cache.then(cache::folder).flatten(),
        stop,
        pin_scheduler: true,
        progress: progress::show(),
    };
    let result = run::run(resolved, options);
    progress::clear();
    match result {
        Ok(report) => finished(&report, args.resume.or(args.log).as_deref()),
        Err(error) => Outcome::error(KIND, &error),
    }
}

/// The overrides, the short options' among them, so that a configuration is checked with both.
fn all_sets(args: &Args) -> Vec<String> {
    let mut sets = args.sets.clone();
    sets.extend(args.workers.map(|workers| format!("kernel.workers={workers}")));
    sets.extend(args.ticks.map(|ticks| format!("kernel.ticks={ticks}")));
    let every = args.checkpoint_every;
    sets.extend(every.map(|ticks| format!("log.keyframe_ticks={ticks}")));
    sets.extend(args.name.as_ref().map(|name| format!("kernel.name=\"{name}\"")));
    sets
}

/// A directory that holds something is never written into.
fn refuse_log(dir: &Path) -> Option<Outcome> {
    let problem = match fs::read_dir(dir) {
        Ok(mut entries) => {
            entries.next().map(|_| "is not empty; name another, or use --resume".to_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(format!("cannot be read: {error}; name another")),
    };
    let text = |problem| format!("log directory {} {problem}", dir.display());
    problem.map(|problem| Outcome::failed(KIND, Exit::Usage, text(problem)))
}

/// Ends the process before the first tick.
fn give_up(ended: Ended, json: bool, aside: bool) {
    let problem = match ended {
        Ended::Interrupted => "interrupted while data, modules and models were loaded",
        _ => "the timeout ended the run while data, modules and models were loaded",
    };
    let outcome = Outcome::failed(KIND, ended.exit(), problem.to_owned()).aside(aside);
    // Nothing is torn down under the threads that load.
    signal_hook::low_level::exit(outcome.print(json).code().into());
}

/// A flag that the first signal sets; a second one ends the process at once.
fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    // Who started this with hang-ups ignored (nohup) wants it to survive them.
    let hang_up = (!signals::is_ignored(SIGHUP)).then_some(SIGHUP);
    for signal in [SIGINT, SIGTERM].into_iter().chain(hang_up) {
        let code = i32::from(Exit::Interrupted.code());
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

fn finished(report: &RunReport, dir: Option<&Path>) -> Outcome {
    let tick = report.last_tick;
    let more = match dir {
        Some(dir) => format!("continue with --resume {}", summary::shell_word(dir)),
        None => "without --log it cannot be continued".to_owned(),
    };
    let more = match &report.waited_for {
        Some(model) => format!("model {model} had not answered; {more}"),
        None => more,
    };
    let error = match report.ended {
        Ended::Done | Ended::Ticks => None,
        Ended::Interrupted => Some(format!("interrupted after tick {tick}; {more}")),
        Ended::Timeout => Some(format!("the timeout ended the run after tick {tick}; {more}")),
        Ended::Fault => {
            Some("a fault ended the run, because kernel.on_fault is \"end_run\"".to_owned())
        }
    };
    let error = error.or_else(|| {
        let fails = report.exit() == Exit::Fault;
        fails.then(|| "agents faulted, and kernel.on_fault is \"fail\"".to_owned())
    });
    let summary = summary::of_run(report, dir);
    Outcome::of(KIND, report, report.exit(), error).with_summary(summary).with_faults(report)
}
