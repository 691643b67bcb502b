//! Instrumentation: the same module with its state visible and its call depth counted.
//!
//! Why rewrite instead of asking the engine: the engine shows exports only, and its stack limit
//! falls at another call on every processor.
//!
//! - Every mutable global is exported as `__we_g0`, `__we_g1`, … in index order, beside whatever
//!   the module exports itself: {memory, state globals} is the whole state.
//! - One global is added, exported as `__we_depth`: the sum of the weights (`depth.rs`) of all
//!   counted frames. It is 0 between calls and no state. Each function that is not a leaf becomes
//!
//! ```text
//!  depth += weight; if depth > DEPTH_WORDS_MAX then unreachable
//!  block (results)
//!    the original body, where `return` became a branch to the end of this block
//!  end
//!  depth -= weight
//! ```
//!
//! A branch to the function's own label now targets the block, at the same depth, so bodies are
//! copied byte for byte between `return`s. After a trap, `__we_depth` above `DEPTH_WORDS_MAX`
//! means that depth was the cause. A counted call costs 12 units of fuel more, an early return 1.
//!
//! - What `guards.rs` guards becomes a call of a function that is added behind the module's own, so
//!   that their indices stay.
//!
//! Custom sections are dropped. Equal input gives equal bytes; what changes the output must raise
//! [`INSTRUMENTATION_VERSION`].

use std::collections::BTreeMap;

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Encode, ExportKind, GlobalSection, GlobalType, Instruction,
    Module, RawSection, SectionId, ValType,
};
use wasmparser::{BinaryReader, Operator, OperatorsReader, Validator};

use crate::admission::depth::DEPTH_WORDS_MAX;
use crate::admission::error::Refusal;
use crate::admission::guards::{Guard, GuardFinder};
use crate::admission::shape::{Defined, Shape};
use crate::profile::AGENT_FEATURES;

/// Version of the rewriting; part of the engine's fingerprint.
pub const INSTRUMENTATION_VERSION: u32 = 2;
/// Export of the depth counter, an `i32`.
pub const DEPTH_EXPORT: &str = "__we_depth";
/// Prefix of the exports of state globals; their ordinal follows.
pub const STATE_GLOBAL_PREFIX: &str = "__we_g";

/// Rewrites a module that has passed all checks.
pub(crate) fn instrument(
    wasm: &[u8],
    shape: &Shape<'_>,
    memory_bytes_max: u64,
) -> Result<Vec<u8>, Refusal> {
    let mut rewriter = Rewriter { wasm, shape, added_types: BTreeMap::new() };
    let code = rewriter.code(memory_bytes_max)?;
    let functions = rewriter.functions();
    let mut module = Module::new();
    let mut globals_done = false;
    for (id, range) in &shape.sections {
        // Globals come right before exports, which every admitted module has.
        if !globals_done && *id == SectionId::Export as u8 {
            raw(&mut module, SectionId::Global as u8, &rewriter.globals(&[]));
        }
        let contents = &wasm[range.clone()];
        if *id == SectionId::Type as u8 {
            raw(&mut module, *id, &rewriter.types(&wasm[shape.types_start..range.end]));
        } else if *id == SectionId::Function as u8 {
            raw(&mut module, *id, &functions);
        } else if *id == SectionId::Global as u8 {
            raw(&mut module, *id, &rewriter.globals(&wasm[shape.globals_start..range.end]));
            globals_done = true;
        } else if *id == SectionId::Export as u8 {
            raw(&mut module, *id, &rewriter.exports(&wasm[shape.exports_start..range.end]));
        } else if *id == SectionId::Code as u8 {
            module.section(&code);
        } else {
            raw(&mut module, *id, contents);
        }
    }
    let bytes = module.finish();
    Validator::new_with_features(AGENT_FEATURES)
        .validate_all(&bytes)
        .map_err(|error| Refusal::Instrumentation { message: error.to_string() })?;
    Ok(bytes)
}

fn raw(module: &mut Module, id: u8, data: &[u8]) {
    module.section(&RawSection { id, data });
}

struct Rewriter<'a> {
    wasm: &'a [u8],
    shape: &'a Shape<'a>,
    /// Parameters and results, encoded, to the index of the type that is added for them.
    added_types: BTreeMap<Vec<u8>, u32>,
}

