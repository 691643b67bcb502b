//! Admission: from bytes somebody sent to a module the engine may compile.
//!
//! Why: a module is refused before it costs anything, with the rule it broke by name, and what is
//! admitted has three properties the rest of the kernel relies on:
//!
//! 1. {memory, exported state globals} is the whole state: nothing else in the instance can
//!    change (`operators.rs`), and every mutable global is exported (`instrument.rs`).
//! 2. It is instantiated without running guest code and cannot fail to be, but for a failure of
//!    the machine (`shape.rs`: no start function, segments in bounds; `bounds.rs`: sizes).
//! 3. Too deep recursion traps at the same call on every machine (`depth.rs`).
//! 4. A growth, fill or copy that cannot be is answered as such, whatever fuel is left
//!    (`guards.rs`).
//!
//! ```text
//!  bytes -> shape.rs (bounds.rs, operators.rs, depth.rs, effort.rs, guards.rs, offered.rs)
//!        -> manifest.rs (capability.rs)
//!        -> imports.rs -> exports.rs -> instrument.rs -> Admitted
//! ```
//!
//! It does no IO, reads no clock, and is a pure function of its arguments: equal bytes give equal
//! bytes. It does not check signatures, compile, or cache.

mod bounds;
mod capability;
mod depth;
mod effort;
mod error;
mod exports;
mod guards;
mod imports;
mod instrument;
mod manifest;
mod offered;
mod operators;
mod shape;

pub use bounds::ModuleLimits;
pub use capability::{Capability, Pattern};
pub use depth::DEPTH_WORDS_MAX;
pub use error::{AdmissionError, Refusal};
pub use instrument::{DEPTH_EXPORT, INSTRUMENTATION_VERSION, STATE_GLOBAL_PREFIX};
pub use manifest::{Manifest, attach_manifest};

/// A module that may be compiled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admitted {
    /// What the module says about itself.
    pub manifest: Manifest,
    /// The module as configured: what a log carries.
    pub original: Vec<u8>,
    /// The module to compile: the original, instrumented.
    pub wasm: Vec<u8>,
    /// blake3 of the original bytes: the module's identity in logs and checkpoints.
    pub hash: [u8; 32],
    /// Number of state globals, exported as `__we_g0`, `__we_g1`, … in index order.
    pub globals: u32,
    /// Bytes of memory an instance starts with.
    pub memory_bytes_min: u64,
    /// Bytes its memory may grow to: the declared maximum or, where less, the manifest's budget.
    pub memory_bytes_max: u64,
}

/// Runs every check on the module called `name` in the configuration, then instruments it.
///
/// # Errors
/// The first rule broken, in the order of the module's documentation.
pub fn admit(name: &str, wasm: &[u8], limits: &ModuleLimits) -> Result<Admitted, AdmissionError> {
    check_all(wasm, limits)
        .map_err(|refusal| AdmissionError { module: name.to_owned(), refusal: Box::new(refusal) })
}

fn check_all(wasm: &[u8], limits: &ModuleLimits) -> Result<Admitted, Refusal> {
    let shape = shape::read(wasm, limits)?;
    let manifest = manifest::read(&shape.manifests)?;
    imports::check(&shape, &manifest)?;
    exports::check(&shape)?;
    exports::check_wrappers(wasm, &shape)?;
    let memory_bytes_max = manifest.memory_limit(&shape.memory, limits)?;
    let instrumented = instrument::instrument(wasm, &shape, memory_bytes_max)?;
    Ok(Admitted {
        manifest,
        original: wasm.to_vec(),
        wasm: instrumented,
        hash: *blake3::hash(wasm).as_bytes(),
        globals: shape.state_globals(),
        memory_bytes_min: shape.memory.bytes_min,
        memory_bytes_max,
    })
}
