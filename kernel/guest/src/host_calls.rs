//! The meaning of each host call, and the linker that offers them.
//!
//! ```text
//!  guest --call--> enter: pointers inside the memory?   no: fault MISUSE
//!                  charge: base + bytes / 8 fuel        not enough: fault OUT_OF_FUEL
//!                  1 length or argument out of range    Invalid
//!                  2 no such name or handle             Unknown
//!                  3 no right to it                     Denied
//!                  4 effects, then payload blocks       Quota
//!                  5 pending-call slots                 Busy
//!                  accept: payload into the outbox, effect, own sequence number
//! ```
//! The order above is part of the contract: of several reasons the first is the answer. Lengths
//! that depend on a handle (`infer`) are checked after 3. All bytes a call names are charged, names
//! too, and rounded down together. Calls that name a channel pay for their patterns too. `random`
//! has no room for a status: without the right it is misuse.
//!
//! What a call refused or broke is noted for the operator (`fault.rs`); guests learn nothing of it.
//!
//! What this does not do: it keeps no state of its own; everything is in the
//! [`TurnContext`].

use wasm_engine_abi::calls;
use wasm_engine_abi::calls::{BYTES_PER_FUEL, MODULE, Status};
use wasm_engine_abi::frame::{Effect, effect};
use wasm_engine_abi::limits::{
    ARGS_BYTES_MAX, LOG_LINE_BYTES_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, blocks,
};
use wasm_engine_setup::channel_key;
use wasmtime::{Caller, Engine, Linker, Trap};
use xxhash_rust::xxh3::xxh3_64;

use crate::call_note::{Argument, CallNote};
use crate::terms::Terms;
use crate::turn::{Host, HostError, TurnContext};

/// Why a call is not accepted.
enum Refused {
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

type Answer = Result<u64, Refused>;

/// The answer as guests get it: a number ≥ 0 or a negative status. What was not accepted is noted,
/// with the name of the call and its arguments.
#[inline]
fn reply(
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
type GuestSlice = (i32, i32);

/// A call under way, its pointers checked and its fuel charged.
struct Call<'a> {
    terms: &'a Terms,
    turn: &'a mut TurnContext,
}

/// Checks that the named bytes lie in the memory, charges for them, and opens them for reading.
#[inline]
fn enter<'a, const N: usize>(
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
fn charge(caller: &mut Caller<'_, Host>, fuel: u64) -> Result<(), Refused> {
    let left = caller.get_fuel().map_err(Refused::Error)?;
    let Some(rest) = left.checked_sub(fuel) else {
        return Err(Refused::Error(Trap::OutOfFuel.into()));
    };
    caller.set_fuel(rest).map_err(Refused::Error)
}

/// What a call asks for.
struct Wanted<'a> {
    kind: u32,
    target: u64,
    arg: u64,
    /// `None` where the kind has none; then the hash is 0.
    payload: Option<&'a [u8]>,
    /// Whether it takes a place for an answer (SEMANTICS A4).
    answer: bool,
}

impl Wanted<'_> {
    fn plain(kind: u32, target: u64) -> Self {
        Self { kind, target, arg: 0, payload: None, answer: false }
    }

    fn answered(kind: u32, target: u64) -> Self {
        Self { answer: true, ..Self::plain(kind, target) }
    }
}

