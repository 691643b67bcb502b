//! Passes 3 and 4: lifecycle requests, then the end of agents (SEMANTICS C1, A10). What follows a
//! fault is decided in `supervision.rs`.

use wasm_engine_abi::{
    AgentId,
    calls::Status,
    frame::{Effect, TurnResult, effect, fault, turn},
};

use super::{
    Core, Outside, Planned,
    agents::{Phase, spawned_key},
    chain::event,
};

impl Core {
    /// C1 pass 3: lifecycle requests in (schedule, call) order, each with exactly one outcome.
    pub(super) fn pass_3(
        &mut self,
        index: u32,
        effect: &Effect,
        lane: u32,
        outside: &mut impl Outside,
    ) {
        let target = AgentId::from_bits(effect.target);
        let status = match effect.kind {
            effect::SPAWN => return self.spawn(index, effect, lane, outside),
            effect::TERMINATE => self.terminate(target, outside),
            effect::PAUSE => self.set_paused(target, true),
            effect::RESUME => self.set_paused(target, false),
            _ => return,
        };
        self.outcome(index, effect, status, target, 0);
    }

    fn spawn(&mut self, parent: u32, effect: &Effect, lane: u32, outside: &mut impl Outside) {
        self.read_payload(effect, lane, outside);
        let key = spawned_key(self.agents.at(parent).key, effect.seq);
        let args = self.scratch.clone();
        let template = effect.target as u32;
        let Some(index) = self.agents.create(template, effect.seq as u32, key, args) else {
            return self.outcome(parent, effect, Status::NoSlot, AgentId::NONE, 0);
        };
        self.touch(index);
        let id = self.agents.id(index);
        self.chain.event(event::SPAWNED, id.to_bits(), key);
        self.make_runnable(index);
        self.outcome(parent, effect, Status::Ok, id, 0);
    }

    /// A10: the address is gone, queued items become dead letters, one last turn is planned.
    fn terminate(&mut self, target: AgentId, outside: &mut impl Outside) -> Status {
        let Some(index) = self.agents.resolve(target) else { return Status::Gone };
        if !self.agents.at(index).instance {
            // Nothing was initialised, so there is nothing to shut down.
            self.end(index, outside);
            return Status::Ok;
        }
        self.drop_inbox(index, outside);
        self.drop_memberships(index);
        self.order.remove(index);
        self.agents.at_mut(index).phase = Phase::Stopping;
        self.touch(index);
        self.make_runnable(index);
        Status::Ok
    }

    fn set_paused(&mut self, target: AgentId, paused: bool) -> Status {
        let Some(index) = self.agents.resolve(target) else { return Status::Gone };
        let agent = self.agents.at_mut(index);
        if std::mem::replace(&mut agent.paused, paused) == paused {
            return Status::Already;
        }
        let code = if paused { event::PAUSED } else { event::RESUMED };
        self.chain.event(code, target.to_bits(), 0);
        self.touch(index);
        if paused {
            self.order.remove(index);
        } else {
            self.make_runnable(index);
        }
        Status::Ok
    }

    /// C1 pass 4: faults, and the end of agents that shut down.
    pub(super) fn pass_4(
        &mut self,
        planned: Planned,
        result: &TurnResult,
        outside: &mut impl Outside,
    ) {
        if result.fault != fault::NONE {
            self.fault(planned.agent, result.fault, outside);
        } else if planned.kind == turn::SHUTDOWN {
            self.end(planned.agent, outside);
        }
    }

    /// The agent is no more: its slot is free from the next tick (A5).
    pub(super) fn end(&mut self, index: u32, outside: &mut impl Outside) {
        self.drop_inbox(index, outside);
        self.drop_memberships(index);
        self.order.remove(index);
        if let Phase::Backoff(due) = self.agents.at(index).phase {
            self.backoffs.remove(&(due, index));
        }
        self.chain.event(event::ENDED, self.agents.id(index).to_bits(), 0);
        self.touch(index);
        self.agents.release(index);
    }

    /// All queued items become dead letters.
    fn drop_inbox(&mut self, index: u32, outside: &mut impl Outside) {
        let mut dropped = 0;
        while let Some(id) = self.agents.at_mut(index).inbox.pop_front(&self.items) {
            self.release_item(index, id, outside);
            dropped += 1;
        }
        self.stats.dead_letters += dropped;
        self.chain.event(event::DEAD_LETTERS, self.agents.id(index).to_bits(), dropped);
    }

    fn drop_memberships(&mut self, index: u32) {
        let agent = self.agents.at_mut(index);
        let (topics, channels) =
            (std::mem::take(&mut agent.topics), std::mem::take(&mut agent.channels));
        for topic in topics {
            self.routes.unsubscribe(topic, index);
        }
        for channel in channels {
            self.routes.leave(channel, index);
        }
    }
}
