//! What a configuration file may hold, table by table, with units and defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wasm_engine_guest::engine::MemoryLayout;
use wasm_engine_setup::{
    Limits, LoadOn, Policy, Restart, Schedule, SyncPolicy, TraceLevel, log_defaults,
    memory_defaults,
};

use crate::config::commands::CommandConfig;
use crate::config::error::ConfigError;
use crate::config::sources::SourceConfig;
use crate::config::tasks::TaskConfig;
use crate::config::values;
use crate::model_files::ALL_BYTES_MAX;
use wasm_engine_log::outputs::OutputFormat;

/// Longest name of a kernel; it becomes part of file names.
pub(crate) const KERNEL_NAME_BYTES_MAX: usize = 64;

/// A whole configuration file.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The run itself.
    pub kernel: KernelConfig,
    /// Logical limits, part of what decides a run.
    pub limits: Limits,
    /// The shared region.
    pub region: RegionConfig,
    /// The event log.
    pub log: LogConfig,
    /// Where inputs come from.
    pub source: Vec<SourceConfig>,
    /// What runs.
    pub agent: Vec<AgentConfig>,
    /// What agents may ask.
    pub model: Vec<ModelConfig>,
    /// What the host does at given ticks.
    pub command: Vec<CommandConfig>,
    /// What it gives agents to do.
    pub task: Vec<TaskConfig>,
    /// Topics beside those of sources and outputs, and the policies of any.
    pub topic: Vec<TopicConfig>,
    /// Topics whose messages also go to the host.
    pub output: Vec<OutputConfig>,
    /// The file this came from; paths in it are relative to its folder.
    #[serde(skip)]
    pub file: PathBuf,
    /// Modules, their manifests and models that are here and not in files, by what the
    /// configuration calls them.
    #[serde(skip)]
    pub attached: BTreeMap<PathBuf, Vec<u8>>,
}

/// `[kernel]`: `seed`, `schedule`, `aging_ticks` and `state_digest_ticks` decide results; the
/// others are physical (SEMANTICS D3).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KernelConfig {
    /// Name under which monitors find the run. Default: the file's stem.
    pub name: Option<String>,
    /// Seed of random numbers and of the digest chain, 0 to 2^63 - 1. Default 0.
    pub seed: u64,
    /// Worker threads beside the scheduler's own lane. Default 0.
    pub workers: u32,
    /// Order of runnable agents: `fifo`, `round_robin` or `priority`. Default `fifo`.
    pub schedule: Schedule,
    /// Ticks after which a waiting agent gains one priority level, at least 1. Default 16.
    pub aging_ticks: u64,
    /// Ticks between state digests, at least 1. Default 1,024.
    pub state_digest_ticks: u64,
    /// The run ends before the tick of this number. Default: none, it ends when nothing is due.
    pub ticks: Option<u64>,
    /// Ticks per second. Default: none, back to back.
    pub pace: Option<f64>,
    /// How threads wait: `hybrid`, `park` or `busy`. Default `hybrid`.
    pub wait: Wait,
    /// Pin the kernel's own threads where cores suffice. Default true.
    pub pin: bool,
    /// How the memories of agents lie: `auto`, `guarded` or `dense`. Default `auto`.
    pub memory_layout: LayoutChoice,
    /// Agents of all lanes that are awake at once, at least 1; more sleep. Default 131,072.
    pub awake_max: u32,
    /// What a fault does to the run: `continue`, `end_run` (at once, exit code 6) or `fail` (the
    /// run goes on and ends with exit code 6). Default `continue`.
    pub on_fault: OnFault,
    /// Keep compiled modules in the user's cache directory. Default true.
    pub cache: bool,
}

