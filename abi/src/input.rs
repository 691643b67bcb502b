//! What an input is made of, where its source gives more than bytes.

use bytemuck::{Pod, Zeroable};

/// Bytes to a multiple of which the name of a file is filled up with zeros.
pub const FILE_NAME_ALIGN: usize = 8;

/// Head of the payload that stands for a part of a file; its name, the file's first bytes and its
/// last ones follow. In a short file these overlap.
///
/// ```text
///  0 len u64 | 8 head u32 | 12 tail u32 | 16 name u32 | 20 zero u32
/// 24 name[name], filled up to a multiple of 8 | head[head] | tail[tail]
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct FileHeader {
    /// Bytes of the file.
    pub len: u64,
    /// Bytes of its beginning that follow.
    pub head: u32,
    /// Bytes of its end that follow.
    pub tail: u32,
    /// Bytes of its name.
    pub name: u32,
    /// Always 0.
    pub zero: u32,
}

const _: () = assert!(size_of::<FileHeader>() == 24);
const _: () = assert!(size_of::<FileHeader>().is_multiple_of(FILE_NAME_ALIGN));
