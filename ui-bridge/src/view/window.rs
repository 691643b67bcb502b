//! Growth per second, and numbers that may be missing.

use wasm_engine_abi::page::NONE_U64;

/// The time that rates are made over.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) ns: u64,
}

impl Window {
    /// Growth per second, to one decimal; 0 if there is no time or the number shrank.
    pub(super) fn rate(self, now: u64, before: Option<u64>) -> f64 {
        let grown = now.saturating_sub(before.unwrap_or(0));
        if self.ns == 0 { 0.0 } else { round(grown as f64 * 1e9 / self.ns as f64, 10.0) }
    }
}

pub(super) fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

pub(super) fn some(value: u64) -> Option<u64> {
    (value != NONE_U64).then_some(value)
}
