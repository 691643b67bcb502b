//! The whole state between two ticks as bytes, and back (SEMANTICS L8).
//!
//! ```text
//!  first digest of the setup 16 | tick, chains, counts, commands | agents | schedule order
//!  | topics, channels | timers | requests | models | groups | inboxes with payloads | tasks
//!  | seal 16
//! ```
//! The encoding is canonical: what is physical (handles, locations, positions, buffers, marks for
//! monitors) is not in it, and what follows from the rest is not in it or is checked against it, so
//! equal states have equal bytes whatever ran before. Each struct of the state is taken apart here
//! or in its own file without `..`: a new field does not compile until somebody has decided.
//!
//! Memory and globals of agents are not the core's: lanes save those.
//!
//! Bytes that are read may be anything. The seal tells what was damaged; behind it everything is
//! checked that could let the state machine panic or take more than its limits.

use std::{collections::BTreeSet, sync::Arc};

use wasm_engine_abi::{AgentId, Digest, Tick, frame::item};
use wasm_engine_setup::Setup;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    agents::{Agent, Agents, Phase, Rare},
    codec::{CheckpointError, Coded, Reader, damaged, ensure},
    environment::PayloadStore,
    inbox::is_counted,
    inbox_codec::{Held, ReadInboxes, put_inboxes},
    models::Models,
    payloads::blocks,
    requests::Requests,
    state::{Core, TICK_MAX, first_digest},
    stats::Stats,
    subscriptions::Subscriptions,
    tasks_codec::{ReadTasks, put_tasks},
    tick_digest::DigestChain,
    timers::Timers,
};

impl Core {
    /// Appends the state as of the last closed tick. To be called between two ticks only.
    ///
    /// # Panics
    /// If no tick was closed yet.
    pub fn checkpoint(&self, store: &mut impl PayloadStore, into: &mut Vec<u8>) {
        assert!(self.stats.ticks > 0, "a checkpoint stands behind a tick");
        let start = into.len();
        let Self {
            setup,
            chain,
            stats,
            tick,
            microstep,
            // Lifetimes of locations: a restored payload lies where it stays.
            epoch: _,
            agents,
            order,
            items,
            payloads,
            subscriptions,
            timers,
            tasks,
            requests,
            models,
            next_commands,
            // From the setup.
            inference_blocks: _,
            // Each is the phase of an agent.
            backoffs: _,
            groups,
            // Empty, or begun anew by the next open.
            group_stopped: _,
            restored: _,
            forgotten: _,
            held_items,
            held_blocks,
            // Counted again.
            topic_quotas: _,
            deliveries: _,
            tick_budget: _,
            plan: _,
            plan_items: _,
            taken: _,
            // All were planned in tick 0; how many there were, the setup says.
            next_init: _,
            configured: _,
            // Agents say it of themselves.
            ran: _,
            next_state_tick,
            // What was said of the tick that is over.
            turn_digests: _,
            turn_agents: _,
            // For monitors.
            dirty: _,
            scratch: _,
        } = self;
        first_digest(setup).put(into);
        (*tick, *microstep).put(into);
        (chain.digest(), chain.fuel()).put(into);
        stats.put(into);
        ((*held_items, *held_blocks), *next_state_tick).put(into);
        (next_commands[0], next_commands[1]).put(into);
        agents.put(into);
        order.put(into);
        subscriptions.put(into);
        timers.put(|id, incarnation| agents.living(id, incarnation).is_some(), into);
        requests.put(into);
        models.put(into);
        groups.put(into);
        put_inboxes(agents, items, payloads, store, into);
        put_tasks(tasks, agents, payloads, store, into);
        Digest::new(xxh3_128(&into[start..])).put(into);
    }

