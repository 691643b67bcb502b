//! The state of a run, its beginning, and the close of a tick.

use std::{collections::BTreeSet, sync::Arc};

use wasm_engine_abi::{
    AgentId, Digest, Tick,
    frame::TurnResult,
    page::{TraceEvent, event},
    record::{LIVE_COMMAND, TickClose},
};
use wasm_engine_setup::{Setup, TraceLevel};

use crate::{
    agents::{self, Agents},
    budget::BudgetLeft,
    environment::Environment,
    inbox::{ItemId, Items},
    models::Models,
    payloads::{Payloads, blocks},
    requests::Requests,
    schedule::ReadyQueue,
    stats::Stats,
    subscriptions::Subscriptions,
    supervision_groups::Groups,
    tasks::{NO_TASK, TaskSlot, Tasks},
    tick_digest::DigestChain,
    timers::Timers,
    topic_quotas::TopicQuotas,
};

/// The last tick that can be: half of what a guest's timer can ask for, so that no sum of a tick
/// and a delay overflows. What is due later never is (SEMANTICS T5.7).
pub const TICK_MAX: Tick = 1 << 62;

/// One turn of the current plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) agent: u32,
    pub(crate) kind: u32,
    /// Range in `Core::plan_items`.
    pub(crate) first_item: u32,
    pub(crate) items: u32,
    /// Its task, the last of these items, or [`NO_TASK`].
    pub(crate) task: TaskSlot,
    /// Its state becomes a save point, whatever it asks for (A9).
    pub(crate) save: bool,
}

impl Planned {
    /// Whether it had a task and `agent_step` was entered with it.
    pub(crate) fn came_to_task(&self, result: &TurnResult) -> bool {
        self.task != NO_TASK && result.items >= self.items
    }
}

/// The state of a run between two facts.
#[derive(Debug)]
pub struct Core {
    pub(crate) setup: Arc<Setup>,
    pub(crate) chain: DigestChain,
    pub(crate) stats: Stats,
    pub(crate) tick: Tick,
    pub(crate) microstep: u32,
    /// Opens and microsteps so far: the lifetime of payload locations.
    pub(crate) epoch: u64,
    pub(crate) agents: Agents,
    pub(crate) order: ReadyQueue,
    pub(crate) items: Items,
    pub(crate) payloads: Payloads,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) timers: Timers,
    pub(crate) tasks: Tasks,
    pub(crate) requests: Requests,
    pub(crate) models: Models,
    /// Sequences of the next commands of the configuration and of a live host.
    pub(crate) next_commands: [u64; 2],
    /// Inference blocks of one turn, by template (Q3).
    pub(crate) inference_blocks: Vec<u32>,
    /// Restarts by due tick and agent.
    pub(crate) backoffs: BTreeSet<(Tick, u32)>,
    pub(crate) groups: Groups,
    /// Agents that were stopped without a fault of their own; their lanes still hold an instance.
    pub(crate) group_stopped: Vec<AgentId>,
    /// Agents that begin again with the state of their save point, which their lanes hold.
    pub(crate) restored: Vec<AgentId>,
    /// Agents that are no more; their lanes still hold a save point.
    pub(crate) forgotten: Vec<AgentId>,
    pub(crate) held_items: u32,
    pub(crate) held_blocks: u32,
    pub(crate) topic_quotas: TopicQuotas,
    pub(crate) deliveries: u32,
    /// What is left of the tick's budget.
    pub(crate) tick_budget: BudgetLeft,
    pub(crate) plan: Vec<Planned>,
    pub(crate) plan_items: Vec<ItemId>,
    /// Items that are being dropped, reused.
    pub(crate) taken: Vec<ItemId>,
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

