//! From a configuration to a run: files read, names resolved, modules admitted, sums checked.
//!
//! ```text
//! Config -> sources (streams) -> topics -> models -> templates + agents -> commands -> Resolved
//! ```
//! What decides results ends in [`Setup`], which the log carries; everything physical in
//! [`Physical`]. Reading happens here and nowhere later, so a run that starts has all it needs.
//!
//! Not here: compiling modules, loading models (what they take and give is empty until then),
//! formatting the region.

mod commands;
mod error;
mod models;
mod templates;
mod topics;

use std::sync::Arc;

use wasm_engine_abi::limits::{BLOCK_BYTES, INIT_CALLS, blocks};

use crate::{
    config::{Config, LogConfig, OnFault, RegionConfig, Wait},
    sources::{Commands, Source},
};
use wasm_engine_guest::{admission::Admitted, engine::MemoryLayout};
use wasm_engine_log::outputs::{OutputFormat, OutputTarget};
use wasm_engine_setup::{Limits, Setup, SourceSetup};

pub(crate) use self::commands::model_of_name;
pub use self::error::ResolveError;
pub(crate) use self::error::hex;
use self::error::refuse_above;
pub use self::models::ReadModel;

/// What never decides results: excluded from every digest (SEMANTICS D3).
#[derive(Clone, PartialEq, Debug)]
pub struct Physical {
    /// Name under which monitors find the run.
    pub name: String,
    /// Worker threads beside the scheduler's lane.
    pub workers: u32,
    /// Milliseconds that each model has to answer a request, in the setup's order.
    pub deadlines_ms: Vec<Option<u64>>,
    /// The run ends before the tick of this number.
    pub ticks: Option<u64>,
    /// Ticks per second; back to back without.
    pub pace: Option<f64>,
    /// How threads wait.
    pub wait: Wait,
    /// Pin threads.
    pub pin: bool,
    /// Agents of all lanes that are awake at once.
    pub awake_max: u32,
    /// How memories lie; by the number of agents without.
    pub memory_layout: Option<MemoryLayout>,
    /// What a fault does to the run.
    pub on_fault: OnFault,
    /// Keep compiled modules, if there is a folder for them.
    pub cache: bool,
    /// The region.
    pub region: RegionConfig,
    /// The log.
    pub log: LogConfig,
    /// What payloads of output topics are, by topic.
    pub formats: Vec<Option<OutputFormat>>,
    /// Where outputs go besides the log; nowhere unless it is set.
    pub output_to: Option<OutputTarget>,
}

/// Everything a run needs.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What decides the run. What models take and give is empty until they are loaded.
    pub setup: Setup,
    /// The admitted module of each template; templates with the same file share one.
    pub modules: Vec<Arc<Admitted>>,
    /// The sources, in the setup's order, with their topics bound.
    pub sources: Vec<Source>,
    /// What the host does, and when.
    pub commands: Commands,
    /// The models' files, in the setup's order.
    pub models: Vec<ReadModel>,
    /// What does not decide it.
    pub physical: Physical,
}

/// Resolves `config`, which has been [checked](Config::check).
///
/// # Errors
/// The first [`ResolveError`], in the order of the module's documentation.
pub fn resolve(config: &Config) -> Result<Resolved, ResolveError> {
    check_alone(&config.limits)?;
    let mut sources = Vec::with_capacity(config.source.len());
    for source in &config.source {
        let source = Source::read(source, &config.path(source.location()))?;
        if let Some(line) = source.left_out_line() {
            tracing::warn!("{line}");
        }
        sources.push(source);
    }
    // Inputs of a tick come in the order of their sources' ids (SEMANTICS T7).
    sources.sort_by(|one, other| one.id().cmp(other.id()));
    set_origin(config, &mut sources)?;
    check_inputs(&config.limits, &sources)?;
    let (topics, formats) = topics::resolve(config, &mut sources)?;
    let (models, model_setups) = models::resolve(config)?;
    let templates = templates::resolve(config, &sources)?;
    let setup = Setup {
        seed: config.kernel.seed,
        schedule: config.kernel.schedule,
        aging_ticks: config.kernel.aging_ticks,
        state_digest_ticks: config.kernel.state_digest_ticks,
        limits: config.limits.clone(),
        topics,
        sources: sources
            .iter()
            .map(|source| SourceSetup { id: source.id().to_owned(), live: source.is_live() })
            .collect(),
        templates: templates.templates,
        groups: templates.groups.names,
        agents: templates.agents,
        models: model_setups,
    };
    if setup.agents.is_empty() {
        let problem = "is given nowhere, so nothing would run; add one whose count is not 0";
        return Err(config.value_error("[[agent]]", problem).into());
    }
    let modules = templates.modules;
    let commands = commands::resolve(config, &setup)?;
    Ok(Resolved { setup, modules, sources, commands, models, physical: physical(config, formats) })
}