    /// The state that [`Core::checkpoint`] wrote, its payloads in `store`, which holds none yet.
    ///
    /// # Errors
    /// [`CheckpointError`] if the bytes are not a checkpoint of a run of this setup.
    pub fn restore(
        setup: Arc<Setup>,
        bytes: &[u8],
        store: &mut impl PayloadStore,
    ) -> Result<Self, CheckpointError> {
        let mut from = Reader::new(opened(bytes)?);
        let (found, here) = (Digest::take(&mut from)?, first_digest(&setup));
        if found != here {
            return Err(CheckpointError::OtherSetup { found, here });
        }
        let mut core = Self::new(setup);
        core.take_head(&mut from)?;
        core.take_agents(&mut from)?;
        let queued = core.take_order(&mut from)?;
        core.take_memberships(&mut from)?;
        core.take_pending(&mut from)?;
        let inboxes = ReadInboxes::take(core.agents.len(), &mut from)?;
        let read_tasks = core.take_tasks(&mut from)?;
        for header in inboxes.headers().filter(|header| is_counted(header.kind)) {
            core.topic_quotas.add(header.topic, blocks(header.len));
        }
        core.topic_quotas.check()?;
        core.check_held(&inboxes, &read_tasks)?;
        from.end()?;
        let Self { agents, items, payloads, tasks, .. } = &mut core;
        inboxes.fill(agents, items, payloads, store);
        read_tasks.fill(tasks, payloads, store);
        // Whether an agent has an item or a task decides whether it is runnable (Q1).
        let runnable = (0..agents.len() as u32).filter(|index| agents.at(*index).runnable());
        ensure(runnable.eq(queued), "who is runnable is not in the order")?;
        (0..core.slots()).for_each(|index| core.mark_dirty(index));
        Ok(core)
    }

    fn take_head(&mut self, from: &mut Reader<'_>) -> Result<(), CheckpointError> {
        (self.tick, self.microstep) = Coded::take(from)?;
        let (digest, fuel) = Coded::take(from)?;
        self.chain = DigestChain::behind(digest, fuel);
        self.stats = Stats::take(from)?;
        ((self.held_items, self.held_blocks), self.next_state_tick) = Coded::take(from)?;
        let (configured, live) = Coded::take(from)?;
        self.next_commands = [configured, live];
        self.next_init = self.configured;
        ensure(self.tick <= TICK_MAX && self.stats.ticks > 0, "it stands behind no tick")
    }

    fn take_agents(&mut self, from: &mut Reader<'_>) -> Result<(), CheckpointError> {
        let (setup, tick) = (Arc::clone(&self.setup), self.tick);
        let check = |agent: &Agent, rare: &Rare| check_agent(&setup, tick, agent, rare);
        self.agents = Agents::take(setup.limits.agents_max, from, check)?;
        ensure(self.agents.len() >= setup.agents.len(), "it lacks configured agents")?;
        self.backoffs.clear();
        for index in 0..self.agents.len() as u32 {
            let agent = self.agents.at(index);
            if let Phase::Backoff(due) = agent.phase {
                self.backoffs.insert((due, index));
            }
            if agent.ran {
                self.ran.push(index);
            }
        }
        Ok(())
    }

    /// Gives who is in it.
    fn take_order(&mut self, from: &mut Reader<'_>) -> Result<BTreeSet<u32>, CheckpointError> {
        let (slots, mut queued) = (self.slots(), BTreeSet::new());
        self.order.take(from, self.tick, |index| {
            let fits = index < slots && queued.insert(index);
            ensure(fits, "an agent is not there, or runnable twice")
        })?;
        Ok(queued)
    }

    fn take_memberships(&mut self, from: &mut Reader<'_>) -> Result<(), CheckpointError> {
        let (slots, Self { setup, agents, subscriptions, .. }) = (self.slots(), self);
        *subscriptions = Subscriptions::take(setup.topics.len(), from)?;
        subscriptions.each(|index, of, entry| {
            ensure(index < slots, "a member is not there")?;
            let memberships = &mut agents.rare_mut(index).memberships;
            let before = match of {
                Ok(topic) => memberships.topics.insert(topic, entry),
                Err(channel) => memberships.channels.insert(channel, entry),
            };
            ensure(before.is_none(), "an agent is a member twice")
        })
    }

