//! Signals whose default would end the process without a word.

/// Lets a write beyond the limit of file sizes (`ulimit -f`) fail like any other instead of ending
/// the process.
#[cfg(unix)]
pub(crate) fn let_writes_fail() {
    use std::sync::{Arc, atomic::AtomicBool};

    /// Caught, it makes the write return `EFBIG`; nobody asks for the flag.
    const SIGXFSZ: i32 = 25;
    // Without it such a write ends the process, as it would have.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// There is no such signal.
#[cfg(not(unix))]
pub(crate) fn let_writes_fail() {}

/// Whether whoever started this process has it ignore `signal`, where that can be known.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
