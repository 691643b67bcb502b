//! Save points: which states are kept, and the restart with one (SEMANTICS A9).
//!
//! ```text
//!  a turn, not faulted, that is due or called `save` -> its lane keeps the state
//!  backoff ends -> the lane goes back to it, `restarted` is the first item, no init
//! ```
//! The core knows which agents have one and of which tick; the bytes lie with the lanes. A save
//! point belongs to the address and outlives restarts; it ends with the agent.

use wasm_engine_abi::{
    AgentId,
    frame::{ItemHeader, NO_TOPIC, item, turn},
};

use crate::agents::Phase;
use crate::inbox::Item;
use crate::payloads::NO_PAYLOAD;
use crate::state::{Core, Planned};
use crate::tick_digest::event;
use crate::tick_open::input_trace;

impl Core {
    /// A turn of the incarnation was committed without a fault: counts where it matters.
    #[inline]
    pub(crate) fn count_own_turn(&mut self, planned: Planned) {
        let template = self.agents.at(planned.agent).template;
        let saves = self.setup.templates[template as usize].restart.saves();
        if saves.is_some() && planned.kind != turn::SHUTDOWN {
            self.agents.rare_mut(planned.agent).own_turns += 1;
        }
    }

    /// The state behind the turn of this tick is the save point of agent `index`.
    pub(crate) fn mark_saved(&mut self, index: u32) {
        self.agents.rare_mut(index).saved = Some(self.tick);
        self.chain.event(event::SAVED, self.agents.id(index).to_bits(), 0);
    }

    /// A9: an incarnation that begins goes on from the save point, if there is one: it is active
    /// without an init, and the first that it receives says so.
    pub(crate) fn restore_saved(&mut self, index: u32) {
        let Some(saved) = self.agents.rare(index).saved else { return };
        let id = self.agents.id(index);
        let agent = self.agents.at_mut(index);
        (agent.phase, agent.instance) = (Phase::Active, true);
        let trace = input_trace(agent.key, agent.incarnation.into());
        self.chain.event(event::RESTORED, id.to_bits(), saved);
        let header = ItemHeader {
            kind: item::RESTARTED,
            from: AgentId::NONE.to_bits(),
            from_seq: saved,
            tick: self.tick,
            topic: NO_TOPIC,
            trace,
            ..ItemHeader::default()
        };
        let first = self.items.add(Item::new(header, NO_PAYLOAD, false));
        self.agents.at_mut(index).inbox.push_front(first, &mut self.items);
        self.restored.push(id);
    }

    /// The agent is no more, and so is its save point.
    pub(crate) fn forget_saved(&mut self, index: u32) {
        if self.agents.rare_mut(index).saved.take().is_some() {
            self.forgotten.push(self.agents.id(index));
        }
    }
}
