//! Snapshot pages: the newest state of something, always whole, never waited for.
//!
//! A page is an array of [`SLOTS`] slots (see [`crate::slots`]): each publication goes to the next
//! one, so a reader fails only if as many publications as there are slots begin while it copies.
//!
//! What this does not do: it keeps no history, and a reader that never succeeds gets
//! [`PageError::Busy`] after [`ATTEMPTS`] attempts instead of spinning.

use crate::lease::{Protocol, SetupError};
use crate::mem::{Mem, WORD, bytes_of, bytes_of_mut};
use crate::slots::{SlotDraft, SlotError, SlotsReader, SlotsWriter};

/// Publications kept: a read fails only if the writer starts this many while it lasts.
pub const SLOTS: usize = 4;

/// Attempts of one read.
pub const ATTEMPTS: u32 = 8;

/// Bytes of a page of `words` words.
///
/// # Errors
/// [`SetupError::Parameter`] if the page is empty or too large.
pub fn layout(words: usize) -> Result<usize, SetupError> {
    layout_with(SLOTS, words)
}

/// Bytes of a page with another number of slots, a power of two: more for readers slower than four
/// publications, two for the model checker.
///
/// # Errors
/// As [`layout`].
pub fn layout_with(slots: usize, words: usize) -> Result<usize, SetupError> {
    crate::slots::layout(Protocol::Page, slots, words.saturating_mul(WORD))
}

/// The writing side.
#[derive(Debug)]
pub struct PageWriter<M: Mem>(SlotsWriter<M>);

impl<M: Mem> PageWriter<M> {
    /// Leases the writing side of a page of `words` words over zeroed memory of [`layout`].
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M, words: usize) -> Result<Self, SetupError> {
        Self::with_slots(mem, SLOTS, words)
    }

    /// As `new`, with another number of slots.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn with_slots(mem: M, slots: usize, words: usize) -> Result<Self, SetupError> {
        SlotsWriter::new(mem, Protocol::Page, slots, words.saturating_mul(WORD)).map(Self)
    }

    /// Publishes words, at most as many as the page has; returns the number of the publication.
    ///
    /// # Panics
    /// If there are more.
    #[inline]
    pub fn publish(&mut self, words: &[u64]) -> u64 {
        self.0.write(bytes_of(words))
    }

    /// Publishes `len_words` words that `fill` writes in pieces. What it leaves out holds an older
    /// publication's words.
    ///
    /// # Panics
    /// If they exceed the page.
    #[inline]
    pub fn publish_with(
        &mut self,
        len_words: usize,
        fill: impl FnOnce(&mut SlotDraft<'_, M>),
    ) -> u64 {
        self.0.write_with(len_words * WORD, fill)
    }
}

/// What a read brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRead {
    /// Number of the publication; never goes back from read to read.
    pub number: u64,
    /// Words of the publication, now in the front of the buffer.
    pub words: usize,
}

/// Why a read brought nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PageError {
    /// Nothing was published so far.
    #[error("nothing was published yet")]
    NotYet,
    /// The writer was faster in each attempt; try again later.
    #[error("the page changed during each of {ATTEMPTS} reads; try again")]
    Busy,
    /// The publication is longer than the buffer.
    #[error("the page has {words} words, more than the buffer; give a larger one")]
    BufferTooSmall {
        /// Words of the publication.
        words: usize,
    },
}

/// A reading side: any number, any process, read-only.
#[derive(Debug)]
pub struct PageReader<M: Mem>(SlotsReader<M>);

impl<M: Mem> PageReader<M> {
    /// Opens a reading side of a page of `words` words.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M, words: usize) -> Result<Self, SetupError> {
        Self::with_slots(mem, SLOTS, words)
    }

    /// As `new`, with another number of slots.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn with_slots(mem: M, slots: usize, words: usize) -> Result<Self, SetupError> {
        SlotsReader::new(mem, Protocol::Page, slots, words.saturating_mul(WORD)).map(Self)
    }

    /// Copies the newest publication into the front of `dst`.
    ///
    /// # Errors
    /// [`PageError`]; `dst` then holds garbage.
    #[inline]
    pub fn read(&self, dst: &mut [u64]) -> Result<PageRead, PageError> {
        for _ in 0..ATTEMPTS {
            let Some(number) = self.0.latest().checked_sub(1) else {
                return Err(PageError::NotYet);
            };
            match self.0.try_copy(number, bytes_of_mut(dst)) {
                Ok(bytes) if bytes > dst.len() * WORD => {
                    return Err(PageError::BufferTooSmall { words: bytes.div_ceil(WORD) });
                }
                Ok(bytes) => return Ok(PageRead { number, words: bytes / WORD }),
                // An honest writer never causes `NotYet` (the promise of `latest`).
                Err(SlotError::Lapped | SlotError::Torn | SlotError::NotYet) => M::spin(),
            }
        }
        Err(PageError::Busy)
    }

    /// Number of publications so far: a cheap poll of whether a read would bring something new.
    #[must_use]
    pub fn publications(&self) -> u64 {
        self.0.latest()
    }

    /// Words of the page.
    #[must_use]
    pub fn words_max(&self) -> usize {
        self.0.payload_max() / WORD
    }
}
