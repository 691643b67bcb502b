//! Slots with a sequence each: one writer that never waits, readers that never write.
//!
//! ```text
//!  byte 0     latest: number of messages finished                        (own 128 bytes)
//!  byte 128   slot i:  | seq | len in bytes | payload words |
//! ```
//! The stride is a multiple of 128 in a page and of 64, a cache line, in a broadcast: there an
//! event of 48 bytes is one line to write and one to read, and twice as many of them stay in the
//! cache.
//!
//! Message `n` lies in slot `n mod N`. Its sequence is `2n + 1` while it is written and `2n + 2`
//! once it is there, so a reader that finds any other number knows whether it came too early or too
//! late, and a whole lap is never mistaken for no progress.
//!
//! | word | written by | read by | ordering |
//! |---|---|---|---|
//! | latest | writer | readers | Release store; Relaxed load, acquire fence |
//! | seq | writer | readers | Relaxed busy mark, release fence; Release store; Relaxed loads, acquire fences |
//! | len, payload | writer | readers | Relaxed |
//!
//! The payload words are atomic because readers load them while the writer writes; the two loads of
//! `seq` decide whether the copy is valid. `latest = n` promises that message `n - 1` can be read
//! or has been overwritten: never that it is still to come.
//!
//! What this does not do: it does not keep messages for slow readers and does not know any reader.
//! [`crate::broadcast`] and [`crate::page`] are the two uses.

use crate::lease::{Leased, Protocol, SetupError, Side, check_range};
use crate::mem::{ALIGN, Mem, Ordering, WORD};
use crate::site::Site;

const LATEST: usize = 0;
const SLOTS: usize = ALIGN / WORD;
const SEQ: usize = 0;
const LEN: usize = 1;
const PAYLOAD: usize = 2;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Most slots of an array.
pub const SLOTS_MAX: usize = 1 << 24;

/// Largest payload of a slot in bytes.
pub const PAYLOAD_MAX: usize = 1 << 28;

/// Why a message could not be copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotError {
    /// It is not there yet.
    NotYet,
    /// It was overwritten before the copy began.
    Lapped,
    /// It was overwritten while it was copied.
    Torn,
}

/// Bytes of an array of `slots` slots with `payload_bytes` each.
///
/// # Errors
/// [`SetupError::Parameter`] if there are not 2..=[`SLOTS_MAX`] slots, a power of two, the payload
/// is empty or beyond [`PAYLOAD_MAX`], or the protocol is neither page nor broadcast.
pub fn layout(protocol: Protocol, slots: usize, payload_bytes: usize) -> Result<usize, SetupError> {
    // Only protocols whose words are all atomic may share them with readers at any time.
    let atomic = matches!(protocol, Protocol::Page | Protocol::Broadcast);
    check_range(protocol, "is made of slots", u64::from(atomic), 1, 1)?;
    check_range(protocol, "payload in bytes", payload_bytes as u64, 1, PAYLOAD_MAX as u64)?;
    let valid = if slots.is_power_of_two() { slots as u64 } else { 0 };
    check_range(protocol, "number of slots (a power of two)", valid, 2, SLOTS_MAX as u64)?;
    let stride = stride(protocol, payload_bytes);
    let size = slots.checked_mul(stride).and_then(|bytes| bytes.checked_add(ALIGN));
    size.ok_or(SetupError::Size { protocol, need: usize::MAX, have: stride })
}

/// Bytes from slot to slot.
fn stride(protocol: Protocol, payload_bytes: usize) -> usize {
    let line = if protocol == Protocol::Broadcast { LINE } else { ALIGN };
    (PAYLOAD * WORD + payload_bytes.next_multiple_of(WORD)).next_multiple_of(line)
}

/// Where the slots lie.
#[derive(Clone, Copy, Debug)]
struct SlotsShape {
    mask: u64,
    stride_words: usize,
    payload_bytes: usize,
}

impl SlotsShape {
    fn of(
        protocol: Protocol,
        slots: usize,
        payload: usize,
        have: usize,
    ) -> Result<Self, SetupError> {
        let need = layout(protocol, slots, payload)?;
        if have < need {
            return Err(SetupError::Size { protocol, need, have });
        }
        let stride_words = stride(protocol, payload) / WORD;
        Ok(Self { mask: slots as u64 - 1, stride_words, payload_bytes: payload })
    }

    #[inline(always)]
    fn word(&self, n: u64) -> usize {
        SLOTS + (n & self.mask) as usize * self.stride_words
    }
}

/// The writing side.
#[derive(Debug)]
pub struct SlotsWriter<M: Mem> {
    held: Leased<M>,
    shape: SlotsShape,
    /// Number of the next message; private, never read back.
    next: u64,
}

impl<M: Mem> SlotsWriter<M> {
    /// Leases the writing side over zeroed memory of [`layout`].
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(
        mem: M,
        protocol: Protocol,
        slots: usize,
        payload_bytes: usize,
    ) -> Result<Self, SetupError> {
        let shape = SlotsShape::of(protocol, slots, payload_bytes, mem.len_bytes())?;
        Ok(Self { held: Leased::new(mem, protocol, Side::Writer)?, shape, next: 0 })
    }

