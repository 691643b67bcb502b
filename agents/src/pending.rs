//! Requests whose answers are outstanding, each with what the agent has to remember of it.

use crate::handles::Seq;

/// What an agent remembers of its calls until their replies or outcomes arrive: at most `N` at a
/// time, without a heap.
///
/// ```
/// use wasm_engine_agent::{Pending, Seq};
///
/// let mut asked = Pending::<&str, 4>::new();
/// let request = Seq::from_raw(7); // as `infer` gives it
/// asked.insert(request, "first.png").expect("there is room");
/// assert_eq!(asked.take(request), Some("first.png"));
/// assert_eq!(asked.take(request), None);
/// ```
#[derive(Clone, Debug)]
pub struct Pending<T, const N: usize> {
    slots: [Option<(Seq, T)>; N],
}

impl<T, const N: usize> Pending<T, N> {
    /// Nothing outstanding.
    #[must_use]
    pub const fn new() -> Self {
        Self { slots: [const { None }; N] }
    }

    /// Remembers `value` for the call with this sequence.
    ///
    /// # Errors
    /// Gives `value` back if `N` are outstanding: ask [`is_full`](Self::is_full) before the call.
    pub fn insert(&mut self, seq: Seq, value: T) -> Result<(), T> {
        match self.slots.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => {
                *slot = Some((seq, value));
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Takes out what was remembered for this call; nothing for one that is not there, such as
    /// one of an earlier incarnation.
    pub fn take(&mut self, seq: Seq) -> Option<T> {
        let slot = self
            .slots
            .iter_mut()
            .find(|slot| slot.as_ref().is_some_and(|(known, _)| *known == seq))?;
        slot.take().map(|(_, value)| value)
    }

    /// How many are outstanding.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Whether none is outstanding.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no further one has room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() == N
    }
}

impl<T, const N: usize> Default for Pending<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_finds_its_own_and_only_once() {
        let seq = Seq::from_raw;
        let mut pending = Pending::<u8, 2>::default();
        assert!(pending.is_empty());
        assert_eq!(pending.insert(seq(1), 10), Ok(()));
        assert_eq!(pending.insert(seq(2), 20), Ok(()));
        assert_eq!((pending.is_full(), pending.insert(seq(3), 30)), (true, Err(30)));
        assert_eq!((pending.take(seq(3)), pending.take(seq(1))), (None, Some(10)));
        assert_eq!((pending.take(seq(1)), pending.len()), (None, 1));
        assert_eq!(pending.insert(seq(4), 40), Ok(()));
        assert_eq!((pending.take(seq(4)), pending.take(seq(2))), (Some(40), Some(20)));
    }
}
