//! A worker thread: one lane behind two rings, and the records that cross them.
//!
//! ```text
//!  scheduler                                       worker
//!  push_begin, push_turn ..., publish, ring  --->  Lane::begin, Lane::execute ...
//!  read_reply ...                            <---  results, publish, ring
//!  push_stop                                 --->  returns
//! ```
//! Commands, by the tag of their record: `BEGIN` (the epoch is the record's number, no bytes),
//! `TURN` ([`TurnCommand`], its [`ItemFrame`]s, its arguments), `STOP`. Replies: `TURN`
//! ([`TurnResult`] and its effects, as [`Lane::execute`] wrote them), `USE` ([`LaneUse`], behind
//! the results of a batch, left out where it has no room), `FAILED`:
//!
//! ```text
//!  0 failure u32 | 4 lane u32 | 8 agent u64 | 16 detail, UTF-8
//! ```
//! Why a worker cannot hang or take the process down: it waits at its doorbell only, and whatever
//! goes wrong in a turn, a panic included, becomes one `FAILED` reply, after which the thread
//! ends. The scheduler must always send `STOP`, also when it fails itself.
//!
//! Both rings should hold a whole microstep; a worker that finds the reply ring full publishes
//! what it has and yields until there is room, so a scheduler that sends more must read replies
//! in between.
//!
//! What this does not do: it starts and pins no thread, and no order of replies means anything;
//! each names its place in the plan.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytemuck::{Pod, Zeroable, bytes_of, cast_slice, pod_read_unaligned, try_cast_slice};
use wasm_engine_abi::AgentId;
use wasm_engine_abi::frame::{Effect, ItemFrame, TurnCommand, TurnResult, turn};
use wasm_engine_abi::page::NONE_U32;
use wasm_engine_shm::bytes::{Consumer, Producer, Record, ReserveError};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::wait::{Ringer, WaitMode, Waiter};
use wasmtime::Engine;

use crate::lane::{Lane, MachineError, MachineFailure};
use crate::time::now_ns;

const COMMAND_BEGIN: u32 = 1;
const COMMAND_TURN: u32 = 2;
const COMMAND_STOP: u32 = 3;
const REPLY_TURN: u32 = 1;
const REPLY_FAILED: u32 = 2;
const REPLY_USE: u32 = 3;

const COMMAND_BYTES: usize = size_of::<TurnCommand>();
const ITEM_BYTES: usize = size_of::<ItemFrame>();
const RESULT_BYTES: usize = size_of::<TurnResult>();
const FAILED_BYTES: usize = 16;
/// Bytes of a failure's detail that cross the ring, at most.
const DETAIL_BYTES_MAX: usize = 512;

/// What a lane did so far, counted by its own thread, for monitors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct LaneUse {
    /// Turns executed.
    pub turns: u64,
    /// Time spent executing commands, in ns.
    pub busy_ns: u64,
    /// Time spent waiting, in ns: for commands, or on lane 0 for the other lanes.
    pub wait_ns: u64,
    /// Commands executed: turns, state digests, drops.
    pub commands: u64,
    /// Results given.
    pub results: u64,
    /// Outbox bytes in use after the last microstep.
    pub outbox_bytes: u64,
    /// Outbox bytes that a microstep may use.
    pub outbox_capacity: u64,
    /// Most outbox bytes ever in use.
    pub outbox_high_bytes: u64,
    /// Core that the thread is pinned to; [`NONE_U32`] if it is not.
    pub core: u32,
    /// Zero.
    pub reserved: u32,
}

impl Default for LaneUse {
    fn default() -> Self {
        Self { core: NONE_U32, ..Self::zeroed() }
    }
}

impl LaneUse {
    /// A command of this kind was executed.
    #[inline]
    pub(crate) fn count(&mut self, kind: u32) {
        self.commands += 1;
        self.results += 1;
        self.turns += u64::from(!matches!(kind, turn::HASH | turn::DROP));
    }

    /// A lane's outbox is filled like this.
    #[inline]
    pub(crate) fn look_at_outbox(&mut self, lane: &Lane) {
        (self.outbox_bytes, self.outbox_capacity) = lane.outbox_bytes();
        self.outbox_high_bytes = self.outbox_high_bytes.max(self.outbox_bytes);
    }
}

