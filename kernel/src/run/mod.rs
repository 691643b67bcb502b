//! Runs a resolved configuration live: sources, models, log, pace and monitors around a kernel.
//!
//! ```text
//! loop: next tick (T5) -> wait for pace -> facts: replies due (wait), inputs -> log TickOpen
//!       -> kernel.tick -> log TickClose -> publish -> stop?
//! ```
//! Everything here is physical: how long it takes, never what comes out.

pub(crate) mod assemble;
pub(crate) mod closing;
pub(crate) mod error;
mod faults;
pub(crate) mod halt;
mod loading;
pub(crate) mod models;
mod refused_inputs;
pub(crate) mod resume;
pub(crate) mod sinks;
pub(crate) mod tally;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytemuck::{bytes_of, cast_slice};
use wasm_engine_abi::{
    Tick,
    page::{NONE_U64, stall},
    record::{ReplyFact, kind},
};
use wasm_engine_shm::header::OwnerState;

use crate::{
    clock,
    config::OnFault,
    exit::HasExitCode,
    machine::Kernel,
    report::{Ended, OnProgress, Progress, RunReport},
    resolve::{Physical, Resolved},
    run::assemble::{Locations, Started, start},
    run::halt::Halt,
    run::sinks::Sinks,
    run::tally::tally,
    sources::ingest::Ingest,
};
use wasm_engine_core::{FactsBuilder, Request};
use wasm_engine_log::{LogError, LogWriter};

pub use self::{
    error::RunError, loading::Loading, models::ModelsError, resume::ResumeError, sinks::SinkError,
};

/// How to run; the configuration says the rest.
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

/// A run between two ticks.
struct Run {
    kernel: Kernel,
    sinks: Sinks,
    ingest: Ingest,
    log: Option<LogWriter>,
    facts: FactsBuilder,
    due: Vec<Request>,
    physical: Physical,
    start_ns: u64,
    /// The first tick of this process, which is due at once (T6).
    first_paced: Option<Tick>,
    load_ns: u64,
    recovered: Option<String>,
    /// The model whose reply was waited for when the run was ended.
    waited_for: Option<String>,
}

/// Runs `resolved` to its end.
///
/// # Errors
/// [`RunError`]. A run that ended early on request is no error: see [`RunReport::ended`].
pub fn run(resolved: Resolved, options: RunOptions) -> Result<RunReport, RunError> {
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
    };
    let deadline_ns = timeout.map(|timeout| {
        loading_ns.saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
    });
    let deadline_ns = loading.as_ref().and_then(Loading::deadline_ns).or(deadline_ns);
    let halt = Halt { stop: &stop, deadline_ns };
    let Started { mut kernel, threads, sinks, ingest, log, recovered } =
        start(resolved, &physical, locations, halt)?;
    if options.pin_scheduler {
        // The last thing: threads inherit the core of who starts them.
        kernel.pin_scheduler(&threads);
    }
    let start_ns = clock::now_ns();
    let mut run = Run {
        first_paced: None,
        kernel,
        sinks,
        ingest,
        log,
        facts: FactsBuilder::default(),
        due: Vec::new(),
        physical,
        start_ns,
        load_ns: start_ns - loading_ns,
        recovered,
        waited_for: None,
    };
    drop(loading);
    let ended = run.ticks(halt, progress.as_deref_mut());
    run.end(ended)
}

