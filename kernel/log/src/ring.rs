//! The ring between scheduler and log thread.

use wasm_engine_shm::bytes::{Consumer, Producer, layout};
use wasm_engine_shm::counters::CounterSpec;
use wasm_engine_shm::lease::SetupError;
use wasm_engine_shm::mem::RawMem;

use crate::counters::LogCounters;

/// Both ends of the ring between scheduler and log thread, and that thread's counters.
#[derive(Debug)]
pub struct LogRing {
    /// The scheduler's end.
    pub producer: Producer<RawMem>,
    /// The log thread's end.
    pub consumer: Consumer<RawMem>,
    /// The log thread's counters.
    pub counters: LogCounters,
    /// Nanoseconds of a monotonic clock, which decides when blocks are written and synced.
    pub clock: fn() -> u64,
}

impl LogRing {
    /// Claims both ends over two zeroed blocks of [`layout`], as they lie in a region.
    ///
    /// # Errors
    /// [`SetupError`] if their sizes are wrong or they are in use.
    pub fn new(
        producer: RawMem,
        consumer: RawMem,
        counters: LogCounters,
        clock: fn() -> u64,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            producer: Producer::new(producer.clone(), consumer.clone())?,
            consumer: Consumer::new(producer, consumer)?,
            counters,
            clock,
        })
    }

    /// A ring of `capacity_bytes`, a power of two, on the heap; `specs` describe the log's
    /// counters.
    ///
    /// # Errors
    /// [`SetupError`] if the capacity is not valid for a ring.
    ///
    /// # Panics
    /// If `specs` lack one of the log's counters.
    pub fn heap(
        capacity_bytes: usize,
        specs: &[CounterSpec<'_>],
        clock: fn() -> u64,
    ) -> Result<Self, SetupError> {
        let shape = layout(capacity_bytes)?;
        let (producer, consumer) =
            (RawMem::heap(shape.producer_len), RawMem::heap(shape.consumer_len));
        Self::new(producer, consumer, LogCounters::heap(specs)?, clock)
    }
}
