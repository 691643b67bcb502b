//! An agent without a seat: what it changed of its module's image.

use wasm_engine_abi::Digest;

use crate::error::Stop;
use crate::image::{DifferenceReader, Image};
use crate::profile::WASM_PAGE_BYTES;
use crate::seat::{GuestInbox, Holder};
use crate::state_digest::StateDigest;

/// Bytes before the difference in a saved state.
pub(crate) const HEAD_BYTES: usize = 16;

/// An agent without a seat.
#[derive(Debug)]
pub(crate) struct Sleeper {
    pub(crate) holder: Holder,
    pub(crate) program: u32,
    pub(crate) inbox: GuestInbox,
    /// Bytes its memory has.
    pub(crate) memory_bytes: usize,
    pub(crate) difference: Box<[u8]>,
}

impl Sleeper {
    /// What stands before the difference in a saved state: bytes of the memory, then where the
    /// inbox is.
    pub(crate) fn head(memory_bytes: usize, inbox: GuestInbox) -> [u8; HEAD_BYTES] {
        let (at, capacity) = inbox.parts();
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&(memory_bytes as u64).to_le_bytes());
        head[8..12].copy_from_slice(&at.to_le_bytes());
        head[12..].copy_from_slice(&capacity.to_le_bytes());
        head
    }

    /// The sleeper that a saved state is, of a module with this image whose memories have at most
    /// `memory_bytes_max`.
    pub(crate) fn saved(
        holder: Holder,
        program: u32,
        state: &[u8],
        image: &Image,
        memory_bytes_max: u64,
    ) -> Result<Self, Stop> {
        let Some((head, difference)) = state.split_first_chunk::<HEAD_BYTES>() else {
            return Err(Stop::state("it is too short"));
        };
        let [a, b, c, d, e, f, g, h, rest @ ..] = *head;
        let memory_bytes = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let [a, b, c, d, e, f, g, h] = rest;
        let (at, capacity) = ([a, b, c, d], [e, f, g, h]);
        let sized = memory_bytes.is_multiple_of(WASM_PAGE_BYTES)
            && (image.memory_bytes as u64..=memory_bytes_max).contains(&memory_bytes);
        if !sized {
            return Err(Stop::state("its memory has a length that its module's cannot have"));
        }
        let memory_bytes = memory_bytes as usize;
        let (at, capacity) = (i32::from_le_bytes(at), i32::from_le_bytes(capacity));
        let Some(inbox) = GuestInbox::checked(at, capacity, memory_bytes) else {
            return Err(Stop::state("its inbox is not in its memory"));
        };
        if !DifferenceReader::new(difference).fits(memory_bytes, image.globals.len()) {
            return Err(Stop::state("it is cut off, or outside its memory or its globals"));
        }
        Ok(Self { holder, program, inbox, memory_bytes, difference: difference.into() })
    }

    /// A copy for another incarnation of its agent.
    pub(crate) fn of(&self, holder: Holder) -> Self {
        let Self { holder: _, program, inbox, memory_bytes, ref difference } = *self;
        Self { holder, program, inbox, memory_bytes, difference: difference.clone() }
    }

    /// Appends it as the saved state that [`Sleeper::saved`] reads.
    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&Self::head(self.memory_bytes, self.inbox));
        into.extend_from_slice(&self.difference);
    }

    /// The state digest, as that of an agent awake.
    pub(crate) fn digest(&self, image: &Image, scratch: &mut Vec<u8>) -> Digest {
        scratch.resize(self.memory_bytes, 0);
        image.copy(0, scratch);
        let mut globals = image.globals.clone();
        let mut difference = DifferenceReader::new(&self.difference);
        while let Some((index, value)) = difference.global() {
            globals[index] = value;
        }
        difference.lay_over(scratch);
        let mut digest = StateDigest::default();
        digest.run(scratch, 0..scratch.len());
        digest.finish(scratch, &globals)
    }
}