impl Run {
    fn ticks(
        &mut self,
        halt: Halt<'_>,
        mut progress: Option<&mut (dyn FnMut(&Progress) + 'static)>,
    ) -> Result<Ended, RunError> {
        loop {
            if halt.is_interrupted() {
                return Ok(Ended::Interrupted);
            }
            let Some(tick) = self.next_tick() else { return Ok(Ended::Done) };
            if self.physical.ticks.is_some_and(|end| tick >= end) {
                return Ok(Ended::Ticks);
            }
            if self.kernel.core().stats().ticks > 0 {
                self.kernel.built().populate();
            }
            if !self.wait_for_pace(tick, halt) {
                return Ok(halt.asked().unwrap_or(Ended::Timeout));
            }
            if let Some(ended) = self.gather(tick, halt)? {
                return Ok(ended);
            }
            self.tick(tick)?;
            if let Some(progress) = &mut progress {
                progress(&self.progress());
            }
            // Those before a resumed run ended the run before it.
            if self.physical.on_fault == OnFault::EndRun && self.sinks.faults.any_new() {
                return Ok(Ended::Fault);
            }
            if halt.is_late() {
                return Ok(Ended::Timeout);
            }
        }
    }

    /// T5 without live facts, of which there are none yet.
    fn next_tick(&mut self) -> Option<Tick> {
        let core = self.kernel.core_mut();
        if core.stats().ticks == 0 {
            return Some(0);
        }
        let input = self.ingest.next_due(core.tick());
        [core.next_tick(), input].into_iter().flatten().min()
    }

    /// T6: tick n opens no earlier than start + n / R. False if it will not open at all.
    fn wait_for_pace(&mut self, tick: Tick, halt: Halt<'_>) -> bool {
        let Some(pace) = self.physical.pace else { return true };
        let first = *self.first_paced.get_or_insert(tick);
        let after = tick.saturating_sub(first) as f64;
        // A tick may be due after the end of time: the conversion and the sum stop there.
        let due_ns = self.start_ns.saturating_add((after * 1e9 / pace) as u64);
        if clock::now_ns() >= due_ns {
            return true;
        }
        if self.kernel.unpublished() {
            self.publish();
        }
        self.kernel.set_state(OwnerState::Idle);
        clock::sleep_until(due_ns.min(halt.deadline_ns.unwrap_or(u64::MAX)), halt.stop);
        self.kernel.set_state(OwnerState::Running);
        clock::now_ns() >= due_ns
    }

    /// Executes `tick` on the facts that were gathered.
    fn tick(&mut self, tick: Tick) -> Result<(), RunError> {
        let facts = self.facts.finish();
        if let Some(log) = &mut self.log {
            log.check()?;
            let tell = &mut |state| self.kernel.set_state(state);
            let waited = append(log, tell, kind::TICK_OPEN, tick, &[facts])?;
            if let Some(ns) = waited {
                self.kernel.count_stall(stall::LOG, tick, ns);
            }
        }
        let close = self.kernel.tick(facts, &mut self.sinks)?;
        if let Some(log) = &mut self.log {
            let waited = {
                let (digests, mut tell) = self.kernel.closed();
                let parts = [bytes_of(&close), cast_slice(digests)];
                append(log, &mut tell, kind::TICK_CLOSE, tick, &parts)?
            };
            if let Some(ns) = waited {
                self.kernel.count_stall(stall::LOG, tick, ns);
            }
        }
        self.sinks.settle(&self.kernel)?;
        if self.kernel.publish_due() {
            self.publish();
        }
        Ok(())
    }

    /// The facts of `tick`: replies in request order (I1), then inputs (T7). Says why the run ends
    /// if it has to while a model is waited for; then the tick does not begin.
    fn gather(&mut self, tick: Tick, halt: Halt<'_>) -> Result<Option<Ended>, RunError> {
        self.facts.begin(tick);
        self.kernel.core().requests_due(tick, &mut self.due);
        for request in &self.due {
            let Some(inference) = &mut self.sinks.inference else {
                unreachable!("a run with models has an inference thread");
            };
            let Request { agent, seq, model, .. } = *request;
            let fact = |code| ReplyFact { agent, request: seq, model, code };
            if !inference.is_ready(request.number)? {
                let begin = clock::now_ns();
                if self.kernel.unpublished() {
                    self.kernel.publish();
                }
                self.kernel.set_state(OwnerState::WaitingForModel);
                let mut ended = None;
                let reply = inference.wait_until(request.number, &mut || {
                    ended = halt.asked();
                    ended.is_some()
                })?;
                let Some(reply) = reply else {
                    self.kernel.set_state(OwnerState::Running);
                    let models = &self.kernel.core().setup().models;
                    self.waited_for = Some(models[model as usize].name.clone());
                    return Ok(ended);
                };
                self.facts.push(fact(reply.code), reply.bytes);
                self.kernel.set_state(OwnerState::Running);
                self.kernel.count_stall(stall::MODEL, tick, clock::now_ns() - begin);
                continue;
            }
            let reply = inference.wait_for(request.number)?;
            self.facts.push(fact(reply.code), reply.bytes);
        }
        self.ingest.enter(tick, &mut self.facts);
        Ok(None)
    }

    fn publish(&mut self) {
        if let Some(log) = &self.log {
            let page = self.kernel.page();
            page.durable_tick = log.durable().get().unwrap_or(NONE_U64);
            (page.log_bytes, page.log_records) = (log.bytes(), log.records());
            self.kernel.count_log(log.records(), log.stalls());
        }
        if let Some(inference) = &self.sinks.inference {
            for (index, row) in inference.rows().iter().enumerate() {
                let mut row = *row;
                row.latency_ticks = self.kernel.core().setup().models[index].latency_ticks;
                self.kernel.publish_model(index as u32, &row);
            }
        }
        self.kernel.page().inputs_left = self.ingest.left() as u32;
        self.kernel.publish();
    }

    fn progress(&self) -> Progress {
        let core = self.kernel.core();
        let stats = core.stats();
        Progress {
            tick: core.tick(),
            last_tick: self
                .physical
                .ticks
                .map(|end| end.saturating_sub(1))
                .or(self.ingest.last_tick()),
            agents: u64::from(core.agents_alive()),
            messages: stats.messages,
            faults: stats.faults,
            elapsed_ns: clock::now_ns() - self.start_ns,
        }
    }

    /// Closes log and outputs whatever happened, then reports.
    fn end(mut self, ended: Result<Ended, RunError>) -> Result<RunReport, RunError> {
        let elapsed_ns = clock::now_ns() - self.start_ns;
        let mut report = tally(&mut self.kernel, &self.sinks);
        report.elapsed_ns = elapsed_ns;
        let closed = self.close_log(&mut report);
        let result = ended.and_then(|ended| closed.map(|()| ended));
        let durable = report.durable_tick;
        let result = result.map_err(|error| match error {
            RunError::Output(source) | RunError::Sink(SinkError::Output(source)) => {
                RunError::Outputs { source, durable }
            }
            error => error,
        });
        report.fails = self.physical.on_fault == OnFault::Fail;
        let exit = match &result {
            Ok(ended) => {
                report.ended = *ended;
                report.exit()
            }
            Err(error) => error.exit(),
        };
        self.kernel.page().durable_tick = report.durable_tick.unwrap_or(NONE_U64);
        self.kernel.finish(u32::from(exit.code()));
        result?;
        report.load_ns = self.load_ns;
        report.name = self.physical.name;
        report.lanes = self.physical.workers + 1;
        report.recovered = self.recovered;
        report.waited_for = self.waited_for;
        report.rows_left_out = self.ingest.left_out();
        Ok(report)
    }

    fn close_log(&mut self, report: &mut RunReport) -> Result<(), RunError> {
        if let Some(log) = self.log.take() {
            report.log_bytes = log.bytes();
            let stalls = log.stalls();
            report.stalls += stalls;
            report.stalls_by_cause.insert("log".to_owned(), stalls);
            report.durable_tick = log.close()?;
        }
        if let Some(mut outputs) = self.sinks.outputs.take() {
            report.stalls += outputs.stalls();
            report.stalls_by_cause.insert("outputs".to_owned(), outputs.stalls());
            outputs.sync()?;
        }
        report.misfits = self.sinks.misfits();
        if let Some(mut stream) = self.sinks.stream.take() {
            stream.close()?;
        }
        Ok(())
    }
}

/// Appends a record; `tell` shows a wait for room to monitors while it lasts. Gives how long it
/// was, in ns.
fn append(
    log: &mut LogWriter,
    tell: &mut dyn FnMut(OwnerState),
    kind: u16,
    tick: Tick,
    parts: &[&[u8]],
) -> Result<Option<u64>, LogError> {
    let mut begin = None;
    log.append_with(kind, tick, parts, &mut || {
        begin = Some(clock::now_ns());
        tell(OwnerState::WaitingForLog);
    })?;
    let waited = begin.map(|begin| clock::now_ns() - begin);
    if waited.is_some() {
        tell(OwnerState::Running);
    }
    Ok(waited)
}
