//! Finding a region by name.
//!
//! ```text
//!  runtime directory (0700, this user's)
//!    NAME.lock    locked by the owner for as long as it lives: the name is taken
//!    NAME.region  the descriptor: where the region is, replaced by atomic rename when it is ready
//! ```
//! It locates and never authorises: whoever opens the region checks everything again. A descriptor
//! can be old; its owner may be dead, its pid reused. [`open`] tells these apart.
//!
//! What this does not do: it does not wait for a name, and it removes nothing of a living owner.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

pub use crate::descriptor::{DESCRIPTOR_LEN, Descriptor, Owner, Place};
use crate::descriptor::{decode, encode};
use crate::header::Identity;
use crate::map::{Map, MapError};
use crate::os;

const NAME_MAX: usize = 64;

/// Why a name could not be claimed or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocateError {
    /// The name is not one.
    #[error(
        "{name:?} is not a name: use 1 to {NAME_MAX} of the characters A-Z a-z 0-9 . _ - and do not \
         begin with a dot"
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
    /// There is no such name.
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
    /// The descriptor is not one.
    #[error("{path} is not a descriptor of a region: {problem}; remove it if its owner is gone")]
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
        "may not open {path}: {source}; run as the same user as the kernel, or start the kernel with \
         backing = \"file\""
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

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LocateError {
    let path = path.to_path_buf();
    move |source| LocateError::Io { what, path, source }
}

/// A name that this process owns until it drops it.
#[derive(Debug)]
pub struct Claim {
    name: String,
    directory: PathBuf,
    /// Holds the lock.
    _lock: File,
}

/// Claims a name in the user's runtime directory.
///
/// # Errors
/// [`LocateError::Taken`] if a running process owns it, [`LocateError::Name`],
/// [`LocateError::Directory`] or [`LocateError::Io`].
pub fn claim(name: &str) -> Result<Claim, LocateError> {
    claim_in(&runtime_directory()?, name)
}

/// Claims a name in a directory that the caller vouches for.
///
/// # Errors
/// As [`claim`].
pub fn claim_in(directory: &Path, name: &str) -> Result<Claim, LocateError> {
    check_name(name)?;
    let path = directory.join(format!("{name}.lock"));
    // The lock file is never removed: a removed one could be locked by two owners at once.
    let lock = private_options().open(&path).map_err(failed("open", &path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LocateError::Taken { name: name.into() }),
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
    }
    let claim = Claim { name: name.into(), directory: directory.into(), _lock: lock };
    // What an owner left that was killed.
    let _ = std::fs::remove_file(claim.path());
    Ok(claim)
}

impl Claim {
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
        let mut file = private_options().open(&draft).map_err(failed("create", &draft))?;
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

impl Drop for Claim {
    fn drop(&mut self) {
        // Nothing to do about a failure; readers judge the owner by its process.
        let _ = std::fs::remove_file(self.path());
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

/// Opens the region of a name read-only, from the user's runtime directory.
///
/// # Errors
/// [`LocateError`]: not found, dead, refused.
pub fn open(name: &str) -> Result<(Descriptor, Map), LocateError> {
    open_in(&runtime_directory()?, name)
}

/// Opens the region of a name read-only, from a directory.
///
/// # Errors
/// As [`open`].
pub fn open_in(directory: &Path, name: &str) -> Result<(Descriptor, Map), LocateError> {
    check_name(name)?;
    let descriptor = read_descriptor(directory, name)?;
    let dead = || LocateError::Dead { name: name.into(), pid: descriptor.pid };
    if descriptor.owner() != Owner::Alive {
        return Err(dead());
    }
    let path = descriptor.path();
    match Map::open_read_only(&path) {
        Ok(map) => Ok((descriptor, map)),
        Err(MapError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            Err(LocateError::Refused { path, source })
        }
        // It ended between our look and the opening.
        Err(_) if descriptor.owner() != Owner::Alive => Err(dead()),
        Err(error) => Err(error.into()),
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
    let facts = std::fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
    if !facts.is_dir() {
        return Err(LocateError::Directory { path, problem: "is not a directory" });
    }
    match os::open_to_others(&facts) {
        Some(problem) => Err(LocateError::Directory { path, problem }),
        None => Ok(path),
    }
}

/// Whether the process that an identity names exists.
#[must_use]
pub fn process_exists(identity: &Identity) -> bool {
    identity.boot_id == os::boot_id()
        && os::pid_start_time(identity.pid) == Some(identity.pid_start_time)
}

fn check_name(name: &str) -> Result<(), LocateError> {
    let valid = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    let long = (1..=NAME_MAX).contains(&name.len());
    if long && !name.starts_with('.') && name.bytes().all(valid) {
        return Ok(());
    }
    Err(LocateError::Name { name: name.into() })
}

/// Read, write, create; for this user only.
fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    os::private(&mut options);
    options
}

fn read_descriptor(directory: &Path, name: &str) -> Result<Descriptor, LocateError> {
    let path = directory.join(format!("{name}.region"));
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            return Err(LocateError::NotFound { name: name.into(), directory: directory.into() });
        }
        Err(source) => return Err(failed("open", &path)(source)),
    };
    let mut bytes = Vec::with_capacity(DESCRIPTOR_LEN);
    file.take(DESCRIPTOR_LEN as u64).read_to_end(&mut bytes).map_err(failed("read", &path))?;
    decode(&bytes).map_err(|problem| LocateError::Descriptor { path, problem })
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
