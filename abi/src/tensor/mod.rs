//! Lists of named, typed tensors: what a model is asked with `infer_tensors`, and what it answers.
//!
//! ```text
//!  list   | version u32 = 1 | count u32 |  count values
//!  value  | port u32 | kind u32 | rank u32 | len u32 | dims u64 x rank | len bytes | zeros to 8 |
//! ```
//! All numbers are little-endian. A value's port is the number of the model's input, or of its
//! output in a reply; its kind is one of [`ValueKind`]. Elements lie in row-major order, a `bool`
//! is one byte of 0 or 1, and a dimension may be 0. So that a value has one encoding only, padding
//! is zero and a list ends with its last value.
//!
//! - *Text*: `n + 1` offsets `u32`, from 0 on and never falling, then the UTF-8 that they cut up.
//! - *Sequence*: rank 1, its dimension says how many values follow it, each with a head of its own.
//! - *Map*: rank 0; the two values that follow it are its keys and its values.
//!
//! Sequences and maps are nested at most [`DEPTH_MAX`] deep. A list that begins at a multiple of 8
//! has all its elements at multiples of 8, so they can be read in place.
//!
//! | file | what |
//! |---|---|
//! | `element.rs` | the types of elements |
//! | `read.rs` | views into a list, checked once |
//! | `write.rs` | a list written value by value |

mod element;
mod read;
mod write;

pub use self::{
    element::{Bf16Bits, BoolByte, Element, F16Bits},
    read::{BadTensors, Dims, TensorList, Texts, Value, Values},
    write::{NoRoom, SliceBuffer, TensorBuffer, TensorWriter},
};

use bytemuck::{Pod, Zeroable};

use crate::codes;

/// Version of the encoding.
pub const VERSION: u32 = 1;
/// Most dimensions of a tensor.
pub const RANK_MAX: u32 = 32;
/// How deep sequences and maps may be nested.
pub const DEPTH_MAX: u32 = 4;
/// Every value begins at a multiple of this many bytes.
pub const ALIGN: usize = 8;

codes! {
/// Kinds of value. Those of tensors have the numbers that ONNX gives their element types
/// (`TensorProto.DataType`).
enum ValueKind: u32 {
    /// 32-bit floats.
    F32 = 1 "f32",
    /// 8-bit unsigned integers.
    U8 = 2 "u8",
    /// 8-bit integers.
    I8 = 3 "i8",
    /// 16-bit unsigned integers.
    U16 = 4 "u16",
    /// 16-bit integers.
    I16 = 5 "i16",
    /// 32-bit integers.
    I32 = 6 "i32",
    /// 64-bit integers.
    I64 = 7 "i64",
    /// Texts.
    Text = 8 "text",
    /// One byte each, 0 or 1.
    Bool = 9 "bool",
    /// 16-bit floats of IEEE 754.
    F16 = 10 "f16",
    /// 64-bit floats.
    F64 = 11 "f64",
    /// 32-bit unsigned integers.
    U32 = 12 "u32",
    /// 64-bit unsigned integers.
    U64 = 13 "u64",
    /// The upper 16 bits of a 32-bit float.
    Bf16 = 16 "bf16",
    /// Values one after the other.
    Sequence = 256 "sequence",
    /// Keys and values.
    Map = 257 "map",
}
}

impl ValueKind {
    /// Bytes of one element; none of texts, sequences and maps, which have no fixed size.
    #[must_use]
    pub const fn element_bytes(self) -> Option<u32> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => Some(2),
            Self::F32 | Self::I32 | Self::U32 => Some(4),
            Self::F64 | Self::I64 | Self::U64 => Some(8),
            Self::Text | Self::Sequence | Self::Map => None,
        }
    }
}

/// How a model is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestForm {
    /// With the values of one `f32` row, for such a row.
    Row,
    /// With a list of tensors, for such a list.
    Tensors,
}

/// Head of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct ListHead {
    /// [`VERSION`].
    pub version: u32,
    /// Values that follow, those inside others not counted.
    pub count: u32,
}

/// Head of a value; its dimensions and its bytes follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct ValueHead {
    /// Number of the model's input, or of its output.
    pub port: u32,
    /// One of [`ValueKind`].
    pub kind: u32,
    /// Dimensions that follow.
    pub rank: u32,
    /// Bytes of the elements.
    pub len: u32,
}

/// Bytes that a value takes in a list: its head, `rank` dimensions, `len` bytes and their padding.
#[must_use]
pub const fn value_bytes(rank: u32, len: u64) -> u64 {
    size_of::<ValueHead>() as u64 + 8 * rank as u64 + len.next_multiple_of(ALIGN as u64)
}

/// Bytes of a list of tensors with these ranks and bytes of elements: what a buffer for it needs.
///
/// ```
/// use wasm_engine_abi::tensor::list_bytes;
///
/// // An f32 of [1, 576] and an i64 without dimensions.
/// const REQUEST: usize = list_bytes(&[(2, 4 * 576), (0, 8)]);
/// assert_eq!(REQUEST, 8 + (16 + 16 + 2304) + (16 + 8));
/// ```
#[must_use]
pub const fn list_bytes(values: &[(u32, u64)]) -> usize {
    let mut bytes = size_of::<ListHead>();
    let mut index = 0;
    while index < values.len() {
        let (rank, len) = values[index];
        bytes += value_bytes(rank, len) as usize;
        index += 1;
    }
    bytes
}

const _: () = assert!(size_of::<ListHead>() == 8);
const _: () = assert!(size_of::<ValueHead>() == 16);
