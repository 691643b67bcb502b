//! Systems without memfd, shared futex or `/proc`: file-backed regions, short sleeps.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::mem::Ordering;
use crate::raw::BellWord;

/// Longest sleep before looking again, since nobody can wake us.
const NAP: Duration = Duration::from_micros(200);

/// Not available.
pub(crate) fn memfd(_name: &str, _len_bytes: u64) -> io::Result<File> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no sealed memory files"))
}

/// Not available.
pub(crate) fn seal(_file: &File) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no seals"))
}

/// Nothing here is sealed.
pub(crate) fn cannot_shrink(_file: &File) -> bool {
    false
}

/// Naps if the word still equals `expected`.
pub(crate) fn futex_wait(word: &BellWord, expected: u32, timeout: Option<Duration>) {
    if word.load(Ordering::Relaxed) == expected {
        std::thread::park_timeout(timeout.map_or(NAP, |limit| limit.min(NAP)));
    }
}

/// Nothing to do: sleepers look again by themselves.
pub(crate) fn futex_wake(_word: &BellWord) {}

/// This process.
pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// What can be learned about a process; as on Linux.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Process {
    /// It runs, as far as anybody knows.
    Started(u64),
    /// There is none.
    #[expect(dead_code, reason = "processes are not looked at here")]
    Gone,
    /// There is one that cannot be looked at.
    #[expect(dead_code, reason = "processes are not looked at here")]
    Hidden,
}

/// Unknown here: liveness is judged by the heartbeat alone.
pub(crate) fn process(_pid: u32) -> Process {
    Process::Started(0)
}

/// Unknown here.
pub(crate) fn pid_start_time(_pid: u32) -> Option<u64> {
    Some(0)
}

/// There are none here.
pub(crate) fn pid_namespace() -> u64 {
    0
}

/// Unknown here.
pub(crate) fn is_protected(_path: &Path) -> bool {
    false
}

/// Users are not told apart here.
pub(crate) fn owner_of(_path: &Path) -> Option<u32> {
    None
}

/// Nothing to add here.
pub(crate) fn harmless(_options: &mut OpenOptions) {}

/// Nothing to add here.
pub(crate) fn direct(_options: &mut OpenOptions) {}

/// Whether a path still names a file, this one as far as anybody knows.
pub(crate) fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Reads at a distance from the start of a file; gives the number of bytes, 0 at the end.
pub(crate) fn read_at(file: &File, dst: &mut [u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, dst, offset);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, dst, offset);
    #[cfg(not(any(unix, windows)))]
    return Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system reads files in order only",
    ));
}

/// Unknown here.
pub(crate) fn boot_id() -> [u8; 16] {
    [0; 16]
}

/// The usual size.
pub(crate) fn page_size() -> usize {
    4096
}

/// Users are not told apart here.
pub(crate) fn user_id() -> u32 {
    0
}

/// There is no such path; opening it fails and the caller explains.
pub(crate) fn fd_path(pid: u32, fd: i32) -> std::path::PathBuf {
    format!("/proc/{pid}/fd/{fd}").into()
}
