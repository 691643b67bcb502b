//! What a module's memory is before its first call, and what an agent has made of it.
//!
//! ```text
//!  a difference:  u32 globals | u32 index, 16 bytes value | ...
//!                 | u32 offset, u32 bytes, bytes | ...
//! ```
//! Numbers are little-endian. Globals are those that differ from the module's; the runs are the
//! chunks of memory that do. An agent is these bytes while it sleeps, and in a checkpoint.

use std::ops::Range;

use crate::dirty_pages::PAGE_BYTES;

/// A page without anything in it.
pub(crate) static ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
/// Memory is compared in chunks of this many bytes.
const CHUNK_BYTES: usize = 64;
/// Bytes of a global in a difference.
const GLOBAL_BYTES: usize = size_of::<u32>() + size_of::<u128>();

/// The state in which every instance of a module begins.
#[derive(Debug)]
pub(crate) struct Image {
    /// Bytes of the memory, up to the last one that is not 0.
    bytes: Box<[u8]>,
    /// Bytes of the memory.
    pub(crate) memory_bytes: usize,
    /// State globals, zero-extended.
    pub(crate) globals: Box<[u128]>,
}

impl Image {
    /// The image of a memory of `memory_bytes`, of which the first are `bytes` and the rest is 0.
    pub(crate) fn new(bytes: &[u8], memory_bytes: usize, globals: Box<[u128]>) -> Self {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Self { bytes: bytes[..end].into(), memory_bytes, globals }
    }

    /// Makes `memory`, the bytes from `at` on, those of the image again. Gives the runs that
    /// differed to `each` before.
    pub(crate) fn restore(&self, at: usize, memory: &mut [u8], mut each: impl FnMut(usize, &[u8])) {
        for (number, page) in memory.chunks_mut(PAGE_BYTES).enumerate() {
            let at = at + number * PAGE_BYTES;
            if !self.equals(at, page) {
                self.restore_page(at, page, &mut each);
            }
        }
    }

    fn restore_page(&self, at: usize, page: &mut [u8], each: &mut impl FnMut(usize, &[u8])) {
        let mut run: Option<Range<usize>> = None;
        for start in (0..page.len()).step_by(CHUNK_BYTES) {
            let chunk = start..page.len().min(start + CHUNK_BYTES);
            let same = match (page[chunk.clone()].as_array::<CHUNK_BYTES>(), self.chunk(at + start))
            {
                // Of a known length, and so compared in place.
                (Some(bytes), Some(own)) => bytes == own,
                _ => self.equals(at + start, &page[chunk.clone()]),
            };
            match (&mut run, same) {
                (Some(run), false) => run.end = chunk.end,
                (None, false) => run = Some(chunk),
                (Some(_), true) => self.restore_run(at, run.take(), page, each),
                (None, true) => {}
            }
        }
        self.restore_run(at, run, page, each);
    }

    fn restore_run(
        &self,
        at: usize,
        run: Option<Range<usize>>,
        memory: &mut [u8],
        each: &mut impl FnMut(usize, &[u8]),
    ) {
        let Some(run) = run else { return };
        let start = at + run.start;
        let bytes = &mut memory[run];
        each(start, bytes);
        self.copy(start, bytes);
    }

    /// Gives the runs of `memory`, the bytes from `at` on, that differ from the image.
    pub(crate) fn differing(&self, at: usize, memory: &[u8], mut each: impl FnMut(usize, &[u8])) {
        for (number, page) in memory.chunks(PAGE_BYTES).enumerate() {
            let at = at + number * PAGE_BYTES;
            if self.equals(at, page) {
                continue;
            }
            let mut run: Option<Range<usize>> = None;
            for start in (0..page.len()).step_by(CHUNK_BYTES) {
                let chunk = start..page.len().min(start + CHUNK_BYTES);
                if !self.equals(at + start, &page[chunk.clone()]) {
                    run = Some(run.map_or(chunk.clone(), |run| run.start..chunk.end));
                } else if let Some(run) = run.take() {
                    each(at + run.start, &page[run]);
                }
            }
            run.into_iter().for_each(|run| each(at + run.start, &page[run]));
        }
    }

    /// Copies the bytes of the image from `at` on.
    pub(crate) fn copy(&self, at: usize, into: &mut [u8]) {
        let own = self.from(at);
        let (with, without) = into.split_at_mut(own.len().min(into.len()));
        with.copy_from_slice(&own[..with.len()]);
        without.fill(0);
    }

    fn equals(&self, at: usize, bytes: &[u8]) -> bool {
        let own = self.from(at);
        let (with, without) = bytes.split_at(own.len().min(bytes.len()));
        *with == own[..with.len()] && *without == ZEROS[..without.len()]
    }

    /// The chunk at `at`, if it lies in the image as a whole or not at all.
    #[inline]
    fn chunk(&self, at: usize) -> Option<&[u8; CHUNK_BYTES]> {
        match self.from(at) {
            [] => ZEROS.first_chunk(),
            own => own.first_chunk(),
        }
    }

