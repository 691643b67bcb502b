//! What the log thread counts, and the durable tick, which is one of its counters.

use std::sync::Arc;

use wasm_engine_abi::Tick;
use wasm_engine_abi::counter::{self, log};
use wasm_engine_shm::counters::{self, CounterEntry, CounterSpec, CounterWriter, CountersReader};
use wasm_engine_shm::lease::SetupError;
use wasm_engine_shm::mem::RawMem;

/// Counters of the log thread, by the indices of [`counter::log`], and a reader of one of them.
#[derive(Debug)]
pub struct LogCounters {
    pub(crate) writer: CounterWriter<RawMem>,
    pub(crate) durable: DurableTick,
}

impl LogCounters {
    /// Over the writer of [`counter::LOG`] and the section in which it writes.
    ///
    /// # Errors
    /// [`SetupError`] if the section is not one of counters.
    ///
    /// # Panics
    /// If the section lacks the log's counters.
    pub fn new(writer: CounterWriter<RawMem>, section: RawMem) -> Result<Self, SetupError> {
        let reader = CountersReader::new(section)?;
        let id = counter::id(counter::LOG[log::DURABLE_TICKS].name);
        let Some(counter) = reader.list().into_iter().find(|counter| counter.id == id) else {
            unreachable!("the section was formatted with the log's counters");
        };
        Ok(Self { writer, durable: DurableTick { reader: Arc::new(reader), counter } })
    }

    /// In memory of their own, invisible to monitors.
    pub(crate) fn heap(specs: &[CounterSpec<'_>]) -> Result<Self, SetupError> {
        let mem = RawMem::heap(counters::layout(specs)?);
        let Some(writer) = counters::format(&mem, specs)?.pop() else {
            unreachable!("a group of counters was asked for");
        };
        Self::new(writer, mem)
    }
}

/// The last tick whose `TickOpen` is durable (SEMANTICS L2). Written by the log thread, read by
/// anyone at any time; it never decreases.
#[derive(Clone, Debug)]
pub struct DurableTick {
    reader: Arc<CountersReader<RawMem>>,
    counter: CounterEntry,
}

impl DurableTick {
    /// The tick, or `None` if no `TickOpen` is durable yet.
    #[must_use]
    pub fn get(&self) -> Option<Tick> {
        self.reader.value(&self.counter)?.checked_sub(1)
    }
}
