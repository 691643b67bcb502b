//! The clock of a simulation: it stands still until it is set on.

use std::cell::Cell;

thread_local! {
    static NOW_NS: Cell<u64> = const { Cell::new(0) };
}

/// Nanoseconds since the simulation began; the log reads this one.
pub(crate) fn now_ns() -> u64 {
    NOW_NS.get()
}

/// Sets it on.
pub(crate) fn advance(ns: u64) {
    NOW_NS.set(NOW_NS.get().saturating_add(ns));
}

/// Puts it to zero: a simulation depends on its seed alone, not on the one before.
pub(crate) fn reset() {
    NOW_NS.set(0);
}
