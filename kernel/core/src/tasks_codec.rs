//! Tasks as the bytes of a checkpoint (SEMANTICS L8).
//!
//! ```text
//!  next number 8 | ended tasks, in the order of their ends: name 16, state 4
//!  | live tasks, in the order of acceptance: their terms, payload, and the live ones that they
//!  wait for | ready ones, by agent, in the order in which they became ready
//! ```
//! Slots are physical: a live task is named by its position in the order of acceptance. Of those
//! that have ended nobody asks more than how. Who gets the outcome, how many tasks an agent has and
//! who follows whom is made from this again.

use wasm_engine_abi::{
    AgentId,
    task::{TaskHeader, TaskId, task_state},
};

use crate::{
    agents::Agents,
    codec::{CheckpointError, Coded, Reader, coded, damaged, ensure, put_count},
    environment::PayloadStore,
    payloads::{Payloads, blocks},
    state::Core,
    task_flow::CONTEXT_BYTES,
    tasks::{TaskEntry, TaskSlot, Tasks},
    tick_open::payload_hash,
};

coded!(TaskId { agent, seq });
coded!(TaskHeader { priority, attempts, on_failure, after });

impl Coded for TaskEntry {
    /// A live one without its payload and what it waits for, which follow.
    fn put(&self, into: &mut Vec<u8>) {
        let Self {
            id,
            incarnation,
            agent,
            header,
            attempts,
            code,
            // It is among the ready ones, or it is blocked.
            state: _,
            number,
            since,
            trace,
            tick,
            microstep,
            payload: _,
            len: _,
            hash: _,
            waits: _,
            after_failure,
            // Until its scheduler's incarnation ends, and it with it.
            tells: _,
        } = self;
        (*id, *incarnation).put(into);
        (agent.to_bits(), *header).put(into);
        (*attempts, *code).put(into);
        (*number, *since).put(into);
        (*trace, *tick).put(into);
        (*microstep, *after_failure).put(into);
    }

    /// It, blocked, without payload.
    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        let (id, incarnation) = Coded::take(from)?;
        let (agent, header) = Coded::take(from)?;
        let (attempts, code) = Coded::take(from)?;
        let (number, since) = Coded::take(from)?;
        let (trace, tick) = Coded::take(from)?;
        let (microstep, after_failure) = Coded::take(from)?;
        let task = Self::new(id, AgentId::from_bits(agent), header, (tick, microstep), trace);
        Ok(Self { incarnation, attempts, code, number, since, after_failure, ..task })
    }
}

/// Appends all tasks.
pub(crate) fn put_tasks(
    tasks: &Tasks,
    agents: &Agents,
    payloads: &Payloads,
    store: &mut impl PayloadStore,
    into: &mut Vec<u8>,
) {
    tasks.next_number().put(into);
    put_count(tasks.ended().count(), into);
    for task in tasks.ended() {
        (task.id, task.state).put(into);
    }
    let live = tasks.live_slots();
    let mut positions = vec![0_u32; tasks.slots()];
    (0..).zip(&live).for_each(|(position, slot)| positions[*slot as usize] = position);
    let position = |slot: TaskSlot| positions[slot as usize];
    put_count(live.len(), into);
    for &slot in &live {
        let task = tasks.get(slot);
        task.put(into);
        put_count(task.len as usize, into);
        if let Some(payload) = payloads.get(task.payload) {
            store.read(payload.location, payload.epoch, payload.len, into);
        }
        let mut befores: Vec<u32> = tasks.waited_for_by(slot).map(position).collect();
        befores.sort_unstable();
        befores.put(into);
    }
    let ready = (0..agents.len() as u32).flat_map(|index| &agents.rare(index).ready_tasks);
    ready.map(|slot| position(*slot)).collect::<Vec<_>>().put(into);
}

/// Tasks that were read and checked, and payloads of the live ones, which have the first slots.
#[derive(Debug)]
pub(crate) struct ReadTasks<'a> {
    payloads: Vec<&'a [u8]>,
}

impl ReadTasks<'_> {
    /// Blocks that they hold of what a limit counts.
    pub(crate) fn blocks(&self) -> u64 {
        self.payloads.iter().map(|bytes| u64::from(blocks(bytes.len() as u32))).sum()
    }

    /// Gives the tasks their payloads.
    pub(crate) fn fill(
        self,
        tasks: &mut Tasks,
        payloads: &mut Payloads,
        store: &mut impl PayloadStore,
    ) {
        for (slot, bytes) in (0..).zip(self.payloads).filter(|(_, bytes)| !bytes.is_empty()) {
            let location = store.keep(bytes);
            let payload = payloads.add_kept(location, 0, bytes.len() as u32);
            payloads.refer(payload);
            tasks.get_mut(slot).payload = payload;
        }
    }
}

