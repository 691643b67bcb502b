//! Executes a log again: replay, verify, inspect (SEMANTICS L5 to L7).
//!
//! Replay feeds exactly the logged facts to a kernel of its own, with no sources, no models and
//! any number of lanes, and compares each tick's digest with the logged one. The first difference
//! is named with its tick and, because the turns' digests are logged too, its agent.

mod admit;
mod error;
mod gaps;
mod load;
mod recompute;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use wasm_engine_abi::{
    AgentId, Tick,
    record::{Facts, TickClose, fact, kind},
};

use crate::{
    clock,
    machine::BuildError,
    machine::{Kernel, KernelError, TickError},
    replay::recompute::Recompute,
    report::{
        Divergence, EngineDifference, FuelDifference, InspectReport, LoggedModelReport,
        ModelReport, ModuleReport, RunReport, SegmentReport, VerifyReport,
    },
    run::closing::{Compared, compare_close},
    run::keyframes,
    run::sinks::{ShownLines, SinkError, Sinks},
    run::tally::tally,
};
use wasm_engine_core::OpenError;
use wasm_engine_log::{
    Ending, LogReader, LogReport, SegmentContent,
    outputs::{OUTPUTS_FILE, OutputFile},
    run_header::{ModelRecord, RunHeader},
};
use wasm_engine_setup::ModelSetup;

pub use self::admit::ModuleMismatch;
use self::admit::admit_modules;
pub use self::error::ReplayError;
use self::gaps::Gaps;
use self::load::{Loaded, load_kernel};
pub use self::recompute::RecomputeError;

/// How to execute a log again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReplayOptions {
    /// Worker threads; they need not be those of the run.
    pub workers: u32,
    /// Accept a torn end.
    pub recover: bool,
    /// Compute every inference again and compare.
    pub recompute: bool,
    /// Begin behind the newest keyframe, not with tick 0. It is not looked at with `recompute`,
    /// which needs all requests.
    pub from_keyframe: bool,
    /// The program that serves models with a process of their own, to compute theirs again.
    pub model_program: Option<PathBuf>,
    /// The folder for compiled modules, which is made if missing; without it they are compiled.
    pub code_cache: Option<PathBuf>,
    /// Also execute a log of another engine. Fuel is not compared then (SEMANTICS L6.5).
    pub other_engine: bool,
}

/// Executes the log in `dir` again; a torn end is dropped and named.
///
/// # Errors
/// [`ReplayError`]; a divergence is one.
pub fn replay(dir: &Path, options: ReplayOptions) -> Result<RunReport, ReplayError> {
    let options = ReplayOptions { recover: true, recompute: false, ..options };
    let verified = Replay::open(dir, options)?.run()?;
    match verified.divergence {
        Some(divergence) => Err(ReplayError::Diverged(Box::new(divergence))),
        None => Ok(verified.run),
    }
}

/// Executes the log in `dir` again and compares digests and outputs.
///
/// # Errors
/// [`ReplayError`]; a divergence is a result, not an error.
pub fn verify(dir: &Path, options: ReplayOptions) -> Result<VerifyReport, ReplayError> {
    Replay::open(dir, options)?.run()
}

struct Replay {
    reader: LogReader,
    log: LogReport,
    header: RunHeader,
    options: ReplayOptions,
    dir: PathBuf,
}

/// What the execution of one log comes to.
struct Execution {
    kernel: Kernel,
    sinks: Sinks,
    recompute: Option<Recompute>,
    divergence: Option<Divergence>,
    /// The log's engine, if it is another: then fuel is not compared.
    other_engine: Option<EngineDifference>,
    fuel_differs: Option<FuelDifference>,
    /// What a sink said in the tick under way. It is classified after the tick's digest: facts that
    /// were changed also change outputs, and are to be named as what they are.
    held: Option<SinkError>,
    gaps: Gaps,
}

impl Replay {
    fn open(dir: &Path, options: ReplayOptions) -> Result<Self, ReplayError> {
        let (mut reader, log) = LogReader::open(dir)?;
        if let (Ending::Torn(torn), false) = (&log.ending, options.recover) {
            return Err(ReplayError::Torn { torn: torn.to_string() });
        }
        let header = RunHeader::read(&mut reader)?;
        Ok(Self { reader, log, header, options, dir: dir.to_owned() })
    }