impl Default for KernelConfig {
    fn default() -> Self {
        Self {
            name: None,
            seed: 0,
            workers: 0,
            schedule: Schedule::Fifo,
            aging_ticks: 16,
            state_digest_ticks: 1024,
            ticks: None,
            pace: None,
            wait: Wait::Hybrid,
            pin: true,
            memory_layout: LayoutChoice::Auto,
            awake_max: memory_defaults::AWAKE_MAX,
            on_fault: OnFault::Continue,
            cache: true,
        }
    }
}

/// How a thread waits for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Spin briefly, yield, then sleep until woken.
    #[default]
    Hybrid,
    /// Sleep until woken.
    Park,
    /// Spin; refused unless every hot thread has a core of its own.
    Busy,
}

/// How the memories of agents lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayoutChoice {
    /// By the number of agents that may be awake, and by what can be reserved.
    #[default]
    Auto,
    /// 4 GiB of address space each, without bounds checks.
    Guarded,
    /// Side by side, with bounds checks.
    Dense,
}

impl LayoutChoice {
    /// The layout, if one is chosen.
    pub(crate) fn layout(self) -> Option<MemoryLayout> {
        match self {
            Self::Auto => None,
            Self::Guarded => Some(MemoryLayout::Guarded),
            Self::Dense => Some(MemoryLayout::Dense),
        }
    }
}

/// What a fault of an agent does to the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFault {
    /// Nothing: supervision decides about the agent, the run goes on.
    #[default]
    Continue,
    /// The run ends at the close of the fault's tick with exit code 6.
    EndRun,
    /// The run goes on, and its exit code is 6.
    Fail,
}

/// `[region]`: the mapping that lanes and monitors share. Physical.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegionConfig {
    /// What backs it: `memfd` (Linux) or `file` (weaker, works everywhere). Default `memfd`.
    pub backing: Backing,
    /// Bytes it may take; a run that needs more is refused. Default 256 MiB.
    pub bytes_max: u64,
    /// Which events go through the trace ring. Default `events`.
    pub trace: TraceLevel,
    /// Events that the trace ring holds, a power of two; each takes 64 bytes. Default 16,384.
    pub trace_events: u32,
}

impl Default for RegionConfig {
    fn default() -> Self {
        Self {
            backing: Backing::Memfd,
            bytes_max: 256 << 20,
            trace: TraceLevel::Events,
            trace_events: 16 << 10,
        }
    }
}

/// What backs the region.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backing {
    /// A sealed memory file without a name.
    #[default]
    Memfd,
    /// A file in the user's runtime directory.
    File,
}

/// `[log]`: how much is logged and how often it reaches the disk. Physical.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `inputs`: outside facts and digests (SEMANTICS L1). `full` is refused so far. Default
    /// `inputs`.
    pub level: LogLevel,
    /// When written blocks are synced: `none`, `always` (one sync follows the other, each of all
    /// that came during the one before), a time (`100ms`, `2s`) or an amount (`500B`, `64KiB`,
    /// `16MiB`, `1GiB`). Default `100ms`.
    pub sync: SyncPolicy,
    /// Bytes after which a segment is closed, at least `block_bytes`. Default 64 MiB.
    pub segment_bytes: u64,
    /// Bytes after which a block is closed, 4 KiB to 1 MiB. Default 64 KiB.
    pub block_bytes: u32,
    /// Executed ticks between two keyframes, more where copying the state would take over a
    /// twentieth of the time; with 0 there are none. Default 16,384.
    pub keyframe_ticks: u64,
    /// Keyframes that are kept of those that the log covers, 1 to 64. Default 2.
    pub keyframes_max: u32,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: LogLevel::Inputs,
            sync: log_defaults::LOG_SYNC,
            segment_bytes: log_defaults::LOG_SEGMENT_BYTES,
            block_bytes: log_defaults::LOG_BLOCK_BYTES,
            keyframe_ticks: log_defaults::LOG_KEYFRAME_TICKS,
            keyframes_max: log_defaults::LOG_KEYFRAMES_MAX,
        }
    }
}

