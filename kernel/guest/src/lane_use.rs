//! What a lane did so far, for monitors.

use bytemuck::{Pod, Zeroable};
use wasm_engine_abi::frame::turn;
use wasm_engine_abi::page::NONE_U32;

use crate::lane::Lane;

/// What a lane did so far, counted by its own thread, for monitors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct LaneUse {
    /// Turns executed.
    pub turns: u64,
    /// Time spent executing commands, in ns.
    pub busy_ns: u64,
    /// Time spent waiting, in ns: for commands, or on lane 0 for the other lanes.
    pub wait_ns: u64,
    /// Commands executed: turns, state digests, drops.
    pub commands: u64,
    /// Results given.
    pub results: u64,
    /// Outbox bytes in use after the last microstep.
    pub outbox_bytes: u64,
    /// Outbox bytes that a microstep may use.
    pub outbox_capacity: u64,
    /// Most outbox bytes ever in use.
    pub outbox_high_bytes: u64,
    /// Core that the thread is pinned to; [`NONE_U32`] if it is not.
    pub core: u32,
    /// Agents in a seat.
    pub awake: u32,
    /// Agents without one.
    pub asleep: u32,
    /// Zero.
    pub reserved: u32,
}

impl Default for LaneUse {
    fn default() -> Self {
        Self { core: NONE_U32, ..Self::zeroed() }
    }
}

impl LaneUse {
    /// Counts an executed command of this kind.
    #[inline]
    pub fn count(&mut self, kind: u32) {
        self.commands += 1;
        self.results += 1;
        self.turns += u64::from(!matches!(kind, turn::HASH | turn::DROP));
    }

    /// Takes how full the lane's outbox is and how its agents are.
    #[inline]
    pub(crate) fn poll(&mut self, lane: &Lane) {
        (self.awake, self.asleep) = lane.agents();
        (self.outbox_bytes, self.outbox_capacity) = lane.outbox_bytes();
        self.outbox_high_bytes = self.outbox_high_bytes.max(self.outbox_bytes);
    }
}
