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

use crate::{clock, report::Ended, run::halt::Halt};

/// Time between two polls.
const POLL_NS: u64 = 50_000_000;
/// What the run itself watches (a model) ends by itself in this time, with better words.
const GRACE_NS: u64 = 500_000_000;

/// Watches over the loading of a run until its first tick.
#[derive(Debug)]
pub struct Loading {
    /// Whether the loading is over: set by who ends it, the run or the watch.
    over: Arc<AtomicBool>,
    deadline_ns: Option<u64>,
}

impl Loading {
    /// Begins to watch, until it is dropped. If `stop` is set or `timeout` has passed and the run
    /// has not ended by itself half a second later, `end` is called, on a thread of its own; it is
    /// expected to end the process, for what loads cannot be interrupted.
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
            let mut asked_ns = None;
            let halt = Halt { stop: &stop, deadline_ns };
            // Relaxed, here and below: the flag stands for itself.
            while !over.load(Ordering::Relaxed) {
                let now = clock::now_ns();
                if let Some(ended) = halt.asked() {
                    let late = now - *asked_ns.get_or_insert(now) >= GRACE_NS;
                    if late && !over.swap(true, Ordering::Relaxed) {
                        return end(ended);
                    }
                }
                clock::sleep_until(now.saturating_add(POLL_NS), &over);
            }
        };
        std::thread::Builder::new().name("we-loading".to_owned()).spawn(poll)?;
        Ok(loading)
    }

    /// When the timeout is over, which began with the watch.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        self.deadline_ns
    }
}

impl Drop for Loading {
    /// The loading is over: from now on the run polls itself.
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
