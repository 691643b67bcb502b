//! What modules may use and how deep they may go: numbers that admission and engine share.

use wasmparser::WasmFeatures;

/// Native stack that guest frames may use before the engine traps.
pub const WASM_STACK_BYTES_MAX: usize = 1 << 20;

/// Smallest stack of a thread that calls into guests: the guest's share and 1 MiB for the host.
///
/// A thread with less dies of a segmentation fault where it should see a trap.
pub const THREAD_STACK_BYTES_MIN: usize = WASM_STACK_BYTES_MAX + (1 << 20);

/// Features a module may use: WebAssembly 2.0 without `externref`.
pub(crate) const AGENT_FEATURES: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD);

/// Bytes of a page of a linear memory.
pub(crate) const WASM_PAGE_BYTES: u64 = 64 << 10;

/// Elements of an agent's table, at most.
pub(crate) const TABLE_ELEMENTS_MAX: u32 = 10_000;
