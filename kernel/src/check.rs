//! A configuration tried without running it: everything that a run reads is read and checked, the
//! models loaded where the library is there, the region planned. Nothing is written.
//!
//! Not here: compiling modules, which can be done to all that are admitted; and what only the first
//! tick shows, such as an init that fails.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use serde::Serialize;
use wasm_engine_abi::Tick;
use wasm_engine_guest::admission::{Admitted, Pattern};
use wasm_engine_inference::account::{ModelAccount, PortAccount, model_account};
use wasm_engine_setup::{Limits, ModelSetup, Policy, Restart, Schedule, Setup, Template};

use crate::{
    config::{Config, task_order},
    exit::{Exit, HasExitCode},
    machine::{Kernel, KernelError, Threads, TraceOptions, region},
    resolve::{ReadModel, Resolved},
    run::{
        RunError,
        assemble::wait_mode,
        halt::Halt,
        models::{self, ModelsError},
    },
    sources::Source,
};

/// What a configuration would run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CheckDocument {
    /// Name of the kernel.
    pub name: String,
    /// Agents of tick 0.
    pub agents: u64,
    /// Inputs of all sources.
    pub inputs: u64,
    /// Commands of the configuration.
    pub commands: u64,
    /// Tasks of the configuration, in the order in which they are scheduled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<String>,
    /// The last tick in which an input is due, or that the limit of ticks allows.
    pub last_tick: Option<Tick>,
    /// Seed of random numbers and of the digest chain.
    pub seed: u64,
    /// Order of runnable agents.
    pub schedule: Schedule,
    /// Worker threads beside the scheduler's lane.
    pub workers: u32,
    /// Bytes of the region; none where a model that could not be loaded decides it.
    pub region_bytes: Option<u64>,
    /// Bytes that it may take.
    pub region_bytes_max: u64,
    /// What is suspicious, each with what to do.
    pub warnings: Vec<String>,
    /// What runs, by entry of the configuration.
    pub modules: Vec<CheckedModule>,
    /// Where inputs come from.
    pub sources: Vec<CheckedSource>,
    /// What agents may ask.
    pub models: Vec<CheckedModel>,
    /// All topics.
    pub topics: Vec<CheckedTopic>,
    /// Logical limits in force.
    pub limits: Limits,
}

/// An entry of the configuration's agents, with its module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CheckedModule {
    /// Name of the entry.
    pub name: String,
    /// Name in the module's manifest.
    pub module: String,
    /// Version in its manifest.
    pub version: String,
    /// blake3 of the file.
    pub hash: String,
    /// Copies that exist from tick 0.
    pub copies: u64,
    /// Capabilities in force.
    pub capabilities: Vec<String>,
    /// Bytes its memory may grow to.
    pub memory_bytes_max: u64,
    /// Fuel of one call.
    pub fuel_per_call: u64,
    /// What follows a fault.
    pub restart: Restart,
}

/// A source that was read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CheckedSource {
    /// Its id.
    pub id: String,
    /// Its streams: keys times copies.
    pub streams: u32,
    /// Inputs that it gives.
    pub inputs: u64,
    /// Ticks with the first and the last of them.
    pub first_tick: Option<Tick>,
    /// See `first_tick`.
    pub last_tick: Option<Tick>,
    /// Columns of a table's payload.
    pub columns: Vec<String>,
    /// Bytes of the longest input.
    pub payload_bytes_max: u32,
    /// Rows, lines or files left out.
    pub left_out: u64,
}

/// A model whose files were read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CheckedModel {
    /// Configured name, with the version behind it if there is one.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// SHA-256 of its files.
    pub sha256: String,
    /// Whether it was loaded and tried, which needs ONNX Runtime.
    pub loaded: bool,
    /// Inputs as `name: f32[N, 3]`.
    pub inputs: Vec<String>,
    /// Outputs alike.
    pub outputs: Vec<String>,
    /// Rows of one batch.
    pub batch: u32,
    /// Longest request in bytes, if it was loaded.
    pub request_bytes_max: Option<u32>,
    /// Longest reply in bytes, if it was loaded.
    pub reply_bytes_max: Option<u32>,
}

/// A topic of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CheckedTopic {
    /// Its name.
    pub name: String,
    /// What happens to a message for a full inbox.
    pub policy: Policy,
    /// Whether its messages also go to the host.
    pub output: bool,
    /// What its payloads are declared to be.
    pub format: Option<&'static str>,
}

/// Checks all that a run of `resolved`, which came from `config`, would need. `program` serves
/// models with a process of their own; `stop` ends the loading of models.
///
/// # Errors
/// [`RunError`], as the run would give it before its first tick.
pub fn check(
    config: &Config,
    resolved: Resolved,
    program: Option<&Path>,
    stop: &AtomicBool,
) -> Result<CheckDocument, RunError> {
    let Resolved { mut setup, modules, sources, commands, models, physical } = resolved;
    let mut warnings = warnings(&setup, &sources);
    let models = Arc::new(models);
    let loaded = match load(&models, &mut setup, program, stop)? {
        Ok(()) => true,
        Err(problem) => {
            warnings.push(format!("models were read and not loaded: {problem}"));
            false
        }
    };
    let hot = physical.workers + 1 + u32::from(!models.is_empty());
    Threads::plan(physical.workers, hot, wait_mode(physical.wait), physical.pin)?;
    let region_bytes = if loaded { Some(plan_region(&setup, config, &physical)?) } else { None };
    // Nobody knows when a live source ends.
    let live = sources.iter().any(Source::is_live);
    let due = sources.iter().map(Source::last_tick).max().filter(|_| !live);
    let limit = physical.ticks.map(|ticks| ticks.saturating_sub(1));
    Ok(CheckDocument {
        name: physical.name,
        agents: setup.agents.len() as u64,
        inputs: sources.iter().map(inputs).sum(),
        commands: commands.len() as u64,
        tasks: tasks_in_order(config),
        last_tick: [due, limit].into_iter().flatten().min(),
        seed: setup.seed,
        schedule: setup.schedule,
        workers: physical.workers,
        region_bytes,
        region_bytes_max: physical.region.bytes_max,
        warnings,
        modules: checked_modules(&setup, &modules),
        sources: sources.iter().map(checked_source).collect(),
        models: checked_models(&setup, &models, loaded),
        topics: setup
            .topics
            .iter()
            .zip(&physical.formats)
            .map(|(topic, format)| CheckedTopic {
                name: topic.name.clone(),
                policy: topic.policy,
                output: topic.output,
                format: format.map(wasm_engine_log::outputs::OutputFormat::word),
            })
            .collect(),
        limits: setup.limits,
    })
}

