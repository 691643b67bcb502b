//! A growing buffer for lists of tensors, whose elements begin where they can be used in place.

use bytemuck::{Pod, Zeroable};
use wasm_engine_abi::tensor::{ListHead, TensorBuffer, ValueHead};

/// A cache line.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([u64; 8]);

impl Line {
    /// Bytes of it.
    pub(crate) const BYTES: usize = size_of::<Self>();
    pub(crate) const ZERO: Self = Self([0; 8]);
}

/// A growing buffer for lists of tensors, whose bytes begin at a multiple of 8, so that elements in
/// it lie as their types want them. It keeps its memory when it is cleared.
///
/// A list that it is [set](ListBuffer::set) to begins such that the elements of its first tensor
/// lie at a multiple of 64, where ONNX Runtime can read them in place.
#[derive(Clone, Debug, Default)]
pub struct ListBuffer {
    lines: Vec<Line>,
    /// Where its bytes begin in the lines, below the length of one.
    begin: usize,
    len: usize,
}

impl ListBuffer {
    /// Makes it empty.
    pub fn clear(&mut self) {
        (self.begin, self.len) = (0, 0);
    }

    /// Makes it empty, for a list whose first tensor has this rank and whose elements begin at a
    /// multiple of 64.
    pub(crate) fn clear_for(&mut self, rank: usize) {
        const BEFORE: usize = size_of::<ListHead>() + size_of::<ValueHead>();
        // The dimensions before the elements; eight of them are a line.
        let offset = BEFORE + size_of::<u64>() * (rank % 8);
        (self.begin, self.len) = (offset.next_multiple_of(Line::BYTES) - offset, 0);
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[self.begin..][..self.len]
    }

    /// Its bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[self.begin..][..self.len]
    }

    /// Makes its bytes these.
    pub fn set(&mut self, bytes: &[u8]) {
        // Of the first value; whatever stands there if these are no list.
        const RANK: usize = size_of::<ListHead>() + std::mem::offset_of!(ValueHead, rank);
        let rank = bytes.get(RANK).map_or(0, |rank| usize::from(*rank));
        self.clear_for(rank);
        self.append(bytes);
    }

    /// Appends `len` zeros; gives all of them, to be filled.
    #[cfg(any(test, feature = "onnx"))]
    pub(crate) fn grow(&mut self, len: usize) -> &mut [u8] {
        let grown = self.room(len);
        grown.fill(0);
        grown
    }

    /// Appends `len` bytes of any value.
    fn room(&mut self, len: usize) -> &mut [u8] {
        let begin = self.begin + self.len;
        self.len += len;
        let lines = (begin + len).div_ceil(Line::BYTES);
        if lines > self.lines.len() {
            self.lines.resize(lines, Line::ZERO);
        }
        &mut bytemuck::cast_slice_mut(&mut self.lines)[begin..][..len]
    }
}

impl TensorBuffer for ListBuffer {
    fn written(&self) -> usize {
        self.len
    }

    fn has_room(&self, _bytes: usize) -> bool {
        true
    }

    fn append(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    fn replace(&mut self, at: usize, bytes: &[u8]) {
        self.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

impl TensorBuffer for &mut ListBuffer {
    fn written(&self) -> usize {
        (**self).written()
    }

    fn has_room(&self, bytes: usize) -> bool {
        (**self).has_room(bytes)
    }

    fn append(&mut self, bytes: &[u8]) {
        (**self).append(bytes);
    }

    fn replace(&mut self, at: usize, bytes: &[u8]) {
        (**self).replace(at, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_engine_abi::tensor::{TensorList, TensorWriter};

    #[test]
    fn the_first_tensor_of_a_list_lies_at_a_multiple_of_64() {
        let mut written = ListBuffer::default();
        let mut copied = ListBuffer::default();
        for rank in 0..=9 {
            written.clear_for(rank);
            let mut list = TensorWriter::new(&mut written).expect("room");
            list.tensor(3, &vec![1; rank], &[7_i64]).expect("room");
            list.tensor(1, &[2], &[8_u8, 9]).expect("room");
            let _ = list.finish();
            copied.set(written.bytes());
            assert_eq!(copied.bytes(), written.bytes());
            for buffer in [&written, &copied] {
                let list = TensorList::parse(buffer.bytes()).expect("a list");
                let first = list.iter().next().expect("a tensor");
                assert_eq!(first.data().as_ptr().addr() % 64, 0, "rank {rank}");
            }
        }
        // What is no list is kept as it is.
        for len in [0, 1, 16, 17, 100] {
            let bytes = vec![0xff; len];
            copied.set(&bytes);
            assert_eq!(copied.bytes(), bytes);
            copied.grow(3).fill(1);
            assert_eq!(
                (copied.bytes().len(), copied.bytes()[len..].to_vec()),
                (len + 3, vec![1; 3])
            );
        }
    }
}
