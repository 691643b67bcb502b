//! What commands report: the documents on standard output, as structs.
//!
//! Each becomes one JSON document tagged with its `$type` (`wasm-engine/run/1` and so on); the
//! text that is printed without `--json` shows the same. Fields may be added within a version, not
//! renamed or removed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use wasm_engine_abi::{Digest, Tick, counters};
use wasm_engine_core::{Core, ModelCounts, Stats};
use wasm_engine_inference::ModelMeasures;
use wasm_engine_setup::{ModelNotes, ModelSetup, PortSetup, ProviderUse, full_name};

use crate::exit::{Exit, HasExitCode};
pub use crate::sources::{FeedReport, FeedState};

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Every source is closed and nothing is due (SEMANTICS T9).
    #[default]
    Done,
    /// The limit of ticks was reached.
    Ticks,
    /// The user interrupted.
    Interrupted,
    /// The time was up.
    Timeout,
    /// An agent faulted where by configuration a fault ends the run.
    Fault,
}

impl HasExitCode for Ended {
    fn exit(&self) -> Exit {
        match self {
            Self::Done | Self::Ticks => Exit::Ok,
            Self::Interrupted => Exit::Interrupted,
            Self::Timeout => Exit::Timeout,
            Self::Fault => Exit::Fault,
        }
    }
}

/// An agent's fault, in words.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FaultReport {
    /// Tick of the faulted turn.
    pub tick: Tick,
    /// Microstep of it.
    pub microstep: u32,
    /// Name of the agent.
    pub agent: String,
    /// Its address, slot and generation.
    pub address: String,
    /// Function of the guest contract that faulted.
    pub function: String,
    /// The kind of fault, in words.
    pub fault: String,
    /// The negative code that it returned, if it did.
    pub code: Option<i32>,
    /// Name of the status that this code is, if it is one.
    pub status: Option<String>,
    /// What the agent said when it panicked.
    pub message: Option<String>,
    /// All of it in one sentence.
    pub what: String,
    /// What to do about it.
    pub advice: String,
    /// Functions on the agent's stack, innermost first, with their place in the module.
    pub backtrace: Vec<String>,
    /// What the turn logged, the last lines.
    pub lines: Vec<String>,
}

/// The report around the counters that the table gives to the state machine.
macro_rules! run_report {
    (core { $($lines:tt)* } $($rest:tt)*) => { run_report! { @ [] $($lines)* } };
    (@ [$($done:tt)*]
        $name:ident as $report:ident: $kind:ident $unit:ident, $help:literal; $($rest:tt)*) => {
        run_report! { @ [$($done)* $name $report $help,] $($rest)* }
    };
    (@ [$($done:tt)*] $name:ident: $kind:ident $unit:ident, $help:literal; $($rest:tt)*) => {
        run_report! { @ [$($done)* $name $name $help,] $($rest)* }
    };
    (@ [$($name:ident $report:ident $help:literal,)*]) => {
        /// What `run` and `replay` did.
        #[derive(Clone, PartialEq, Debug, Default, Serialize)]
        pub struct RunReport {
            /// Name of the kernel.
            pub name: String,
            /// Why the run ended.
            pub ended: Ended,
            /// Number of the last tick executed.
            pub last_tick: Tick,
            /// Agents that exist at the end.
            pub agents: u64,
            /// Items that wait in the inboxes of paused agents, which end no run (SEMANTICS T9).
            pub paused_items: u64,
            $(#[doc = $help] pub $report: u64,)*
            /// The first fault of the run, also where a resumed run executes it again.
            pub first_fault: Option<FaultReport>,
            /// Whether a fault gives exit code 6: `kernel.on_fault = "fail"`.
            #[serde(skip)]
            pub fails: bool,
            /// Times the scheduler had to wait for something outside.
            pub stalls: u64,
            /// The same by what it waited for (`model`, `log`, `outputs`).
            pub stalls_by_cause: BTreeMap<String, u64>,
            /// Digest of the last tick (SEMANTICS D3).
            #[serde(serialize_with = "hex")]
            pub digest: Digest,
            /// Fuel chain (SEMANTICS D4).
            #[serde(serialize_with = "hex")]
            pub fuel_digest: Digest,
            /// Lanes, the scheduler's own included.
            pub lanes: u32,
            /// Wall time of the ticks, without loading and compiling, in nanoseconds.
            pub elapsed_ns: u64,
            /// Wall time of loading and compiling, in nanoseconds.
            pub load_ns: u64,
            /// How the memories of agents lay: `guarded` or `dense`.
            pub memory_layout: String,
            /// Bytes of address space reserved for them.
            pub memory_reserved_bytes: u64,
            /// Agents that slept at the end.
            pub asleep: u32,
            /// Bytes of the region.
            pub region_bytes: u64,
            /// Bytes written to the log.
            pub log_bytes: u64,
            /// The last tick whose facts are on disk (SEMANTICS L2); none without a log.
            pub durable_tick: Option<Tick>,
            /// Keyframes written beside the log.
            pub keyframes: u64,
            /// Their bytes, of those removed since too.
            pub keyframe_bytes: u64,
            /// The tick of the keyframe from which a resumed run or a replay went on.
            pub resumed_from: Option<Tick>,
            /// What recovery dropped from the log's end, in words (SEMANTICS L5).
            pub recovered: Option<String>,
            /// Where the fuel is not what the log says; nothing else depends on it (SEMANTICS D4).
            pub fuel_differs: Option<FuelDifference>,
            /// The engine of the log, if it is another: fuel was not compared (SEMANTICS L6.5).
            pub other_engine: Option<EngineDifference>,
            /// The model whose reply was waited for when the run was ended from outside.
            pub waited_for: Option<String>,
            /// Rows, lines and files that sources left out, by source.
            pub rows_left_out: BTreeMap<String, u64>,
            /// Live sources that other processes feed over sockets.
            pub feeds: BTreeMap<String, FeedReport>,
            /// Inputs of live sources that are lost, by source: the run is incomplete.
            pub gaps: BTreeMap<String, u64>,
            /// Commands of the host.
            pub commands: u64,
            /// Those of them that were refused.
            pub commands_refused: u64,
            /// Messages that were not in the declared format of their topic, by topic.
            pub misfits: BTreeMap<String, u64>,
            /// Models, in the order of their handles.
            pub models: Vec<RunModelReport>,
            /// What each of them was asked in this process and how long that took, by its name.
            pub model_measures: BTreeMap<String, ModelMeasures>,
            /// The last message of each output topic.
            pub outputs: BTreeMap<String, Value>,
        }

        impl HasExitCode for RunReport {
            fn exit(&self) -> Exit {
                match self.ended.exit() {
                    Exit::Ok if self.fails && self.faults > 0 => Exit::Fault,
                    exit => exit,
                }
            }
        }

        impl RunReport {
            /// A report of these counts and nothing else yet.
            pub(crate) fn of(stats: &Stats) -> Self {
                Self { $($report: stats.$name,)* ..Self::default() }
            }
        }
    };
}
counters!(run_report);

/// The first difference between a log and its replay.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Divergence {
    /// The tick.
    pub tick: Tick,
    /// The agent, where one can be named.
    pub agent: Option<String>,
    /// The message, which only a log of level `full` can name (SEMANTICS L1).
    pub message: Option<String>,
    /// What differs, in words.
    pub what: String,
}

