//! Host calls as methods: arguments by type, refusals as [`Status`].
//!
//! Every call answers only from the agent's own rights, arguments and quotas (SEMANTICS A3). Ok
//! means accepted for commit; what depends on others arrives later as an item, which names the
//! call by its [`Seq`]. What an agent calls in a turn that then faults never happened.

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::ids::AgentId;

use crate::handles::{Model, Seq, Topic};
#[cfg(target_arch = "wasm32")]
use crate::imports::Raw;
#[cfg(not(target_arch = "wasm32"))]
use crate::recorder::Raw;

/// Weight of a log line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u32)]
pub enum Level {
    /// Something is wrong.
    Error = 1,
    /// Something is odd.
    Warn = 2,
    /// Worth knowing.
    Info = 3,
    /// For whoever looks for a mistake.
    Debug = 4,
}

/// The kernel, as an agent sees it during one call.
///
/// Every call but [`tick`](Self::tick), [`panic`](Self::panic) and those that give handles and
/// ports needs a capability in the manifest; a module that uses one without declaring it is not
/// admitted.
#[derive(Debug)]
pub struct Host {
    pub(crate) raw: Raw,
}

/// A status word as a result; a number that this SDK does not know counts as
/// [`Status::Invalid`].
pub(crate) fn status(code: i32) -> Result<(), Status> {
    match Status::from_code(code) {
        Some(Status::Ok) => Ok(()),
        Some(other) => Err(other),
        None if code > 0 => Ok(()),
        None => Err(Status::Invalid),
    }
}

fn refusal(code: i64) -> Status {
    let code = i32::try_from(code).unwrap_or(i32::MIN);
    Status::from_code(code).unwrap_or(Status::Invalid)
}

fn seq(result: i64) -> Result<Seq, Status> {
    u64::try_from(result).map(Seq::from_raw).map_err(|_| refusal(result))
}

fn handle(result: i32) -> Result<u32, Status> {
    u32::try_from(result).map_err(|_| refusal(i64::from(result)))
}

#[cfg(target_arch = "wasm32")]
impl Host {
    /// The kernel; for `export!` only.
    #[doc(hidden)]
    #[must_use]
    pub fn kernel() -> Self {
        Self { raw: Raw::new() }
    }
}

// Every method passes on the status with which the kernel refuses, and nothing else.
#[expect(clippy::missing_errors_doc, reason = "the type's documentation and Status say it once")]
impl Host {
    /// Message to one agent. An outcome follows only if it was refused at commit.
    pub fn send(&mut self, to: AgentId, payload: &[u8]) -> Result<Seq, Status> {
        seq(self.raw.send(to.to_bits(), payload))
    }

    /// Message to every subscriber of a topic. At most one outcome follows, if any refused it.
    pub fn publish(&mut self, topic: Topic, payload: &[u8]) -> Result<Seq, Status> {
        seq(self.raw.publish(topic.raw(), payload))
    }

    /// Message to every member of a channel.
    pub fn cast(&mut self, channel: &str, payload: &[u8]) -> Result<Seq, Status> {
        seq(self.raw.cast(channel.as_bytes(), payload))
    }

    /// Subscribes to a topic, from the next microstep on. Doing it again changes nothing.
    pub fn subscribe(&mut self, topic: Topic) -> Result<Seq, Status> {
        seq(self.raw.subscribe(topic.raw()))
    }

    /// Ends a subscription, from the next microstep on.
    pub fn unsubscribe(&mut self, topic: Topic) -> Result<Seq, Status> {
        seq(self.raw.unsubscribe(topic.raw()))
    }

    /// Joins a channel, from the next microstep on. Its messages say by this sequence that they
    /// came by it ([`Via::Channel`](crate::Via::Channel)); joining again changes but that.
    pub fn join(&mut self, channel: &str) -> Result<Seq, Status> {
        seq(self.raw.join(channel.as_bytes()))
    }

    /// Leaves a channel, from the next microstep on.
    pub fn leave(&mut self, channel: &str) -> Result<Seq, Status> {
        seq(self.raw.leave(channel.as_bytes()))
    }

    /// Asks a model for one row. Exactly one reply follows, at the open of a later tick.
    pub fn infer(&mut self, model: Model, row: &[f32]) -> Result<Seq, Status> {
        seq(self.raw.infer(model.raw(), bytemuck::cast_slice(row)))
    }

    /// Asks a model with a list of tensors, as a
    /// [`TensorWriter`](crate::tensor::TensorWriter) writes it. Exactly one reply follows, at the
    /// open of a later tick, with such a list: see [`Item::tensors`](crate::Item::tensors).
    pub fn infer_tensors(&mut self, model: Model, list: &[u8]) -> Result<Seq, Status> {
        seq(self.raw.infer_tensors(model.raw(), list))
    }

    /// One timer item after `delay_ticks`, which is at least 1; the item carries `tag`.
    pub fn timer(&mut self, delay_ticks: u64, tag: u64) -> Result<Seq, Status> {
        seq(self.raw.timer(delay_ticks, tag))
    }

