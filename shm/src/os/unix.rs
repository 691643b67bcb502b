//! Unix: files and directories of one user, descriptor numbers.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// The user that owns what this process creates.
pub(crate) fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Size of a page in bytes. From the C library: rustix looks for it where valgrind hides a part of
/// what the system says, and ends the process there.
pub(crate) fn page_size() -> usize {
    page_size::get()
}

/// What is created is for this user only.
pub(crate) fn private(options: &mut OpenOptions) {
    options.mode(0o600);
}

/// Opens without blocking on a pipe and without taking a terminal.
pub(crate) fn harmless(options: &mut OpenOptions) {
    options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
}

/// As [`harmless`], and refuses a symbolic link.
pub(crate) fn direct(options: &mut OpenOptions) {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    options.custom_flags(flags.bits().cast_signed());
}

/// The user that a path belongs to, or the directory that hides it.
pub(crate) fn owner_of(path: &Path) -> Option<u32> {
    let facts = std::fs::symlink_metadata(path);
    let facts = facts.or_else(|_| std::fs::symlink_metadata(path.parent().unwrap_or(path)));
    facts.ok().map(|facts| facts.uid())
}

/// Whether a path still names this very file.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let here = file.metadata().map(|facts| (facts.dev(), facts.ino()));
    let there = std::fs::symlink_metadata(path).map(|facts| (facts.dev(), facts.ino()));
    matches!((here, there), (Ok(here), Ok(there)) if here == there)
}

/// Reads at a distance from the start of a file; returns the number of bytes, 0 at the end.
pub(crate) fn read_at(file: &File, dst: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(dst, offset)
}

/// Fills `dst` from a distance from the start of a file.
pub(crate) fn read_all_at(file: &File, dst: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(dst, offset)
}

/// Writes all of `src` at a distance from the start of a file.
pub(crate) fn write_all_at(file: &File, src: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(src, offset)
}

/// Whether it is a socket with a name.
pub(crate) fn is_socket(facts: &Metadata) -> bool {
    facts.file_type().is_socket()
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
