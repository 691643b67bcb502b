//! Imports: host calls of the guest contract, with their exact types, opened by the manifest.
//!
//! The list of calls is `wasm_engine_abi::calls::CALLS`, the same that guests declare them from.

use wasm_engine_abi::calls::{Call, Needs, Type};
use wasmparser::{FuncType, ValType};

use crate::admission::error::Refusal;
use crate::admission::manifest::Manifest;
use crate::admission::offered;
use crate::admission::shape::Shape;

/// Checks every import of the module.
pub(crate) fn check(shape: &Shape<'_>, manifest: &Manifest) -> Result<(), Refusal> {
    for import in &shape.imports {
        let call = offered::find(import.module, import.name)?;
        check_type(call, shape.types.get(import.type_index as usize))?;
        if !manifest.opens(call.needs) {
            let (name, capability) = (call.name.to_owned(), describe(call.needs));
            return Err(Refusal::NotGranted { name, capability });
        }
    }
    Ok(())
}

fn check_type(call: &Call, found: Option<&FuncType>) -> Result<(), Refusal> {
    let params: Vec<ValType> = call.param_types().map(val_type).collect();
    let expected = FuncType::new(params, [val_type(call.answer.kind())]);
    if found == Some(&expected) {
        return Ok(());
    }
    Err(Refusal::ImportType {
        name: call.name.to_owned(),
        found: found.map_or_else(|| "none".to_owned(), type_text),
        expected: type_text(&expected),
    })
}

fn val_type(ty: Type) -> ValType {
    match ty {
        Type::I32 => ValType::I32,
        Type::I64 => ValType::I64,
    }
}

fn describe(needs: Needs) -> String {
    match needs {
        Needs::Nothing => String::new(),
        Needs::Capability(name) => name.to_owned(),
        Needs::Pattern(prefix) => format!("{prefix}PATTERN"),
    }
}

/// A function type as messages show it: `(i32, i32) -> (i64)`.
pub(crate) fn type_text(ty: &FuncType) -> String {
    let list =
        |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("({}) -> ({})", list(ty.params()), list(ty.results()))
}
