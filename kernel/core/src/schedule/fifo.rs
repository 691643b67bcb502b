//! First runnable, first planned (SEMANTICS Q2).

use std::collections::VecDeque;

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
