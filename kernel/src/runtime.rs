//! Runs a resolved configuration live: sources, models, log, pace and monitors around a kernel.
//!
//! ```text
//! loop: next tick (T5) -> wait for pace -> facts: replies due (wait), inputs -> log TickOpen
//!       -> kernel.tick -> log TickClose -> publish -> stop?
//! ```
//! Everything here is physical: how long it takes, never what comes out.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytemuck::{bytes_of, cast_slice};
use wasm_engine_abi::{
    Tick,
    page::{NONE_U64, RingRow, provider, stall},
    record::{FactHeader, TickClose, fact, kind},
};
use wasm_engine_shm::{header::OwnerState, wait::WaitMode};

use crate::{
    config::{Backing, OnFault, Wait},
    core::Request,
    engine::{self, EngineError, MemoryProfile},
    event_log::{self, LogError, LogOptions, LogRing, LogWriter, SyncPolicy},
    exit::{Exit, Exits},
    facts::FactsBuilder,
    inference::{InferenceError, InferenceHandle, InferenceOptions},
    ingest::Ingest,
    kernel::{Kernel, KernelError, Parts, TickError},
    models::{self, LoadedModel, ModelError},
    output::{OutputError, OutputFile},
    preamble::{ModelRecord, Preamble, PreambleError, RunRecord},
    region::{BuildError, Placing, ring},
    report::{Ended, FaultReport, Progress, RunReport},
    resolve::{Physical, Resolved},
    resume::{self, ResumeError},
    setup::Setup,
    takers::{TakeError, Takers},
    thread::{ThreadError, Threads},
    time,
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
    /// Stop at the first tick boundary after this time.
    pub timeout: Option<Duration>,
    /// Set by whoever wants the run to stop at the next tick boundary.
    pub stop: Arc<AtomicBool>,
    /// Told at tick boundaries how far the run is.
    pub progress: Option<Box<dyn FnMut(&Progress)>>,
}

