//! A list written value by value, into memory that is there already.

use core::fmt;

use bytemuck::{bytes_of, cast_slice};

use crate::tensor::{ALIGN, Element, ListHead, VERSION, ValueHead, ValueKind};

/// The buffer has no room for a value; what was written before it is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the buffer has no room for a tensor")
    }
}

impl core::error::Error for NoRoom {}

/// Where a list is written.
pub trait TensorBuffer {
    /// Bytes written so far.
    fn written(&self) -> usize;
    /// Whether `bytes` more have room.
    fn has_room(&self, bytes: usize) -> bool;
    /// Appends bytes for which there is room.
    fn append(&mut self, bytes: &[u8]);
    /// Writes over bytes that were appended at `at`.
    fn replace(&mut self, at: usize, bytes: &[u8]);
}

/// A slice that a list is written into.
#[derive(Debug)]
pub struct SliceBuffer<'a> {
    bytes: &'a mut [u8],
    written: usize,
}

impl<'a> SliceBuffer<'a> {
    /// All of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, written: 0 }
    }
}

impl TensorBuffer for SliceBuffer<'_> {
    fn written(&self) -> usize {
        self.written
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.bytes.len() - self.written >= bytes
    }

    fn append(&mut self, bytes: &[u8]) {
        let end = self.written + bytes.len();
        if let Some(slot) = self.bytes.get_mut(self.written..end) {
            slot.copy_from_slice(bytes);
            self.written = end;
        }
    }

    fn replace(&mut self, at: usize, bytes: &[u8]) {
        if let Some(slot) = self.bytes.get_mut(at..at + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    }
}

/// Writes a list of tensors.
///
/// ```
/// use wasm_engine_abi::tensor::{TensorList, TensorWriter};
///
/// let mut bytes = [0; 128];
/// let mut list = TensorWriter::over(&mut bytes)?;
/// list.tensor(0, &[2, 2], &[1_i64, 2, 3, 4])?;
/// let len = list.finish();
/// let list = TensorList::parse(&bytes[..len]).expect("it was just written");
/// assert_eq!(list.port(0).and_then(|value| value.at::<i64>(&[1, 0])), Some(3));
/// # Ok::<(), wasm_engine_abi::tensor::NoRoom>(())
/// ```
#[derive(Debug)]
pub struct TensorWriter<B> {
    buffer: B,
    /// Where the list begins in the buffer.
    begin: usize,
    count: u32,
    /// Values still owed to sequences and maps.
    owed: u64,
}

impl<'a> TensorWriter<SliceBuffer<'a>> {
    /// Begins a list at the beginning of `bytes`.
    ///
    /// # Errors
    /// [`NoRoom`] for an empty list.
    pub fn over(bytes: &'a mut [u8]) -> Result<Self, NoRoom> {
        Self::new(SliceBuffer::new(bytes))
    }
}

impl<B: TensorBuffer> TensorWriter<B> {
    /// Begins a list behind what the buffer holds.
    ///
    /// # Errors
    /// [`NoRoom`] for an empty list.
    pub fn new(mut buffer: B) -> Result<Self, NoRoom> {
        let begin = buffer.written();
        if !buffer.has_room(size_of::<ListHead>()) {
            return Err(NoRoom);
        }
        buffer.append(bytes_of(&ListHead { version: VERSION, count: 0 }));
        Ok(Self { buffer, begin, count: 0, owed: 0 })
    }

