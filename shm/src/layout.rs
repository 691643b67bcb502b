//! Where things lie in a region: pure arithmetic, checked, decided once.
//!
//! ```text
//! byte 0    header, first line   magic, versions, lengths, identity        (region.rs)
//! byte 128  header, status line  owner state, heartbeat                    (region.rs)
//! byte 256  directory            one 64-byte entry per section
//! ...       sections             in the order added, each 128-aligned
//! ```
//! A [`RegionPlan`] collects sections and gives each an offset. A plan that does not fit is an
//! error, never a clamp.
//!
//! What this does not do: it touches no memory and knows no protocol's inner layout; each protocol
//! has a `layout` function for its own length.

use crate::mem::ALIGN;

/// Changed when a reader of the previous layout would misread this one.
pub const LAYOUT_MAJOR: u32 = 1;

/// Bytes of the fixed header before the directory.
pub const HEADER_LEN: u64 = 256;

/// Bytes of a directory entry.
pub const ENTRY_LEN: u64 = 64;

/// Most sections a region can have; bounds the work of a reader.
pub const SECTIONS_MAX: usize = 4096;

/// Longest region, in bytes.
pub const REGION_MAX: u64 = crate::map::LEN_MAX;

/// What a section holds. A plain number in shared memory: any value is valid there, unknown ones
/// are skipped by readers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct SectionKind(pub u32);

/// Declares the kinds together with the list of them.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal,)*) => {
        impl SectionKind {
            $($(#[doc = $doc])* pub const $name: Self = Self($number);)*

            /// All kinds of this crate, each with its description.
            pub const ALL: &'static [(Self, &'static str)] =
                &[$((Self::$name, concat!($($doc),*).trim_ascii()),)*];

            /// First number that users of this crate may give to sections of their own.
            pub const USER: Self = Self(0x1_0000);
        }
    };
}

kinds! {
    /// Producer block of a bytes ring.
    BYTES_PRODUCER = 1,
    /// Consumer block of a bytes ring.
    BYTES_CONSUMER = 2,
    /// Sender block of a cell ring.
    CELL_SENDER = 3,
    /// Receiver block of a cell ring.
    CELL_RECEIVER = 4,
    /// Outbox of a lane.
    OUTBOX = 5,
    /// Spill of the scheduler: payloads that outlive a microstep.
    SPILL = 6,
    /// Broadcast ring.
    BROADCAST = 7,
    /// Snapshot page.
    PAGE = 8,
    /// Table of rows.
    ROWS = 9,
    /// Counters.
    COUNTERS = 10,
    /// Distinct errors.
    ERRORS = 11,
    /// Doorbell.
    BELL = 12,
}

/// Position of a section in the directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct SectionIndex(pub usize);

/// One section as the directory describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Section {
    /// What it holds.
    pub kind: SectionKind,
    /// Version of the inner layout of that kind; 0 if none was given.
    pub version: u32,
    /// Which one of its kind.
    pub id: u32,
    /// First byte, from the start of the region; a multiple of 128.
    pub offset: u64,
    /// Length in bytes; a multiple of 128.
    pub len: u64,
    /// Two numbers whose meaning the kind defines (slot size, row count).
    pub params: [u64; 2],
}

/// Why a section could not be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// More sections than [`SECTIONS_MAX`].
    #[error("a region has at most {SECTIONS_MAX} sections; merge some")]
    TooMany,
    /// A section of this kind and id exists already.
    #[error("section kind {kind} id {id} was added twice; give it another id", kind = kind.0)]
    Duplicate {
        /// Kind.
        kind: SectionKind,
        /// Id.
        id: u32,
    },
    /// A section without bytes, or the sum is beyond [`REGION_MAX`].
    #[error(
        "section kind {kind} id {id} with {len} bytes does not fit: a section has at least one \
         byte and a region at most {REGION_MAX}", kind = kind.0
    )]
    Length {
        /// Kind.
        kind: SectionKind,
        /// Id.
        id: u32,
        /// Length asked for.
        len: u64,
    },
}

/// The sections of a region to be.
#[derive(Clone, Debug, Default)]
pub struct RegionPlan {
    sections: Vec<Section>,
    sections_len: u64,
}

impl RegionPlan {
    /// A plan without sections.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a section of at least `len_bytes`.
    ///
    /// # Errors
    /// [`LayoutError`] if it does not fit.
    pub fn add(
        &mut self,
        kind: SectionKind,
        id: u32,
        len_bytes: u64,
    ) -> Result<SectionIndex, LayoutError> {
        self.add_with(kind, id, len_bytes, 0, [0, 0])
    }

    /// Adds a section with the version of its inner layout and two parameters for its readers.
    ///
    /// # Errors
    /// [`LayoutError`] if it does not fit.
    pub fn add_with(
        &mut self,
        kind: SectionKind,
        id: u32,
        len_bytes: u64,
        version: u32,
        params: [u64; 2],
    ) -> Result<SectionIndex, LayoutError> {
        if self.sections.len() == SECTIONS_MAX {
            return Err(LayoutError::TooMany);
        }
        if self.sections.iter().any(|s| s.kind == kind && s.id == id) {
            return Err(LayoutError::Duplicate { kind, id });
        }
        let refused = LayoutError::Length { kind, id, len: len_bytes };
        let len = len_bytes.checked_next_multiple_of(ALIGN as u64).ok_or(refused)?;
        let end = self.sections_len.checked_add(len).ok_or(refused)?;
        if len == 0 || end > REGION_MAX - directory_end(SECTIONS_MAX) {
            return Err(refused);
        }
        // The directory's length is only known at the end; until then offsets count from its end.
        let offset = self.sections_len;
        self.sections.push(Section { kind, version, id, offset, len, params });
        self.sections_len = end;
        Ok(SectionIndex(self.sections.len() - 1))
    }

    /// Length of the whole region in bytes; a multiple of 128.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        directory_end(self.sections.len()) + self.sections_len
    }

    /// The sections with their final offsets, in the order added.
    pub fn sections(&self) -> impl ExactSizeIterator<Item = Section> + '_ {
        let base = directory_end(self.sections.len());
        self.sections.iter().map(move |s| Section { offset: base + s.offset, ..*s })
    }
}

/// First byte after a directory of `count` entries, 128-aligned.
#[must_use]
pub fn directory_end(count: usize) -> u64 {
    (HEADER_LEN + count as u64 * ENTRY_LEN).next_multiple_of(ALIGN as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_aligned_and_disjoint() {
        let mut plan = RegionPlan::new();
        for id in 0..5 {
            plan.add(SectionKind::BELL, id, 1 + u64::from(id) * 100).expect("fits");
        }
        let mut end = directory_end(5);
        for section in plan.sections() {
            assert_eq!(section.offset, end);
            assert!(section.offset.is_multiple_of(128) && section.len.is_multiple_of(128));
            end = section.offset + section.len;
        }
        assert_eq!(plan.total_bytes(), end);
    }

    #[test]
    fn impossible_sections_are_refused() {
        let mut plan = RegionPlan::new();
        assert!(plan.add(SectionKind::PAGE, 0, 0).is_err());
        assert!(plan.add(SectionKind::PAGE, 0, u64::MAX).is_err());
        assert!(plan.add(SectionKind::PAGE, 0, REGION_MAX).is_err());
        plan.add(SectionKind::PAGE, 0, 1).expect("fits");
        assert_eq!(
            plan.add(SectionKind::PAGE, 0, 1),
            Err(LayoutError::Duplicate { kind: SectionKind::PAGE, id: 0 })
        );
    }
}
