//! The inference thread: takes records, drives the batcher, sends records back, never dies unheard.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasm_engine_abi::calls::Status;
use wasm_engine_shm::bytes::{Consumer, CorruptRing, Producer, ReserveError};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::wait::{Ringer, WaitMode, Waiter};

use crate::batcher::{Accepted, Batcher, ReplySink};
use crate::protocol::{BATCH, BatchDone, DIED, FLUSH, LAST_WORDS_MAX, STOP, panic_text};

/// The thread's end of the ring of replies.
pub(crate) struct Replies {
    ring: Producer<RawMem>,
    bell: Ringer<RawMem>,
}

impl Replies {
    pub(crate) fn new(ring: Producer<RawMem>, bell: Ringer<RawMem>) -> Self {
        Self { ring, bell }
    }

    fn publish(&mut self) {
        self.ring.publish();
        self.bell.ring();
    }
}

impl ReplySink for Replies {
    fn batch(&mut self, done: BatchDone) -> Result<(), ReserveError> {
        self.ring.push(BATCH, 0, bytemuck::bytes_of(&done))
    }

    fn row(&mut self, number: u64, row: &[f32]) -> Result<(), ReserveError> {
        let len = size_of_val(row);
        let mut grant = self.ring.reserve(len)?;
        for (slot, value) in grant.chunks_exact_mut(size_of::<f32>()).zip(row) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        grant.commit(len, (Status::Ok as i32).cast_unsigned(), number);
        Ok(())
    }

    fn failed(&mut self, number: u64) -> Result<(), ReserveError> {
        self.ring.push((Status::ModelFailed as i32).cast_unsigned(), number, &[])
    }
}

/// Everything the thread owns.
pub(crate) struct Server {
    pub(crate) batcher: Batcher,
    pub(crate) requests: Consumer<RawMem>,
    pub(crate) bell: Waiter<RawMem>,
    pub(crate) replies: Replies,
    pub(crate) wait: WaitMode,
}

/// Why the thread ends without having been told to; each is a mistake in the kernel.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error(transparent)]
    Requests(#[from] CorruptRing),
    #[error("the ring of replies: {0}")]
    Replies(#[from] ReserveError),
    #[error("a request names model {0}, which does not exist")]
    Model(u32),
}

/// The body of the thread. A panic anywhere in it reaches the scheduler like any other end.
pub(crate) fn main(mut server: Server, on_start: Option<Box<dyn FnOnce() + Send>>) {
    let served = catch_unwind(AssertUnwindSafe(|| {
        if let Some(on_start) = on_start {
            on_start();
        }
        server.serve()
    }));
    let words = match served {
        // Whoever asked it to stop waits for its end.
        Ok(Ok(())) => return server.replies.bell.ring(),
        Ok(Err(fatal)) => fatal.to_string(),
        Err(panic) => format!("it panicked: {}", panic_text(panic.as_ref())),
    };
    tracing::error!(reason = words, "the inference thread ends");
    let end = words.floor_char_boundary(LAST_WORDS_MAX);
    // Without room the scheduler still sees that the thread is gone, only without the reason.
    let _ = server.replies.ring.push(DIED, 0, &words.as_bytes()[..end]);
    server.replies.publish();
}

impl Server {
    fn serve(&mut self) -> Result<(), Fatal> {
        loop {
            let Self { requests, bell, wait, .. } = self;
            bell.wait(*wait, || requests.has_next());
            while self.requests.has_next() {
                if self.one()?.is_break() {
                    return Ok(());
                }
            }
        }
    }

    /// One record; breaks when the scheduler wants the thread to stop.
    fn one(&mut self) -> Result<ControlFlow<()>, Fatal> {
        let Self { batcher, requests, replies, .. } = self;
        let Some(record) = requests.next()? else { return Ok(ControlFlow::Continue(())) };
        let full = match record.tag {
            STOP => return Ok(ControlFlow::Break(())),
            FLUSH => {
                requests.release();
                batcher.flush(replies)?;
                replies.publish();
                return Ok(ControlFlow::Continue(()));
            }
            model => match batcher.accept(model, record.aux, &record) {
                Accepted::Waits => None,
                Accepted::Full => Some(model),
                Accepted::NoModel => return Err(Fatal::Model(model)),
            },
        };
        requests.release();
        if let Some(model) = full {
            batcher.run(model, replies)?;
            replies.publish();
        }
        Ok(ControlFlow::Continue(()))
    }
}
