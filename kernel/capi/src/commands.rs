//! What a host tells its kernel to do at the open of the next tick, and what came of it.
//!
//! Each gives the number under which `we_host_next_outcome` says what came of it, unless `number`
//! is null.
#![expect(unsafe_code, reason = "their names are exported as C knows them")]

use wasm_engine::host::HostCommand;
use wasm_engine_abi::AgentId;

use crate::{
    guard::enter,
    host::{HOSTS, we_host},
    raw::{BytesArg, OutOutcome, OutU64, TextArg},
    result::{Failure, we_result},
    structs::we_host_outcome,
};

/// Gives the address of an agent that exists from tick 0, by the name that outputs give it.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_find_agent(
    host: we_host,
    name: TextArg<'_>,
    agent: OutU64<'_>,
) -> we_result {
    enter(|| {
        agent.check("agent")?;
        let name = name.get("name")?;
        HOSTS.with(host, |it| {
            let found = it.host.agent(name).ok_or_else(|| {
                let text = format!("no agent of the name {name} exists from tick 0");
                Failure::new(we_result::UnknownAgent, text)
            })?;
            agent.write(found.to_bits());
            Ok(we_result::Ok)
        })
    })
}

/// Pauses an agent at the open of the next tick. `number`, unless null, becomes the number under
/// which `we_host_next_outcome` says what came of it; so with all commands.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_pause_agent(host: we_host, agent: u64, number: OutU64<'_>) -> we_result {
    enter(|| give(host, HostCommand::Pause(AgentId::from_bits(agent)), &number))
}

/// Ends the pause of an agent.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_resume_agent(host: we_host, agent: u64, number: OutU64<'_>) -> we_result {
    enter(|| give(host, HostCommand::Resume(AgentId::from_bits(agent)), &number))
}

/// Ends an agent, after a last turn.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_terminate_agent(
    host: we_host,
    agent: u64,
    number: OutU64<'_>,
) -> we_result {
    enter(|| give(host, HostCommand::Terminate(AgentId::from_bits(agent)), &number))
}

/// Makes an agent, one of the configured `agent`, and gives `args` to its `agent_init`. They are
/// copied, and may be null if `len` is 0.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_spawn_agent(
    host: we_host,
    agent: TextArg<'_>,
    args: BytesArg<'_>,
    len: usize,
    number: OutU64<'_>,
) -> we_result {
    enter(|| {
        let (agent, args) = (agent.get("agent")?, args.get(len, "args")?);
        give(host, HostCommand::Spawn { agent, args }, &number)
    })
}

/// Loads a model, by name or `name@version`.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_load_model(
    host: we_host,
    model: TextArg<'_>,
    number: OutU64<'_>,
) -> we_result {
    enter(|| give(host, HostCommand::Load(model.get("model")?), &number))
}

/// Unloads a model, by name or `name@version`.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_unload_model(
    host: we_host,
    model: TextArg<'_>,
    number: OutU64<'_>,
) -> we_result {
    enter(|| give(host, HostCommand::Unload(model.get("model")?), &number))
}

/// Lets the name of a model mean this version, `name@version`.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_swap_model(
    host: we_host,
    model: TextArg<'_>,
    number: OutU64<'_>,
) -> we_result {
    enter(|| give(host, HostCommand::Swap(model.get("model")?), &number))
}

/// Gives what came of the next of the commands that the last call of ticks applied, in their order;
/// `WE_RESULT_NONE` if there is no more.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_next_outcome(host: we_host, outcome: OutOutcome<'_>) -> we_result {
    enter(|| {
        outcome.check("outcome")?;
        HOSTS.with(host, |it| {
            let next = it.host.command_outcomes().nth(it.next_outcome);
            let Some(next) = next else { return Ok(we_result::None) };
            it.next_outcome += 1;
            outcome.write(&we_host_outcome {
                size: size_of::<we_host_outcome>() as u32,
                status: next.status as i32,
                number: next.command.seq,
                tick: next.tick,
                agent: next.agent.to_bits(),
            });
            Ok(we_result::Ok)
        })
    })
}

pub(crate) fn give(
    host: we_host,
    command: HostCommand<'_>,
    number: &OutU64<'_>,
) -> Result<we_result, Failure> {
    HOSTS.with(host, |it| {
        number.write(it.host.command(command)?);
        Ok(we_result::Ok)
    })
}
