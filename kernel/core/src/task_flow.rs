//! What happens to a task from its acceptance to its end (SEMANTICS A12).
//!
//! An end may end others, those that wait for it, and so on. They stand in one queue, in the order
//! in which they come up, so nothing here calls itself, however long a chain is.

use wasm_engine_abi::{
    AgentId,
    calls::Status,
    frame::{Context, Effect, TurnResult, fault},
    task::{TaskId, TaskParts, on_failure, task_state},
};
use wasm_engine_setup::Schedule;

use crate::{
    environment::{Environment, PayloadStore, Sink, TaskOutcome},
    payloads::{NO_PAYLOAD, blocks},
    state::{Core, Planned},
    tasks::{TaskEnding, TaskEntry, TaskSlot, succeeded},
    tick_digest::event,
    tick_open::payload_hash,
};

/// Bytes of the inbox before a task: it lies behind the context.
pub(crate) const CONTEXT_BYTES: u32 = size_of::<Context>() as u32;

impl Core {
    /// C1 pass 1: an agent schedules a task.
    pub(crate) fn schedule(
        &mut self,
        index: u32,
        effect: &Effect,
        lane: u32,
        env: &mut impl Environment,
    ) {
        self.read_payload(effect, lane, env);
        let bytes = std::mem::take(&mut self.scratch);
        let id = TaskId { agent: self.agents.id(index).to_bits(), seq: effect.seq };
        let agent = AgentId::from_bits(effect.target);
        match self.accept_task(id, agent, effect.trace, &bytes, env) {
            Ok(slot) => {
                let scheduler = self.agents.at_mut(index);
                scheduler.answers_used += 1;
                self.tasks.get_mut(slot).incarnation = scheduler.incarnation;
                self.agents.rare_mut(index).scheduled.push(slot);
                self.begin_task(slot, env);
            }
            Err(status) => self.outcome(index, effect, status, agent, 0),
        }
        self.scratch = bytes;
    }

    /// The host schedules a task by the command `seq`; `trace` is that of the command.
    pub(crate) fn schedule_on_command(
        &mut self,
        seq: u64,
        agent: AgentId,
        trace: u64,
        bytes: &[u8],
        env: &mut impl Environment,
    ) -> Status {
        match self.accept_task(TaskId::of_host(seq), agent, trace, bytes, env) {
            Ok(slot) => {
                self.begin_task(slot, env);
                Status::Ok
            }
            Err(status) => status,
        }
    }

    /// A task within the limits, which waits for those that it names; or why it is refused.
    fn accept_task(
        &mut self,
        id: TaskId,
        agent: AgentId,
        trace: u64,
        bytes: &[u8],
        env: &mut impl Environment,
    ) -> Result<TaskSlot, Status> {
        let limits = &self.setup.limits;
        let parts = TaskParts::parse(bytes, limits.dependencies_max).ok_or(Status::Invalid)?;
        let index = self.agents.resolve(agent).ok_or(Status::Gone)?;
        if parts.after().any(|after| self.tasks.find(after).is_none()) {
            return Err(Status::Unknown);
        }
        let len = parts.payload.len() as u32;
        if self.agents.rare(index).tasks_held >= limits.agent_tasks_max {
            return Err(Status::InboxFull);
        }
        let held = self.held_blocks + blocks(len);
        if self.tasks.live >= limits.tasks_max || held > blocks(limits.payload_bytes_held_max) {
            return Err(Status::KernelFull);
        }
        self.held_blocks = held;
        let made_at = (self.tick, self.microstep);
        let mut task = TaskEntry::new(id, agent, parts.header, made_at, trace);
        (task.len, task.hash) = (len, payload_hash(parts.payload));
        if len > 0 {
            let location = env.payloads().keep(parts.payload);
            task.payload = self.payloads.add_kept(location, self.epoch, len);
            self.payloads.refer(task.payload);
        }
        let slot = self.tasks.add(task);
        self.agents.rare_mut(index).tasks_held += 1;
        self.stats.tasks += 1;
        self.stats.tasks_blocked += 1;
        self.chain.event_of_two(event::TASK_SCHEDULED, agent.to_bits(), id.seq, id.agent);
        for after in parts.after() {
            self.wait_for(slot, after);
        }
        Ok(slot)
    }

    fn wait_for(&mut self, slot: TaskSlot, after: TaskId) {
        // It was found when the task was accepted, and accepting one forgets none.
        let Some(before) = self.tasks.find(after) else { return };
        match self.tasks.get(before).state {
            task_state::BLOCKED | task_state::READY | task_state::RUNNING => {
                self.tasks.wait_for(slot, before);
            }
            ended => self.tasks.get_mut(slot).after_failure |= !succeeded(ended),
        }
    }

