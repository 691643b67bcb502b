//! Supervision: what follows a fault, for one agent or for its whole group (SEMANTICS A8, A9).
//!
//! ```text
//!  fault -> over the limit, or never: every member ends
//!        -> else: every member drops its state and waits for one and the same tick
//! ```
//! A group is what the configuration says; spawned agents are in none. Who is stopping or gone is
//! no member any more, and a second fault in the commit in which the group stopped finds its agent
//! in backoff and changes nothing.

use wasm_engine_abi::{Tick, frame::fault};

use crate::agents::Phase;
use crate::environment::Environment;
use crate::state::Core;
use crate::tick_digest::event;

impl Core {
    /// A8: the incarnation is over; supervision decides what follows.
    pub(crate) fn fault(&mut self, index: u32, cause: u32, env: &mut impl Environment) {
        debug_assert_ne!(cause, fault::NONE);
        let id = self.agents.id(index).to_bits();
        self.stats.faults += 1;
        self.chain.event(event::FAULTED, id, u64::from(cause));
        self.order.remove(index);
        let rare = self.agents.rare_mut(index);
        rare.faults += 1;
        rare.last_fault = cause;
        let agent = self.agents.at_mut(index);
        agent.instance = false;
        // A member that was stopped in this commit before its own fault has no instance left to
        // drop.
        self.group_stopped.retain(|group_stopped| group_stopped.to_bits() != id);
        match agent.phase {
            // Ended in pass 3, or faulted in its last turn: counted, not supervised.
            Phase::Stopping => return self.end(index, env),
            // Ended in pass 3 in its first turn, when it had nothing to shut down, or with its
            // group in this very commit; or its group stopped in it.
            Phase::Free | Phase::Backoff(_) => return,
            Phase::Starting | Phase::Active => {}
        }
        match self.agents.rare(index).group {
            None => {
                let due = self.restart_tick(index);
                self.back_off_or_end(index, due, env);
            }
            Some(group) => self.stop_group(index, group, env),
        }
    }

    /// A8: every member stops, by slot, with one restart for all.
    fn stop_group(&mut self, cause: u32, group: u32, env: &mut impl Environment) {
        let due = self.restart_tick(cause);
        let by = self.agents.id(cause).to_bits();
        for at in 0..self.groups.groups[group as usize].members.len() {
            let index = self.groups.groups[group as usize].members[at];
            let id = self.agents.id(index);
            if self.agents.rare(index).group != Some(group) || !self.agents.at(index).addressable()
            {
                continue;
            }
            let agent = self.agents.at_mut(index);
            if index != cause {
                if std::mem::take(&mut agent.instance) {
                    self.group_stopped.push(id);
                }
                self.chain.event(event::GROUP_STOPPED, id.to_bits(), by);
            }
            self.back_off_or_end(index, due, env);
        }
    }

    /// Agent `index` has lost its state: it waits for its restart at `due`, or ends.
    fn back_off_or_end(&mut self, index: u32, due: Option<Tick>, env: &mut impl Environment) {
        let Some(due) = due else { return self.end(index, env) };
        self.order.remove(index);
        self.drop_answers(index, env);
        self.agents.at_mut(index).phase = Phase::Backoff(due);
        self.agents.rare_mut(index).own_turns = 0;
        self.forget_timers(index);
        self.backoffs.insert((due, index));
        self.chain.event(event::BACKOFF, self.agents.id(index).to_bits(), due);
        self.mark_dirty(index);
        self.cancel_scheduled(index, env);
    }

    /// The tick at which agent `index`, or its group, restarts, if policy and intensity limit
    /// allow it. The restart is counted.
    fn restart_tick(&mut self, index: u32) -> Option<Tick> {
        let now = self.tick;
        let template = self.agents.at(index).template;
        let rare = self.agents.rare_mut(index);
        let restarts = match rare.group {
            None => &mut rare.restarts,
            Some(group) => &mut self.groups.groups[group as usize].restarts,
        };
        let limits = self.setup.templates[template as usize].restart.limits()?;
        while restarts.front().is_some_and(|&at| now - at >= limits.window_ticks) {
            restarts.pop_front();
        }
        if restarts.len() >= limits.restarts_max as usize {
            return None;
        }
        restarts.push_back(now);
        Some(now.saturating_add(limits.backoff_ticks.max(1)))
    }

    /// A9: answers to calls of the old incarnation are dropped; messages and inputs stay.
    fn drop_answers(&mut self, index: u32, env: &mut impl Environment) {
        let dropped = self.drop_items(index, u32::MAX, |item| !item.counted(), env, |_, _, _| ());
        self.stats.dead_letters += u64::from(dropped);
        self.agents.at_mut(index).answers_used = 0;
    }
}
