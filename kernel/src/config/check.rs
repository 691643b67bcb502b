//! What a configuration can be classified by without reading another file: ranges and relations.
//!
//! Whether names refer to something and files hold what they should is found in
//! `kernel/src/resolve/mod.rs`.

use std::collections::{BTreeMap, BTreeSet};

use wasm_engine_abi::limits::{BLOCK_BYTES, INFERENCE_BYTES_MAX, NAME_BYTES_MAX};

use crate::config::commands::{Action, CommandConfig};
use crate::config::error::ConfigError;
use crate::config::nearest::did_you_mean;
use crate::config::sources::SourceConfig;
use crate::config::tables::{
    AgentConfig, Config, KERNEL_NAME_BYTES_MAX, LogLevel, ModelConfig, in_kernel_name,
};
use crate::sources::{COMMAND_BYTES_PER_TICK_MAX, COMMANDS_PER_TICK_MAX, CommandRoom};
use wasm_engine_core::TICK_MAX;
use wasm_engine_guest::admission::Pattern;
use wasm_engine_inference::ProviderName;
use wasm_engine_setup::{BATCH_MAX, LimitError, MEMORY_BYTES_MAX, MODELS_MAX};

/// What a trace ring may hold.
const TRACE_EVENTS_RANGE: std::ops::RangeInclusive<u32> = 64..=1 << 24;
const BLOCK_BYTES_RANGE: std::ops::RangeInclusive<u32> = 4 << 10..=1 << 20;
/// Threads a kernel is ever given; a larger number is a slip of the keyboard.
const WORKERS_MAX: u32 = 255;

/// Whether `name` can be a kernel's name; the error says what is wrong.
///
/// # Errors
/// An empty, long or strange name.
pub fn check_kernel_name(name: &str) -> Result<(), String> {
    let well = (1..=KERNEL_NAME_BYTES_MAX).contains(&name.len())
        && name.chars().all(in_kernel_name)
        && !name.starts_with(['.', '-']);
    if well {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no name of a kernel; use 1 to {KERNEL_NAME_BYTES_MAX} ASCII letters, digits, \
         `-`, `_` or `.`, beginning with a letter, a digit or `_`"
    ))
}

/// A word in braces that is no placeholder; what else stands in braces, as in JSON, is text.
fn unknown_placeholder(text: &str) -> Option<&str> {
    let word = |word: &str| {
        let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
        word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.chars().all(rest)
    };
    let mut inside = text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
    inside.find(|inside| word(inside) && !matches!(*inside, "key" | "copy"))
}

/// Whether `name` can be the name of anything; the error says what is wrong.
fn check_name(name: &str) -> Result<(), String> {
    let strange = name.chars().any(|c| c.is_control() || c.is_whitespace());
    if name.is_empty() || name.len() > NAME_BYTES_MAX as usize || strange {
        return Err(format!(
            "= {name:?}; a name is 1 to {NAME_BYTES_MAX} bytes without spaces and control \
             characters"
        ));
    }
    Ok(())
}

/// Whether `name`, with its placeholders filled in, can be that of a restart group.
pub(crate) fn check_group_name(name: &str) -> Result<(), String> {
    if name.contains(['{', '}']) {
        return Err(format!("= {name:?}; {{copy}} is known, and under for_each {{key}}"));
    }
    check_name(name)
}

/// Whether `name` can be the name of a topic; the error says what is wrong.
pub(crate) fn check_topic_name(name: &str) -> Result<(), String> {
    if name.len() > NAME_BYTES_MAX as usize {
        return Err(format!("`{name}` is longer than {NAME_BYTES_MAX} bytes"));
    }
    if name.contains(['{', '}']) {
        return Err(format!(
            "`{name}` holds a placeholder that is not known here; {{key}} and {{copy}} are, where \
             there are streams"
        ));
    }
    if name.contains('*') || Pattern::new(name).is_none() {
        return Err(format!(
            "`{name}` is no topic; use segments between single slashes, without spaces and `*`"
        ));
    }
    Ok(())
}

