//! The inference thread: takes records, drives the batcher, sends records back, never dies unheard.
//!
//! | ring | tag | aux | payload |
//! |---|---|---|---|
//! | requests | model handle | number | one row, or nothing if it did not fit |
//! | requests | [`FLUSH`], [`STOP`] | 0 | - |
//! | replies | status code (≤ 0) | number | one row, or nothing with an error |
//! | replies | [`BATCH`] | 0 | [`BatchDone`], before the replies of its batch |
//! | replies | [`DIED`] | 0 | last words, in UTF-8 |
//!
//! A request is released to the scheduler before its reply is sent: the limits count outstanding
//! requests, and that is what keeps the ring from being full.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytemuck::{Pod, Zeroable};
use wasm_engine_abi::calls::Status;
use wasm_engine_shm::bytes::{Bad, Consumer, Producer, ReserveError};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::wait::{Ringer, WaitMode, Waiter};

use super::batcher::{Accepted, Batcher, Sink};

/// Tag of a request record: the tick closes.
pub(super) const FLUSH: u32 = u32::MAX;
/// Tag of a request record: the thread shall end.
pub(super) const STOP: u32 = u32::MAX - 1;
/// Tag of a reply record: a batch is done.
pub(super) const BATCH: u32 = 1;
/// Tag of a reply record: the thread ends with a mistake of ours.
pub(super) const DIED: u32 = 2;
/// Longest text of a [`DIED`] record, in bytes.
pub(super) const LAST_WORDS_MAX: usize = 512;

/// What the thread says about a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct BatchDone {
    /// Duration of the run, in ns of the clock that was handed in.
    pub(super) run_ns: u64,
    /// Model handle.
    pub(super) model: u32,
    /// Requests that had a row; 0 if nothing was run.
    pub(super) rows: u32,
    /// Requests whose row had the wrong length; they take no row.
    pub(super) misfits: u32,
    /// Replies that carry an error, misfits among them.
    pub(super) errors: u32,
    /// 1 if the model panicked, now or before, and is not run again.
    pub(super) broken: u32,
    /// Zero.
    pub(super) reserved: u32,
}

/// The thread's end of the ring of replies.
pub(super) struct Replies {
    ring: Producer<RawMem>,
    bell: Ringer<RawMem>,
}

impl Replies {
    pub(super) fn new(ring: Producer<RawMem>, bell: Ringer<RawMem>) -> Self {
        Self { ring, bell }
    }

    fn publish(&mut self) {
        self.ring.publish();
        self.bell.ring();
    }
}

impl Sink for Replies {
    fn batch(&mut self, done: BatchDone) -> Result<(), ReserveError> {
        self.ring.push(BATCH, 0, bytemuck::bytes_of(&done))
    }

    fn row(&mut self, number: u64, row: &[f32]) -> Result<(), ReserveError> {
        let len = size_of_val(row);
        let mut grant = self.ring.reserve(len)?;
        for (place, value) in grant.chunks_exact_mut(size_of::<f32>()).zip(row) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        grant.commit(len, (Status::Ok as i32).cast_unsigned(), number);
        Ok(())
    }

    fn failed(&mut self, number: u64) -> Result<(), ReserveError> {
        self.ring.push((Status::ModelFailed as i32).cast_unsigned(), number, &[])
    }
}

/// Everything the thread owns.
pub(super) struct Server {
    pub(super) batcher: Batcher,
    pub(super) requests: Consumer<RawMem>,
    pub(super) bell: Waiter<RawMem>,
    pub(super) replies: Replies,
    pub(super) wait: WaitMode,
}

/// Why the thread ends without having been told to; each is a mistake in the kernel.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error(transparent)]
    Requests(#[from] Bad),
    #[error("the ring of replies: {0}")]
    Replies(#[from] ReserveError),
    #[error("a request names model {0}, which does not exist")]
    Model(u32),
}

/// The body of the thread. A panic anywhere in it is told to the scheduler like any other end.
pub(super) fn main(mut server: Server, on_start: Option<Box<dyn FnOnce() + Send>>) {
    let served = catch_unwind(AssertUnwindSafe(|| {
        if let Some(on_start) = on_start {
            on_start();
        }
        server.serve()
    }));
    let words = match served {
        Ok(Ok(())) => return,
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
                if self.one()? == Told::Stop {
                    return Ok(());
                }
            }
        }
    }

    /// One record.
    fn one(&mut self) -> Result<Told, Fatal> {
        let Self { batcher, requests, replies, .. } = self;
        let Some(record) = requests.next()? else { return Ok(Told::GoOn) };
        let full = match record.tag {
            STOP => return Ok(Told::Stop),
            FLUSH => {
                requests.release();
                batcher.flush(replies)?;
                replies.publish();
                return Ok(Told::GoOn);
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
        Ok(Told::GoOn)
    }
}

/// What the scheduler wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    GoOn,
    Stop,
}

/// The text of a panic, if it has one.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}
