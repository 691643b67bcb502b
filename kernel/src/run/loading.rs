//! The time before tick 0: data are read, modules compiled, models loaded, a log is executed again.
//! None of it asks a stop flag, and a file may be a pipe that nobody writes into; so somebody
//! else watches.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{clock, report::Ended};

/// Time between two polls.
const POLL_NS: u64 = 50_000_000;

/// Watches over the loading of a run until its first tick.
#[derive(Debug)]
pub struct Loading {
    /// Whether the loading is over: taken by who ends it, the run or the watch.
    over: Arc<AtomicBool>,
    deadline_ns: Option<u64>,
}

impl Loading {
    /// Begins to watch. If `stop` is set or `timeout` has passed before the first tick, `end` is
    /// called, on a thread of its own; it is expected to end the process, for what loads cannot be
    /// interrupted.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn watch(
        timeout: Option<Duration>,
        stop: Arc<AtomicBool>,
        end: impl FnOnce(Ended) + Send + 'static,
    ) -> io::Result<Self> {
        let after = |timeout: Duration| {
            let ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            clock::now_ns().saturating_add(ns)
        };
        let deadline_ns = timeout.map(after);
        let over = Arc::new(AtomicBool::new(false));
        let loading = Self { over: Arc::clone(&over), deadline_ns };
        let poll = move || {
            // Relaxed, here and below: the flags stand for themselves.
            while !over.load(Ordering::Relaxed) {
                let now = clock::now_ns();
                let late = deadline_ns.is_some_and(|deadline| now >= deadline);
                let stopped = stop.load(Ordering::Relaxed);
                if (late || stopped) && !over.swap(true, Ordering::Relaxed) {
                    return end(if stopped { Ended::Interrupted } else { Ended::Timeout });
                }
                let next = now.saturating_add(POLL_NS);
                clock::sleep_until(next.min(deadline_ns.unwrap_or(u64::MAX)), &stop);
            }
        };
        std::thread::Builder::new().name("we-loading".to_owned()).spawn(poll)?;
        Ok(loading)
    }

    /// The loading is over: from now on the run polls itself, until this time.
    pub(crate) fn done(self) -> Option<u64> {
        self.over.store(true, Ordering::Relaxed);
        self.deadline_ns
    }
}
