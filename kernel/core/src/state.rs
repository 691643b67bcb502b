//! The state of a run, its beginning, and the close of a tick.

use std::{collections::BTreeSet, sync::Arc};

use wasm_engine_abi::{
    AgentId, Digest, Tick,
    page::{TraceEvent, event},
    record::TickClose,
};
use wasm_engine_setup::{Setup, TraceLevel};

use crate::{
    agents::{self, Agents},
    environment::Environment,
    inbox::{ItemId, Items},
    payloads::Payloads,
    requests::Requests,
    schedule::ReadyQueue,
    stats::Stats,
    subscriptions::Subscriptions,
    supervision_groups::Groups,
    tick_digest::DigestChain,
    timers::Timers,
};

/// The last tick that can be: half of what a guest's timer can ask for, so that no sum of a tick
/// and a delay overflows. What is due later never is (T5).
pub(crate) const TICK_MAX: Tick = 1 << 62;

/// One turn of the current plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) agent: u32,
    pub(crate) kind: u32,
    /// Range in `Core::plan_items`.
    pub(crate) first_item: u32,
    pub(crate) items: u32,
}

/// The state of a run between two facts.
#[derive(Debug)]
pub struct Core {
    pub(crate) setup: Arc<Setup>,
    pub(crate) chain: DigestChain,
    pub(crate) stats: Stats,
    pub(crate) tick: Tick,
    pub(crate) microstep: u32,
    /// Opens and microsteps so far: the lifetime of payload places.
    pub(crate) epoch: u64,
    pub(crate) agents: Agents,
    pub(crate) order: ReadyQueue,
    pub(crate) items: Items,
    pub(crate) payloads: Payloads,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) timers: Timers,
    pub(crate) requests: Requests,
    /// Restarts by due tick and agent.
    pub(crate) backoffs: BTreeSet<(Tick, u32)>,
    pub(crate) groups: Groups,
    /// Agents that fell without a fault of their own; their lanes still hold an instance.
    pub(crate) group_stopped: Vec<AgentId>,
    pub(crate) held_items: u32,
    pub(crate) held_blocks: u32,
    pub(crate) deliveries: u32,
    pub(crate) plan: Vec<Planned>,
    pub(crate) plan_items: Vec<ItemId>,
    /// Next configured agent whose first init is to be planned in tick 0 (T8).
    pub(crate) next_init: u32,
    pub(crate) configured: u32,
    /// Agents that took a turn since the last state digest.
    pub(crate) ran: Vec<u32>,
    pub(crate) next_state_tick: Tick,
    pub(crate) turn_digests: Vec<u64>,
    /// Slot of the agent of each of them.
    pub(crate) turn_agents: Vec<u32>,
    /// Agents that changed since monitors were last trace.
    pub(crate) dirty: Vec<u32>,
    pub(crate) scratch: Vec<u8>,
}

/// First value of the digest chain: blake3 of the canonical setup, cut to 128 bits (D3).
#[must_use]
pub fn first_digest(setup: &Setup) -> Digest {
    let json = serde_json::to_vec(setup).unwrap_or_else(|error| {
        unreachable!("a setup holds only strings, numbers and lists of them: {error}")
    });
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(&json).as_bytes()[..16]);
    Digest::from_bytes(bytes)
}