impl Core {
    /// Reads the tasks of agents that were read.
    pub(crate) fn take_tasks<'a>(
        &mut self,
        from: &mut Reader<'a>,
    ) -> Result<ReadTasks<'a>, CheckpointError> {
        let next_number = u64::take(from)?;
        let ended = Vec::<(TaskId, u32)>::take(from)?;
        let max = self.setup.limits.tasks_max as usize;
        let (count, mut payloads, mut last) = (from.count()?, Vec::new(), None);
        ensure(count <= max && ended.len() <= max, "it has more tasks than can be")?;
        for slot in 0..count as TaskSlot {
            let task = TaskEntry::take(from)?;
            let payload = task_payload(from)?;
            ensure(last < Some(task.number), "tasks are out of order")?;
            last = Some(task.number);
            self.check_task(&task, payload)?;
            self.restore_task(slot, task, payload)?;
            self.take_befores(slot, from)?;
            payloads.push(payload);
        }
        ensure(last < Some(next_number), "a task has the number of a later one")?;
        for (id, state) in ended {
            let known = (task_state::DONE..=task_state::CANCELLED).contains(&state);
            ensure(known && self.tasks.find(id).is_none(), "a task has not ended, or twice")?;
            self.tasks.restore_ended(id, state);
        }
        self.tasks.number_from(next_number);
        self.take_ready(from)?;
        Ok(ReadTasks { payloads })
    }

    /// A task is within the limits, and those who have to do with it are there.
    fn check_task(&self, task: &TaskEntry, payload: &[u8]) -> Result<(), CheckpointError> {
        let limits = &self.setup.limits;
        let known = task.header.is_valid(limits.dependencies_max)
            && task.attempts < task.header.attempts
            && payload.len() <= limits.payload_bytes_max as usize;
        ensure(known, "a task is none")?;
        let past = task.since <= self.tick && task.tick <= self.tick;
        ensure(past, "a task is of a later tick")?;
        let there = (task.agent.index() as usize) < self.agents.len();
        ensure(there, "a task is for nobody")
    }

    /// The task, and what its agent and who scheduled it know of it.
    fn restore_task(
        &mut self,
        slot: TaskSlot,
        mut task: TaskEntry,
        payload: &[u8],
    ) -> Result<(), CheckpointError> {
        (task.len, task.hash) = (payload.len() as u32, payload_hash(payload));
        ensure(self.tasks.find(task.id).is_none(), "a task is there twice")?;
        if let Some(scheduler) = task.scheduler() {
            let index = self.agents.living(scheduler, task.incarnation);
            let index = index.ok_or_else(|| damaged("a task was scheduled by nobody"))?;
            self.agents.rare_mut(index).scheduled.push(slot);
        } else {
            ensure(task.incarnation == 0, "a task of the host is of an incarnation")?;
        }
        let index = task.agent.index();
        if self.agents.id(index) == task.agent {
            let held = &mut self.agents.rare_mut(index).tasks_held;
            *held += 1;
            let fits = *held <= self.setup.limits.agent_tasks_max;
            ensure(fits, "an agent has more tasks than it can")?;
        }
        self.tasks.restore(task);
        Ok(())
    }

    fn take_befores(
        &mut self,
        slot: TaskSlot,
        from: &mut Reader<'_>,
    ) -> Result<(), CheckpointError> {
        let befores = Vec::<TaskSlot>::take(from)?;
        let fits = befores.is_sorted_by(|one, next| one < next)
            && befores.last().is_none_or(|last| *last < slot)
            && befores.len() <= self.tasks.get(slot).header.after as usize;
        ensure(fits, "a task waits for one that is not before it")?;
        befores.into_iter().for_each(|before| self.tasks.wait_for(slot, before));
        Ok(())
    }

    /// Those that agents may take; all others are blocked.
    fn take_ready(&mut self, from: &mut Reader<'_>) -> Result<(), CheckpointError> {
        let (mut last, live) = (0, self.tasks.live);
        let ready = Vec::<TaskSlot>::take(from)?;
        for &slot in &ready {
            ensure(slot < live, "a ready task is not there")?;
            let task = self.tasks.get(slot);
            let (agent, len) = (task.agent, task.len);
            let first = task.waits == 0 && task.state == task_state::BLOCKED;
            ensure(first, "a task is ready twice, or waits")?;
            let index = self.agents.resolve(agent).filter(|index| *index >= last);
            last = index.ok_or_else(|| damaged("ready tasks are out of order, or of nobody"))?;
            let max = self.agents.at(last).item_bytes_max();
            let fits = max.is_none_or(|max| len.saturating_add(CONTEXT_BYTES) <= max);
            ensure(fits, "a ready task is longer than its inbox")?;
            self.tasks.get_mut(slot).state = task_state::READY;
            self.agents.rare_mut(last).ready_tasks.push(slot);
            self.agents.at_mut(last).has_task = true;
        }
        let blocked = |slot: &TaskSlot| self.tasks.get(*slot).state == task_state::BLOCKED;
        let idle = (0..live).filter(blocked).any(|slot| self.tasks.get(slot).waits == 0);
        ensure(!idle, "a task is neither ready nor waits")?;
        let counted = (u64::from(live) - ready.len() as u64, ready.len() as u64);
        let stats = (self.stats.tasks_blocked, self.stats.tasks_ready);
        ensure(stats == counted, "other tasks are there than are counted")
    }
}

fn task_payload<'a>(from: &mut Reader<'a>) -> Result<&'a [u8], CheckpointError> {
    let len = from.count()?;
    from.bytes(len)
}
