//! The scheduler's side of the inference thread: requests out, replies in, in request order.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytemuck::Zeroable;
use wasm_engine_abi::calls::Status;
use wasm_engine_abi::page::{ModelRow, model_state};
use wasm_engine_abi::tensor::RequestForm;
use wasm_engine_setup::{Limits, LoadOn, ProviderUse};
use wasm_engine_shm::bytes::{Consumer, Producer};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::wait::{Ringer, WaitMode, Waiter};

use crate::backend::Backend;
use crate::batcher::{Batcher, ServedModel};
use crate::deadline::{Deadlines, Late, Missed};
use crate::error::InferenceError;
use crate::interrupt::Interrupter;
use crate::layout::InferenceMemory;
use crate::measures::{Measures, ModelMeasures};
use crate::protocol::{BATCH, BatchDone, DIED, FLUSH, PROVIDERS, ROW, STOP};
use crate::reply_slot::{Arrival, Slot};
use crate::request_pipe::RequestPipe;
use crate::server::{self, Replies, Server};

/// How the inference thread is to run; nothing here changes a result.
pub struct InferenceOptions {
    /// How both sides wait.
    pub wait: WaitMode,
    /// Nanoseconds of a clock that only grows, for the duration of batches.
    pub clock: fn() -> u64,
    /// Called first on the new thread: pin it there.
    pub on_start: Option<Box<dyn FnOnce() + Send>>,
}

/// A reply; it is the caller's once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModelReply<'a> {
    /// The request answered.
    pub number: u64,
    /// `Status::Ok`, `Status::ModelFailed`, `Status::Mismatch` or `Status::Late`, as a code.
    pub code: i32,
    /// In the form of the request: a list of tensors or a row of little-endian `f32`; with
    /// `Mismatch` a text, else empty.
    pub bytes: &'a [u8],
}

/// Requests of a model since its last batch may have been full.
#[derive(Clone, Copy, Debug)]
struct BatchFill {
    batch: u32,
    requests: u32,
}

/// Longest sleep before it is asked again whether the thread still lives, which rings when it
/// dies, and whether the wait is to end, for which nobody rings.
const POLL: Duration = Duration::from_millis(20);

/// The same while records wait for room in the ring, which is made without a sound.
const ROOM_POLL: Duration = Duration::from_micros(100);

/// Polls that a model gets to stop in, some 0.7 seconds, before its thread is left alone: whoever
/// asked for the end has it within a second.
const POLLS_TO_STOP: u32 = 35;

/// The scheduler's side of the inference thread.
pub struct InferenceHandle {
    pub(crate) requests: RequestPipe,
    replies: Consumer<RawMem>,
    replies_bell: Waiter<RawMem>,
    wait: WaitMode,
    fills: Vec<BatchFill>,
    pub(crate) rows: Vec<ModelRow>,
    pub(crate) deadlines: Deadlines,
    measures: Vec<Measures>,
    clock: fn() -> u64,
    /// What stops the models.
    pub(crate) interrupters: Vec<Interrupter>,
    /// What computes each model, as the thread said last.
    providers: Vec<Arc<ProviderUse>>,
    changes: mpsc::Receiver<ProviderUse>,
    /// The way of a model to the thread.
    pub(crate) models: mpsc::Sender<Box<dyn Backend>>,
    /// Asked when the thread is to end.
    ending: Interrupter,
    /// In order of number.
    slots: VecDeque<Slot>,
    /// Buffers for reuse.
    spare: Vec<Vec<u8>>,
    /// A request was submitted since the last flush.
    unflushed: bool,
    last_number: Option<u64>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for InferenceHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rows, slots, .. } = self;
        write!(f, "InferenceHandle({} models, {} outstanding)", rows.len(), slots.len())
    }
}