/// What the log holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Outside facts, tick and turn digests.
    #[default]
    Inputs,
    /// Also every message.
    Full,
}

/// `[[agent]]`: a module and its copies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Name, unique among agents: what `spawn` names. Required.
    pub name: String,
    /// The WebAssembly module, relative to the configuration. Required.
    pub module: PathBuf,
    /// Copies that exist from tick 0; 0 leaves it to `spawn`. Default 1.
    #[serde(default = "one")]
    pub count: u32,
    /// Id of a source: one copy for each of its streams instead of `count`. Default: none.
    #[serde(default)]
    pub for_each: Option<String>,
    /// What follows a fault: `"never"`, or `{ kind = "fresh", backoff_ticks, restarts_max,
    /// window_ticks }`, each at least 1. Default `never`.
    #[serde(default, with = "values::restart")]
    pub restart: Restart,
    /// Restart group: its members stop and restart together (SEMANTICS A8); `{copy}` and `{key}`
    /// make one group for each copy or stream. Default: none.
    #[serde(default)]
    pub group: Option<String>,
    /// Given to `agent_init`; `{copy}` is the copy number, or with `for_each` that of the stream,
    /// whose name is `{key}`. At most 4,096 bytes. Default empty.
    #[serde(default)]
    pub args: String,
    /// Priority under `schedule = "priority"`, higher first. Default 0.
    #[serde(default)]
    pub priority: i32,
    /// Capabilities granted: a list, of which that is in force which the module declares too, or
    /// `"declared"`, whatever it declares. Required if it declares any. Default: none.
    #[serde(default, with = "values::grant")]
    pub grant: Option<GrantedRights>,
}

/// `agent.grant`: what the agents of an entry may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GrantedRights {
    /// Whatever their module declares.
    Declared,
    /// What their module declares and one of these allows.
    Only(Vec<String>),
}

/// `[[model]]`: an ONNX model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name, unique among models or with their versions. Required.
    pub name: String,
    /// The ONNX file, relative to the configuration; it or `folder` is needed. Default: none.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// A folder of versions, each a folder with `model.onnx` whose name is its number. Default:
    /// none.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// The version in the folder, or what a file is called. Default: none, the highest.
    #[serde(default)]
    pub version: Option<u64>,
    /// Bytes that the file and its external data may have. Default 4 GiB.
    #[serde(default = "bytes_max")]
    pub bytes_max: u64,
    /// SHA-256 of the file and its external data, in hexadecimal. Default: none, any will do.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Rows of one batch, at least 1 (SEMANTICS I2). Default 1, which every model can.
    #[serde(default = "batch")]
    pub batch: u32,
    /// The most that dimensions may be, by their names or as `PORT.AXIS`. Default: none.
    #[serde(default)]
    pub dims: Option<BTreeMap<String, u64>>,
    /// The outputs that replies hold. Default: all.
    #[serde(default)]
    pub outputs: Option<Vec<String>>,
    /// Longest request in bytes. Default: what follows from the inputs, else 256 KiB.
    #[serde(default)]
    pub request_bytes_max: Option<u32>,
    /// Longest reply in bytes. Default: what follows from the outputs, else 256 KiB.
    #[serde(default)]
    pub reply_bytes_max: Option<u32>,
    /// Ticks from a request to its reply, at least 1 (SEMANTICS I1). Default 1.
    #[serde(default = "latency_ticks")]
    pub latency_ticks: u64,
    /// Milliseconds that it has to answer a request (SEMANTICS I4). Default: none, any time.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    /// When it is loaded (SEMANTICS A13): `start`, `request` or `command`. Default `start`.
    #[serde(default)]
    pub load: LoadOn,
    /// Ticks from the begin of a load during the run to its outcome, at least 1. Default 1.
    #[serde(default = "load_ticks")]
    pub load_ticks: u64,
    /// Bytes that count against `limits.models_bytes_max` while it is loaded. Default: those of its
    /// files.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Stay loaded when room is made for other models. Default false.
    #[serde(default)]
    pub pinned: bool,
    /// Where it runs (SEMANTICS I3.6): `thread` or `process`. Default `thread`.
    #[serde(default)]
    pub isolation: Isolation,
    /// What computes it, each tried in turn (SEMANTICS I5): `cpu`, `cuda` and others of ONNX
    /// Runtime. Without `cpu` it is refused where none of them can be had. Default: none, `cpu`.
    #[serde(default)]
    pub providers: Option<Vec<String>>,
}

