//! Sockets at which a kernel listens: where they are, and who may.
//!
//! What this does not do: it opens no socket.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::locate::{LocateError, check_name, failed, open_private, runtime_directory};
use crate::os;

/// Where the kernel of a name listens for the feeders of one of its sources; `source` is in the
/// form of a name of a kernel. No kernel has a name with such an ending, and no other kernel and
/// source have this path.
///
/// # Errors
/// [`LocateError::Name`], or as [`runtime_directory`].
pub fn feed_socket(name: &str, source: &str) -> Result<PathBuf, LocateError> {
    check_name(name)?;
    check_name(source)?;
    Ok(runtime_directory()?.join(format!("{name}+{source}.feed")))
}

/// Locks the path of a socket for the one who listens there, through a file beside it that stays,
/// and removes what a listener left that was killed: a socket, never anything else. Others who
/// listen there are refused as long as the lock lives.
///
/// # Errors
/// [`LocateError::Taken`] or [`LocateError::Io`].
pub fn lock_socket(path: &Path) -> Result<File, LocateError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let lock = open_private(Path::new(&beside))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(LocateError::Taken { name: path.display().to_string() });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", path)(source)),
    }
    if std::fs::symlink_metadata(path).is_ok_and(|facts| os::is_socket(&facts)) {
        std::fs::remove_file(path).map_err(failed("replace", path))?;
    }
    Ok(lock)
}
