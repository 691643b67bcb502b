//! Systems without memfd, shared futex or `/proc`: file-backed regions, short sleeps.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use memmap2::MmapRaw;

use crate::bell_word::BellWord;
use crate::mem::Ordering;

/// Longest sleep between two polls, since nobody can wake us.
const POLL_INTERVAL: Duration = Duration::from_micros(200);

/// Not available.
pub(crate) fn memfd(_name: &str, _len_bytes: u64) -> io::Result<File> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no sealed memory files"))
}

/// Not available.
pub(crate) fn seal(_file: &File) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no seals"))
}

/// Not available.
pub(crate) fn seal_length(_file: &File) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no seals"))
}

/// Not in one call: pages are touched one by one.
pub(crate) fn populate(_map: &MmapRaw, _part: Range<usize>) -> bool {
    false
}

/// Nothing here is sealed.
pub(crate) fn cannot_shrink(_file: &File) -> bool {
    false
}

/// Sleeps for at most the poll interval if the word still equals `expected`.
pub(crate) fn futex_wait(word: &BellWord, expected: u32, timeout: Option<Duration>) {
    if word.load(Ordering::Relaxed) == expected {
        std::thread::park_timeout(timeout.map_or(POLL_INTERVAL, |limit| limit.min(POLL_INTERVAL)));
    }
}

/// Nothing to do: sleepers poll.
pub(crate) fn futex_wake(_word: &BellWord) {}

/// This process.
pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// What can be learned about a process; as on Linux.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProcessState {
    /// It runs, as far as anybody knows; start times are unknown here, so a reused pid passes.
    Started(u64),
    /// There is none.
    #[cfg_attr(not(unix), expect(dead_code, reason = "processes are not inspected here"))]
    Gone,
    /// There is one that cannot be inspected.
    #[expect(dead_code, reason = "a process that exists counts as running here")]
    Hidden,
}

/// Inspects a process.
#[cfg(unix)]
pub(crate) fn process(pid: u32) -> ProcessState {
    match i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        Some(pid) => match rustix::process::test_kill_process(pid) {
            Err(rustix::io::Errno::SRCH) => ProcessState::Gone,
            // It exists, whether or not we may signal it.
            _ => ProcessState::Started(0),
        },
        None => ProcessState::Gone,
    }
}

/// Processes are unknown here: liveness follows from the heartbeat alone.
#[cfg(not(unix))]
pub(crate) fn process(_pid: u32) -> ProcessState {
    ProcessState::Started(0)
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

/// Unknown here.
pub(crate) fn boot_id() -> [u8; 16] {
    [0; 16]
}

/// There is no such path; opening it fails and the caller explains.
pub(crate) fn fd_path(pid: u32, fd: i32) -> std::path::PathBuf {
    format!("/proc/{pid}/fd/{fd}").into()
}
