//! A region: one mapping, formatted once by its owner, read by anybody.
//!
//! ```text
//!  owner     RegionPlan -> Region::format -> sections opened by their protocols -> publish_ready
//!  monitor   ReadMap::open -> RegionView::attach -> read sides of the protocols
//! ```
//! The owner never reads back what it wrote here: control state is its private memory, the region
//! holds copies for others and the rings of its own threads. A region is never repaired or re-used;
//! after a restart there is a new one with another generation.
//!
//! What this does not do: the bytes of header and directory are [`crate::header`]'s, those of the
//! sections their protocols'.

use crate::header::{AttachError, HeaderReader, HeaderWriter, Identity, OwnerStatus, RegionHeader};
use crate::identity::OwnerProcess;
use crate::layout::{RegionPlan, Section, SectionKind, directory_end};
use crate::lease::SetupError;
use crate::map::{Map, MapError};
use crate::mem::{Mem, RawMem, ReadMem};
use crate::read_map::ReadMap;

/// Why a region could not be formatted or a section not be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// The map is smaller than the plan.
    #[error("the plan needs {need} bytes but the map has {have}; map `total_bytes()` of the plan")]
    TooSmall {
        /// Bytes planned.
        need: u64,
        /// Bytes mapped.
        have: u64,
    },
    /// The plan has no such section.
    #[error("the region has no section of kind {kind} with id {id}")]
    NoSection {
        /// Kind asked for.
        kind: u32,
        /// Id asked for.
        id: u32,
    },
    /// The header is leased already, or the map is read-only.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// The owner's side of a region.
#[derive(Debug)]
pub struct Region {
    map: Map,
    sections: Vec<Section>,
    identity: Identity,
    header: Option<HeaderWriter<RawMem>>,
}

impl Region {
    /// Writes header and directory into fresh, zeroed memory. Nobody can attach before
    /// [`Region::publish_ready`].
    ///
    /// # Errors
    /// [`RegionError::TooSmall`], or [`RegionError::Setup`] if the map is read-only or formatted.
    pub fn format(map: Map, plan: &RegionPlan, identity: Identity) -> Result<Self, RegionError> {
        let have = map.len_bytes() as u64;
        let need = plan.total_bytes();
        let too_small = RegionError::TooSmall { need, have };
        let header_len = usize::try_from(directory_end(plan.sections().len()));
        let head = header_len.ok().and_then(|len| map.mem().slice(0, len)).ok_or(too_small)?;
        if need > have {
            return Err(too_small);
        }
        let mut header = HeaderWriter::new(head)?;
        header.write(plan, have, &identity);
        Ok(Self { map, sections: plan.sections().collect(), identity, header: Some(header) })
    }

    /// The memory of a section, for the protocols that lie in it.
    ///
    /// # Errors
    /// [`RegionError::NoSection`].
    pub fn section(&self, kind: SectionKind, id: u32) -> Result<RawMem, RegionError> {
        find(&self.map.mem(), &self.sections, kind, id)
            .ok_or(RegionError::NoSection { kind: kind.0, id })
    }

    /// Makes the region ready for readers: call it once all sections are formatted. Returns the
    /// handle that writes the status line; `None` if it was returned before.
    pub fn publish_ready(&mut self) -> Option<HeaderWriter<RawMem>> {
        let mut header = self.header.take()?;
        header.publish_ready();
        Some(header)
    }

    /// The map, for its descriptor number and length.
    #[must_use]
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// Who formatted it.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The sections in the order of the plan.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }
}

/// A reader's side of a region: checked when attached, never written.
#[derive(Debug)]
pub struct RegionView {
    map: ReadMap,
    reader: HeaderReader<ReadMem>,
    header: RegionHeader,
}

impl RegionView {
    /// Checks a mapped region and copies its directory.
    ///
    /// # Errors
    /// [`AttachError`], naming the first thing that is wrong. The map is dropped then.
    pub fn attach(map: ReadMap) -> Result<Self, AttachError> {
        let reader = HeaderReader::open(map.mem())?;
        let header = reader.read(map.len_bytes() as u64)?;
        Ok(Self { map, reader, header })
    }

    /// Refuses a region whose sections mean something else.
    ///
    /// # Errors
    /// [`AttachError::Schema`].
    pub fn expect_schema(&self, expected: u64) -> Result<(), AttachError> {
        match self.header.identity.schema {
            found if found == expected => Ok(()),
            found => Err(AttachError::Schema { found, expected }),
        }
    }

    /// The checked copy of header and directory.
    #[must_use]
    pub fn header(&self) -> &RegionHeader {
        &self.header
    }

    /// The owner's status right now.
    #[must_use]
    pub fn status(&self) -> OwnerStatus {
        self.reader.status()
    }

    /// What is known of the owner's process from pid, start time, boot and pid namespace.
    #[must_use]
    pub fn owner(&self) -> OwnerProcess {
        OwnerProcess::of(&self.header.identity)
    }

    /// Whether the owner's process may still exist: false if it is known to be gone.
    #[must_use]
    pub fn owner_exists(&self) -> bool {
        !self.owner().is_gone()
    }

    /// Whether what was read so far was there: a plain file can be truncated at any time. Call it
    /// after reading.
    ///
    /// # Errors
    /// [`MapError::Lost`].
    pub fn check(&self) -> Result<(), MapError> {
        self.map.check()
    }

    /// The memory of a section, or `None` if the region has none of that kind and id.
    #[must_use]
    pub fn section(&self, kind: SectionKind, id: u32) -> Option<ReadMem> {
        find(&self.map.mem(), &self.header.sections, kind, id)
    }

    /// The directory entry of a section.
    #[must_use]
    pub fn entry(&self, kind: SectionKind, id: u32) -> Option<&Section> {
        self.header.sections.iter().find(|s| s.kind == kind && s.id == id)
    }

    /// Directory entry and memory of a section.
    #[must_use]
    pub fn find(&self, kind: SectionKind, id: u32) -> Option<(&Section, ReadMem)> {
        self.entry(kind, id).zip(self.section(kind, id))
    }

    /// All sections of a kind, in the order of the directory.
    pub fn sections_of(&self, kind: SectionKind) -> impl Iterator<Item = &Section> {
        self.header.sections.iter().filter(move |s| s.kind == kind)
    }

    /// The map.
    #[must_use]
    pub fn map(&self) -> &ReadMap {
        &self.map
    }
}

fn find<M: Mem>(mem: &M, sections: &[Section], kind: SectionKind, id: u32) -> Option<M> {
    let section = sections.iter().find(|s| s.kind == kind && s.id == id)?;
    mem.slice(usize::try_from(section.offset).ok()?, usize::try_from(section.len).ok()?)
}
