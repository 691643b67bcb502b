//! What the core needs of the world around it: payload bytes, sinks of what leaves it, results.

use wasm_engine_abi::{
    AgentId, Tick,
    calls::Status,
    frame::{Effect, Location, TurnResult},
    record::CommandFact,
};

use crate::models::Load;
use crate::requests::Request;

/// Payload bytes, wherever they lie.
pub trait PayloadStore {
    /// Appends the payload at `location`, written in `epoch`, to `into`.
    fn read(&mut self, location: Location, epoch: u64, len: u32, into: &mut Vec<u8>);
    /// An open begins in `epoch`: what [`PayloadStore::enter`] stored two epochs ago expires.
    fn begin_open(&mut self, epoch: u64);
    /// Stores bytes that enter at open, readable in the next epoch.
    fn enter(&mut self, bytes: &[u8]) -> Location;
    /// Stores bytes where they stay until [`PayloadStore::release`].
    fn keep(&mut self, bytes: &[u8]) -> Location;
    /// Copies a payload to where it stays until [`PayloadStore::release`].
    fn retain(&mut self, location: Location, epoch: u64, len: u32) -> Location;
    /// Frees a retained payload.
    fn release(&mut self, location: Location, len: u32);
}

/// Takes what leaves the core.
pub trait Sink {
    /// A message on an output topic (SEMANTICS L2).
    fn output(&mut self, output: &Output<'_>);
    /// An inference request was accepted (SEMANTICS I1).
    fn request(&mut self, request: &Request, input: &[u8]);
    /// A model is to be loaded; its outcome is wanted among the facts of the tick in which it is
    /// due (SEMANTICS A13).
    fn load_model(&mut self, load: &Load);
    /// A model is to be unloaded, once the requests before this are answered.
    fn unload_model(&mut self, model: u32);
    /// Another provider computes a model from this tick on, as `text` says (SEMANTICS I5.5).
    fn provider_changed(&mut self, model: u32, text: &[u8]);
    /// A command of the host got its outcome.
    fn commanded(&mut self, outcome: &CommandOutcome);
    /// A task of the host ended.
    fn task_ended(&mut self, outcome: &TaskOutcome);
    /// An agent's inbox refused an input; its source cannot be told.
    fn input_refused(&mut self, refused: &RefusedInput);
    /// An agent wrote a log line.
    fn log_line(&mut self, agent: AgentId, tick: Tick, level: u64, text: &[u8]);
}

/// Both, as the core gets them with each step.
pub trait Environment {
    /// The payload bytes.
    type Payloads: PayloadStore;
    /// The sink.
    type Sink: Sink + ?Sized;
    /// The payload bytes.
    fn payloads(&mut self) -> &mut Self::Payloads;
    /// The sink.
    fn sink(&mut self) -> &mut Self::Sink;
}

/// A message on an output topic, for the host.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// Tick in which it was committed.
    pub tick: Tick,
    /// Microstep in which it was committed.
    pub microstep: u32,
    /// Topic handle.
    pub topic: u32,
    /// Sender.
    pub from: AgentId,
    /// Sender's template.
    pub template: u32,
    /// Sender's copy number.
    pub copy: u32,
    /// The sender's sequence number.
    pub from_seq: u64,
    /// Payload.
    pub payload: &'a [u8],
}

/// What came of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandOutcome {
    /// Tick at whose open it was applied.
    pub tick: Tick,
    /// The command.
    pub command: CommandFact,
    /// `Ok`, or why it was refused.
    pub status: Status,
    /// The agent that it was about, or that it made; else none.
    pub agent: AgentId,
}

/// What came of a task that the host scheduled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskOutcome {
    /// Tick in which it ended.
    pub tick: Tick,
    /// Sequence of the command that scheduled it.
    pub seq: u64,
    /// The agent that it was for.
    pub agent: AgentId,
    /// One of [`task_state`](wasm_engine_abi::task::task_state): how it ended.
    pub state: u32,
    /// `Ok`, or why not.
    pub status: Status,
    /// Attempts made.
    pub attempts: u32,
    /// What `agent_step` returned in the last of them.
    pub code: i32,
}

/// An input that a subscriber of its topic did not get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefusedInput {
    /// The subscriber.
    pub agent: AgentId,
    /// Why.
    pub status: Status,
    /// Position of the source in the setup.
    pub source: u64,
    /// Payload bytes.
    pub len: u32,
    /// The longest payload that its inbox takes, once it has said so.
    pub item_bytes_max: Option<u32>,
}

/// What one turn of the plan did, read from wherever its lane put it.
#[derive(Clone, Copy, Debug)]
pub struct TurnOutput<'a> {
    /// Head.
    pub result: &'a TurnResult,
    /// What it asked for; none if it faulted.
    pub effects: &'a [Effect],
    /// The lane, and so the area of its payloads.
    pub lane: u32,
}

/// Results of a microstep by location in the plan.
pub trait Results {
    /// The turn at `position`.
    fn turn(&self, position: usize) -> TurnOutput<'_>;
}
