//! Tasks: what `schedule` takes, from agents and hosts alike (SEMANTICS A12).
//!
//! ```text
//!  0 priority i32 | 4 attempts u32 | 8 on_failure u32 | 12 after u32
//! 16 after x { agent u64 | seq u64 } | payload
//! ```
//! Whose task it is and for whom is no part of it: the call, or the command, says so.

use bytemuck::{Pod, Zeroable};

use crate::{codes, ids::AgentId};

/// The start of a task's bytes; the tasks that it waits for and its payload follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct TaskHeader {
    /// Higher comes first among the tasks of an agent; under `schedule = "priority"` it raises the
    /// agent too.
    pub priority: i32,
    /// How often it is tried, 1 to [`TaskHeader::ATTEMPTS_MAX`].
    pub attempts: u32,
    /// One of [`on_failure`].
    pub on_failure: u32,
    /// How many [`TaskId`]s follow.
    pub after: u32,
}

/// Which task: who scheduled it, and under which sequence number of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct TaskId {
    /// The agent that scheduled it; [`AgentId::NONE`] for the host.
    pub agent: u64,
    /// Its sequence number of the call, or of the command.
    pub seq: u64,
}

impl TaskId {
    /// The task that the host scheduled by the command of this sequence.
    #[must_use]
    pub const fn of_host(seq: u64) -> Self {
        Self { agent: AgentId::NONE.to_bits(), seq }
    }
}

const _: () = assert!(size_of::<TaskHeader>() == 16);
const _: () = assert!(size_of::<TaskId>() == 16);

impl TaskHeader {
    /// Attempts at most.
    pub const ATTEMPTS_MAX: u32 = 1 << 16;

    /// Whether it can be the header of a task that waits for at most `dependencies_max` others.
    #[must_use]
    pub fn is_valid(&self, dependencies_max: u32) -> bool {
        self.on_failure <= on_failure::RUN
            && (1..=Self::ATTEMPTS_MAX).contains(&self.attempts)
            && self.after <= dependencies_max
    }

    /// The parts that together are the bytes of a task with this header, whose `after` says how
    /// many tasks it waits for: `header.parts(&after, payload).concat()`.
    #[must_use]
    pub fn parts<'a>(&'a self, after: &'a [TaskId], payload: &'a [u8]) -> [&'a [u8]; 3] {
        [bytemuck::bytes_of(self), bytemuck::cast_slice(after), payload]
    }
}

impl Default for TaskHeader {
    /// Priority 0, one attempt, cancelled if what it waits for fails, waits for nothing.
    fn default() -> Self {
        Self { priority: 0, attempts: 1, on_failure: on_failure::FAIL, after: 0 }
    }
}

codes! {
/// What becomes of a task when one that it waits for did not succeed (SEMANTICS A12).
on_failure: u32 {
    /// It is cancelled, and has itself not succeeded.
    FAIL = 0 "fail",
    /// It is skipped; tasks that wait for it go on as if it had succeeded.
    SKIP = 1 "skip",
    /// It runs nevertheless.
    RUN = 2 "run",
}
}

codes! {
/// State of a task (SEMANTICS A12).
task_state: u32 {
    /// It waits for others.
    BLOCKED = 0 "blocked",
    /// Its agent may take it.
    READY = 1 "ready",
    /// It is part of a turn that is planned.
    RUNNING = 2 "running",
    /// It succeeded.
    DONE = 3 "done",
    /// Its attempts are used up, or its agent is gone or cannot hold it.
    FAILED = 4 "failed",
    /// It was left out, because another one did not succeed.
    SKIPPED = 5 "skipped",
    /// It will not run: another one did not succeed, or who scheduled it is gone.
    CANCELLED = 6 "cancelled",
}
}

/// A task as it was scheduled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskParts<'a> {
    /// Its header.
    pub header: TaskHeader,
    after: &'a [u8],
    /// What its agent gets.
    pub payload: &'a [u8],
}

impl<'a> TaskParts<'a> {
    /// Reads the bytes of a task that waits for at most `dependencies_max` others; none if they are
    /// not those of one.
    #[must_use]
    pub fn parse(bytes: &'a [u8], dependencies_max: u32) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(size_of::<TaskHeader>())?;
        let header: TaskHeader = bytemuck::pod_read_unaligned(head);
        let after_bytes = usize::try_from(header.after).ok()?.checked_mul(size_of::<TaskId>())?;
        let (after, payload) = rest.split_at_checked(after_bytes)?;
        header.is_valid(dependencies_max).then_some(Self { header, after, payload })
    }

    /// The tasks that it waits for.
    pub fn after(&self) -> impl ExactSizeIterator<Item = TaskId> + use<'a> {
        let (ids, _none) = self.after.as_chunks::<{ size_of::<TaskId>() }>();
        ids.iter().map(|bytes| bytemuck::pod_read_unaligned(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    fn bytes(header: TaskHeader, after: &[TaskId], payload: &[u8]) -> Vec<u8> {
        header.parts(after, payload).concat()
    }

    #[test]
    fn a12_1_a_task_is_read_whole_or_not_at_all() {
        let after = [TaskId { agent: 7, seq: 8 }, TaskId::of_host(9)];
        let header = TaskHeader { priority: -3, attempts: 2, on_failure: 1, after: 2 };
        let whole = bytes(header, &after, b"do it");
        // Wherever the bytes lie.
        let shifted = [b"x", whole.as_slice()].concat();
        let parts = TaskParts::parse(&shifted[1..], 2).expect("whole");
        assert_eq!((parts.header, parts.payload), (header, b"do it".as_slice()));
        assert!(parts.after().eq(after));
        for cut in 0..16 + 32 {
            assert_eq!(TaskParts::parse(&whole[..cut], 2), None, "cut at {cut}");
        }
        assert_eq!(TaskParts::parse(&whole, 1), None, "more than it may wait for");
        let wrong = [
            TaskHeader { attempts: 0, ..header },
            TaskHeader { attempts: TaskHeader::ATTEMPTS_MAX + 1, ..header },
            TaskHeader { on_failure: 3, ..header },
            TaskHeader { after: u32::MAX, ..header },
        ];
        for header in wrong {
            assert_eq!(TaskParts::parse(&bytes(header, &after, b""), u32::MAX), None, "{header:?}");
        }
    }
}
