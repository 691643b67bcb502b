//! By agent index, cyclically after the last one planned (SEMANTICS Q2).

use crate::schedule::verdict::Verdict;

/// A bit per slot and the slot after the last one planned.
#[derive(Debug)]
pub(crate) struct RoundRobin {
    words: Vec<u64>,
    next: u32,
    len: usize,
}

impl RoundRobin {
    pub(super) fn new(agents_max: u32) -> Self {
        Self { words: vec![0; agents_max.div_ceil(64) as usize], next: 0, len: 0 }
    }

    pub(super) fn insert(&mut self, agent: u32) {
        let (word, bit) = (agent as usize / 64, 1u64 << (agent % 64));
        self.len += usize::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    pub(super) fn remove(&mut self, agent: u32) {
        let (word, bit) = (agent as usize / 64, 1u64 << (agent % 64));
        self.len -= usize::from(self.words[word] & bit != 0);
        self.words[word] &= !bit;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn plan(&mut self, mut verdict_of: impl FnMut(u32) -> Verdict) {
        while self.len > 0 {
            let Some(agent) = self.first_from(self.next).or_else(|| self.first_from(0)) else {
                return;
            };
            if verdict_of(agent) == Verdict::Stop {
                return;
            }
            self.remove(agent);
            self.next = agent + 1;
        }
    }

    /// The lowest agent held whose index is at least `start`.
    fn first_from(&self, start: u32) -> Option<u32> {
        let first = start as usize / 64;
        for (at, word) in self.words.iter().enumerate().skip(first) {
            let mask = if at == first { u64::MAX << (start % 64) } else { u64::MAX };
            let held = word & mask;
            if held != 0 {
                return Some(at as u32 * 64 + held.trailing_zeros());
            }
        }
        None
    }
}
