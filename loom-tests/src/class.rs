//! How each word of a model's memory is used.

use wasm_engine_shm::mem::Mem;

/// How a word is used, for life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Never touched.
    Unused,
    /// Atomic 64-bit accesses.
    Atomic,
    /// As atomic, but not explored: more words of a message of which others stand for all. A load
    /// returns the newest value, so no model may depend on it.
    Alike,
    /// Plain accesses and windows.
    Plain,
    /// A 32-bit doorbell.
    Bell,
}

/// Memory whose words have classes.
pub trait Classed: Mem {
    /// Zeroed memory of `len_bytes`, whose words have the classes given. To be made inside a model.
    fn classed(len_bytes: usize, class: impl Fn(usize) -> Class) -> Self;
}
