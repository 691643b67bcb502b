//! A growing buffer for lists of tensors, whose bytes begin at a multiple of 8.

use wasm_engine_abi::tensor::TensorBuffer;

/// A growing buffer for lists of tensors, whose bytes begin at a multiple of 8, so that elements in
/// it lie as their types want them. It keeps its memory when it is cleared.
#[derive(Clone, Debug, Default)]
pub struct ListBuffer {
    words: Vec<u64>,
    len: usize,
}

impl ListBuffer {
    /// Makes it empty.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    /// Its bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }

    /// Makes its bytes these.
    pub fn set(&mut self, bytes: &[u8]) {
        self.clear();
        self.append(bytes);
    }

    /// Appends `len` zeros; gives all of them, to be filled.
    pub(crate) fn grow(&mut self, len: usize) -> &mut [u8] {
        let begin = self.len;
        self.len += len;
        let words = self.len.div_ceil(size_of::<u64>());
        if words > self.words.len() {
            self.words.resize(words, 0);
        }
        let grown = &mut bytemuck::cast_slice_mut(&mut self.words)[begin..self.len];
        grown.fill(0);
        grown
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
        let begin = self.len;
        let end = begin + bytes.len();
        let words = end.div_ceil(size_of::<u64>());
        if words > self.words.len() {
            self.words.resize(words, 0);
        }
        bytemuck::cast_slice_mut(&mut self.words)[begin..end].copy_from_slice(bytes);
        self.len = end;
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