    /// What of the image lies from `at` on; behind it all is zero.
    fn from(&self, at: usize) -> &[u8] {
        self.bytes.get(at..).unwrap_or_default()
    }
}

/// Writes a difference.
#[derive(Debug, Default)]
pub(crate) struct DifferenceWriter(Vec<u8>);

impl DifferenceWriter {
    /// Begins a new one.
    pub(crate) fn begin(&mut self) {
        self.0.clear();
        self.0.extend_from_slice(&[0; 4]);
    }

    /// A global that differs; before the first run.
    pub(crate) fn global(&mut self, index: usize, value: u128) {
        // A module has fewer globals than numbers.
        self.0.extend_from_slice(&(index as u32).to_le_bytes());
        self.0.extend_from_slice(&value.to_le_bytes());
        let count = (self.0.len() - 4) / GLOBAL_BYTES;
        self.0[..4].copy_from_slice(&(count as u32).to_le_bytes());
    }

    /// A run of bytes that differ.
    pub(crate) fn run(&mut self, at: usize, bytes: &[u8]) {
        // A memory has at most 4 GiB, and a run at the end of one is shorter.
        self.0.extend_from_slice(&(at as u32).to_le_bytes());
        self.0.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// All that was written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// All that was written, kept.
    pub(crate) fn finish(&self) -> Box<[u8]> {
        self.0.as_slice().into()
    }
}

/// Reads a difference: the globals, then the runs.
#[derive(Clone, Debug)]
pub(crate) struct DifferenceReader<'a> {
    globals: u32,
    rest: &'a [u8],
}

impl<'a> DifferenceReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Self { globals: 0, rest: bytes };
        reader.globals = reader.number().unwrap_or(0);
        reader
    }

    /// The next global; before the first run.
    pub(crate) fn global(&mut self) -> Option<(usize, u128)> {
        self.globals = self.globals.checked_sub(1)?;
        let index = self.number()? as usize;
        let (value, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some((index, u128::from_le_bytes(*value)))
    }

    /// Writes the runs, which follow the last global, into a memory that is at its image.
    pub(crate) fn lay_over(mut self, memory: &mut [u8]) {
        while let Some((at, bytes)) = self.run() {
            memory[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Whether it is whole, and of a memory of so many bytes and so many globals.
    pub(crate) fn fits(mut self, memory_bytes: usize, globals: usize) -> bool {
        while self.globals > 0 {
            if self.global().is_none_or(|(index, _)| index >= globals) {
                return false;
            }
        }
        while !self.rest.is_empty() {
            if self.run().is_none_or(|(at, bytes)| at + bytes.len() > memory_bytes) {
                return false;
            }
        }
        true
    }

    fn run(&mut self) -> Option<(usize, &'a [u8])> {
        let (at, len) = (self.number()? as usize, self.number()? as usize);
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some((at, bytes))
    }

    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*number))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever an agent did, its difference laid over the image is its memory again, and what
        /// it left behind is the image.
        #[test]
        fn a_difference_over_the_image_is_the_memory(
            image in prop::collection::vec(0_u8..3, 0..600),
            writes in prop::collection::vec((0_usize..700, 0_u8..4), 0..40),
            globals in prop::collection::vec((0_usize..9, any::<u128>()), 0..4),
        ) {
            let mut first = image;
            first.resize(700, 0);
            let image = Image::new(&first, first.len(), Box::default());
            let mut memory = first.clone();
            for (at, value) in writes {
                memory[at] = value;
            }
            let expected = memory.clone();
            let mut writer = DifferenceWriter::default();
            writer.begin();
            globals.iter().for_each(|(index, value)| writer.global(*index, *value));
            // In two parts, as pages are given.
            let (low, high) = memory.split_at_mut(256);
            image.restore(0, low, |at, bytes| writer.run(at, bytes));
            image.restore(256, high, |at, bytes| writer.run(at, bytes));
            prop_assert_eq!(&memory, &first);
            let bytes = writer.finish();
            // Looking at it gives the same as taking it away.
            let mut looked = DifferenceWriter::default();
            looked.begin();
            globals.iter().for_each(|(index, value)| looked.global(*index, *value));
            image.differing(0, &expected[..256], |at, bytes| looked.run(at, bytes));
            image.differing(256, &expected[256..], |at, bytes| looked.run(at, bytes));
            prop_assert_eq!(looked.bytes(), &*bytes);
            prop_assert!(DifferenceReader::new(&bytes).fits(700, 9));
            let mut reader = DifferenceReader::new(&bytes);
            for global in globals {
                prop_assert_eq!(reader.global(), Some(global));
            }
            prop_assert_eq!(reader.global(), None);
            let mut again = vec![9; 700];
            image.copy(0, &mut again);
            reader.lay_over(&mut again);
            prop_assert_eq!(again, expected);
        }
    }
}
