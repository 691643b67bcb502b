//! What a kernel did so far, as a report.

use wasm_engine_abi::page::stall;
use wasm_engine_inference::InferenceHandle;
use wasm_engine_setup::ModelSetup;

use crate::{
    machine::Kernel,
    report::{RunModelReport, RunReport},
    run::sinks::Sinks,
};

/// What a kernel did so far, as a report.
pub(crate) fn tally(kernel: &mut Kernel, sinks: &Sinks) -> RunReport {
    let stalls = kernel.page().stalls_model;
    let core = kernel.core();
    let models = (0..).zip(&sinks.providers);
    let models = models.map(|(index, providers)| RunModelReport::of(core, index, providers));
    let names = core.setup().models.iter().map(ModelSetup::full_name);
    let measures = sinks.inference.iter().flat_map(InferenceHandle::measures);
    RunReport {
        last_tick: core.tick(),
        agents: u64::from(core.agents_alive()),
        paused_items: (0..core.slots())
            .map(|index| core.agent(index))
            .filter(|agent| agent.paused)
            .map(|agent| u64::from(agent.inbox_items))
            .sum(),
        stalls,
        stalls_by_cause: [(stall::text(stall::MODEL).to_owned(), stalls)].into(),
        digest: core.digest(),
        fuel_digest: core.fuel_digest(),
        memory_layout: kernel.engine().layout().to_string(),
        memory_reserved_bytes: kernel.engine().reserved_bytes(),
        asleep: kernel.agents_held().1,
        region_bytes: kernel.built().bytes,
        commands: sinks.commands,
        commands_refused: sinks.commands_refused,
        models: models.collect(),
        model_measures: names.zip(measures).collect(),
        outputs: sinks.last_outputs(),
        first_fault: sinks.faults.first.clone(),
        ..RunReport::of(&core.stats())
    }
}
