//! Linux: sealed memfd, shared futex, `/proc`.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use memmap2::{Advice, MmapRaw};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::thread::futex;

use crate::bell_word::BellWord;

/// The seals of a region: its length is fixed for life and no new writable mapping can be made.
const SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE).union(SealFlags::SEAL);

/// Anonymous memory with a length, not yet sealed: it must be mapped first.
pub(crate) fn memfd(name: &str, len_bytes: u64) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Never to be executed, which hardened systems demand and those before Linux 6.3 do not know.
    let file = match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(rustix::io::Errno::INVAL) => File::from(rustix::fs::memfd_create(name, flags)?),
        made => File::from(made?),
    };
    file.set_len(len_bytes)?;
    Ok(file)
}

/// Gives the pages of a part of a writable mapping their memory in one call, where touching takes
/// two page faults for each. What they hold stays. False before Linux 5.14, and where there is no
/// memory.
pub(crate) fn populate(map: &MmapRaw, part: Range<usize>) -> bool {
    map.advise_range(Advice::PopulateWrite, part.start, part.len()).is_ok()
}

/// Seals mapped memory: from now on nobody can truncate it or map it writable again.
pub(crate) fn seal(file: &File) -> io::Result<()> {
    rustix::fs::fcntl_add_seals(file, SEALS)?;
    Ok(())
}

/// Seals the length of memory that is to be mapped writable by others too.
pub(crate) fn seal_length(file: &File) -> io::Result<()> {
    let seals = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);
    rustix::fs::fcntl_add_seals(file, seals)?;
    Ok(())
}

/// Whether the file can never become shorter, so that reading its map cannot raise SIGBUS.
pub(crate) fn cannot_shrink(file: &File) -> bool {
    rustix::fs::fcntl_get_seals(file.as_fd()).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
}

/// Sleeps while the word equals `expected`. Without the private flag: sleepers and wakers may be in
/// different processes.
pub(crate) fn futex_wait(word: &BellWord, expected: u32, timeout: Option<Duration>) {
    let timeout = timeout.map(|limit| futex::Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(limit.subsec_nanos()),
    });
    // Every way of returning means the same to the caller: poll again. (Woken, changed value,
    // interrupted, timed out.)
    let _ = futex::wait(word, futex::Flags::empty(), expected, timeout.as_ref());
}

/// Wakes all sleepers on the word.
pub(crate) fn futex_wake(word: &BellWord) {
    // The call can only fail for an invalid address, and this one is a reference.
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX.unsigned_abs());
}

/// This process.
pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// What can be learned about a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProcessState {
    /// It runs; its start in clock ticks since boot, which together with the pid names it once and
    /// for all.
    Started(u64),
    /// There is none, or only its exit status is left.
    Gone,
    /// There is one, of another user, and `/proc` does not show it.
    Hidden,
}

/// Inspects a process.
pub(crate) fn process(pid: u32) -> ProcessState {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => started(&stat).map_or(ProcessState::Gone, ProcessState::Started),
        // Mounted with `hidepid`, `/proc` shows a user its own processes only; a signal that may
        // not be sent has somebody to receive it.
        Err(_) => match i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
            Some(pid) => match rustix::process::test_kill_process(pid) {
                Err(rustix::io::Errno::PERM) => ProcessState::Hidden,
                _ => ProcessState::Gone,
            },
            None => ProcessState::Gone,
        },
    }
}

/// Start time from `/proc/PID/stat`; `None` if only the exit status is left.
fn started(stat: &str) -> Option<u64> {
    // The command name is in parentheses and may itself contain anything: fields count from the
    // last parenthesis. State is field 3, the number of threads 20, start time 22.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    let threads: u64 = fields.nth(16)?.parse().ok()?;
    let start = fields.nth(1)?.parse().ok()?;
    // Ended and not yet fetched by its parent; a main thread that ended before the others looks
    // alike, but for their number.
    let ended = matches!(state, "Z" | "X") && threads <= 1;
    (!ended).then_some(start)
}

/// Start of a process in clock ticks since boot; `None` if it is gone or hidden.
pub(crate) fn pid_start_time(pid: u32) -> Option<u64> {
    match process(pid) {
        ProcessState::Started(start) => Some(start),
        ProcessState::Gone | ProcessState::Hidden => None,
    }
}

/// Number of this process' pid namespace: pids of another one mean nothing here. 0 if unknown.
pub(crate) fn pid_namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |facts| facts.ino())
}

/// Whether a path below `/proc/PID` is closed because its process is: then even its metadata are
/// refused, and not only opening what it leads to.
pub(crate) fn is_protected(path: &Path) -> bool {
    let refused = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    std::fs::metadata(path).is_err_and(refused)
}

/// Random identity of this boot: pids and start times of another boot mean nothing.
pub(crate) fn boot_id() -> [u8; 16] {
    let mut id = [0; 16];
    if let Ok(text) = std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        let digits = text.bytes().filter_map(|c| char::from(c).to_digit(16));
        for (at, digit) in digits.take(32).enumerate() {
            id[at / 2] = id[at / 2] << 4 | digit.to_le_bytes()[0];
        }
    }
    id
}

/// Where another process' descriptor can be opened.
pub(crate) fn fd_path(pid: u32, fd: i32) -> std::path::PathBuf {
    format!("/proc/{pid}/fd/{fd}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_process_is_recognised() {
        let stat = |state: &str, threads: u32| {
            let zeros = "0 ".repeat(16);
            format!("7 (a ) b) {state} {zeros}{threads} 0 4711 0 0")
        };
        assert_eq!(started(&stat("S", 1)), Some(4711));
        assert_eq!(started(&stat("T", 9)), Some(4711));
        assert_eq!(started(&stat("Z", 1)), None);
        assert_eq!(started(&stat("Z", 3)), Some(4711));
        assert_eq!(started("7 (a"), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "inspects processes")]
    fn this_process_is_found() {
        assert!(matches!(process(pid()), ProcessState::Started(_)));
        assert_eq!(process(u32::MAX), ProcessState::Gone);
        assert_ne!(pid_namespace(), 0);
    }
}