    /// Writes message `next` with what `fill` puts into its draft. The same instructions run
    /// whether anybody reads or not.
    ///
    /// # Panics
    /// If `len` exceeds the payload of a slot.
    #[inline]
    pub fn write_with(&mut self, len: usize, fill: impl FnOnce(&mut SlotDraft<'_, M>)) -> u64 {
        assert!(len <= self.shape.payload_bytes, "the message exceeds its slot");
        let n = self.next;
        let slot = self.shape.word(n);
        // Relaxed: the fence below orders it.
        self.held.store(slot + SEQ, (2 * n).wrapping_add(1), Ordering::Relaxed);
        // Release fence: pairs with the second acquire fence of `try_copy`. A reader that sees any
        // word written below sees the busy mark at its second load of `seq`.
        Leased::<M>::fence(Site::SlotBusy, Ordering::Release);
        self.held.store(slot + LEN, len as u64, Ordering::Relaxed);
        fill(&mut SlotDraft { held: &self.held, word: slot + PAYLOAD, len });
        // Release: pairs with the first acquire fence of `try_copy`. Publishes length and payload.
        let done = M::ord(Site::SlotDone, Ordering::Release);
        self.held.store(slot + SEQ, (2 * n).wrapping_add(2), done);
        self.next = n + 1;
        // Release: pairs with the acquire fence of `latest`. The promise: message n is finished.
        self.held.store(LATEST, self.next, M::ord(Site::SlotCount, Ordering::Release));
        n
    }

    /// Writes a message of bytes; returns its number.
    ///
    /// # Panics
    /// If it exceeds the payload of a slot.
    #[inline]
    pub fn write(&mut self, payload: &[u8]) -> u64 {
        self.write_with(payload.len(), |draft| draft.put(0, payload))
    }

    /// Skips `count` numbers, as if their messages had been written and overwritten. At least as
    /// many messages as there are slots must follow, or readers wait for the numbers skipped.
    pub fn skip(&mut self, count: u64) {
        self.next += count;
        // Relaxed: it publishes nothing. The messages that must follow are published by
        // `write_with`.
        self.held.store(LATEST, self.next, Ordering::Relaxed);
    }

    /// Number of messages written or skipped.
    #[must_use]
    #[inline]
    pub fn written(&self) -> u64 {
        self.next
    }

    /// Largest payload in bytes.
    #[must_use]
    #[inline]
    pub fn payload_max(&self) -> usize {
        self.shape.payload_bytes
    }
}

/// A message being written.
#[derive(Debug)]
pub struct SlotDraft<'a, M: Mem> {
    held: &'a Leased<M>,
    word: usize,
    len: usize,
}

impl<M: Mem> SlotDraft<'_, M> {
    /// Writes bytes at a distance from the start of the payload, a multiple of 8. A partial last
    /// word is filled up with zeros.
    ///
    /// # Panics
    /// If the bytes exceed the message or the distance is not a multiple of 8.
    #[inline]
    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        assert!(at.is_multiple_of(WORD), "pieces start at whole words");
        assert!(at <= self.len && bytes.len() <= self.len - at, "the piece exceeds the message");
        self.held.copy_in(self.word + at / WORD, bytes);
    }

    /// Writes words at a word's distance from the start of the payload.
    ///
    /// # Panics
    /// If the words exceed the message.
    #[inline]
    pub fn put_words(&mut self, at: usize, words: &[u64]) {
        self.put(at * WORD, crate::mem::bytes_of(words));
    }
}

/// A reading side: any number, any process, read-only.
#[derive(Debug)]
pub struct SlotsReader<M: Mem> {
    held: Leased<M>,
    shape: SlotsShape,
}

impl<M: Mem> SlotsReader<M> {
    /// Opens a reading side; slots and payload as the writer gave them (from the directory).
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(
        mem: M,
        protocol: Protocol,
        slots: usize,
        payload_bytes: usize,
    ) -> Result<Self, SetupError> {
        let shape = SlotsShape::of(protocol, slots, payload_bytes, mem.len_bytes())?;
        Ok(Self { held: Leased::new(mem, protocol, Side::Watcher)?, shape })
    }

    /// Number of messages finished: message `latest - 1` can be read or is overwritten already.
    #[must_use]
    #[inline]
    pub fn latest(&self) -> u64 {
        let latest = self.held.load(LATEST, Ordering::Relaxed);
        // Acquire fence: pairs with the release store of `latest` in `write_with`.
        Leased::<M>::fence(Site::SlotLatest, Ordering::Acquire);
        latest
    }

    /// Number of slots.
    #[must_use]
    #[inline]
    pub fn slots(&self) -> u64 {
        self.shape.mask + 1
    }

    /// Largest payload in bytes.
    #[must_use]
    #[inline]
    pub fn payload_max(&self) -> usize {
        self.shape.payload_bytes
    }

    /// Copies message `n` into the front of `dst`; returns its length in bytes, which may exceed
    /// `dst` (then `dst` holds the front).
    ///
    /// # Errors
    /// [`SlotError`]; `dst` then holds garbage.
    #[inline]
    pub fn try_copy(&self, n: u64, dst: &mut [u8]) -> Result<usize, SlotError> {
        let slot = self.shape.word(n);
        let there = n.wrapping_mul(2).wrapping_add(2);
        let first = self.held.load(slot + SEQ, Ordering::Relaxed);
        if first != there {
            return Err(if first < there { SlotError::NotYet } else { SlotError::Lapped });
        }
        // Acquire fence: pairs with the release store of the finished sequence. Length and payload
        // are at least as new as message n.
        Leased::<M>::fence(Site::SlotOpen, Ordering::Acquire);
        let len = self.held.load(slot + LEN, Ordering::Relaxed);
        // An invalid length is limited, so that the copy stays inside the slot.
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.shape.payload_bytes);
        let part = len.min(dst.len());
        self.held.copy_out(slot + PAYLOAD, &mut dst[..part]);
        // Acquire fence: pairs with the release fence after the busy mark. If a word above was
        // newer than message n, the load below sees the busy mark or a later sequence.
        Leased::<M>::fence(Site::SlotCheck, Ordering::Acquire);
        let second = self.held.load(slot + SEQ, Ordering::Relaxed);
        if second == first { Ok(len) } else { Err(SlotError::Torn) }
    }
}
