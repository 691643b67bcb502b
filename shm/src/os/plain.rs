//! Systems without modes and descriptor numbers: Windows.
//!
//! Files are as private as their directory; the temporary directory is the user's own there.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Users are not distinguished here.
pub(crate) fn user_id() -> u32 {
    0
}

/// The usual size.
pub(crate) fn page_size() -> usize {
    4096
}

/// Nothing to do: the directory decides.
pub(crate) fn private(_options: &mut OpenOptions) {}

/// Nothing blocks when it is opened.
pub(crate) fn harmless(_options: &mut OpenOptions) {}

/// Links are followed here.
pub(crate) fn direct(_options: &mut OpenOptions) {}

/// Users are not distinguished here.
pub(crate) fn owner_of(_path: &Path) -> Option<u32> {
    None
}

/// Whether a path still names a file, this one as far as anybody knows.
pub(crate) fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Reads at a distance from the start of a file; returns the number of bytes, 0 at the end.
pub(crate) fn read_at(file: &File, dst: &mut [u8], offset: u64) -> io::Result<usize> {
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, dst, offset);
    #[cfg(not(windows))]
    {
        let _ = (file, dst, offset);
        Err(io::Error::new(io::ErrorKind::Unsupported, "this system reads files in order only"))
    }
}

/// Not needed here: there is no memory to share.
pub(crate) fn read_all_at(_file: &File, _dst: &mut [u8], _offset: u64) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no memory to share"))
}

/// Not needed here, as above.
pub(crate) fn write_all_at(_file: &File, _src: &[u8], _offset: u64) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no memory to share"))
}

/// There are none here.
pub(crate) fn is_socket(_facts: &Metadata) -> bool {
    false
}

/// Creates a directory.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().create(path)
}

/// Not known here.
pub(crate) fn open_to_others(_facts: &Metadata) -> Option<&'static str> {
    None
}

/// There is none.
pub(crate) fn fd_number(_file: &File) -> Option<i32> {
    None
}
