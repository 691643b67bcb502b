//! Restart groups: who belongs to one, and when it was restarted (SEMANTICS A8).

use std::collections::VecDeque;

use wasm_engine_abi::Tick;

use crate::codec::{CheckpointError, Coded as _, Reader, ensure};

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

    /// Appends their restarts; who belongs to them, the setup says.
    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        let Self { groups } = self;
        let restarts = |group: &Group| {
            let Group { members: _, restarts } = group;
            restarts.clone()
        };
        groups.iter().map(restarts).collect::<Vec<_>>().put(into);
    }

    /// Reads them into groups that were made from the setup, in tick `now`.
    pub(crate) fn take(&mut self, from: &mut Reader<'_>, now: Tick) -> Result<(), CheckpointError> {
        let all = Vec::<VecDeque<Tick>>::take(from)?;
        ensure(all.len() == self.groups.len(), "it has another number of groups")?;
        for (group, restarts) in self.groups.iter_mut().zip(all) {
            ensure(restarts.iter().all(|tick| *tick <= now), "a group restarted later")?;
            group.restarts = restarts;
        }
        Ok(())
    }

    /// Configured agent `index` is a member of `group`.
    pub(crate) fn join(&mut self, group: u32, index: u32) {
        self.groups[group as usize].members.push(index);
    }
}