/// Names of the tasks, in the order in which they are scheduled.
fn tasks_in_order(config: &Config) -> Vec<String> {
    let order = task_order(&config.task).unwrap_or_default();
    order.into_iter().map(|at| config.task[at].name.clone()).collect()
}

/// Loads the models, which completes the setup; or gives what the machine lacks for it.
fn load(
    models: &Arc<Vec<ReadModel>>,
    setup: &mut Setup,
    program: Option<&Path>,
    stop: &AtomicBool,
) -> Result<Result<(), String>, ModelsError> {
    match models::load(models, setup, program, Halt { stop, deadline_ns: None }) {
        Ok(_) => models::check_limits(setup).map(Ok),
        Err(error) if error.exit() == Exit::Failure => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

fn plan_region(
    setup: &Setup,
    config: &Config,
    physical: &crate::resolve::Physical,
) -> Result<u64, KernelError> {
    let trace = TraceOptions { level: config.region.trace, events: config.region.trace_events };
    let bytes = Kernel::region_bytes(setup, &physical.name, physical.workers, trace)?;
    region::check_bytes(setup, bytes, physical.region.bytes_max)?;
    Ok(bytes)
}

/// What no run is refused for, and what is probably not meant.
fn warnings(setup: &Setup, sources: &[Source]) -> Vec<String> {
    let may = |verb: &str, topic: &str| {
        let rights = setup.templates.iter().flat_map(|template| &template.capabilities);
        rights
            .filter_map(|right| right.strip_prefix(verb)?.strip_prefix(':'))
            .any(|pattern| Pattern::new(pattern).is_some_and(|pattern| pattern.matches(topic)))
    };
    let mut warnings = Vec::new();
    for topic in setup.topics.iter().filter(|topic| topic.output) {
        let name = &topic.name;
        if !may("publish", name) {
            warnings.push(format!(
                "output {name}: no agent may publish on it; grant \"publish:{name}\" to one whose \
                 module declares it, or correct the name"
            ));
        }
    }
    for source in sources {
        let silent = source.stream_topics(source.topic());
        if let Some(name) = silent.iter().find(|name| !may("subscribe", name)) {
            warnings.push(format!(
                "source {}: no agent may subscribe to its topic {name}, so its inputs reach \
                 nobody; grant \"subscribe:{name}\"",
                source.id()
            ));
        }
        warnings.extend(source.left_out_line());
    }
    warnings
}

/// Inputs that a source gives.
fn inputs(source: &Source) -> u64 {
    source.first_seq(source.last_tick().saturating_add(1))
}

fn checked_source(source: &Source) -> CheckedSource {
    let inputs = inputs(source);
    CheckedSource {
        id: source.id().to_owned(),
        streams: source.streams(),
        inputs,
        first_tick: source.next_due(0),
        last_tick: (inputs > 0).then(|| source.last_tick()),
        columns: source.columns().to_vec(),
        payload_bytes_max: source.payload_bytes(),
        left_out: source.left_out(),
    }
}

fn checked_modules(setup: &Setup, modules: &[Arc<Admitted>]) -> Vec<CheckedModule> {
    let checked = |(at, (template, module)): (u32, (&Template, &Arc<Admitted>))| CheckedModule {
        name: template.name.clone(),
        module: module.manifest.name.clone(),
        version: module.manifest.version.clone(),
        hash: template.module.clone(),
        copies: setup.agents.iter().filter(|agent| agent.template == at).count() as u64,
        capabilities: template.capabilities.clone(),
        memory_bytes_max: module.memory_bytes_max,
        fuel_per_call: template.fuel_per_call,
        restart: template.restart,
    };
    (0..).zip(setup.templates.iter().zip(modules)).map(checked).collect()
}

fn checked_models(setup: &Setup, models: &[ReadModel], loaded: bool) -> Vec<CheckedModel> {
    let port = |port: &PortAccount| format!("{}: {}", port.name, port.value);
    let checked = |(model, setup): (&ReadModel, &ModelSetup)| {
        // What is no model was refused when it was loaded; here it is only not described.
        let account = model_account(&model.bytes, &model.external).ok();
        let ports = |list: fn(&ModelAccount) -> &Vec<PortAccount>| {
            account.iter().flat_map(list).map(port).collect()
        };
        CheckedModel {
            name: model.name.clone(),
            file: model.path.clone(),
            sha256: setup.sha256.clone(),
            loaded,
            inputs: ports(|account| &account.inputs),
            outputs: ports(|account| &account.outputs),
            batch: setup.batch,
            request_bytes_max: loaded.then_some(setup.request_bytes_max),
            reply_bytes_max: loaded.then_some(setup.reply_bytes_max),
        }
    };
    models.iter().zip(&setup.models).map(checked).collect()
}
