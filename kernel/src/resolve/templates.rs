//! Templates and the agents of tick 0: modules read and admitted, rights cut, copies counted.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use wasm_engine_abi::limits::{AGENTS_MAX, ARGS_BYTES_MAX};
use wasm_engine_abi::manifest::FILE_ENDING;

use crate::resolve::error::{ResolveError, hex, read, refuse_above};
use crate::{
    config::{AgentConfig, Config, ConfigError, GrantedRights, check_group_name},
    files::SMALL_BYTES_MAX,
    sources::Source,
};
use wasm_engine_guest::admission::{
    Admitted, Capability, ModuleLimits, Pattern, admit, attach_manifest,
};
use wasm_engine_setup::{AgentSetup, Template, agent_name};

/// Templates and agents, and what belongs to them outside the setup.
#[derive(Default)]
pub(super) struct Templates {
    pub(super) templates: Vec<Template>,
    pub(super) modules: Vec<Arc<Admitted>>,
    pub(super) agents: Vec<AgentSetup>,
    pub(super) groups: GroupNames,
}

/// Restart groups: their names, and the template of each one's first member.
#[derive(Default)]
pub(super) struct GroupNames {
    pub(super) names: Vec<String>,
    handles: BTreeMap<String, (u32, u32)>,
}

impl GroupNames {
    /// The index of the group called `name`, which `template` joins, and its first template.
    fn join(&mut self, name: String, template: u32) -> (u32, u32) {
        let next = self.names.len() as u32;
        let Self { names, handles } = self;
        *handles.entry(name).or_insert_with_key(|name| {
            names.push(name.clone());
            (next, template)
        })
    }
}

/// Resolves every `[[agent]]`, in order.
pub(super) fn resolve(config: &Config, sources: &[Source]) -> Result<Templates, ResolveError> {
    let mut all = Templates::default();
    let mut admitted: BTreeMap<PathBuf, Arc<Admitted>> = BTreeMap::new();
    for (template, agent) in (0..).zip(&config.agent) {
        let path = config.path(&agent.module);
        let module = match admitted.get(&path) {
            Some(module) => Arc::clone(module),
            None => {
                let module = Arc::new(admit_file(config, agent, &path)?);
                admitted.insert(path, Arc::clone(&module));
                module
            }
        };
        all.templates.push(template_of(config, agent, &module)?);
        all.modules.push(module);
        add_agents(config, agent, template, sources, &mut all)?;
    }
    Ok(all)
}

fn admit_file(
    config: &Config,
    agent: &AgentConfig,
    path: &std::path::Path,
) -> Result<Admitted, ResolveError> {
    let key = format!("agent.{}.module", agent.name);
    let beside = path.with_extension(FILE_ENDING);
    let mut bytes = match config.attached.get(&agent.module) {
        Some(bytes) => bytes.clone(),
        None => read(&key, path, SMALL_BYTES_MAX)?,
    };
    if let Some(manifest) = config.attached.get(&agent.module.with_extension(FILE_ENDING)) {
        bytes = attach_manifest(&bytes, manifest);
    } else if !config.attached.contains_key(&agent.module) && beside.exists() {
        bytes = attach_manifest(&bytes, &read(&key, &beside, SMALL_BYTES_MAX)?);
    }
    let memory_bytes_max = config.limits.memory_bytes_max;
    let limits = ModuleLimits { memory_bytes_max, ..ModuleLimits::default() };
    Ok(admit(&agent.name, &bytes, &limits)?)
}

fn template_of(
    config: &Config,
    agent: &AgentConfig,
    module: &Admitted,
) -> Result<Template, ResolveError> {
    let max = config.limits.fuel_per_call;
    let fuel_per_call = module.manifest.fuel_per_call.unwrap_or(max);
    let what = format!("the manifest's fuel_per_call of agent `{}`", agent.name);
    refuse_above(&what, fuel_per_call, "limits.fuel_per_call", max)?;
    let declared = &module.manifest.capabilities;
    let capabilities = match &agent.grant {
        Some(GrantedRights::Declared) => declared.clone(),
        Some(GrantedRights::Only(grant)) => cut(declared, &parse_grant(config, agent, grant)?),
        None if declared.is_empty() => Vec::new(),
        None => return Err(nothing_granted(config, agent, declared).into()),
    };
    Ok(Template {
        name: agent.name.clone(),
        module: hex(&module.hash),
        capabilities: capabilities.iter().map(Capability::to_string).collect(),
        fuel_per_call,
        priority: agent.priority,
        restart: agent.restart,
    })
}

/// Capabilities shown of a module that declares more.
const SHOWN_MAX: usize = 8;

/// Nothing is in force that nobody granted: the error says what the module wants, as the line to
/// write.
fn nothing_granted(config: &Config, agent: &AgentConfig, declared: &[Capability]) -> ConfigError {
    let mut list: Vec<_> =
        declared.iter().take(SHOWN_MAX).map(|one| format!("\"{one}\"")).collect();
    if declared.len() > SHOWN_MAX {
        list.push(format!("and {} more", declared.len() - SHOWN_MAX));
    }
    let problem = format!(
        "is missing and its module declares capabilities; grant what it may do, as in grant = \
         [{}], or all of it with grant = \"declared\"",
        list.join(", ")
    );
    config.value_error(format!("agent.{}.grant", agent.name), problem)
}