impl Config {
    /// Checks every value and relation that needs no other file.
    ///
    /// # Errors
    /// The first [`ConfigError::Value`], in the order of the sections.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_kernel()?;
        self.check_limits()?;
        self.check_log()?;
        self.check_unique("source", "id", self.source.iter().map(|source| &source.id))?;
        self.check_unique("agent", "name", self.agent.iter().map(|agent| &agent.name))?;
        self.check_models()?;
        self.check_unique("topic", "name", self.topic.iter().map(|topic| &topic.name))?;
        self.check_unique("output", "topic", self.output.iter().map(|output| &output.topic))?;
        for source in &self.source {
            self.check_source(source)?;
        }
        for agent in &self.agent {
            self.check_agent(agent)?;
        }
        for model in &self.model {
            self.check_model(model)?;
        }
        self.check_commands()?;
        self.check_tasks()?;
        self.check_topic_quotas()?;
        let topics = self.topic.iter().map(|topic| ("topic", &topic.name, &topic.for_each));
        let outputs = self.output.iter().map(|output| ("output", &output.topic, &output.for_each));
        for (section, name, for_each) in topics.chain(outputs) {
            self.check_for_each(section, name, for_each.as_deref())?;
        }
        Ok(())
    }

    /// A topic of which nothing fits would refuse all of it.
    fn check_topic_quotas(&self) -> Result<(), ConfigError> {
        for topic in &self.topic {
            let key = |key| format!("topic.{}.{key}", topic.name);
            if let Some(max) = topic.messages_held_max {
                self.at_least_1(&key("messages_held_max"), max.into())?;
            }
            if let Some(max) = topic.payload_bytes_held_max.filter(|max| *max < BLOCK_BYTES) {
                let problem = format!("is {max}, it must be at least {BLOCK_BYTES}, one block");
                return Err(self.value_error(key("payload_bytes_held_max"), problem));
            }
        }
        Ok(())
    }

    fn check_kernel(&self) -> Result<(), ConfigError> {
        let kernel = &self.kernel;
        check_kernel_name(&self.name())
            .map_err(|problem| self.value_error("kernel.name", format!("= {problem}")))?;
        self.at_least_1("kernel.aging_ticks", kernel.aging_ticks)?;
        self.at_least_1("kernel.state_digest_ticks", kernel.state_digest_ticks)?;
        if kernel.awake_max == 0 {
            return Err(self.value_error("kernel.awake_max", "is 0, one agent at least is awake"));
        }
        if kernel.workers > WORKERS_MAX {
            let problem = format!("is {}, at most {WORKERS_MAX} are possible", kernel.workers);
            return Err(self.value_error("kernel.workers", problem));
        }
        match kernel.pace {
            Some(pace) if !(pace.is_finite() && pace > 0.0) => {
                let problem = format!("is {pace}; give ticks per second above 0 or leave it out");
                Err(self.value_error("kernel.pace", problem))
            }
            _ => Ok(()),
        }
    }

    /// Each limit is within its bounds; their sums are checked by `resolve`.
    fn check_limits(&self) -> Result<(), ConfigError> {
        self.limits.check().map_err(|LimitError { key, value, min, max }| {
            let problem = match (value, value < min) {
                (0, _) => format!("is 0, it must be at least {min}"),
                (_, true) => format!("is {value}, at least {min} is possible"),
                _ => format!("is {value}, at most {max} is possible"),
            };
            self.value_error(format!("limits.{key}"), problem)
        })?;
        let events = self.region.trace_events;
        if !events.is_power_of_two() || !TRACE_EVENTS_RANGE.contains(&events) {
            let problem = format!("is {events}; it must be a power of two from 64 to 16777216");
            return Err(self.value_error("region.trace_events", problem));
        }
        self.at_least_1("region.bytes_max", self.region.bytes_max)
    }

    fn check_log(&self) -> Result<(), ConfigError> {
        if self.log.level == LogLevel::Full {
            let problem = "is \"full\", which is not built yet; write \"inputs\"";
            return Err(self.value_error("log.level", problem));
        }
        let (block, segment) = (self.log.block_bytes, self.log.segment_bytes);
        if !BLOCK_BYTES_RANGE.contains(&block) {
            let problem = format!("is {block}; it must lie between 4096 and 1048576");
            return Err(self.value_error("log.block_bytes", problem));
        }
        if segment < block.into() {
            let problem = format!("is {segment}, less than log.block_bytes ({block})");
            return Err(self.value_error("log.segment_bytes", problem));
        }
        let keyframes = self.log.keyframes_max;
        if !(1..=64).contains(&keyframes) {
            let problem = format!("is {keyframes}; it must lie between 1 and 64");
            return Err(self.value_error("log.keyframes_max", problem));
        }
        Ok(())
    }

    fn check_source(&self, source: &SourceConfig) -> Result<(), ConfigError> {
        source.check().map_err(|(key, problem)| {
            self.value_error(format!("source.{}.{key}", source.id), problem)
        })
    }

    fn check_agent(&self, agent: &AgentConfig) -> Result<(), ConfigError> {
        let key = |key| format!("agent.{}.{key}", agent.name);
        if agent.for_each.is_some() && agent.count != 1 {
            let problem = "stands beside for_each; give the number or the source, not both";
            return Err(self.value_error(key("count"), problem));
        }
        if agent.name.contains(['/', '*']) {
            let problem = "holds `/` or `*`, which separate and match names; choose another";
            return Err(self.value_error(key("name"), problem));
        }
        let group = agent.group.as_deref().unwrap_or_default();
        if let Some(unknown) = unknown_placeholder(&agent.args) {
            let problem =
                format!("holds {{{unknown}}}; {{copy}} is known, and under for_each {{key}}");
            return Err(self.value_error(key("args"), problem));
        }
        for (name, text) in [("args", agent.args.as_str()), ("group", group)] {
            if agent.for_each.is_none() && text.contains("{key}") {
                let problem = "holds {key}, which exists only with for_each; add it or use {copy}";
                return Err(self.value_error(key(name), problem));
            }
        }
        if agent.group.is_some() && agent.for_each.is_none() && agent.count == 0 {
            let problem = "stands beside count = 0, and spawned agents are in no group; remove it";
            return Err(self.value_error(key("group"), problem));
        }
        if let Some(limits) = agent.restart.limits() {
            // A backoff of 0 is refused (SEMANTICS T3).
            self.at_least_1(&key("restart.backoff_ticks"), limits.backoff_ticks)?;
            self.at_least_1(&key("restart.restarts_max"), limits.restarts_max.into())?;
            self.at_least_1(&key("restart.window_ticks"), limits.window_ticks)?;
        }
        self.check_for_each("agent", &agent.name, agent.for_each.as_deref())
    }

    /// Names of models are unique, or stand with versions that are: those of folders are known
    /// when they are read.
    fn check_models(&self) -> Result<(), ConfigError> {
        if self.model.len() > MODELS_MAX {
            let problem = format!("is there more than {MODELS_MAX} times, which no run takes");
            return Err(self.value_error("[[model]]", problem));
        }
        let mut seen = BTreeMap::new();
        for (index, ModelConfig { name, version, folder, .. }) in self.model.iter().enumerate() {
            let at = format!("model.{index}.name");
            check_name(name).map_err(|problem| self.value_error(&at, problem))?;
            if name.contains('@') {
                let problem = "holds `@`, behind which stands the version of a model; rename it";
                return Err(self.value_error(at, problem));
            }
            let versioned = version.is_some() || folder.is_some();
            if seen.insert(name, versioned).is_some_and(|other| !(other && versioned)) {
                let problem =
                    format!("= \"{name}\" is there twice; give each a version, or rename one");
                return Err(self.value_error(at, problem));
            }
        }
        Ok(())
    }

    /// Each command names what it is about, and nothing else.
    fn check_commands(&self) -> Result<(), ConfigError> {
        let mut rooms = BTreeMap::<u64, CommandRoom>::new();
        for (index, command) in self.command.iter().enumerate() {
            let error = |key: &str, problem: &str| {
                Err(self.value_error(format!("command.{index}.{key}"), problem))
            };
            let CommandConfig { tick, action, model, agent, args } = command;
            self.check_tick(&format!("command.{index}.tick"), *tick)?;
            let (wanted, given, other) = match action.is_of_model() {
                true => ("model", model, ("agent", agent)),
                false => ("agent", agent, ("model", model)),
            };
            if given.is_none() {
                return error(wanted, "is missing; say whom the command is about");
            }
            if other.1.is_some() {
                let problem =
                    format!("stands beside {wanted}, which the command is about; remove it");
                return error(other.0, &problem);
            }
            if !args.is_empty() && *action != Action::Spawn {
                return error("args", "is for spawn alone; remove it");
            }
            if !rooms.entry(*tick).or_default().take(args.len()) {
                let problem = format!(
                    "is that of more than {COMMANDS_PER_TICK_MAX} commands, or of more than \
                     {COMMAND_BYTES_PER_TICK_MAX} bytes of args; spread them"
                );
                return error("tick", &problem);
            }
        }
        Ok(())
    }

    /// The host can do something at the open of this tick: tick 0 only initialises (SEMANTICS T8).
    pub(super) fn check_tick(&self, key: &str, tick: u64) -> Result<(), ConfigError> {
        self.at_least_1(key, tick)?;
        if tick > TICK_MAX {
            return Err(self.value_error(key, format!("is beyond the last tick, {TICK_MAX}")));
        }
        Ok(())
    }

    fn check_model_load(&self, model: &ModelConfig) -> Result<(), ConfigError> {
        let key = |key: &str| format!("model.{}.{key}", model.name);
        self.at_least_1(&key("load_ticks"), model.load_ticks)?;
        if model.memory_bytes.is_some_and(|bytes| bytes > MEMORY_BYTES_MAX) {
            let problem = format!("is more than {MEMORY_BYTES_MAX}");
            return Err(self.value_error(key("memory_bytes"), problem));
        }
        Ok(())
    }

    fn check_model(&self, model: &ModelConfig) -> Result<(), ConfigError> {
        let key = |key: &str| format!("model.{}.{key}", model.name);
        if model.file.is_some() == model.folder.is_some() {
            let problem = match &model.file {
                Some(_) => "stands beside folder; give one of them",
                None => "is missing; name the ONNX file, or with folder a folder of versions",
            };
            return Err(self.value_error(key("file"), problem));
        }
        self.at_least_1(&key("bytes_max"), model.bytes_max)?;
        // A latency of 0 is refused (SEMANTICS T3).
        self.at_least_1(&key("latency_ticks"), model.latency_ticks)?;
        self.check_model_load(model)?;
        self.at_least_1(&key("batch"), model.batch.into())?;
        if model.batch > BATCH_MAX {
            let problem = format!("is {}, at most {BATCH_MAX} is possible", model.batch);
            return Err(self.value_error(key("batch"), problem));
        }
        if let Some(deadline) = model.deadline_ms {
            self.at_least_1(&key("deadline_ms"), deadline)?;
        }
        if let Some((name, _)) = model.dims.iter().flatten().find(|(_, max)| **max == 0) {
            let problem = "is 0, at least 1 is needed";
            return Err(self.value_error(key(&format!("dims.{name}")), problem));
        }
        let providers = model.providers.as_deref();
        if providers.is_some_and(<[String]>::is_empty) {
            return Err(self.value_error(key("providers"), "is empty; name one, or leave it out"));
        }
        let providers = providers.unwrap_or_default();
        for (at, name) in providers.iter().enumerate() {
            let Some(provider) = ProviderName::of(name) else {
                let known = ProviderName::ALL.iter().map(|one| one.text());
                let known = known.collect::<Vec<_>>().join(", ");
                let name = name.escape_debug();
                let problem = format!("holds \"{name}\", which is none of {known}");
                return Err(self.value_error(key("providers"), problem));
            };
            let before = providers[..at].iter().map(|one| ProviderName::of(one));
            if before.clone().any(|one| one == Some(provider)) {
                let problem = format!("holds {} twice", provider.text());
                return Err(self.value_error(key("providers"), problem));
            }
            if before.clone().any(|one| one == Some(ProviderName::Cpu)) {
                let problem = format!(
                    "holds {} behind cpu, which can always be had; put cpu last",
                    provider.text()
                );
                return Err(self.value_error(key("providers"), problem));
            }
        }
        if model.outputs.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.value_error(key("outputs"), "is empty; name one, or leave it out"));
        }
        for (name, bytes) in [
            ("request_bytes_max", model.request_bytes_max),
            ("reply_bytes_max", model.reply_bytes_max),
        ] {
            if bytes.is_some_and(|bytes| !(64..=INFERENCE_BYTES_MAX).contains(&bytes)) {
                let problem = format!("is not from 64 to {INFERENCE_BYTES_MAX}");
                return Err(self.value_error(key(name), problem));
            }
        }
        match &model.sha256 {
            Some(hex) if hex.len() != 64 || !hex.chars().all(|c| c.is_ascii_hexdigit()) => {
                Err(self.value_error(key("sha256"), "is not 64 hexadecimal digits"))
            }
            _ => Ok(()),
        }
    }

    fn check_for_each(
        &self,
        section: &str,
        name: &str,
        id: Option<&str>,
    ) -> Result<(), ConfigError> {
        let Some(id) = id else { return Ok(()) };
        if self.source.iter().any(|source| source.id == id) {
            return Ok(());
        }
        let near = did_you_mean(id, self.source.iter().map(|source| source.id.as_str()));
        let problem =
            format!("names source `{id}`, which does not exist{near}; use the id of a [[source]]");
        Err(self.value_error(format!("{section}.{name}.for_each"), problem))
    }

    /// Names are not empty, not too long, and different from one another.
    pub(super) fn check_unique<'a>(
        &self,
        section: &str,
        key: &str,
        names: impl Iterator<Item = &'a String>,
    ) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        for (index, name) in names.enumerate() {
            let at = format!("{section}.{index}.{key}");
            check_name(name).map_err(|problem| self.value_error(&at, problem))?;
            if !seen.insert(name) {
                let problem = format!("= \"{name}\" is there twice; rename or remove one");
                return Err(self.value_error(at, problem));
            }
        }
        Ok(())
    }

    pub(super) fn at_least_1(&self, key: &str, value: u64) -> Result<(), ConfigError> {
        if value > 0 {
            return Ok(());
        }
        Err(self.value_error(key, "is 0, it must be at least 1"))
    }
}
