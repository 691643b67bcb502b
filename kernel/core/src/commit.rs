//! Commit: the effects of a microstep, in schedule order and in passes (SEMANTICS C).
//!
//! | pass | what |
//! |---|---|
//! | before | items consumed by the turns are released |
//! | 1 | messages, requests and timers |
//! | 2 | subscriptions and channels |
//! | 3, 4 | lifecycle requests, faults and supervision: `lifecycle.rs` |

use wasm_engine_abi::{
    AgentId,
    calls::Status,
    frame::{CHANNEL, Effect, ItemHeader, Location, NO_TOPIC, effect, fault, item, turn},
    limits::BLOCK_BYTES,
    tensor::RequestForm,
};

use crate::agents::Phase;
use crate::delivery::Deliveries;
use crate::environment::{Environment, Output, PayloadStore, Results, Sink, TurnOutput};
use crate::inbox::Item;
use crate::payloads::{NO_PAYLOAD, PayloadId};
use crate::requests::Request;
use crate::state::{Core, Planned};
use crate::tasks::NO_TASK;
use crate::tick_digest::event;
use crate::timers::Timer;
use wasm_engine_setup::Policy;

/// What the passes after the first have to look for.
#[derive(Default)]
struct Later {
    subscriptions: bool,
    lifecycle: bool,
    endings: bool,
}

impl Core {
    /// Applies the results of the planned turns.
    pub fn commit(&mut self, results: &impl Results, env: &mut impl Environment) {
        self.deliveries = 0;
        let plan = std::mem::take(&mut self.plan);
        for (position, &planned) in plan.iter().enumerate() {
            self.release_turn(planned, &results.turn(position), env);
        }
        let mut later = Later::default();
        for (position, &planned) in plan.iter().enumerate() {
            self.apply_messages(planned, &results.turn(position), &mut later, env);
        }
        if later.subscriptions {
            for (position, planned) in plan.iter().enumerate() {
                for effect in results.turn(position).effects {
                    self.apply_subscriptions(planned.agent, effect);
                }
            }
        }
        if later.lifecycle {
            for (position, planned) in plan.iter().enumerate() {
                let output = results.turn(position);
                for effect in output.effects {
                    self.apply_lifecycle(planned.agent, effect, output.lane, env);
                }
            }
        }
        if later.endings {
            for (position, &planned) in plan.iter().enumerate() {
                self.apply_faults(planned, results.turn(position).result, env);
            }
        }
        self.plan = plan;
        self.plan.clear();
    }

    /// C1: consumed items are released, those of faulted turns as dead letters (A8); what a
    /// faulted turn did not reach goes back to the head of its inbox. Whose inbox is then empty
    /// is runnable again when something arrives; who has leftovers, at its turn's place (Q1). The
    /// turn's digest enters the tick's before anything that follows from the microstep (D3).
    fn release_turn(
        &mut self,
        planned: Planned,
        output: &TurnOutput<'_>,
        env: &mut impl Environment,
    ) {
        let had_task = planned.task != NO_TASK;
        let received = planned.items - u32::from(had_task);
        if had_task {
            // The task has the payload; what stood for it in the turn is done with.
            self.items.remove(self.plan_items[(planned.first_item + received) as usize]);
        }
        let consumed = output.result.items.min(received);
        for at in 0..consumed {
            let id = self.plan_items[(planned.first_item + at) as usize];
            self.release_item(planned.agent, id, env);
        }
        for at in (consumed..received).rev() {
            let id = self.plan_items[(planned.first_item + at) as usize];
            self.agents.at_mut(planned.agent).inbox.push_front(id, &mut self.items);
        }
        if output.result.fault != fault::NONE {
            self.stats.dead_letters += u64::from(consumed);
        }
        if planned.kind == turn::INIT && output.result.fault == fault::NONE {
            self.set_item_bytes_max(planned.agent, output.result.item_bytes_max, env);
        }
        if had_task && !planned.came_to_task(output.result) {
            self.give_back_task(planned);
        }
        let agent = self.agents.at_mut(planned.agent);
        agent.planned = agent.has_work();
        self.chain.turn(output.result.digest, output.result.fuel);
        self.tick_budget.take(output.result.fuel);
        self.turn_digests.push(output.result.digest.low());
        self.turn_agents.push(planned.agent);
    }

