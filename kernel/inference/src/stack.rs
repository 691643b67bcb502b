//! Requests of equal shape stacked into one, and the reply cut into rows again (SEMANTICS I2).
//!
//! Lists of equal shape have equal lengths and their elements at equal offsets, so a stack is made
//! by copying and needs no look at the elements.

use std::ops::Range;

use wasm_engine_abi::tensor::{RANK_MAX, TensorList, TensorWriter, Value};

use crate::list_buffer::ListBuffer;

/// Requests of equal shape that are to run together.
#[derive(Clone, Copy)]
pub struct StackedRows<'a> {
    /// Lists of one row each, one behind the other.
    lists: &'a [u8],
    row_bytes: usize,
    batch: u32,
}

impl<'a> StackedRows<'a> {
    /// One request that is run as it is.
    #[cfg(feature = "onnx")]
    pub(crate) fn alone(request: &'a [u8]) -> Self {
        Self { lists: request, row_bytes: request.len(), batch: 1 }
    }

    /// `lists` of one row each and of `row_bytes` bytes, at most `batch` and at least one; the last
    /// one is repeated until there are `batch`.
    pub(crate) fn new(lists: &'a [u8], row_bytes: usize, batch: u32) -> Self {
        Self { lists, row_bytes, batch }
    }

    /// How many rows they are, those repeated among them.
    #[cfg(feature = "onnx")]
    pub(crate) fn batch(&self) -> u32 {
        self.batch
    }

    /// The first one, which has the shape of all.
    pub(crate) fn first(&self) -> &'a [u8] {
        &self.lists[..self.row_bytes]
    }

    /// `part` of the bytes of each row.
    pub(crate) fn parts(&self, part: Range<usize>) -> impl Iterator<Item = &'a [u8]> {
        let rows = self.lists.chunks_exact(self.row_bytes);
        let last = self.lists.len().checked_sub(self.row_bytes).map(|at| &self.lists[at..]);
        rows.chain(last.into_iter().cycle())
            .take(self.batch as usize)
            .map(move |row| &row[part.clone()])
    }

    /// The one request that they are together: a single one as it is, others in `stacked`.
    pub(crate) fn request<'r>(&self, stacked: &'r mut ListBuffer) -> &'r [u8]
    where
        'a: 'r,
    {
        if self.batch == 1 {
            return self.first();
        }
        self.stack(stacked);
        stacked.bytes()
    }

    /// Makes `into` the one request that they are together.
    pub(crate) fn stack(&self, into: &mut ListBuffer) {
        let first = self.first();
        // It was checked when it was accepted.
        let Ok(list) = TensorList::parse(first) else { return };
        into.clear_for(list.iter().next().map_or(0, |value| value.dims().len()));
        let Ok(mut writer) = TensorWriter::new(into) else { return };
        let mut parts = Vec::with_capacity(self.batch as usize);
        for value in list {
            let mut dims = [0; RANK_MAX as usize];
            let dims = &mut dims[..value.dims().len()];
            dims.iter_mut().zip(value.dims()).for_each(|(slot, dim)| *slot = dim);
            if let Some(first) = dims.first_mut() {
                *first = self.batch.into();
            }
            parts.clear();
            parts.extend(self.parts(data_range(&value, first)));
            // The buffer grows.
            let _ = writer.value(value.port(), value.kind(), dims, &parts);
        }
        let _ = writer.finish();
    }
}

/// Where the elements of a value lie in the list that it is a part of.
pub(crate) fn data_range(value: &Value<'_>, list: &[u8]) -> Range<usize> {
    let begin = value.data().as_ptr().addr() - list.as_ptr().addr();
    begin..begin + value.data().len()
}

/// What of a request decides with which others it can be stacked: heads and dimensions.
pub(crate) fn shape(request: &TensorList<'_>, into: &mut Vec<u8>) {
    into.clear();
    for value in request.iter() {
        let bytes = value.bytes();
        let head = bytes.len() - value.data().len().next_multiple_of(8);
        into.extend_from_slice(&bytes[..head]);
    }
}

/// Row `index` of a value of `batch` rows; none if it is no tensor with as many.
pub(crate) fn row<'a>(value: &Value<'a>, index: usize, batch: u32) -> Option<&'a [u8]> {
    // Elements of no fixed size lie in no rows.
    value.kind().element_bytes()?;
    value.dims().next().filter(|first| *first == u64::from(batch))?;
    let row_bytes = value.data().len() / batch as usize;
    value.data().get(index * row_bytes..)?.get(..row_bytes)
}

/// Row `index` of a reply to a stack of `batch` rows, as a list of its own; none if some value of
/// it is no tensor with as many rows.
pub(crate) fn unstack(
    reply: &TensorList<'_>,
    index: usize,
    batch: u32,
    into: &mut ListBuffer,
) -> Option<()> {
    into.clear();
    let mut writer = TensorWriter::new(into).ok()?;
    for value in reply.iter() {
        let row = row(&value, index, batch)?;
        let mut dims = [1; RANK_MAX as usize];
        let dims = &mut dims[..value.dims().len()];
        dims.iter_mut().zip(value.dims()).skip(1).for_each(|(slot, dim)| *slot = dim);
        writer.value(value.port(), value.kind(), dims, &[row]).ok()?;
    }
    let _ = writer.finish();
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ids: [i64; 2], flag: u8) -> Vec<u8> {
        let mut bytes = ListBuffer::default();
        let mut list = TensorWriter::new(&mut bytes).expect("room");
        list.tensor(1, &[1, 2], &ids).expect("room");
        list.tensor(0, &[1], &[flag]).expect("room");
        let _ = list.finish();
        bytes.bytes().to_vec()
    }

    #[test]
    fn i2_2_a_stack_repeats_its_last_row_and_comes_apart_again() {
        let rows: Vec<Vec<u8>> = vec![row([1, 2], 7), row([3, 4], 8), row([5, 6], 9)];
        let mut stacked = ListBuffer::default();
        StackedRows::new(&rows.concat(), rows[0].len(), 5).stack(&mut stacked);
        let list = TensorList::parse(stacked.bytes()).expect("a list");
        let ids = list.port(1).expect("there");
        assert_eq!(ids.dims().collect::<Vec<_>>(), [5, 2]);
        assert_eq!(ids.as_slice::<i64>(), Some(&[1, 2, 3, 4, 5, 6, 5, 6, 5, 6][..]));
        assert_eq!(list.port(0).and_then(|v| v.as_slice::<u8>()), Some(&[7, 8, 9, 9, 9][..]));
        let mut one = ListBuffer::default();
        for (index, row) in rows.iter().chain([&rows[2], &rows[2]]).enumerate() {
            unstack(&list, index, 5, &mut one).expect("there");
            assert_eq!(one.bytes(), row, "{index}");
        }
        assert_eq!(unstack(&list, 5, 5, &mut one), None);
        assert_eq!(unstack(&list, 0, 4, &mut one), None, "it has other rows");
        let (mut a, mut b) = (Vec::new(), Vec::new());
        shape(&TensorList::parse(&rows[0]).expect("a list"), &mut a);
        shape(&TensorList::parse(&rows[1]).expect("a list"), &mut b);
        assert_eq!(a, b, "elements are no part of it");
        shape(&list, &mut b);
        assert_ne!(a, b);
    }
}
