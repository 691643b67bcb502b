//! What a host tells its kernel to do, at the open of the next tick (SEMANTICS T7.8).

use wasm_engine_abi::{AgentId, record::action};
use wasm_engine_core::{CommandOutcome, TaskOutcome};

use crate::{config::Action, resolve::model_of_name, sources::COMMANDS_PER_TICK_MAX};

use super::Host;

/// What a host tells its kernel to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HostCommand<'a> {
    /// Pauses an agent.
    Pause(AgentId),
    /// Ends the pause of an agent.
    Resume(AgentId),
    /// Ends an agent, after a last turn.
    Terminate(AgentId),
    /// Makes an agent.
    Spawn {
        /// Name of the `[[agent]]` that it is one of.
        agent: &'a str,
        /// Given to its `agent_init`.
        args: &'a [u8],
    },
    /// Gives an agent a task. What comes of it when it has ended, [`Host::task_outcomes`] says.
    Schedule {
        /// Whom.
        agent: AgentId,
        /// Its bytes, as [`wasm_engine_abi::task`] says:
        /// [`TaskHeader::parts`](wasm_engine_abi::task::TaskHeader::parts) puts them together.
        task: &'a [u8],
    },
    /// Loads a model, by name or `name@version`.
    Load(&'a str),
    /// Unloads a model, by name or `name@version`.
    Unload(&'a str),
    /// Lets the name of a model mean this version, `name@version`.
    Swap(&'a str),
}

/// Why a command is not taken. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandRefusal {
    /// No `[[agent]]` has this name.
    #[error("there is no [[agent]] of the name {name}; spawn one that is configured")]
    UnknownAgent {
        /// The name.
        name: String,
    },
    /// No model is meant, or not one.
    #[error("model {problem}")]
    UnknownModel {
        /// The name, and what is wrong with it.
        problem: String,
    },
    /// The arguments are longer than any.
    #[error("arguments of {len} bytes are longer than limits.payload_bytes_max, {max}")]
    TooLong {
        /// Bytes of the arguments.
        len: usize,
        /// The limit.
        max: u32,
    },
    /// As many commands, or bytes of their arguments, wait as one tick takes.
    #[error(
        "no more commands than {COMMANDS_PER_TICK_MAX}, with arguments of 16 MiB, wait for the \
         next tick; execute it first"
    )]
    Full,
    /// The kernel was closed or has failed.
    #[error("the kernel takes no commands, it has ended or failed")]
    Closed,
    /// This process is a fork of the one that started the kernel.
    #[error("this process was forked from the one that started the kernel, which it does not have")]
    Forked,
}

impl Host {
    /// Has the kernel do something at the open of the next tick; gives the number under which
    /// [`Host::command_outcomes`] says what came of it. A command names a tick as an input does.
    ///
    /// # Errors
    /// [`CommandRefusal`].
    pub fn command(&mut self, command: HostCommand<'_>) -> Result<u64, CommandRefusal> {
        if self.is_forked() {
            return Err(CommandRefusal::Forked);
        }
        let ended = self.failed || self.ended.is_some();
        let run = self.run.as_mut().filter(|_| !ended).ok_or(CommandRefusal::Closed)?;
        let model = |name: &str, action| {
            model_of_name(&self.setup, name, action)
                .map_err(|problem| CommandRefusal::UnknownModel { problem })
        };
        let (action, subject, args) = match command {
            HostCommand::Pause(agent) => (action::PAUSE, agent.to_bits(), &[][..]),
            HostCommand::Resume(agent) => (action::RESUME, agent.to_bits(), &[][..]),
            HostCommand::Terminate(agent) => (action::TERMINATE, agent.to_bits(), &[][..]),
            HostCommand::Spawn { agent, args } => {
                let max = self.setup.limits.payload_bytes_max;
                if args.len() > max as usize {
                    return Err(CommandRefusal::TooLong { len: args.len(), max });
                }
                let template = self.setup.templates.iter().position(|one| one.name == agent);
                let unknown = || CommandRefusal::UnknownAgent { name: agent.to_owned() };
                (action::SPAWN, template.ok_or_else(unknown)? as u64, args)
            }
            HostCommand::Schedule { agent, task } => {
                let max = self.setup.limits.payload_bytes_max;
                if task.len() > max as usize {
                    return Err(CommandRefusal::TooLong { len: task.len(), max });
                }
                (action::SCHEDULE, agent.to_bits(), task)
            }
            HostCommand::Load(name) => (action::LOAD, model(name, Action::Load)?, &[][..]),
            HostCommand::Unload(name) => (action::UNLOAD, model(name, Action::Unload)?, &[][..]),
            HostCommand::Swap(name) => (action::SWAP, model(name, Action::Swap)?, &[][..]),
        };
        run.ingest.command(action, subject, args).ok_or(CommandRefusal::Full)
    }

    /// What came of the commands that the last call of a tick applied, in their order.
    pub fn command_outcomes(&self) -> impl Iterator<Item = &CommandOutcome> {
        self.run.iter().flat_map(|run| &run.sinks.kept_commands)
    }

    /// How tasks of the host ended in the last call of a tick, in their order.
    pub fn task_outcomes(&self) -> impl Iterator<Item = &TaskOutcome> {
        self.run.iter().flat_map(|run| &run.sinks.kept_tasks)
    }

    /// The address of an agent that exists from tick 0, by the name that outputs give it.
    #[must_use]
    pub fn agent(&self, name: &str) -> Option<AgentId> {
        let slot = self.setup.agents.iter().position(|agent| agent.name == name)?;
        Some(AgentId::new(slot as u32, 0))
    }
}