    fn apply_messages(
        &mut self,
        planned: Planned,
        output: &TurnOutput<'_>,
        later: &mut Later,
        env: &mut impl Environment,
    ) {
        let result = output.result;
        self.chain.trace.detail(|| {
            let id = self.agents.id(planned.agent).to_bits();
            let counts = u64::from(result.items) << 32 | u64::from(result.effects);
            (event::TURN, id, result.fuel, counts)
        });
        self.mark_dirty(planned.agent);
        self.count_turn(planned, output);
        later.endings |= result.fault != fault::NONE || planned.kind == turn::SHUTDOWN;
        if result.fault == fault::NONE {
            self.count_own_turn(planned);
            let agent = self.agents.at_mut(planned.agent);
            agent.instance = true;
            if planned.kind == turn::INIT {
                agent.phase = Phase::Active;
                self.fail_long(planned.agent, env);
            }
            if planned.kind != turn::SHUTDOWN {
                // Q1: leftovers re-enter at the turn's location, before its effects.
                self.make_runnable(planned.agent);
            }
        }
        if planned.came_to_task(result) {
            self.attempt_over(planned, result, env);
        }
        let mut saved = planned.save;
        for effect in output.effects {
            match effect.kind {
                effect::SAVE => saved = true,
                effect::SUBSCRIBE | effect::UNSUBSCRIBE | effect::JOIN | effect::LEAVE => {
                    later.subscriptions = true;
                }
                effect::SPAWN | effect::TERMINATE | effect::PAUSE | effect::RESUME => {
                    later.lifecycle = true;
                }
                _ => self.apply(planned.agent, effect, output.lane, env),
            }
        }
        if saved && result.fault == fault::NONE && planned.kind != turn::SHUTDOWN {
            self.mark_saved(planned.agent);
        }
    }

    #[inline]
    fn count_turn(&mut self, planned: Planned, output: &TurnOutput<'_>) {
        let result = output.result;
        self.stats.turns += 1;
        self.stats.fuel += result.fuel;
        let agent = self.agents.at_mut(planned.agent);
        agent.planned = false;
        agent.seq = result.seq;
        let tally = &mut agent.tally;
        tally.turns += 1;
        tally.items += u64::from(result.items);
        tally.effects += u64::from(result.effects);
        tally.fuel += result.fuel;
        tally.last_tick = self.tick;
        tally.last_code = result.code;
        self.stats.own_codes += u64::from(result.code > 0);
        self.stats.items += u64::from(result.items);
        if !std::mem::replace(&mut agent.ran, true) {
            self.ran.push(planned.agent);
        }
    }

    /// Effects of pass 1.
    fn apply(&mut self, index: u32, effect: &Effect, lane: u32, env: &mut impl Environment) {
        match effect.kind {
            effect::SEND => self.send(index, effect, lane, env),
            effect::PUBLISH => self.publish(index, effect, lane, env),
            effect::CAST => self.cast(index, effect, lane, env),
            effect::INFER => self.infer(index, effect, RequestForm::Row, lane, env),
            effect::INFER_TENSORS => self.infer(index, effect, RequestForm::Tensors, lane, env),
            effect::TIMER => self.set_timer(index, effect),
            effect::SCHEDULE => self.schedule(index, effect, lane, env),
            effect::LOG => {
                self.read_payload(effect, lane, env);
                let id = self.agents.id(index);
                env.sink().log_line(id, self.tick, effect.target, &self.scratch);
            }
            kind => unreachable!("a lane made an effect of kind {kind}"),
        }
    }

    fn message(&self, index: u32, effect: &Effect, topic: u32) -> ItemHeader {
        ItemHeader {
            kind: item::MESSAGE,
            len: effect.len,
            from: self.agents.id(index).to_bits(),
            from_seq: effect.seq,
            tick: self.tick,
            topic,
            microstep: self.microstep,
            hash: if effect.len == 0 { 0 } else { effect.hash as u32 },
            trace: effect.trace,
            ..ItemHeader::default()
        }
    }

    fn payload(&mut self, effect: &Effect, lane: u32) -> PayloadId {
        let location = Location { area: lane, block: effect.block };
        self.payloads.add(location, self.epoch, effect.len)
    }

    /// The effect's payload bytes in `scratch`.
    pub(crate) fn read_payload(&mut self, effect: &Effect, lane: u32, env: &mut impl Environment) {
        self.scratch.clear();
        if effect.len > 0 {
            let location = Location { area: lane, block: effect.block };
            env.payloads().read(location, self.epoch, effect.len, &mut self.scratch);
        }
    }

