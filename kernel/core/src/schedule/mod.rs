//! Schedule order: which runnable agent is planned next (SEMANTICS Q).
//!
//! Three orders behind one seam. Each holds every runnable agent exactly once; the core inserts
//! an agent when it becomes runnable and the order hands agents out when a microstep is planned.
//! An agent that is not taken keeps its position across microsteps and ticks (Q1).

mod fifo;
mod priority;
mod round_robin;
mod verdict;

use wasm_engine_abi::Tick;

pub(crate) use self::verdict::Verdict;
use self::{fifo::Fifo, priority::Priority, round_robin::RoundRobin};
use crate::codec::{CheckpointError, Reader};
use wasm_engine_setup::Schedule;

/// The runnable agents in schedule order.
#[derive(Debug)]
pub(crate) enum ReadyQueue {
    Fifo(Fifo),
    RoundRobin(RoundRobin),
    Priority(Priority),
}

impl ReadyQueue {
    /// An empty order for at most `agents_max` slots.
    pub(crate) fn new(schedule: Schedule, agents_max: u32, aging_ticks: u64) -> Self {
        match schedule {
            Schedule::Fifo => Self::Fifo(Fifo::new(agents_max)),
            Schedule::RoundRobin => Self::RoundRobin(RoundRobin::new(agents_max)),
            Schedule::Priority => Self::Priority(Priority::new(agents_max, aging_ticks)),
        }
    }

    /// Adds `agent`, runnable since `now` with its own `priority`; nothing if it is there already.
    #[inline]
    pub(crate) fn insert(&mut self, agent: u32, priority: i32, now: Tick) {
        match self {
            Self::Fifo(order) => order.insert(agent),
            Self::RoundRobin(order) => order.insert(agent),
            Self::Priority(order) => order.insert(agent, priority, now),
        }
    }

    /// The priority of `agent` is another one (SEMANTICS Q2.4); its position stays. Nothing if it
    /// is not there.
    pub(crate) fn set_priority(&mut self, agent: u32, priority: i32) {
        if let Self::Priority(order) = self {
            order.set_priority(agent, priority);
        }
    }

    /// Removes `agent`, which is not runnable any more; nothing if it is not there.
    pub(crate) fn remove(&mut self, agent: u32) {
        match self {
            Self::Fifo(order) => order.remove(agent),
            Self::RoundRobin(order) => order.remove(agent),
            Self::Priority(order) => order.remove(agent),
        }
    }

    /// Agents held.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Fifo(order) => order.len(),
            Self::RoundRobin(order) => order.len(),
            Self::Priority(order) => order.len(),
        }
    }

    /// Appends who is in it.
    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        match self {
            Self::Fifo(order) => order.put(into),
            Self::RoundRobin(order) => order.put(into),
            Self::Priority(order) => order.put(into),
        }
    }

    /// Reads it, into an empty one; `admit` says whether an agent, of a slot that there is, may be
    /// in it.
    pub(crate) fn take(
        &mut self,
        from: &mut Reader<'_>,
        now: Tick,
        admit: impl FnMut(u32) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        match self {
            Self::Fifo(order) => order.take(from, admit),
            Self::RoundRobin(order) => order.take(from, admit),
            Self::Priority(order) => order.take(from, now, admit),
        }
    }

    /// Hands out agents in order until `verdict_of` stops it.
    pub(crate) fn plan(&mut self, now: Tick, verdict_of: impl FnMut(u32) -> Verdict) {
        match self {
            Self::Fifo(order) => order.plan(verdict_of),
            Self::RoundRobin(order) => order.plan(verdict_of),
            Self::Priority(order) => order.plan(now, verdict_of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(order: &mut ReadyQueue, now: Tick, count: usize) -> Vec<u32> {
        let mut taken = Vec::new();
        order.plan(now, |agent| {
            if taken.len() == count {
                return Verdict::Stop;
            }
            taken.push(agent);
            Verdict::Take
        });
        taken
    }

    #[test]
    fn q1_2_q1_4_q2_1_fifo_goes_by_position_and_keeps_what_did_not_fit() {
        let mut order = ReadyQueue::new(Schedule::Fifo, 8, 16);
        for agent in [5, 1, 3, 5, 7] {
            order.insert(agent, 0, 1);
        }
        order.remove(3);
        assert_eq!(order.len(), 3);
        assert_eq!(take(&mut order, 1, 1), [5]);
        order.insert(5, 0, 1);
        order.insert(3, 0, 1);
        assert_eq!(take(&mut order, 1, 9), [1, 7, 5, 3]);
        assert_eq!(order.len(), 0);
    }

    #[test]
    fn q2_2_round_robin_is_cyclic_after_the_last_planned() {
        let mut order = ReadyQueue::new(Schedule::RoundRobin, 8, 16);
        for agent in [6, 0, 3] {
            order.insert(agent, 0, 1);
        }
        assert_eq!(take(&mut order, 1, 2), [0, 3]);
        order.insert(1, 0, 1);
        assert_eq!(take(&mut order, 1, 9), [6, 1]);
        order.insert(1, 0, 1);
        assert_eq!(take(&mut order, 1, 9), [1]);
    }

    #[test]
    fn q2_4_an_agent_is_keyed_anew_where_it_stands() {
        let mut order = ReadyQueue::new(Schedule::Priority, 8, 10);
        for (agent, priority) in [(1, 0), (2, 0), (3, 5), (4, 5)] {
            order.insert(agent, priority, 0);
        }
        order.set_priority(2, 5);
        order.set_priority(4, 0);
        assert_eq!(take(&mut order, 1, 9), [2, 3, 1, 4], "by the position of the first insertion");
        order.insert(2, 0, 1);
        order.insert(1, 0, 1);
        order.set_priority(1, 1);
        order.remove(1);
        order.insert(1, 0, 1);
        assert_eq!(take(&mut order, 1, 9), [2, 1], "what was set ends with the place");
    }

    #[test]
    fn t5_6_q2_3_priority_ages_so_that_nobody_starves() {
        let mut order = ReadyQueue::new(Schedule::Priority, 8, 10);
        order.insert(2, 0, 0);
        order.insert(4, 5, 0);
        assert_eq!(take(&mut order, 1, 1), [4]);
        order.insert(4, 5, 49);
        assert_eq!(take(&mut order, 49, 1), [4], "4 levels of age do not reach 5");
        order.insert(4, 5, 50);
        assert_eq!(take(&mut order, 50, 1), [2], "5 levels do, and the older position wins");
    }
}