impl std::fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// More spinning threads than cores.
    #[error(transparent)]
    Threads(#[from] ThreadError),
    /// The kernel could not be built.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The inference thread.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The outputs file.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A tick.
    #[error(transparent)]
    Tick(#[from] TickError),
    /// A taker of what a tick gave.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// The log of a run to be resumed.
    #[error(transparent)]
    Resume(#[from] ResumeError),
}

impl Exits for RunError {
    fn exit(&self) -> Exit {
        match self {
            Self::Engine(_) | Self::Threads(_) => Exit::Usage,
            Self::Kernel(KernelError::Build(error)) => match error {
                BuildError::Locate(_) => Exit::Usage,
                BuildError::TooLarge { .. } => Exit::Refused,
                _ => Exit::Failure,
            },
            Self::Log(error) => Exit::of_code(error.exit_code()),
            Self::Output(error) | Self::Take(TakeError::Output(error)) => error.exit(),
            Self::Resume(error) => error.exit(),
            _ => Exit::Failure,
        }
    }
}

impl Exits for PreambleError {
    fn exit(&self) -> Exit {
        match self {
            Self::Log(error) => Exit::of_code(error.exit_code()),
            Self::Malformed { .. } => Exit::Divergence,
            Self::Missing { .. } => Exit::Corrupt,
        }
    }
}

/// A run between two ticks.
struct Run {
    kernel: Kernel,
    takers: Takers,
    ingest: Ingest,
    log: Option<LogWriter>,
    facts: FactsBuilder,
    due: Vec<Request>,
    first_fault: Option<FaultReport>,
    physical: Physical,
    start_ns: u64,
    first_paced: Tick,
    load_ns: u64,
    recovered: Option<String>,
}

/// Runs `resolved` to its end.
///
/// # Errors
/// [`RunError`]. A run that ended early on request is no error: see [`RunReport::ended`].
pub fn run(resolved: Resolved, options: RunOptions) -> Result<RunReport, RunError> {
    let RunOptions { log_dir, resume, timeout, stop, mut progress, .. } = options;
    let loading_ns = time::now_ns();
    let mut physical = resolved.physical.clone();
    physical.workers = options.workers.unwrap_or(physical.workers);
    physical.ticks = options.ticks.or(physical.ticks);
    physical.pace = options.pace.or(physical.pace);
    physical.name = options.name.unwrap_or(physical.name);
    let mut run = Run::load(resolved, physical, log_dir, resume)?;
    run.load_ns = time::now_ns() - loading_ns;
    run.start_ns = time::now_ns();
    let deadline_ns = timeout.map(|timeout| {
        run.start_ns.saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
    });
    let ended = run.ticks(&stop, deadline_ns, progress.as_deref_mut());
    run.end(ended)
}

impl Run {
    fn load(
        resolved: Resolved,
        physical: Physical,
        log_dir: Option<PathBuf>,
        resume: Option<PathBuf>,
    ) -> Result<Self, RunError> {
        let Resolved { mut setup, modules, sources, models, agent_names, .. } = resolved;
        let loaded = load_models(&models, &mut setup)?;
        let setup = Arc::new(setup);
        let profile = MemoryProfile {
            agents_max: setup.limits.agents_max,
            memory_bytes_max: setup.limits.memory_bytes_max,
        };
        let engine = engine::deterministic_engine(profile)?;
        let preamble = Preamble {
            run: RunRecord {
                name: physical.name.clone(),
                started_unix_ns: time::unix_ns(),
                agent_names: agent_names.clone(),
                setup: Setup::clone(&setup),
            },
            engine: engine::fingerprint(&engine),
            modules: setup
                .templates
                .iter()
                .zip(&modules)
                .map(|(template, module)| (template.module.clone(), module.original.clone()))
                .collect(),
            models: model_records(&models, &loaded),
        };
        let hot = physical.workers + 1 + u32::from(!setup.models.is_empty());
        let threads =
            Threads::plan(physical.workers, hot, wait_mode(physical.wait), physical.pin)?;
        let placing = match physical.region.backing {
            Backing::Memfd => Placing::Memfd(physical.name.clone()),
            Backing::File => Placing::File(physical.name.clone()),
        };
        let mut kernel = Kernel::new(Parts {
            setup: Arc::clone(&setup),
            modules: &modules,
            agent_names: agent_names.clone(),
            name: physical.name.clone(),
            engine,
            threads: threads.clone(),
            placing,
            region_bytes_max: physical.region.bytes_max,
        })?;
        let mut takers = Takers::new(Arc::clone(&setup), agent_names, true);
        let mut ingest = Ingest::new(sources, &setup.limits);
        takers.inference = start_inference(loaded, &setup, &kernel, &threads)?;
        let log_options = |dir: PathBuf| log_options(dir, &physical);
        let ring = log_ring(&kernel)?;
        let (mut log, mut recovered) = (None, None);
        if let Some(dir) = resume {
            let going_on = resume::go_on(
                &log_options(dir),
                ring,
                &preamble,
                &mut kernel,
                &mut takers,
                &mut ingest,
            )?;
            (log, recovered) = (Some(going_on.log), going_on.recovered);
        } else if let Some(dir) = log_dir {
            let options = log_options(dir);
            let mut writer = LogWriter::create(&options, run_id(&preamble), ring)?;
            preamble.write(&mut writer)?;
            takers.outputs = Some(OutputFile::create(&options.dir)?);
            log = Some(writer);
        }
        kernel.page().ticks_end = physical.ticks.unwrap_or(NONE_U64);
        kernel.announce().map_err(KernelError::from)?;
        Ok(Self {
            first_paced: kernel.core().stats().ticks,
            kernel,
            takers,
            ingest,
            log,
            facts: FactsBuilder::default(),
            due: Vec::new(),
            first_fault: None,
            physical,
            start_ns: 0,
            load_ns: 0,
            recovered,
        })
    }

    fn ticks(
        &mut self,
        stop: &AtomicBool,
        deadline_ns: Option<u64>,
        mut progress: Option<&mut (dyn FnMut(&Progress) + 'static)>,
    ) -> Result<Ended, RunError> {
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(Ended::Interrupted);
            }
            let Some(tick) = self.next_tick() else { return Ok(Ended::Done) };
            if self.physical.ticks.is_some_and(|end| tick >= end) {
                return Ok(Ended::Ticks);
            }
            if !self.wait_for_pace(tick, stop, deadline_ns) {
                let interrupted = stop.load(Ordering::Relaxed);
                return Ok(if interrupted { Ended::Interrupted } else { Ended::Timeout });
            }
            self.tick(tick)?;
            if let Some(progress) = &mut progress {
                progress(&self.progress());
            }
            if self.physical.on_fault == OnFault::EndRun && self.kernel.core().stats().faults > 0 {
                return Ok(Ended::Fault);
            }
            if deadline_ns.is_some_and(|deadline| time::now_ns() >= deadline) {
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
    fn wait_for_pace(&mut self, tick: Tick, stop: &AtomicBool, deadline_ns: Option<u64>) -> bool {
        let Some(pace) = self.physical.pace else { return true };
        let after = tick.saturating_sub(self.first_paced) as f64;
        let due_ns = self.start_ns + (after * 1e9 / pace) as u64;
        if time::now_ns() >= due_ns {
            return true;
        }
        self.kernel.set_state(OwnerState::Idle);
        time::sleep_until(due_ns.min(deadline_ns.unwrap_or(u64::MAX)), stop);
        self.kernel.set_state(OwnerState::Running);
        time::now_ns() >= due_ns
    }

    fn tick(&mut self, tick: Tick) -> Result<(), RunError> {
        self.gather(tick)?;
        let facts = self.facts.finish();
        if let Some(log) = &mut self.log {
            log.check()?;
            append(log, &mut self.kernel, kind::TICK_OPEN, tick, &[facts])?;
        }
        let faults = self.kernel.core().stats().faults;
        let close = self.kernel.tick(facts, &mut self.takers)?;
        if let Some(log) = &mut self.log {
            let stalls = log.stalls();
            let turns = cast_slice(self.kernel.core().turn_digests());
            log.append(kind::TICK_CLOSE, tick, &[bytes_of(&close), turns])?;
            if log.stalls() > stalls {
                self.kernel.page().count_stall(stall::LOG, 0);
            }
        }
        if self.first_fault.is_none() && self.kernel.core().stats().faults > faults {
            self.first_fault = self.find_fault(&close);
        }
        self.takers.settle()?;
        self.publish();
        Ok(())
    }

    /// The facts of `tick`: replies in request order (I1), then inputs (T7).
    fn gather(&mut self, tick: Tick) -> Result<(), RunError> {
        self.facts.begin(tick);
        self.kernel.core().requests_due(tick, &mut self.due);
        for request in &self.due {
            let Some(inference) = &mut self.takers.inference else {
                unreachable!("a run with models has an inference thread");
            };
            let header = FactHeader {
                kind: fact::REPLY,
                a: request.agent.to_bits(),
                b: request.seq,
                c: request.model,
                ..FactHeader::default()
            };
            if !inference.is_ready(request.number)? {
                let begin = time::now_ns();
                self.kernel.set_state(OwnerState::WaitingForModel);
                let reply = inference.wait_for(request.number)?;
                self.facts.push(FactHeader { code: reply.code, ..header }, reply.row);
                self.kernel.set_state(OwnerState::Running);
                self.kernel.page().count_stall(stall::MODEL, time::now_ns() - begin);
                continue;
            }
            let reply = inference.wait_for(request.number)?;
            self.facts.push(FactHeader { code: reply.code, ..header }, reply.row);
        }
        self.ingest.enter(tick, &mut self.facts);
        Ok(())
    }

    /// The first agent that faulted in the tick just closed.
    fn find_fault(&self, close: &TickClose) -> Option<FaultReport> {
        let core = self.kernel.core();
        let index = core.turn_agents().iter().copied().find(|&index| {
            let activity = core.agent(index).activity;
            activity.faults > 0 && activity.last_tick == close.tick
        })?;
        let cause = core.agent(index).activity.last_fault;
        Some(FaultReport {
            tick: close.tick,
            agent: self.kernel.agent_name(index),
            what: wasm_engine_abi::frame::fault::text(cause).to_owned(),
        })
    }

    fn publish(&mut self) {
        if let Some(log) = &self.log {
            let page = self.kernel.page();
            page.durable_tick = log.durable().get().unwrap_or(NONE_U64);
            (page.log_bytes, page.log_records) = (log.bytes(), log.records());
            let row = RingRow { records: log.records(), stalls: log.stalls(), ..ring_row() };
            self.kernel.publish_ring(0, &row);
        }
        if let Some(inference) = &self.takers.inference {
            for (index, row) in inference.rows().iter().enumerate() {
                let mut row = *row;
                row.provider = provider::CPU;
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
            last_tick: self.physical.ticks.map(|end| end.saturating_sub(1)).or(self.ingest.last_tick()),
            agents: u64::from(core.agents_alive()),
            messages: stats.messages,
            faults: stats.faults,
            elapsed_ns: time::now_ns() - self.start_ns,
        }
    }

    /// Closes log and outputs whatever happened, then reports.
    fn end(mut self, ended: Result<Ended, RunError>) -> Result<RunReport, RunError> {
        let elapsed_ns = time::now_ns() - self.start_ns;
        let mut report = report(&mut self.kernel, &self.takers);
        report.elapsed_ns = elapsed_ns;
        let closed = self.close_log(&mut report);
        let result = ended.and_then(|ended| closed.map(|()| ended));
        let exit = match &result {
            Ok(ended) => ended.exit(),
            Err(error) => error.exit(),
        };
        self.kernel.page().durable_tick = report.durable_tick.unwrap_or(NONE_U64);
        self.kernel.finish(u32::from(exit.code()));
        report.ended = result?;
        report.load_ns = self.load_ns;
        report.name = self.physical.name;
        report.lanes = self.physical.workers + 1;
        report.first_fault = self.first_fault;
        report.recovered = self.recovered;
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
        if let Some(mut outputs) = self.takers.outputs.take() {
            outputs.sync()?;
        }
        Ok(())
    }
}

/// Appends a record; a wait for room is shown to monitors while it lasts.
fn append(
    log: &mut LogWriter,
    kernel: &mut Kernel,
    kind: u16,
    tick: Tick,
    parts: &[&[u8]],
) -> Result<(), LogError> {
    let stalls = log.stalls();
    log.append_with(kind, tick, parts, &mut || kernel.set_state(OwnerState::WaitingForLog))?;
    if log.stalls() > stalls {
        kernel.set_state(OwnerState::Running);
        kernel.page().count_stall(stall::LOG, 0);
    }
    Ok(())
}

/// What a kernel did so far, as a report.
pub(crate) fn report(kernel: &mut Kernel, takers: &Takers) -> RunReport {
    let stalls = kernel.page().stalls;
    let core = kernel.core();
    let stats = core.stats();
    let by_cause = [("model", stall::MODEL), ("source", stall::SOURCE), ("load", stall::LOAD)];
    RunReport {
        ticks: stats.ticks,
        last_tick: core.tick(),
        microsteps: stats.microsteps,
        agents: u64::from(core.agents_alive()),
        turns: stats.turns,
        inputs: stats.inputs,
        messages: stats.messages,
        refused: stats.refused,
        dropped: stats.dropped,
        inferences: stats.inferences,
        faults: stats.faults,
        restarts: stats.restarts,
        output_messages: stats.outputs,
        fuel: stats.fuel,
        stalls: by_cause.iter().map(|(_, cause)| stalls[*cause]).sum(),
        stalls_by_cause: by_cause.map(|(name, cause)| (name.to_owned(), stalls[cause])).into(),
        digest: core.digest(),
        fuel_digest: core.fuel_digest(),
        region_bytes: kernel.built().bytes,
        outputs: takers.last_outputs(),
        ..RunReport::default()
    }
}

fn ring_row() -> RingRow {
    RingRow::default()
}

/// Loads the models and completes the setup with their row lengths.
fn load_models(
    files: &[crate::resolve::ModelFile],
    setup: &mut Setup,
) -> Result<Vec<LoadedModel>, ModelError> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<_> = files
        .iter()
        .zip(&setup.models)
        .map(|(file, model)| models::ModelFile {
            name: &file.name,
            bytes: &file.bytes,
            sha256: Some(&model.sha256),
            batch: model.batch,
        })
        .collect();
    let loaded = models::load_models(&wanted, None)?;
    for (model, loaded) in setup.models.iter_mut().zip(&loaded) {
        (model.input_len, model.output_len) = (loaded.input_len, loaded.output_len);
    }
    Ok(loaded)
}

fn model_records(
    files: &[crate::resolve::ModelFile],
    loaded: &[LoadedModel],
) -> Vec<ModelRecord> {
    let record = |(file, loaded): (&crate::resolve::ModelFile, &LoadedModel)| ModelRecord {
        name: file.name.clone(),
        path: std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone()),
        sha256: loaded.sha256.clone(),
        fingerprint: loaded.fingerprint.clone(),
    };
    files.iter().zip(loaded).map(record).collect()
}

pub(crate) fn start_inference(
    loaded: Vec<LoadedModel>,
    setup: &Setup,
    kernel: &Kernel,
    threads: &Threads,
) -> Result<Option<InferenceHandle>, RunError> {
    if loaded.is_empty() {
        return Ok(None);
    }
    let memory = kernel.built().inference().map_err(|e| KernelError::from(BuildError::from(e)))?;
    let options = InferenceOptions {
        wait: threads.wait,
        clock: time::now_ns,
        on_start: threads.pin_inference(),
    };
    let backends = loaded.into_iter().map(|model| model.backend).collect();
    Ok(Some(InferenceHandle::start(backends, &setup.limits, memory, options)?))
}

fn wait_mode(wait: Wait) -> WaitMode {
    match wait {
        Wait::Hybrid => WaitMode::Hybrid,
        Wait::Park => WaitMode::Park,
        Wait::Busy => WaitMode::Busy,
    }
}

fn log_ring(kernel: &Kernel) -> Result<LogRing, RunError> {
    let (producer, consumer) =
        kernel.built().ring(ring::LOG).map_err(|e| KernelError::from(BuildError::from(e)))?;
    Ok(LogRing::new(producer, consumer).map_err(|e| KernelError::from(BuildError::from(e)))?)
}

fn log_options(dir: PathBuf, physical: &Physical) -> LogOptions {
    let log = &physical.log;
    let sync = match log.sync {
        crate::config::Sync::None => SyncPolicy::None,
        crate::config::Sync::Every(time) => {
            SyncPolicy::EveryMs(u32::try_from(time.as_millis()).unwrap_or(u32::MAX))
        }
        crate::config::Sync::Bytes(bytes) => {
            SyncPolicy::EveryMib(u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX))
        }
    };
    LogOptions {
        sync,
        segment_bytes: log.segment_bytes,
        block_bytes: log.block_bytes as usize,
        ..event_log::LogOptions::new(dir)
    }
}

/// Tells runs apart: hash of what was run and when.
fn run_id(preamble: &Preamble) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(preamble.run.name.as_bytes());
    hasher.update(&preamble.run.started_unix_ns.to_le_bytes());
    hasher.update(&std::process::id().to_le_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    id
}