impl InferenceHandle {
    /// Starts the thread over fresh, zeroed memory of at least
    /// [`InferenceLayout::of`](crate::InferenceLayout::of) the same limits and models.
    ///
    /// # Errors
    /// [`InferenceError::Memory`], [`InferenceError::Thread`].
    pub fn start(
        models: Vec<ServedModel>,
        limits: &Limits,
        memory: InferenceMemory,
        options: InferenceOptions,
    ) -> Result<Self, InferenceError> {
        let InferenceMemory { requests, replies, requests_bell, replies_bell } = memory;
        let deadlines = Deadlines::new(&models, options.clock);
        let interrupters = models.iter().map(|model| model.backend.interrupter()).collect();
        let row = |model: &ServedModel| ModelRow {
            batch: model.setup.batch,
            state: match model.setup.load {
                LoadOn::Start => model_state::READY,
                LoadOn::Request | LoadOn::Command => model_state::UNLOADED,
            },
            ..ModelRow::zeroed()
        };
        let rows = models.iter().map(row).collect();
        let measures = models.iter().map(|_| Measures::default()).collect();
        let fill = |model: &ServedModel| BatchFill { batch: model.setup.batch, requests: 0 };
        let fills = models.iter().map(fill).collect();
        let ending = Interrupter::default();
        let providers = models.iter().map(|model| Arc::new(model.backend.providers())).collect();
        let (models_sender, models_receiver) = mpsc::channel();
        let (changes_sender, changes) = mpsc::channel();
        let server = Server {
            models: models_receiver,
            batcher: Batcher::new(models, options.clock),
            requests: Consumer::new(requests.0.clone(), requests.1.clone())?,
            bell: Waiter::new(requests_bell.clone())?,
            replies: Replies::new(
                Producer::new(replies.0.clone(), replies.1.clone())?,
                Ringer::new(replies_bell.clone())?,
                changes_sender,
                ending.clone(),
            )?,
            wait: options.wait,
        };
        let requests =
            RequestPipe::new(Producer::new(requests.0, requests.1)?, Ringer::new(requests_bell)?);
        let replies_ring = Consumer::new(replies.0, replies.1)?;
        let replies_bell = Waiter::new(replies_bell)?;
        let on_start = options.on_start;
        let thread = std::thread::Builder::new()
            .name("we-inference".to_owned())
            .spawn(move || server::main(server, on_start))
            .map_err(InferenceError::Thread)?;
        Ok(Self {
            requests,
            replies: replies_ring,
            replies_bell,
            wait: options.wait,
            fills,
            rows,
            measures,
            clock: options.clock,
            deadlines,
            interrupters,
            providers,
            changes,
            models: models_sender,
            ending,
            slots: VecDeque::with_capacity(limits.inferences_pending_max as usize),
            spare: Vec::new(),
            unflushed: false,
            last_number: None,
            thread: Some(thread),
        })
    }

    /// Hands over a request, in commit order. Its bytes are copied.
    ///
    /// A request that is not what the model takes is no error here: its reply is one (SEMANTICS
    /// I3).
    ///
    /// # Errors
    /// [`InferenceError::Misuse`] for an unknown model or a number that does not grow,
    /// [`InferenceError::Full`].
    pub fn submit(
        &mut self,
        number: u64,
        model: u32,
        form: RequestForm,
        bytes: &[u8],
    ) -> Result<(), InferenceError> {
        let misuse = |reason| InferenceError::Misuse { number, model, reason };
        if self.last_number.is_some_and(|last| number <= last) {
            return Err(misuse("came after a later one"));
        }
        if model as usize >= self.rows.len() {
            return Err(misuse("names no model"));
        }
        let tag = match form {
            RequestForm::Row => model | ROW,
            RequestForm::Tensors => model,
        };
        let late = self.deadlines.of_request(model);
        if late != Late::Already {
            self.requests.push(tag, number, bytes)?;
        }
        self.last_number = Some(number);
        self.unflushed = true;
        self.prune();
        let reply = self.spare.pop().unwrap_or_default();
        let (arrival, asked_ns) = (Arrival::Outstanding, (self.clock)());
        let providers = None;
        self.slots.push_back(Slot { number, model, arrival, late, asked_ns, reply, providers });
        self.measures[model as usize].asked(bytes.len());
        self.rows[model as usize].pending += 1;
        let fill = &mut self.fills[model as usize];
        fill.requests += 1;
        if fill.requests >= fill.batch {
            // A chunk may be full, so the thread has work before the tick ends.
            fill.requests = 0;
            self.requests.publish();
        }
        Ok(())
    }

    /// The tick closes: chunks that are not full run as they are, padded (SEMANTICS I2).
    ///
    /// # Errors
    /// [`InferenceError::Full`].
    pub fn flush(&mut self) -> Result<(), InferenceError> {
        if !std::mem::take(&mut self.unflushed) {
            return self.requests.pump();
        }
        self.requests.push(FLUSH, 0, &[])?;
        for fill in &mut self.fills {
            fill.requests = 0;
        }
        self.requests.publish();
        Ok(())
    }

    /// Whether [`InferenceHandle::wait_for`] would return at once.
    ///
    /// # Errors
    /// [`InferenceError::Misuse`] if the request is not outstanding, [`InferenceError::Died`],
    /// [`InferenceError::CorruptRing`].
    pub fn is_ready(&mut self, number: u64) -> Result<bool, InferenceError> {
        self.receive()?;
        let at = self.find(number)?;
        Ok(self.slots[at].arrival != Arrival::Outstanding || self.expire(at))
    }

