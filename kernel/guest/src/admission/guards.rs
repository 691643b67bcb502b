//! Functions of our own in front of `memory.grow`, `memory.fill` and `memory.copy`.
//!
//! Why: the engine charges these three by their length before it looks whether they can be done.
//! So a `memory.grow` that must give −1 ends as a fault for fuel, and a fill or copy far outside
//! the memory as well. A guard looks first, at a price that does not depend on the length:
//!
//! ```text
//!  grow(pages)           -1 beyond the limit of the memory, else memory.grow
//!  fill(to, value, len)  an access out of bounds if to + len lies outside, else memory.fill
//!  copy(to, from, len)   the same for both ends, else memory.copy
//! ```
//!
//! A fill or copy whose length is a constant of at most [`SHORT_BYTES_MAX`], right before it, stays
//! as it is: compilers turn those into a few stores, and their price is small.

use wasm_encoder::{BlockType, Function, Instruction as I, MemArg, ValType};
use wasmparser::Operator;

use crate::profile::WASM_PAGE_BYTES;

/// Constant length up to which a fill or copy needs no guard.
const SHORT_BYTES_MAX: u32 = 128;
/// log2 of a page.
const WASM_PAGE_SHIFT: i64 = 16;

/// Words that the arguments of the largest guard take.
pub(crate) const ARGUMENT_WORDS: u64 = 3;

/// What is guarded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Guard {
    Grow,
    Fill,
    Copy,
}

/// Sees the operators of a function in order and says which need a guard.
#[derive(Debug, Default)]
pub(crate) struct GuardFinder {
    /// Whether the operator before is a constant that is a short length.
    short: bool,
}

impl GuardFinder {
    /// The guard that `operator` needs, if any.
    pub(crate) fn next(&mut self, operator: &Operator<'_>) -> Option<Guard> {
        let after_short = std::mem::replace(&mut self.short, is_short(operator));
        match operator {
            Operator::MemoryGrow { .. } => Some(Guard::Grow),
            Operator::MemoryFill { .. } if !after_short => Some(Guard::Fill),
            Operator::MemoryCopy { .. } if !after_short => Some(Guard::Copy),
            _ => None,
        }
    }
}

fn is_short(operator: &Operator<'_>) -> bool {
    matches!(operator, Operator::I32Const { value } if value.cast_unsigned() <= SHORT_BYTES_MAX)
}

impl Guard {
    /// Parameters and results, as the type section has them.
    pub(crate) fn signature(self) -> (&'static [ValType], &'static [ValType]) {
        match self {
            Self::Grow => (&[ValType::I32], &[ValType::I32]),
            Self::Fill | Self::Copy => (&[ValType::I32, ValType::I32, ValType::I32], &[]),
        }
    }

    /// The body, with its locals, for a memory that may grow to `memory_bytes_max`.
    pub(crate) fn body(self, memory_bytes_max: u64) -> Function {
        let mut body = Function::new([]);
        let mut add = |instructions: &[I<'_>]| {
            for instruction in instructions {
                body.instruction(instruction);
            }
        };
        match self {
            Self::Grow => {
                // Lossless: a memory has at most 65,536 pages; one limit lies above its size.
                let pages_max = (memory_bytes_max / WASM_PAGE_BYTES) as i32;
                add(&[I::LocalGet(0), I::I32Const(pages_max), I::MemorySize(0), I::I32Sub]);
                add(&[I::I32GtU, I::If(BlockType::Result(ValType::I32)), I::I32Const(-1), I::Else]);
                add(&[I::LocalGet(0), I::MemoryGrow(0), I::End]);
            }
            Self::Fill => {
                add(&ends_outside(0));
                add(&trap_out_of_bounds());
                add(&[I::LocalGet(0), I::LocalGet(1), I::LocalGet(2), I::MemoryFill(0)]);
            }
            Self::Copy => {
                add(&ends_outside(0));
                add(&ends_outside(1));
                add(&[I::I32Or]);
                add(&trap_out_of_bounds());
                add(&[I::LocalGet(0), I::LocalGet(1), I::LocalGet(2)]);
                add(&[I::MemoryCopy { src_mem: 0, dst_mem: 0 }]);
            }
        }
        add(&[I::End]);
        body
    }
}

/// Whether the length in parameter 2 leads from the address in `parameter` out of the memory.
fn ends_outside(parameter: u32) -> [I<'static>; 10] {
    [
        I::LocalGet(parameter),
        I::I64ExtendI32U,
        I::LocalGet(2),
        I::I64ExtendI32U,
        I::I64Add,
        I::MemorySize(0),
        I::I64ExtendI32U,
        I::I64Const(WASM_PAGE_SHIFT),
        I::I64Shl,
        I::I64GtU,
    ]
}

/// If the condition holds, an access that is out of bounds in the largest memory there can be.
fn trap_out_of_bounds() -> [I<'static>; 5] {
    let beyond = MemArg { offset: u32::MAX.into(), align: 0, memory_index: 0 };
    [I::If(BlockType::Empty), I::I32Const(-1), I::I64Load(beyond), I::Drop, I::End]
}
