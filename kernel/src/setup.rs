//! Everything that decides a run before its first tick, resolved: what the log carries.
//!
//! A configuration names files and patterns; a [`Setup`] holds what they turned out to be: every
//! topic, template, agent and model with its numbers. The core is built from it alone, so a
//! replay needs neither the configuration file nor the data nor the models. Its canonical JSON,
//! hashed with the seed, is the first value of the digest chain (SEMANTICS D3); nothing physical
//! (paths, lanes, pace, log policy, the kernel's name) may enter it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wasm_engine_abi::AgentId;

use crate::output::agent_name;

/// How runnable agents are ordered (SEMANTICS Q2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// By the place at which an agent became runnable.
    #[default]
    Fifo,
    /// By agent index, cyclically after the last one planned.
    RoundRobin,
    /// By priority and age, then by place.
    Priority,
}

/// What happens to a message for a full inbox (SEMANTICS C4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Not delivered; the sender is told.
    #[default]
    Refuse,
    /// The receiver's oldest message of this topic makes room.
    DropOldest,
    /// Not delivered, counted, the sender is not told.
    DropNewest,
    /// The receiver holds at most the latest message of this topic.
    LatestOnly,
}

/// What follows a fault (SEMANTICS A8).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Restart {
    /// The agent is terminated.
    #[default]
    Never,
    /// A fresh incarnation after `backoff_ticks`, at most `restarts_max` times within
    /// `window_ticks`; then the agent is terminated.
    Fresh {
        /// Ticks from the fault to the restart, at least 1.
        backoff_ticks: u64,
        /// Restarts allowed within the window.
        restarts_max: u32,
        /// Length of the window in ticks.
        window_ticks: u64,
    },
}

/// Logical limits: each decides what happens, so each is part of the digest's first value.
///
/// Payload bytes are charged in whole blocks of 64 bytes (SEMANTICS C2).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Agent slots. Default 4,096.
    pub agents_max: u32,
    /// Microsteps of a tick; what is still runnable carries over. Default 64.
    pub microsteps_max: u32,
    /// Inputs that enter at one open; the rest waits for the next tick. Default 4,096.
    pub inputs_per_tick_max: u32,
    /// Payload bytes of those inputs. Default 2 MiB.
    pub input_bytes_per_tick_max: u32,
    /// Messages and inputs in one inbox. Default 256.
    pub inbox_items_max: u32,
    /// Payload bytes of messages and inputs in one inbox. Default 65,536.
    pub inbox_bytes_max: u32,
    /// Items received in one turn. Default 32.
    pub receive_max: u32,
    /// Effects of one turn. Default 32.
    pub effects_max: u32,
    /// Payload bytes of all effects of one turn. Default 4,096.
    pub payload_bytes_max: u32,
    /// Calls of one agent whose answer is outstanding, set timers included. Default 16.
    pub answers_max: u32,
    /// Fuel of one call of an agent function. Default 1,000,000.
    pub fuel_per_call: u64,
    /// Linear memory of one agent. Default 1 MiB.
    pub memory_bytes_max: u64,
    /// Turns planned in one microstep. Default 4,096.
    pub turns_per_microstep_max: u32,
    /// Sum of the planned agents' effect quotas. Default 131,072.
    pub effects_per_microstep_max: u32,
    /// Sum of the planned agents' payload quotas. Default 2 MiB.
    pub payload_bytes_per_microstep_max: u32,
    /// Sum of the planned agents' fuel quotas. Default 2^40.
    pub fuel_per_microstep_max: u64,
    /// Deliveries accepted in one microstep. Default 65,536.
    pub deliveries_per_microstep_max: u32,
    /// Messages and inputs held by all inboxes. Default 65,536.
    pub messages_held_max: u32,
    /// Payload bytes held by all inboxes. Default 4 MiB.
    pub payload_bytes_held_max: u32,
    /// Inference requests whose reply has not been received. Default 4,096.
    pub inferences_pending_max: u32,
    /// Input bytes of those requests. Default 4 MiB.
    pub inference_bytes_pending_max: u32,
    /// Subscriptions and channel memberships of one agent. Default 16.
    pub memberships_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            agents_max: 4096,
            microsteps_max: 64,
            inputs_per_tick_max: 4096,
            input_bytes_per_tick_max: 2 << 20,
            inbox_items_max: 256,
            inbox_bytes_max: 64 << 10,
            receive_max: 32,
            effects_max: 32,
            payload_bytes_max: 4 << 10,
            answers_max: 16,
            fuel_per_call: 1_000_000,
            memory_bytes_max: 1 << 20,
            turns_per_microstep_max: 4096,
            effects_per_microstep_max: 131_072,
            payload_bytes_per_microstep_max: 2 << 20,
            fuel_per_microstep_max: 1 << 40,
            deliveries_per_microstep_max: 65_536,
            messages_held_max: 65_536,
            payload_bytes_held_max: 4 << 20,
            inferences_pending_max: 4096,
            inference_bytes_pending_max: 4 << 20,
            memberships_max: 16,
        }
    }
}