/// Bytes of the record of a turn with `items` items and `args_len` bytes of arguments.
#[must_use]
pub const fn command_bytes(items: usize, args_len: usize) -> usize {
    COMMAND_BYTES + items * ITEM_BYTES + args_len
}

/// Bytes of the largest reply to a turn with at most `effects_max` effects.
#[must_use]
pub const fn reply_bytes(effects_max: usize) -> usize {
    let failed = FAILED_BYTES + DETAIL_BYTES_MAX;
    let turn = RESULT_BYTES + effects_max * size_of::<Effect>();
    if turn > failed { turn } else { failed }
}

/// Commands the lane to begin a microstep.
///
/// # Errors
/// The ring has no room.
pub fn push_begin(ring: &mut Producer<RawMem>, epoch: u64) -> Result<(), ReserveError> {
    ring.push(COMMAND_BEGIN, epoch, &[])
}

/// Commands a turn. `command.items` and `command.args_len` say how many follow.
///
/// # Errors
/// The ring has no room.
pub fn push_turn(
    ring: &mut Producer<RawMem>,
    command: &TurnCommand,
    items: &[ItemFrame],
    args: &[u8],
) -> Result<(), ReserveError> {
    let bytes = command_bytes(items.len(), args.len());
    let mut grant = ring.reserve(bytes)?;
    let (head, rest) = grant.split_at_mut(COMMAND_BYTES);
    let (frames, arguments) = rest.split_at_mut(items.len() * ITEM_BYTES);
    head.copy_from_slice(bytes_of(command));
    frames.copy_from_slice(cast_slice(items));
    arguments.copy_from_slice(args);
    grant.commit(bytes, COMMAND_TURN, 0);
    Ok(())
}

/// Commands the worker to end.
///
/// # Errors
/// The ring has no room.
pub fn push_stop(ring: &mut Producer<RawMem>) -> Result<(), ReserveError> {
    ring.push(COMMAND_STOP, 0, &[])
}

/// A reply of a worker.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply<'a> {
    /// A turn was executed.
    Turn {
        /// What it did.
        result: TurnResult,
        /// `result.effects` frames of [`Effect`], at any alignment.
        effects: &'a [u8],
    },
    /// What the lane did so far.
    Use(LaneUse),
    /// The lane failed and is gone.
    Failed(MachineError),
}

/// Reads a reply on the scheduler's side; `lane` is whose ring it is.
///
/// # Errors
/// The record cannot be a reply: the ring is broken.
pub fn read_reply<'a>(
    record: &'a Record<'_, RawMem>,
    lane: u32,
) -> Result<Reply<'a>, MachineError> {
    let broken = |detail: &str| MachineError {
        failure: MachineFailure::Ring,
        lane,
        agent: AgentId::NONE,
        detail: detail.to_owned(),
    };
    match record.tag {
        REPLY_TURN => {
            let (result, effects) =
                read_result(record).ok_or_else(|| broken("a reply has not its length"))?;
            Ok(Reply::Turn { result, effects })
        }
        REPLY_USE => {
            let used = record.split_at_checked(size_of::<LaneUse>()).filter(|(_, r)| r.is_empty());
            let (used, _) = used.ok_or_else(|| broken("a count has not its length"))?;
            Ok(Reply::Use(pod_read_unaligned(used)))
        }
        REPLY_FAILED => {
            let failed = read_failed(record).ok_or_else(|| broken("a failure is cut short"))?;
            Ok(Reply::Failed(failed))
        }
        _ => Err(broken("a reply has no known tag")),
    }
}

/// Reads what [`Lane::execute`] wrote: the result and its effects, at any alignment.
#[must_use]
pub fn read_result(bytes: &[u8]) -> Option<(TurnResult, &[u8])> {
    let (head, effects) = bytes.split_at_checked(RESULT_BYTES)?;
    let result: TurnResult = pod_read_unaligned(head);
    (effects.len() == result.effects as usize * size_of::<Effect>()).then_some((result, effects))
}

