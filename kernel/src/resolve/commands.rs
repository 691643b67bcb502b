//! The commands and tasks of a configuration: whom they name, in the order in which they come.

use std::collections::BTreeMap;

use wasm_engine_abi::{
    AgentId, Tick,
    record::{CommandFact, action},
    task::{TaskHeader, TaskId},
};
use wasm_engine_setup::{ModelSetup, Setup};

use crate::{
    config::{Action, CommandConfig, Config, ConfigError, TaskConfig, task_order},
    sources::{Command, Commands},
};

/// Finds whom the commands name in `setup`, whose agents and models are complete.
pub(super) fn resolve(config: &Config, setup: &Setup) -> Result<Commands, ConfigError> {
    // Of the same tick in the order of the configuration, tasks behind commands in theirs.
    let tasks = task_order(&config.task).unwrap_or_default();
    let of_tasks = tasks.iter().zip(0..).map(|(at, rank)| (config.task[*at].tick, true, rank));
    let mut order: Vec<(Tick, bool, usize)> =
        config.command.iter().zip(0..).map(|(command, at)| (command.tick, false, at)).collect();
    order.extend(of_tasks);
    order.sort_unstable();
    let mut commands = Vec::with_capacity(order.len());
    let mut seqs = BTreeMap::new();
    for (seq, (tick, is_task, index)) in (0..).zip(order) {
        if is_task {
            let task = &config.task[tasks[index]];
            let (subject, args) = scheduled(config, setup, task, &seqs)?;
            seqs.insert(task.name.as_str(), seq);
            let fact = CommandFact { seq, action: action::SCHEDULE, subject };
            commands.push(Command { tick, fact, args });
            continue;
        }
        let command = &config.command[index];
        let subject = subject(config, setup, index, command)?;
        let fact = CommandFact { seq, action: command.action.code(), subject };
        commands.push(Command { tick, fact, args: command.args.clone().into_bytes() });
    }
    Ok(Commands::new(commands))
}

/// For whom a task is, and its bytes; `seqs` has those that come before it.
fn scheduled(
    config: &Config,
    setup: &Setup,
    task: &TaskConfig,
    seqs: &BTreeMap<&str, u64>,
) -> Result<(u64, Vec<u8>), ConfigError> {
    let error = |key: &str, problem: String| {
        config.value_error(format!("task.{}.{key}", task.name), problem)
    };
    let subject = agent(setup, &task.agent).map_err(|problem| error("agent", problem))?;
    let after: Vec<TaskId> = task
        .after
        .iter()
        .filter_map(|name| seqs.get(name.as_str()))
        .copied()
        .map(TaskId::of_host)
        .collect();
    let header = TaskHeader {
        priority: task.priority,
        attempts: task.attempts,
        on_failure: task.on_failure.code(),
        after: after.len() as u32,
    };
    let bytes = header.parts(&after, task.payload.as_bytes()).concat();
    let max = setup.limits.payload_bytes_max;
    if bytes.len() > max as usize {
        let problem = format!(
            "makes the task {} bytes long, more than limits.payload_bytes_max, {max}",
            bytes.len()
        );
        return Err(error("payload", problem));
    }
    Ok((subject, bytes))
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