    /// Waits for the reply to a request and takes it (SEMANTICS I1: the scheduler waits at the open
    /// of the tick in which the reply is due). Requests that were not flushed are flushed first.
    ///
    /// # Errors
    /// [`InferenceError::Misuse`] if the request is not outstanding, [`InferenceError::Died`],
    /// [`InferenceError::CorruptRing`].
    pub fn wait_for(&mut self, number: u64) -> Result<ModelReply<'_>, InferenceError> {
        match self.wait_until(number, &mut || false)? {
            Some(reply) => Ok(reply),
            None => unreachable!("nobody ends this wait"),
        }
    }

    /// As [`InferenceHandle::wait_for`]; `stop` is asked from time to time whether to give up, and
    /// then there is no reply and the request stays outstanding.
    ///
    /// # Errors
    /// Those of [`InferenceHandle::wait_for`].
    pub fn wait_until(
        &mut self,
        number: u64,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<ModelReply<'_>>, InferenceError> {
        if !self.wait_ready(number, stop)? {
            return Ok(None);
        }
        let at = self.find(number)?;
        let slot = &mut self.slots[at];
        let code = match std::mem::replace(&mut slot.arrival, Arrival::Taken) {
            Arrival::Arrived(code) => code,
            // `find` gives no taken slot and the wait is over.
            Arrival::Outstanding | Arrival::Taken => unreachable!("the reply has arrived"),
        };
        Ok(Some(ModelReply { number, code, bytes: &slot.reply }))
    }

    /// Waits until the reply to a request is there and leaves it; `stop` is asked from time to time
    /// whether to give up. Gives whether it is there.
    ///
    /// # Errors
    /// Those of [`InferenceHandle::wait_for`].
    pub fn wait_ready(
        &mut self,
        number: u64,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<bool, InferenceError> {
        self.flush()?;
        self.prune();
        self.receive()?;
        let at = self.find(number)?;
        while self.slots[at].arrival == Arrival::Outstanding {
            if stop() {
                return Ok(false);
            }
            if self.expire(at) {
                break;
            }
            self.requests.pump()?;
            let Slot { model, late, .. } = self.slots[at];
            let left = self.deadlines.time_left(model, late);
            let Self { replies, replies_bell, thread, wait, requests, .. } = self;
            let ended = || thread.as_ref().is_none_or(JoinHandle::is_finished);
            let poll = if requests.is_behind() { ROOM_POLL } else { POLL };
            let poll = left.map_or(poll, |left| poll.min(left));
            replies_bell.wait_at_most(*wait, poll, || replies.has_next());
            let ended = !replies.has_next() && ended();
            self.receive()?;
            if ended && self.slots[at].arrival == Arrival::Outstanding {
                return Err(InferenceError::Died { message: "it left no message".to_owned() });
            }
        }
        Ok(true)
    }

    /// Answers the request at `at` with [`Status::Late`] if its deadline has passed (SEMANTICS I4).
    fn expire(&mut self, at: usize) -> bool {
        let Slot { model, late, .. } = self.slots[at];
        let missed = match late {
            Late::Already => None,
            Late::At { .. } | Late::Never => match self.deadlines.miss(model, late) {
                Some(missed) => Some(missed),
                None => return false,
            },
        };
        let slot = &mut self.slots[at];
        slot.reply.clear();
        slot.arrival = Arrival::Arrived(Status::Late as i32);
        self.measures[model as usize].late();
        let row = &mut self.rows[model as usize];
        row.pending -= 1;
        match missed {
            // The thread does not know of it.
            None => {
                row.requests += 1;
                row.errors += 1;
            }
            Some(Missed::GivenUp) => row.state = model_state::FAILED,
            Some(Missed::Again) => {}
        }
        true
    }

    /// What computed the reply to a request, which is there and was not taken; none of one that was
    /// not computed.
    #[must_use]
    pub fn providers_of(&self, number: u64) -> Option<&Arc<ProviderUse>> {
        let at = self.slots.binary_search_by_key(&number, |slot| slot.number).ok()?;
        self.slots[at].providers.as_ref()
    }

    /// Takes every reply that has arrived, in request order, without waiting; gives how many.
    ///
    /// # Errors
    /// [`InferenceError::Died`], [`InferenceError::CorruptRing`].
    pub fn try_collect(
        &mut self,
        sink: &mut dyn FnMut(u64, i32, &[u8]),
    ) -> Result<usize, InferenceError> {
        self.receive()?;
        let mut taken = 0;
        for slot in &mut self.slots {
            if let Arrival::Arrived(code) = slot.arrival {
                slot.arrival = Arrival::Taken;
                taken += 1;
                sink(slot.number, code, &slot.reply);
            }
        }
        self.prune();
        Ok(taken)
    }

    /// One row per model for monitors: requests, batches, padded rows, errors, durations, pending,
    /// batch and state. Provider and latency are the caller's to fill in.
    #[must_use]
    pub fn rows(&self) -> &[ModelRow] {
        &self.rows
    }

    /// What each model was asked so far, and how long that took.
    #[must_use]
    pub fn measures(&self) -> Vec<ModelMeasures> {
        self.measures.iter().map(Measures::so_far).collect()
    }

    /// Moves everything that has arrived into its slot.
    fn receive(&mut self) -> Result<(), InferenceError> {
        let Self { replies, slots, rows, measures, deadlines, providers, changes, .. } = self;
        let any = replies.has_next();
        while let Some(record) = replies.next()? {
            match record.tag {
                DIED => {
                    let message = String::from_utf8_lossy(&record).into_owned();
                    return Err(InferenceError::Died { message });
                }
                PROVIDERS => {
                    // It was sent before its record.
                    if let Ok(change) = changes.try_recv() {
                        providers[record.aux as usize] = Arc::new(change);
                    }
                }
                BATCH => {
                    let batch: BatchDone = bytemuck::pod_read_unaligned(&record);
                    batch.count_in(&mut rows[batch.model as usize]);
                    measures[batch.model as usize].ran(&batch);
                }
                code => {
                    let Ok(at) = slots.binary_search_by_key(&record.aux, |slot| slot.number) else {
                        if deadlines.any() {
                            // Late, and taken and forgotten since.
                            continue;
                        }
                        let (number, model) = (record.aux, u32::MAX);
                        let reason = "was answered twice";
                        return Err(InferenceError::Misuse { number, model, reason });
                    };
                    let slot = &mut slots[at];
                    if slot.arrival != Arrival::Outstanding && slot.late != Late::Never {
                        // It was late, and has been answered so.
                        continue;
                    }
                    let code = code.cast_signed();
                    if code != Status::Late as i32 {
                        deadlines.answered(slot.model);
                    }
                    slot.arrival = Arrival::Arrived(code);
                    let computed = code == Status::Ok as i32;
                    slot.providers = computed.then(|| Arc::clone(&providers[slot.model as usize]));
                    slot.reply.clear();
                    slot.reply.extend_from_slice(&record);
                    rows[slot.model as usize].pending -= 1;
                    measures[slot.model as usize].answered(slot.asked_ns, code, record.len());
                }
            }
        }
        replies.release();
        if any {
            deadlines.progressed();
        }
        Ok(())
    }

    /// The slot of a request whose reply was not taken.
    fn find(&self, number: u64) -> Result<usize, InferenceError> {
        let at = self.slots.binary_search_by_key(&number, |slot| slot.number);
        at.ok().filter(|at| self.slots[*at].arrival != Arrival::Taken).ok_or(
            InferenceError::Misuse { number, model: u32::MAX, reason: "has no reply to wait for" },
        )
    }

    /// Forgets the oldest requests whose replies were taken.
    fn prune(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.arrival == Arrival::Taken) {
            if let Some(slot) = self.slots.pop_front() {
                self.spare.push(slot.reply);
            }
        }
    }
}

impl Drop for InferenceHandle {
    /// Tells the thread to stop and joins it: a chunk that runs is interrupted, the rest is
    /// dropped. A model that does not stop keeps its thread, which is left alone.
    fn drop(&mut self) {
        self.requests.forget();
        self.ending.interrupt();
        self.interrupters.iter().for_each(Interrupter::interrupt);
        let Some(thread) = self.thread.take() else { return };
        let mut stopped = false;
        for _ in 0..POLLS_TO_STOP {
            // A thread that takes no more requests makes no room for this one either.
            stopped = stopped || self.requests.try_push(STOP);
            // Nobody wants its replies any more, but it may wait for room for one.
            while let Ok(Some(_)) = self.replies.next() {}
            self.replies.release();
            if self.replies_bell.wait_at_most(WaitMode::Park, POLL, || thread.is_finished()) {
                // It catches its panics itself, so there is nothing more to learn.
                let _ = thread.join();
                return;
            }
        }
        self.interrupters.iter().take(1).for_each(Interrupter::leave);
    }
}
