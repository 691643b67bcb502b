//! Views into a list: everything is checked once, when it is parsed, and never copied.

use core::fmt;

use bytemuck::{Pod, pod_read_unaligned};

use crate::tensor::{
    ALIGN, DEPTH_MAX, Element, ListHead, RANK_MAX, VERSION, ValueHead, ValueKind, value_bytes,
};

/// The bytes are no list of tensors: what is wrong and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadTensors {
    /// Offset of the value or of the part that does not fit.
    pub offset: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for BadTensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the list of tensors is malformed at byte {}: {}", self.offset, self.what)
    }
}

impl core::error::Error for BadTensors {}

/// A list of tensors whose every byte was checked.
#[derive(Clone, Copy, Debug)]
pub struct TensorList<'a> {
    values: &'a [u8],
    count: u32,
}

impl<'a> TensorList<'a> {
    /// Checks a list.
    ///
    /// # Errors
    /// [`BadTensors`], with the first part that does not fit.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadTensors> {
        let bad = |what| BadTensors { offset: 0, what };
        let (head, values) = split::<ListHead>(bytes).ok_or(bad("it has no head"))?;
        if head.version != VERSION {
            return Err(bad("it has another version"));
        }
        let mut rest = values;
        for _ in 0..head.count {
            rest = Parser { whole: bytes.len() }.value(rest, 0)?.1;
        }
        match rest {
            [] => Ok(Self { values, count: head.count }),
            rest => Err(BadTensors {
                offset: bytes.len() - rest.len(),
                what: "bytes follow its last value",
            }),
        }
    }

    /// Values in it, those inside others not counted.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Its values, in order.
    #[must_use]
    pub const fn iter(&self) -> Values<'a> {
        Values { rest: self.values, left: self.count }
    }

    /// The first value with this port.
    #[must_use]
    pub fn port(&self, port: u32) -> Option<Value<'a>> {
        self.iter().find(|value| value.port() == port)
    }
}

impl<'a> IntoIterator for TensorList<'a> {
    type Item = Value<'a>;
    type IntoIter = Values<'a>;

    fn into_iter(self) -> Values<'a> {
        self.iter()
    }
}

/// Values one after the other.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        // Checked when the list was parsed.
        let (value, rest) = Parser { whole: 0 }.value(self.rest, 0).ok()?;
        self.rest = rest;
        Some(value)
    }
}

/// One value: a tensor, a sequence or a map.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    head: ValueHead,
    kind: ValueKind,
    dims: &'a [u8],
    data: &'a [u8],
    /// The values inside it.
    inner: &'a [u8],
    /// All of it.
    bytes: &'a [u8],
}

impl<'a> Value<'a> {
    /// Number of the model's input, or of its output.
    #[must_use]
    pub const fn port(&self) -> u32 {
        self.head.port
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> ValueKind {
        self.kind
    }

    /// Its dimensions, outermost first: none of a scalar.
    #[must_use]
    pub const fn dims(&self) -> Dims<'a> {
        Dims { bytes: self.dims }
    }

    /// Number of its elements.
    #[must_use]
    pub fn elements(&self) -> u64 {
        // Its length was checked, so the product fits.
        self.dims().product()
    }

    /// Bytes of its elements.
    #[must_use]
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }

    /// All its bytes: head, dimensions, elements, padding and the values inside it.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its elements in place; none if they are of another type, or the list does not begin at a
    /// multiple of 8.
    #[must_use]
    pub fn as_slice<T: Element>(&self) -> Option<&'a [T]> {
        if T::KIND != self.kind {
            return None;
        }
        bytemuck::try_cast_slice(self.data).ok()
    }

    /// The element with this number in row-major order; none beyond the end or of another type.
    #[must_use]
    pub fn get<T: Element>(&self, index: usize) -> Option<T> {
        let bytes = self.data.get(index.checked_mul(size_of::<T>())?..)?.get(..size_of::<T>())?;
        (T::KIND == self.kind).then(|| pod_read_unaligned(bytes))
    }

    /// The element at these places, one for each dimension; none outside or of another type.
    #[must_use]
    pub fn at<T: Element>(&self, indices: &[usize]) -> Option<T> {
        if indices.len() != self.dims().len() {
            return None;
        }
        let mut index = 0_usize;
        for (at, dim) in indices.iter().zip(self.dims()) {
            let dim = usize::try_from(dim).ok().filter(|dim| at < dim)?;
            index = index.checked_mul(dim)?.checked_add(*at)?;
        }
        self.get(index)
    }

    /// Its texts; none of another kind.
    #[must_use]
    pub fn texts(&self) -> Option<Texts<'a>> {
        let count =
            usize::try_from(self.elements()).ok().filter(|_| self.kind == ValueKind::Text)?;
        let (offsets, text) = self.data.split_at_checked(4 * (count + 1))?;
        Some(Texts { offsets, text: core::str::from_utf8(text).ok()? })
    }

    /// The values inside a sequence, or the keys and the values of a map.
    #[must_use]
    pub fn inner(&self) -> Values<'a> {
        let left = match self.kind {
            ValueKind::Sequence => self.dims().get(0).unwrap_or(0) as u32,
            ValueKind::Map => 2,
            _ => 0,
        };
        Values { rest: self.inner, left }
    }
}

