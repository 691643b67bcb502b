//! The shape of a module: one pass that validates it, applies the limits, and keeps what the
//! later checks need.
//!
//! Limits come before the work they bound: a count is checked before its section is read, a body
//! before it is validated. Everything the pass keeps borrows from the module's bytes.

use std::collections::BTreeSet;
use std::ops::Range;

use wasmparser::{
    ConstExpr, DataKind, ElementItems, ElementKind, Export, FromReader, FuncToValidate, FuncType,
    FuncValidatorAllocations, FunctionBody, GlobalType, Operator, OperatorsReader, Parser, Payload,
    SectionLimited, TypeRef, ValidPayload, Validator, ValidatorResources,
};

use crate::admission::bounds::{self, ModuleLimits};
use crate::admission::depth::{self, FrameFacts};
use crate::admission::effort::CompileEffort;
use crate::admission::error::Refusal;
use crate::admission::guards::{ARGUMENT_WORDS as GUARD_ARGUMENT_WORDS, Guard, GuardFinder};
use crate::admission::{offered, operators};
use crate::profile::{AGENT_FEATURES, WASM_PAGE_BYTES};

/// An imported function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImportedFunction<'a> {
    pub(crate) module: &'a str,
    pub(crate) name: &'a str,
    pub(crate) type_index: u32,
}

/// Sizes of the one memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct MemoryShape {
    pub(crate) bytes_min: u64,
    pub(crate) bytes_max: u64,
}

/// A defined function: its type, where its body lies, and its weight unless it is a leaf.
#[derive(Clone, Debug)]
pub(crate) struct Defined {
    pub(crate) type_index: u32,
    pub(crate) body: Range<usize>,
    pub(crate) operators_start: usize,
    pub(crate) weight: Option<u32>,
    /// Whether some operator in it needs a guard.
    pub(crate) guarded: bool,
}

/// What one pass over a valid module learnt.
#[derive(Debug, Default)]
pub(crate) struct Shape<'a> {
    pub(crate) types: Vec<FuncType>,
    pub(crate) imports: Vec<ImportedFunction<'a>>,
    pub(crate) functions: Vec<Defined>,
    pub(crate) globals: Vec<GlobalType>,
    pub(crate) exports: Vec<Export<'a>>,
    pub(crate) memory: MemoryShape,
    /// The guards that its functions need.
    pub(crate) guards: BTreeSet<Guard>,
    /// Contents of the manifest sections.
    pub(crate) manifests: Vec<&'a [u8]>,
    /// Every section but custom ones: id and contents, in order.
    pub(crate) sections: Vec<(u8, Range<usize>)>,
    /// Where the entries of a section begin, behind their number, for those that grow.
    pub(crate) types_start: usize,
    pub(crate) globals_start: usize,
    pub(crate) exports_start: usize,
    memories: u32,
    table_elements: u64,
    /// Work for the compiler, of all functions so far.
    effort: u64,
    function_types: Vec<u32>,
}

impl<'a> Shape<'a> {
    /// The type of a function by its index in the module.
    pub(crate) fn function_type(&self, index: u32) -> Option<&FuncType> {
        let index = index as usize;
        let type_index = match self.imports.get(index) {
            Some(import) => import.type_index,
            None => *self.function_types.get(index - self.imports.len())?,
        };
        self.types.get(type_index as usize)
    }

    /// Number of mutable globals.
    pub(crate) fn state_globals(&self) -> u32 {
        // Lossless: `entries_max` is a u32.
        self.globals.iter().filter(|global| global.mutable).count() as u32
    }

