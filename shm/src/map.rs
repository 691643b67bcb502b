//! One mapping: the memory that a region lies in, as its owner holds it.
//!
//! ```text
//!  owner                                   monitor: crate::read_map
//!  Map::memfd  create, map, populate, seal mapped read-only from /proc/PID/fd/N
//!  Map::file   create anew, map, populate  read through its path, not mapped
//!  Map::heap   tests, Miri                 a copy of saved bytes
//! ```
//! A sealed memfd can never shrink, so a monitor's read cannot raise SIGBUS, and nobody can map it
//! writable again, the owner included: it is mapped once, for life. A plain file has neither
//! property: whoever may write the file can truncate it, which its readers notice and which ends
//! the owner with SIGBUS. It exists for systems without memfd and for tools that want a path.
//!
//! What this does not do: it knows no layout; [`crate::region`] writes and checks it.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::MmapRaw;

use crate::mem::{ALIGN, Mem, RawMem};
use crate::os;

/// Largest mapping accepted, in bytes (1 TiB): beyond that a length is a mistake.
pub const LEN_MAX: u64 = 1 << 40;

/// What a map is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MapBacking {
    /// Anonymous memory whose length is sealed.
    SealedMemory,
    /// A file, or memory without seals: whoever may write it can truncate it under its readers.
    File,
    /// Memory of this process only.
    Heap,
}

/// Why memory could not be created or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The system refused.
    #[error("cannot {what} {name}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Name or path.
        name: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The length is zero, too large, or not what a mapping can have.
    #[error("{name} has {len} bytes, a region has between {ALIGN} bytes and {LEN_MAX}")]
    Length {
        /// Name or path.
        name: String,
        /// Length in bytes.
        len: u64,
    },
    /// The file has another length than its region, or cannot be read any more.
    #[error(
        "{name} was truncated or replaced: its region has {expected} bytes and it has {now}; look \
         for its owner again"
    )]
    Lost {
        /// Name or path.
        name: String,
        /// Length expected, in bytes.
        expected: u64,
        /// Length now.
        now: u64,
    },
    /// There is no memory of that length.
    #[error(
        "there is no memory of {len} bytes for a private region; lower the limits that need it"
    )]
    NoMemory {
        /// Length in bytes.
        len: u64,
    },
    /// The path names neither memory nor a regular file.
    #[error("{name} is not a regular file or memory; give the path of a region")]
    NotAFile {
        /// Path.
        name: String,
    },
}

pub(crate) fn failed(
    what: &'static str,
    name: impl Into<String>,
) -> impl FnOnce(io::Error) -> MapError {
    let name = name.into();
    move |source| MapError::Io { what, name, source }
}

/// Memory mapped into this process.
#[derive(Debug)]
pub struct Map {
    mem: RawMem,
    backing: MapBacking,
    file: Option<File>,
    /// The file to remove when the owner goes.
    owned_path: Option<PathBuf>,
}

impl Map {
    /// New sealed memory of `len_bytes` (rounded up to whole pages), mapped writable and populated.
    /// `name` only shows in `/proc`.
    ///
    /// # Errors
    /// [`MapError::Length`], or [`MapError::Io`] where the system refuses or has no such memory.
    pub fn memfd(name: &str, len_bytes: u64) -> Result<Self, MapError> {
        let map = Self::memfd_unpopulated(name, len_bytes)?;
        populate(&map.mem, 0..map.len_bytes());
        Ok(map)
    }

    /// The same with pages that get their memory when they are first used or by
    /// [`RawMem::populate`], which takes most of the time of making a map: for an owner that has
    /// better to do at first.
    ///
    /// # Errors
    /// As [`Map::memfd`].
    pub fn memfd_unpopulated(name: &str, len_bytes: u64) -> Result<Self, MapError> {
        let len_bytes = whole_pages(name, len_bytes)?;
        let file = os::memfd(name, len_bytes).map_err(failed("create sealed memory", name))?;
        let mem = map_writable(name, &file)?;
        // Where the system cannot do it later, it is done now.
        populate(&mem, 0..os::page_size());
        os::seal(&file).map_err(failed("seal memory", name))?;
        Ok(Self { mem, backing: MapBacking::SealedMemory, file: Some(file), owned_path: None })
    }

    /// New memory of `len_bytes` (rounded up to whole pages) whose length is sealed, to be mapped
    /// writable by another process too, which gets its [`Map::shared_file`].
    ///
    /// # Errors
    /// As [`Map::memfd`].
    pub fn memfd_to_share(name: &str, len_bytes: u64) -> Result<Self, MapError> {
        let len_bytes = whole_pages(name, len_bytes)?;
        let file = os::memfd(name, len_bytes).map_err(failed("create sealed memory", name))?;
        os::seal_length(&file).map_err(failed("seal memory", name))?;
        let mem = map_writable(name, &file)?;
        Ok(Self { mem, backing: MapBacking::SealedMemory, file: Some(file), owned_path: None })
    }

