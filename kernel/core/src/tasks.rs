//! The tasks of a run: a pool of them, by slot and by name, and who waits for whom (SEMANTICS A12).
//!
//! ```text
//!  schedule -> blocked -> ready -> running -> done | failed
//!                 |  ^      |         |
//!                 |  +--waits for     +--attempts left--> ready
//!                 +-> skipped | cancelled
//! ```
//! An ended task is remembered by name as long as it is among the last `tasks_max`, so that one
//! that names it later learns how it ended. Slots are used again; names, and who waits for whom,
//! lie in trees, which allocate as they grow. What follows from a step of a task is in
//! `task_flow.rs`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use wasm_engine_abi::{
    AgentId, Tick,
    calls::Status,
    frame::{ItemHeader, NO_TOPIC, item},
    task::{TaskHeader, TaskId, task_state},
};

use crate::inbox::Item;
use crate::payloads::{NO_PAYLOAD, PayloadId};

/// Where a task lies in the pool.
pub(crate) type TaskSlot = u32;
/// No task.
pub(crate) const NO_TASK: TaskSlot = u32::MAX;

/// One task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskEntry {
    pub(crate) id: TaskId,
    /// Incarnation of the agent that scheduled it.
    pub(crate) incarnation: u32,
    /// For whom it is.
    pub(crate) agent: AgentId,
    pub(crate) header: TaskHeader,
    /// Attempts made.
    pub(crate) attempts: u32,
    /// What `agent_step` returned in the last of them.
    pub(crate) code: i32,
    /// One of [`task_state`].
    pub(crate) state: u32,
    /// Order of acceptance over the run.
    pub(crate) number: u64,
    /// Since when it is ready.
    pub(crate) since: Tick,
    pub(crate) trace: u64,
    pub(crate) tick: Tick,
    pub(crate) microstep: u32,
    pub(crate) payload: PayloadId,
    pub(crate) len: u32,
    /// Low half of the hash of the payload.
    pub(crate) hash: u32,
    /// Tasks that it still waits for.
    pub(crate) waits: u32,
    /// One of those that it waited for did not succeed.
    pub(crate) after_failure: bool,
    /// Who scheduled it is to be told.
    pub(crate) tells: bool,
}

impl TaskEntry {
    /// A task before it waits for any; `made_at` is tick and microstep.
    pub(crate) fn new(
        id: TaskId,
        agent: AgentId,
        header: TaskHeader,
        made_at: (Tick, u32),
        trace: u64,
    ) -> Self {
        Self {
            id,
            incarnation: 0,
            agent,
            header,
            attempts: 0,
            code: 0,
            state: task_state::BLOCKED,
            number: 0,
            since: 0,
            trace,
            tick: made_at.0,
            microstep: made_at.1,
            payload: NO_PAYLOAD,
            len: 0,
            hash: 0,
            waits: 0,
            after_failure: false,
            tells: true,
        }
    }

    /// Who scheduled it, if it was an agent.
    pub(crate) fn scheduler(&self) -> Option<AgentId> {
        Some(AgentId::from_bits(self.id.agent)).filter(|agent| *agent != AgentId::NONE)
    }

    /// What a step of its agent gets.
    pub(crate) fn item(&self) -> Item {
        let header = ItemHeader {
            kind: item::TASK,
            len: self.len,
            from: self.id.agent,
            from_seq: self.id.seq,
            tick: self.tick,
            topic: NO_TOPIC,
            code: (self.attempts + 1).cast_signed(),
            microstep: self.microstep,
            hash: self.hash,
            request: 0,
            trace: self.trace,
        };
        Item::new(header, self.payload, false)
    }

    /// Priority with age: what the tasks of an agent are ordered by.
    pub(crate) fn effective_priority(&self, now: Tick, aging_ticks: u64) -> i64 {
        let age = (now - self.since) / aging_ticks.max(1);
        i64::from(self.header.priority) + i64::try_from(age).unwrap_or(i64::MAX / 2)
    }
}

/// Whether a task that ended so counts as one that succeeded.
pub(crate) fn succeeded(state: u32) -> bool {
    matches!(state, task_state::DONE | task_state::SKIPPED)
}

