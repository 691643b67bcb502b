//! Acknowledgements: how far a stream of numbered records was taken, and how far it is durable.
//!
//! ```text
//!  word 0  accepted: records taken            (own 128 bytes)
//!  word 1  durable: records on disk, at most as many
//!  word 2  ended: 1 when nothing is acknowledged any more
//! ```
//! Numbers count from 0, so each is also the number of the next record. They only grow.
//!
//! | word | written by | read by | ordering |
//! |---|---|---|---|
//! | accepted | writer | reader | Relaxed, before `durable` |
//! | durable | writer | reader | Release store, Acquire load |
//! | ended | writer | reader | Release store, Acquire load |
//!
//! Who reads `durable` and then `accepted` finds no record durable that was not accepted; who finds
//! the end, and then reads the numbers, has the last ones.
//!
//! What this does not do: it does not wait (see [`crate::wait`]), and the reader checks nothing:
//! what the numbers mean to it, it has to bound itself.

use crate::lease::{Leased, Protocol, SetupError, Side, check_range};
use crate::mem::{ALIGN, Mem, Ordering};
use crate::site::Site;

/// Bytes of the acknowledgements.
pub const LEN: usize = ALIGN;

const ACCEPTED: usize = 0;
const DURABLE: usize = 1;
const ENDED: usize = 2;

/// The writing side.
#[derive(Debug)]
pub struct AckWriter<M: Mem> {
    held: Leased<M>,
    accepted: u64,
    durable: u64,
}

/// A reading side.
#[derive(Debug)]
pub struct AckReader<M: Mem> {
    held: Leased<M>,
}

fn check_len<M: Mem>(mem: &M) -> Result<(), SetupError> {
    let have = mem.len_bytes() as u64;
    check_range(Protocol::Acks, "length", have, LEN as u64, u64::MAX)
}

impl<M: Mem> AckWriter<M> {
    /// Leases the writing side over [`LEN`] zeroed bytes.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M) -> Result<Self, SetupError> {
        check_len(&mem)?;
        let held = Leased::new(mem, Protocol::Acks, Side::Writer)?;
        Ok(Self { held, accepted: 0, durable: 0 })
    }

    /// Publishes both numbers; returns whether one has grown. What would be less is left as it was,
    /// and no more is durable than was accepted.
    pub fn publish(&mut self, accepted: u64, durable: u64) -> bool {
        let grown = accepted > self.accepted || durable.min(accepted) > self.durable;
        if grown {
            self.accepted = self.accepted.max(accepted);
            self.durable = self.durable.max(durable.min(self.accepted));
            // Relaxed: the Release store below orders it.
            self.held.store(ACCEPTED, self.accepted, Ordering::Relaxed);
            // Release: pairs with `AckReader::durable`. Publishes `accepted`.
            self.held.store(DURABLE, self.durable, M::ord(Site::AckPublish, Ordering::Release));
        }
        grown
    }

    /// Publishes that nothing comes any more.
    pub fn end(&mut self) {
        // Release: pairs with `AckReader::has_ended`. Publishes the last numbers.
        self.held.store(ENDED, 1, M::ord(Site::AckPublish, Ordering::Release));
    }
}

impl<M: Mem> AckReader<M> {
    /// Opens a reading side over [`LEN`] bytes.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M) -> Result<Self, SetupError> {
        check_len(&mem)?;
        Ok(Self { held: Leased::new(mem, Protocol::Acks, Side::Watcher)? })
    }

    /// Records that are durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        // Acquire: pairs with `AckWriter::publish`. The number of those accepted is at least this.
        self.held.load(DURABLE, M::ord(Site::AckPeek, Ordering::Acquire))
    }

    /// Records that were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        // Relaxed: it publishes nothing.
        self.held.load(ACCEPTED, Ordering::Relaxed)
    }

    /// Whether nothing comes any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        // Acquire: pairs with `AckWriter::end`. The numbers read after it are the last ones.
        self.held.load(ENDED, M::ord(Site::AckPeek, Ordering::Acquire)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::RawMem;

    #[test]
    fn numbers_only_grow_and_no_more_is_durable_than_accepted() {
        let mem = RawMem::heap(LEN);
        let mut writer = AckWriter::new(mem.clone()).expect("the first writer");
        assert!(AckWriter::new(mem.clone()).is_err(), "there is one writer");
        let reader = AckReader::new(mem).expect("a reader");
        let read = || (reader.accepted(), reader.durable());
        assert!(!writer.publish(0, 9), "nothing was accepted");
        assert!(writer.publish(5, 9));
        assert_eq!(read(), (5, 5));
        assert!(!writer.publish(4, 2), "they do not go back");
        assert!(writer.publish(7, 2));
        assert_eq!((read(), reader.has_ended()), ((7, 5), false));
        writer.end();
        assert!(reader.has_ended());
    }
}