/// Where a log's fuel chain and that of its replay differ, and nothing else does.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct FuelDifference {
    /// The first such tick.
    pub tick: Tick,
    /// The agent that took all turns of that tick; none if several took turns.
    pub agent: Option<String>,
    /// Ticks with another value of the chain, which all behind the first have unless the log was
    /// changed after the run.
    pub ticks: u64,
}

/// Two engines that are not the same, with all that decides their results.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct EngineDifference {
    /// The log's.
    pub logged: String,
    /// The one that executed it again.
    pub here: String,
}

/// What `verify` found.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// The first difference, none if there is none.
    pub divergence: Option<Divergence>,
    /// How the log ends, in words: `in order`, or why nothing is known of what came behind.
    pub log_end: String,
    /// Inference results computed again, with `--recompute`.
    pub recomputed: Option<u64>,
    /// Lines of `outputs.jsonl` compared.
    pub output_lines: u64,
    /// What the replay did, up to the divergence.
    #[serde(flatten)]
    pub run: RunReport,
}

/// A segment of a log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SegmentReport {
    /// Name of the file.
    pub file: String,
    /// Bytes of it, a torn end included.
    pub bytes: u64,
    /// Sound blocks in it.
    pub blocks: u64,
    /// First tick in them; what comes before tick 0 counts as 0.
    pub first_tick: Option<Tick>,
    /// Last tick in them.
    pub last_tick: Option<Tick>,
}

/// A module, as a log names it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ModuleReport {
    /// Template that uses it.
    pub template: String,
    /// Name in its manifest.
    pub name: String,
    /// Version in its manifest.
    pub version: String,
    /// blake3 of the file.
    pub hash: String,
    /// Capabilities in force.
    pub capabilities: Vec<String>,
}

/// A model of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ModelReport {
    /// Configured name.
    pub name: String,
    /// Its version, if it has one.
    pub version: Option<u64>,
    /// sha256 of its files.
    pub sha256: String,
    /// Inputs by name, as `f32[N, 3]`.
    pub inputs: BTreeMap<String, String>,
    /// Those outputs that replies hold, alike.
    pub outputs: BTreeMap<String, String>,
    /// Rows of one batch.
    pub batch: u32,
    /// Longest request in bytes.
    pub request_bytes_max: u32,
    /// Longest reply in bytes.
    pub reply_bytes_max: u32,
    /// What it was computed with.
    pub provider: String,
    /// What was asked for before that and could not be had, each with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub providers_refused: BTreeMap<String, String>,
}

impl ModelReport {
    /// Its name with its version, as commands and measures have it.
    #[must_use]
    pub fn full_name(&self) -> String {
        full_name(&self.name, self.version)
    }

