//! The inference thread: takes records, drives the batcher, sends records back, never dies unheard.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use std::sync::mpsc;
use std::time::Duration;

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::tensor::RequestForm;
use wasm_engine_setup::ProviderUse;
use wasm_engine_shm::bytes::{Consumer, CorruptRing, Producer, ReserveError};
use wasm_engine_shm::lease::SetupError;
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::wait::{self, Ringer, WaitMode, Waiter};

use crate::backend::Backend;
use crate::batcher::{Batcher, ReplySink};
use crate::interrupt::Interrupter;
use crate::protocol::{
    BATCH, BatchDone, DIED, FLUSH, LAST_WORDS_MAX, PROVIDERS, REPLACE, ROW, STOP, panic_text,
};

/// Sleep while the ring of replies has no room: the scheduler empties it when it next looks.
const ROOM_POLL: Duration = Duration::from_micros(50);

/// The thread's end of the ring of replies.
pub(crate) struct Replies {
    ring: Producer<RawMem>,
    bell: Ringer<RawMem>,
    /// A doorbell that nobody rings, to wait at for room.
    pause: Waiter<RawMem>,
    /// The way of what computes a model to the scheduler.
    providers: mpsc::Sender<ProviderUse>,
    /// Asked when the thread is to end: then nobody empties the ring any more.
    ending: Interrupter,
    /// Something was pushed since the last publication.
    unpublished: bool,
}

impl Replies {
    pub(crate) fn new(
        ring: Producer<RawMem>,
        bell: Ringer<RawMem>,
        providers: mpsc::Sender<ProviderUse>,
        ending: Interrupter,
    ) -> Result<Self, SetupError> {
        let pause = Waiter::new(RawMem::heap(wait::LEN))?;
        Ok(Self { ring, bell, pause, providers, ending, unpublished: false })
    }

    /// Pushes a record once there is room for it; drops it if the thread is to end.
    fn push(&mut self, tag: u32, aux: u64, bytes: &[u8]) -> Result<(), ReserveError> {
        loop {
            match self.ring.push(tag, aux, bytes) {
                Err(ReserveError::Full { .. }) if self.ending.is_asked() => return Ok(()),
                Err(ReserveError::Full { .. }) => {
                    self.publish();
                    self.pause.wait_at_most(WaitMode::Park, ROOM_POLL, || false);
                }
                done => {
                    self.unpublished = true;
                    return done;
                }
            }
        }
    }

    fn publish(&mut self) {
        if std::mem::take(&mut self.unpublished) {
            self.ring.publish();
            self.bell.ring();
        }
    }
}

impl ReplySink for Replies {
    fn providers(&mut self, model: u32, providers: ProviderUse) -> Result<(), ReserveError> {
        // Without a receiver nobody wants replies either.
        let _ = self.providers.send(providers);
        self.push(PROVIDERS, model.into(), &[])
    }

    fn batch(&mut self, done: BatchDone) -> Result<(), ReserveError> {
        self.push(BATCH, 0, bytemuck::bytes_of(&done))
    }

    fn reply(&mut self, number: u64, code: Status, bytes: &[u8]) -> Result<(), ReserveError> {
        self.push((code as i32).cast_unsigned(), number, bytes)
    }
}

/// Everything the thread owns.
pub(crate) struct Server {
    pub(crate) batcher: Batcher,
    pub(crate) requests: Consumer<RawMem>,
    /// Models that take the place of others, in the order of their records.
    pub(crate) models: mpsc::Receiver<Box<dyn Backend>>,
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
    server.replies.unpublished = true;
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
        match record.tag {
            STOP => return Ok(ControlFlow::Break(())),
            FLUSH => {
                requests.release();
                batcher.flush(replies)?;
            }
            REPLACE => {
                let model = record.aux as u32;
                requests.release();
                let backend = self.models.try_recv().map_err(|_| Fatal::Model(model))?;
                let replaced = batcher.replace(model, backend, replies)?;
                replaced.map_err(|_| Fatal::Model(model))?;
            }
            tag => {
                let (model, form) = match tag & ROW {
                    0 => (tag, RequestForm::Tensors),
                    _ => (tag & !ROW, RequestForm::Row),
                };
                let accepted = batcher.accept(model, (record.aux, form), &record, replies)?;
                accepted.map_err(|_| Fatal::Model(model))?;
                requests.release();
            }
        }
        replies.publish();
        Ok(ControlFlow::Continue(()))
    }
}
