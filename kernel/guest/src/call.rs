//! One host call under way: its pointers checked, its fuel charged, its effect accepted.
//!
//! What every call needs and none means by itself; `host_calls.rs` and `model_calls.rs` give each
//! its meaning.

use wasm_engine_abi::calls::{BYTES_PER_FUEL, Status};
use wasm_engine_abi::frame::Effect;
use wasm_engine_abi::limits::{NAME_BYTES_MAX, blocks};
use wasmtime::{Caller, Trap};
use xxhash_rust::xxh3::xxh3_64;

use crate::call_note::{Argument, CallNote};
use crate::terms::Terms;
use crate::turn::{Host, HostError, TurnContext};

/// Why a call is not accepted.
pub(crate) enum Refused {
    /// Told to the guest.
    Status(Status),
    /// Ends the guest's call.
    Error(wasmtime::Error),
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<HostError> for Refused {
    #[cold]
    fn from(error: HostError) -> Self {
        Self::Error(error.into())
    }
}

pub(crate) type Answer = Result<u64, Refused>;

/// The answer as guests get it: a number ≥ 0 or a negative status. What was not accepted is noted,
/// with the name of the call and its arguments.
#[inline]
pub(crate) fn reply(
    caller: &mut Caller<'_, Host>,
    call: &'static str,
    arguments: &[Argument],
    answer: Answer,
) -> wasmtime::Result<i64> {
    match answer {
        Ok(value) => Ok(value as i64),
        Err(refused) => refuse(caller, call, arguments, refused),
    }
}

#[cold]
fn refuse(
    caller: &mut Caller<'_, Host>,
    call: &'static str,
    arguments: &[Argument],
    refused: Refused,
) -> wasmtime::Result<i64> {
    let status = match &refused {
        Refused::Status(status) => Some(*status),
        Refused::Error(_) => None,
    };
    if let Some(memory) = caller.data().memory {
        let (memory, host) = memory.data_and_store_mut(caller);
        host.turn.note = Some(CallNote::new(call, arguments, status, memory));
    }
    match refused {
        Refused::Status(status) => Ok(i64::from(status as i32)),
        Refused::Error(error) => Err(error),
    }
}

/// A pointer and a length that a guest slices.
pub(crate) type GuestSlice = (i32, i32);

/// A call under way, its pointers checked and its fuel charged.
pub(crate) struct Call<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) turn: &'a mut TurnContext,
}

/// Checks that the named bytes lie in the memory, charges for them, and opens them for reading.
#[inline]
pub(crate) fn enter<'a, const N: usize>(
    caller: &'a mut Caller<'_, Host>,
    fuel_base: u64,
    slices: [GuestSlice; N],
) -> Result<(Call<'a>, [&'a [u8]; N]), Refused> {
    let memory = caller.data().memory.ok_or(HostError::OutsideTurn)?;
    let memory_bytes = memory.data_size(&*caller) as u64;
    let mut bytes = 0;
    for (at, len) in slices {
        let (at, len) = (u64::from(at as u32), u64::from(len as u32));
        if at + len > memory_bytes {
            return Err(HostError::Misuse.into());
        }
        bytes += len;
    }
    charge(caller, fuel_base + bytes / BYTES_PER_FUEL)?;
    let (memory, host) = memory.data_and_store_mut(caller);
    let memory: &[u8] = memory;
    // In range, checked above: nothing between has touched the memory.
    let read = |(at, len): GuestSlice| &memory[at as u32 as usize..][..len as u32 as usize];
    let (terms, turn) = host.parts();
    Ok((Call { terms, turn }, slices.map(read)))
}

/// Takes fuel, or ends the call as the guest's own instructions would.
#[inline]
pub(crate) fn charge(caller: &mut Caller<'_, Host>, fuel: u64) -> Result<(), Refused> {
    let left = caller.get_fuel().map_err(Refused::Error)?;
    let Some(rest) = left.checked_sub(fuel) else {
        return Err(Refused::Error(Trap::OutOfFuel.into()));
    };
    caller.set_fuel(rest).map_err(Refused::Error)
}

/// What a call asks for.
pub(crate) struct Wanted<'a> {
    pub(crate) kind: u32,
    pub(crate) target: u64,
    pub(crate) arg: u64,
    /// `None` where the kind has none; then the hash is 0.
    pub(crate) payload: Option<&'a [u8]>,
    /// Whether it takes a pending-call slot (SEMANTICS A4).
    pub(crate) answer: bool,
    /// Which quota its payload takes.
    pub(crate) quota: Quota,
}

/// A quota of payload bytes of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Quota {
    /// That of messages, arguments and log lines.
    Messages,
    /// That of requests to models.
    Requests,
}

impl Wanted<'_> {
    pub(crate) fn plain(kind: u32, target: u64) -> Self {
        Self { kind, target, arg: 0, payload: None, answer: false, quota: Quota::Messages }
    }

    pub(crate) fn answered(kind: u32, target: u64) -> Self {
        Self { answer: true, ..Self::plain(kind, target) }
    }
}

impl Call<'_> {
    /// Accepts an effect within the quotas of the turn; gives its own sequence number.
    #[inline]
    pub(crate) fn accept(self, wanted: &Wanted<'_>) -> Answer {
        let Self { terms, turn } = self;
        let payload = wanted.payload.unwrap_or(&[]);
        // Lossless: every payload has been held against its maximum.
        let len = payload.len() as u32;
        let (used, max) = match wanted.quota {
            Quota::Messages => (&mut turn.blocks, terms.blocks_max),
            Quota::Requests => (&mut turn.inference_blocks, terms.inference_blocks_max),
        };
        let blocks_after = *used + blocks(len);
        if turn.effects.len() >= terms.effects_max as usize || blocks_after > max {
            return Err(Status::Quota.into());
        }
        if wanted.answer && turn.answers >= turn.command.answers_free {
            return Err(Status::Busy.into());
        }
        *used = blocks_after;
        let block = match payload {
            [] => 0,
            bytes => turn.outbox.write(bytes).ok_or(HostError::OutboxFull)?,
        };
        let seq = turn.seq;
        let (cause, trace) = turn.origin(seq);
        turn.seq += 1;
        turn.answers += u32::from(wanted.answer);
        let hash = wanted.payload.map_or(0, xxh3_64);
        let Wanted { kind, target, arg, .. } = *wanted;
        turn.effects.push(Effect {
            kind,
            len,
            seq,
            target,
            arg,
            hash,
            cause,
            trace,
            block,
            reserved: 0,
        });
        Ok(seq)
    }
}

#[inline]
pub(crate) fn within(bytes: &[u8], max: u32) -> Result<(), Refused> {
    if bytes.len() > max as usize { Err(Status::Invalid.into()) } else { Ok(()) }
}

#[inline]
pub(crate) fn allowed(right: bool) -> Result<(), Refused> {
    if right { Ok(()) } else { Err(Status::Denied.into()) }
}

/// A handle that names one of `count` things.
#[inline]
pub(crate) fn handle(handle: i32, count: usize) -> Result<u32, Refused> {
    let handle = handle as u32;
    if (handle as usize) < count { Ok(handle) } else { Err(Status::Unknown.into()) }
}

/// A name of 1 to [`NAME_BYTES_MAX`] bytes of UTF-8.
pub(crate) fn name(bytes: &[u8]) -> Result<&str, Refused> {
    within(bytes, NAME_BYTES_MAX)?;
    match str::from_utf8(bytes) {
        Ok(name) if !name.is_empty() => Ok(name),
        _ => Err(Status::Invalid.into()),
    }
}