/// Inference blocks that a turn of each template may take: none where it may ask no model.
fn inference_blocks(setup: &Setup) -> Vec<u32> {
    let quota = blocks(setup.limits.inference_bytes_max);
    setup.templates.iter().map(|template| if template.infers() { quota } else { 0 }).collect()
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
                agents.rare_mut(index).group = Some(group);
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
            tasks: Tasks::default(),
            requests: Requests::new(setup.models.len()),
            models: Models::new(&setup),
            next_commands: [0, LIVE_COMMAND],
            inference_blocks: inference_blocks(&setup),
            backoffs: BTreeSet::new(),
            groups,
            group_stopped: Vec::new(),
            restored: Vec::new(),
            forgotten: Vec::new(),
            held_items: 0,
            held_blocks: 0,
            topic_quotas: TopicQuotas::new(&setup),
            deliveries: 0,
            tick_budget: BudgetLeft::default(),
            plan: Vec::new(),
            plan_items: Vec::new(),
            taken: Vec::new(),
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

    /// Agents that were stopped with their group since the last call and took no turn in doing so:
    /// the states that lanes hold of them are to be dropped.
    pub fn drain_group_stopped(&mut self, into: &mut Vec<AgentId>) {
        into.clear();
        into.append(&mut self.group_stopped);
    }

    /// Agents that begin again with the state of their save point, since the last call: to be asked
    /// behind every open.
    pub fn drain_restored(&mut self, into: &mut Vec<AgentId>) {
        into.clear();
        into.append(&mut self.restored);
    }

    /// Agents that ended since the last call and whose save points lanes hold: these are to be
    /// dropped. To be asked behind every open and every commit.
    pub fn drain_forgotten(&mut self, into: &mut Vec<AgentId>) {
        into.clear();
        into.append(&mut self.forgotten);
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

    /// Agent `index` may have become runnable: it takes its location in the schedule order (Q1).
    #[inline]
    pub(crate) fn make_runnable(&mut self, index: u32) {
        let agent = self.agents.at(index);
        if agent.runnable() && !agent.planned {
            self.order.insert(index, self.agent_priority(index), self.tick);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use wasm_engine_setup::{
        AgentSetup, Limits, LoadOn, ModelSetup, Policy, Restart, Schedule, SourceSetup, Template,
        TopicSetup,
    };

    use super::*;

    /// Something in every list.
    fn setup() -> Setup {
        let text = str::to_owned;
        let restart = Restart::Fresh { backoff_ticks: 1, restarts_max: 2, window_ticks: 3 };
        Setup {
            seed: 1,
            schedule: Schedule::Fifo,
            aging_ticks: 2,
            state_digest_ticks: 3,
            limits: Limits {
                models_bytes_max: 41,
                tasks_max: 42,
                agent_tasks_max: 43,
                dependencies_max: 44,
                ..Limits::default()
            },
            topics: vec![TopicSetup::new("t", Policy::Refuse, true)],
            sources: vec![SourceSetup { id: text("s"), live: true }],
            templates: vec![Template {
                name: text("a"),
                module: text("00"),
                capabilities: vec![text("send")],
                fuel_per_call: 4,
                priority: 5,
                restart,
            }],
            groups: vec![text("g")],
            agents: vec![AgentSetup {
                name: text("a/0"),
                template: 0,
                copy: 0,
                group: Some(0),
                args: text("x"),
            }],
            models: vec![ModelSetup {
                name: text("m"),
                sha256: text("11"),
                latency_ticks: 6,
                batch: 7,
                request_bytes_max: 900,
                version: Some(3),
                load: LoadOn::Request,
                load_ticks: 5,
                memory_bytes: 40,
                pinned: true,
                ..ModelSetup::of_rows("m", 8, 9)
            }],
        }
    }

    /// Paths of all numbers, texts and truths in a document.
    fn leaves(at: &str, value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(key, value)| leaves(&format!("{at}/{key}"), value, into));
            }
            Value::Array(list) => {
                (0..).zip(list).for_each(|(key, value): (u32, _)| {
                    leaves(&format!("{at}/{key}"), value, into);
                });
            }
            _ => into.push(at.to_owned()),
        }
    }

    /// Another value of the same kind: the next number, another text of those that are known.
    fn other(value: &Value) -> Value {
        match value {
            Value::Number(number) => (number.as_u64().expect("none is negative") + 1).into(),
            Value::Bool(truth) => (!truth).into(),
            Value::String(text) => match text.as_str() {
                "fifo" => "priority".into(),
                "refuse" => "latest_only".into(),
                "request" => "command".into(),
                "f32" => "i64".into(),
                text => format!("{text}!").into(),
            },
            value => unreachable!("there is no {value} in a setup"),
        }
    }

    #[test]
    fn d3_3_d3_5_the_first_value_is_the_hash_of_all_that_is_in_the_setup() {
        let setup = setup();
        let json = serde_json::to_vec(&setup).expect("JSON");
        let first = first_digest(&setup);
        assert_eq!(first.to_bytes(), blake3::hash(&json).as_bytes()[..16]);
        assert_eq!(Core::new(Arc::new(setup.clone())).digest(), first);
        let document = serde_json::to_value(&setup).expect("JSON");
        let mut all = Vec::new();
        leaves("", &document, &mut all);
        // A restart's kind has no other that takes the same numbers.
        all.retain(|path| path != "/templates/0/restart/kind");
        assert!(all.len() >= 50, "every limit and every other value: {all:?}");
        for path in all {
            let mut changed = document.clone();
            let value = changed.pointer_mut(&path).expect("it is there");
            *value = other(value);
            let changed: Setup = serde_json::from_value(changed).expect("a setup");
            assert_ne!(first_digest(&changed), first, "{path}");
        }
        let never = Template { restart: Restart::Never, ..setup.templates[0].clone() };
        let never = Setup { templates: vec![never], ..setup };
        assert_ne!(first_digest(&never), first);
    }
}
