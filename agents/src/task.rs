//! Tasks: what an agent does for others, and how it schedules one (SEMANTICS A12).

use wasm_engine_abi::ids::AgentId;
use wasm_engine_abi::task::{TaskHeader, TaskId};

use crate::Item;

/// A task that an agent is to do.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    item: Item<'a>,
}

impl<'a> Task<'a> {
    /// A task as the kernel gives it, for tests.
    #[must_use]
    pub const fn new(item: Item<'a>) -> Self {
        Self { item }
    }

    /// Who scheduled it, and under which number: its name for tasks that wait for it.
    #[must_use]
    pub const fn id(&self) -> TaskId {
        TaskId { agent: self.item.header().from, seq: self.item.header().from_seq }
    }

    /// The agent that scheduled it; none if it was the host.
    #[must_use]
    pub fn from(&self) -> Option<AgentId> {
        Some(AgentId::from_bits(self.item.header().from)).filter(|agent| *agent != AgentId::NONE)
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.item.header().code.cast_unsigned()
    }

    /// What is to be done.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.item.payload()
    }

    /// The whole of it, with the ways of an item to read a payload.
    #[must_use]
    pub const fn item(&self) -> &Item<'a> {
        &self.item
    }
}

/// Writes a task for [`Host::schedule`](crate::Host::schedule) into a buffer.
///
/// ```
/// use wasm_engine_agent::{TaskHeader, TaskId, TaskWriter};
///
/// let first = TaskId { agent: 7, seq: 1 };
/// let mut buffer = [0; 64];
/// let header = TaskHeader { attempts: 3, ..TaskHeader::default() };
/// let bytes = TaskWriter::write(&mut buffer, header, &[first], b"go").expect("there is room");
/// assert_eq!(bytes.len(), 16 + 16 + 2);
/// ```
#[derive(Debug)]
pub struct TaskWriter(());

impl TaskWriter {
    /// The bytes of a task that waits for those in `after`; `header.after` is set. Nothing if the
    /// buffer is too short.
    pub fn write<'b>(
        buffer: &'b mut [u8],
        header: TaskHeader,
        after: &[TaskId],
        payload: &[u8],
    ) -> Option<&'b [u8]> {
        let header = TaskHeader { after: u32::try_from(after.len()).ok()?, ..header };
        let parts = [bytemuck::bytes_of(&header), bytemuck::cast_slice(after), payload];
        let mut at = 0;
        for part in parts {
            buffer.get_mut(at..)?.get_mut(..part.len())?.copy_from_slice(part);
            at += part.len();
        }
        buffer.get(..at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_engine_abi::frame::{ItemHeader, item};
    use wasm_engine_abi::task::TaskParts;

    #[test]
    fn a_task_is_read_from_its_header() {
        let header =
            ItemHeader { kind: item::TASK, from: 7, from_seq: 8, code: 2, ..ItemHeader::default() };
        let task = Task::new(Item::new(header, b"go"));
        assert_eq!((task.id(), task.attempt()), (TaskId { agent: 7, seq: 8 }, 2));
        assert_eq!((task.from(), task.payload()), (Some(AgentId::from_bits(7)), b"go".as_slice()));
        let header = ItemHeader { from: AgentId::NONE.to_bits(), ..header };
        assert_eq!(Task::new(Item::new(header, b"")).from(), None);
    }

    #[test]
    fn what_is_written_is_read_back_and_never_cut() {
        let after = [TaskId { agent: 1, seq: 2 }, TaskId::of_host(3)];
        let mut buffer = [0; 50];
        let bytes = TaskWriter::write(&mut buffer, TaskHeader::default(), &after, b"go");
        let parts = TaskParts::parse(bytes.expect("there is room"), 2).expect("a task");
        assert!(parts.after().eq(after));
        assert_eq!(parts.payload, b"go");
        for len in 0..50 {
            let short = &mut buffer[..len];
            assert_eq!(TaskWriter::write(short, TaskHeader::default(), &after, b"go"), None);
        }
    }
}
