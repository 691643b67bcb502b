//! Unix: files and directories of one user, descriptor numbers.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// The user that owns what this process creates.
pub(crate) fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Size of a page in bytes.
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

/// What is created is for this user only.
pub(crate) fn private(options: &mut OpenOptions) {
    options.mode(0o600);
}

/// Opening a pipe must not block.
pub(crate) fn without_blocking(options: &mut OpenOptions) {
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
}

/// Creates a directory for this user only.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Why others could put files into a directory.
pub(crate) fn open_to_others(facts: &Metadata) -> Option<&'static str> {
    if facts.uid() != user_id() {
        Some("belongs to another user")
    } else if facts.mode() & 0o077 != 0 {
        Some("is open to other users")
    } else {
        None
    }
}

/// Number of the file's descriptor in this process.
pub(crate) fn fd_number(file: &File) -> Option<i32> {
    Some(file.as_raw_fd())
}
