//! The commands of a configuration: whom they name, in the order in which they come.

use wasm_engine_abi::{AgentId, Tick, record::CommandFact};
use wasm_engine_setup::{ModelSetup, Setup};

use crate::{
    config::{Action, CommandConfig, Config, ConfigError},
    sources::{Command, Commands},
};

/// Finds whom the commands name in `setup`, whose agents and models are complete.
pub(super) fn resolve(config: &Config, setup: &Setup) -> Result<Commands, ConfigError> {
    let mut order: Vec<(Tick, usize)> =
        config.command.iter().map(|command| command.tick).zip(0..).collect();
    // Of the same tick in the order of the configuration.
    order.sort_unstable();
    let mut commands = Vec::with_capacity(order.len());
    for (seq, (tick, index)) in (0..).zip(order) {
        let command = &config.command[index];
        let subject = subject(config, setup, index, command)?;
        let fact = CommandFact { seq, action: command.action.code(), subject };
        commands.push(Command { tick, fact, args: command.args.clone().into_bytes() });
    }
    Ok(Commands::new(commands))
}

/// Whom command `index` is about, as its fact says it.
fn subject(
    config: &Config,
    setup: &Setup,
    index: usize,
    command: &CommandConfig,
) -> Result<u64, ConfigError> {
    let error = |(key, problem): (&str, String)| {
        config.value_error(format!("command.{index}.{key}"), problem)
    };
    match (&command.model, &command.agent) {
        (Some(name), _) => {
            model_of_name(setup, name, command.action).map_err(|p| error(("model", p)))
        }
        (None, Some(name)) if command.action == Action::Spawn => {
            let max = setup.limits.payload_bytes_max;
            if command.args.len() > max as usize {
                let problem = format!("is longer than limits.payload_bytes_max, {max} bytes");
                return Err(error(("args", problem)));
            }
            let named = setup.templates.iter().position(|template| template.name == *name);
            let problem = || format!("= \"{name}\" is the name of no [[agent]]");
            named.map(|at| at as u64).ok_or_else(|| error(("agent", problem())))
        }
        (None, Some(name)) => agent(setup, name).map_err(|p| error(("agent", p))),
        (None, None) => unreachable!("a configuration that was checked names whom it is about"),
    }
}

/// The model that a command names; an error says in words why it names none.
pub(crate) fn model_of_name(setup: &Setup, name: &str, action: Action) -> Result<u64, String> {
    let full_names = |models: &mut dyn Iterator<Item = &ModelSetup>| -> Vec<String> {
        models.map(|model| format!("`{}`", model.full_name())).collect()
    };
    let one = (0..).zip(&setup.models).find(|(_, model)| model.full_name() == name);
    let base = one.map_or(name, |(_, model)| &model.name);
    let versions = full_names(&mut setup.models.iter().filter(|model| model.name == base));
    match (one, &versions[..]) {
        (Some(_), [_]) if action == Action::Swap => Err(format!(
            "= \"{name}\" is the only version, so its name means nothing else; add a [[model]] of \
             the same name and another version"
        )),
        (Some((model, _)), _) => Ok(model),
        (None, [_]) if action != Action::Swap => {
            let only = setup.models.iter().position(|model| model.name == base);
            Ok(only.unwrap_or_default() as u64)
        }
        (None, []) if setup.models.is_empty() => {
            Err(format!("= \"{name}\" is no model of the run, which has none"))
        }
        (None, []) => Err(format!(
            "= \"{name}\" is no model of the run; those are {}",
            full_names(&mut setup.models.iter()).join(", ")
        )),
        (None, versions) => {
            Err(format!("= \"{name}\" names no version; name one: {}", versions.join(", ")))
        }
    }
}

/// The address of the agent that a command names; an error says in words why it names none.
fn agent(setup: &Setup, name: &str) -> Result<u64, String> {
    if let Some(slot) = setup.agents.iter().position(|agent| agent.name == name) {
        return Ok(AgentId::new(slot as u32, 0).to_bits());
    }
    let of_entry =
        setup.agents.iter().find(|agent| setup.templates[agent.template as usize].name == name);
    let hint = of_entry.map(|agent| format!("; its copies have names such as `{}`", agent.name));
    let hint = hint.unwrap_or_default();
    Err(format!("= \"{name}\" is the name of no agent that exists from tick 0{hint}"))
}
