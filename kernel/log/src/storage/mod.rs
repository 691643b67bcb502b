//! Where the files of a run lie: one directory, and the few operations that the log and the outputs
//! file need on it.
//!
//! - `disk.rs` a directory of the file system
//! - `memory.rs` files in memory with the effects of crashes and failing disks, for tests
//!   (feature `faults`)
//!
//! Nothing else in this crate calls the file system, `tamper.rs` excepted, which changes finished
//! logs.
//!
//! # What survives a crash of the machine
//! Bytes up to the file's last [`StorageFile::sync`]; of the bytes behind it any number, or zeros
//! in their place. Names as of the last [`Storage::sync_dir`]; later changes of names may survive
//! or not, each with its file. The directory itself once [`Storage::sync_parent`] has returned.
//!
//! Files of the log are created under their final names, grow, and at most lose a torn end.
//! Keyframes are written under another name and renamed when they are whole and synced.

pub mod disk;
#[cfg(any(test, feature = "faults"))]
pub mod memory;

use std::any::Any;
use std::borrow::Borrow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Holds the lock of a directory until it is dropped.
pub type Lock = Box<dyn Any + Send + Sync>;

/// The directory of one run. Names are file names without a path.
pub trait Storage: fmt::Debug + Send + Sync {
    /// The directory's path, for error messages.
    fn dir(&self) -> &Path;

    /// Creates the directory and those above it, where they are missing.
    ///
    /// # Errors
    /// The system's.
    fn create_dir(&self) -> io::Result<()>;

    /// Makes the directory's own name durable.
    ///
    /// # Errors
    /// The system's, with the path of the directory above.
    fn sync_parent(&self) -> Result<(), (PathBuf, io::Error)>;

    /// Locks the directory against other writers; `None` if another one holds the lock.
    ///
    /// # Errors
    /// The system's, if the directory cannot be opened.
    fn lock(&self) -> io::Result<Option<Lock>>;

    /// Names of all entries in any order. Characters that are not Unicode are replaced.
    ///
    /// # Errors
    /// The system's; `NotFound` if there is no directory.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// The system's; `NotFound` if there is none.
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;

    /// Opens a file for reading, appending and truncating.
    ///
    /// # Errors
    /// The system's; `NotFound` if there is none.
    fn open_append(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;

    /// Creates an empty file for appending.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` if the name is taken.
    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's; `NotFound` if there is none.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name; a file of that name is replaced.
    ///
    /// # Errors
    /// The system's; `NotFound` if there is none.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes created, renamed and removed names durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file.
pub trait StorageFile: fmt::Debug + Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// The system's.
    fn bytes(&self) -> io::Result<u64>;

    /// Reads some bytes at `offset`, 0 of them only at the end of the file or into an empty buffer.
    ///
    /// # Errors
    /// The system's; `Interrupted` if the call is to be repeated.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all bytes at the end of the file.
    ///
    /// # Errors
    /// The system's. Some of the bytes may be written then.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Shortens the file to `bytes`.
    ///
    /// # Errors
    /// The system's.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;

    /// Makes content and length durable.
    ///
    /// # Errors
    /// The system's. It is unknown then what of the bytes since the last sync is durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// Reads a file from its start on.
#[derive(Debug)]
pub(crate) struct FileReader<F> {
    file: F,
    offset: u64,
}

impl<F: Borrow<dyn StorageFile>> FileReader<F> {
    pub(crate) fn new(file: F) -> Self {
        Self { file, offset: 0 }
    }

    /// From this byte on.
    #[cfg(feature = "writer")]
    pub(crate) fn at(file: F, offset: u64) -> Self {
        Self { file, offset }
    }
}

impl<F: Borrow<dyn StorageFile>> io::Read for FileReader<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.borrow().read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
