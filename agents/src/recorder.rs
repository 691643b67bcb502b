//! What stands in for the kernel's calls in unit tests: it takes each and remembers it.

use std::borrow::ToOwned;
use std::string::String;
use std::vec::Vec;

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::ids::AgentId;
use wasm_engine_abi::pattern;
use wasm_engine_abi::task::TaskParts;

use crate::handles::{Model, Seq, Topic};

/// An accepted call with its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are the arguments of the methods of the same name")]
pub enum Call {
    Cast { channel: String, payload: Vec<u8> },
    Infer { model: String, row: Vec<u8> },
    InferTensors { model: String, list: Vec<u8> },
    Join { channel: String },
    Leave { channel: String },
    Log { level: u32, text: String },
    Pause { agent: AgentId },
    Publish { topic: String, payload: Vec<u8> },
    Resume { agent: AgentId },
    Save,
    Schedule { agent: AgentId, task: Vec<u8> },
    Send { to: AgentId, payload: Vec<u8> },
    Spawn { name: String, args: Vec<u8> },
    Subscribe { topic: String },
    Terminate { agent: AgentId },
    Timer { delay_ticks: u64, tag: u64 },
    Unsubscribe { topic: String },
}

/// A call that was made and accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// The number it was given. `log` takes one as well, of which the agent learns nothing.
    pub seq: Seq,
    /// The call.
    pub call: Call,
}

/// What stands in for the kernel's calls.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    topics: Handles,
    models: Handles,
    /// By model, in any order of first mention.
    inputs: Ports,
    /// The same of outputs.
    outputs: Ports,
    calls: Vec<Recorded>,
    refusals: Vec<(&'static str, Status)>,
    seq: u64,
    tick: u64,
    draws: u64,
}

/// Names by handle.
#[derive(Debug, Default)]
struct Handles {
    names: Vec<String>,
    fixed: bool,
}

/// Ports of models, each by its model and the first mention of its name.
#[derive(Debug, Default)]
struct Ports(Vec<(u32, Handles)>);

impl Ports {
    fn port(&mut self, model: u32, name: &[u8]) -> Result<usize, Status> {
        if let Some((_, ports)) = self.0.iter_mut().find(|(known, _)| *known == model) {
            return ports.handle(name);
        }
        let mut ports = Handles::default();
        let port = ports.handle(name)?;
        self.0.push((model, ports));
        Ok(port)
    }
}

impl Handles {
    fn handle(&mut self, name: &[u8]) -> Result<usize, Status> {
        let name = text(name)?;
        if let Some(position) = self.names.iter().position(|known| *known == name) {
            return Ok(position);
        }
        if self.fixed {
            return Err(Status::Unknown);
        }
        self.names.push(name);
        Ok(self.names.len() - 1)
    }

    fn name(&self, handle: u32) -> Result<String, Status> {
        self.names.get(handle as usize).cloned().ok_or(Status::Unknown)
    }
}

fn text(bytes: &[u8]) -> Result<String, Status> {
    core::str::from_utf8(bytes).map(ToOwned::to_owned).map_err(|_| Status::Invalid)
}

impl Raw {
    /// A recorder that knows these names, by handles in this order, and no others.
    pub(crate) fn knowing(topics: &[&str], models: &[&str]) -> Self {
        let names = |names: &[&str]| Handles {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            fixed: true,
        };
        Self { topics: names(topics), models: names(models), ..Self::default() }
    }

    pub(crate) fn take(&mut self) -> Vec<Recorded> {
        core::mem::take(&mut self.calls)
    }

    pub(crate) fn refuse(&mut self, call: &'static str, status: Status) {
        self.refusals.push((call, status));
    }

    pub(crate) fn set_tick(&mut self, tick: u64) {
        self.tick = tick;
    }

    pub(crate) fn topic_name(&self, topic: Topic) -> Option<&str> {
        self.topics.names.get(topic.raw() as usize).map(String::as_str)
    }

    pub(crate) fn model_name(&self, model: Model) -> Option<&str> {
        self.models.names.get(model.raw() as usize).map(String::as_str)
    }

    fn refused(&mut self, name: &str) -> Result<(), Status> {
        match self.refusals.iter().position(|(call, _)| *call == name) {
            Some(position) => Err(self.refusals.remove(position).1),
            None => Ok(()),
        }
    }

    fn accept(&mut self, name: &str, call: Result<Call, Status>) -> i64 {
        let seq = self.refused(name).and(call).map(|call| {
            let seq = self.seq;
            self.seq += 1;
            self.calls.push(Recorded { seq: Seq::from_raw(seq), call });
            seq
        });
        seq.map_or_else(|status| status as i64, |seq| seq as i64)
    }

    pub(crate) fn cast(&mut self, name: &[u8], payload: &[u8]) -> i64 {
        let payload = payload.to_vec();
        self.accept("cast", text(name).map(|channel| Call::Cast { channel, payload }))
    }

    pub(crate) fn infer(&mut self, model: u32, row: &[u8]) -> i64 {
        let row = row.to_vec();
        let call = self.models.name(model).map(|model| Call::Infer { model, row });
        self.accept("infer", call)
    }

    pub(crate) fn infer_tensors(&mut self, model: u32, list: &[u8]) -> i64 {
        let list = list.to_vec();
        let call = self.models.name(model).map(|model| Call::InferTensors { model, list });
        self.accept("infer_tensors", call)
    }