/// A topic; its handle is its place in [`Setup::topics`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopicSetup {
    /// Name, unique.
    pub name: String,
    /// What happens when a subscriber's inbox is full.
    pub policy: Policy,
    /// Messages on it also go to the host.
    pub output: bool,
}

/// A source; its number is its place in [`Setup::sources`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceSetup {
    /// Configured id, unique.
    pub id: String,
}

/// One entry of the configuration's agents: module, rights and budgets shared by its copies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Template {
    /// Configured name, unique: what `spawn` names.
    pub name: String,
    /// blake3 of the module as configured, before instrumentation, in hexadecimal.
    pub module: String,
    /// Capabilities in force: declared by the manifest and granted.
    pub capabilities: Vec<String>,
    /// Fuel of one call.
    pub fuel_per_call: u64,
    /// Priority under [`Schedule::Priority`], higher first.
    pub priority: i32,
    /// What follows a fault.
    pub restart: Restart,
}

/// One agent that exists from tick 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgentSetup {
    /// Name, unique: what outputs and reports call it.
    pub name: String,
    /// Place in [`Setup::templates`].
    pub template: u32,
    /// Copy number within the template.
    pub copy: u32,
    /// Its restart group, a place in [`Setup::groups`] (SEMANTICS A8).
    pub group: Option<u32>,
    /// Arguments given to `agent_init`.
    pub args: String,
}

/// A model; its handle is its place in [`Setup::models`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModelSetup {
    /// Configured name, unique.
    pub name: String,
    /// sha256 of the file, in hexadecimal.
    pub sha256: String,
    /// Ticks from a request to its reply, at least 1 (SEMANTICS I1).
    pub latency_ticks: u64,
    /// Rows of one batch (SEMANTICS I2).
    pub batch: u32,
    /// `f32` values of one input row.
    pub input_len: u32,
    /// `f32` values of one output row.
    pub output_len: u32,
}

/// A resolved run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// Seeds `random` and the digest chain.
    pub seed: u64,
    /// Schedule order.
    pub schedule: Schedule,
    /// Ticks after which a waiting agent gains one priority level.
    pub aging_ticks: u64,
    /// Ticks between state digests (SEMANTICS D5).
    pub state_digest_ticks: u64,
    /// Limits.
    pub limits: Limits,
    /// Topics, in configuration order.
    pub topics: Vec<TopicSetup>,
    /// Sources, in configuration order.
    pub sources: Vec<SourceSetup>,
    /// Templates, in configuration order.
    pub templates: Vec<Template>,
    /// Names of restart groups, by first member.
    pub groups: Vec<String>,
    /// Agents of tick 0, in configuration order.
    pub agents: Vec<AgentSetup>,
    /// Models, in configuration order.
    pub models: Vec<ModelSetup>,
}

impl Setup {
    /// Whether every place that it names exists; a setup read from a log may be anything.
    ///
    /// # Errors
    /// What does not exist, in words.
    pub fn check(&self) -> Result<(), String> {
        let within = |what: &str, place: Option<u32>, len: usize| match place {
            Some(place) if place as usize >= len => Err(format!("there is no {what} {place}")),
            _ => Ok(()),
        };
        if self.agents.len() > self.limits.agents_max as usize {
            return Err(format!("{} agents have no slots", self.agents.len()));
        }
        for agent in &self.agents {
            within("template", Some(agent.template), self.templates.len())?;
            within("group", agent.group, self.groups.len())?;
        }
        Ok(())
    }

    /// What outputs and reports call an agent that is copy `copy` of `template`: the first life of a
    /// configured slot by its configured name, a spawned agent by template and copy. Only the latter
    /// allocates.
    #[must_use]
    pub fn agent_name(&self, id: AgentId, template: u32, copy: u32) -> Cow<'_, str> {
        match self.agents.get(id.index() as usize) {
            Some(configured) if id.generation() == 0 => Cow::Borrowed(&configured.name),
            _ => {
                let template = &self.templates[template as usize].name;
                Cow::Owned(agent_name(template, &copy.to_string()))
            }
        }
    }
}
