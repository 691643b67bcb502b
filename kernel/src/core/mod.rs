//! The state machine: facts in, turns out, effects applied in schedule order.
//!
//! ```text
//! open(facts) -> { plan() -> turns run anywhere -> commit(results) }* -> close() -> digest
//! ```
//! It has no threads, no clock and no IO; the runtime, the replayer and tests drive it alike, and
//! what it does depends on the setup and the facts alone. Payload bytes stay where lanes wrote
//! them: the core moves descriptors and asks [`Outside`] for the few bytes that must be copied.
//!
//! | file | rules |
//! |---|---|
//! | `open.rs` | T3: backoff expiries, replies, timers, inputs |
//! | `plan_turns.rs`, `order/` | T4, Q: who takes a turn |
//! | `commit.rs` | C1, C2, pass 1 and 2 |
//! | `route.rs` | delivery, limits, topic policies (C2, C4) |
//! | `lifecycle.rs` | passes 3 and 4: spawn, terminate, pause, the end of agents (A10) |
//! | `supervision.rs` | what follows a fault, restart groups (A8, A9) |
//! | `pending.rs` | inference requests and timers that wait (I1) |
//! | `told.rs` | what is told of all this, event by event, to whoever watches |
//! | `agents.rs`, `inbox.rs`, `payloads.rs`, `chain.rs` | the state itself |

mod agents;
mod chain;
mod commit;
mod inbox;
mod lifecycle;
mod open;
mod order;
mod payloads;
mod pending;
mod plan_turns;
mod route;
mod supervision;
mod told;

use std::{collections::BTreeSet, sync::Arc};

use wasm_engine_abi::{
    AgentId, Digest, Tick,
    frame::{Effect, Place, TurnResult},
    page::{TraceEvent, event},
    record::TickClose,
};

use self::{
    agents::Agents,
    chain::Chain,
    inbox::{ItemId, Items},
    order::Order,
    payloads::Payloads,
    pending::{Requests, Timers},
    route::Routes,
    supervision::Groups,
};
pub use self::{
    agents::{Activity, Phase},
    open::OpenError,
    pending::Request,
    told::Telling,
};
use crate::setup::Setup;

/// The last tick that can be: half of what a guest's timer can ask for, so that no sum of a tick
/// and a delay overflows. What is due later never is (T5).
const TICK_MAX: Tick = 1 << 62;

/// What the core needs of the world around it: payload bytes, and takers of what leaves it.
pub trait Outside {
    /// Appends the payload at `place`, written in `epoch`, to `into`.
    fn read(&mut self, place: Place, epoch: u64, len: u32, into: &mut Vec<u8>);
    /// An open begins in `epoch`: the places of [`Outside::enter`] of two epochs ago expire.
    fn begin_open(&mut self, epoch: u64);
    /// Stores bytes that enter at open, readable in the next epoch.
    fn enter(&mut self, bytes: &[u8]) -> Place;
    /// Copies a payload to where it stays until [`Outside::unstash`].
    fn stash(&mut self, place: Place, epoch: u64, len: u32) -> Place;
    /// Frees a stashed payload.
    fn unstash(&mut self, place: Place, len: u32);
    /// A message on an output topic (SEMANTICS L2).
    fn output(&mut self, output: &Output<'_>);
    /// An inference request was accepted (SEMANTICS I1).
    fn request(&mut self, request: &Request, input: &[u8]);
    /// An agent wrote a log line.
    fn log_line(&mut self, agent: AgentId, tick: Tick, level: u64, text: &[u8]);
}

/// A message on an output topic, for the host.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// Tick in which it was committed.
    pub tick: Tick,
    /// Microstep in which it was committed.
    pub microstep: u32,
    /// Topic handle.
    pub topic: u32,
    /// Sender.
    pub from: AgentId,
    /// Sender's template.
    pub template: u32,
    /// Sender's copy number.
    pub copy: u32,
    /// The sender's sequence number.
    pub from_seq: u64,
    /// Payload.
    pub payload: &'a [u8],
}

/// What one turn of the plan did, read from wherever its lane put it.
#[derive(Clone, Copy, Debug)]
pub struct TurnOutput<'a> {
    /// Head.
    pub result: &'a TurnResult,
    /// What it asked for; none if it faulted.
    pub effects: &'a [Effect],
    /// The lane, and so the area of its payloads.
    pub lane: u32,
}

/// Results of a microstep by place in the plan.
pub trait Results {
    /// The turn at `position`.
    fn turn(&self, position: usize) -> TurnOutput<'_>;
}

/// Counts over the run so far; all logical, so equal in every execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Ticks executed.
    pub ticks: u64,
    /// Microsteps executed.
    pub microsteps: u64,
    /// Turns executed.
    pub turns: u64,
    /// Items received.
    pub items: u64,
    /// Messages delivered, per receiver.
    pub messages: u64,
    /// Messages refused, per receiver.
    pub refused: u64,
    /// Messages dropped by a topic's policy, per receiver.
    pub dropped: u64,
    /// Items that ended unreceived or with a fault.
    pub dead_letters: u64,
    /// Inputs that entered.
    pub inputs: u64,
    /// Inference requests accepted.
    pub inferences: u64,
    /// Faulted turns.
    pub faults: u64,
    /// Restarts.
    pub restarts: u64,
    /// Messages on output topics.
    pub outputs: u64,
    /// Fuel used.
    pub fuel: u64,
}

