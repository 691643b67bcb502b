//! Restart groups: who belongs to one, and when it was restarted (SEMANTICS A8).

use std::collections::VecDeque;

use wasm_engine_abi::Tick;

/// One restart group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Slots of its configured members, ascending. One that is free or used again is none.
    pub(crate) members: Vec<u32>,
    /// Ticks of its restarts within the supervision window.
    pub(crate) restarts: VecDeque<Tick>,
}

/// All restart groups, in the setup's order.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) groups: Vec<Group>,
}

impl Groups {
    pub(crate) fn new(count: usize) -> Self {
        Self { groups: (0..count).map(|_| Group::default()).collect() }
    }

    /// Configured agent `index` is a member of `group`.
    pub(crate) fn join(&mut self, group: u32, index: u32) {
        self.groups[group as usize].members.push(index);
    }
}
