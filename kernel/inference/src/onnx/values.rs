//! Between lists of tensors and the library's values.

use wasm_engine_abi::tensor::{RANK_MAX, TensorList, TensorWriter, Value, ValueKind};

use crate::list_buffer::{Line, ListBuffer};
use crate::onnx::raw::{OrtKind, OrtValue, OurMemory};

/// Memory that begins at a multiple of 64.
///
/// The library sums some tensors in another order where they begin elsewhere, so that a reply would
/// depend on what lies before its request in memory.
pub(super) struct AlignedMemory {
    lines: Vec<Line>,
    ours: OurMemory,
}

impl AlignedMemory {
    pub(super) fn new() -> Result<Self, ort::Error> {
        Ok(Self { lines: Vec::new(), ours: OurMemory::new()? })
    }

    /// Copies in what of a list does not begin at a multiple of 64.
    pub(super) fn fill(&mut self, list: &TensorList<'_>) {
        self.lines.clear();
        list.iter().for_each(|value| self.fill_value(&value));
    }

    fn fill_value(&mut self, value: &Value<'_>) {
        if must_move(value) {
            let begin = self.lines.len();
            let data = value.data();
            self.lines.resize(begin + data.len().div_ceil(Line::BYTES), Line::ZERO);
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.lines[begin..]);
            bytes[..data.len()].copy_from_slice(data);
        }
        value.inner().for_each(|inner| self.fill_value(&inner));
    }
}

/// Whether the elements of a value are read in place, and begin where they must not.
fn must_move(value: &Value<'_>) -> bool {
    value.kind().element_bytes().is_some()
        && !value.data().as_ptr().addr().is_multiple_of(Line::BYTES)
}

/// What is left of the memory that a list was copied to, in its order.
struct Moved<'m> {
    lines: &'m [Line],
}

impl<'m> Moved<'m> {
    /// The next `len` bytes, which begin at a multiple of 64.
    fn take(&mut self, len: usize) -> &'m [u8] {
        let (lines, rest) = self.lines.split_at(len.div_ceil(Line::BYTES));
        self.lines = rest;
        &bytemuck::cast_slice(lines)[..len]
    }
}

/// The values of a list by port, for `count` ports; each is there once, which was checked. What
/// does not begin at a multiple of 64 is in `memory`, which was filled from the same list.
pub(super) fn inputs<'m>(
    list: &TensorList<'m>,
    memory: &'m AlignedMemory,
    count: usize,
) -> Result<Vec<OrtValue<'m>>, ort::Error> {
    let mut moved = Moved { lines: &memory.lines };
    let missing = || ort::Error::new("an input is missing");
    // As most lists are: in the order of their ports.
    if list.iter().zip(0..).all(|(value, port)| value.port() == port) {
        let mut values = Vec::with_capacity(count);
        for value in list.iter() {
            values.push(input(&value, &memory.ours, &mut moved)?);
        }
        return if values.len() == count { Ok(values) } else { Err(missing()) };
    }
    let mut values: Vec<Option<OrtValue<'m>>> = (0..count).map(|_| None).collect();
    for value in list.iter() {
        let made = input(&value, &memory.ours, &mut moved)?;
        if let Some(slot) = values.get_mut(value.port() as usize) {
            *slot = Some(made);
        }
    }
    let all: Option<Vec<_>> = values.into_iter().collect();
    all.ok_or_else(missing)
}

fn input<'m>(
    value: &Value<'m>,
    ours: &OurMemory,
    moved: &mut Moved<'m>,
) -> Result<OrtValue<'m>, ort::Error> {
    let mut sizes = [0; RANK_MAX as usize];
    let dims = &mut sizes[..value.dims().len()];
    for (slot, dim) in dims.iter_mut().zip(value.dims()) {
        *slot = i64::try_from(dim).map_err(|_| ort::Error::new("a dimension is too large"))?;
    }
    let dims = &*dims;
    match value.kind() {
        ValueKind::Text => match value.texts() {
            Some(texts) => OrtValue::of_texts(dims, texts),
            None => Err(ort::Error::new("a text is none")),
        },
        kind @ (ValueKind::Sequence | ValueKind::Map) => {
            let inner = value.inner().map(|inner| input(&inner, ours, moved));
            let inner = inner.collect::<Result<Vec<_>, _>>()?;
            OrtValue::of_values(&inner, kind == ValueKind::Map)
        }
        kind if must_move(value) => {
            OrtValue::over(ours, kind, dims, moved.take(value.data().len()))
        }
        kind => OrtValue::over(ours, kind, dims, value.data()),
    }
}

/// Makes `reply` the list of these values, each with its port.
pub(super) fn outputs<'v>(
    values: impl Iterator<Item = (u32, &'v OrtValue<'v>)>,
    reply: &mut ListBuffer,
) -> Result<(), ort::Error> {
    reply.clear();
    let no_room = |_| ort::Error::new("an output is longer than a list can hold");
    let mut list = TensorWriter::new(reply).map_err(no_room)?;
    let mut dims = Vec::new();
    for (port, value) in values {
        output(port, value, &mut dims, &mut list)?;
    }
    let _ = list.finish();
    Ok(())
}

fn output(
    port: u32,
    value: &OrtValue<'_>,
    dims: &mut Vec<i64>,
    list: &mut TensorWriter<&mut ListBuffer>,
) -> Result<(), ort::Error> {
    let no_room = |_| ort::Error::new("an output is longer than a list can hold");
    let kind = value.kind()?;
    match kind {
        OrtKind::Tensor => {}
        OrtKind::Sequence | OrtKind::Map => {
            let inner = value.inner(kind == OrtKind::Map)?;
            match kind {
                OrtKind::Map => list.map(port),
                _ => list.sequence(port, inner.len() as u64),
            }
            .map_err(no_room)?;
            return inner.iter().try_for_each(|inner| output(port, inner, dims, list));
        }
        OrtKind::Other => return Err(ort::Error::new("an output is of no kind that lists hold")),
    }
    let elements = value.shape(dims)?;
    let elements =
        elements.ok_or_else(|| ort::Error::new("an output has elements that lists do not hold"))?;
    let mut sizes = [0; RANK_MAX as usize];
    let sizes = sizes.get_mut(..dims.len());
    let sizes = sizes.ok_or_else(|| ort::Error::new("an output has too many dimensions"))?;
    for (slot, dim) in sizes.iter_mut().zip(dims.iter()) {
        let negative = |_| ort::Error::new("an output has a negative dimension");
        *slot = u64::try_from(*dim).map_err(negative)?;
    }
    let count = sizes.iter().try_fold(1_u64, |product, size| product.checked_mul(*size));
    let count = count.and_then(|count| usize::try_from(count).ok());
    let too_long = || ort::Error::new("an output has too many elements");
    let count = count.ok_or_else(too_long)?;
    let Some(bytes) = elements.element_bytes() else {
        let (bytes, begins) = value.texts(count)?;
        let text = str::from_utf8(&bytes).map_err(|_| ort::Error::new("a text is not UTF-8"))?;
        let ends = begins.iter().skip(1).copied().chain([text.len()]);
        let texts: Option<Vec<&str>> =
            begins.iter().zip(ends).map(|(begin, end)| text.get(*begin..end)).collect();
        let texts = texts.ok_or_else(|| ort::Error::new("a text is not UTF-8"))?;
        return list.texts(port, sizes, &texts).map_err(no_room);
    };
    let len = count.checked_mul(bytes as usize).ok_or_else(too_long)?;
    list.value(port, elements, sizes, &[value.bytes(len)?]).map_err(no_room)
}