fn read_failed(bytes: &[u8]) -> Option<MachineError> {
    let (head, detail) = bytes.split_at_checked(FAILED_BYTES)?;
    let [failure, lane]: [u32; 2] = pod_read_unaligned(&head[..8]);
    Some(MachineError {
        failure: MachineFailure::from_number(failure)?,
        lane,
        agent: AgentId::from_bits(pod_read_unaligned(&head[8..])),
        detail: String::from_utf8_lossy(detail).into_owned(),
    })
}

fn failed_bytes(error: &MachineError) -> Vec<u8> {
    let mut out = bytes_of(&[error.failure as u32, error.lane]).to_vec();
    out.extend_from_slice(&error.agent.to_bits().to_le_bytes());
    let detail = error.detail.as_bytes();
    out.extend_from_slice(&detail[..detail.len().min(DETAIL_BYTES_MAX)]);
    out
}

/// Parts of the record of a turn; `None` if they do not fill it.
fn read_turn(bytes: &[u8]) -> Option<(TurnCommand, &[ItemFrame], &[u8])> {
    let (head, rest) = bytes.split_at_checked(COMMAND_BYTES)?;
    let command: TurnCommand = pod_read_unaligned(head);
    let (frames, args) = rest.split_at_checked(command.items as usize * ITEM_BYTES)?;
    // Records begin at multiples of 16, so the frames are 8-aligned.
    let items = try_cast_slice(frames).ok()?;
    (args.len() == command.args_len as usize).then_some((command, items, args))
}

