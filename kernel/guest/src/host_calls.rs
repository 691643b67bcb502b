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
//! that depend on a handle (`infer`, `infer_tensors`) are checked after 3. All bytes that a call
//! names are charged, names too, and rounded down together. Calls that name a channel pay for their
//! patterns too. `random` has no room for a status: without the right it is misuse.
//!
//! What a call refused or broke is noted for the operator (`fault.rs`); guests learn nothing of it.
//!
//! What this does not do: it keeps no state of its own; everything is in the
//! [`TurnContext`](crate::turn::TurnContext). What all calls do alike is in `call.rs`, those about
//! models are in `model_calls.rs`.

use wasm_engine_abi::calls;
use wasm_engine_abi::calls::{BYTES_PER_FUEL, MODULE, Status};
use wasm_engine_abi::frame::effect;
use wasm_engine_abi::limits::{ARGS_BYTES_MAX, LOG_LINE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use wasm_engine_abi::pattern;
use wasm_engine_abi::task::TaskParts;
use wasm_engine_setup::channel_key;
use wasmtime::{Caller, Engine, Linker};

use crate::call::{
    Answer, Call, GuestSlice, Refused, Wanted, allowed, charge, enter, handle, name, reply, within,
};
use crate::call_note::Argument;
use crate::model_calls::{infer, infer_tensors, model, model_input, model_output};
use crate::turn::{Host, HostError};

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
    let topic = handle(topic, call.terms.names.topic_names.len())?;
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
    let topic = handle(topic, call.terms.names.topic_names.len())?;
    allowed(call.terms.rights.subscribes(topic))?;
    let answer = kind == effect::SUBSCRIBE;
    call.accept(&Wanted { answer, ..Wanted::plain(kind, topic.into()) })
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

fn schedule(caller: &mut Caller<'_, Host>, fuel: u64, agent: i64, task: GuestSlice) -> Answer {
    let (call, [task]) = enter(caller, fuel, [task])?;
    within(task, PAYLOAD_BYTES_MAX)?;
    if TaskParts::parse(task, call.terms.dependencies_max).is_none() {
        return Err(Status::Invalid.into());
    }
    allowed(call.terms.rights.schedule)?;
    let wanted = Wanted::answered(effect::SCHEDULE, agent as u64);
    call.accept(&Wanted { payload: Some(task), ..wanted })
}

/// Marks the turn; what is kept is the state behind it. The whole memory is what it names.
fn save(caller: &mut Caller<'_, Host>, fuel: u64) -> Answer {
    let memory = caller.data().memory.ok_or(HostError::OutsideTurn)?;
    let memory_fuel = memory.data_size(&*caller) as u64 / BYTES_PER_FUEL;
    let (call, []) = enter(caller, fuel + memory_fuel, [])?;
    allowed(call.terms.rights.save)?;
    call.accept(&Wanted::plain(effect::SAVE, 0))
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

/// The next of the topics that a pattern matches and that the agent may publish or subscribe to. A
/// topic that is looked at costs fuel by its name.
fn next_topic(
    caller: &mut Caller<'_, Host>,
    fuel: u64,
    pattern_slice: GuestSlice,
    after: i32,
) -> Answer {
    let (call, [bytes]) = enter(caller, fuel, [pattern_slice])?;
    let wanted = name(bytes)?;
    if !pattern::is_well_formed(wanted) {
        return Err(Status::Invalid.into());
    }
    let (names, rights) = (&call.terms.names.topic_names, &call.terms.rights);
    // Behind the largest number is the first topic.
    let begin = (after as u32).wrapping_add(1);
    if begin as usize > names.len() {
        return Err(Status::Unknown.into());
    }
    let (mut found, mut looked_at) = (Err(Status::Unknown), 0);
    for (topic, name) in (begin..).zip(&names[begin as usize..]) {
        looked_at += 1 + name.len() as u64 / BYTES_PER_FUEL;
        let has_right = rights.publishes(topic) || rights.subscribes(topic);
        if has_right && pattern::covers(wanted, name) {
            found = Ok(topic.into());
            break;
        }
    }
    charge(caller, looked_at)?;
    Ok(found?)
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