    /// A new agent from the configured one of this name. Exactly one outcome follows, which names
    /// the new agent.
    pub fn spawn(&mut self, name: &str, args: &[u8]) -> Result<Seq, Status> {
        seq(self.raw.spawn(name.as_bytes(), args))
    }

    /// Makes the state behind this turn the save point, to which a restart after a fault goes back:
    /// see [`Kind::Restarted`](crate::Kind::Restarted). [`Status::Denied`] unless the configuration
    /// restarts the agent so. It costs fuel for the whole memory.
    pub fn save(&mut self) -> Result<Seq, Status> {
        seq(self.raw.save())
    }

    /// A task for an agent, as a [`TaskWriter`](crate::TaskWriter) writes it. Exactly one outcome
    /// follows, when it has ended; its name for others to wait for is the own address and the
    /// number that is returned.
    pub fn schedule(&mut self, agent: AgentId, task: &[u8]) -> Result<Seq, Status> {
        seq(self.raw.schedule(agent.to_bits(), task))
    }

    /// Terminates an agent. Exactly one outcome follows.
    pub fn terminate(&mut self, agent: AgentId) -> Result<Seq, Status> {
        seq(self.raw.terminate(agent.to_bits()))
    }

    /// Pauses an agent. Exactly one outcome follows.
    pub fn pause(&mut self, agent: AgentId) -> Result<Seq, Status> {
        seq(self.raw.pause(agent.to_bits()))
    }

    /// Resumes a paused agent. Exactly one outcome follows.
    pub fn resume(&mut self, agent: AgentId) -> Result<Seq, Status> {
        seq(self.raw.resume(agent.to_bits()))
    }

    /// A line for the operator.
    pub fn log(&mut self, level: Level, text: &str) -> Result<(), Status> {
        status(self.raw.log(level as u32, text.as_bytes()))
    }

    /// Why the agent is about to trap: shown to the operator with the fault, and decides nothing.
    /// `export!` calls it for every panic, if it is asked to.
    pub fn panic(&mut self, message: &str) -> Result<(), Status> {
        status(self.raw.panic(message.as_bytes()))
    }

    /// 64 random bits: a function of the run's seed, this agent and the place in time.
    pub fn random(&mut self) -> u64 {
        self.raw.random()
    }

    /// The current tick.
    pub fn tick(&mut self) -> u64 {
        self.raw.tick()
    }

    /// The handle of a configured topic.
    pub fn topic(&mut self, name: &str) -> Result<Topic, Status> {
        handle(self.raw.topic(name.as_bytes())).map(Topic::from_raw)
    }

    /// The next topic behind `after`, or the first, whose name a pattern matches (`*` one segment
    /// between slashes, `**` the rest) and that the agent may publish or subscribe to.
    pub fn next_topic(
        &mut self,
        pattern: &str,
        after: Option<Topic>,
    ) -> Result<Option<Topic>, Status> {
        let after = after.map_or(u32::MAX, Topic::raw);
        match handle(self.raw.next_topic(pattern.as_bytes(), after)) {
            Err(Status::Unknown) => Ok(None),
            found => found.map(|topic| Some(Topic::from_raw(topic))),
        }
    }

    /// Subscribes to every topic that a pattern matches, as
    /// [`next_topic`](Self::next_topic) gives them; says to how many. What it may only publish to
    /// refuses with [`Status::Denied`].
    pub fn subscribe_all(&mut self, pattern: &str) -> Result<u32, Status> {
        let (mut count, mut last) = (0, None);
        while let Some(topic) = self.next_topic(pattern, last)? {
            self.subscribe(topic)?;
            (count, last) = (count + 1, Some(topic));
        }
        Ok(count)
    }

    /// The handle of a configured model.
    pub fn model(&mut self, name: &str) -> Result<Model, Status> {
        handle(self.raw.model(name.as_bytes())).map(Model::from_raw)
    }

    /// The port of a model's input: what a tensor for it is written with.
    pub fn model_input(&mut self, model: Model, name: &str) -> Result<u32, Status> {
        handle(self.raw.model_input(model.raw(), name.as_bytes()))
    }

    /// The port of a model's output: what a tensor of it in a reply is found by.
    pub fn model_output(&mut self, model: Model, name: &str) -> Result<u32, Status> {
        handle(self.raw.model_output(model.raw(), name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_calls_are_numbers_or_statuses() {
        assert_eq!(seq(0), Ok(Seq::from_raw(0)));
        assert_eq!(seq(-5), Err(Status::Busy));
        assert_eq!(seq(i64::MIN), Err(Status::Invalid));
        assert_eq!(handle(3), Ok(3));
        assert_eq!(handle(-2), Err(Status::Unknown));
        assert_eq!(status(0), Ok(()));
        assert_eq!(status(-12), Err(Status::ModelFailed));
        assert_eq!(status(-99), Err(Status::Invalid));
    }
}
