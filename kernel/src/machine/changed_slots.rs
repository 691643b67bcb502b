//! Which agents may have another state than at the last copy.

use wasm_engine_abi::AgentId;

/// Slots whose agents took a turn, or lost their state, since the last copy.
#[derive(Debug, Default)]
pub(crate) struct ChangedSlots {
    /// Whether anybody asks.
    on: bool,
    /// All of them.
    all: bool,
    /// By slot.
    marked: Vec<bool>,
    list: Vec<u32>,
}

impl ChangedSlots {
    /// Begins with all of them.
    pub(crate) fn begin(&mut self) {
        (self.on, self.all) = (true, true);
    }

    /// Whether anybody asks.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// Marks a slot.
    #[inline]
    pub(crate) fn mark(&mut self, slot: u32) {
        let at = slot as usize;
        if self.marked.len() <= at {
            self.marked.resize(at + 1, false);
        }
        if !std::mem::replace(&mut self.marked[at], true) {
            self.list.push(slot);
        }
    }

    /// Those that are marked, ascending; none is any more.
    pub(crate) fn take(&mut self, slots: u32) -> Vec<u32> {
        let mut list = std::mem::take(&mut self.list);
        if std::mem::take(&mut self.all) {
            list.clear();
            list.extend(0..slots);
        }
        self.marked.fill(false);
        list.sort_unstable();
        list
    }

    /// Keeps the memory of a list for the next one.
    pub(crate) fn give_back(&mut self, mut list: Vec<u32>) {
        list.clear();
        self.list = list;
    }

    /// Marks agents that lost or changed what is kept of them without a turn.
    pub(crate) fn mark_all(&mut self, agents: &[AgentId]) {
        if self.on {
            agents.iter().for_each(|agent| self.mark(agent.index()));
        }
    }
}
