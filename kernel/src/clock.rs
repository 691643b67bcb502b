//! The only clock of the kernel. Nothing it gives may enter a result.
//!
//! It serves pacing, telemetry, names of runs and the log's sync policy.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Longest sleep between two looks at a stop flag.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Nanoseconds of a clock that only grows, since its first use in this process.
#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
#[must_use]
pub(crate) fn now_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds since 1970 by the wall clock, which may jump.
#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
#[must_use]
pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Sleeps until [`now_ns`] reaches `deadline_ns` or `stop` is set.
#[expect(clippy::disallowed_methods, reason = "pacing sleeps here and nowhere else")]
pub(crate) fn sleep_until(deadline_ns: u64, stop: &AtomicBool) {
    // Relaxed: the flag stands for itself; nothing else is read because of it.
    while !stop.load(Ordering::Relaxed) {
        let left = deadline_ns.saturating_sub(now_ns());
        if left == 0 {
            return;
        }
        std::thread::sleep(Duration::from_nanos(left).min(POLL_INTERVAL));
    }
}
