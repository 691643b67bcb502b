//! Operators a valid module still may not use, and what an operator may add to a native frame.
//!
//! Why: an agent's state is its memory and its mutable globals, nothing else. A table that
//! changes or a segment that is dropped would be state that no snapshot sees.

use wasmparser::Operator;

use crate::admission::error::Refusal;

/// Refuses an operator that changes tables or segments.
pub(crate) fn check(operator: &Operator<'_>, offset: usize) -> Result<(), Refusal> {
    let what = match operator {
        Operator::TableSet { .. } => "table.set",
        Operator::TableFill { .. } => "table.fill",
        Operator::TableCopy { .. } => "table.copy",
        Operator::TableInit { .. } => "table.init",
        Operator::TableGrow { .. } => "table.grow",
        Operator::ElemDrop { .. } => "elem.drop",
        Operator::DataDrop { .. } => "data.drop",
        Operator::MemoryInit { .. } => "memory.init",
        _ => return Ok(()),
    };
    let instead = "keep changing state in memory or globals";
    Err(Refusal::Forbidden { what, offset: offset as u64, instead })
}

/// Whether the operator can enter another function of the module.
pub(crate) fn calls_guest(operator: &Operator<'_>, imported_functions: u32) -> bool {
    match operator {
        Operator::Call { function_index } => *function_index >= imported_functions,
        Operator::CallIndirect { .. } => true,
        _ => false,
    }
}

/// Words of native frame that the operator's value may keep occupied beyond its place on the
/// operand stack, because the compiler may compute it once and keep it: 0 for those that compute
/// nothing or whose value is cheaper to make again, 2 where it may be 128 bits wide, else 1.
pub(crate) fn kept_words(operator: &Operator<'_>) -> u32 {
    macro_rules! words {
        ($(
            @$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })?
                => $visit:ident ($($ann:tt)*)
        )*) => {
            match operator {
                Operator::Unreachable
                | Operator::Nop
                | Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::Else
                | Operator::End
                | Operator::Br { .. }
                | Operator::BrIf { .. }
                | Operator::BrTable { .. }
                | Operator::Return
                | Operator::Call { .. }
                | Operator::CallIndirect { .. }
                | Operator::Drop
                | Operator::LocalGet { .. }
                | Operator::LocalSet { .. }
                | Operator::LocalTee { .. }
                | Operator::GlobalSet { .. }
                | Operator::I32Const { .. }
                | Operator::I64Const { .. }
                | Operator::MemoryGrow { .. }
                | Operator::MemoryFill { .. }
                | Operator::MemoryCopy { .. } => 0,
                // A module has few globals, but they may be 128 bits wide.
                Operator::GlobalGet { .. } => 2,
                $(Operator::$op { .. } => wide(stringify!($proposal)),)*
                _ => 2,
            }
        };
    }
    #[expect(unreachable_patterns, reason = "the list of all operators repeats those above")]
    {
        wasmparser::for_each_operator!(words)
    }
}

const fn wide(proposal: &str) -> u32 {
    if matches!(proposal.as_bytes(), b"simd") { 2 } else { 1 }
}
