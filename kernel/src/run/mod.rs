//! Runs a resolved configuration live: sources, models, log, pace and monitors around a kernel.
//!
//! ```text
//! loop: poll.rs goes on as far as it can -> what it waits for is waited for here -> stop?
//! ```
//! Everything here is physical: how long it takes, never what comes out.

mod accounts;
pub(crate) mod assemble;
pub(crate) mod closing;
mod ending;
pub(crate) mod error;
mod faults;
pub(crate) mod halt;
pub(crate) mod kept_outputs;
mod keyframe_due;
pub(crate) mod keyframes;
pub(crate) mod listener;
mod loading;
pub(crate) mod model_loader;
pub(crate) mod models;
pub(crate) mod poll;
mod provider_changes;
mod refused_inputs;
pub(crate) mod resume;
pub(crate) mod sinks;
pub(crate) mod tally;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use crate::{
    clock,
    report::{Ended, OnProgress, Progress, RunReport},
    resolve::Resolved,
    run::assemble::{Locations, start},
    run::halt::Halt,
    run::poll::{Run, RunStep, WaitsFor},
};

use wasm_engine_guest::engine::Footprint;

pub use self::{
    error::RunError, keyframes::FromKeyframeError, loading::Loading, models::ModelsError,
    resume::ResumeError, sinks::SinkError,
};

/// How to run; the configuration says the rest.
#[derive(Default)]
pub struct RunOptions {
    /// Worker threads; the configuration's number without.
    pub workers: Option<u32>,
    /// End before the tick of this number.
    pub ticks: Option<u64>,
    /// Ticks per second.
    pub pace: Option<f64>,
    /// Write a log into this directory.
    pub log_dir: Option<PathBuf>,
    /// Go on with the log in this directory.
    pub resume: Option<PathBuf>,
    /// Name of the kernel.
    pub name: Option<String>,
    /// Stop at the first tick boundary after this time, from the call on, loading included; while
    /// a model is loaded or waited for, at once.
    pub timeout: Option<Duration>,
    /// Who watches over the loading; its timeout, which began earlier, is the run's then.
    pub loading: Option<Loading>,
    /// The program that serves models with a process of their own: `wasm-engine`. Without it a
    /// configuration with such models is refused.
    pub model_program: Option<PathBuf>,
    /// The folder for compiled modules, which is made if missing. Without it, or where
    /// `kernel.cache` is false, they are compiled and not kept.
    pub code_cache: Option<PathBuf>,
    /// Set by whoever wants the run to stop at the next tick boundary.
    pub stop: Arc<AtomicBool>,
    /// Pin the calling thread, which executes the ticks, where the kernel's threads are pinned.
    pub pin_scheduler: bool,
    /// Told at tick boundaries how far the run is.
    pub progress: Option<OnProgress>,
}

impl std::fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Runs `resolved` to its end.
///
/// # Errors
/// [`RunError`]. A run that ended early on request is no error: see [`RunReport::ended`].
pub fn run(resolved: Resolved, options: RunOptions) -> Result<RunReport, RunError> {
    if let Some(source) = resolved.sources.iter().find(|source| source.is_pushed()) {
        return Err(RunError::Live { id: source.id().to_owned() });
    }
    let RunOptions { timeout, loading, stop, .. } = options;
    let mut progress = options.progress;
    let loading_ns = clock::now_ns();
    let mut physical = resolved.physical.clone();
    physical.workers = options.workers.unwrap_or(physical.workers);
    physical.ticks = options.ticks.or(physical.ticks);
    physical.pace = options.pace.or(physical.pace);
    physical.name = options.name.unwrap_or(physical.name);
    let locations = Locations {
        log_dir: options.log_dir,
        resume: options.resume,
        model_program: options.model_program,
        code_cache: options.code_cache.filter(|_| physical.cache),
        visible: true,
        footprint: Footprint::WHOLE,
    };
    let deadline_ns = timeout.map(|timeout| {
        loading_ns.saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
    });
    let deadline_ns = loading.as_ref().and_then(Loading::deadline_ns).or(deadline_ns);
    let halt = Halt { stop: &stop, deadline_ns };
    let mut started = start(resolved, &physical, locations, halt)?;
    if options.pin_scheduler {
        // The last thing: threads inherit the core of who starts them.
        started.kernel.pin_scheduler(&started.threads);
    }
    started.ingest.read_lines().map_err(RunError::Lines)?;
    let mut run = Run::new(started, physical, loading_ns);
    drop(loading);
    let ended = ticks(&mut run, halt, progress.as_deref_mut());
    run.end(ended)
}

/// Executes ticks until the run is over or is to end, and waits where a tick has to.
fn ticks(
    run: &mut Run,
    halt: Halt<'_>,
    mut progress: Option<&mut (dyn FnMut(&Progress) + 'static)>,
) -> Result<Ended, RunError> {
    loop {
        if run.is_between_ticks() && halt.is_interrupted() {
            return Ok(Ended::Interrupted);
        }
        match run.poll()? {
            RunStep::Done(_) => {
                run.kernel.built().populate();
                if let Some(progress) = &mut progress {
                    progress(&run.progress());
                }
                if run.ends_by_fault() {
                    return Ok(Ended::Fault);
                }
                if halt.is_late() {
                    return Ok(Ended::Timeout);
                }
            }
            RunStep::Until(due_ns) => {
                run.sleep_until(due_ns, halt);
                if clock::now_ns() < due_ns
                    && let Some(ended) = halt.asked()
                {
                    return Ok(ended);
                }
            }
            RunStep::Waits(WaitsFor::Model(fact, model)) => {
                if let Some(ended) = run.wait_for_model(fact, model, halt)? {
                    return Ok(ended);
                }
            }
            RunStep::Waits(WaitsFor::Log) => run.wait_for_log()?,
            RunStep::Idle if run.ingest.awaits_arrivals() => {
                run.sleep_until(u64::MAX, halt);
                if let Some(ended) = halt.asked() {
                    return Ok(ended);
                }
            }
            // Every source is closed, and nothing is due (T9).
            RunStep::Idle => return Ok(Ended::Done),
            RunStep::Ended(ended) => return Ok(ended),
        }
    }
}
