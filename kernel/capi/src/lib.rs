//! The kernel inside programs of other languages: the C functions of `include/wasm_engine.h`.
//!
//! ```text
//!  C, Python, ...  ->  general, builder, host, commands,  the exported functions, a line each
//!                          |  tasks
//!                          |  raw      arguments: pointers, lengths, texts
//!                          |  guard    panics end here; the text of the last error
//!                          v  handles  numbers -> what they name; busy, gone, forked
//!                     wasm_engine::host
//! ```
//! Handles are numbers that are never used twice, and not pointers: so a handle after its end, of
//! another kind, from a callback or from two threads at once is a result and never a crash. What a
//! pointer names is the caller's promise; null, texts without an end, invalid UTF-8 and structs of
//! another size are results too.
//!
//! The header is made of these files by cbindgen and compared (`kernel/capi/header/`); the table of
//! functions, structs and codes in `python/wasm_engine.py` is made of the header and compared.
//! `unsafe` code stands in `raw.rs` only; the files of functions export their names.
#![deny(unsafe_code)]

mod builder;
mod commands;
mod general;
mod guard;
mod handles;
mod host;
mod raw;
mod result;
mod structs;
mod tasks;

pub use builder::*;
pub use commands::*;
pub use general::*;
pub use host::*;
pub use raw::{
    BytesArg, CallerContext, OutArg, OutOutcome, OutOutput, OutPoll, OutSnapshot, OutTaskOutcome,
    OutText, OutTickReport, OutU64, StructOut, TextArg, U64sArg,
};
pub use result::we_result;
pub use structs::*;
pub use tasks::*;
