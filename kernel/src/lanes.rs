//! Steps the planned turns of a microstep on all lanes and hands their results to the core.
//!
//! Lane 0 is the scheduler's own thread; workers are further lanes. An agent's home lane is fixed
//! by its slot. Which lane steps a turn, and when, decides nothing (SEMANTICS T4).

use std::sync::Arc;

use bytemuck::Zeroable;
use wasm_engine_abi::{
    AgentId, Digest,
    frame::{Effect, ItemFrame, TurnCommand, TurnResult, turn},
};
use xxhash_rust::xxh3::Xxh3Default;

use crate::{
    core::{Core, Results, TurnOutput},
    lane::{Areas, Lane, LaneShared, MachineError},
    time,
};

/// Results of one microstep: the bytes each lane gave, and where each turn's lie.
#[derive(Debug, Default)]
pub(crate) struct Store {
    lanes: Vec<Vec<u8>>,
    turns: Vec<Place>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    lane: u32,
    offset: usize,
}

impl Results for Store {
    fn turn(&self, position: usize) -> TurnOutput<'_> {
        let Place { lane, offset } = self.turns[position];
        let bytes = &self.lanes[lane as usize][offset..];
        let (head, rest) = bytes.split_at(size_of::<TurnResult>());
        let result: TurnResult = bytemuck::pod_read_unaligned(head);
        let effects = &rest[..result.effects as usize * size_of::<Effect>()];
        TurnOutput { result, effects, lane }
    }
}

/// What lanes did, for monitors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LaneUse {
    pub(crate) turns: u64,
    pub(crate) busy_ns: u64,
    pub(crate) wait_ns: u64,
}

/// All lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    own: Lane,
    store: Store,
    frames: Vec<ItemFrame>,
    uses: Vec<LaneUse>,
}

impl Lanes {
    pub(crate) fn new(shared: Arc<LaneShared>, areas: Areas) -> Self {
        Self {
            own: Lane::new(shared, 0, areas),
            store: Store { lanes: vec![Vec::new()], turns: Vec::new() },
            frames: Vec::new(),
            uses: vec![LaneUse::default()],
        }
    }

    /// By lane.
    pub(crate) fn uses(&self) -> &[LaneUse] {
        &self.uses
    }

    /// The lane on which the agent in slot `index` lives.
    pub(crate) fn home(&self, index: u32) -> u32 {
        index % self.uses.len() as u32
    }

    /// Steps every turn of the core's plan.
    pub(crate) fn step(&mut self, core: &Core) -> Result<&Store, MachineError> {
        let turns = core.planned();
        self.store.turns.clear();
        self.store.turns.resize(turns, Place::default());
        for bytes in &mut self.store.lanes {
            bytes.clear();
        }
        let begin = time::now_ns();
        self.own.begin(core.epoch());
        for position in 0..turns {
            let (command, args) = core.turn(position, &mut self.frames);
            let bytes = &mut self.store.lanes[0];
            self.store.turns[position] = Place { lane: 0, offset: bytes.len() };
            self.own.execute(&command, &self.frames, args, bytes)?;
        }
        self.uses[0].turns += turns as u64;
        self.uses[0].busy_ns += time::now_ns() - begin;
        Ok(&self.store)
    }

    /// Digest over the states of `agents`, in this order (SEMANTICS D5): xxh3-128 of address and
    /// state digest of each.
    pub(crate) fn state_digest(&mut self, agents: &[AgentId]) -> Result<Digest, MachineError> {
        let mut hasher = Xxh3Default::new();
        for &agent in agents {
            let command =
                TurnCommand { agent: agent.to_bits(), kind: turn::HASH, ..TurnCommand::zeroed() };
            let bytes = &mut self.store.lanes[0];
            bytes.clear();
            self.own.execute(&command, &[], &[], bytes)?;
            let result: TurnResult = bytemuck::pod_read_unaligned(&bytes[..size_of::<TurnResult>()]);
            hasher.update(&agent.to_bits().to_le_bytes());
            hasher.update(&result.digest.to_bytes());
        }
        Ok(Digest::new(hasher.digest128()))
    }
}
