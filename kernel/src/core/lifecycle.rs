//! Passes 3 and 4: lifecycle requests, then faults and supervision (SEMANTICS C1, A8, A10).

use wasm_engine_abi::{
    AgentId,
    calls::Status,
    frame::{Effect, TurnResult, effect, fault, item, turn},
};

use super::{
    Core, Outside, Planned,
    agents::{Phase, spawned_key},
    chain::event,
};
use crate::setup::Restart;

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

    /// A8: the incarnation is over; supervision decides what follows.
    fn fault(&mut self, index: u32, cause: u32, outside: &mut impl Outside) {
        let id = self.agents.id(index).to_bits();
        self.stats.faults += 1;
        self.chain.event(event::FAULTED, id, u64::from(cause));
        self.order.remove(index);
        let agent = self.agents.at_mut(index);
        agent.instance = false;
        agent.activity.faults += 1;
        agent.activity.last_fault = cause;
        match agent.phase {
            // Ended in pass 3, or faulted in its last turn: counted, not supervised.
            Phase::Stopping => return self.end(index, outside),
            // As above, in its first turn: it had nothing to shut down and is gone already.
            Phase::Free => return,
            _ => {}
        }
        match self.backoff(index) {
            None => self.end(index, outside),
            Some(due) => {
                self.drop_answers(index, outside);
                self.agents.at_mut(index).phase = Phase::Backoff(due);
                self.backoffs.insert((due, index));
                self.chain.event(event::BACKOFF, id, due);
            }
        }
    }

    /// The tick at which agent `index` restarts, if its policy and intensity limit allow it.
    fn backoff(&mut self, index: u32) -> Option<u64> {
        let now = self.tick;
        let agent = self.agents.at_mut(index);
        match self.setup.templates[agent.template as usize].restart {
            Restart::Never => None,
            Restart::Fresh { backoff_ticks, restarts_max, window_ticks } => {
                agent.restarts.retain(|&at| now - at < window_ticks);
                if agent.restarts.len() >= restarts_max as usize {
                    return None;
                }
                agent.restarts.push_back(now);
                Some(now.saturating_add(backoff_ticks.max(1)))
            }
        }
    }

    /// The agent is no more: its slot is free from the next tick (A5).
    fn end(&mut self, index: u32, outside: &mut impl Outside) {
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

    /// A9: answers to calls of the old incarnation are dropped; messages and inputs stay.
    fn drop_answers(&mut self, index: u32, outside: &mut impl Outside) {
        let answer = |kind| matches!(kind, item::REPLY | item::OUTCOME | item::TIMER);
        loop {
            let inbox = &mut self.agents.at_mut(index).inbox;
            let Some(id) = inbox.take_first(&mut self.items, |item| answer(item.header.kind))
            else {
                break;
            };
            self.release_item(index, id, outside);
            self.stats.dead_letters += 1;
        }
        self.agents.at_mut(index).answers_used = 0;
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
