//! Tells lanes what becomes of the save points that they hold (SEMANTICS A9).

use wasm_engine_abi::AgentId;
use wasm_engine_core::Core;
use wasm_engine_guest::MachineError;

use crate::machine::{changed_slots::ChangedSlots, lane_pool::LanePool};

/// What is asked and told.
pub(super) struct KeptStates<'a> {
    pub(super) core: &'a mut Core,
    pub(super) lanes: &'a mut LanePool,
    pub(super) changed: &'a mut ChangedSlots,
    /// Room for a list.
    pub(super) agents: &'a mut Vec<AgentId>,
}

impl KeptStates<'_> {
    /// Behind an open: who begins again with a save point has its state.
    pub(super) fn go_back(&mut self) -> Result<(), MachineError> {
        self.core.drain_restored(self.agents);
        self.changed.mark_all(self.agents);
        for &agent in self.agents.iter() {
            if let Some((agent, incarnation)) = self.core.incarnation(agent.index()) {
                self.lanes.go_back(agent, incarnation)?;
            }
        }
        Ok(())
    }

    /// Behind an open and a commit: save points of agents that ended are dropped.
    pub(super) fn forget(&mut self) {
        self.core.drain_forgotten(self.agents);
        self.changed.mark_all(self.agents);
        self.agents.iter().for_each(|agent| self.lanes.forget(*agent));
    }
}
