//! Exports: the functions and the memory that the guest contract asks of a module.
//!
//! A module may export more; names that begin with `__we_` belong to the instrumentation.

use wasm_engine_abi::calls::INITIALIZE;
use wasmparser::{ExternalKind, FuncType, KnownCustom, Name, Parser, Payload, ValType};

use crate::admission::error::Refusal;
use crate::admission::imports::type_text;
use crate::admission::shape::Shape;

/// Prefix of the names that instrumentation adds.
pub(crate) const RESERVED_PREFIX: &str = "__we_";

/// How wasm-ld names the function that it exports in place of one that it wraps.
const WRAPPER_ENDING: &str = ".command_export";

/// Functions every module exports, by name, with the parameters they take; all return an `i32`.
const FUNCTIONS: [(&str, &[ValType]); 6] = [
    ("agent_init", &[]),
    ("agent_receive", &[ValType::I32]),
    ("agent_step", &[ValType::I32]),
    ("agent_shutdown", &[]),
    ("agent_inbox", &[]),
    ("agent_inbox_cap", &[]),
];

/// Checks the exports of the module.
pub(crate) fn check(shape: &Shape<'_>) -> Result<(), Refusal> {
    if let Some(export) = shape.exports.iter().find(|e| e.name.starts_with(RESERVED_PREFIX)) {
        let (name, prefix) = (export.name.to_owned(), RESERVED_PREFIX);
        return Err(Refusal::ReservedExport { name, prefix });
    }
    let found = shape.exports.iter().find(|export| export.name == "memory");
    if found.is_none_or(|export| export.kind != ExternalKind::Memory) {
        let found = found.map_or("missing".to_owned(), |export| kind_text(export.kind));
        return Err(Refusal::Export { name: "memory", found, expected: "the memory".to_owned() });
    }
    let i32 = &[ValType::I32][..];
    for (name, params) in FUNCTIONS {
        check_function(shape, name, params, i32)?;
    }
    if shape.exports.iter().any(|export| export.name == INITIALIZE) {
        check_function(shape, INITIALIZE, &[], &[])?;
    }
    Ok(())
}

/// Refuses a module whose exports are wrappers that a linker made for a program which runs once and
/// ends: each runs the constructors first. Only the names that linkers give them tell them apart
/// from a function that happens to call another one first, so without names they pass.
pub(crate) fn check_wrappers(wasm: &[u8], shape: &Shape<'_>) -> Result<(), Refusal> {
    let exported = |index| {
        let of_contract = |name: &str| FUNCTIONS.iter().any(|(known, _)| *known == name);
        shape.exports.iter().any(|export| {
            export.kind == ExternalKind::Func && export.index == index && of_contract(export.name)
        })
    };
    for payload in Parser::new(0).parse_all(wasm).flatten() {
        let Payload::CustomSection(section) = payload else { continue };
        let KnownCustom::Name(names) = section.as_known() else { continue };
        let wrapped = names.flatten().any(|name| match name {
            Name::Function(functions) => functions
                .into_iter()
                .flatten()
                .any(|named| named.name.ends_with(WRAPPER_ENDING) && exported(named.index)),
            _ => false,
        });
        if wrapped {
            return Err(Refusal::WrappedExports);
        }
    }
    Ok(())
}

fn check_function(
    shape: &Shape<'_>,
    name: &'static str,
    params: &[ValType],
    results: &[ValType],
) -> Result<(), Refusal> {
    let expected = FuncType::new(params.iter().copied(), results.iter().copied());
    let found = match shape.exports.iter().find(|export| export.name == name) {
        None => "missing".to_owned(),
        Some(export) if export.kind != ExternalKind::Func => kind_text(export.kind),
        Some(export) => match shape.function_type(export.index) {
            Some(found) if *found == expected => return Ok(()),
            Some(found) => type_text(found),
            None => "missing".to_owned(),
        },
    };
    let expected = format!("a function {}", type_text(&expected));
    Err(Refusal::Export { name, found, expected })
}

fn kind_text(kind: ExternalKind) -> String {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => "a function",
        ExternalKind::Table => "a table",
        ExternalKind::Memory => "a memory",
        ExternalKind::Global => "a global",
        ExternalKind::Tag => "a tag",
    }
    .to_owned()
}