    fn send(&mut self, index: u32, effect: &Effect, lane: u32, env: &mut impl Environment) {
        let target = AgentId::from_bits(effect.target);
        let mut sum = Deliveries::default();
        sum.add(match self.agents.resolve(target) {
            None => Status::Gone,
            Some(receiver) => {
                let header = self.message(index, effect, NO_TOPIC);
                let payload = self.payload(effect, lane);
                self.deliver(receiver, Item::new(header, payload, false), Policy::Refuse, env)
            }
        });
        self.settle_message(index, effect, sum);
    }

    fn publish(&mut self, index: u32, effect: &Effect, lane: u32, env: &mut impl Environment) {
        let topic = effect.target as u32;
        let setup = &self.setup.topics[topic as usize];
        let (policy, output) = (setup.policy, setup.output);
        if output {
            self.emit(index, effect, lane, env);
        }
        let header = self.message(index, effect, topic);
        let payload = self.payload(effect, lane);
        let (mut sum, all) = (Deliveries::default(), self.subscriptions.topic(topic).len());
        for at in 0..self.subscriptions.topic(topic).entries() {
            if self.tries_used_up() {
                sum.add_untried(all, &mut self.stats);
                break;
            }
            let Some((receiver, _)) = self.subscriptions.topic(topic).get(at) else { continue };
            sum.add(self.deliver(receiver, Item::new(header, payload, false), policy, env));
        }
        self.settle_message(index, effect, sum);
    }

    fn cast(&mut self, index: u32, effect: &Effect, lane: u32, env: &mut impl Environment) {
        let channel = effect.channel();
        let header = self.message(index, effect, CHANNEL);
        let payload = self.payload(effect, lane);
        let (entries, all) =
            self.subscriptions.channel(channel).map_or((0, 0), |all| (all.entries(), all.len()));
        let mut sum = Deliveries::default();
        for at in 0..entries {
            if self.tries_used_up() {
                sum.add_untried(all, &mut self.stats);
                break;
            }
            let member = self.subscriptions.channel(channel).and_then(|members| members.get(at));
            let Some((receiver, request)) = member else { continue };
            let item = Item::new(ItemHeader { request, ..header }, payload, false);
            sum.add(self.deliver(receiver, item, Policy::Refuse, env));
        }
        self.settle_message(index, effect, sum);
    }

    /// A4: a message has at most one outcome, only if some receiver refused it.
    fn settle_message(&mut self, index: u32, effect: &Effect, sum: Deliveries) {
        if sum.first_refusal == Status::Ok {
            return;
        }
        let id = self.agents.id(index).to_bits();
        let counts = u64::from(sum.refused) << 32 | u64::from(sum.delivered);
        self.chain.event_of_two(event::REFUSED, id, effect.seq, counts);
        self.outcome(index, effect, sum.first_refusal, AgentId::NONE, counts);
    }

    /// L2: a message on an output topic also goes to the host.
    fn emit(&mut self, index: u32, effect: &Effect, lane: u32, env: &mut impl Environment) {
        self.read_payload(effect, lane, env);
        self.stats.outputs += 1;
        let agent = self.agents.at(index);
        env.sink().output(&Output {
            tick: self.tick,
            microstep: self.microstep,
            topic: effect.target as u32,
            from: self.agents.id(index),
            template: agent.template,
            copy: agent.copy,
            from_seq: effect.seq,
            payload: &self.scratch,
        });
    }

    /// I1: binds the request to model and latency and reserves its reply; a refusal is a reply.
    fn infer(
        &mut self,
        index: u32,
        effect: &Effect,
        form: RequestForm,
        lane: u32,
        env: &mut impl Environment,
    ) {
        let handle = effect.target as u32;
        let model = self.models.of_handle(handle);
        let mut status = self.ask_model(model, env);
        let limits = &self.setup.limits;
        let reply_bytes = self.reply_bytes(model);
        // Each limit is below 2^31 and each summand below 2^29, so no sum overflows.
        let full = self.requests.count >= limits.inferences_pending_max
            || self.requests.bytes + effect.len > limits.inference_bytes_pending_max
            || self.requests.reply_bytes + reply_bytes > limits.inference_reply_bytes_pending_max;
        self.agents.at_mut(index).answers_used += 1;
        let id = self.agents.id(index);
        if full && status == Status::Ok {
            status = Status::KernelFull;
        }
        self.models.count_request(model, status);
        self.stats.inferences_refused += u64::from(status != Status::Ok);
        if status != Status::Ok {
            let header = ItemHeader {
                kind: item::REPLY,
                from: AgentId::NONE.to_bits(),
                tick: self.tick,
                topic: handle,
                code: status as i32,
                microstep: self.microstep,
                request: effect.seq,
                trace: effect.trace,
                ..ItemHeader::default()
            };
            self.chain.event_of_two(event::REFUSED, id.to_bits(), effect.seq, 1 << 32);
            self.push_answer(index, header, NO_PAYLOAD);
            return;
        }
        let request = Request {
            number: self.requests.next_number(),
            model,
            handle,
            tick: self.tick,
            due: self.tick.saturating_add(self.setup.models[model as usize].latency_ticks),
            agent: id,
            incarnation: self.agents.at(index).incarnation,
            seq: effect.seq,
            trace: effect.trace,
            form,
            len: effect.len,
        };
        self.stats.inferences += 1;
        self.chain.event(event::REQUESTED, id.to_bits(), request.due);
        self.read_payload(effect, lane, env);
        self.requests.add(request, &self.scratch, reply_bytes);
        env.sink().request(&request, &self.scratch);
    }