/// Lets a lane execute turns and turns a panic into a failure; the lane is of no use after either.
///
/// # Errors
/// As `turns`, and [`MachineFailure::Panic`].
pub fn guarded<T>(
    lane: &mut Lane,
    turns: impl FnOnce(&mut Lane) -> Result<T, MachineError>,
) -> Result<T, MachineError> {
    catch_unwind(AssertUnwindSafe(|| turns(lane))).unwrap_or_else(|panic| {
        Err(MachineError {
            failure: MachineFailure::Panic,
            lane: lane.number(),
            agent: lane.agent(),
            detail: panic_text(panic.as_ref()),
        })
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
        .to_owned()
}

/// One lane and its ends of the rings. It is made on the scheduler's thread and sent to its own.
#[derive(Debug)]
pub struct Worker {
    /// The lane.
    pub lane: Lane,
    /// Commands from the scheduler.
    pub commands: Consumer<RawMem>,
    /// Replies to it.
    pub replies: Producer<RawMem>,
    /// Rung by the scheduler after it publishes commands.
    pub bell: Waiter<RawMem>,
    /// The scheduler's doorbell, rung after replies are published.
    pub scheduler: Ringer<RawMem>,
    /// How to wait for commands.
    pub wait: WaitMode,
    /// What it did so far.
    pub used: LaneUse,
}

impl Worker {
    /// Runs until stopped or failed. The thread's stack must have
    /// [`THREAD_STACK_BYTES_MIN`](crate::engine::THREAD_STACK_BYTES_MIN) bytes.
    pub fn run(mut self) {
        Engine::tls_eager_initialize();
        let mut out = Vec::with_capacity(self.lane.result_words_max());
        let mut since_ns = now_ns();
        loop {
            let Self { commands, bell, wait, .. } = &mut self;
            bell.wait(*wait, || commands.has_next());
            let begin_ns = now_ns();
            self.used.wait_ns += begin_ns - since_ns;
            let batch = self.batch(&mut out);
            if let Err(error) = &batch {
                self.reply_with(REPLY_FAILED, &failed_bytes(error));
            }
            since_ns = now_ns();
            self.used.busy_ns += since_ns - begin_ns;
            self.used.look_at_outbox(&self.lane);
            // Without room the next batch says it: the counts only grow.
            let _ = self.replies.push(REPLY_USE, 0, bytes_of(&self.used));
            self.commands.release();
            self.replies.publish();
            self.scheduler.ring();
            if !matches!(batch, Ok(true)) {
                return;
            }
        }
    }

    /// Executes all commands there are; gives whether to go on.
    fn batch(&mut self, out: &mut Vec<u64>) -> Result<bool, MachineError> {
        let number = self.lane.number();
        let broken = |detail: String| MachineError {
            failure: MachineFailure::Ring,
            lane: number,
            agent: AgentId::NONE,
            detail,
        };
        let Self { lane, commands, replies, scheduler, used, .. } = self;
        guarded(lane, |lane| {
            loop {
                let record = match commands.next() {
                    Ok(Some(record)) => record,
                    Ok(None) => return Ok(true),
                    Err(error) => return Err(broken(error.to_string())),
                };
                match record.tag {
                    COMMAND_BEGIN => lane.begin(record.aux),
                    COMMAND_TURN => {
                        let (command, items, args) = read_turn(&record)
                            .ok_or_else(|| broken("a command has not its length".to_owned()))?;
                        out.clear();
                        lane.execute(&command, items, args, out)?;
                        used.count(command.kind);
                        reply(replies, scheduler, REPLY_TURN, cast_slice(out))
                            .map_err(|error| broken(error.to_string()))?;
                    }
                    COMMAND_STOP => return Ok(false),
                    tag => return Err(broken(format!("a command has the tag {tag}"))),
                }
            }
        })
    }

    /// The last words of a worker; where even they do not fit, its end says enough.
    fn reply_with(&mut self, tag: u32, bytes: &[u8]) {
        let fitting = bytes.len().min(self.replies.payload_max());
        let _ = reply(&mut self.replies, &self.scheduler, tag, &bytes[..fitting]);
    }
}

/// Writes a reply; while the ring is full, shows the scheduler what is in it and yields.
fn reply(
    ring: &mut Producer<RawMem>,
    scheduler: &Ringer<RawMem>,
    tag: u32,
    bytes: &[u8],
) -> Result<(), ReserveError> {
    loop {
        match ring.push(tag, 0, bytes) {
            Err(ReserveError::Full { .. }) => {
                ring.publish();
                scheduler.ring();
                std::thread::yield_now();
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_engine_shm::bytes;
    use wasm_engine_shm::mem::RawMem;

    fn ring() -> (Producer<RawMem>, Consumer<RawMem>) {
        let shape = bytes::layout(4096).expect("a power of two");
        let (head, tail) = (RawMem::heap(shape.producer_len), RawMem::heap(shape.consumer_len));
        let producer = Producer::new(head.clone(), tail.clone()).expect("fresh");
        (producer, Consumer::new(head, tail).expect("fresh"))
    }

    #[test]
    fn a_turn_crosses_the_ring_unchanged() {
        let (mut producer, mut consumer) = ring();
        let command = TurnCommand { agent: 7, items: 2, args_len: 3, ..TurnCommand::default() };
        let items = [ItemFrame { epoch: 4, ..ItemFrame::default() }; 2];
        push_turn(&mut producer, &command, &items, b"abc").expect("room");
        producer.publish();
        let record = consumer.next().expect("sound").expect("published");
        assert_eq!((record.tag, record.len()), (COMMAND_TURN, command_bytes(2, 3)));
        assert_eq!(read_turn(&record), Some((command, &items[..], &b"abc"[..])));
        for cut in 0..record.len() {
            assert_eq!(read_turn(&record[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_failure_crosses_the_ring_unchanged() {
        let (mut producer, mut consumer) = ring();
        let error = MachineError {
            failure: MachineFailure::Grow,
            lane: 3,
            agent: AgentId::new(5, 6),
            detail: "no memory".to_owned(),
        };
        let out = failed_bytes(&error);
        producer.push(REPLY_FAILED, 0, &out).expect("room");
        producer.push(9, 0, &out).expect("room");
        producer.push(REPLY_TURN, 0, &out).expect("room");
        producer.publish();
        let record = consumer.next().expect("sound").expect("published");
        assert_eq!(read_reply(&record, 3), Ok(Reply::Failed(error)));
        for _ in 0..2 {
            let record = consumer.next().expect("sound").expect("published");
            let broken = read_reply(&record, 3).expect_err("no reply");
            assert_eq!(broken.failure, MachineFailure::Ring);
        }
    }

    #[test]
    fn every_failure_has_a_number() {
        for number in 0..20 {
            let failure = MachineFailure::from_number(number);
            assert!(failure.is_none_or(|f| f as u32 == number && !f.text().is_empty()));
        }
    }
}
