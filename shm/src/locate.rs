//! Finding a region by name.
//!
//! ```text
//!  runtime directory (0700, this user's)
//!    NAME.lock    locked by the owner for as long as it lives: the name is taken
//!    NAME.region  the descriptor: where the region is, replaced by atomic rename when it is ready
//! ```
//! It locates and never authorises: whoever opens the region checks everything again. A descriptor
//! can be old; its owner may be dead, its pid reused, or mean nothing here because the owner lives
//! in another pid namespace. [`open`] distinguishes these.
//!
//! A name is owned by a lock *and* a descriptor: whoever removes the lock file of a running owner
//! does not pass its name to a second one.
//!
//! What this does not do: it does not wait for a name, and it removes nothing of a living owner.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::descriptor::{DESCRIPTOR_LEN, Descriptor, RegionLocation, WRITTEN_LEN, field};
use crate::descriptor::{decode, encode};
pub use crate::identity::OwnerProcess;
use crate::map::MapError;
use crate::os;
use crate::read_map::ReadMap;

const NAME_MAX: usize = 64;

/// Attempts to lock a name, and the pause between two: a reader that asks whether the name is owned
/// holds the lock for a moment, and a lock file may be removed while it is opened.
const LOCK_ATTEMPTS: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// Why a name could not be locked or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocateError {
    /// The name is not valid.
    #[error(
        "{name:?} is not a valid name: use 1 to {NAME_MAX} of the characters A-Z a-z 0-9 . _ - and \
         do not begin with a dot"
    )]
    Name {
        /// Name given.
        name: String,
    },
    /// Another process owns the name.
    #[error("the name {name} is taken by a running process; choose another or stop that one")]
    Taken {
        /// Name given.
        name: String,
    },
    /// No region has the name.
    #[error("there is no region named {name} in {directory}; is the kernel running?")]
    NotFound {
        /// Name given.
        name: String,
        /// Directory looked into.
        directory: PathBuf,
    },
    /// The owner is gone.
    #[error("the owner of {name} (pid {pid}) is not running any more; start it again")]
    Dead {
        /// Name given.
        name: String,
        /// Pid of the owner.
        pid: u32,
    },
    /// The owner lives in another pid namespace, where its memory cannot be reached from here.
    #[error(
        "the owner of {name} (pid {pid} there) runs in another pid namespace, such as a container, \
         and its memory cannot be opened from here; run this program in that namespace, or start \
         the kernel with backing = \"file\" in a directory that both see"
    )]
    OtherNamespace {
        /// Name given.
        name: String,
        /// Pid of the owner, in its own namespace.
        pid: u32,
    },
    /// It is another user's.
    #[error("{path} belongs to user {uid} and this is user {own_uid}; run as user {uid}")]
    OtherUser {
        /// Path that was refused.
        path: PathBuf,
        /// User that it belongs to.
        uid: u32,
        /// User that asked.
        own_uid: u32,
    },
    /// The owner is this user's, and closed to inspection all the same.
    #[error(
        "the owner of {name} (pid {pid}) is closed to inspection: it is not dumpable, or has \
         privileges that this program lacks; start it without them, or with backing = \"file\""
    )]
    Protected {
        /// Name given.
        name: String,
        /// Pid of the owner.
        pid: u32,
    },
    /// The file is not a valid descriptor.
    #[error(
        "{path} is not a valid descriptor of a region: {problem}; remove it if its owner is gone"
    )]
    Descriptor {
        /// Path of the descriptor.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// The runtime directory belongs to somebody else or is open to others.
    #[error("{path} {problem}; set XDG_RUNTIME_DIR to a directory of your own with mode 0700")]
    Directory {
        /// Path of the directory.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// The system refuses to open another process' memory.
    #[error(
        "may not open {path}: {source}; run as the same user as the kernel, or start the kernel \
         with backing = \"file\""
    )]
    Refused {
        /// Path tried.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The system failed.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Path.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The region cannot be mapped.
    #[error(transparent)]
    Map(#[from] MapError),
}

pub(crate) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LocateError {
    let path = path.to_path_buf();
    move |source| LocateError::Io { what, path, source }
}

/// A name that this process owns until it drops the lock.
#[derive(Debug)]
pub struct NameLock {
    name: String,
    directory: PathBuf,
    /// Holds the lock.
    lock: File,
}

/// Locks a name in the user's runtime directory.
///
/// # Errors
/// [`LocateError::Taken`] if a running process owns it, [`LocateError::Name`],
/// [`LocateError::Directory`] or [`LocateError::Io`].
pub fn lock(name: &str) -> Result<NameLock, LocateError> {
    lock_in(&runtime_directory()?, name)
}

/// Locks a name in a directory that the caller vouches for.
///
/// # Errors
/// As [`lock`].
pub fn lock_in(directory: &Path, name: &str) -> Result<NameLock, LocateError> {
    check_name(name)?;
    let path = directory.join(format!("{name}.lock"));
    for attempt in 1..=LOCK_ATTEMPTS {
        // The lock file is never removed by us: a removed one could be locked by two owners at
        // once.
        let lock = open_private(&path)?;
        match lock.try_lock() {
            Ok(()) if os::is_at(&lock, &path) => return take(directory, name, lock),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
        if attempt < LOCK_ATTEMPTS {
            std::thread::park_timeout(LOCK_PAUSE);
        }
    }
    Err(LocateError::Taken { name: name.into() })
}

/// Takes a name whose lock is held, unless its descriptor names another process that runs.
fn take(directory: &Path, name: &str, lock: File) -> Result<NameLock, LocateError> {
    if let Ok(left) = read_descriptor(directory, name)
        && left.owner() == OwnerProcess::Alive
        && left.pid != os::pid()
    {
        return Err(LocateError::Taken { name: name.into() });
    }
    let name_lock = NameLock { name: name.into(), directory: directory.into(), lock };
    // What an owner left that was killed.
    let _ = std::fs::remove_file(name_lock.path());
    Ok(name_lock)
}

impl NameLock {
    /// Publishes where the region is, replacing an older descriptor in one step. Call it when the
    /// region is ready.
    ///
    /// # Errors
    /// [`LocateError::Io`], or [`LocateError::Descriptor`] if the path is too long.
    pub fn publish(&self, descriptor: &Descriptor) -> Result<(), LocateError> {
        let path = self.path();
        let problem = "the path of the region is too long";
        let bytes = encode(descriptor)
            .ok_or_else(|| LocateError::Descriptor { path: path.clone(), problem })?;
        let draft = self.directory.join(format!(".{}.region.new", self.name));
        let mut file = open_private(&draft)?;
        file.set_len(0).map_err(failed("empty", &draft))?;
        file.write_all(&bytes).map_err(failed("write", &draft))?;
        std::fs::rename(&draft, &path).map_err(failed("rename", &draft))
    }

    /// Path of the descriptor.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(format!("{}.region", self.name))
    }

    /// A path for a file-backed region of this name.
    #[must_use]
    pub fn file_path(&self) -> PathBuf {
        self.directory.join(format!("{}.bytes", self.name))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for NameLock {
    fn drop(&mut self) {
        // Not ours if somebody took the name all the same.
        let ours = read_descriptor(&self.directory, &self.name).map(|d| d.pid == os::pid());
        if ours.unwrap_or(true) {
            // A failure changes nothing: readers classify the owner by its process.
            let _ = std::fs::remove_file(self.path());
        }
        // Closing would not do: a child that the host's process is just forking has the same open
        // file until it executes its program. A failure leaves the lock to the closing.
        let _ = self.lock.unlock();
    }
}

/// One name found.
#[derive(Debug)]
pub struct Found {
    /// The name.
    pub name: String,
    /// Its descriptor, or why there is none.
    pub descriptor: Result<Descriptor, LocateError>,
}

/// All names in the user's runtime directory, sorted; of dead owners too.
///
/// # Errors
/// [`LocateError::Directory`] or [`LocateError::Io`].
pub fn list() -> Result<Vec<Found>, LocateError> {
    list_in(&runtime_directory()?)
}

/// All names in a directory, sorted.
///
/// # Errors
/// [`LocateError::Io`].
pub fn list_in(directory: &Path) -> Result<Vec<Found>, LocateError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed("list", directory))? {
        let file_name = entry.map_err(failed("list", directory))?.file_name();
        let Some(name) = file_name.to_str().and_then(|n| n.strip_suffix(".region")) else {
            continue;
        };
        if check_name(name).is_ok() {
            let descriptor = read_descriptor(directory, name);
            found.push(Found { name: name.into(), descriptor });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// What is known of the owner of a name: as [`Descriptor::owner`], but where its pid means nothing
/// the lock of the name shows whether it ended.
///
/// # Errors
/// [`LocateError::Io`].
pub fn owner_in(
    directory: &Path,
    name: &str,
    of: &Descriptor,
) -> Result<OwnerProcess, LocateError> {
    match of.owner() {
        OwnerProcess::OtherNamespace if !is_locked(directory, name)? => Ok(OwnerProcess::Dead),
        owner => Ok(owner),
    }
}

/// Opens the region of a name read-only, from the user's runtime directory.
///
/// # Errors
/// [`LocateError`]: not found, dead, in another namespace, another user's, protected, refused.
pub fn open(name: &str) -> Result<(Descriptor, ReadMap), LocateError> {
    open_in(&runtime_directory()?, name)
}

/// Opens the region of a name read-only, from a directory.
///
/// # Errors
/// As [`open`].
pub fn open_in(directory: &Path, name: &str) -> Result<(Descriptor, ReadMap), LocateError> {
    check_name(name)?;
    let descriptor = read_descriptor(directory, name)?;
    let pid = descriptor.pid;
    let dead = || LocateError::Dead { name: name.into(), pid };
    match (owner_in(directory, name, &descriptor)?, &descriptor.location) {
        (OwnerProcess::Dead | OwnerProcess::OtherBoot, _) => return Err(dead()),
        (OwnerProcess::OtherNamespace, RegionLocation::Fd(_)) => {
            return Err(LocateError::OtherNamespace { name: name.into(), pid });
        }
        _ => {}
    }
    let path = descriptor.path();
    let map = match ReadMap::open(&path) {
        Ok(map) => map,
        // It ended between our check and the opening.
        Err(_) if descriptor.owner().is_gone() => return Err(dead()),
        Err(MapError::Io { source, .. }) if is_refusal(&source, &descriptor) => {
            return Err(refusal(directory, name, &descriptor, source));
        }
        Err(error) => return Err(error.into()),
    };
    let (expected, now) = (descriptor.total_len, map.len_bytes() as u64);
    if now != expected {
        return Err(MapError::Lost { name: path.display().to_string(), expected, now }.into());
    }
    Ok((descriptor, map))
}

/// Whether a region is there but closed to us. A process that `/proc` hides has no files there.
fn is_refusal(source: &io::Error, descriptor: &Descriptor) -> bool {
    source.kind() == io::ErrorKind::PermissionDenied || descriptor.owner() == OwnerProcess::Hidden
}

/// Why the region of a living owner may not be opened.
fn refusal(directory: &Path, name: &str, of: &Descriptor, source: io::Error) -> LocateError {
    let path = of.path();
    let owned = match of.location {
        // The descriptor is the owner's; the files in `/proc` may be root's.
        RegionLocation::Fd(_) => directory.join(format!("{name}.region")),
        RegionLocation::File(_) => path.clone(),
    };
    let own_uid = os::user_id();
    match os::owner_of(&owned) {
        Some(uid) if uid != own_uid => LocateError::OtherUser { path, uid, own_uid },
        _ if matches!(of.location, RegionLocation::Fd(_)) && os::is_protected(&path) => {
            LocateError::Protected { name: name.into(), pid: of.pid }
        }
        _ => LocateError::Refused { path, source },
    }
}

/// Whether somebody holds the lock of a name, in whatever namespace. Holds it, shared with others
/// who ask, for the moment of the question.
fn is_locked(directory: &Path, name: &str) -> Result<bool, LocateError> {
    let path = directory.join(format!("{name}.lock"));
    let mut options = OpenOptions::new();
    options.read(true);
    os::direct(&mut options);
    let lock = match options.open(&path) {
        Ok(lock) => lock,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(failed("open", &path)(source)),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
    }
}

/// The user's runtime directory: `XDG_RUNTIME_DIR`, else a directory of the user's own in the
/// temporary directory, made if missing.
///
/// # Errors
/// [`LocateError::Directory`] if it belongs to another user or others may enter it.
pub fn runtime_directory() -> Result<PathBuf, LocateError> {
    let path = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => std::env::temp_dir().join(format!("wasm-engine-{}", os::user_id())),
    };
    match os::create_private_directory(&path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("create", &path)(source));
        }
        _ => {}
    }
    check_directory(path)
}

/// Refuses a directory in which others could put descriptors.
fn check_directory(path: PathBuf) -> Result<PathBuf, LocateError> {
    let facts = std::fs::symlink_metadata(&path).map_err(failed("inspect", &path))?;
    if !facts.is_dir() {
        return Err(LocateError::Directory { path, problem: "is not a directory" });
    }
    match os::open_to_others(&facts) {
        Some(problem) => Err(LocateError::Directory { path, problem }),
        None => Ok(path),
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), LocateError> {
    let valid = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    let long = (1..=NAME_MAX).contains(&name.len());
    if long && !name.starts_with('.') && name.bytes().all(valid) {
        return Ok(());
    }
    Err(LocateError::Name { name: name.into() })
}

/// Opens a file for reading and writing, creates it if missing; for this user only, never through
/// a symbolic link, never a pipe.
pub(crate) fn open_private(path: &Path) -> Result<File, LocateError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    os::private(&mut options);
    os::direct(&mut options);
    let file = options.open(path).map_err(failed("open", path))?;
    check_regular(&file, path)?;
    Ok(file)
}

fn check_regular(file: &File, path: &Path) -> Result<(), LocateError> {
    match file.metadata().map_err(failed("inspect", path))?.is_file() {
        true => Ok(()),
        false => Err(LocateError::Descriptor {
            path: path.into(),
            problem: "it is a pipe, a device or a directory",
        }),
    }
}

fn read_descriptor(directory: &Path, name: &str) -> Result<Descriptor, LocateError> {
    let path = directory.join(format!("{name}.region"));
    let mut options = OpenOptions::new();
    options.read(true);
    os::direct(&mut options);
    let file = match options.open(&path) {
        Ok(file) => file,
        Err(source) => return Err(no_descriptor(directory, name, path, source)),
    };
    check_regular(&file, &path)?;
    let mut bytes = Vec::with_capacity(WRITTEN_LEN);
    file.take(WRITTEN_LEN as u64).read_to_end(&mut bytes).map_err(failed("read", &path))?;
    decode(&bytes).map_err(|problem| LocateError::Descriptor { path, problem })
}

/// Why a descriptor could not be opened.
fn no_descriptor(directory: &Path, name: &str, path: PathBuf, source: io::Error) -> LocateError {
    let own_uid = os::user_id();
    match (source.kind(), os::owner_of(&path)) {
        (io::ErrorKind::NotFound, _) => {
            LocateError::NotFound { name: name.into(), directory: directory.into() }
        }
        (io::ErrorKind::PermissionDenied, Some(uid)) if uid != own_uid => {
            LocateError::OtherUser { path, uid, own_uid }
        }
        _ if std::fs::symlink_metadata(&path).is_ok_and(|facts| facts.is_symlink()) => {
            LocateError::Descriptor { path, problem: "it is a symbolic link" }
        }
        _ => failed("open", &path)(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_directory() {
        for name in ["", ".", "..", ".a", "a/b", "a b", "ä", &"a".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        check_name("Weather-1_b.x").expect("a good name");
    }
}
