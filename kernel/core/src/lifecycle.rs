//! Passes 3 and 4: lifecycle requests, then the end of agents (SEMANTICS C1, A10). What follows a
//! fault is decided in `supervision.rs`.

use wasm_engine_abi::{
    AgentId,
    calls::Status,
    frame::{Effect, TurnResult, effect, fault, turn},
};

use crate::agents::{Phase, spawned_key};
use crate::environment::Environment;
use crate::state::{Core, Planned};
use crate::tick_digest::event;

impl Core {
    /// C1 pass 3: lifecycle requests in (schedule, call) order, each with exactly one outcome.
    pub(crate) fn apply_lifecycle(
        &mut self,
        index: u32,
        effect: &Effect,
        lane: u32,
        env: &mut impl Environment,
    ) {
        let target = AgentId::from_bits(effect.target);
        let status = match effect.kind {
            effect::SPAWN => return self.spawn(index, effect, lane, env),
            effect::TERMINATE => self.terminate(target, env),
            effect::PAUSE => self.set_paused(target, true),
            effect::RESUME => self.set_paused(target, false),
            _ => return,
        };
        self.outcome(index, effect, status, target, 0);
    }

    fn spawn(&mut self, parent: u32, effect: &Effect, lane: u32, env: &mut impl Environment) {
        self.read_payload(effect, lane, env);
        let key = spawned_key(self.agents.at(parent).key, effect.seq);
        let args = self.scratch.clone();
        let template = effect.target as u32;
        let Some(index) = self.agents.create(template, effect.seq as u32, key, args) else {
            return self.outcome(parent, effect, Status::NoSlot, AgentId::NONE, 0);
        };
        self.mark_dirty(index);
        let id = self.agents.id(index);
        self.chain.event(event::SPAWNED, id.to_bits(), key);
        self.make_runnable(index);
        self.outcome(parent, effect, Status::Ok, id, 0);
    }

    /// A10: the address is gone, queued items become dead letters, one last turn is planned.
    pub(crate) fn terminate(&mut self, target: AgentId, env: &mut impl Environment) -> Status {
        let Some(index) = self.agents.resolve(target) else { return Status::Gone };
        if !self.agents.at(index).instance {
            // Nothing was initialised, so there is nothing to shut down.
            self.end(index, env);
            return Status::Ok;
        }
        self.drop_inbox(index, env);
        self.drop_memberships(index);
        self.order.remove(index);
        self.agents.at_mut(index).phase = Phase::Stopping;
        self.forget_timers(index);
        self.mark_dirty(index);
        self.make_runnable(index);
        self.fail_ready(index, env);
        self.cancel_scheduled(index, env);
        Status::Ok
    }

    pub(crate) fn set_paused(&mut self, target: AgentId, paused: bool) -> Status {
        let Some(index) = self.agents.resolve(target) else { return Status::Gone };
        let agent = self.agents.at_mut(index);
        if std::mem::replace(&mut agent.paused, paused) == paused {
            return Status::Already;
        }
        let code = if paused { event::PAUSED } else { event::RESUMED };
        self.chain.event(code, target.to_bits(), 0);
        self.mark_dirty(index);
        if paused {
            self.order.remove(index);
        } else {
            self.make_runnable(index);
        }
        Status::Ok
    }

    /// C1 pass 4: faults, and the end of agents that shut down.
    pub(crate) fn apply_faults(
        &mut self,
        planned: Planned,
        result: &TurnResult,
        env: &mut impl Environment,
    ) {
        if result.fault != fault::NONE {
            self.fault(planned.agent, result.fault, env);
        } else if planned.kind == turn::SHUTDOWN {
            self.end(planned.agent, env);
        }
    }

    /// The agent is no more: its slot is free from the next tick (A5).
    pub(crate) fn end(&mut self, index: u32, env: &mut impl Environment) {
        self.drop_inbox(index, env);
        self.drop_memberships(index);
        self.order.remove(index);
        if let Phase::Backoff(due) = self.agents.at(index).phase {
            self.backoffs.remove(&(due, index));
        }
        self.chain.event(event::ENDED, self.agents.id(index).to_bits(), 0);
        self.mark_dirty(index);
        self.forget_saved(index);
        self.agents.release(index);
        self.forget_timers(index);
        self.fail_ready(index, env);
        self.cancel_scheduled(index, env);
    }

    /// The incarnation of agent `index` is over, and so are its timers (T5).
    pub(crate) fn forget_timers(&mut self, index: u32) {
        let count = std::mem::take(&mut self.agents.rare_mut(index).timers);
        let agents = &self.agents;
        self.timers.forget(count, |id, incarnation| agents.living(id, incarnation).is_some());
    }

    /// All queued items become dead letters.
    fn drop_inbox(&mut self, index: u32, env: &mut impl Environment) {
        let mut dropped = 0;
        while let Some(id) = self.agents.at_mut(index).inbox.pop_front(&self.items) {
            self.release_item(index, id, env);
            dropped += 1;
        }
        self.stats.dead_letters += dropped;
        self.chain.event(event::DEAD_LETTERS, self.agents.id(index).to_bits(), dropped);
    }

    fn drop_memberships(&mut self, index: u32) {
        let memberships = std::mem::take(&mut self.agents.rare_mut(index).memberships);
        for (topic, entry) in memberships.topics {
            self.subscriptions.topic_mut(topic).leave(entry);
        }
        for (channel, entry) in memberships.channels {
            self.subscriptions.leave_channel(channel, entry);
        }
    }
}