    /// A task was accepted; it may have nothing to wait for.
    fn begin_task(&mut self, slot: TaskSlot, env: &mut impl Environment) {
        if self.tasks.get(slot).waits == 0 {
            self.unblock(slot);
        }
        self.end_tasks(env);
    }

    /// All that a task waited for has ended.
    fn unblock(&mut self, slot: TaskSlot) {
        let task = self.tasks.get(slot);
        let how = if task.after_failure { task.header.on_failure } else { on_failure::RUN };
        match how {
            on_failure::RUN => self.make_ready(slot),
            on_failure::SKIP => self.will_end(slot, task_state::SKIPPED, Status::Skipped),
            _ => self.will_end(slot, task_state::CANCELLED, Status::Cancelled),
        }
    }

    fn will_end(&mut self, slot: TaskSlot, state: u32, status: Status) {
        self.tasks.ending.push_back(TaskEnding { slot, state, status });
    }

    /// A task may be taken by its agent, if that is there and can hold it.
    fn make_ready(&mut self, slot: TaskSlot) {
        let TaskEntry { agent, len, .. } = *self.tasks.get(slot);
        let Some(index) = self.agents.resolve(agent) else {
            return self.will_end(slot, task_state::FAILED, Status::Gone);
        };
        let max = self.agents.at(index).item_bytes_max();
        if max.is_some_and(|max| len.saturating_add(CONTEXT_BYTES) > max) {
            return self.will_end(slot, task_state::FAILED, Status::TooLong);
        }
        self.tasks.get_mut(slot).since = self.tick;
        self.enlist(index, slot);
        self.make_runnable(index);
        self.rekey(index);
    }

    /// A task is among those that its agent may take.
    fn enlist(&mut self, index: u32, slot: TaskSlot) {
        self.set_task_state(slot, task_state::READY);
        self.agents.rare_mut(index).ready_tasks.push(slot);
        self.agents.at_mut(index).has_task = true;
        self.mark_dirty(index);
    }

    /// Moves a task between the gauges.
    fn set_task_state(&mut self, slot: TaskSlot, state: u32) {
        let before = std::mem::replace(&mut self.tasks.get_mut(slot).state, state);
        let stats = &mut self.stats;
        stats.tasks_blocked -= u64::from(before == task_state::BLOCKED);
        stats.tasks_ready -= u64::from(before == task_state::READY);
        stats.tasks_ready += u64::from(state == task_state::READY);
    }

    /// Q2.4: the priority of an agent is the greatest of its own and its ready tasks'.
    pub(crate) fn agent_priority(&self, index: u32) -> i32 {
        let agent = self.agents.at(index);
        let own = self.setup.templates[agent.template as usize].priority;
        if !agent.has_task || self.setup.schedule != Schedule::Priority {
            return own;
        }
        let tasks = self.agents.rare(index).ready_tasks.iter();
        tasks.map(|slot| self.tasks.get(*slot).header.priority).fold(own, i32::max)
    }

    /// The ready tasks of an agent are others: so may be its priority, and whether it is runnable.
    fn rekey(&mut self, index: u32) {
        let agent = self.agents.at(index);
        if !agent.runnable() {
            self.order.remove(index);
        } else if !agent.planned && self.setup.schedule == Schedule::Priority {
            self.order.set_priority(index, self.agent_priority(index));
        }
    }

    /// A turn ended before it came to its task, which goes back.
    pub(crate) fn give_back_task(&mut self, planned: Planned) {
        self.enlist(planned.agent, planned.task);
    }

    /// C1 pass 1: a turn came to its task. A fault or a code of the agent's own ends the attempt
    /// without success.
    pub(crate) fn attempt_over(
        &mut self,
        planned: Planned,
        result: &TurnResult,
        env: &mut impl Environment,
    ) {
        let (slot, faulted) = (planned.task, result.fault != fault::NONE);
        let task = self.tasks.get_mut(slot);
        task.attempts += 1;
        task.code = if faulted { 0 } else { result.step_code };
        if !faulted && result.step_code == 0 {
            self.will_end(slot, task_state::DONE, Status::Ok);
        } else if task.attempts >= task.header.attempts {
            self.will_end(slot, task_state::FAILED, Status::TaskFailed);
        } else {
            task.since = self.tick;
            self.enlist(planned.agent, slot);
            // Who faulted leaves the order in pass 4.
            if !faulted {
                self.make_runnable(planned.agent);
                self.rekey(planned.agent);
            }
        }
        self.end_tasks(env);
    }

    /// Ends the tasks that are to end, and those that follow from it.
    fn end_tasks(&mut self, env: &mut impl Environment) {
        while let Some(ending) = self.tasks.ending.pop_front() {
            self.end_task(ending, env);
        }
    }

