//! The broadcast: one writer, any number of readers, losses counted exactly.
//!
//! A ring of slots (see [`crate::slots`]). The writer never waits and never learns of readers. A
//! reader that is overtaken learns how many messages it lost and goes on half a ring behind the
//! newest, so that it is not overtaken again at once. For every reader, at all times: messages
//! delivered + messages lost = messages passed, but for what it skipped on purpose. Messages lost
//! because the reader came too late (*polling*) and because it took too long to copy (*reading*)
//! are counted apart: the first asks for more frequent polls or a larger ring, the second for a
//! faster reader.
//!
//! # What is lost to what
//! A loss is charged whole to the reader's activity when the writer passed it:
//! - at its first load of the sequence the slot of message `n` holds a later message, or one being
//!   written: the reader was not copying. All from `n` up to `next` are lost by *polling*;
//! - the slot held `n` at the first load and no longer at the second: the reader was copying `n`.
//!   All from `n` up to `next` are lost by *reading*. Only `n` was being copied, but the others go
//!   with it: some are overwritten as well, and the rest, up to half a ring, is skipped because the
//!   reader would be overtaken there again.
//!
//! `next` is half a ring behind the newest message that the reader can see then, and at least `n +
//! 1`: `N / 2` messages or more are lost at a time by reading, unless the count that it sees lags
//! behind. Why not one by reading and the others by polling? A reader that copies too slowly falls
//! back message by message until it is caught in a copy; nearly all of its losses would then ask
//! for more frequent polls, which cannot help. Charged whole, losses are shared between the two as
//! the reader's time at the edge is shared between copying and all else. How many copies were
//! thrown away is the number of overruns with [`Overtaken::Reading`].
//!
//! What this does not do: no replay of what was lost, no wake-ups (a read-only reader cannot
//! announce that it sleeps): readers poll.

use crate::lease::{Protocol, SetupError};
use crate::mem::Mem;
use crate::slots::{SlotError, SlotsReader, SlotsWriter};

/// Bytes of a broadcast of `slots` messages of at most `payload_bytes`.
///
/// # Errors
/// [`SetupError::Parameter`] if the number of slots is not a power of two from 2 on, or the payload
/// is empty or too large.
pub fn layout(slots: usize, payload_bytes: usize) -> Result<usize, SetupError> {
    crate::slots::layout(Protocol::Broadcast, slots, payload_bytes)
}

/// The writing side.
#[derive(Debug)]
pub struct BroadcastWriter<M: Mem>(SlotsWriter<M>);

impl<M: Mem> BroadcastWriter<M> {
    /// Leases the writing side over zeroed memory of [`layout`].
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M, slots: usize, payload_bytes: usize) -> Result<Self, SetupError> {
        SlotsWriter::new(mem, Protocol::Broadcast, slots, payload_bytes).map(Self)
    }

    /// Sends a message; returns its number.
    ///
    /// # Panics
    /// If it exceeds the payload of a slot.
    #[inline]
    pub fn send(&mut self, payload: &[u8]) -> u64 {
        self.0.write(payload)
    }

    /// Counts `count` messages as sent that are lost to every reader: what a writer could not keep
    /// until it sent it. At least as many messages as there are slots must follow.
    pub fn skip(&mut self, count: u64) {
        self.0.skip(count);
    }

    /// Messages sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.0.written()
    }
}

/// What a reader finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// A message, now in the front of the buffer.
    Message {
        /// Its number.
        number: u64,
        /// Its length in bytes; beyond the buffer's, the buffer holds its front.
        len: usize,
    },
    /// Nothing new.
    Empty,
    /// The writer passed the reader; the next call goes on behind what is lost.
    Overrun {
        /// How many messages are lost, exactly: all from the one asked for up to `next`. They are
        /// either overwritten or skipped (see the [module](self#what-is-lost-to-what)).
        lost: u64,
        /// Number of the message that comes next.
        next: u64,
        /// The reader's activity when it was passed. All of `lost` is charged to it.
        during: Overtaken,
    },
}

/// The activity of a reader when it was overtaken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overtaken {
    /// Anything but copying: at its first load the message was gone already. Nothing was copied.
    Polling,
    /// It was copying the message, which was there at its first load and gone at its second. The
    /// copy is thrown away.
    Reading,
}

/// A reading side with its own position; any number, any process, read-only.
#[derive(Debug)]
pub struct BroadcastReader<M: Mem> {
    slots: SlotsReader<M>,
    next: u64,
    lost_polling: u64,
    lost_reading: u64,
}

impl<M: Mem> BroadcastReader<M> {
    /// Opens a reading side that begins with message 0, or with the loss of what is gone.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M, slots: usize, payload_bytes: usize) -> Result<Self, SetupError> {
        let slots = SlotsReader::new(mem, Protocol::Broadcast, slots, payload_bytes)?;
        Ok(Self { slots, next: 0, lost_polling: 0, lost_reading: 0 })
    }

    /// Goes on with what is sent from now on; what is passed over is not counted as lost.
    pub fn skip_to_newest(&mut self) {
        // A message can be read a moment before it is counted: never go back before it.
        self.next = self.next.max(self.slots.latest());
    }

    /// Goes on with the oldest message that is there, but for a margin of `spare` messages that the
    /// writer may overwrite meanwhile; never back. What is passed over is not counted as lost.
    pub fn skip_to_oldest(&mut self, spare: u64) {
        let kept = self.slots.slots().saturating_sub(spare);
        self.next = self.next.max(self.slots.latest().saturating_sub(kept));
    }

    /// Number of slots: messages that the ring holds.
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.slots.slots()
    }

    /// Takes the next message, or returns why there is none. One copy at most; never loops.
    #[inline]
    pub fn next(&mut self, dst: &mut [u8]) -> Next {
        match self.slots.try_copy(self.next, dst) {
            Ok(len) => {
                let number = self.next;
                self.next = number.wrapping_add(1);
                Next::Message { number, len }
            }
            Err(SlotError::NotYet) => Next::Empty,
            Err(SlotError::Lapped) => self.overrun(Overtaken::Polling),
            Err(SlotError::Torn) => self.overrun(Overtaken::Reading),
        }
    }

    #[cold]
    fn overrun(&mut self, during: Overtaken) -> Next {
        let behind = self.slots.latest().saturating_sub(self.slots.slots() / 2);
        let next = behind.max(self.next.wrapping_add(1));
        let lost = next.wrapping_sub(self.next);
        let of = match during {
            Overtaken::Polling => &mut self.lost_polling,
            Overtaken::Reading => &mut self.lost_reading,
        };
        *of = of.wrapping_add(lost);
        self.next = next;
        Next::Overrun { lost, next, during }
    }

    /// Messages lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost_polling.wrapping_add(self.lost_reading)
    }

    /// Those of them that were lost because the reader came too late, and those because it was
    /// overtaken while it copied: the sums of `lost` over all overruns with [`Overtaken::Polling`]
    /// and with [`Overtaken::Reading`].
    #[must_use]
    pub fn lost_apart(&self) -> (u64, u64) {
        (self.lost_polling, self.lost_reading)
    }

    /// Messages sent so far, as far as this reader sees.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.slots.latest()
    }

    /// Number of the next message.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next
    }
}