    fn run(mut self) -> Result<VerifyReport, ReplayError> {
        let loading_ns = clock::now_ns();
        let mut execution = match self.load()? {
            Ok(execution) => execution,
            Err(divergence) => {
                let divergence = Some(divergence);
                return Ok(VerifyReport { divergence, ..VerifyReport::default() });
            }
        };
        let start_ns = clock::now_ns();
        let resumed_from = self.begin(&mut execution)?;
        while execution.divergence.is_none() {
            let Some(record) = self.reader.next()? else { break };
            match record.kind {
                kind::TICK_OPEN => execution.open(record.tick, record.payload)?,
                kind::TICK_CLOSE => {
                    execution.close(record.tick, record.payload);
                    execution.classify()?;
                }
                _ => {}
            }
        }
        execution.classify()?;
        let mut run = tally(&mut execution.kernel, &execution.sinks);
        run.name.clone_from(&self.header.run.name);
        run.gaps = execution.gaps.by_source(&self.header.run.setup);
        run.lanes = self.options.workers + 1;
        run.load_ns = start_ns - loading_ns;
        run.elapsed_ns = clock::now_ns() - start_ns;
        run.recovered = recovered(&self.log);
        run.resumed_from = resumed_from;
        (run.fuel_differs, run.other_engine) = (execution.fuel_differs, execution.other_engine);
        let output_lines = execution.sinks.output_lines;
        if let (Some(outputs), None) = (execution.sinks.outputs.take(), &execution.divergence) {
            // Of a tick that was left open, by a crash or a failure of the machine, some may lack.
            let torn_tail = !matches!(self.log.ending, Ending::Closed) || !self.log.closed;
            outputs.finish(torn_tail.then_some(run.last_tick))?;
        }
        let log_end = log_end(&self.log);
        let recomputed = execution.recompute.map(|recompute| recompute.compared());
        let divergence = execution.divergence;
        Ok(VerifyReport { divergence, log_end, recomputed, output_lines, run })
    }

    /// Puts the execution behind the newest keyframe, if that is wanted and there is one; the lines
    /// of outputs before it are taken as they stand.
    fn begin(&mut self, execution: &mut Execution) -> Result<Option<Tick>, ReplayError> {
        if !self.options.from_keyframe || self.options.recompute {
            return Ok(None);
        }
        let Self { reader, log, header, dir, .. } = self;
        let Execution { kernel, sinks, gaps, .. } = execution;
        let outputs = sinks.outputs.as_mut();
        let Some(keyframe) = keyframes::newest(dir, header, log, reader, outputs, false)? else {
            tracing::warn!(
                "there is no keyframe to begin with; the log is executed from its start"
            );
            return Ok(None);
        };
        let tick = keyframe.tick();
        *gaps = Gaps::at(keyframes::restore(keyframe, kernel, None, sinks)?.live());
        Ok(Some(tick))
    }

    /// A kernel for this log and what leaves it, or the divergence that its modules are before any
    /// tick.
    fn load(&self) -> Result<Result<Execution, Divergence>, ReplayError> {
        let Self { header, log, options, dir, .. } = self;
        let code_cache = options.code_cache.as_deref();
        let loaded = load_kernel(header, log, options.workers, code_cache, options.other_engine)?;
        let Loaded { kernel, other_engine } = match loaded {
            Ok(loaded) => loaded,
            Err(divergence) => return Ok(Err(divergence)),
        };
        let setup = Arc::clone(kernel.core().setup());
        let mut sinks = Sinks::new(setup, &header.models, ShownLines::Faults);
        if dir.join(OUTPUTS_FILE).exists() {
            sinks.outputs = Some(OutputFile::verify(dir)?);
        }
        // Without models there is nothing to compute, and nowhere to.
        let recompute = if options.recompute && header.models.is_empty() {
            Some(Recompute::default())
        } else if options.recompute {
            let memory = kernel.built().inference();
            let memory = memory.map_err(|error| KernelError::from(BuildError::from(error)))?;
            let program = options.model_program.as_deref();
            let (recompute, inference) = Recompute::start(header, memory, program)?;
            sinks.inference = Some(inference);
            Some(recompute)
        } else {
            None
        };
        Ok(Ok(Execution {
            kernel,
            sinks,
            recompute,
            divergence: None,
            other_engine,
            fuel_differs: None,
            held: None,
            gaps: Gaps::default(),
        }))
    }
}