/// Dimensions of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dims<'a> {
    bytes: &'a [u8],
}

impl Dims<'_> {
    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a rank of 0 is a scalar, not emptiness")]
    pub const fn len(&self) -> usize {
        self.bytes.len() / 8
    }

    /// The one with this number, outermost first.
    #[must_use]
    pub fn get(&self, axis: usize) -> Option<u64> {
        self.bytes.as_chunks().0.get(axis).map(|bytes| u64::from_le_bytes(*bytes))
    }
}

impl Iterator for Dims<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let (first, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(u64::from_le_bytes(*first))
    }
}

/// Texts of a value.
#[derive(Clone, Debug)]
pub struct Texts<'a> {
    offsets: &'a [u8],
    text: &'a str,
}

impl<'a> Texts<'a> {
    /// The one with this number in row-major order.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a str> {
        let at = |index: usize| {
            let bytes = self.offsets.as_chunks().0.get(index)?;
            Some(u32::from_le_bytes(*bytes) as usize)
        };
        self.text.get(at(index)?..at(index.checked_add(1)?)?)
    }
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.get(0)?;
        self.offsets = self.offsets.get(4..)?;
        Some(text)
    }
}

/// Splits a struct off the beginning.
fn split<T: Pod>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (head, rest) = bytes.split_at_checked(size_of::<T>())?;
    Some((pod_read_unaligned(head), rest))
}

/// Parses values of a list of `whole` bytes.
#[derive(Clone, Copy)]
struct Parser {
    whole: usize,
}

impl Parser {
    /// One value inside `depth` others, and what follows it.
    fn value<'a>(self, bytes: &'a [u8], depth: u32) -> Result<(Value<'a>, &'a [u8]), BadTensors> {
        let bad = |what| BadTensors { offset: self.whole.saturating_sub(bytes.len()), what };
        let (head, rest) = split::<ValueHead>(bytes).ok_or(bad("a head is cut short"))?;
        let kind = ValueKind::from_code(head.kind).ok_or(bad("no kind has this number"))?;
        if head.rank > RANK_MAX {
            return Err(bad("it has too many dimensions"));
        }
        let (dims, rest) =
            rest.split_at_checked(8 * head.rank as usize).ok_or(bad("dimensions are cut short"))?;
        let padded = (head.len as usize).checked_next_multiple_of(ALIGN);
        let (data, after) =
            padded.and_then(|len| rest.split_at_checked(len)).ok_or(bad("it is cut short"))?;
        let (data, padding) = data.split_at(head.len as usize);
        if padding.iter().any(|byte| *byte != 0) {
            return Err(bad("its padding is not zero"));
        }
        let elements = Dims { bytes: dims }
            .try_fold(1_u64, u64::checked_mul)
            .ok_or(bad("its dimensions are too large"))?;
        check_data(kind, elements, data).map_err(bad)?;
        let inner = match kind {
            ValueKind::Sequence if head.rank == 1 => elements,
            ValueKind::Map if head.rank == 0 => 2,
            ValueKind::Sequence | ValueKind::Map => return Err(bad("it has other dimensions")),
            _ => 0,
        };
        let mut rest = after;
        if inner > 0 && depth == DEPTH_MAX {
            return Err(bad("it is nested too deep"));
        }
        // Each takes some bytes, so a false count ends with them.
        for _ in 0..inner {
            rest = self.value(rest, depth + 1)?.1;
        }
        let inner = &after[..after.len() - rest.len()];
        let all = &bytes[..bytes.len() - rest.len()];
        Ok((Value { head, kind, dims, data, inner, bytes: all }, rest))
    }
}

/// Whether `data` is that of `elements` elements of a kind.
fn check_data(kind: ValueKind, elements: u64, data: &[u8]) -> Result<(), &'static str> {
    let len = data.len() as u64;
    if let Some(bytes) = kind.element_bytes() {
        return match elements.checked_mul(bytes.into()) == Some(len) {
            false => Err("its length is not that of its elements"),
            true if kind == ValueKind::Bool && data.iter().any(|byte| *byte > 1) => {
                Err("a bool is neither 0 nor 1")
            }
            true => Ok(()),
        };
    }
    if kind != ValueKind::Text {
        return if data.is_empty() { Ok(()) } else { Err("it has bytes of its own") };
    }
    let split = elements.checked_add(1).and_then(|count| count.checked_mul(4));
    let split = split.and_then(|len| usize::try_from(len).ok());
    let (offsets, text) =
        split.and_then(|at| data.split_at_checked(at)).ok_or("offsets are cut short")?;
    let text = core::str::from_utf8(text).map_err(|_| "its text is not UTF-8")?;
    let mut before = None;
    for offset in offsets.as_chunks().0 {
        let offset = u32::from_le_bytes(*offset) as usize;
        // The first is 0, and none falls or cuts a character.
        if before.map_or(offset != 0, |before| offset < before) || !text.is_char_boundary(offset) {
            return Err("its offsets do not cut up its text");
        }
        before = Some(offset);
    }
    if before == Some(text.len()) { Ok(()) } else { Err("its offsets do not cut up its text") }
}

/// What a value would take, for tests of the sum.
const _: () = assert!(value_bytes(0, 0) == 16 && value_bytes(2, 9) == 48);
