//! How large the rings of inference are.
//!
//! Small requests and replies all fit, as many as the core's limits allow to be outstanding. Large
//! ones need not: the rings hold two of the largest at least, the scheduler keeps what has no room
//! in one and the inference thread waits for room in the other. A ring pads the end of its data
//! once, by less than its largest record, and holds no record larger than half of it.

use wasm_engine_shm::bytes::{self, CAPACITY_MAX, CAPACITY_MIN, UNIT};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::wait;

use crate::error::InferenceError;
use crate::protocol::{BatchDone, LAST_WORDS_MAX};
use wasm_engine_setup::{Limits, ModelSetup};

/// Bytes of a ring that holds enough, however much is outstanding.
const ENOUGH_BYTES: u64 = 4 << 20;

/// Capacities of the two rings, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InferenceLayout {
    /// Ring of requests, scheduler to inference thread.
    pub requests_capacity: usize,
    /// Ring of replies, back.
    pub replies_capacity: usize,
}

/// The zeroed memory that the two threads share: per ring the producer and the consumer block, per
/// direction a doorbell.
#[derive(Clone, Debug)]
pub struct InferenceMemory {
    /// Ring of requests.
    pub requests: (RawMem, RawMem),
    /// Ring of replies.
    pub replies: (RawMem, RawMem),
    /// Where the inference thread sleeps.
    pub requests_bell: RawMem,
    /// Where the scheduler sleeps.
    pub replies_bell: RawMem,
}

impl InferenceLayout {
    /// The rings for these limits and models.
    ///
    /// # Errors
    /// [`InferenceError::Size`].
    pub fn of(limits: &Limits, models: &[ModelSetup]) -> Result<Self, InferenceError> {
        let longest = |of: fn(&ModelSetup) -> u32| {
            models.iter().map(|model| u64::from(of(model))).max().unwrap_or(0)
        };
        let request = longest(|model| model.request_bytes_max);
        let reply = longest(|model| model.reply_bytes_max).max(LAST_WORDS_MAX as u64);
        let pending = u64::from(limits.inferences_pending_max);
        let bytes = |longest: u64, max: u32| (pending * longest).min(max.into());
        let requests = Need {
            records: pending,
            bytes: bytes(request, limits.inference_bytes_pending_max),
            longest: request,
        };
        let batch = size_of::<BatchDone>() as u64;
        let replies = Need {
            records: 2 * pending + 1,
            bytes: bytes(reply, limits.inference_reply_bytes_pending_max)
                + pending * batch
                + LAST_WORDS_MAX as u64,
            longest: reply,
        };
        // Beside the requests: as many flushes and one more, and the stop.
        let requests_capacity = requests.and_empty(pending + 2).capacity("requests")?;
        Ok(Self { requests_capacity, replies_capacity: replies.capacity("replies")? })
    }

    /// Lengths of the producer and the consumer block of the ring of requests, in bytes.
    #[must_use]
    pub fn requests_blocks(&self) -> (usize, usize) {
        blocks(self.requests_capacity)
    }

    /// Lengths of the producer and the consumer block of the ring of replies, in bytes.
    #[must_use]
    pub fn replies_blocks(&self) -> (usize, usize) {
        blocks(self.replies_capacity)
    }

    /// Memory for it on the heap, where no monitor looks at the rings.
    #[must_use]
    pub fn on_heap(&self) -> InferenceMemory {
        let ring = |(producer, consumer)| (RawMem::heap(producer), RawMem::heap(consumer));
        InferenceMemory {
            requests: ring(self.requests_blocks()),
            replies: ring(self.replies_blocks()),
            requests_bell: RawMem::heap(wait::LEN),
            replies_bell: RawMem::heap(wait::LEN),
        }
    }
}

/// A capacity that [`Need::capacity`] gave always has a layout.
fn blocks(capacity: usize) -> (usize, usize) {
    match bytes::layout(capacity) {
        Ok(layout) => (layout.producer_len, layout.consumer_len),
        Err(error) => unreachable!("{error}"),
    }
}

/// Records that a ring must hold at once: how many, their payloads' sum and the longest, in bytes.
#[derive(Clone, Copy)]
struct Need {
    records: u64,
    bytes: u64,
    longest: u64,
}

impl Need {
    /// And `records` without payload.
    fn and_empty(self, records: u64) -> Self {
        Self { records: self.records + records, ..self }
    }

    fn capacity(self, which: &'static str) -> Result<usize, InferenceError> {
        let unit = UNIT as u64;
        let record = unit + self.longest.next_multiple_of(unit);
        // Each record has a head of one unit and rounds its payload up to whole units.
        let all = self.records * (2 * unit - 1) + self.bytes + record;
        // A thread that has much to do is as fast with some of it in the ring.
        let bytes = all.min(ENOUGH_BYTES).max(2 * record).max(CAPACITY_MIN as u64);
        let bytes = bytes.next_power_of_two();
        usize::try_from(bytes)
            .ok()
            .filter(|bytes| *bytes <= CAPACITY_MAX)
            .ok_or(InferenceError::Size { which, bytes })
    }
}
