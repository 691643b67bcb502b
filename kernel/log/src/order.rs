//! Which records may follow which.

use wasm_engine_abi::Tick;
use wasm_engine_abi::record::kind;

/// Which tick is open. Finds a record out of order, in the writer before recovery calls it damage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RecordOrder {
    /// Ticks opened, as last tick + 1.
    pub(crate) ticks: u64,
    /// Whether the last one is still open.
    pub(crate) open: bool,
}

impl RecordOrder {
    /// The order behind the last tick of a log.
    #[cfg(feature = "writer")]
    pub(crate) fn after(opened: Option<Tick>, closed: bool) -> Self {
        Self { ticks: opened.map_or(0, |tick| tick + 1), open: opened.is_some() && !closed }
    }

    /// Moves past a record; false if it is out of order.
    pub(crate) fn pass(&mut self, kind: u16, tick: Tick) -> bool {
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