    fn section(&mut self, payload: Payload<'a>, limits: &ModuleLimits) -> Result<(), Refusal> {
        match payload {
            Payload::TypeSection(section) => {
                self.types_start = section.original_position();
                for (index, ty) in (0..).zip(section.into_iter_err_on_gc_types()) {
                    let ty = ty?;
                    limits.check_values(index, ty.params().len() + ty.results().len())?;
                    self.types.push(ty);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let (module, name) = (import.module, import.name);
                    let TypeRef::Func(type_index) = import.ty else {
                        return Err(offered::unknown(module, name));
                    };
                    offered::find(module, name)?;
                    self.imports.push(ImportedFunction { module, name, type_index });
                }
                limits.check_entries("imports", self.imports.len() as u32)?;
            }
            Payload::FunctionSection(section) => {
                for type_index in section {
                    self.function_types.push(type_index?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.table_elements = table?.ty.initial;
                    let count = u32::try_from(self.table_elements).unwrap_or(u32::MAX);
                    bounds::too_many("table elements", count, limits.table_elements_max)?;
                }
            }
            Payload::MemorySection(section) => {
                self.memories = section.count();
                for memory in section {
                    self.memory = memory_shape(memory?, limits)?;
                }
            }
            Payload::GlobalSection(section) => {
                self.globals_start = section.original_position();
                for global in section.into_iter_with_offsets() {
                    let (offset, global) = global?;
                    check_global(offset, global.ty)?;
                    self.globals.push(global.ty);
                }
            }
            Payload::ExportSection(section) => {
                self.exports_start = section.original_position();
                for export in section {
                    self.exports.push(export?);
                }
            }
            Payload::ElementSection(section) => self.check_elements(section, limits)?,
            Payload::DataSection(section) => self.check_data(section)?,
            Payload::CustomSection(section)
                if section.name() == wasm_engine_abi::manifest::SECTION =>
            {
                self.manifests.push(section.data());
            }
            _ => {}
        }
        Ok(())
    }

    fn check_elements(
        &self,
        section: SectionLimited<'a, wasmparser::Element<'a>>,
        limits: &ModuleLimits,
    ) -> Result<(), Refusal> {
        let (mut total, mut expressions) = (0_u32, 0_u32);
        for (index, element) in section.into_iter_with_offsets().enumerate() {
            let (offset, element) = element?;
            let (count, computed) = match element.items {
                ElementItems::Functions(items) => (items.count(), 0),
                // Each becomes code that the compiler writes.
                ElementItems::Expressions(_, items) => (items.count(), items.count()),
            };
            total = total.saturating_add(count);
            bounds::too_many("elements in segments", total, limits.table_elements_max)?;
            expressions = expressions.saturating_add(computed);
            limits.check_entries("elements that are expressions", expressions)?;
            match element.kind {
                ElementKind::Passive => return Err(passive("a passive element segment", offset)),
                ElementKind::Declared => {}
                ElementKind::Active { offset_expr, .. } => {
                    let end = constant(&offset_expr)?.saturating_add(count.into());
                    check_inside("element", index, end, self.table_elements)?;
                }
            }
        }
        Ok(())
    }

    fn check_data(&self, section: SectionLimited<'a, wasmparser::Data<'a>>) -> Result<(), Refusal> {
        for (index, data) in section.into_iter_with_offsets().enumerate() {
            let (offset, data) = data?;
            match data.kind {
                DataKind::Passive => return Err(passive("a passive data segment", offset)),
                DataKind::Active { offset_expr, .. } => {
                    let end = constant(&offset_expr)?.saturating_add(data.data.len() as u64);
                    check_inside("data", index, end, self.memory.bytes_min)?;
                }
            }
        }
        Ok(())
    }

    fn body(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'a>,
        limits: &ModuleLimits,
        scratch: &mut FuncValidatorAllocations,
    ) -> Result<(), Refusal> {
        let index = function.index;
        limits.check_body(index, body.as_bytes().len())?;
        let mut facts = FrameFacts::default();
        let locals = self.count_locals(index, body, limits, &mut facts)?;
        let mut validator = function.into_validator(std::mem::take(scratch));
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        let operators_start = reader.original_position();
        let mut operators = OperatorsReader::new(reader);
        let imported = self.imports.len() as u32;
        let mut guards = BTreeSet::new();
        let (mut finder, mut guarded) = (GuardFinder::default(), false);
        let (own, bytes) = (self.function_type(index), body.as_bytes().len());
        let mut effort = CompileEffort::begin(&self.types, own, locals, bytes);
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            operators::check(&operator, offset)?;
            if let Operator::BrTable { targets } = &operator {
                limits.check_br_table(index, targets.len())?;
            }
            let operands = validator.operand_stack_height();
            let reachable = validator.get_control_frame(0).is_some_and(|frame| !frame.unreachable);
            validator.op(offset, &operator)?;
            let called = self.called_type(&operator);
            effort.add(&operator, operands, reachable, called);
            limits.check_effort(index, effort.total())?;
            // The function itself is one frame of control.
            limits.check_nesting(index, validator.control_stack_height().saturating_sub(1))?;
            facts.operands_max = facts.operands_max.max(validator.operand_stack_height());
            facts.kept_words += u64::from(operators::kept_words(&operator));
            facts.calls_guest |= operators::calls_guest(&operator, imported);
            let words = called.map_or(0, depth::signature_words);
            facts.call_words_max = facts.call_words_max.max(words);
            if let Some(guard) = finder.next(&operator) {
                guarded = true;
                guards.insert(guard);
                facts.call_words_max = facts.call_words_max.max(GUARD_ARGUMENT_WORDS);
            }
        }
        operators.finish()?;
        *scratch = validator.into_allocations();
        let effort = effort.total();
        self.effort += effort;
        limits.check_module_effort(self.effort)?;
        self.guards.append(&mut guards);
        let position = self.functions.len();
        self.functions.push(Defined {
            // The validator has matched bodies to declared functions.
            type_index: self.function_types.get(position).copied().unwrap_or_default(),
            body: body.range(),
            operators_start,
            weight: facts.weight(index)?,
            guarded,
        });
        Ok(())
    }

    /// The type of the function that a call operator enters.
    fn called_type(&self, operator: &Operator<'_>) -> Option<&FuncType> {
        match operator {
            Operator::Call { function_index } => self.function_type(*function_index),
            Operator::CallIndirect { type_index, .. } => self.types.get(*type_index as usize),
            _ => None,
        }
    }

