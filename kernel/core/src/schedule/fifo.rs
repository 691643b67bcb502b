//! First runnable, first planned (SEMANTICS Q2).

use std::collections::VecDeque;

use crate::codec::{CheckpointError, Coded as _, Reader};
use crate::schedule::verdict::Verdict;

/// A queue in order of becoming runnable. A removed agent leaves a dead entry behind, recognised
/// by its outdated position.
#[derive(Debug)]
pub(crate) struct Fifo {
    queue: VecDeque<(u64, u32)>,
    /// Place of each agent in the queue, 0 if it is not there.
    position: Vec<u64>,
    next_position: u64,
    len: usize,
}

impl Fifo {
    pub(super) fn new(agents_max: u32) -> Self {
        let slots = agents_max as usize;
        Self {
            queue: VecDeque::with_capacity(slots),
            position: vec![0; slots],
            next_position: 1,
            len: 0,
        }
    }

    #[inline]
    pub(super) fn insert(&mut self, agent: u32) {
        if self.position[agent as usize] != 0 {
            return;
        }
        self.position[agent as usize] = self.next_position;
        self.queue.push_back((self.next_position, agent));
        self.next_position += 1;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, agent: u32) {
        if std::mem::take(&mut self.position[agent as usize]) != 0 {
            self.len -= 1;
        }
    }

    /// Appends who is in it, in order: positions are only compared.
    pub(super) fn put(&self, into: &mut Vec<u8>) {
        let Self { queue, position, next_position: _, len: _ } = self;
        let held = queue.iter().filter(|(at, agent)| position[*agent as usize] == *at);
        held.map(|(_, agent)| *agent).collect::<Vec<_>>().put(into);
    }

    /// Reads it, into an empty one; `admit` says whether an agent may be in it.
    pub(super) fn take(
        &mut self,
        from: &mut Reader<'_>,
        mut admit: impl FnMut(u32) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        for agent in Vec::<u32>::take(from)? {
            admit(agent)?;
            self.insert(agent);
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn plan(&mut self, mut verdict_of: impl FnMut(u32) -> Verdict) {
        while let Some(&(position, agent)) = self.queue.front() {
            if self.position[agent as usize] == position {
                if verdict_of(agent) == Verdict::Stop {
                    return;
                }
                self.position[agent as usize] = 0;
                self.len -= 1;
            }
            self.queue.pop_front();
        }
    }
}