/// One turn of the current plan.
#[derive(Clone, Copy, Debug)]
struct Planned {
    agent: u32,
    kind: u32,
    /// Range in `Core::plan_items`.
    first_item: u32,
    items: u32,
}

/// The state of a run between two facts.
#[derive(Debug)]
pub struct Core {
    setup: Arc<Setup>,
    chain: Chain,
    stats: Stats,
    tick: Tick,
    microstep: u32,
    /// Opens and microsteps so far: the lifetime of payload places.
    epoch: u64,
    agents: Agents,
    order: Order,
    items: Items,
    payloads: Payloads,
    routes: Routes,
    timers: Timers,
    requests: Requests,
    /// Restarts by due tick and agent.
    backoffs: BTreeSet<(Tick, u32)>,
    groups: Groups,
    /// Agents that fell without a fault of their own; their lanes still hold an instance.
    fallen: Vec<AgentId>,
    held_items: u32,
    held_blocks: u32,
    deliveries: u32,
    plan: Vec<Planned>,
    plan_items: Vec<ItemId>,
    /// Next configured agent whose first init is to be planned in tick 0 (T8).
    next_init: u32,
    configured: u32,
    /// Agents that took a turn since the last state digest.
    ran: Vec<u32>,
    next_state_tick: Tick,
    turn_digests: Vec<u64>,
    /// Slot of the agent of each of them.
    turn_agents: Vec<u32>,
    /// Agents that changed since monitors were last told.
    touched: Vec<u32>,
    scratch: Vec<u8>,
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
            chain: Chain::new(first_digest(&setup)),
            stats: Stats::default(),
            tick: 0,
            microstep: 0,
            epoch: 0,
            configured: agents.alive(),
            agents,
            order: Order::new(setup.schedule, limits.agents_max, setup.aging_ticks),
            items: Items::default(),
            payloads: Payloads::default(),
            routes: Routes::new(setup.topics.len()),
            timers: Timers::default(),
            requests: Requests::new(setup.models.len()),
            backoffs: BTreeSet::new(),
            groups,
            fallen: Vec::new(),
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
            touched: Vec::new(),
            scratch: Vec::new(),
            setup,
        }
    }

    /// Tells so much of what happens from now on, keeping at most `room` events: see
    /// [`Core::take_told`].
    pub fn tell(&mut self, telling: Telling, room: usize) {
        self.chain.told.tell(telling, room);
    }

    /// What happened since the last call: how many events had no room, then those after them, in
    /// order; without time.
    #[inline]
    pub fn take_told(&mut self) -> (u64, impl Iterator<Item = TraceEvent> + '_) {
        self.chain.told.take()
    }

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

    /// Number of opens and microsteps so far (see [`Outside`]).
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
            activity: agent.activity,
        }
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
        let due = [timer, backoff, self.requests.next_due()].into_iter().flatten().min();
        due.filter(|tick| *tick <= TICK_MAX)
    }

    /// Whether this tick closes a state interval (SEMANTICS D5). Then the agents named by
    /// [`Core::state_agents`] are hashed for [`Core::close`].
    #[must_use]
    pub fn state_due(&self) -> bool {
        self.tick >= self.next_state_tick
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
    pub fn close(&mut self, state: Option<Digest>, outside: &mut impl Outside) -> TickClose {
        debug_assert_eq!(state.is_some(), self.state_due());
        if state.is_some() {
            for index in self.ran.drain(..) {
                self.agents.at_mut(index).ran = false;
            }
            self.next_state_tick = self.tick.saturating_add(self.setup.state_digest_ticks);
        }
        self.payloads.settle(u64::MAX, outside);
        self.chain.close(self.order.len() as u64, state);
        self.stats.ticks += 1;
        let turns = self.turn_digests.len() as u64;
        let digest = self.chain.digest().low();
        self.chain.told.event(event::TICK_CLOSE, 0, turns, digest);
        TickClose {
            tick: self.tick,
            digest: self.chain.digest(),
            fuel: self.chain.fuel(),
            microsteps: self.microstep,
            turns: self.turn_digests.len() as u32,
        }
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

    /// Agents that fell with their group since the last call and took no turn in doing so: the
    /// states that lanes hold of them are to be dropped.
    pub fn take_fallen(&mut self, into: &mut Vec<AgentId>) {
        into.clear();
        into.append(&mut self.fallen);
    }

    /// Slots that changed since the last call, in the order of their first change.
    pub fn take_touched(&mut self, into: &mut Vec<u32>) {
        into.clear();
        for index in self.touched.drain(..) {
            self.agents.at_mut(index).touched = false;
            into.push(index);
        }
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

    /// Number of requests whose reply is outstanding.
    #[must_use]
    pub fn requests_pending(&self) -> u32 {
        self.requests.count
    }

    /// Agents that are runnable.
    #[must_use]
    pub fn runnable(&self) -> u32 {
        self.order.len() as u32
    }

    #[inline]
    fn touch(&mut self, index: u32) {
        if !std::mem::replace(&mut self.agents.at_mut(index).touched, true) {
            self.touched.push(index);
        }
    }

    /// Agent `index` may have become runnable: it takes its place in the schedule order (Q1).
    #[inline]
    fn make_runnable(&mut self, index: u32) {
        let agent = self.agents.at(index);
        if agent.runnable() && !agent.planned {
            let priority = self.setup.templates[agent.template as usize].priority;
            self.order.insert(index, priority, self.tick);
        }
    }
}

/// What monitors show of an agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AgentState {
    /// Address.
    pub id: AgentId,
    /// Place in the setup's templates.
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
