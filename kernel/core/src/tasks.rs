//! The tasks of a run: a pool of them, by slot and by name, and who waits for whom (SEMANTICS A12).
//!
//! ```text
//!  schedule -> blocked -> ready -> running -> done | failed
//!                 |  ^      |         |
//!                 |  +--waits for     +--attempts left--> ready
//!                 +-> skipped | cancelled
//! ```
//! An ended task is remembered by name as long as it is among the last `tasks_max`, so that one
//! that names it later learns how it ended. Slots and edges are used again; only the names lie in a
//! tree, which allocates as it grows. What follows from a step of a task is in
//! `task_flow.rs`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
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
const NONE: u32 = u32::MAX;

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
    first_edge: u32,
    last_edge: u32,
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
            first_edge: NONE,
            last_edge: NONE,
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

/// A task that waits for another.
#[derive(Clone, Copy, Debug)]
struct Edge {
    waiting: TaskSlot,
    next: u32,
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
    edges: Vec<Edge>,
    free_edges: Vec<u32>,
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

    /// `waiting` waits for `slot`, which has not ended, behind those that do already.
    pub(crate) fn wait_for(&mut self, waiting: TaskSlot, slot: TaskSlot) {
        let edge = Edge { waiting, next: NONE };
        let at = match self.free_edges.pop() {
            Some(at) => {
                self.edges[at as usize] = edge;
                at
            }
            None => {
                self.edges.push(edge);
                (self.edges.len() - 1) as u32
            }
        };
        match std::mem::replace(&mut self.get_mut(slot).last_edge, at) {
            NONE => self.get_mut(slot).first_edge = at,
            last => self.edges[last as usize].next = at,
        }
        self.get_mut(waiting).waits += 1;
    }

    /// The next task that waits for `slot`, in the order in which they came; it does no more.
    pub(crate) fn pop_waiting(&mut self, slot: TaskSlot) -> Option<TaskSlot> {
        let at = self.get(slot).first_edge;
        let edge = *self.edges.get(at as usize)?;
        self.free_edges.push(at);
        self.get_mut(slot).first_edge = edge.next;
        Some(edge.waiting)
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
    fn those_who_wait_come_in_their_order_and_edges_are_used_again() {
        let mut tasks = Tasks::default();
        let slots: Vec<_> = (0..5).map(|seq| tasks.add(task(seq))).collect();
        for round in 0..3 {
            for waiting in [3, 1, 4] {
                tasks.wait_for(slots[waiting], slots[0]);
            }
            let waiting: Vec<_> = std::iter::from_fn(|| tasks.pop_waiting(slots[0])).collect();
            assert_eq!(waiting, [slots[3], slots[1], slots[4]]);
            // As an ended task is: it does not lead to another one's edges.
            tasks.slots[slots[0] as usize] = task(0);
            assert_eq!((tasks.edges.len(), tasks.get(slots[1]).waits), (3, round + 1));
        }
    }
}
