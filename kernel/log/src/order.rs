//! Which records may follow which.

use wasm_engine_abi::Tick;
use wasm_engine_abi::record::kind;

/// Which tick is open, to catch a record that cannot come (what recovery would call damage).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Order {
    /// Ticks opened, as last tick + 1.
    pub(super) ticks: u64,
    /// Whether the last one is still open.
    pub(super) open: bool,
}

impl Order {
    /// Goes past a record, or says that it cannot come.
    pub(super) fn pass(&mut self, kind: u16, tick: Tick) -> bool {
        match kind {
            kind::TICK_OPEN if tick >= self.ticks && tick < Tick::MAX && !self.open => {
                *self = Self { ticks: tick + 1, open: true };
                true
            }
            kind::TICK_CLOSE if self.open && tick + 1 == self.ticks => {
                self.open = false;
                true
            }
            kind::TICK_OPEN | kind::TICK_CLOSE => false,
            _ => true,
        }
    }
}
