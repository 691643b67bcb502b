//! Puts a live run together: models, engine, kernel, inference thread, log.
//!
//! The order matters to users: what is wrong with the configuration, the modules or the models is
//! said before a log directory is made, and monitors can attach only when everything stands.

use std::{path::PathBuf, sync::Arc};

use wasm_engine_abi::page::NONE_U64;
use wasm_engine_shm::wait::WaitMode;

use crate::{
    clock,
    code_cache::open_cache,
    config::{Backing, Isolation, Wait},
    machine::Threads,
    machine::{BuildError, Placing, region::ring},
    machine::{Kernel, KernelError, Parts, TraceOptions},
    resolve::hex,
    resolve::{Physical, ReadModel, Resolved},
    run::error::RunError,
    run::halt::Halt,
    run::keyframes::Keyframes,
    run::model_loader::ModelLoader,
    run::models,
    run::resume::{self, CaughtUp},
    run::sinks::{ShownLines, Sinks},
    sources::{FeedRun, ingest::Ingest},
};
use wasm_engine_guest::{
    admission::Admitted,
    code_cache::CodeCache,
    engine::{self, Engine, Footprint, MemoryProfile},
};
use wasm_engine_inference::{
    InferenceHandle, InferenceOptions, ServedModel, registry::LoadedModel,
};
use wasm_engine_log::{
    LogCounters, LogOptions, LogRing, LogWriter,
    outputs::{OutputFile, OutputStream},
    run_header::{ModelRecord, RunHeader, RunRecord},
};
use wasm_engine_setup::{ModelSetup, Setup};

/// A run that is ready for its next tick.
pub(crate) struct Started {
    pub(crate) kernel: Kernel,
    pub(crate) threads: Threads,
    pub(crate) sinks: Sinks,
    pub(crate) ingest: Ingest,
    pub(crate) log: Option<LogWriter>,
    pub(crate) keyframes: Option<Keyframes>,
    /// What is said of the log that a resumed run goes on with.
    pub(crate) caught_up: CaughtUp,
}

/// What a run uses of the system besides its inputs.
#[derive(Debug)]
pub(crate) struct Locations {
    /// Write a new log into this directory.
    pub(crate) log_dir: Option<PathBuf>,
    /// Go on with the log in this directory.
    pub(crate) resume: Option<PathBuf>,
    /// The program that serves models.
    pub(crate) model_program: Option<PathBuf>,
    /// The folder for compiled modules.
    pub(crate) code_cache: Option<PathBuf>,
    /// Monitors can find it under its name.
    pub(crate) visible: bool,
    /// What it may leave in its process.
    pub(crate) footprint: Footprint,
}

/// Starts `resolved`, with a new log or going on with one.
pub(crate) fn start(
    resolved: Resolved,
    physical: &Physical,
    locations: Locations,
    halt: Halt<'_>,
) -> Result<Started, RunError> {
    let Resolved { mut setup, modules, sources, commands, models, .. } = resolved;
    let target = physical.output_to.as_ref();
    let stream = target.map(|target| OutputStream::open(target, physical.formats.clone()));
    let stream = stream.transpose()?;
    let models = Arc::new(models);
    let loaded = models::load(&models, &mut setup, locations.model_program.as_deref(), halt)?;
    models::check_limits(&setup)?;
    let setup = Arc::new(setup);
    let lanes = physical.workers + 1;
    let profile =
        MemoryProfile::of(&setup, &modules, lanes, physical.awake_max, physical.memory_layout);
    let engine = engine::engine_in(profile, locations.footprint)?;
    let run = RunRecord {
        name: physical.name.clone(),
        started_unix_ns: clock::unix_ns(),
        setup: Setup::clone(&setup),
        data: sources.iter().map(|source| hex(&source.hash())).collect(),
        commands: commands.hash().map(|hash| hex(&hash)),
    };
    let originals = setup
        .templates
        .iter()
        .zip(&modules)
        .map(|(template, module)| (template.module.clone(), module.original.clone()))
        .collect();
    let records = model_records(&models, &loaded, &setup.models);
    let header = RunHeader::new(run, engine::fingerprint(&engine), originals, records);
    let code_cache = open_cache(locations.code_cache.as_deref());
    let (mut kernel, inference, threads) =
        kernel(&setup, &modules, engine, loaded, physical, &locations, code_cache.as_ref())?;
    let mut sinks = Sinks::new(Arc::clone(&setup), &header.models, ShownLines::All);
    let program = locations.model_program;
    if inference.is_some() {
        let mut loader = ModelLoader::new(&models, &header.models, &setup, program);
        loader.start_if_needed()?;
        sinks.loader = Some(loader);
    }
    sinks.inference = inference;
    let fallbacks = sinks.providers.iter().filter(|providers| !providers.refused.is_empty());
    kernel.page().model_fallbacks = fallbacks.count() as u64;
    let mut ingest = Ingest::new(sources, &setup.limits).with_commands(commands);
    let (mut log, mut keyframes, mut caught_up) = (None, None, CaughtUp::default());
    let mut run_id = header.run_id;
    if let Some(dir) = locations.resume.as_ref().or(locations.log_dir.as_ref()) {
        let options = log_options(dir.clone(), physical);
        let ring = log_ring(&mut kernel)?;
        if locations.resume.is_some() {
            let (kernel, sinks, ingest) = (&mut kernel, &mut sinks, &mut ingest);
            let found = resume::catch_up(&options, ring, &header, kernel, sinks, ingest, halt)?;
            (log, run_id, caught_up) = (Some(found.log), found.run_id, found.caught_up);
        } else {
            let mut writer = LogWriter::create(&options, run_id, ring)?;
            header.write(&mut writer)?;
            sinks.outputs = Some(OutputFile::create(&options.dir)?);
            log = Some(writer);
        }
        keyframes = Keyframes::start(&options, &physical.log, &header, run_id, &mut kernel);
    }
    // What a resumed run executes again has been shown before.
    sinks.stream = stream;
    let name = locations.visible.then_some(physical.name.as_str());
    ingest.listen(name, FeedRun { run_id, has_log: log.is_some() })?;
    kernel.page().ticks_end = physical.ticks.unwrap_or(NONE_U64);
    kernel.announce().map_err(KernelError::from)?;
    Ok(Started { kernel, threads, sinks, ingest, log, keyframes, caught_up })
}