    /// Appends a tensor. `values` are its elements in row-major order, as many as `dims` say.
    ///
    /// # Errors
    /// [`NoRoom`], also if the numbers do not fit each other.
    pub fn tensor<T: Element>(
        &mut self,
        port: u32,
        dims: &[u64],
        values: &[T],
    ) -> Result<(), NoRoom> {
        let elements = dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim));
        if elements != Some(values.len() as u64) {
            return Err(NoRoom);
        }
        self.value(port, T::KIND, dims, &[cast_slice(values)])
    }

    /// Appends texts, as many as `dims` say.
    ///
    /// # Errors
    /// [`NoRoom`], also if the numbers do not fit each other.
    pub fn texts(&mut self, port: u32, dims: &[u64], texts: &[&str]) -> Result<(), NoRoom> {
        let elements = dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim));
        let len = texts.iter().try_fold(4 * (texts.len() + 1), |sum, text| {
            sum.checked_add(text.len()).filter(|sum| u32::try_from(*sum).is_ok())
        });
        let len = len.filter(|_| elements == Some(texts.len() as u64)).ok_or(NoRoom)?;
        self.head(port, ValueKind::Text, dims, len)?;
        let mut offset = 0_u32;
        self.buffer.append(bytes_of(&offset));
        for text in texts {
            // The sum fits, checked above.
            offset += text.len() as u32;
            self.buffer.append(bytes_of(&offset));
        }
        texts.iter().for_each(|text| self.buffer.append(text.as_bytes()));
        self.pad(len);
        Ok(())
    }

    /// Appends a tensor whose elements are these bytes, one part after the other.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn value(
        &mut self,
        port: u32,
        kind: ValueKind,
        dims: &[u64],
        parts: &[&[u8]],
    ) -> Result<(), NoRoom> {
        let len = parts.iter().try_fold(0_usize, |sum, part| sum.checked_add(part.len()));
        let len = len.ok_or(NoRoom)?;
        self.head(port, kind, dims, len)?;
        parts.iter().for_each(|part| self.buffer.append(part));
        self.pad(len);
        Ok(())
    }

    /// Begins a sequence: the next `count` values are its own.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn sequence(&mut self, port: u32, count: u64) -> Result<(), NoRoom> {
        self.head(port, ValueKind::Sequence, &[count], 0)?;
        self.owed = self.owed.saturating_add(count);
        Ok(())
    }

    /// Begins a map: the next value is its keys, the one after that its values.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn map(&mut self, port: u32) -> Result<(), NoRoom> {
        self.head(port, ValueKind::Map, &[], 0)?;
        self.owed = self.owed.saturating_add(2);
        Ok(())
    }

    /// Ends the list; gives its length in bytes.
    #[must_use]
    pub fn finish(mut self) -> usize {
        let head = ListHead { version: VERSION, count: self.count };
        self.buffer.replace(self.begin, bytes_of(&head));
        self.buffer.written() - self.begin
    }

    fn head(&mut self, port: u32, kind: ValueKind, dims: &[u64], len: usize) -> Result<(), NoRoom> {
        let head = ValueHead {
            port,
            kind: kind as u32,
            rank: u32::try_from(dims.len()).map_err(|_| NoRoom)?,
            len: u32::try_from(len).map_err(|_| NoRoom)?,
        };
        let padded = len.checked_next_multiple_of(ALIGN).ok_or(NoRoom)?;
        let all = padded.checked_add(size_of::<ValueHead>() + size_of_val(dims)).ok_or(NoRoom)?;
        if !self.buffer.has_room(all) {
            return Err(NoRoom);
        }
        self.buffer.append(bytes_of(&head));
        self.buffer.append(cast_slice(dims));
        match self.owed.checked_sub(1) {
            Some(owed) => self.owed = owed,
            None => self.count += 1,
        }
        Ok(())
    }

    fn pad(&mut self, len: usize) {
        self.buffer.append(&[0; ALIGN][..len.next_multiple_of(ALIGN) - len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Bf16Bits, BoolByte, F16Bits, TensorList};

    extern crate std;
    use std::ops::Deref;
    use std::vec::Vec;

    /// A list, backed by words so that it begins at a multiple of 8.
    struct Written {
        words: [u64; 128],
        len: usize,
    }

    impl Deref for Written {
        type Target = [u8];

        fn deref(&self) -> &[u8] {
            &cast_slice(&self.words)[..self.len]
        }
    }

    fn written(
        write: impl FnOnce(&mut TensorWriter<SliceBuffer<'_>>) -> Result<(), NoRoom>,
    ) -> Written {
        let mut words = [u64::MAX; 128];
        let bytes = bytemuck::cast_slice_mut(&mut words);
        let mut list = TensorWriter::new(SliceBuffer::new(bytes)).expect("room");
        write(&mut list).expect("room");
        let len = list.finish();
        Written { words, len }
    }

    fn sample() -> Written {
        written(|list| {
            list.tensor(0, &[2, 3], &[1.5_f32, -2.0, 0.0, 4.0, 5.0, 6.0])?;
            list.tensor(7, &[], &[-9_i64])?;
            list.tensor(1, &[3], &[BoolByte(1), BoolByte(0), BoolByte(1)])?;
            list.tensor(2, &[0, 5], &[] as &[u16])?;
            list.texts(3, &[3], &["", "größer", "x"])?;
            list.tensor(4, &[1], &[F16Bits(0x3c00)])?;
            list.tensor(5, &[1], &[Bf16Bits(0x3f80)])?;
            list.sequence(6, 2)?;
            for score in [0.25_f32, 0.75] {
                list.map(6)?;
                list.tensor(6, &[2], &[3_i64, 4])?;
                list.tensor(6, &[2], &[score, 1.0 - score])?;
            }
            Ok(())
        })
    }

    #[test]
    fn what_was_written_is_read_without_a_copy() {
        let bytes = sample();
        let list = TensorList::parse(&bytes).expect("a list");
        assert_eq!((list.count(), list.iter().count()), (8, 8));
        let floats = list.port(0).expect("there");
        assert_eq!((floats.kind(), floats.elements()), (ValueKind::F32, 6));
        assert_eq!(floats.at::<f32>(&[1, 0]), Some(4.0));
        assert_eq!(floats.at::<f32>(&[1, 3]), None, "outside");
        assert_eq!(floats.at::<f32>(&[1]), None, "another rank");
        assert_eq!(floats.at::<i32>(&[1, 0]), None, "another type");
        let scalar = list.port(7).expect("there");
        assert_eq!((scalar.dims().len(), scalar.at::<i64>(&[])), (0, Some(-9)));
        assert_eq!(list.port(2).expect("there").as_slice::<u16>(), Some(&[][..]));
        let texts = list.port(3).and_then(|value| value.texts()).expect("texts");
        assert_eq!(texts.clone().collect::<Vec<_>>(), ["", "größer", "x"]);
        assert_eq!((texts.get(1), texts.get(3)), (Some("größer"), None));
        assert!(list.port(4).and_then(|half| half.get::<F16Bits>(0)).expect("one").to_f32() == 1.0);
        let maps = list.port(6).expect("there");
        let scores: Vec<f32> = maps
            .inner()
            .map(|map| {
                let values = map.inner().nth(1).expect("keys and values");
                values.get::<f32>(0).expect("two of them")
            })
            .collect();
        assert_eq!(scores, [0.25, 0.75]);
    }

    #[test]
    fn every_cut_and_every_wrong_byte_is_refused_or_another_list() {
        let bytes = sample();
        // Miri interprets each step, so it sees every seventh: heads, dimensions and values alike.
        let stride = if cfg!(miri) { 7 } else { 1 };
        for len in (0..bytes.len()).step_by(stride) {
            TensorList::parse(&bytes[..len]).expect_err("cut short");
        }
        for at in (0..bytes.len()).step_by(stride) {
            for flip in [1, 0x80, 0xff] {
                let mut other = bytes.to_vec();
                other[at] ^= flip;
                let Ok(list) = TensorList::parse(&other) else { continue };
                // Whatever it is now, all of it can be walked.
                for value in list {
                    let _ = (value.elements(), value.texts().map(Iterator::count));
                    assert!(value.inner().all(|inner| inner.bytes().len() >= 16));
                }
            }
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(
            TensorList::parse(&longer).expect_err("longer").what,
            "bytes follow its last value"
        );
    }

    #[test]
    fn counts_that_lie_cost_nothing() {
        for (kind, rank, dims) in [
            (1, 2, [u64::MAX, u64::MAX]),
            (8, 1, [u64::MAX - 1, 0]),
            (256, 1, [u64::MAX, 0]),
            (1, 33, [1, 1]),
        ] {
            let mut bytes = Vec::new();
            bytes.extend(bytes_of(&ListHead { version: 1, count: u32::MAX }));
            bytes.extend(bytes_of(&ValueHead { port: 0, kind, rank, len: 0 }));
            bytes.extend(cast_slice::<u64, u8>(&dims[..(rank as usize).min(2)]));
            TensorList::parse(&bytes).expect_err("lies");
        }
        // Nested deeper than allowed.
        let mut bytes =
            Vec::from(*bytes_of(&ListHead { version: 1, count: 1 }).first_chunk::<8>().expect("8"));
        for _ in 0..if cfg!(miri) { 100 } else { 100_000 } {
            bytes.extend(bytes_of(&ValueHead { port: 0, kind: 256, rank: 1, len: 0 }));
            bytes.extend(1_u64.to_le_bytes());
        }
        assert_eq!(TensorList::parse(&bytes).expect_err("deep").what, "it is nested too deep");
    }

    #[test]
    fn a_value_without_room_leaves_the_list_whole() {
        let mut bytes = [0; 48];
        let mut list = TensorWriter::new(SliceBuffer::new(&mut bytes)).expect("room");
        list.tensor(0, &[2], &[1_u8, 2]).expect("32 bytes");
        assert_eq!(list.tensor(1, &[1], &[1_u8]), Err(NoRoom));
        assert_eq!(list.tensor(1, &[3], &[1_u8]), Err(NoRoom), "the numbers differ");
        let len = list.finish();
        assert_eq!(TensorList::parse(&bytes[..len]).expect("whole").count(), 1);
        assert!(TensorWriter::new(SliceBuffer::new(&mut [0; 7])).is_err());
    }
}