    fn count_locals(
        &self,
        index: u32,
        body: &FunctionBody<'a>,
        limits: &ModuleLimits,
        facts: &mut FrameFacts,
    ) -> Result<u64, Refusal> {
        let ty = self.function_type(index);
        let mut count = ty.map_or(0, |ty| ty.params().len() as u64);
        facts.local_words = ty.map_or(0, depth::signature_words);
        for group in body.get_locals_reader()? {
            let (of_type, ty) = group?;
            count += u64::from(of_type);
            facts.local_words += u64::from(of_type) * depth::words(ty);
            limits.check_locals(index, count)?;
        }
        limits.check_locals(index, count)?;
        Ok(count)
    }
}

/// Validates the module against features and limits.
pub(crate) fn read<'a>(wasm: &'a [u8], limits: &ModuleLimits) -> Result<Shape<'a>, Refusal> {
    limits.check_module_bytes(wasm.len())?;
    let mut validator = Validator::new_with_features(AGENT_FEATURES);
    let mut parser = Parser::new(0);
    parser.set_features(AGENT_FEATURES);
    let mut shape = Shape::default();
    let mut scratch = FuncValidatorAllocations::default();
    for payload in parser.parse_all(wasm) {
        let payload = payload?;
        check_count(&payload, limits)?;
        match validator.payload(&payload)? {
            ValidPayload::Func(function, body) => {
                shape.body(function, &body, limits, &mut scratch)?;
            }
            _ => {
                if let Some((id, range)) = payload.as_section()
                    && !matches!(payload, Payload::CustomSection(_))
                {
                    shape.sections.push((id, range));
                }
                shape.section(payload, limits)?;
            }
        }
    }
    if shape.memories != 1 {
        return Err(Refusal::MemoryCount { count: shape.memories });
    }
    Ok(shape)
}

/// Checks how many entries a section claims, before any is read, and refuses a start function.
fn check_count(payload: &Payload<'_>, limits: &ModuleLimits) -> Result<(), Refusal> {
    fn entries<'a, T: FromReader<'a>>(
        what: &'static str,
        section: &SectionLimited<'a, T>,
        limits: &ModuleLimits,
    ) -> Result<(), Refusal> {
        limits.check_entries(what, section.count())
    }
    match payload {
        Payload::TypeSection(section) => entries("types", section, limits),
        Payload::ImportSection(section) => entries("imports", section, limits),
        Payload::FunctionSection(section) => limits.check_functions(section.count()),
        Payload::TableSection(section) => bounds::too_many("tables", section.count(), 1),
        Payload::MemorySection(section) if section.count() != 1 => {
            Err(Refusal::MemoryCount { count: section.count() })
        }
        Payload::GlobalSection(section) => entries("globals", section, limits),
        Payload::ExportSection(section) => entries("exports", section, limits),
        Payload::ElementSection(section) => entries("element segments", section, limits),
        Payload::DataSection(section) => entries("data segments", section, limits),
        Payload::StartSection { range, .. } => Err(Refusal::Forbidden {
            what: "a start function",
            offset: range.start as u64,
            instead: "export it as _initialize (AssemblyScript: --exportStart _initialize) or do \
                      its work in agent_init",
        }),
        _ => Ok(()),
    }
}

fn memory_shape(
    memory: wasmparser::MemoryType,
    limits: &ModuleLimits,
) -> Result<MemoryShape, Refusal> {
    // No overflow: the validator allows at most 65,536 pages.
    let (min, max) = (memory.initial.saturating_mul(WASM_PAGE_BYTES), limits.memory_bytes_max);
    let maximum = memory.maximum.ok_or(Refusal::MemoryUnbounded { min, max })?;
    let bytes = maximum.saturating_mul(WASM_PAGE_BYTES);
    if bytes > max {
        return Err(Refusal::MemoryTooLarge { min, bytes, max });
    }
    Ok(MemoryShape { bytes_min: min, bytes_max: bytes })
}

fn check_global(offset: usize, ty: GlobalType) -> Result<(), Refusal> {
    if !ty.content_type.is_reference_type() {
        return Ok(());
    }
    let instead = "keep a table index in an i32 global";
    Err(Refusal::Forbidden { what: "a global of reference type", offset: offset as u64, instead })
}

fn passive(what: &'static str, offset: usize) -> Refusal {
    Refusal::Forbidden { what, offset: offset as u64, instead: "make the segment active" }
}

/// The value of an offset expression: without imported globals it can only be a constant.
fn constant(expr: &ConstExpr<'_>) -> Result<u64, Refusal> {
    let mut reader = expr.get_operators_reader();
    match reader.read_with_offset()? {
        // The bits of an i32 are an unsigned address.
        (Operator::I32Const { value }, _) => Ok(u64::from(value.cast_unsigned())),
        (_, offset) => Err(Refusal::Forbidden {
            what: "a computed segment offset",
            offset: offset as u64,
            instead: "use a constant",
        }),
    }
}

fn check_inside(what: &'static str, index: usize, end: u64, size: u64) -> Result<(), Refusal> {
    if end > size {
        // Lossless: the number of segments is limited.
        return Err(Refusal::SegmentOutside { what, index: index as u32 });
    }
    Ok(())
}