/// The kernel with its lanes, and the inference thread where there are models.
fn kernel(
    setup: &Arc<Setup>,
    modules: &[Arc<Admitted>],
    engine: Engine,
    loaded: Vec<LoadedModel>,
    physical: &Physical,
    locations: &Locations,
    code_cache: Option<&CodeCache>,
) -> Result<(Kernel, Option<InferenceHandle>, Threads), RunError> {
    let hot = physical.workers + 1 + u32::from(!loaded.is_empty());
    let mut threads = Threads::plan(physical.workers, hot, wait_mode(physical.wait), physical.pin)?;
    threads.helpers = locations.footprint.helpers;
    let name = physical.name.clone();
    let level = physical.region.trace;
    let kernel = Kernel::new(Parts {
        setup: Arc::clone(setup),
        modules,
        name: name.clone(),
        engine,
        code_cache,
        threads: threads.clone(),
        placing: match physical.region.backing {
            _ if !locations.visible => Placing::Private,
            Backing::Memfd => Placing::Memfd(name),
            Backing::File => Placing::File(name),
        },
        trace: TraceOptions { level, events: physical.region.trace_events },
        region_bytes_max: physical.region.bytes_max,
    })?;
    let inference = start_inference(loaded, setup, &kernel, &threads, &physical.deadlines_ms)?;
    Ok((kernel, inference, threads))
}

fn model_records(
    files: &[ReadModel],
    loaded: &[LoadedModel],
    setups: &[ModelSetup],
) -> Vec<ModelRecord> {
    let record = |((file, loaded), setup): ((&ReadModel, &LoadedModel), &ModelSetup)| ModelRecord {
        name: file.name.clone(),
        path: std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone()),
        sha256: loaded.setup.sha256.clone(),
        fingerprint: loaded.fingerprint.clone(),
        isolated: file.isolation == Isolation::Process,
        version: setup.version,
        notes: file.notes.clone(),
        providers: loaded.backend.providers(),
    };
    files.iter().zip(loaded).zip(setups).map(record).collect()
}

fn start_inference(
    loaded: Vec<LoadedModel>,
    setup: &Setup,
    kernel: &Kernel,
    threads: &Threads,
    deadlines_ms: &[Option<u64>],
) -> Result<Option<InferenceHandle>, RunError> {
    if loaded.is_empty() {
        return Ok(None);
    }
    let memory = kernel.built().inference().map_err(|e| KernelError::from(BuildError::from(e)))?;
    let options = InferenceOptions {
        wait: threads.wait,
        clock: clock::now_ns,
        on_start: threads.pin_inference(),
    };
    let served = loaded
        .into_iter()
        .zip(&setup.models)
        .zip(deadlines_ms)
        .map(|((model, setup), deadline_ms)| ServedModel {
            setup: setup.clone(),
            backend: model.backend,
            deadline_ns: deadline_ms.map(|ms| ms.saturating_mul(1_000_000)),
        })
        .collect();
    Ok(Some(InferenceHandle::start(served, &setup.limits, memory, options)?))
}

pub(crate) fn wait_mode(wait: Wait) -> WaitMode {
    match wait {
        Wait::Hybrid => WaitMode::Hybrid,
        Wait::Park => WaitMode::Park,
        Wait::Busy => WaitMode::Busy,
    }
}

/// The log's ring and counters in the region; once.
fn log_ring(kernel: &mut Kernel) -> Result<LogRing, RunError> {
    let Some(writer) = kernel.take_log_counters() else {
        unreachable!("a run has one log");
    };
    let open = || -> Result<LogRing, BuildError> {
        let built = kernel.built();
        let (producer, consumer) = built.ring(ring::LOG)?;
        let counters = LogCounters::new(writer, built.counters()?)?;
        Ok(LogRing::new(producer, consumer, counters, clock::now_ns)?)
    };
    Ok(open().map_err(KernelError::from)?)
}

fn log_options(dir: PathBuf, physical: &Physical) -> LogOptions {
    let log = &physical.log;
    LogOptions {
        sync: log.sync,
        segment_bytes: log.segment_bytes,
        block_bytes: log.block_bytes as usize,
        ..LogOptions::new(dir)
    }
}
