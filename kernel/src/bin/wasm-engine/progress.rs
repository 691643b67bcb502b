//! The line of progress on a terminal, and log lines that do not share it.

use std::{
    io::{IsTerminal, Result, Stderr, Write, stderr},
    sync::atomic::{AtomicBool, Ordering},
};

use wasm_engine::report::{OnProgress, Progress};

use crate::terminal;

/// Time between two lines of progress.
const PROGRESS_NS: u64 = 200_000_000;
/// Back to the begin of the line, and nothing in it.
const CLEAR: &str = "\r\x1b[K";

/// Whether the line stands on the terminal. Whoever writes clears it first; it orders nothing.
static STANDS: AtomicBool = AtomicBool::new(false);

/// Shows progress, if somebody looks.
pub(crate) fn show() -> Option<OnProgress> {
    if !stderr().is_terminal() || !terminal::moves() {
        return None;
    }
    let mut next_ns = 0;
    Some(Box::new(move |progress: &Progress| {
        if progress.elapsed_ns < next_ns {
            return;
        }
        next_ns = progress.elapsed_ns + PROGRESS_NS;
        let Progress { tick, agents, messages, faults, elapsed_ns, .. } = *progress;
        let of = progress.last_tick.map_or_else(String::new, |last| format!(" of {last}"));
        let rate = tick as f64 * 1e9 / elapsed_ns.max(1) as f64;
        STANDS.store(true, Ordering::Relaxed);
        // A terminal that is gone changes nothing about the run.
        let _ = write!(
            stderr(),
            "{CLEAR}tick {tick}{of}, {rate:.0} ticks/s, {agents} agents, {messages} messages, \
             {faults} faults"
        );
    }))
}

/// Removes the line.
pub(crate) fn clear() {
    if STANDS.swap(false, Ordering::Relaxed) {
        let _ = write!(stderr(), "{CLEAR}");
    }
}

/// Standard error for log lines, each of which begins a line.
pub(crate) struct LogStream(Stderr);

impl Default for LogStream {
    fn default() -> Self {
        Self(stderr())
    }
}

impl Write for LogStream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        clear();
        self.0.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}
