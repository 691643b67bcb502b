//! What a kernel did so far, as a report.

use wasm_engine_abi::page::stall;

use crate::{machine::Kernel, report::RunReport, run::sinks::Sinks};

/// What a kernel did so far, as a report.
pub(crate) fn tally(kernel: &mut Kernel, sinks: &Sinks) -> RunReport {
    let stalls = kernel.page().stalls;
    let core = kernel.core();
    let stats = core.stats();
    let by_cause = [("model", stall::MODEL), ("source", stall::SOURCE), ("load", stall::LOAD)];
    RunReport {
        ticks: stats.ticks,
        last_tick: core.tick(),
        microsteps: stats.microsteps,
        agents: u64::from(core.agents_alive()),
        turns: stats.turns,
        inputs: stats.inputs,
        messages: stats.messages,
        refused: stats.refused,
        dropped: stats.dropped,
        inferences: stats.inferences,
        faults: stats.faults,
        restarts: stats.restarts,
        output_messages: stats.outputs,
        fuel: stats.fuel,
        stalls: by_cause.iter().map(|(_, cause)| stalls[*cause]).sum(),
        stalls_by_cause: by_cause.map(|(name, cause)| (name.to_owned(), stalls[cause])).into(),
        digest: core.digest(),
        fuel_digest: core.fuel_digest(),
        region_bytes: kernel.built().bytes,
        outputs: sinks.last_outputs(),
        ..RunReport::default()
    }
}
