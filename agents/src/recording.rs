//! A host for unit tests: it takes every call, answers as the kernel would in the simple case, and
//! remembers it. Not on wasm32.
//!
//! What it is not: it has no quotas, delivers nothing and checks no rights. A test that needs a
//! refusal asks for it with [`refuse`](Host::refuse); one that needs a reply makes the item.
//!
//! ```
//! use wasm_engine_agent::recording::Call;
//! use wasm_engine_agent::{Host, Status};
//!
//! let mut host = Host::recording();
//! let topic = host.topic("alarm/JFK").unwrap();
//! host.refuse("publish", Status::Busy);
//! assert_eq!(host.publish(topic, b"first"), Err(Status::Busy));
//! let seq = host.publish(topic, b"second").unwrap();
//! let calls = host.take();
//! assert_eq!(calls[0].seq, seq);
//! let second = Call::Publish { topic: "alarm/JFK".into(), payload: b"second".into() };
//! assert_eq!(calls[0].call, second);
//! ```

use std::borrow::ToOwned;
use std::string::String;
use std::vec::Vec;

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::ids::AgentId;

use crate::host::{Host, Model, Topic};

/// An accepted call with its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are the arguments of the methods of the same name")]
pub enum Call {
    Cast { channel: String, payload: Vec<u8> },
    Infer { model: String, row: Vec<u8> },
    Join { channel: String },
    Leave { channel: String },
    Log { level: u32, text: String },
    Pause { agent: AgentId },
    Publish { topic: String, payload: Vec<u8> },
    Resume { agent: AgentId },
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
    pub seq: crate::Seq,
    /// The call.
    pub call: Call,
}

/// What stands in for the kernel's calls.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    topics: Handles,
    models: Handles,
    calls: Vec<Recorded>,
    refusals: Vec<(&'static str, Status)>,
    seq: u64,
    tick: u64,
    draws: u64,
}

/// Handles by handle.
#[derive(Debug, Default)]
struct Handles {
    names: Vec<String>,
    fixed: bool,
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

impl Host {
    /// A recording host that knows every topic and model by the first mention of its name.
    #[must_use]
    pub fn recording() -> Self {
        Self { raw: Raw::default() }
    }

    /// A recording host that knows these topics and models, by handles in this order, and no
    /// others.
    #[must_use]
    pub fn recording_with(topics: &[&str], models: &[&str]) -> Self {
        let names = |names: &[&str]| Handles {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            fixed: true,
        };
        Self { raw: Raw { topics: names(topics), models: names(models), ..Raw::default() } }
    }

    /// The calls accepted since the last `take`, in order.
    pub fn take(&mut self) -> Vec<Recorded> {
        core::mem::take(&mut self.raw.calls)
    }

    /// Refuses the next call of this name (as in the table of calls) with `status`. Several wait
    /// in order.
    pub fn refuse(&mut self, call: &'static str, status: Status) {
        self.raw.refusals.push((call, status));
    }

    /// Sets the current tick.
    pub fn set_tick(&mut self, tick: u64) {
        self.raw.tick = tick;
    }

    /// The name behind a topic's handle.
    #[must_use]
    pub fn topic_name(&self, topic: Topic) -> Option<&str> {
        self.raw.topics.names.get(topic.raw() as usize).map(String::as_str)
    }

    /// The name behind a model's handle.
    #[must_use]
    pub fn model_name(&self, model: Model) -> Option<&str> {
        self.raw.models.names.get(model.raw() as usize).map(String::as_str)
    }
}

impl Raw {
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
            self.calls.push(Recorded { seq: crate::Seq::from_raw(seq), call });
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

    pub(crate) fn unsubscribe(&mut self, topic: u32) -> i64 {
        let call = self.topics.name(topic).map(|topic| Call::Unsubscribe { topic });
        self.accept("unsubscribe", call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_or_not() {
        let mut host = Host::recording_with(&["a", "b"], &["m"]);
        assert_eq!(host.topic("b").map(Topic::raw), Ok(1));
        assert_eq!(host.topic("c"), Err(Status::Unknown));
        assert_eq!(host.model("x"), Err(Status::Unknown));
        assert_eq!(host.publish(Topic::from_raw(2), b""), Err(Status::Unknown));
        assert_eq!(host.timer(0, 1), Err(Status::Invalid));
        assert!(host.take().is_empty());
    }

    #[test]
    fn only_accepted_calls_take_a_number() {
        let mut host = Host::recording();
        host.refuse("join", Status::Quota);
        assert_eq!(host.join("c"), Err(Status::Quota));
        assert_eq!(host.join("c").map(crate::Seq::raw), Ok(0));
        assert_eq!(host.log(crate::Level::Info, "hello"), Ok(()));
        assert_eq!(host.leave("c").map(crate::Seq::raw), Ok(2));
        assert_eq!(host.take().len(), 3);
    }
}
