//! The ring of fixed cells: one sender, one receiver, 56 bytes in one cache line.
//!
//! ```text
//!  sender block (written by the sender)              receiver block (written by the receiver)
//!  slot i at byte 64 i:                              byte 0  tail: cells ever received
//!    word 0    sequence: n + 1 once cell n is there          (128 bytes)
//!    words 1-7 payload
//! ```
//! The sequence lies in the slot, so that a message costs one line from core to core: no head is
//! read. The sender polls the tail only when the last one it saw leaves no room.
//!
//! | word | written by | read by | ordering |
//! |---|---|---|---|
//! | sequence | sender | receiver | Release store, Acquire load |
//! | payload | sender before the sequence, nobody until the tail passes | receiver between | plain |
//! | tail | receiver | sender | Release store, Acquire load |
//!
//! Cell `n` lies in slot `n mod capacity`, whose sequence was `n + 1 - capacity` or zero before:
//! never `n + 1`.
//!
//! What this does not do: no batches (each cell is visible at once), no waiting, no meaning.

use crate::lease::{Leased, Protocol, SetupError, Side, check_range};
use crate::mem::{Mem, Ordering, WORD};
use crate::site::Site;

/// Words of payload in a cell.
pub const PAYLOAD_WORDS: usize = 7;

/// Bytes of payload in a cell.
pub const PAYLOAD_LEN: usize = 56;

/// The payload of a cell. Fixed structures are cast to it.
pub type Cell = [u64; PAYLOAD_WORDS];

const SLOT: usize = 64;
const SLOT_WORDS: usize = 8;
const RECEIVER_LEN: usize = 128;
const TAIL: usize = 0;
const CAPACITY_MAX: usize = 1 << 24;

/// Lengths of the two blocks of a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CellLayout {
    /// Bytes of the sender block.
    pub sender_len: usize,
    /// Bytes of the receiver block.
    pub receiver_len: usize,
}

/// The layout of a ring of `capacity` cells.
///
/// # Errors
/// [`SetupError::Parameter`] if the capacity is not a power of two in 2..=2^24.
pub fn layout(capacity: usize) -> Result<CellLayout, SetupError> {
    if !capacity.is_power_of_two() || !(2..=CAPACITY_MAX).contains(&capacity) {
        return Err(SetupError::Parameter {
            protocol: Protocol::CellSender,
            what: "capacity in cells (a power of two)",
            value: capacity as u64,
            min: 2,
            max: CAPACITY_MAX as u64,
        });
    }
    Ok(CellLayout { sender_len: capacity * SLOT, receiver_len: RECEIVER_LEN })
}

/// Checks the two blocks; returns the capacity in cells.
fn check_blocks<M: Mem>(sender: &M, receiver: &M) -> Result<u64, SetupError> {
    let capacity = sender.len_bytes() / SLOT;
    let shape = layout(capacity)?;
    let have = receiver.len_bytes();
    check_range(Protocol::CellReceiver, "length", have as u64, RECEIVER_LEN as u64, u64::MAX)?;
    if sender.len_bytes() != shape.sender_len {
        let (need, have) = (shape.sender_len, sender.len_bytes());
        return Err(SetupError::Size { protocol: Protocol::CellSender, need, have });
    }
    Ok(capacity as u64)
}

/// The ring is full: the receiver has `capacity` cells before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the cell ring is full; wait for the receiver")]
pub struct Full;

/// The sending end.
#[derive(Debug)]
pub struct Sender<M: Mem> {
    own: Leased<M>,
    peer: Leased<M>,
    /// Cells sent.
    next: u64,
    /// Last tail seen.
    tail: u64,
    capacity: u64,
}

impl<M: Mem> Sender<M> {
    /// Leases the sending end over the two zeroed blocks of [`layout`].
    ///
    /// # Errors
    /// [`SetupError`] if the blocks have other sizes or the end is leased.
    pub fn new(sender: M, receiver: M) -> Result<Self, SetupError> {
        let capacity = check_blocks(&sender, &receiver)?;
        let own = Leased::new(sender, Protocol::CellSender, Side::Writer)?;
        let peer = Leased::new(receiver, Protocol::CellReceiver, Side::Peer)?;
        Ok(Self { own, peer, next: 0, tail: 0, capacity })
    }

