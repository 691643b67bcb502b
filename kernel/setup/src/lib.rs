//! Everything that decides a run before its first tick, resolved: what the log carries.
//!
//! A configuration names files and patterns; a [`Setup`] holds what they turned out to be: every
//! topic, template, agent and model with its numbers. The core is built from it alone, so a
//! replay needs neither the configuration file nor the data nor the models. Its canonical JSON,
//! hashed with the seed, is the first value of the digest chain (SEMANTICS D3); nothing physical
//! (paths, lanes, pace, log policy, the kernel's name) may enter it.
//!
//! Plain data and its checks: no IO, no behaviour.
#![forbid(unsafe_code)]

mod engine_fingerprint;
mod limits;
pub mod log_defaults;
pub mod memory_defaults;
mod model;
mod model_notes;
mod policy;
mod provider;
mod sync_policy;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wasm_engine_abi::AgentId;

pub use self::{
    engine_fingerprint::EngineFingerprint,
    limits::{LimitError, Limits},
    model::{
        BATCH_MAX, Dim, LoadOn, MEMORY_BYTES_MAX, MODELS_MAX, ModelSetup, PortSetup, PortValue,
        REPLY_BYTES_MIN, RowForm, full_name,
    },
    model_notes::ModelNotes,
    policy::{Policy, Restart, RestartLimits, Schedule, TraceLevel},
    provider::{CPU, ProviderUse},
    sync_policy::SyncPolicy,
};

/// A topic; its handle is its index in [`Setup::topics`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopicSetup {
    /// Name, unique.
    pub name: String,
    /// What happens when a subscriber's inbox is full.
    pub policy: Policy,
    /// Messages on it also go to the host.
    pub output: bool,
    /// Messages and inputs that came by it and lie in inboxes, at most (SEMANTICS C2.13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_held_max: Option<u32>,
    /// Bytes of their payloads, in whole charge units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_bytes_held_max: Option<u32>,
}

impl TopicSetup {
    /// A topic without a quota.
    #[must_use]
    pub fn new(name: impl Into<String>, policy: Policy, output: bool) -> Self {
        let (messages_held_max, payload_bytes_held_max) = (None, None);
        Self { name: name.into(), policy, output, messages_held_max, payload_bytes_held_max }
    }

    /// Whether less of it may lie in inboxes than the limits of the kernel allow.
    #[must_use]
    pub const fn has_quota(&self) -> bool {
        self.messages_held_max.is_some() || self.payload_bytes_held_max.is_some()
    }
}

/// A source; its number is its index in [`Setup::sources`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceSetup {
    /// Configured id, unique.
    pub id: String,
    /// Its inputs come while the run goes on and belong to the tick about to open (SEMANTICS T7.6).
    /// Left out of the canonical form where it is false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
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
    /// Index in [`Setup::templates`].
    pub template: u32,
    /// Copy number within the template.
    pub copy: u32,
    /// Its restart group, an index in [`Setup::groups`] (SEMANTICS A8).
    pub group: Option<u32>,
    /// Arguments given to `agent_init`.
    pub args: String,
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

impl Template {
    /// Whether its agents may ask a model, and so take their quota of inference bytes (Q3).
    #[must_use]
    pub fn infers(&self) -> bool {
        self.capabilities.iter().any(|capability| capability.starts_with("infer:"))
    }
}

impl Setup {
    /// Whether every index that it names exists and every number can be that of a run; a setup
    /// read from a log may be anything.
    ///
    /// # Errors
    /// What does not exist, in words.
    pub fn check(&self) -> Result<(), String> {
        let within = |what: &str, index: Option<u32>, len: usize| match index {
            Some(index) if index as usize >= len => Err(format!("there is no {what} {index}")),
            _ => Ok(()),
        };
        self.limits.check().map_err(|error| error.to_string())?;
        let at_least_1 = |what: &str, value: u64| match value {
            0 => Err(format!("{what} is 0")),
            _ => Ok(()),
        };
        at_least_1("aging_ticks", self.aging_ticks)?;
        at_least_1("state_digest_ticks", self.state_digest_ticks)?;
        for template in &self.templates {
            if !(1..=self.limits.fuel_per_call).contains(&template.fuel_per_call) {
                return Err(format!("`{}` has fuel beyond the limit", template.name));
            }
        }
        if self.models.len() > MODELS_MAX {
            return Err(format!("{} models are more than any run has", self.models.len()));
        }
        self.models.iter().try_for_each(ModelSetup::check)?;
        if self.agents.len() > self.limits.agents_max as usize {
            return Err(format!("{} agents have no slots", self.agents.len()));
        }
        for agent in &self.agents {
            within("template", Some(agent.template), self.templates.len())?;
            within("group", agent.group, self.groups.len())?;
        }
        Ok(())
    }

    /// Names of models that have several versions, in the order in which they are configured, and
    /// for each its models from the lowest version to the highest. The handles of these names
    /// follow those of the models (SEMANTICS A13).
    #[must_use]
    pub fn versioned_names(&self) -> Vec<(&str, Vec<u32>)> {
        let mut names: Vec<(&str, Vec<u32>)> = Vec::new();
        for (model, index) in self.models.iter().zip(0..) {
            match names.iter_mut().find(|(name, _)| *name == model.name) {
                Some((_, versions)) => versions.push(index),
                None => names.push((&model.name, vec![index])),
            }
        }
        names.retain(|(_, versions)| versions.len() > 1);
        for (_, versions) in &mut names {
            versions.sort_by_key(|index| self.models[*index as usize].version);
        }
        names
    }

    /// What each handle of a model means at first: the models, then of each name with several
    /// versions the highest.
    #[must_use]
    pub fn model_handles(&self) -> Vec<&ModelSetup> {
        let names = self.versioned_names().into_iter();
        let highest = names.filter_map(|(_, versions)| versions.last().copied());
        self.models.iter().chain(highest.map(|index| &self.models[index as usize])).collect()
    }

    /// What outputs and reports call an agent that is copy `copy` of `template`: the first life of
    /// a configured slot by its configured name, a spawned agent by template, copy and address,
    /// which no other has. Only the latter allocates.
    #[must_use]
    pub fn agent_name(&self, id: AgentId, template: u32, copy: u32) -> Cow<'_, str> {
        match self.agents.get(id.index() as usize) {
            Some(configured) if id.generation() == 0 => Cow::Borrowed(&configured.name),
            _ => {
                let template = &self.templates[template as usize].name;
                Cow::Owned(agent_name(template, &format!("{copy}@{id}")))
            }
        }
    }
}

/// Key of the channel of this name in a run with this seed: blake3 of the name, keyed with the seed
/// and cut to 128 bits, so that no two names that anybody can find share a channel.
#[must_use]
pub fn channel_key(seed: u64, name: &str) -> u128 {
    let mut key = [0; blake3::KEY_LEN];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&blake3::keyed_hash(&key, name.as_bytes()).as_bytes()[..16]);
    u128::from_le_bytes(half)
}

/// Name under which an agent's messages appear: its template's name and, behind a slash, the name
/// of its stream or its copy number (`scorer/EWR`, `worker/3`).
#[must_use]
pub fn agent_name(template: &str, copy: &str) -> String {
    format!("{template}/{copy}")
}