/// How a task is to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskEnding {
    pub(crate) slot: TaskSlot,
    /// One of [`task_state`].
    pub(crate) state: u32,
    pub(crate) status: Status,
}

/// All tasks.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    slots: Vec<TaskEntry>,
    free: Vec<TaskSlot>,
    /// Live tasks that others wait for, each with the number and slot of one of these.
    followers: BTreeSet<(TaskSlot, u64, TaskSlot)>,
    /// The same the other way round: who waits, and for whom.
    befores: BTreeSet<(TaskSlot, TaskSlot)>,
    by_id: BTreeMap<TaskId, TaskSlot>,
    /// Ended ones that are remembered, oldest first.
    ended: VecDeque<TaskSlot>,
    /// That have not ended.
    pub(crate) live: u32,
    next_number: u64,
    /// Tasks that are to end, in order.
    pub(crate) ending: VecDeque<TaskEnding>,
}

impl Tasks {
    pub(crate) fn get(&self, slot: TaskSlot) -> &TaskEntry {
        &self.slots[slot as usize]
    }

    pub(crate) fn get_mut(&mut self, slot: TaskSlot) -> &mut TaskEntry {
        &mut self.slots[slot as usize]
    }

    /// The task of this name, if it is there or remembered.
    pub(crate) fn find(&self, id: TaskId) -> Option<TaskSlot> {
        self.by_id.get(&id).copied()
    }

    /// Of these ready tasks the one that comes next, by priority with age, then by acceptance.
    pub(crate) fn first_of(&self, ready: &[TaskSlot], now: Tick, aging_ticks: u64) -> TaskSlot {
        let key = |slot: &TaskSlot| {
            let task = self.get(*slot);
            (task.effective_priority(now, aging_ticks), Reverse(task.number))
        };
        ready.iter().copied().max_by_key(key).unwrap_or(NO_TASK)
    }

    /// Adds a task, numbered behind all others.
    pub(crate) fn add(&mut self, task: TaskEntry) -> TaskSlot {
        let task = TaskEntry { number: self.next_number, ..task };
        self.next_number += 1;
        self.live += 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = task;
                slot
            }
            None => {
                self.slots.push(task);
                (self.slots.len() - 1) as TaskSlot
            }
        };
        self.by_id.insert(task.id, slot);
        slot
    }

    /// `waiting` waits for `slot`, which has not ended; naming it twice is naming it once.
    pub(crate) fn wait_for(&mut self, waiting: TaskSlot, slot: TaskSlot) {
        if self.befores.insert((waiting, slot)) {
            self.followers.insert((slot, self.get(waiting).number, waiting));
            self.get_mut(waiting).waits += 1;
        }
    }

    /// The next task that waits for `slot`, in the order in which they were accepted; it does no
    /// more.
    pub(crate) fn pop_waiting(&mut self, slot: TaskSlot) -> Option<TaskSlot> {
        let first = self.followers.range((slot, 0, 0)..).next();
        let &(_, number, waiting) = first.filter(|edge| edge.0 == slot)?;
        self.followers.remove(&(slot, number, waiting));
        self.befores.remove(&(waiting, slot));
        self.get_mut(waiting).waits -= 1;
        Some(waiting)
    }

    /// A task has ended before those that it waits for.
    pub(crate) fn wait_no_more(&mut self, slot: TaskSlot) {
        let Self { slots, followers, befores, .. } = self;
        let task = &mut slots[slot as usize];
        task.waits = 0;
        for (_, before) in befores.extract_if((slot, 0)..=(slot, TaskSlot::MAX), |_| true) {
            followers.remove(&(before, task.number, slot));
        }
    }

    /// Those that a task still waits for.
    pub(crate) fn waited_for_by(&self, slot: TaskSlot) -> impl Iterator<Item = TaskSlot> + '_ {
        self.befores.range((slot, 0)..=(slot, TaskSlot::MAX)).map(|(_, before)| *before)
    }

    /// A task has ended; of those that have, the last `remembered_max` keep their names.
    pub(crate) fn remember(&mut self, slot: TaskSlot, remembered_max: u32) {
        self.live -= 1;
        self.ended.push_back(slot);
        if self.ended.len() > remembered_max as usize
            && let Some(oldest) = self.ended.pop_front()
        {
            self.by_id.remove(&self.slots[oldest as usize].id);
            self.free.push(oldest);
        }
    }
}

