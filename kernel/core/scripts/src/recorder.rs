//! What leaves a machine, kept.

use wasm_engine_abi::{AgentId, Tick};
use wasm_engine_core::{CommandOutcome, Load, Output, RefusedInput, Request, Sink, TaskOutcome};

/// A message on an output topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Out {
    pub tick: Tick,
    pub microstep: u32,
    pub topic: u32,
    pub from: AgentId,
    pub seq: u64,
    pub payload: Vec<u8>,
}

/// Keeps everything that leaves a kernel.
#[derive(Debug, Default)]
pub struct Recorder {
    pub outputs: Vec<Out>,
    pub requests: Vec<(Request, Vec<u8>)>,
    pub lines: Vec<(AgentId, Tick, u64, Vec<u8>)>,
    pub refused: Vec<RefusedInput>,
    pub loads: Vec<Load>,
    /// Models that were unloaded, each with the requests accepted before.
    pub unloads: Vec<(u32, usize)>,
    /// Models that another provider computes, with what was said of it.
    pub providers: Vec<(u32, Vec<u8>)>,
    pub commands: Vec<CommandOutcome>,
    pub tasks: Vec<TaskOutcome>,
}

impl Sink for Recorder {
    fn output(&mut self, output: &Output<'_>) {
        self.outputs.push(Out {
            tick: output.tick,
            microstep: output.microstep,
            topic: output.topic,
            from: output.from,
            seq: output.from_seq,
            payload: output.payload.to_vec(),
        });
    }

    fn request(&mut self, request: &Request, input: &[u8]) {
        self.requests.push((*request, input.to_vec()));
    }

    fn load_model(&mut self, load: &Load) {
        self.loads.push(*load);
    }

    fn unload_model(&mut self, model: u32) {
        self.unloads.push((model, self.requests.len()));
    }

    fn provider_changed(&mut self, model: u32, text: &[u8]) {
        self.providers.push((model, text.to_vec()));
    }

    fn commanded(&mut self, outcome: &CommandOutcome) {
        self.commands.push(*outcome);
    }

    fn task_ended(&mut self, outcome: &TaskOutcome) {
        self.tasks.push(*outcome);
    }

    fn input_refused(&mut self, refused: &RefusedInput) {
        self.refused.push(*refused);
    }

    fn log_line(&mut self, agent: AgentId, tick: Tick, level: u64, text: &[u8]) {
        self.lines.push((agent, tick, level, text.to_vec()));
    }
}