impl Call<'_> {
    /// Accepts an effect within the quotas of the turn; gives its own sequence number.
    #[inline]
    fn accept(self, wanted: &Wanted<'_>) -> Answer {
        let Self { terms, turn } = self;
        let payload = wanted.payload.unwrap_or(&[]);
        // Lossless: every payload has been held against its maximum.
        let len = payload.len() as u32;
        let blocks_after = turn.blocks + blocks(len);
        if turn.effects.len() >= terms.effects_max as usize || blocks_after > terms.blocks_max {
            return Err(Status::Quota.into());
        }
        if wanted.answer && turn.answers >= turn.command.answers_free {
            return Err(Status::Busy.into());
        }
        let block = match payload {
            [] => 0,
            bytes => turn.outbox.write(bytes).ok_or(HostError::OutboxFull)?,
        };
        let seq = turn.seq;
        let (cause, trace) = turn.origin(seq);
        turn.seq += 1;
        turn.blocks = blocks_after;
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
fn within(bytes: &[u8], max: u32) -> Result<(), Refused> {
    if bytes.len() > max as usize { Err(Status::Invalid.into()) } else { Ok(()) }
}

#[inline]
fn allowed(right: bool) -> Result<(), Refused> {
    if right { Ok(()) } else { Err(Status::Denied.into()) }
}

/// A handle that names one of `count` things.
#[inline]
fn handle(handle: i32, count: usize) -> Result<u32, Refused> {
    let handle = handle as u32;
    if (handle as usize) < count { Ok(handle) } else { Err(Status::Unknown.into()) }
}

/// A name of 1 to [`NAME_BYTES_MAX`] bytes of UTF-8.
fn name(bytes: &[u8]) -> Result<&str, Refused> {
    within(bytes, NAME_BYTES_MAX)?;
    match str::from_utf8(bytes) {
        Ok(name) if !name.is_empty() => Ok(name),
        _ => Err(Status::Invalid.into()),
    }
}

/// The effect of this kind on the channel of this name. Casts to it and memberships of it meet by
/// its key alone.
fn on_channel(call: &Call<'_>, kind: u32, bytes: &[u8]) -> Result<Wanted<'static>, Refused> {
    let name = name(bytes)?;
    allowed(call.terms.rights.channel(name))?;
    let key = channel_key(call.turn.seed, name);
    Ok(Wanted { arg: (key >> 64) as u64, ..Wanted::plain(kind, key as u64) })
}

fn send(caller: &mut Caller<'_, Host>, fuel: u64, to: i64, payload: GuestSlice) -> Answer {
    let (call, [payload]) = enter(caller, fuel, [payload])?;
    within(payload, PAYLOAD_BYTES_MAX)?;
    allowed(call.terms.rights.send)?;
    let wanted = Wanted::answered(effect::SEND, to as u64);
    call.accept(&Wanted { payload: Some(payload), ..wanted })
}

fn publish(caller: &mut Caller<'_, Host>, fuel: u64, topic: i32, payload: GuestSlice) -> Answer {
    let (call, [payload]) = enter(caller, fuel, [payload])?;
    within(payload, PAYLOAD_BYTES_MAX)?;
    let topic = handle(topic, call.terms.names.topic_count)?;
    allowed(call.terms.rights.publishes(topic))?;
    let wanted = Wanted::answered(effect::PUBLISH, topic.into());
    call.accept(&Wanted { payload: Some(payload), ..wanted })
}

fn cast(caller: &mut Caller<'_, Host>, fuel: u64, name: GuestSlice, payload: GuestSlice) -> Answer {
    let fuel = fuel + caller.data().terms().rights.channel_fuel;
    let (call, [name, payload]) = enter(caller, fuel, [name, payload])?;
    within(payload, PAYLOAD_BYTES_MAX)?;
    let wanted = on_channel(&call, effect::CAST, name)?;
    call.accept(&Wanted { payload: Some(payload), answer: true, ..wanted })
}

fn join(caller: &mut Caller<'_, Host>, fuel: u64, name: GuestSlice) -> Answer {
    membership(caller, fuel, effect::JOIN, name)
}

fn leave(caller: &mut Caller<'_, Host>, fuel: u64, name: GuestSlice) -> Answer {
    membership(caller, fuel, effect::LEAVE, name)
}

fn membership(caller: &mut Caller<'_, Host>, fuel: u64, kind: u32, name: GuestSlice) -> Answer {
    let fuel = fuel + caller.data().terms().rights.channel_fuel;
    let (call, [name]) = enter(caller, fuel, [name])?;
    let wanted = on_channel(&call, kind, name)?;
    // Only what may be refused for a limit has an outcome.
    call.accept(&Wanted { answer: kind == effect::JOIN, ..wanted })
}

fn subscribe(caller: &mut Caller<'_, Host>, fuel: u64, topic: i32) -> Answer {
    subscription(caller, fuel, effect::SUBSCRIBE, topic)
}

fn unsubscribe(caller: &mut Caller<'_, Host>, fuel: u64, topic: i32) -> Answer {
    subscription(caller, fuel, effect::UNSUBSCRIBE, topic)
}

fn subscription(caller: &mut Caller<'_, Host>, fuel: u64, kind: u32, topic: i32) -> Answer {
    let (call, []) = enter(caller, fuel, [])?;
    let topic = handle(topic, call.terms.names.topic_count)?;
    allowed(call.terms.rights.subscribes(topic))?;
    let answer = kind == effect::SUBSCRIBE;
    call.accept(&Wanted { answer, ..Wanted::plain(kind, topic.into()) })
}

fn infer(caller: &mut Caller<'_, Host>, fuel: u64, model: i32, row: GuestSlice) -> Answer {
    let (call, [row]) = enter(caller, fuel, [row])?;
    within(row, PAYLOAD_BYTES_MAX)?;
    let inputs = &call.terms.names.input_bytes;
    let model = handle(model, inputs.len())?;
    allowed(call.terms.rights.infers(model))?;
    if row.len() as u64 != inputs[model as usize] {
        return Err(Status::Invalid.into());
    }
    let wanted = Wanted::answered(effect::INFER, model.into());
    call.accept(&Wanted { payload: Some(row), ..wanted })
}

fn spawn(
    caller: &mut Caller<'_, Host>,
    fuel: u64,
    template: GuestSlice,
    args: GuestSlice,
) -> Answer {
    let (call, [template, args]) = enter(caller, fuel, [template, args])?;
    within(args, ARGS_BYTES_MAX)?;
    let template = *call.terms.names.templates.get(name(template)?).ok_or(Status::Unknown)?;
    allowed(call.terms.rights.spawns(template))?;
    let wanted = Wanted::answered(effect::SPAWN, template.into());
    call.accept(&Wanted { payload: Some(args), ..wanted })
}

fn terminate(caller: &mut Caller<'_, Host>, fuel: u64, agent: i64) -> Answer {
    lifecycle(caller, fuel, effect::TERMINATE, agent)
}

fn pause(caller: &mut Caller<'_, Host>, fuel: u64, agent: i64) -> Answer {
    lifecycle(caller, fuel, effect::PAUSE, agent)
}

fn resume(caller: &mut Caller<'_, Host>, fuel: u64, agent: i64) -> Answer {
    lifecycle(caller, fuel, effect::RESUME, agent)
}

fn lifecycle(caller: &mut Caller<'_, Host>, fuel: u64, kind: u32, agent: i64) -> Answer {
    let (call, []) = enter(caller, fuel, [])?;
    allowed(call.terms.rights.lifecycle)?;
    call.accept(&Wanted::answered(kind, agent as u64))
}

fn timer(caller: &mut Caller<'_, Host>, fuel: u64, delay_ticks: i64, tag: i64) -> Answer {
    let (call, []) = enter(caller, fuel, [])?;
    if delay_ticks < 1 {
        return Err(Status::Invalid.into());
    }
    allowed(call.terms.rights.timer)?;
    let wanted = Wanted::answered(effect::TIMER, delay_ticks as u64);
    call.accept(&Wanted { arg: tag as u64, ..wanted })
}

fn log(caller: &mut Caller<'_, Host>, fuel: u64, level: i32, text: GuestSlice) -> Answer {
    let (call, [text]) = enter(caller, fuel, [text])?;
    within(text, LOG_LINE_BYTES_MAX)?;
    allowed(call.terms.rights.log)?;
    let wanted = Wanted::plain(effect::LOG, u64::from(level as u32));
    call.accept(&Wanted { payload: Some(text), ..wanted })?;
    Ok(0)
}

fn topic(caller: &mut Caller<'_, Host>, fuel: u64, name_slice: GuestSlice) -> Answer {
    let (call, [bytes]) = enter(caller, fuel, [name_slice])?;
    let topic = *call.terms.names.topics.get(name(bytes)?).ok_or(Status::Unknown)?;
    let rights = &call.terms.rights;
    allowed(rights.publishes(topic) || rights.subscribes(topic))?;
    Ok(topic.into())
}

fn model(caller: &mut Caller<'_, Host>, fuel: u64, name_slice: GuestSlice) -> Answer {
    let (call, [bytes]) = enter(caller, fuel, [name_slice])?;
    let model = *call.terms.names.models.get(name(bytes)?).ok_or(Status::Unknown)?;
    allowed(call.terms.rights.infers(model))?;
    Ok(model.into())
}

/// Remembers the message for the fault that follows; nothing of it is digested.
fn panic(caller: &mut Caller<'_, Host>, fuel: u64, message: GuestSlice) -> Answer {
    let (call, [message]) = enter(caller, fuel, [message])?;
    within(message, LOG_LINE_BYTES_MAX)?;
    call.turn.message.clear();
    call.turn.message.extend_from_slice(message);
    Ok(0)
}

fn random(caller: &mut Caller<'_, Host>, fuel: u64) -> Answer {
    let (call, []) = enter(caller, fuel, [])?;
    if !call.terms.rights.random {
        return Err(HostError::Misuse.into());
    }
    Ok(call.turn.random())
}

fn tick(caller: &mut Caller<'_, Host>, fuel: u64) -> Answer {
    let (call, []) = enter(caller, fuel, [])?;
    Ok(call.turn.command.tick)
}

/// Defines each call of the table as the function of its name above, which gets the call's base
/// fuel and its arguments; text and bytes as one [`GuestSlice`].
macro_rules! define {
    ($(
        $name:ident($($param:ident: $form:ident),*) -> $answer:ident; $fuel:literal;
        $needs:ident $(($what:literal))?; $($effect:ident = $number:literal $fields:literal)?;
        $doc:literal;
    )*) => {
        fn define(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
            $(define!(@ linker, $name, $fuel, $answer, [] [] $($form)*);)*
            Ok(())
        }
    };
    (@ $linker:ident, $name:ident, $fuel:literal, $answer:ident,
        [$($params:tt)*] [$($arg:tt,)*]) => {
        $linker.func_wrap(
            MODULE,
            stringify!($name),
            |mut guest: Caller<'_, Host>, $($params)*| {
                let answer = $name(&mut guest, $fuel, $($arg,)*);
                let arguments = [$(Argument::from($arg)),*];
                define!(@$answer reply(&mut guest, stringify!($name), &arguments, answer))
            },
        )?
    };
    (@ $linker:ident, $name:ident, $fuel:literal, $answer:ident, [$($params:tt)*] [$($args:tt)*]
        u32 $($rest:ident)*) => {
        define!(@ $linker, $name, $fuel, $answer,
            [$($params)* number: i32,] [$($args)* number,] $($rest)*)
    };
    (@ $linker:ident, $name:ident, $fuel:literal, $answer:ident, [$($params:tt)*] [$($args:tt)*]
        u64 $($rest:ident)*) => {
        define!(@ $linker, $name, $fuel, $answer,
            [$($params)* number: i64,] [$($args)* number,] $($rest)*)
    };
    // Text, bytes, floats.
    (@ $linker:ident, $name:ident, $fuel:literal, $answer:ident, [$($params:tt)*] [$($args:tt)*]
        $slice:ident $($rest:ident)*) => {
        define!(@ $linker, $name, $fuel, $answer,
            [$($params)* at: i32, len: i32,] [$($args)* (at, len),] $($rest)*)
    };
    (@sequence $reply:expr) => { $reply };
    (@number $reply:expr) => { $reply };
    // Handles and statuses fit into an `i32`.
    (@handle $reply:expr) => { $reply.map(|value| value as i32) };
    (@status $reply:expr) => { $reply.map(|value| value as i32) };
}
calls!(define);

/// Every call of the contract, ready to be linked with an admitted module.
///
/// # Errors
/// None that a test would not find: a name defined twice.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    define(&mut linker)?;
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_engine_abi::calls::{CALLS, Type};

    /// The list in the contract and the functions here agree in names and types.
    #[test]
    fn a3_1_the_linker_has_exactly_the_calls_of_the_contract() {
        let engine = Engine::default();
        let linker = linker(&engine).expect("no name twice");
        let imports: String = CALLS
            .iter()
            .map(|call| {
                let text = |ty: Type| if ty == Type::I32 { "i32 " } else { "i64 " };
                let params: String = call.param_types().map(text).collect();
                let (name, result) = (call.name, text(call.answer.kind()));
                format!(
                    "(import \"{MODULE}\" \"{name}\" (func (param {params}) (result {result})))"
                )
            })
            .collect();
        let wasm = wat::parse_str(format!("(module {imports})")).expect("well-formed");
        let module = wasmtime::Module::new(&engine, wasm).expect("valid");
        linker.instantiate_pre(&module).map(drop).expect("every call is defined with its type");
    }
}
