//! What can be wrong with a log's bytes. Where it is, the caller knows.

use core::fmt;

use super::block::LOG_VERSION;

/// What is wrong with bytes that should be part of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Corruption {
    /// The bytes end before the header or block does.
    Short,
    /// No segment header: other first bytes.
    SegmentMagic,
    /// A header whose checksum is wrong.
    HeaderCrc {
        /// As written.
        found: u32,
        /// As computed.
        computed: u32,
    },
    /// A sound segment header of a version this code does not know.
    Version {
        /// As written.
        found: u32,
    },
    /// A segment of another place in the log.
    SegmentNumber {
        /// As written.
        found: u32,
    },
    /// A segment or block of another run.
    RunId,
    /// It does not follow the block before.
    PreviousCrc {
        /// As written.
        found: u32,
        /// Crc of the header before.
        expected: u32,
    },
    /// The number of the block is not the next one.
    BlockNumber {
        /// As written.
        found: u64,
    },
    /// No block header: other first bytes.
    BlockMagic,
    /// A length that no block has.
    Len {
        /// As written.
        found: u32,
    },
    /// The footer is not that of this block.
    Footer,
    /// The records' checksum is wrong.
    RecordsCrc {
        /// As written.
        found: u32,
        /// As computed.
        computed: u32,
    },
    /// A record inside a block whose checksum is right is not well formed: a fault of the writer.
    Record {
        /// Byte of the record behind the block header.
        at: u32,
    },
    /// A record comes where it cannot: a fault of the writer.
    Order {
        /// Its kind.
        kind: u16,
        /// Its tick.
        tick: u64,
    },
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(f, "the file ends inside it"),
            Self::SegmentMagic => write!(f, "it does not begin as a log segment"),
            Self::HeaderCrc { found, computed } => {
                write!(f, "its header says checksum {found:08x}, its bytes give {computed:08x}")
            }
            Self::Version { found } => write!(f, "it has version {found}, known is {LOG_VERSION}"),
            Self::SegmentNumber { found } => write!(f, "it calls itself segment {found}"),
            Self::RunId => write!(f, "it belongs to another run"),
            Self::PreviousCrc { found, expected } => {
                write!(f, "it follows a block with checksum {found:08x}, not {expected:08x}")
            }
            Self::BlockNumber { found } => write!(f, "it calls itself block {found}"),
            Self::BlockMagic => write!(f, "it does not begin as a block"),
            Self::Len { found } => write!(f, "it says {found} bytes of records"),
            Self::Footer => write!(f, "its last bytes are not those of its header"),
            Self::RecordsCrc { found, computed } => {
                write!(f, "its records should have checksum {found:08x} and have {computed:08x}")
            }
            Self::Record { at } => write!(f, "its record at byte {at} is malformed"),
            Self::Order { kind, tick } => {
                write!(f, "its record of kind {kind} for tick {tick} cannot come here")
            }
        }
    }
}

impl core::error::Error for Corruption {}