    pub(crate) fn model_input(&mut self, model: u32, name: &[u8]) -> i32 {
        let known = self.refused("model_input").and_then(|()| self.models.name(model));
        let port = known.and_then(|_| self.inputs.port(model, name));
        port.map_or_else(|status| status as i32, |port| port as i32)
    }

    pub(crate) fn model_output(&mut self, model: u32, name: &[u8]) -> i32 {
        let known = self.refused("model_output").and_then(|()| self.models.name(model));
        let port = known.and_then(|_| self.outputs.port(model, name));
        port.map_or_else(|status| status as i32, |port| port as i32)
    }

    pub(crate) fn join(&mut self, name: &[u8]) -> i64 {
        self.accept("join", text(name).map(|channel| Call::Join { channel }))
    }

    pub(crate) fn leave(&mut self, name: &[u8]) -> i64 {
        self.accept("leave", text(name).map(|channel| Call::Leave { channel }))
    }

    pub(crate) fn log(&mut self, level: u32, line: &[u8]) -> i32 {
        match self.accept("log", text(line).map(|text| Call::Log { level, text })) {
            refused if refused < 0 => refused as i32,
            _ => 0,
        }
    }

    pub(crate) fn model(&mut self, name: &[u8]) -> i32 {
        let handle = self.refused("model").and_then(|()| self.models.handle(name));
        handle.map_or_else(|status| status as i32, |handle| handle as i32)
    }

    /// Takes no number: what was said decides nothing.
    pub(crate) fn panic(&mut self, message: &[u8]) -> i32 {
        text(message).map_or_else(|status| status as i32, |_| 0)
    }

    pub(crate) fn pause(&mut self, agent: u64) -> i64 {
        self.accept("pause", Ok(Call::Pause { agent: AgentId::from_bits(agent) }))
    }

    pub(crate) fn publish(&mut self, topic: u32, payload: &[u8]) -> i64 {
        let payload = payload.to_vec();
        let call = self.topics.name(topic).map(|topic| Call::Publish { topic, payload });
        self.accept("publish", call)
    }

    /// A fixed sequence: 1, 2, 3 ...
    pub(crate) fn random(&mut self) -> u64 {
        self.draws += 1;
        self.draws
    }

    pub(crate) fn resume(&mut self, agent: u64) -> i64 {
        self.accept("resume", Ok(Call::Resume { agent: AgentId::from_bits(agent) }))
    }

    pub(crate) fn save(&mut self) -> i64 {
        self.accept("save", Ok(Call::Save))
    }

    pub(crate) fn schedule(&mut self, agent: u64, task: &[u8]) -> i64 {
        let valid = TaskParts::parse(task, u32::MAX).map(|_| ()).ok_or(Status::Invalid);
        let (agent, task) = (AgentId::from_bits(agent), task.to_vec());
        self.accept("schedule", valid.map(|()| Call::Schedule { agent, task }))
    }

    pub(crate) fn send(&mut self, to: u64, payload: &[u8]) -> i64 {
        let (to, payload) = (AgentId::from_bits(to), payload.to_vec());
        self.accept("send", Ok(Call::Send { to, payload }))
    }

    pub(crate) fn spawn(&mut self, name: &[u8], args: &[u8]) -> i64 {
        let args = args.to_vec();
        self.accept("spawn", text(name).map(|name| Call::Spawn { name, args }))
    }

    pub(crate) fn subscribe(&mut self, topic: u32) -> i64 {
        let call = self.topics.name(topic).map(|topic| Call::Subscribe { topic });
        self.accept("subscribe", call)
    }

    pub(crate) fn terminate(&mut self, agent: u64) -> i64 {
        self.accept("terminate", Ok(Call::Terminate { agent: AgentId::from_bits(agent) }))
    }

    pub(crate) fn tick(&mut self) -> u64 {
        self.tick
    }

    pub(crate) fn timer(&mut self, delay_ticks: u64, tag: u64) -> i64 {
        let valid = if delay_ticks == 0 { Err(Status::Invalid) } else { Ok(()) };
        self.accept("timer", valid.map(|()| Call::Timer { delay_ticks, tag }))
    }

    pub(crate) fn topic(&mut self, name: &[u8]) -> i32 {
        let handle = self.refused("topic").and_then(|()| self.topics.handle(name));
        handle.map_or_else(|status| status as i32, |handle| handle as i32)
    }

    pub(crate) fn next_topic(&mut self, pattern: &[u8], after: u32) -> i32 {
        let found = self.refused("next_topic").and_then(|()| {
            let pattern = text(pattern)?;
            let valid = pattern::is_well_formed(&pattern);
            let begin = after.wrapping_add(1);
            let mut topics = (begin..).zip(self.topics.names.iter().skip(begin as usize));
            let found = topics.find(|(_, name)| pattern::covers(&pattern, name));
            match (valid, found) {
                (false, _) => Err(Status::Invalid),
                (true, found) => found.map(|(topic, _)| topic).ok_or(Status::Unknown),
            }
        });
        found.map_or_else(|status| status as i32, u32::cast_signed)
    }

    pub(crate) fn unsubscribe(&mut self, topic: u32) -> i64 {
        let call = self.topics.name(topic).map(|topic| Call::Unsubscribe { topic });
        self.accept("unsubscribe", call)
    }
}
