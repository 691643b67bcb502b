//! What was pushed and may have to be sent again.

use std::collections::VecDeque;

/// One input, its payload behind those of the ones before it.
#[derive(Clone, Copy, Debug)]
struct KeptInput {
    seq: u64,
    tag: u32,
    len: usize,
    /// Bytes ever kept before its payload.
    at: u64,
}

/// Inputs in the order of their sequences.
#[derive(Debug, Default)]
pub(crate) struct ResendWindow {
    inputs: VecDeque<KeptInput>,
    /// Their payloads; in one piece each, since a record is sent from there.
    bytes: Vec<u8>,
    /// Bytes of it that are forgotten.
    dead: usize,
    /// Bytes ever kept before those in `bytes`.
    before: u64,
    /// Sequence of the next input.
    end: u64,
    /// The tag of the record behind the last input, once there is one.
    ended: Option<u32>,
}

impl ResendWindow {
    /// Empty; the next input has this sequence.
    pub(crate) fn new(next: u64) -> Self {
        Self { end: next, ..Self::default() }
    }

    /// Sequence of the next input.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of payloads kept, and of what is known of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() - self.dead + self.inputs.len() * size_of::<KeptInput>()
    }

    pub(crate) fn push(&mut self, tag: u32, payload: &[u8]) -> u64 {
        let (seq, at) = (self.end, self.before + self.bytes.len() as u64);
        self.inputs.push_back(KeptInput { seq, tag, len: payload.len(), at });
        self.bytes.extend_from_slice(payload);
        self.end += 1;
        seq
    }

    /// Passes over sequences.
    pub(crate) fn skip(&mut self, count: u64) {
        self.end += count;
    }

    /// A record of this tag stands behind the last input.
    pub(crate) fn end_with(&mut self, tag: u32) {
        self.ended = Some(tag);
    }

    /// The first record at or behind `seq`: tag, sequence, payload.
    pub(crate) fn record(&self, seq: u64) -> Option<(u32, u64, &[u8])> {
        // Sequences that were passed over leave holes, so a position is at most the distance.
        let first = self.inputs.front().map_or(self.end, |input| input.seq);
        let guess = usize::try_from(seq.saturating_sub(first)).unwrap_or(usize::MAX);
        let at = match self.inputs.get(guess) {
            Some(input) if input.seq == seq => guess,
            _ => self.inputs.partition_point(|input| input.seq < seq),
        };
        if let Some(input) = self.inputs.get(at) {
            let start = usize::try_from(input.at - self.before).unwrap_or(usize::MAX);
            return Some((input.tag, input.seq, &self.bytes[start..start + input.len]));
        }
        let tag = self.ended.filter(|_| seq <= self.end)?;
        Some((tag, self.end, &[]))
    }

    /// Forgets inputs before `seq`.
    pub(crate) fn forget(&mut self, seq: u64) {
        while let Some(input) = self.inputs.front().filter(|input| input.seq < seq) {
            self.dead += input.len;
            self.inputs.pop_front();
        }
        // Moved seldom: when most of it is dead.
        if self.dead > self.bytes.len() / 2 {
            self.bytes.drain(..self.dead);
            self.before += self.dead as u64;
            self.dead = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_out_whole_from_any_sequence_and_holes_are_passed_over() {
        let mut window = ResendWindow::new(5);
        for number in 0..100_u8 {
            assert_eq!(
                window.push(u32::from(number), &vec![number; usize::from(number)]),
                5 + u64::from(number) + if number > 49 { 3 } else { 0 }
            );
            if number == 49 {
                window.skip(3);
            }
        }
        for forgotten in 0..=108 {
            window.forget(forgotten);
            let mut seq = 0;
            let mut seen = 0;
            while let Some((tag, found, payload)) = window.record(seq) {
                assert!(found >= forgotten && found >= seq);
                assert_eq!(payload, vec![tag as u8; tag as usize]);
                (seq, seen) = (found + 1, seen + 1);
            }
            let hole = (55..58).filter(|hole| *hole >= forgotten).count() as u64;
            assert_eq!(seen, 108 - forgotten.max(5) - hole);
        }
        assert_eq!((window.bytes(), window.end()), (0, 108));
        assert_eq!(window.record(0), None);
        window.end_with(9);
        assert_eq!(window.record(3), Some((9, 108, &[][..])));
        assert_eq!(window.record(109), None);
    }
}
