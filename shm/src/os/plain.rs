//! Systems without modes and descriptor numbers: Windows.
//!
//! Files are as private as their directory; the temporary directory is the user's own there.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Users are not told apart here.
pub(crate) fn user_id() -> u32 {
    0
}

/// The usual size.
pub(crate) fn page_size() -> usize {
    4096
}

/// Nothing to say: the directory decides.
pub(crate) fn private(_options: &mut OpenOptions) {}

/// Nothing blocks when it is opened.
pub(crate) fn without_blocking(_options: &mut OpenOptions) {}

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
