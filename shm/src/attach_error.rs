//! Why a region was refused: one error per thing that can be wrong, each saying what to do.

use crate::layout::LAYOUT_MAJOR;
use crate::side::SetupError;

/// Why memory is not a region that this program can read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// Shorter than a header.
    #[error("{have} bytes are too few for a region header; this is not a region")]
    TooShort {
        /// Bytes mapped.
        have: u64,
    },
    /// The first word is zero: the owner has not finished formatting, or never will.
    #[error("the region is not ready; try again, and if it stays so its owner died while starting")]
    NotReady,
    /// The first word is something else.
    #[error("the first word is {found:#018x}, not that of a region; give the path of a region")]
    Magic {
        /// Word found.
        found: u64,
    },
    /// Written on a machine with another byte order.
    #[error("the region has another byte order (mark {found:#018x}); read it on such a machine")]
    Endian {
        /// Mark found.
        found: u64,
    },
    /// Written by a program with another layout.
    #[error(
        "the region has layout {major}.{minor}, this program reads {LAYOUT_MAJOR}.x; use the \
         monitor of the same release as the kernel"
    )]
    Version {
        /// Major version found.
        major: u32,
        /// Minor version found.
        minor: u32,
    },
    /// The sections mean something else than this program expects.
    #[error(
        "the region has schema {found:#018x}, this program reads {expected:#018x}; use the monitor \
         of the same release as the kernel"
    )]
    Schema {
        /// Schema found.
        found: u64,
        /// Schema expected.
        expected: u64,
    },
    /// A length or count in the header is invalid.
    #[error("header field {field} is {found}, which is invalid; the region is damaged")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// Value found.
        found: u64,
    },
    /// The length in the header is not the one mapped.
    #[error(
        "the header of the region names {found} bytes but {mapped} are mapped; it is damaged or \
         truncated"
    )]
    TotalLength {
        /// Length in the header.
        found: u64,
        /// Length mapped.
        mapped: u64,
    },
    /// The checksum does not fit the header and directory.
    #[error(
        "the header's checksum is {found:#018x}, that of its content {computed:#018x}; the \
         region is damaged"
    )]
    Checksum {
        /// Checksum stored.
        found: u64,
        /// Checksum of what is there.
        computed: u64,
    },
    /// A directory entry points outside, is misaligned, overlaps another or appears twice.
    #[error("section {index} (kind {kind}, id {id}) {problem}; the region is damaged")]
    Section {
        /// Position in the directory.
        index: usize,
        /// Kind.
        kind: u32,
        /// Id.
        id: u32,
        /// What is wrong.
        problem: &'static str,
    },
    /// The memory is in use for something else in this process.
    #[error(transparent)]
    Setup(#[from] SetupError),
}