fn parse_grant(
    config: &Config,
    agent: &AgentConfig,
    grant: &[String],
) -> Result<Vec<Capability>, ResolveError> {
    let parse = |text: &String| {
        Capability::parse(text).map_err(|refusal| {
            let key = format!("agent.{}.grant", agent.name);
            ResolveError::from(config.value_error(key, format!(": {refusal}")))
        })
    };
    grant.iter().map(parse).collect()
}

/// Capabilities that are both declared and granted, sorted.
fn cut(declared: &[Capability], granted: &[Capability]) -> Vec<Capability> {
    let mut both: Vec<Capability> = declared
        .iter()
        .flat_map(|one| granted.iter().filter_map(|other| cut_one(one, other)))
        .collect();
    both.sort();
    both.dedup();
    both
}

fn cut_one(one: &Capability, other: &Capability) -> Option<Capability> {
    match (one, other) {
        (Capability::Plain(one), Capability::Plain(other)) if one == other => {
            Some(Capability::Plain(one))
        }
        (Capability::Over(prefix, one), Capability::Over(same, other)) if prefix == same => {
            Some(Capability::Over(prefix, cut_pattern(one.as_str(), other.as_str())?))
        }
        _ => None,
    }
}

/// The pattern of the names that both patterns stand for, none if there are none.
fn cut_pattern(one: &str, other: &str) -> Option<Pattern> {
    let (one, other): (Vec<&str>, Vec<&str>) =
        (one.split('/').collect(), other.split('/').collect());
    let mut both = Vec::new();
    for index in 0.. {
        match (one.get(index).copied(), other.get(index).copied()) {
            (Some("**"), _) => {
                both.extend_from_slice(other.get(index..).unwrap_or_default());
                break;
            }
            (_, Some("**")) => {
                both.extend_from_slice(one.get(index..).unwrap_or_default());
                break;
            }
            (Some("*"), Some(segment)) | (Some(segment), Some("*")) => both.push(segment),
            (Some(segment), Some(same)) if segment == same => both.push(segment),
            (None, None) => break,
            _ => return None,
        }
    }
    Pattern::new(&both.join("/"))
}

fn add_agents(
    config: &Config,
    agent: &AgentConfig,
    template: u32,
    sources: &[Source],
    all: &mut Templates,
) -> Result<(), ResolveError> {
    let source = agent.for_each.as_ref().and_then(|id| sources.iter().find(|s| s.id() == id));
    let copies = source.map_or(agent.count, Source::streams);
    let (agents, max) = (all.agents.len() as u64 + u64::from(copies), config.limits.agents_max);
    let what = format!("agent `{}` and those before it", agent.name);
    refuse_above(&what, agents, "limits.agents_max", max.min(AGENTS_MAX).into())?;
    for copy in 0..copies {
        let expand = |text: &str| match source {
            Some(source) => source.expand(text, copy),
            None => text.replace("{copy}", &copy.to_string()),
        };
        let args = expand(&agent.args);
        let name = source.map_or_else(|| copy.to_string(), |source| source.stream_name(copy));
        if args.len() > ARGS_BYTES_MAX as usize {
            let problem =
                format!("has {} bytes, at most {ARGS_BYTES_MAX} are possible", args.len());
            return Err(config.value_error(format!("agent.{}.args", agent.name), problem).into());
        }
        let group = match &agent.group {
            Some(group) => Some(join(config, agent, expand(group), template, all)?),
            None => None,
        };
        let name = agent_name(&agent.name, &name);
        all.agents.push(AgentSetup { name, template, copy, group, args });
    }
    Ok(())
}

/// Puts a copy of `agent` into the group called `name`, whose members share one restart rule.
fn join(
    config: &Config,
    agent: &AgentConfig,
    name: String,
    template: u32,
    all: &mut Templates,
) -> Result<u32, ConfigError> {
    let key = || format!("agent.{}.group", agent.name);
    check_group_name(&name).map_err(|problem| config.value_error(key(), problem))?;
    let (group, first) = all.groups.join(name, template);
    let first = &all.templates[first as usize];
    if first.restart == agent.restart {
        return Ok(group);
    }
    let problem = format!(
        "is `{}`, in which `{}` is with another restart; give all members of a group the same",
        all.groups.names[group as usize], first.name
    );
    Err(config.value_error(key(), problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_cut_to_what_both_allow() {
        for (one, other, both) in [
            ("a/b", "a/b", Some("a/b")),
            ("a/b", "a/c", None),
            ("a/*", "a/c", Some("a/c")),
            ("a/*", "*/c", Some("a/c")),
            ("*", "*", Some("*")),
            ("a/**", "a/b/c", Some("a/b/c")),
            ("a/**", "a", Some("a")),
            ("a/**", "b", None),
            ("a/**", "a/*/**", Some("a/*/**")),
            ("**", "x/**", Some("x/**")),
            ("**", "**", Some("**")),
            ("a/*/**", "a", None),
            ("a/b", "a/b/**", Some("a/b")),
            ("a/b", "a", None),
        ] {
            let both = both.map(str::to_owned);
            let cut = |one, other| cut_pattern(one, other).map(|p| p.as_str().to_owned());
            assert_eq!(cut(one, other), both, "{one} and {other}");
            assert_eq!(cut(other, one), both, "{other} and {one}");
        }
    }
}
