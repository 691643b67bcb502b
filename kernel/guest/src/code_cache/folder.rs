//! A folder of this user's own: whom it belongs to, its key, and files that are there whole or not
//! at all.
//!
//! Everything is done from the opened folder, so that what was checked is what is used, whatever
//! its path comes to mean later. It knows no modules: a file is a name and bytes.

use std::fs::{DirBuilder, File};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, fstat,
    linkat, openat, renameat, statat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::error::CacheError;

const KEY: &str = "key";
const KEY_BYTES: usize = 32;
/// What a file is called until it is whole; what a killed process left is pruned like any other.
const UNFINISHED: &str = "new-";
/// Characters of a finished file's name.
const NAME_LEN: usize = 64;

/// An opened folder that nobody else can write into.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    dir: OwnedFd,
}

/// A file that may be removed.
struct KeptFile {
    name: String,
    /// When it was used last.
    used: (i64, i64),
    bytes: u64,
}

impl Folder {
    /// Opens the folder at `path`, which is made if missing, with its parents.
    pub(super) fn open(path: &Path) -> std::result::Result<Self, CacheError> {
        let failed = |source| CacheError::Io { path: path.to_owned(), source };
        match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            // A file or a dangling link has the name; opening says so.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let distrusted = |problem| CacheError::Distrusted { path: path.to_owned(), problem };
        let dir = openat(CWD, path, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOTDIR | Errno::LOOP => distrusted("is a link or no directory"),
            error => failed(error.into()),
        })?;
        let facts = fstat(&dir).map_err(|error| failed(error.into()))?;
        match problem(&facts, Mode::WGRP | Mode::WOTH) {
            Some(problem) => Err(distrusted(problem)),
            None => Ok(Self { path: path.to_owned(), dir }),
        }
    }

    /// The key, which is made if missing.
    pub(super) fn key(&self) -> std::result::Result<[u8; KEY_BYTES], CacheError> {
        let path = self.path.join(KEY);
        let failed = |source| CacheError::Io { path: path.clone(), source };
        let file = match self.open_file(KEY) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make_key().map_err(failed)?;
                self.open_file(KEY)
            }
            opened => opened,
        };
        let file = file.map_err(failed)?;
        let facts = fstat(&file).map_err(|error| failed(error.into()))?;
        let distrusted = |problem| CacheError::Distrusted { path: path.clone(), problem };
        if let Some(problem) = problem(&facts, Mode::RWXG | Mode::RWXO) {
            return Err(distrusted(problem));
        }
        let bytes = contents(file, KEY_BYTES as u64).map_err(failed)?;
        <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| distrusted("is not a key of 32 bytes"))
    }

    /// Makes the key, unless another process is faster. It reaches the disk before it has its name:
    /// a key that a crash cut short would stay so.
    fn make_key(&self) -> Result<()> {
        let mut key = [0; KEY_BYTES];
        random(&mut key)?;
        let unfinished = self.write_unfinished(&[&key], true)?;
        let made = linkat(&self.dir, &unfinished, &self.dir, KEY, AtFlags::empty());
        self.remove(&unfinished);
        match made.map_err(Error::from) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// The content of the file `name`, of at most `bytes_max` bytes.
    pub(super) fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>> {
        contents(self.open_file(name)?, bytes_max)
    }

    /// Notes that the file `name` was used now.
    pub(super) fn touch(&self, name: &str) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        // Without it the file is removed earlier.
        let _ = utimensat(&self.dir, name, &times, AtFlags::SYMLINK_NOFOLLOW);
    }

    /// Writes the file `name` anew; whoever reads it meanwhile finds the old or the new one, whole.
    pub(super) fn write(&self, name: &str, parts: &[&[u8]]) -> Result<()> {
        let unfinished = self.write_unfinished(parts, false)?;
        renameat(&self.dir, &unfinished, &self.dir, name).map_err(|error| {
            self.remove(&unfinished);
            error.into()
        })
    }

    /// Writes `parts` into a file of this user's alone, and gives its name.
    fn write_unfinished(&self, parts: &[&[u8]], durably: bool) -> Result<String> {
        let mut unique = [0; 8];
        random(&mut unique)?;
        let name = format!("{UNFINISHED}{:016x}", u64::from_ne_bytes(unique));
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.dir, &name, flags, Mode::RUSR | Mode::WUSR)?);
        let mut write = || {
            parts.iter().try_for_each(|part| file.write_all(part))?;
            if durably { file.sync_all() } else { Ok(()) }
        };
        match write() {
            Ok(()) => Ok(name),
            Err(error) => {
                self.remove(&name);
                Err(error)
            }
        }
    }

    /// Removes what was not used for the longest time, until the rest is within both bounds.
    pub(super) fn prune(&self, files_max: usize, bytes_max: u64) {
        let Ok(mut entries) = self.entries() else { return };
        entries.sort_unstable_by_key(|entry| entry.used);
        let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let mut files = entries.len();
        for entry in &entries {
            if files <= files_max && bytes <= bytes_max {
                return;
            }
            self.remove(&entry.name);
            (files, bytes) = (files - 1, bytes - entry.bytes);
        }
    }

    /// The files that are the cache's, but for the key.
    fn entries(&self) -> Result<Vec<KeptFile>> {
        let mut entries = Vec::new();
        for found in Dir::read_from(&self.dir)? {
            let found = found?;
            let Ok(name) = found.file_name().to_str() else { continue };
            let finished = name.len() == NAME_LEN && name.bytes().all(|c| c.is_ascii_hexdigit());
            if !finished && !name.starts_with(UNFINISHED) {
                continue;
            }
            // Another process may have removed it.
            let Ok(facts) = statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let used = (facts.st_mtime, facts.st_mtime_nsec as i64);
            let bytes = u64::try_from(facts.st_size).unwrap_or(0);
            entries.push(KeptFile { name: name.to_owned(), used, bytes });
        }
        Ok(entries)
    }

    /// Removes a file; another process may have done so.
    fn remove(&self, name: &str) {
        let _ = unlinkat(&self.dir, name, AtFlags::empty());
    }

    /// Opens the file `name` to read it: itself, no link, and without waiting for a pipe.
    fn open_file(&self, name: &str) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(openat(&self.dir, name, flags, Mode::empty())?.into())
    }
}

/// What is wrong with a folder or a file of these facts, if others may do what `closed` says.
fn problem(facts: &Stat, closed: Mode) -> Option<&'static str> {
    if facts.st_uid != rustix::process::geteuid().as_raw() {
        return Some("belongs to another user");
    }
    let open = Mode::from_raw_mode(facts.st_mode).intersects(closed);
    open.then_some("is open to other users")
}

/// All of a regular file of at most `bytes_max` bytes.
fn contents(file: File, bytes_max: u64) -> Result<Vec<u8>> {
    let facts = fstat(&file)?;
    let bytes = u64::try_from(facts.st_size).unwrap_or(u64::MAX);
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile || bytes > bytes_max {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    file.take(bytes_max).read_to_end(&mut content)?;
    Ok(content)
}

/// Fills `bytes` from the system's source of random bytes.
fn random(bytes: &mut [u8]) -> Result<()> {
    File::open("/dev/urandom")?.read_exact(bytes)
}