impl Rewriter<'_> {
    fn code(&mut self, memory_bytes_max: u64) -> Result<CodeSection, Refusal> {
        let mut code = CodeSection::new();
        let mut body = Vec::new();
        for function in &self.shape.functions {
            body.clear();
            match function.weight {
                None if !function.guarded => {
                    code.raw(&self.wasm[function.body.clone()]);
                    continue;
                }
                None => {
                    let locals = function.body.start..function.operators_start;
                    body.extend_from_slice(&self.wasm[locals]);
                    self.copy_body(function, &mut body)?;
                }
                Some(weight) => self.counted(function, weight, &mut body)?,
            }
            code.raw(&body);
        }
        for guard in &self.shape.guards {
            code.function(&guard.body(memory_bytes_max));
        }
        Ok(code)
    }

    /// The function section: types of the module's own functions, then of the guards.
    fn functions(&mut self) -> Vec<u8> {
        let mut section = Vec::new();
        (self.shape.functions.len() + self.shape.guards.len()).encode(&mut section);
        self.shape.functions.iter().for_each(|own| own.type_index.encode(&mut section));
        for guard in &self.shape.guards {
            let (params, results) = guard.signature();
            self.added_type(params, results).encode(&mut section);
        }
        section
    }

    /// Index of a guard's function: behind the module's own.
    fn guard_function(&self, guard: Guard) -> u32 {
        let own = self.shape.imports.len() + self.shape.functions.len();
        let position = self.shape.guards.iter().position(|known| *known == guard);
        // The pass that found the guards saw these same operators.
        (own + position.unwrap_or_default()) as u32
    }

    fn added_type(&mut self, params: &[ValType], results: &[ValType]) -> u32 {
        let mut key = Vec::new();
        for types in [params, results] {
            types.len().encode(&mut key);
            types.iter().for_each(|ty| ty.encode(&mut key));
        }
        let next = (self.shape.types.len() + self.added_types.len()) as u32;
        *self.added_types.entry(key).or_insert(next)
    }

    /// The body of a counted function.
    fn counted(
        &mut self,
        function: &Defined,
        weight: u32,
        body: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let depth = self.depth_global();
        // Lossless: a weight is at most half of DEPTH_WORDS_MAX.
        let weight = Instruction::I32Const(weight as i32);
        body.extend_from_slice(&self.wasm[function.body.start..function.operators_start]);
        for instruction in [
            Instruction::GlobalGet(depth),
            weight.clone(),
            Instruction::I32Add,
            Instruction::GlobalSet(depth),
            Instruction::GlobalGet(depth),
            Instruction::I32Const(DEPTH_WORDS_MAX as i32),
            Instruction::I32GtU,
            Instruction::If(BlockType::Empty),
            Instruction::Unreachable,
            Instruction::End,
            Instruction::Block(self.block_type(function.type_index)),
        ] {
            instruction.encode(body);
        }
        self.copy_body(function, body)?;
        for instruction in [
            Instruction::GlobalGet(depth),
            weight,
            Instruction::I32Sub,
            Instruction::GlobalSet(depth),
            Instruction::End,
        ] {
            instruction.encode(body);
        }
        Ok(())
    }

    /// Copies the operators, the final `end` included, with calls in place of what is guarded
    /// and, in a counted function, branches in place of returns.
    fn copy_body(&self, function: &Defined, body: &mut Vec<u8>) -> Result<(), Refusal> {
        let bytes = &self.wasm[function.operators_start..function.body.end];
        let mut operators = OperatorsReader::new(BinaryReader::new(bytes, 0));
        let (mut nesting, mut copied) = (0_u32, 0);
        let mut finder = GuardFinder::default();
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            let guard = finder.next(&operator);
            match operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    nesting += 1
                }
                // The last `end` closes the function itself.
                Operator::End => nesting = nesting.saturating_sub(1),
                _ => {}
            }
            let instead = match (guard, operator) {
                (Some(guard), _) => Instruction::Call(self.guard_function(guard)),
                (None, Operator::Return) if function.weight.is_some() => Instruction::Br(nesting),
                _ => continue,
            };
            body.extend_from_slice(&bytes[copied..offset]);
            instead.encode(body);
            copied = operators.original_position();
        }
        body.extend_from_slice(&bytes[copied..]);
        Ok(())
    }

    fn block_type(&mut self, type_index: u32) -> BlockType {
        let results = self.shape.types.get(type_index as usize).map_or(&[][..], |ty| ty.results());
        match results {
            [] => BlockType::Empty,
            [one] => BlockType::Result(val_type(*one)),
            several => {
                let several: Vec<ValType> = several.iter().copied().map(val_type).collect();
                BlockType::FunctionType(self.added_type(&[], &several))
            }
        }
    }

    fn types(&self, entries: &[u8]) -> Vec<u8> {
        let mut added: Vec<(&u32, &Vec<u8>)> =
            self.added_types.iter().map(|(types, index)| (index, types)).collect();
        added.sort();
        let mut section = Vec::new();
        (self.shape.types.len() + added.len()).encode(&mut section);
        section.extend_from_slice(entries);
        for (_, types) in added {
            // A function type.
            section.push(0x60);
            section.extend_from_slice(types);
        }
        section
    }

    fn globals(&self, entries: &[u8]) -> Vec<u8> {
        let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        let mut depth = GlobalSection::new();
        depth.global(ty, &ConstExpr::i32_const(0));
        let mut encoded = Vec::new();
        depth.encode(&mut encoded);
        let mut section = Vec::new();
        (self.shape.globals.len() + 1).encode(&mut section);
        section.extend_from_slice(entries);
        // Behind its size and its number of entries, one byte each, lies the entry itself.
        section.extend_from_slice(&encoded[2..]);
        section
    }

    fn exports(&self, entries: &[u8]) -> Vec<u8> {
        let mut section = Vec::new();
        let added = self.shape.state_globals() as usize + 1;
        (self.shape.exports.len() + added).encode(&mut section);
        section.extend_from_slice(entries);
        let state = self.shape.globals.iter().enumerate().filter(|(_, global)| global.mutable);
        for (ordinal, (index, _)) in state.enumerate() {
            export_global(&format!("{STATE_GLOBAL_PREFIX}{ordinal}"), index as u32, &mut section);
        }
        export_global(DEPTH_EXPORT, self.depth_global(), &mut section);
        section
    }

    /// Index of the added global: behind the module's own, of which none is imported.
    fn depth_global(&self) -> u32 {
        self.shape.globals.len() as u32
    }
}

fn export_global(name: &str, index: u32, section: &mut Vec<u8>) {
    name.encode(section);
    ExportKind::Global.encode(section);
    index.encode(section);
}

/// The encoder's name of a type; references can only be to functions (`engine::AGENT_FEATURES`).
fn val_type(ty: wasmparser::ValType) -> ValType {
    match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(_) => ValType::FUNCREF,
    }
}