impl Execution {
    fn open(&mut self, tick: Tick, facts: &[u8]) -> Result<(), ReplayError> {
        if let (Some(recompute), Some(inference)) = (&mut self.recompute, &mut self.sinks.inference)
        {
            self.divergence = recompute.compare(tick, facts, &self.kernel, inference)?;
            if self.divergence.is_some() {
                return Ok(());
            }
        }
        match self.kernel.tick(facts, &mut self.sinks) {
            Ok(_) => {
                self.gaps.note(facts);
                self.held = self.sinks.settle(&mut self.kernel).err();
                Ok(())
            }
            Err(TickError::Open(error)) => {
                self.divergence = Some(self.bad_facts(tick, &error));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What a sink said, unless the tick diverged.
    fn classify(&mut self) -> Result<(), ReplayError> {
        match (self.held.take(), &self.divergence) {
            (Some(error), None) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Impossible facts: a log that was changed after the run.
    fn bad_facts(&self, tick: Tick, error: &OpenError) -> Divergence {
        let agent = match error {
            OpenError::UnexpectedReply { agent, .. } | OpenError::MissingReply { agent, .. } => {
                self.name(*agent)
            }
            _ => None,
        };
        Divergence { tick, agent, message: None, what: error.to_string() }
    }

    fn name(&self, agent: AgentId) -> Option<String> {
        let known = agent.index() < self.kernel.core().slots();
        known.then(|| self.kernel.agent_name(agent.index()))
    }

    /// Compares a tick's result with the logged `TickClose`.
    fn close(&mut self, tick: Tick, logged: &[u8]) {
        self.divergence = match compare_close(&self.kernel, tick, logged) {
            Compared::OtherFuel { .. } if self.other_engine.is_some() => None,
            compared => compared.divergence(tick, &mut self.fuel_differs),
        };
    }
}

fn recovered(log: &LogReport) -> Option<String> {
    match &log.ending {
        Ending::Torn(torn) => Some(torn.to_string()),
        _ => None,
    }
}

/// How the log ends, in words.
fn log_end(log: &LogReport) -> String {
    match &log.ending {
        Ending::Closed => "in order".to_owned(),
        Ending::Stopped => "without its end: the run was cut off, or the log was".to_owned(),
        Ending::Torn(torn) => torn.to_string(),
    }
}

/// Reads what the log in `dir` holds, without executing it.
///
/// # Errors
/// [`ReplayError`].
pub fn inspect(dir: &Path) -> Result<InspectReport, ReplayError> {
    let (mut reader, log) = LogReader::open(dir)?;
    let header = RunHeader::read(&mut reader)?;
    let mut report = InspectReport {
        run_id: log.run_id.iter().map(|byte| format!("{byte:02x}")).collect(),
        last_open: log.opened,
        closed: log.ending == Ending::Closed,
        recovered: recovered(&log),
        setup: serde_json::to_value(&header.run.setup).unwrap_or_default(),
        ..InspectReport::default()
    };
    while let Some(record) = reader.next()? {
        match record.kind {
            kind::TICK_OPEN => count_facts(record.payload, &mut report),
            kind::TICK_CLOSE => {
                let Some(head) = record.payload.get(..size_of::<TickClose>()) else { continue };
                let close: TickClose = bytemuck::pod_read_unaligned(head);
                report.ticks += 1;
                report.last_tick = Some(record.tick);
                report.turns += u64::from(close.turns);
                (report.digest, report.fuel_digest) = (close.digest, close.fuel);
            }
            _ => {}
        }
    }
    let engine = &header.engine;
    report.engine.insert("wasmtime".to_owned(), engine.wasmtime_version.clone());
    report.engine.insert("config".to_owned(), engine.config.clone());
    let costs = blake3::Hash::from_bytes(engine.cost_table_hash).to_hex().to_string();
    report.engine.insert("cost_table".to_owned(), costs);
    let instrumentation = engine.instrumentation_version.to_string();
    report.engine.insert("instrumentation".to_owned(), instrumentation);
    report.modules = modules(&header);
    report.models = models(&header);
    report.segments = segments(dir, &log.segments)?;
    Ok(report)
}

fn count_facts(payload: &[u8], report: &mut InspectReport) {
    let Ok(facts) = Facts::parse(payload) else { return };
    for fact in facts.iter() {
        report.inputs += u64::from(fact.header.kind == fact::INPUT);
        report.inferences += u64::from(fact.header.kind == fact::REPLY);
    }
}

fn modules(header: &RunHeader) -> Vec<ModuleReport> {
    let admitted = admit_modules(header).unwrap_or_default();
    let report = |(at, template): (usize, &wasm_engine_setup::Template)| {
        let manifest = admitted.get(at).map(|module| &module.manifest);
        ModuleReport {
            template: template.name.clone(),
            name: manifest.map(|m| m.name.clone()).unwrap_or_default(),
            version: manifest.map(|m| m.version.clone()).unwrap_or_default(),
            hash: template.module.clone(),
            capabilities: template.capabilities.clone(),
        }
    };
    header.run.setup.templates.iter().enumerate().map(report).collect()
}

fn models(header: &RunHeader) -> Vec<LoggedModelReport> {
    let report = |(record, setup): (&ModelRecord, &ModelSetup)| LoggedModelReport {
        model: ModelReport::of(setup, &record.providers),
        path: record.path.display().to_string(),
        notes: record.notes.clone(),
        fingerprint: record.fingerprint.clone(),
        isolated: record.isolated,
    };
    header.models.iter().zip(&header.run.setup.models).map(report).collect()
}

fn segments(dir: &Path, contents: &[SegmentContent]) -> Result<Vec<SegmentReport>, ReplayError> {
    (0..)
        .zip(contents)
        .map(|(number, SegmentContent { blocks, ticks })| {
            let path = wasm_engine_log::segment_path(dir, number);
            let metadata =
                path.metadata().map_err(|source| ReplayError::Io { path: path.clone(), source })?;
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (first_tick, last_tick) = ticks.unzip();
            let (bytes, blocks) = (metadata.len(), *blocks);
            Ok(SegmentReport { file, bytes, blocks, first_tick, last_tick })
        })
        .collect()
}