    /// What waits for a later tick.
    fn take_pending(&mut self, from: &mut Reader<'_>) -> Result<(), CheckpointError> {
        let Self { setup, agents, timers, requests, models, groups, tick, .. } = self;
        *timers = Timers::take(from, |timer| {
            let index = agents.living(AgentId::from_bits(timer.agent), timer.incarnation);
            let index = index.filter(|index| *index == timer.index);
            let index = index.ok_or_else(|| damaged("a timer is of nobody"))?;
            agents.rare_mut(index).timers += 1;
            Ok(())
        })?;
        *requests = Requests::take(setup.models.len(), models.handles(), from)?;
        *models = Models::take(from)?;
        models.check(setup)?;
        groups.take(from, *tick)
    }

    /// Holds inboxes and tasks against what is counted, and all of it against the limits.
    fn check_held(
        &self,
        inboxes: &ReadInboxes<'_>,
        tasks: &ReadTasks<'_>,
    ) -> Result<(), CheckpointError> {
        let limits = &self.setup.limits;
        let Held { items, blocks: of_inboxes } = inboxes.held();
        let held = (items, of_inboxes + tasks.blocks());
        let counted = (u64::from(self.held_items), u64::from(self.held_blocks));
        let within = self.held_items <= limits.messages_held_max
            && self.held_blocks <= blocks(limits.payload_bytes_held_max);
        ensure(held == counted && within, "inboxes and tasks hold other things than are counted")?;
        let reserved = |model: u32| u64::from(self.reply_bytes(model));
        let (mut count, mut bytes) = (0, 0);
        for (model, requests) in (0..).zip(self.requests.waiting()) {
            count += requests;
            bytes += requests * reserved(model);
        }
        for header in inboxes.headers() {
            match header.kind {
                item::REPLY if header.microstep == 0 => {
                    let known = (header.topic as usize) < self.models.handles();
                    ensure(known, "a reply is of no model")?;
                    let model = self.models.of_handle(header.topic);
                    let max = self.setup.models[model as usize].reply_bytes_max;
                    ensure(header.len <= max, "a reply is too long")?;
                    count += 1;
                    bytes += reserved(model);
                }
                item::MESSAGE | item::INPUT => {}
                _ => ensure(header.len == 0, "an answer has a payload")?,
            }
        }
        let requests = &self.requests;
        let counted = (count, bytes) == (requests.count.into(), requests.reply_bytes.into());
        let within = requests.count <= limits.inferences_pending_max
            && requests.bytes <= limits.inference_bytes_pending_max
            && requests.reply_bytes <= limits.inference_reply_bytes_pending_max;
        ensure(counted && within, "other requests wait than are counted")
    }
}

/// What was sealed, if the seal is that of these bytes.
fn opened(bytes: &[u8]) -> Result<&[u8], CheckpointError> {
    let short = || damaged("it is too short");
    let (sealed, seal) = bytes.split_last_chunk::<16>().ok_or_else(short)?;
    let seal = u128::from_le_bytes(*seal);
    ensure(xxh3_128(sealed) == seal, "its bytes are not those that were sealed")?;
    Ok(sealed)
}

fn check_agent(
    setup: &Setup,
    tick: Tick,
    agent: &Agent,
    rare: &Rare,
) -> Result<(), CheckpointError> {
    let known = (agent.template as usize) < setup.templates.len()
        && rare.group.is_none_or(|group| (group as usize) < setup.groups.len());
    ensure(known, "an agent is of no template or group")?;
    ensure(agent.answers_used <= setup.limits.answers_max, "an agent waits for too much")?;
    let past = rare.saved.is_none_or(|saved| saved <= tick && agent.phase != Phase::Free);
    ensure(past, "a save point is of nobody, or later")?;
    ensure(rare.restarts.iter().all(|at| *at <= tick), "an agent restarted later")
}