    /// Sends one cell; visible at once.
    ///
    /// # Errors
    /// [`Full`]; the cell was not sent.
    #[inline]
    pub fn try_send(&mut self, cell: &Cell) -> Result<(), Full> {
        if self.free() == 0 && self.poll() == 0 {
            return Err(Full);
        }
        let word = (self.next & (self.capacity - 1)) as usize * SLOT_WORDS;
        // SAFETY: a slot of the block (masked index), and free: its last cell was received (Acquire
        // load of the tail in `poll`), and the receiver reads it again only after the sequence
        // below.
        let mut slot = unsafe { self.own.window_mut((word + 1) * WORD, PAYLOAD_LEN) };
        for (to, from) in slot.chunks_exact_mut(WORD).zip(cell) {
            to.copy_from_slice(&from.to_ne_bytes());
        }
        drop(slot);
        self.next += 1;
        debug_assert!(self.next - self.tail <= self.capacity, "more sent than the ring holds");
        // Release: pairs with `Receiver::try_recv`. Publishes the payload.
        self.own.store(word, self.next, M::ord(Site::CellFill, Ordering::Release));
        Ok(())
    }

    /// Sends up to [`PAYLOAD_LEN`] bytes, followed by zeros.
    ///
    /// # Errors
    /// [`Full`]; nothing was sent.
    ///
    /// # Panics
    /// If there are more bytes than fit.
    #[inline]
    pub fn try_send_bytes(&mut self, payload: &[u8]) -> Result<(), Full> {
        assert!(payload.len() <= PAYLOAD_LEN, "a cell holds {PAYLOAD_LEN} bytes");
        let mut cell = [0; PAYLOAD_WORDS];
        for (word, chunk) in cell.iter_mut().zip(payload.chunks(WORD)) {
            let mut bytes = [0; WORD];
            bytes[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_ne_bytes(bytes);
        }
        self.try_send(&cell)
    }

    /// Cells that fit without another poll of the receiver.
    #[must_use]
    #[inline]
    pub fn free(&self) -> u64 {
        self.capacity - (self.next - self.tail)
    }

    /// Polls the receiver's progress; returns the cells that fit now.
    #[inline]
    pub fn poll(&mut self) -> u64 {
        // Acquire: pairs with `Receiver::try_recv`. Its reads come before our writes.
        let tail = self.peer.load(TAIL, M::ord(Site::CellReclaim, Ordering::Acquire));
        // An invalid tail changes nothing.
        if tail >= self.tail && tail <= self.next {
            self.tail = tail;
        }
        self.free()
    }
}

/// The receiving end.
#[derive(Debug)]
pub struct Receiver<M: Mem> {
    own: Leased<M>,
    peer: Leased<M>,
    /// Cells received.
    next: u64,
    capacity: u64,
}

impl<M: Mem> Receiver<M> {
    /// Leases the receiving end over the two zeroed blocks of [`layout`].
    ///
    /// # Errors
    /// [`SetupError`] if the blocks have other sizes or the end is leased.
    pub fn new(sender: M, receiver: M) -> Result<Self, SetupError> {
        let capacity = check_blocks(&sender, &receiver)?;
        let peer = Leased::new(sender, Protocol::CellSender, Side::Peer)?;
        let own = Leased::new(receiver, Protocol::CellReceiver, Side::Writer)?;
        Ok(Self { own, peer, next: 0, capacity })
    }

    /// Takes the next cell, if it is there.
    #[inline]
    pub fn try_recv(&mut self) -> Option<Cell> {
        let word = self.slot();
        // Acquire: pairs with `Sender::try_send`. The payload before our reads.
        let sequence = self.peer.load(word, M::ord(Site::CellPeek, Ordering::Acquire));
        // Any sequence but the one expected means "not yet": a corrupt sender only starves us.
        if sequence != self.next + 1 {
            return None;
        }
        // SAFETY: a slot of the block (masked index); the cell is there (Acquire above) and the
        // sender leaves the slot alone until the tail passes it.
        let slot = unsafe { self.peer.window((word + 1) * WORD, PAYLOAD_LEN) };
        let mut cell = [0; PAYLOAD_WORDS];
        for (to, from) in cell.iter_mut().zip(slot.chunks_exact(WORD)) {
            let mut bytes = [0; WORD];
            bytes.copy_from_slice(from);
            *to = u64::from_ne_bytes(bytes);
        }
        drop(slot);
        self.next += 1;
        // Release: pairs with `Sender::poll`. Our reads come before its writes.
        self.own.store(TAIL, self.next, M::ord(Site::CellEmpty, Ordering::Release));
        Some(cell)
    }

    /// Whether a cell is waiting.
    #[must_use]
    #[inline]
    pub fn has_next(&self) -> bool {
        // Acquire: pairs with `Sender::try_send`, as in `try_recv`.
        self.peer.load(self.slot(), M::ord(Site::CellPeek, Ordering::Acquire)) == self.next + 1
    }

    /// First word of the slot of the next cell.
    #[inline(always)]
    fn slot(&self) -> usize {
        (self.next & (self.capacity - 1)) as usize * SLOT_WORDS
    }
}
