//! One feeder's memory: the ring through which another process hands records over, and what it
//! hears in return.
//!
//! ```text
//!  byte 0    acknowledgements            written by the owner
//!  byte 128  doorbell of the owner       written by the owner: it sleeps
//!  byte 256  doorbell of the feeder      written by the feeder: it sleeps
//!  byte 384  consumer block of the ring  written by the owner
//!  byte 512  producer block of the ring  written by the feeder
//!  behind it text for the feeder, written before it has the memory
//! ```
//! The owner makes the memory, an anonymous file whose length is sealed, and hands its descriptor
//! over. Both map it writable. The feeder's every word is distrusted ([`crate::foreign`]); the
//! feeder trusts the owner, and checks sizes. The memory serves one connection: cursors are
//! private, so a feeder that comes again gets another one.
//!
//! What this does not do: it passes no descriptor, and it wakes nobody: each side learns that the
//! other sleeps, and wakes it at the socket over which the memory was handed over.

use std::fs::File;
use std::io;

use crate::acks::{self, AckReader, AckWriter};
use crate::bytes::{self, BytesLayout, Consumer, Producer};
use crate::foreign::ForeignMem;
use crate::lease::SetupError;
use crate::map::{Map, MapError};
use crate::mem::{Mem, RawMem};
use crate::os;
use crate::wait::{self, Ringer, Waiter};

/// Bytes of text at most.
const TEXT_BYTES_MAX: usize = 1 << 30;

/// Why the memory cannot be made or joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedMemoryError {
    /// The memory.
    #[error(transparent)]
    Map(#[from] MapError),
    /// A part of it.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Its text.
    #[error("the text of a feeder's memory cannot be passed: {0}")]
    Text(#[from] io::Error),
    /// It is not what it was said to be.
    #[error("what was handed over is no feeder's memory: {problem}; use the same release")]
    Other {
        /// What is wrong.
        problem: &'static str,
    },
}

/// Where the parts lie.
#[derive(Clone, Copy, Debug)]
struct FeedLayout {
    ring: BytesLayout,
    len: usize,
}

const OWNER_BELL: usize = acks::LEN;
const FEEDER_BELL: usize = OWNER_BELL + wait::LEN;
const CONSUMER: usize = FEEDER_BELL + wait::LEN;

impl FeedLayout {
    fn of(ring_bytes: usize) -> Result<Self, SetupError> {
        let ring = bytes::layout(ring_bytes)?;
        Ok(Self { ring, len: CONSUMER + ring.consumer_len + ring.producer_len })
    }

    fn producer(&self) -> usize {
        CONSUMER + self.ring.consumer_len
    }
}

/// The part of a memory that is large enough for all.
fn part<M: Mem>(mem: &M, offset: usize, len: usize) -> Result<M, FeedMemoryError> {
    let problem = "it is too short";
    mem.slice(offset, len).ok_or(FeedMemoryError::Other { problem })
}

/// The side that takes records.
#[derive(Debug)]
pub struct FeedOwner {
    /// The reading end of the ring.
    pub ring: Consumer<ForeignMem>,
    /// What the feeder hears.
    pub acks: AckWriter<RawMem>,
    /// Announces that this side sleeps.
    pub sleep: Waiter<RawMem>,
    /// Tells whether the feeder sleeps.
    pub wake: Ringer<RawMem>,
    map: Map,
}

impl FeedOwner {
    /// New memory with a ring of `ring_bytes`, and `text` behind it. `name` only shows in `/proc`.
    ///
    /// # Errors
    /// [`FeedMemoryError`].
    pub fn create(name: &str, ring_bytes: usize, text: &[u8]) -> Result<Self, FeedMemoryError> {
        let layout = FeedLayout::of(ring_bytes)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(FeedMemoryError::Other { problem: "its text is too long" });
        }
        let map = Map::memfd_to_share(name, (layout.len + text.len()) as u64)?;
        if let Some(file) = map.shared_file() {
            os::write_all_at(file, text, layout.len as u64)?;
        }
        let mem = map.mem();
        let distrusted = ForeignMem::new(mem.clone());
        Ok(Self {
            ring: Consumer::new(
                part(&distrusted, layout.producer(), layout.ring.producer_len)?,
                part(&distrusted, CONSUMER, layout.ring.consumer_len)?,
            )?,
            acks: AckWriter::new(part(&mem, 0, acks::LEN)?)?,
            sleep: Waiter::new(part(&mem, OWNER_BELL, wait::LEN)?)?,
            wake: Ringer::new(part(&mem, FEEDER_BELL, wait::LEN)?)?,
            map,
        })
    }

    /// The file to hand over.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        self.map.shared_file()
    }
}

/// The side that hands records over.
#[derive(Debug)]
pub struct FeedGiver {
    /// The writing end of the ring.
    pub ring: Producer<RawMem>,
    /// What the owner says.
    pub acks: AckReader<RawMem>,
    /// Announces that this side sleeps.
    pub sleep: Waiter<RawMem>,
    /// Tells whether the owner sleeps.
    pub wake: Ringer<RawMem>,
}

impl FeedGiver {
    /// Joins memory with a ring of `ring_bytes` that was handed over as `file`; gives the text
    /// behind it, `text_bytes` long.
    ///
    /// # Errors
    /// [`FeedMemoryError`].
    pub fn join(
        file: File,
        ring_bytes: usize,
        text_bytes: usize,
    ) -> Result<(Self, Vec<u8>), FeedMemoryError> {
        let layout = FeedLayout::of(ring_bytes)?;
        if text_bytes > TEXT_BYTES_MAX {
            return Err(FeedMemoryError::Other { problem: "its text is too long" });
        }
        let map = Map::join("the memory of a feeder", file)?;
        if map.len_bytes() < layout.len + text_bytes {
            return Err(FeedMemoryError::Other { problem: "it is too short" });
        }
        let mut text = vec![0; text_bytes];
        if let Some(file) = map.shared_file() {
            os::read_all_at(file, &mut text, layout.len as u64)?;
        }
        let mem = map.mem();
        let giver = Self {
            ring: Producer::new(
                part(&mem, layout.producer(), layout.ring.producer_len)?,
                part(&mem, CONSUMER, layout.ring.consumer_len)?,
            )?,
            acks: AckReader::new(part(&mem, 0, acks::LEN)?)?,
            sleep: Waiter::new(part(&mem, FEEDER_BELL, wait::LEN)?)?,
            wake: Ringer::new(part(&mem, OWNER_BELL, wait::LEN)?)?,
        };
        Ok((giver, text))
    }
}
