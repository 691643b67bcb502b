//! The records that cross the rings between scheduler and worker: both ends of each.
//!
//! Commands, by the tag of their record: `BEGIN` (the epoch is the record's number, no bytes),
//! `TURN` ([`TurnCommand`], its [`ItemFrame`]s, its arguments), `STOP`. Replies: `TURN`
//! ([`TurnResult`] and its effects, as [`Lane::execute`](crate::lane::Lane::execute) wrote them),
//! `USE` ([`LaneUse`], behind the results of a batch, left out where it has no room), `FAILED`:
//!
//! ```text
//!  0 failure u32 | 4 lane u32 | 8 agent u64 | 16 detail, UTF-8
//! ```
//! No order of replies means anything; each names its position in the plan.

use bytemuck::{bytes_of, cast_slice, pod_read_unaligned, try_cast_slice};
use wasm_engine_abi::AgentId;
use wasm_engine_abi::frame::{Effect, ItemFrame, TurnCommand, TurnResult};
use wasm_engine_shm::bytes::{Producer, ReserveError, RingRecord};
use wasm_engine_shm::mem::RawMem;

use crate::error::{MachineError, MachineFailure};
use crate::lane_use::LaneUse;

pub(crate) const COMMAND_BEGIN: u32 = 1;
pub(crate) const COMMAND_TURN: u32 = 2;
pub(crate) const COMMAND_STOP: u32 = 3;
pub(crate) const REPLY_TURN: u32 = 1;
pub(crate) const REPLY_FAILED: u32 = 2;
pub(crate) const REPLY_USE: u32 = 3;

const COMMAND_BYTES: usize = size_of::<TurnCommand>();
const ITEM_BYTES: usize = size_of::<ItemFrame>();
const RESULT_BYTES: usize = size_of::<TurnResult>();
const FAILED_BYTES: usize = 16;
/// Bytes of a failure's detail that cross the ring, at most.
const DETAIL_BYTES_MAX: usize = 512;

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
    record: &'a RingRecord<'_, RawMem>,
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

/// Reads what [`Lane::execute`](crate::lane::Lane::execute) wrote: the result and its effects, at
/// any alignment.
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
        failure: MachineFailure::from_code(failure)?,
        lane,
        agent: AgentId::from_bits(pod_read_unaligned(&head[8..])),
        detail: String::from_utf8_lossy(detail).into_owned(),
    })
}

pub(crate) fn failed_bytes(error: &MachineError) -> Vec<u8> {
    let mut out = bytes_of(&[error.failure as u32, error.lane]).to_vec();
    out.extend_from_slice(&error.agent.to_bits().to_le_bytes());
    let detail = error.detail.as_bytes();
    out.extend_from_slice(&detail[..detail.len().min(DETAIL_BYTES_MAX)]);
    out
}

/// Parts of the record of a turn; `None` if they do not fill it.
pub(crate) fn read_turn(bytes: &[u8]) -> Option<(TurnCommand, &[ItemFrame], &[u8])> {
    let (head, rest) = bytes.split_at_checked(COMMAND_BYTES)?;
    let command: TurnCommand = pod_read_unaligned(head);
    let (frames, args) = rest.split_at_checked(command.items as usize * ITEM_BYTES)?;
    // Records begin at multiples of 16, so the frames are 8-aligned.
    let items = try_cast_slice(frames).ok()?;
    (args.len() == command.args_len as usize).then_some((command, items, args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_engine_shm::bytes::{self, Consumer};

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
}
