//! The host calls about models: their names, and requests.
//!
//! A row's length is checked here, for it is all there is to it. A list of tensors is only bounded:
//! what in it is not what the model takes is said by the reply (SEMANTICS I3.3), so a call costs no
//! more than its bytes.

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::effect;
use wasm_engine_abi::limits::INFERENCE_BYTES_MAX;
use wasmtime::Caller;

use crate::call::{Answer, GuestSlice, Quota, Wanted, allowed, enter, handle, name, within};
use crate::terms::KnownModel;
use crate::turn::Host;

pub(crate) fn infer(
    caller: &mut Caller<'_, Host>,
    fuel: u64,
    model: i32,
    row: GuestSlice,
) -> Answer {
    ask(caller, fuel, effect::INFER, model, row, |model, len| model.row_bytes == Some(len))
}

pub(crate) fn infer_tensors(
    caller: &mut Caller<'_, Host>,
    fuel: u64,
    model: i32,
    tensors: GuestSlice,
) -> Answer {
    let fits = |model: &KnownModel, len| len <= model.request_bytes_max;
    ask(caller, fuel, effect::INFER_TENSORS, model, tensors, fits)
}

/// Asks a model with bytes whose length `fits` it.
fn ask(
    caller: &mut Caller<'_, Host>,
    fuel: u64,
    kind: u32,
    model: i32,
    bytes: GuestSlice,
    fits: impl Fn(&KnownModel, u64) -> bool,
) -> Answer {
    let (call, [bytes]) = enter(caller, fuel, [bytes])?;
    within(bytes, INFERENCE_BYTES_MAX)?;
    let model = handle(model, call.terms.names.known_models.len())?;
    allowed(call.terms.rights.infers(model))?;
    if !fits(&call.terms.names.known_models[model as usize], bytes.len() as u64) {
        return Err(Status::Invalid.into());
    }
    let wanted = Wanted::answered(kind, model.into());
    call.accept(&Wanted { payload: Some(bytes), quota: Quota::Requests, ..wanted })
}

pub(crate) fn model(caller: &mut Caller<'_, Host>, fuel: u64, model: GuestSlice) -> Answer {
    let (call, [bytes]) = enter(caller, fuel, [model])?;
    let model = *call.terms.names.models.get(name(bytes)?).ok_or(Status::Unknown)?;
    allowed(call.terms.rights.infers(model))?;
    Ok(model.into())
}

pub(crate) fn model_input(
    caller: &mut Caller<'_, Host>,
    fuel: u64,
    model: i32,
    input: GuestSlice,
) -> Answer {
    port(caller, fuel, model, input, |model| &model.inputs)
}

pub(crate) fn model_output(
    caller: &mut Caller<'_, Host>,
    fuel: u64,
    model: i32,
    output: GuestSlice,
) -> Answer {
    port(caller, fuel, model, output, |model| &model.outputs)
}

/// The number of a port by its name.
fn port(
    caller: &mut Caller<'_, Host>,
    fuel: u64,
    model: i32,
    port: GuestSlice,
    ports: impl Fn(&KnownModel) -> &std::collections::BTreeMap<String, u32>,
) -> Answer {
    let (call, [bytes]) = enter(caller, fuel, [port])?;
    let name = name(bytes)?;
    let model = handle(model, call.terms.names.known_models.len())?;
    let ports = ports(&call.terms.names.known_models[model as usize]);
    let port = *ports.get(name).ok_or(Status::Unknown)?;
    allowed(call.terms.rights.infers(model))?;
    Ok(port.into())
}