    pub(crate) fn of(model: &ModelSetup, providers: &ProviderUse) -> Self {
        let ports = |ports: &[PortSetup]| -> BTreeMap<String, String> {
            let given = ports.iter().filter(|port| port.given);
            given.map(|port| (port.name.clone(), port.value.to_string())).collect()
        };
        Self {
            name: model.name.clone(),
            version: model.version,
            sha256: model.sha256.clone(),
            inputs: ports(&model.inputs),
            outputs: ports(&model.outputs),
            batch: model.batch,
            request_bytes_max: model.request_bytes_max,
            reply_bytes_max: model.reply_bytes_max,
            provider: providers.used.clone(),
            providers_refused: providers.refused.clone(),
        }
    }
}

/// A model of a run, and what happened to it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct RunModelReport {
    /// The model.
    #[serde(flatten)]
    pub model: ModelReport,
    /// Whether it was loaded at the end.
    pub loaded: bool,
    /// Requests accepted.
    pub requests: u64,
    /// Requests refused at commit: it was not loaded, or a limit was reached.
    pub refused: u64,
    /// Those of them that were refused because it was not loaded.
    pub not_loaded: u64,
    /// Loads that began during the run.
    pub loads: u64,
    /// Those of them that failed.
    pub loads_failed: u64,
    /// Times it was unloaded, by a command or to make room.
    pub unloads: u64,
    /// Times it was unloaded to make room for another.
    pub evictions: u64,
}

impl RunModelReport {
    pub(crate) fn of(core: &Core, index: u32, providers: &ProviderUse) -> Self {
        let counts = core.model_counts(index);
        let ModelCounts { requests, refused, not_loaded, .. } = counts;
        let ModelCounts { loads, loads_failed, unloads, evictions, .. } = counts;
        let model = ModelReport::of(&core.setup().models[index as usize], providers);
        let loaded = core.is_loaded(index);
        Self {
            model,
            loaded,
            requests,
            refused,
            not_loaded,
            loads,
            loads_failed,
            unloads,
            evictions,
        }
    }
}

/// A model, as a log describes it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LoggedModelReport {
    /// What agents could ask.
    #[serde(flatten)]
    pub model: ModelReport,
    /// Path of its file during the run.
    pub path: String,
    /// What its file says of itself.
    #[serde(flatten)]
    pub notes: ModelNotes,
    /// What its results depend on besides its files.
    pub fingerprint: String,
    /// Whether it had a process of its own.
    pub isolated: bool,
}

/// What `inspect` reads from a log without executing it.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct InspectReport {
    /// Number that tells runs apart.
    pub run_id: String,
    /// Ticks the log holds whole: with `TickOpen` and `TickClose`.
    pub ticks: u64,
    /// Number of the last of them.
    pub last_tick: Option<Tick>,
    /// The last `TickOpen`, which may have no `TickClose`.
    pub last_open: Option<Tick>,
    /// Inputs in it.
    pub inputs: u64,
    /// Inference results in it.
    pub inferences: u64,
    /// Turns it names.
    pub turns: u64,
    /// Digest at the last whole tick.
    #[serde(serialize_with = "hex")]
    pub digest: Digest,
    /// Fuel chain at the last whole tick.
    #[serde(serialize_with = "hex")]
    pub fuel_digest: Digest,
    /// Whether the log was closed in order.
    pub closed: bool,
    /// What is torn at its end, in words.
    pub recovered: Option<String>,
    /// The configuration in force, as logged.
    pub setup: Value,
    /// Engine fingerprint, by part.
    pub engine: BTreeMap<String, String>,
    /// Modules.
    pub modules: Vec<ModuleReport>,
    /// Models.
    pub models: Vec<LoggedModelReport>,
    /// Segments in order.
    pub segments: Vec<SegmentReport>,
}

/// What a running kernel tells its terminal, at a tick boundary.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Progress {
    /// The last tick closed.
    pub tick: Tick,
    /// The last tick that is known to come, if one is.
    pub last_tick: Option<Tick>,
    /// Agents that exist.
    pub agents: u64,
    /// Messages delivered so far.
    pub messages: u64,
    /// Faults so far.
    pub faults: u64,
    /// Wall time since tick 0, in nanoseconds.
    pub elapsed_ns: u64,
}

/// Called at tick boundaries with how far a run is.
pub type OnProgress = Box<dyn FnMut(&Progress)>;

/// A report as the document that is printed: an object tagged with its `$type`.
///
/// # Panics
/// Never: reports have text keys only and hold no infinite numbers.
#[must_use]
pub fn document(kind: &str, report: &impl Serialize) -> serde_json::Map<String, Value> {
    let mut map = match serde_json::to_value(report) {
        Ok(Value::Object(map)) => map,
        Ok(other) => [("value".to_owned(), other)].into_iter().collect(),
        Err(error) => [("error".to_owned(), error.to_string().into())].into_iter().collect(),
    };
    map.insert("$type".to_owned(), format!("wasm-engine/{kind}/1").into());
    map
}

fn hex<S: Serializer>(digest: &Digest, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(digest)
}