impl ModelConfig {
    /// The key that says where it is.
    pub(crate) fn location_key(&self) -> &'static str {
        if self.file.is_some() { "file" } else { "folder" }
    }
}

/// Where a model runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// On a thread of the kernel.
    #[default]
    Thread,
    /// In a process of its own.
    Process,
}

/// `[[topic]]`: a topic and its policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    /// Name; with `for_each` a template in which `{key}` is the stream's name. Required.
    pub name: String,
    /// What happens to a message for a full inbox: `refuse`, `drop_oldest`, `drop_newest` or
    /// `latest_only`. Default `refuse`.
    #[serde(default)]
    pub policy: Policy,
    /// Messages and inputs of it that inboxes hold, at most, all together. Default: none but
    /// `limits.messages_held_max`.
    #[serde(default)]
    pub messages_held_max: Option<u32>,
    /// Bytes of their payloads, in whole blocks of 64 bytes. Default: none but
    /// `limits.payload_bytes_held_max`.
    #[serde(default)]
    pub payload_bytes_held_max: Option<u32>,
    /// Id of a source: one topic for each of its streams. Default: none.
    #[serde(default)]
    pub for_each: Option<String>,
}

/// `[[output]]`: topics whose messages also go to the host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputConfig {
    /// A topic; with `*` or `**` segments a pattern over the other topics; with `for_each` a
    /// template in which `{key}` is the stream's name. Required.
    pub topic: String,
    /// Id of a source: one topic for each of its streams. Default: none.
    #[serde(default)]
    pub for_each: Option<String>,
    /// What its payloads are, for `run --output`: `json`, `text`, `u64`, `f64[]` or `hex`. Where
    /// several entries name a topic the first with a format decides. Default: none, they are shown
    /// as `hex`.
    #[serde(default)]
    pub format: Option<OutputFormat>,
}

const fn one() -> u32 {
    1
}

const fn bytes_max() -> u64 {
    ALL_BYTES_MAX
}

const fn batch() -> u32 {
    1
}

const fn latency_ticks() -> u64 {
    1
}

const fn load_ticks() -> u64 {
    1
}

/// Whether the name of a kernel may hold the character.
pub(crate) fn in_kernel_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// The name of a kernel that is nearest to the stem of a configuration file.
fn kernel_name_of(stem: &str) -> String {
    let legal: String = stem.chars().map(|c| if in_kernel_name(c) { c } else { '-' }).collect();
    let name: String =
        legal.trim_start_matches(['.', '-']).chars().take(KERNEL_NAME_BYTES_MAX).collect();
    if name.is_empty() { "run".to_owned() } else { name }
}

impl Config {
    /// The kernel's name: configured, or the file's stem, made legal.
    #[must_use]
    pub fn name(&self) -> String {
        self.kernel.name.clone().unwrap_or_else(|| {
            self.file
                .file_stem()
                .map(|stem| kernel_name_of(&stem.to_string_lossy()))
                .unwrap_or_default()
        })
    }

    /// A path of the configuration, seen from the working directory.
    #[must_use]
    pub fn path(&self, relative: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(relative)
    }

    /// An error about the value of `key`.
    pub(crate) fn value_error(
        &self,
        key: impl Into<String>,
        problem: impl Into<String>,
    ) -> ConfigError {
        ConfigError::Value { file: self.file.clone(), key: key.into(), problem: problem.into() }
    }
}