    fn end_task(&mut self, ending: TaskEnding, env: &mut impl Environment) {
        let TaskEnding { slot, state, status } = ending;
        let task = *self.tasks.get(slot);
        if task.state > task_state::RUNNING {
            return;
        }
        self.set_task_state(slot, state);
        let index = task.agent.index();
        if self.agents.id(index) == task.agent {
            let rare = self.agents.rare_mut(index);
            rare.tasks_held -= 1;
            if task.state == task_state::READY {
                rare.ready_tasks.retain(|other| *other != slot);
                let has_task = !rare.ready_tasks.is_empty();
                self.agents.at_mut(index).has_task = has_task;
                self.mark_dirty(index);
                self.rekey(index);
            }
        }
        self.held_blocks -= blocks(task.len);
        self.payloads.release(task.payload, env);
        self.tasks.get_mut(slot).payload = NO_PAYLOAD;
        self.tasks.wait_no_more(slot);
        self.count_ended(state);
        let what = u64::from(state) << 32 | u64::from(task.attempts);
        self.chain.event_of_two(event::TASK_ENDED, task.id.agent, task.id.seq, what);
        self.tell_end(slot, &task, ending, env);
        while let Some(waiting) = self.tasks.pop_waiting(slot) {
            let task = self.tasks.get_mut(waiting);
            task.after_failure |= !succeeded(state);
            if task.waits == 0 && task.state == task_state::BLOCKED {
                self.unblock(waiting);
            }
        }
        debug_assert!(status != Status::Ok || state == task_state::DONE);
        self.tasks.remember(slot, self.setup.limits.tasks_max);
    }

    fn count_ended(&mut self, state: u32) {
        let stats = &mut self.stats;
        match state {
            task_state::DONE => stats.tasks_done += 1,
            task_state::SKIPPED => stats.tasks_skipped += 1,
            task_state::CANCELLED => stats.tasks_cancelled += 1,
            _ => stats.tasks_failed += 1,
        }
    }

    /// A4.1: who scheduled a task gets its outcome.
    fn tell_end(
        &mut self,
        slot: TaskSlot,
        task: &TaskEntry,
        ending: TaskEnding,
        env: &mut impl Environment,
    ) {
        let TaskEnding { state, status, .. } = ending;
        let TaskEntry { agent, attempts, code, trace, .. } = *task;
        let seq = task.id.seq;
        let Some(scheduler) = task.scheduler() else {
            let tick = self.tick;
            let outcome = TaskOutcome { tick, seq, agent, state, status, attempts, code };
            return env.sink().task_ended(&outcome);
        };
        // With its incarnation the tasks of an agent end unheard.
        let Some(index) = self.agents.living(scheduler, task.incarnation).filter(|_| task.tells)
        else {
            return;
        };
        self.agents.rare_mut(index).scheduled.retain(|other| *other != slot);
        let agent_slots = &mut self.agents.at_mut(index).answers_used;
        *agent_slots = agent_slots.saturating_sub(1);
        let detail = u64::from(attempts) << 32 | u64::from(code.cast_unsigned());
        let effect = Effect { seq, trace, ..Effect::default() };
        self.outcome(index, &effect, status, agent, detail);
    }

    /// The incarnation of agent `index` is over: what it scheduled will not run (A9).
    pub(crate) fn cancel_scheduled(&mut self, index: u32, env: &mut impl Environment) {
        let mut slots = std::mem::take(&mut self.agents.rare_mut(index).scheduled);
        for slot in slots.drain(..) {
            self.tasks.get_mut(slot).tells = false;
            self.will_end(slot, task_state::CANCELLED, Status::Cancelled);
        }
        self.agents.rare_mut(index).scheduled = slots;
        self.end_tasks(env);
    }

    /// Agent `index` is gone: the tasks that it could have taken fail (A10).
    pub(crate) fn fail_ready(&mut self, index: u32, env: &mut impl Environment) {
        for at in 0..self.agents.rare(index).ready_tasks.len() {
            let slot = self.agents.rare(index).ready_tasks[at];
            self.will_end(slot, task_state::FAILED, Status::Gone);
        }
        self.end_tasks(env);
    }

    /// Agent `index` has named its inbox: ready tasks that it cannot hold fail (A2.3).
    pub(crate) fn fail_long(&mut self, index: u32, env: &mut impl Environment) {
        let Some(max) = self.agents.at(index).item_bytes_max() else { return };
        for at in 0..self.agents.rare(index).ready_tasks.len() {
            let slot = self.agents.rare(index).ready_tasks[at];
            if self.tasks.get(slot).len.saturating_add(CONTEXT_BYTES) > max {
                self.will_end(slot, task_state::FAILED, Status::TooLong);
            }
        }
        self.end_tasks(env);
    }
}