    /// Memory that another process made to share, mapped writable: it cannot shrink, so that no
    /// access raises a signal.
    ///
    /// # Errors
    /// [`MapError::NotAFile`] for anything else, [`MapError::Length`] or [`MapError::Io`].
    pub fn join(name: &str, file: File) -> Result<Self, MapError> {
        let facts = file.metadata().map_err(failed("inspect", name))?;
        if !facts.is_file() || !os::cannot_shrink(&file) {
            return Err(MapError::NotAFile { name: name.into() });
        }
        if !(ALIGN as u64..=LEN_MAX).contains(&facts.len()) {
            return Err(MapError::Length { name: name.into(), len: facts.len() });
        }
        let mem = map_writable(name, &file)?;
        Ok(Self { mem, backing: MapBacking::SealedMemory, file: Some(file), owned_path: None })
    }

    /// A new file of `len_bytes` (rounded up to whole pages), readable and writable by this user
    /// only, mapped writable and populated; a file of that name is unlinked first, never truncated,
    /// so that its readers keep what they have. The file is removed when the map is dropped.
    ///
    /// # Errors
    /// [`MapError::Length`] or [`MapError::Io`].
    pub fn file(path: &Path, len_bytes: u64) -> Result<Self, MapError> {
        let name = path.display().to_string();
        let len_bytes = whole_pages(&name, len_bytes)?;
        match std::fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(failed("replace", name)(source));
            }
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        os::private(&mut options);
        let file = options.open(path).map_err(failed("create", name.as_str()))?;
        file.set_len(len_bytes).map_err(failed("set the length of", name.as_str()))?;
        let mem = map_writable(&name, &file)?;
        populate(&mem, 0..mem.len_bytes());
        let owned_path = Some(path.to_path_buf());
        Ok(Self { mem, backing: MapBacking::File, file: Some(file), owned_path })
    }

    /// Zeroed memory of this process, for tests and model-checked code.
    ///
    /// # Panics
    /// If `len_bytes` is 0.
    #[must_use]
    pub fn heap(len_bytes: usize) -> Self {
        let mem = RawMem::heap(len_bytes);
        Self { mem, backing: MapBacking::Heap, file: None, owned_path: None }
    }

    /// The same, if there is memory.
    ///
    /// # Errors
    /// [`MapError::NoMemory`].
    pub fn try_heap(len: u64) -> Result<Self, MapError> {
        let mem = usize::try_from(len).ok().and_then(RawMem::try_heap);
        let mem = mem.ok_or(MapError::NoMemory { len })?;
        Ok(Self { mem, backing: MapBacking::Heap, file: None, owned_path: None })
    }

    /// The whole memory.
    #[must_use]
    pub fn mem(&self) -> RawMem {
        self.mem.clone()
    }

    /// Length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.mem.len_bytes()
    }

    /// What it is made of.
    #[must_use]
    pub fn backing(&self) -> MapBacking {
        self.backing
    }

    /// Number of the file descriptor in this process, for the descriptor file; `None` on the heap.
    #[must_use]
    pub fn fd(&self) -> Option<i32> {
        self.file.as_ref().and_then(os::fd_number)
    }

    /// The file that is mapped, to hand it over; `None` on the heap.
    #[must_use]
    pub fn shared_file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// The path of a file backing created here.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.owned_path.as_deref()
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        if let (Some(path), Some(file)) = (&self.owned_path, &self.file)
            && os::is_at(file, path)
        {
            // Nothing to do about a failure: the file may have been removed by someone else.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Rounds a length up to whole pages, in range.
fn whole_pages(name: &str, len_bytes: u64) -> Result<u64, MapError> {
    let page = os::page_size() as u64;
    match len_bytes.checked_next_multiple_of(page) {
        Some(len) if (1..=LEN_MAX).contains(&len) => Ok(len),
        _ => Err(MapError::Length { name: name.into(), len: len_bytes }),
    }
}

fn map_writable(name: &str, file: &File) -> Result<RawMem, MapError> {
    let map = MmapRaw::map_raw(file).map_err(failed("map", name))?;
    Ok(RawMem::mapping(map, true))
}

/// Gives a part of fresh memory its pages; where the system does not do that, touches them all.
fn populate(mem: &RawMem, part: Range<usize>) {
    if !mem.populate(part) {
        mem.touch(os::page_size());
    }
}
