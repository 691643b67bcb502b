//! What drivers and monitors may ask the core between two steps.

use std::sync::Arc;

use wasm_engine_abi::{AgentId, Digest, Tick};
use wasm_engine_setup::Setup;

use crate::agents::{Activity, Phase};
use crate::models::{Load, ModelCounts};
use crate::requests::Request;
use crate::state::{Core, TICK_MAX};
use crate::stats::Stats;

impl Core {
    /// What the run is made of.
    #[must_use]
    pub fn setup(&self) -> &Arc<Setup> {
        &self.setup
    }

    /// Counts so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The tick under way, or the last one.
    #[must_use]
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Microsteps of the tick under way, or of the last one.
    #[must_use]
    pub fn microstep(&self) -> u32 {
        self.microstep
    }

    /// Number of opens and microsteps so far (see [`PayloadStore`](crate::PayloadStore)).
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Digest of the last closed tick, or the first value of the chain.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.chain.digest()
    }

    /// Fuel chain at the last closed tick (SEMANTICS D4).
    #[must_use]
    pub fn fuel_digest(&self) -> Digest {
        self.chain.fuel()
    }

    /// Agents that exist.
    #[must_use]
    pub fn agents_alive(&self) -> u32 {
        self.agents.alive()
    }

    /// Agent slots used so far; rows of monitors go up to here.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.agents.len() as u32
    }

    /// Messages and inputs held by all inboxes, and their payload blocks.
    #[must_use]
    pub fn held(&self) -> (u32, u32) {
        (self.held_items, self.held_blocks)
    }

    /// Timers in memory; of incarnations that are over at most 1,024 or as many as of others.
    #[must_use]
    pub fn timers_held(&self) -> usize {
        self.timers.held()
    }

    /// What monitors show of the agent in slot `index`.
    ///
    /// # Panics
    /// If `index` is not below [`Core::slots`].
    #[must_use]
    pub fn agent(&self, index: u32) -> AgentState {
        let agent = self.agents.at(index);
        AgentState {
            id: self.agents.id(index),
            template: agent.template,
            copy: agent.copy,
            incarnation: agent.incarnation,
            phase: agent.phase,
            paused: agent.paused,
            inbox_items: agent.inbox.items,
            inbox_blocks: agent.inbox.blocks,
            activity: self.agents.activity(index),
        }
    }

    /// Address and incarnation of the agent in slot `index` if it has a state, which its lane
    /// holds: its init was committed, and it has not faulted since.
    ///
    /// # Panics
    /// If `index` is not below [`Core::slots`].
    #[must_use]
    pub fn incarnation(&self, index: u32) -> Option<(AgentId, u32)> {
        let agent = self.agents.at(index);
        agent.instance.then(|| (self.agents.id(index), agent.incarnation))
    }

    /// Tick of the save point of the agent in slot `index`, if it has one, which its lane holds.
    ///
    /// # Panics
    /// If `index` is not below [`Core::slots`].
    #[must_use]
    pub fn saved(&self, index: u32) -> Option<Tick> {
        self.agents.rare(index).saved
    }

    /// The smallest tick that must run next, without regard to inputs: `None` if none is due
    /// (SEMANTICS T5). Runnable agents make it the next one.
    pub fn next_tick(&mut self) -> Option<Tick> {
        if self.order.len() > 0 {
            return Some(self.tick + 1).filter(|tick| *tick <= TICK_MAX);
        }
        let agents = &self.agents;
        let timer =
            self.timers.next_due(|id, incarnation| agents.living(id, incarnation).is_some());
        let backoff = self.backoffs.first().map(|(due, _)| *due);
        let due = [timer, backoff, self.requests.next_due(), self.models.next_due()]
            .into_iter()
            .flatten()
            .min();
        due.filter(|tick| *tick <= TICK_MAX)
    }

    /// Agents that are runnable.
    #[must_use]
    pub fn runnable(&self) -> u32 {
        self.order.len() as u32
    }

    /// Whether this tick closes a state interval (SEMANTICS D5). Then the agents named by
    /// [`Core::state_agents`] are hashed for [`Core::close`].
    #[must_use]
    pub fn state_due(&self) -> bool {
        self.tick >= self.next_state_tick
    }

    /// Low halves of the digests of this tick's turns, in schedule order over all microsteps.
    #[must_use]
    #[inline]
    pub fn turn_digests(&self) -> &[u64] {
        &self.turn_digests
    }

    /// Slots of the agents whose digests [`Core::turn_digests`] gives.
    #[must_use]
    pub fn turn_agents(&self) -> &[u32] {
        &self.turn_agents
    }

    /// Requests whose replies must be among the facts of `tick`, in request order (I1).
    pub fn requests_due(&self, tick: Tick, into: &mut Vec<Request>) {
        self.requests.due(tick, into);
    }

    /// All requests whose reply is outstanding, with their inputs, in request order: what a
    /// resumed run has to ask again.
    #[must_use]
    pub fn requests_outstanding(&self) -> Vec<(Request, &[u8])> {
        self.requests.outstanding()
    }

    /// Loads whose outcomes must be among the facts of `tick`, in the order of their numbers.
    pub fn loads_due(&self, tick: Tick, into: &mut Vec<Load>) {
        into.clear();
        into.extend(self.models.outstanding().filter(|load| load.due <= tick));
    }

    /// All loads whose outcome is outstanding, in order: what a resumed run has to begin again.
    #[must_use]
    pub fn loads_outstanding(&self) -> Vec<Load> {
        self.models.outstanding().collect()
    }

    /// Whether the model is loaded (SEMANTICS A13).
    ///
    /// # Panics
    /// If there is no such model.
    #[must_use]
    pub fn is_loaded(&self, model: u32) -> bool {
        self.models.is_loaded(model)
    }

    /// What happened to a model so far.
    ///
    /// # Panics
    /// If there is no such model.
    #[must_use]
    pub fn model_counts(&self, model: u32) -> ModelCounts {
        self.models.counts(model)
    }

    /// Number of requests whose reply is outstanding.
    #[must_use]
    pub fn requests_pending(&self) -> u32 {
        self.requests.count
    }
}

/// What monitors show of an agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AgentState {
    /// Address.
    pub id: AgentId,
    /// Index in the setup's templates.
    pub template: u32,
    /// Copy number.
    pub copy: u32,
    /// Incarnation.
    pub incarnation: u32,
    /// Phase.
    pub phase: Phase,
    /// Paused.
    pub paused: bool,
    /// Messages and inputs in the inbox.
    pub inbox_items: u32,
    /// Their payload blocks.
    pub inbox_blocks: u32,
    /// What it did.
    pub activity: Activity,
}
