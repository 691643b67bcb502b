//! What ends a run from outside: somebody who asks, or its time.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{clock, report::Ended};

/// What ends a run from outside; asked at tick boundaries and wherever the run waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halt<'a> {
    pub(crate) stop: &'a AtomicBool,
    /// On the clock of the process; none without a timeout.
    pub(crate) deadline_ns: Option<u64>,
}

impl Halt<'_> {
    /// Somebody asked.
    pub(crate) fn is_interrupted(&self) -> bool {
        // Relaxed: the flag stands for itself; nothing else is read because of it.
        self.stop.load(Ordering::Relaxed)
    }

    /// The time is up.
    pub(crate) fn is_late(&self) -> bool {
        self.deadline_ns.is_some_and(|deadline| clock::now_ns() >= deadline)
    }

    /// Why the run has to end now, if it has to.
    pub(crate) fn asked(&self) -> Option<Ended> {
        if self.is_interrupted() {
            return Some(Ended::Interrupted);
        }
        self.is_late().then_some(Ended::Timeout)
    }
}