fn physical(config: &Config, formats: Vec<Option<OutputFormat>>) -> Physical {
    let kernel = &config.kernel;
    Physical {
        name: config.name(),
        workers: kernel.workers,
        deadlines_ms: config.model.iter().map(|model| model.deadline_ms).collect(),
        ticks: kernel.ticks,
        pace: kernel.pace,
        wait: kernel.wait,
        pin: kernel.pin,
        awake_max: kernel.awake_max,
        memory_layout: kernel.memory_layout.layout(),
        on_fault: kernel.on_fault,
        cache: kernel.cache,
        region: config.region.clone(),
        log: config.log.clone(),
        formats,
        output_to: None,
    }
}

/// One agent alone fits every limit of a microstep, else its turn could never be planned
/// (SEMANTICS Q3).
fn check_alone(limits: &Limits) -> Result<(), ResolveError> {
    let calls = limits.calls_of_step().max(INIT_CALLS);
    let blocks_of = |bytes: u32| u64::from(blocks(bytes)) * u64::from(BLOCK_BYTES);
    for (what, needed, limit, max) in [
        (
            "the effects of one turn (limits.effects_max)",
            u64::from(limits.effects_max),
            "limits.effects_per_microstep_max",
            u64::from(limits.effects_per_microstep_max),
        ),
        (
            "the payloads of one turn (limits.payload_bytes_max)",
            blocks_of(limits.payload_bytes_max),
            "limits.payload_bytes_per_microstep_max",
            limits.payload_bytes_per_microstep_max.into(),
        ),
        (
            "the fuel of one turn (limits.fuel_per_call times limits.receive_max + 1, at least 4)",
            limits.fuel_per_call.saturating_mul(calls),
            "limits.fuel_per_microstep_max",
            limits.fuel_per_microstep_max,
        ),
    ] {
        refuse_above(what, needed, limit, max)?;
    }
    Ok(())
}

/// Rows of the same time enter in the same tick, whichever source they are from: ticks have one
/// length, and tick 1 is the first time of all (SEMANTICS T7).
fn set_origin(config: &Config, sources: &mut [Source]) -> Result<(), ResolveError> {
    let grids = sources.iter().filter_map(|source| Some((source.id(), source.grid()?)));
    let Some((id, grid)) = grids.min_by_key(|(_, grid)| grid.first_time) else {
        return Ok(());
    };
    let (id, origin, tick_s) = (id.to_owned(), grid.first_time, grid.period_s);
    for source in sources {
        let Some(grid) = source.grid() else { continue };
        let key = format!("source.{}.period_s", source.id());
        let own_s = grid.period_s;
        if own_s != tick_s {
            let problem = format!(
                "is {own_s}, and that of source `{id}` is {tick_s}; a tick is as long for all: \
                 give each source the shortest period, a row need not come in every tick"
            );
            return Err(config.value_error(key, problem).into());
        }
        if !source.begin_at(origin) {
            let late_s = grid.first_time - origin;
            let problem = format!(
                "is {own_s}, but its first row comes {late_s} s after that of source `{id}`; \
                 choose a period of which that is a multiple, or off_grid = \"floor\" for both"
            );
            return Err(config.value_error(key, problem).into());
        }
    }
    Ok(())
}

/// An input fits an inbox, else it could never be delivered.
fn check_inputs(limits: &Limits, sources: &[Source]) -> Result<(), ResolveError> {
    for source in sources {
        let what = source.longest();
        let needed = u64::from(blocks(source.payload_bytes())) * u64::from(BLOCK_BYTES);
        for (limit, max) in [
            ("limits.input_bytes_per_tick_max", limits.input_bytes_per_tick_max),
            ("limits.inbox_bytes_max", limits.inbox_bytes_max),
            ("limits.payload_bytes_held_max", limits.payload_bytes_held_max),
        ] {
            refuse_above(&what, needed, limit, max.into())?;
        }
    }
    Ok(())
}
