//! How deep calls may nest: a budget of frame words counted in the module itself.
//!
//! Why: at which call a native stack overflows depends on processor, compiler options and memory
//! layout. So each function that can enter another takes its *weight* from a budget on entry and
//! traps, at the same call everywhere, when the budget is exceeded (`instrument.rs`).
//!
//! ```text
//!  weight = 8                 return address, saved registers, alignment
//!         + params + locals   each 1, or 2 where 128 bits wide
//!         + results
//!         + largest call      parameters and results of the largest one made, passed in memory
//!         + 2 * operands_max  an operand may be 128 bits wide
//!         + kept / 2          values the compiler may keep longer than the operand stack does
//! ```
//!
//! The arithmetic: [`DEPTH_WORDS_MAX`] words of 8 bytes are a quarter of the native stack, so a
//! frame may be four times its weight before native overflow comes first. What makes frames larger
//! than their operands is common subexpressions and loop invariants: one kept value for each
//! computing operator at most, twice what `kept / 2` says. Measured on x86-64, the fattest frames
//! known take 0.35 to 0.75 of their weight (`kernel/guest/tests/guest/admission.rs` recurses to the
//! limit with them). A leaf, which enters no other function of the module, is not counted and pays
//! nothing; it adds one frame of at most [`WEIGHT_MAX`] words to a stack.
//!
//! Not covered: this is an estimate with a margin, not a proof about the compiler. If a frame
//! beats the margin the engine still traps, safely, as a stack overflow.

use wasmparser::{FuncType, ValType};

use crate::admission::bounds;
use crate::admission::error::Refusal;
use crate::profile::WASM_STACK_BYTES_MAX;

/// Sum of the weights of all frames at once; the call that would exceed it traps.
pub const DEPTH_WORDS_MAX: u32 = (WASM_STACK_BYTES_MAX / 8 / 4) as u32;

/// Weight of one function, at most.
pub(crate) const WEIGHT_MAX: u32 = DEPTH_WORDS_MAX / 2;

const WORDS_FIXED: u64 = 8;

/// What one function's body says about its native frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FrameFacts {
    /// Words of its parameters, locals and results.
    pub(crate) local_words: u64,
    /// Words of the parameters and results of the largest call it makes.
    pub(crate) call_words_max: u64,
    /// Most operands on the stack at once.
    pub(crate) operands_max: u32,
    /// Sum of `operators::kept_words`.
    pub(crate) kept_words: u64,
    /// Whether it can enter another function of the module.
    pub(crate) calls_guest: bool,
}

impl FrameFacts {
    /// The weight of function `function`; `None` for a leaf.
    pub(crate) fn weight(&self, function: u32) -> Result<Option<u32>, Refusal> {
        let words = WORDS_FIXED
            + self.local_words
            + self.call_words_max
            + 2 * u64::from(self.operands_max)
            + self.kept_words.div_ceil(2);
        bounds::too_large(function, "words of stack frame", words, WEIGHT_MAX.into())?;
        // Lossless: at most WEIGHT_MAX.
        Ok(self.calls_guest.then_some(words as u32))
    }
}

/// Words a value of this type takes in a frame.
pub(crate) fn words(ty: ValType) -> u64 {
    if ty == ValType::V128 { 2 } else { 1 }
}

/// Words of a function's parameters and results.
pub(crate) fn signature_words(ty: &FuncType) -> u64 {
    ty.params().iter().chain(ty.results()).copied().map(words).sum()
}
