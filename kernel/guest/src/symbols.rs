//! Names of a module's functions, and where an offset of the module that runs is in the one that
//! was given.
//!
//! Instrumentation drops custom sections and adds instructions, so the engine knows neither the
//! names nor the offsets that a developer sees. Both are found here, from the bytes of both
//! modules, when a turn faults. Nothing is decided by it: what cannot be read has no name.

use wasm_engine_abi::limits::NAME_BYTES_MAX;
use wasmparser::{
    FunctionBody, KnownCustom, Name, NameSectionReader, Operator, Parser, Payload, TypeRef,
};

use crate::admission::Admitted;
use crate::call_note::Trace;

/// Bytes of a name as its compiler wrote it, of which more is not looked at.
const MANGLED_BYTES_MAX: usize = 1024;

fn cut(name: &str, bytes_max: usize) -> &str {
    &name[..name.floor_char_boundary(name.len().min(bytes_max))]
}

/// What names the functions of a module.
pub(crate) struct Symbols {
    original: Vec<u8>,
    instrumented: Vec<u8>,
}

impl std::fmt::Debug for Symbols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Symbols").field("bytes", &self.original.len()).finish_non_exhaustive()
    }
}

/// Functions of a module as far as a trace needs them.
#[derive(Default)]
struct Functions<'a> {
    imported: u32,
    bodies: Vec<FunctionBody<'a>>,
    names: Option<NameSectionReader<'a>>,
}

impl<'a> Functions<'a> {
    fn read(wasm: &'a [u8]) -> Self {
        let mut functions = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload {
                Ok(Payload::ImportSection(imports)) => {
                    let imports = imports.into_imports().flatten();
                    let count = imports.filter(|import| matches!(import.ty, TypeRef::Func(_)));
                    functions.imported = count.count() as u32;
                }
                Ok(Payload::CodeSectionEntry(body)) => functions.bodies.push(body),
                Ok(Payload::CustomSection(section)) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        functions.names = Some(names);
                    }
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        functions
    }

    fn body(&self, index: u32) -> Option<&FunctionBody<'a>> {
        self.bodies.get(index.checked_sub(self.imported)? as usize)
    }

    fn name(&self, index: u32) -> Option<String> {
        let mut sections = self.names.clone()?;
        let functions = sections.find_map(|section| match section {
            Ok(Name::Function(functions)) => Some(functions),
            _ => None,
        })?;
        let mut names = functions.into_iter().flatten();
        let name = names.find(|name| name.index == index)?.name;
        // Compilers write their own form of names; a name that is no such form stays as it is.
        let name = format!("{:#}", rustc_demangle::demangle(cut(name, MANGLED_BYTES_MAX)));
        Some(cut(&name, NAME_BYTES_MAX as usize).to_owned())
    }
}

impl Symbols {
    pub(crate) fn of(admitted: &Admitted) -> Self {
        Self { original: admitted.original.clone(), instrumented: admitted.wasm.clone() }
    }

    /// The frames of a trace in words: function, and its place in the module as it was given.
    #[cold]
    pub(crate) fn describe(&self, trace: &Trace) -> Vec<String> {
        let (given, run) = (Functions::read(&self.original), Functions::read(&self.instrumented));
        let frame = |&(index, offset): &(u32, Option<usize>)| {
            let name = given.name(index).unwrap_or_else(|| format!("function {index}"));
            let at = offset.and_then(|offset| original_offset(&given, &run, index, offset));
            match at {
                Some(at) => format!("{name} at {at:#x}"),
                None => name,
            }
        };
        trace.0.iter().map(frame).collect()
    }
}

/// Where in the given module the instruction is that lies `offset` bytes into function `index` of
/// the module that runs: instrumentation adds some before the first, and changes none but `return`.
fn original_offset(
    given: &Functions<'_>,
    run: &Functions<'_>,
    index: u32,
    offset: usize,
) -> Option<usize> {
    let (given, run) = (given.body(index)?, run.body(index)?);
    let wanted = run.range().start + offset;
    let run = positions(run)?;
    let given = positions(given)?;
    // Of a function that is not counted nothing was added; else as much before as is missing after.
    let added = if run.len() == given.len() { 0 } else { ADDED_BEFORE };
    let ordinal = run.partition_point(|&at| at <= wanted).checked_sub(1)?;
    given.get(ordinal.saturating_sub(added)).copied()
}

/// Instructions before the first of a counted function, as `admission/instrument.rs` adds them.
const ADDED_BEFORE: usize = 11;

/// Where the instructions of a function lie in its module.
fn positions(body: &FunctionBody<'_>) -> Option<Vec<usize>> {
    let operators = body.get_operators_reader().ok()?;
    let positions: Result<Vec<(Operator<'_>, usize)>, _> =
        operators.into_iter_with_offsets().collect();
    Some(positions.ok()?.into_iter().map(|(_, at)| at).collect())
}
