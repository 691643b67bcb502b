//! A directory of the file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::storage::{Lock, Storage, StorageFile};

/// A directory of the file system.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// The directory at this path, which need not exist yet.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The path of a file that has a length and an end: opening a pipe would wait for its writer.
    fn regular(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.dir.join(name);
        match fs::metadata(&path)?.is_file() {
            true => Ok(path),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
        }
    }
}

/// The lock of a directory. It is given back when dropped, even while a process that was forked
/// meanwhile still has the file open.
#[derive(Debug)]
struct DirectoryLock(File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Where that fails, closing the file does it.
        let _ = self.0.unlock();
    }
}

impl Storage for Disk {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn create_dir(&self) -> io::Result<()> {
        fs::create_dir_all(&self.dir)
    }

    fn sync_parent(&self) -> Result<(), (PathBuf, io::Error)> {
        let absolute = self.dir.canonicalize().ok();
        match absolute.as_deref().and_then(Path::parent) {
            Some(parent) => sync(parent).map_err(|error| (parent.to_owned(), error)),
            None => Ok(()),
        }
    }

    fn lock(&self) -> io::Result<Option<Lock>> {
        let file = File::open(&self.dir)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            // Where directories cannot be locked, the exclusive creation of files still guards.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(Box::new(DirectoryLock(file)))),
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let name =
            |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        fs::read_dir(&self.dir)?.map(name).collect()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(DiskFile(File::open(self.regular(name)?)?)))
    }

    fn open_append(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new().read(true).append(true).open(self.regular(name)?)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .open(self.dir.join(name))?;
        Ok(Box::new(DiskFile(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync(&self.dir)
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[derive(Debug)]
struct DiskFile(File);

impl StorageFile for DiskFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buffer, offset)
    }

    #[cfg(not(unix))]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = &self.0;
        file.seek(SeekFrom::Start(offset))?;
        file.read(buffer)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    // The length is part of what a data sync makes durable, after truncation too.
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_not_waited_for() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("it starts").success());
        // If it is opened all the same, that ends too.
        let _writer = OpenOptions::new().read(true).write(true).open(&pipe).expect("it opens");
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("zero")).expect("made");
        fs::create_dir(dir.path().join("folder")).expect("made");
        let disk = Disk::new(dir.path());
        for name in ["pipe", "zero", "folder"] {
            let error = disk.open(name).expect_err("it is no regular file");
            assert_eq!(error.to_string(), "it is no regular file", "{name}");
            let error = disk.open_append(name).expect_err("it is no regular file");
            assert_eq!(error.to_string(), "it is no regular file", "{name}");
        }
    }
}
