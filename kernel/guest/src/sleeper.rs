//! An agent without a seat: what it changed of its module's image.

use wasm_engine_abi::Digest;

use crate::image::{DifferenceReader, Image};
use crate::seat::{GuestInbox, Holder};
use crate::state_digest::StateDigest;

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