impl Core {
    /// The state before tick 0: the configured agents exist and wait for their init turn.
    #[must_use]
    pub fn new(setup: Arc<Setup>) -> Self {
        let limits = &setup.limits;
        let mut agents = Agents::new(limits.agents_max);
        let mut groups = Groups::new(setup.groups.len());
        for agent in &setup.agents {
            let name = &setup.templates[agent.template as usize].name;
            let key = agents::configured_key(name, agent.copy);
            let args = agent.args.clone().into_bytes();
            let index = agents.create(agent.template, agent.copy, key, args);
            if let (Some(index), Some(group)) = (index, agent.group) {
                agents.at_mut(index).group = Some(group);
                groups.join(group, index);
            }
        }
        Self {
            chain: DigestChain::new(first_digest(&setup)),
            stats: Stats::default(),
            tick: 0,
            microstep: 0,
            epoch: 0,
            configured: agents.alive(),
            agents,
            order: ReadyQueue::new(setup.schedule, limits.agents_max, setup.aging_ticks),
            items: Items::default(),
            payloads: Payloads::default(),
            subscriptions: Subscriptions::new(setup.topics.len()),
            timers: Timers::default(),
            requests: Requests::new(setup.models.len()),
            backoffs: BTreeSet::new(),
            groups,
            group_stopped: Vec::new(),
            held_items: 0,
            held_blocks: 0,
            deliveries: 0,
            plan: Vec::new(),
            plan_items: Vec::new(),
            next_init: 0,
            ran: Vec::new(),
            next_state_tick: 0,
            turn_digests: Vec::new(),
            turn_agents: Vec::new(),
            dirty: Vec::new(),
            scratch: Vec::new(),
            setup,
        }
    }

    /// Traces at this level from now on, keeping at most `room` events: see [`Core::drain_trace`].
    pub fn set_trace(&mut self, level: TraceLevel, room: usize) {
        self.chain.trace.set_level(level, room);
    }

    /// What happened since the last call: how many events had no room, then those after them, in
    /// order; without time.
    #[inline]
    pub fn drain_trace(&mut self) -> (u64, impl Iterator<Item = TraceEvent> + '_) {
        self.chain.trace.take()
    }

    /// The agents whose state enters the state digest, in index order.
    pub fn state_agents(&mut self, into: &mut Vec<AgentId>) {
        self.ran.sort_unstable();
        into.clear();
        for &index in &self.ran {
            if self.agents.at(index).instance {
                into.push(self.agents.id(index));
            }
        }
    }

    /// Closes the tick; `state` is the digest of the agents' states when it is due.
    pub fn close(&mut self, state: Option<Digest>, env: &mut impl Environment) -> TickClose {
        debug_assert_eq!(state.is_some(), self.state_due());
        if state.is_some() {
            for index in self.ran.drain(..) {
                self.agents.at_mut(index).ran = false;
            }
            self.next_state_tick = self.tick.saturating_add(self.setup.state_digest_ticks);
        }
        self.payloads.settle(u64::MAX, env);
        self.chain.close(self.order.len() as u64, state);
        self.stats.ticks += 1;
        let turns = self.turn_digests.len() as u64;
        let digest = self.chain.digest().low();
        self.chain.trace.event(event::TICK_CLOSE, 0, turns, digest);
        TickClose {
            tick: self.tick,
            digest: self.chain.digest(),
            fuel: self.chain.fuel(),
            microsteps: self.microstep,
            turns: self.turn_digests.len() as u32,
        }
    }

    /// Agents that fell with their group since the last call and took no turn in doing so: the
    /// states that lanes hold of them are to be dropped.
    pub fn drain_group_stopped(&mut self, into: &mut Vec<AgentId>) {
        into.clear();
        into.append(&mut self.group_stopped);
    }

    /// Slots that changed since the last call, in the order of their first change.
    pub fn drain_dirty(&mut self, into: &mut Vec<u32>) {
        into.clear();
        for index in self.dirty.drain(..) {
            self.agents.at_mut(index).dirty = false;
            into.push(index);
        }
    }

    #[inline]
    pub(crate) fn mark_dirty(&mut self, index: u32) {
        if !std::mem::replace(&mut self.agents.at_mut(index).dirty, true) {
            self.dirty.push(index);
        }
    }

    /// Agent `index` may have become runnable: it takes its place in the schedule order (Q1).
    #[inline]
    pub(crate) fn make_runnable(&mut self, index: u32) {
        let agent = self.agents.at(index);
        if agent.runnable() && !agent.planned {
            let priority = self.setup.templates[agent.template as usize].priority;
            self.order.insert(index, priority, self.tick);
        }
    }
}
