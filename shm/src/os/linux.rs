//! Linux: sealed memfd, shared futex, `/proc`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::thread::futex;

use crate::raw::BellWord;

/// The seals of a region: its length is fixed for life and no new writable mapping can be made.
const SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE).union(SealFlags::SEAL);

/// Anonymous memory with a length, not yet sealed: it must be mapped first.
pub(crate) fn memfd(name: &str, len_bytes: u64) -> io::Result<File> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let file = File::from(fd);
    file.set_len(len_bytes)?;
    Ok(file)
}

/// Seals mapped memory: from now on nobody can truncate it or map it writable again.
pub(crate) fn seal(file: &File) -> io::Result<()> {
    rustix::fs::fcntl_add_seals(file, SEALS)?;
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
    // Every way of returning means the same to the caller: look again. (Woken, changed value,
    // interrupted, timed out.)
    let _ = futex::wait(word, futex::Flags::empty(), expected, timeout.as_ref());
}

/// Wakes all sleepers on the word.
pub(crate) fn futex_wake(word: &BellWord) {
    // The call can only fail for a bad address, and this one is a reference.
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX.unsigned_abs());
}

/// This process.
pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// Start of a process in clock ticks since boot, which together with the pid names it once and for
/// all; `None` if there is no such process (or `/proc` hides it).
pub(crate) fn pid_start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name is in parentheses and may itself contain anything: fields count from the
    // last parenthesis. Start time is field 22, the 20th after the name.
    let fields = &stat[stat.rfind(')')? + 1..];
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
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