/// What a checkpoint reads and makes again.
impl Tasks {
    /// Slots that were given so far: all are below.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Ended tasks that are remembered, oldest first.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &TaskEntry> + '_ {
        self.ended.iter().map(|slot| self.get(*slot))
    }

    /// Those that have not ended, in the order of their acceptance. Between two ticks only: none
    /// is running, and none is to end.
    pub(crate) fn live_slots(&self) -> Vec<TaskSlot> {
        let Self {
            slots,
            free: _,
            // Each task says for whom it waits.
            followers: _,
            befores: _,
            by_id,
            ended: _,
            live,
            next_number: _,
            ending,
        } = self;
        debug_assert!(ending.is_empty());
        let lives = |slot: &TaskSlot| slots[*slot as usize].state <= task_state::RUNNING;
        let mut all: Vec<_> = by_id.values().copied().filter(lives).collect();
        all.sort_unstable_by_key(|slot| slots[*slot as usize].number);
        debug_assert_eq!(all.len(), *live as usize);
        all
    }

    /// Adds a task, which has its number, at the next slot.
    pub(crate) fn restore(&mut self, task: TaskEntry) {
        self.by_id.insert(task.id, self.slots.len() as TaskSlot);
        self.slots.push(task);
        self.live += 1;
    }

    /// Adds one that has ended, behind the others of that kind.
    pub(crate) fn restore_ended(&mut self, id: TaskId, state: u32) {
        let task = TaskEntry::new(id, AgentId::NONE, TaskHeader::default(), (0, 0), 0);
        let slot = self.slots.len() as TaskSlot;
        self.by_id.insert(id, slot);
        self.ended.push_back(slot);
        self.slots.push(TaskEntry { state, ..task });
    }

    /// The next task gets this number.
    pub(crate) fn number_from(&mut self, next_number: u64) {
        self.next_number = next_number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(seq: u64) -> TaskEntry {
        let agent = AgentId::new(0, 0);
        TaskEntry::new(TaskId::of_host(seq), agent, TaskHeader::default(), (1, 0), 0)
    }

    #[test]
    fn a12_6_ended_tasks_are_remembered_in_the_order_of_their_ends() {
        let mut tasks = Tasks::default();
        let slots: Vec<_> = (0..4).map(|seq| tasks.add(task(seq))).collect();
        for slot in [slots[2], slots[0], slots[3]] {
            tasks.remember(slot, 2);
        }
        let found: Vec<_> = (0..4).map(|seq| tasks.find(TaskId::of_host(seq))).collect();
        assert_eq!(found, [Some(slots[0]), Some(slots[1]), None, Some(slots[3])]);
        assert_eq!((tasks.live, tasks.add(task(9))), (1, slots[2]), "its slot is used again");
    }

    #[test]
    fn a12_3_those_who_wait_come_in_the_order_of_acceptance_and_once() {
        let mut tasks = Tasks::default();
        let slots: Vec<_> = (0..5).map(|seq| tasks.add(task(seq))).collect();
        for waiting in [3, 1, 4, 2, 3] {
            tasks.wait_for(slots[waiting], slots[0]);
        }
        tasks.wait_for(slots[4], slots[1]);
        tasks.wait_no_more(slots[2]);
        let waiting: Vec<_> = std::iter::from_fn(|| tasks.pop_waiting(slots[0])).collect();
        assert_eq!(waiting, [slots[1], slots[3], slots[4]]);
        assert_eq!(slots.iter().map(|slot| tasks.get(*slot).waits).sum::<u32>(), 1);
        assert!(tasks.waited_for_by(slots[4]).eq([slots[1]]));
        assert_eq!((tasks.followers.len(), tasks.befores.len()), (1, 1));
    }
}