    /// Bytes that are reserved for a reply of `model`, in whole blocks.
    pub(crate) fn reply_bytes(&self, model: u32) -> u32 {
        self.setup.models[model as usize].reply_bytes_max.next_multiple_of(BLOCK_BYTES)
    }

    fn set_timer(&mut self, index: u32, effect: &Effect) {
        let agent = self.agents.at_mut(index);
        agent.answers_used += 1;
        let incarnation = agent.incarnation;
        self.agents.rare_mut(index).timers += 1;
        self.timers.add(Timer {
            due: self.tick.saturating_add(effect.target),
            index,
            seq: effect.seq,
            agent: self.agents.id(index).to_bits(),
            incarnation,
            tag: effect.arg,
            trace: effect.trace,
        });
    }

    fn apply_subscriptions(&mut self, index: u32, effect: &Effect) {
        let memberships = &mut self.agents.rare_mut(index).memberships;
        let (topic, channel) = (effect.target as u32, effect.channel());
        let full = memberships.len() >= self.setup.limits.memberships_max as usize;
        match effect.kind {
            effect::SUBSCRIBE => match memberships.topics.get(&topic) {
                Some(&entry) => self.subscriptions.topic_mut(topic).renew(entry, effect.seq),
                None if full => self.outcome(index, effect, Status::Quota, AgentId::NONE, 0),
                None => {
                    let entry = self.subscriptions.topic_mut(topic).enter(index, effect.seq);
                    memberships.topics.insert(topic, entry);
                }
            },
            effect::UNSUBSCRIBE => {
                if let Some(entry) = memberships.topics.remove(&topic) {
                    self.subscriptions.topic_mut(topic).leave(entry);
                }
            }
            effect::JOIN => match memberships.channels.get(&channel) {
                Some(&entry) => self.subscriptions.channel_mut(channel).renew(entry, effect.seq),
                None if full => self.outcome(index, effect, Status::Quota, AgentId::NONE, 0),
                None => {
                    let entry = self.subscriptions.channel_mut(channel).enter(index, effect.seq);
                    memberships.channels.insert(channel, entry);
                }
            },
            effect::LEAVE => {
                if let Some(entry) = memberships.channels.remove(&channel) {
                    self.subscriptions.leave_channel(channel, entry);
                }
            }
            _ => {}
        }
    }

    /// An outcome, at the location of the effect that it answers (A2). It holds an pending-call
    /// slot until it is received (A4). An agent whose address is gone gets none.
    pub(crate) fn outcome(
        &mut self,
        index: u32,
        effect: &Effect,
        status: Status,
        about: AgentId,
        detail: u64,
    ) {
        let id = self.agents.id(index).to_bits();
        let code = u64::from((status as i32).unsigned_abs());
        self.chain.event_of_two(event::OUTCOME, id, effect.seq, code);
        if !self.agents.at(index).addressable() {
            self.stats.dead_letters += 1;
            return;
        }
        self.agents.at_mut(index).answers_used += 1;
        let header = ItemHeader {
            kind: item::OUTCOME,
            from: about.to_bits(),
            from_seq: detail,
            tick: self.tick,
            topic: NO_TOPIC,
            code: status as i32,
            microstep: self.microstep,
            request: effect.seq,
            trace: effect.trace,
            ..ItemHeader::default()
        };
        self.push_answer(index, header, NO_PAYLOAD);
    }
}
