//! By agent index, cyclically after the last one planned (SEMANTICS Q2).

use crate::codec::{CheckpointError, Coded as _, Reader};
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

    /// Appends who is in it, by slot, and where it goes on.
    pub(super) fn put(&self, into: &mut Vec<u8>) {
        let Self { words, next, len } = self;
        let held = |agent: &u32| words[*agent as usize / 64] & 1 << (agent % 64) != 0;
        let held: Vec<u32> = (0..words.len() as u32 * 64).filter(held).collect();
        debug_assert_eq!(held.len(), *len);
        held.put(into);
        next.put(into);
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
        self.next = u32::take(from)?;
        Ok(())
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
