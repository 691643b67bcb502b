//! Tasks that a host gives to agents, and how they ended (docs/SEMANTICS.md, A12).
#![expect(unsafe_code, reason = "their names are exported as C knows them")]

use wasm_engine::host::HostCommand;
use wasm_engine_abi::{
    AgentId,
    task::{TaskHeader, TaskId},
};

use crate::{
    commands::give,
    guard::enter,
    host::{HOSTS, we_host},
    raw::{BytesArg, OutTaskOutcome, OutU64, U64sArg},
    result::we_result,
    structs::we_task_outcome,
};

/// Gives an agent a task, at the open of the next tick. `number` is as with all commands, and by
/// it later tasks wait for this one. It may be taken when the `after_len` tasks of the host whose
/// numbers are in `after` have ended; it is tried up to `attempts` times, 1 to 65,536, before it
/// has failed; `on_failure`, one of `we_on_failure`, says what becomes of it if one of those did
/// not succeed. Of an agent's tasks the one of the greatest `priority` comes first. `payload` is
/// copied, and both pointers may be null where there is nothing. `we_host_next_outcome` says
/// whether it was taken, `we_host_next_task_outcome` how it ended.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_schedule_task(
    host: we_host,
    agent: u64,
    priority: i32,
    attempts: u32,
    on_failure: u32,
    after: U64sArg<'_>,
    after_len: usize,
    payload: BytesArg<'_>,
    len: usize,
    number: OutU64<'_>,
) -> we_result {
    enter(|| {
        let after: Vec<_> = after.get(after_len, "after")?.map(TaskId::of_host).collect();
        let payload = payload.get(len, "payload")?;
        // Where there are more than fit, the task is refused as too long.
        let header = TaskHeader { priority, attempts, on_failure, after: after.len() as u32 };
        let task = &header.parts(&after, payload).concat();
        give(host, HostCommand::Schedule { agent: AgentId::from_bits(agent), task }, &number)
    })
}

/// Gives how the next of the host's tasks that ended in the last call of ticks did;
/// `WE_RESULT_NONE` if there is no more.
#[unsafe(no_mangle)]
pub extern "C" fn we_host_next_task_outcome(
    host: we_host,
    outcome: OutTaskOutcome<'_>,
) -> we_result {
    enter(|| {
        outcome.check("outcome")?;
        HOSTS.with(host, |it| {
            let next = it.host.task_outcomes().nth(it.next_task_outcome);
            let Some(next) = next else { return Ok(we_result::None) };
            it.next_task_outcome += 1;
            outcome.write(&we_task_outcome {
                size: size_of::<we_task_outcome>() as u32,
                status: next.status as i32,
                number: next.seq,
                tick: next.tick,
                agent: next.agent.to_bits(),
                state: next.state,
                attempts: next.attempts,
                code: next.code,
                reserved: 0,
            });
            Ok(we_result::Ok)
        })
    })
}
