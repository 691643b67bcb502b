//! Models in ONNX Runtime: find its library, start it once, hold one session for each model.
//!
//! What: [`locate_library`] finds and identifies the shared library without running any of its
//! code, [`init`] loads it into the process, [`OnnxModel`] is a session that reads its inputs from
//! memory of ours. Nothing but this module names `ort`; nothing is linked, so a build needs
//! no ONNX Runtime and a run without models needs none either.
//!
//! | file | what |
//! |---|---|
//! | `cpu.rs`, `fingerprint.rs` | the class of the processor, and all that bits depend on |
//! | `library.rs`, `binary.rs`, `elf.rs` | the library's identity, its start |
//! | `locations.rs`, `pinned.rs` | where it is looked for, which one, and how a user gets it |
//! | `model.rs`, `port.rs` | a session, and what the model declares |
//! | `load.rs`, `probe.rs` | a model tried before it is used: do its rows influence each other? |
//! | `values.rs` | between lists of tensors and the library's values |
//! | `bound.rs` | tensors that stay for requests of a shape that comes again |
//! | `binding.rs` | those tensors: unsafe code |
//! | `provider.rs` | what computes a model |
//! | `raw.rs` | values over memory of ours: unsafe code |
//!
//! ```text
//!   request (a list of tensors) --in place--> values --Run--> values --copied--> reply (a list)
//! ```
//!
//! What it holds to:
//! - *Same bits.* One profile ([`PROFILE`]), and a batch is always filled up to its size: at a
//!   fixed size a row's bits depend neither on the other rows nor on its position (SEMANTICS I2).
//!   A model for which that is not so is refused with more than one row. Inputs lie at multiples
//!   of 64, since the library sums some tensors in another order elsewhere.
//!   Equal bits are promised for an equal [`Fingerprint`] only (SEMANTICS I5).
//! - *The process lives.* The library answers most mistakes with an error, and some with a signal:
//!   a model that is known to raise one is refused, before the library folds its constants, unless
//!   it has a process of its own (`crate::isolated`).
//! - *The hash covers everything.* Models and their external data come as bytes the caller has
//!   hashed, and the library is handed those: it opens no file. Random operators would escape
//!   replay and are refused.
//! - *Nothing phones home.* Official Linux libraries from 1.29 on carry an uploader that is on by
//!   default; the loader insists on [`TELEMETRY_ENV`] for them before it loads one.
//!
//! What not: no clock, no threads of its own, no limit on the run time of a model, no judgement of
//! NaN (it passes through, in and out). The library itself allocates in every run; this file does
//! not. Every failure is an [`OnnxError`]; none is a panic.

mod binary;
#[expect(unsafe_code, reason = "tensors that stay bound exist only in the raw interface")]
mod binding;
mod bound;
#[cfg(test)]
mod bound_tests;
#[cfg(test)]
mod case_tests;
mod cpu;
mod elf;
mod error;
#[cfg(test)]
mod external_tests;
mod fingerprint;
mod library;
mod load;
mod locations;
mod model;
mod pinned;
mod port;
mod probe;
mod provider;
#[cfg(test)]
mod provider_tests;
#[expect(unsafe_code, reason = "values over caller-owned memory exist only in the raw interface")]
mod raw;
#[cfg(test)]
mod tests;
mod values;

pub use cpu::CpuClass;
pub use error::OnnxError;
pub use fingerprint::{Fingerprint, PROFILE};
pub use library::{OnnxLibrary, init, locate_library};
pub use load::load;
pub(crate) use load::tried;
pub use model::{ModelSource, OnnxModel};
pub use pinned::{LIBRARY_CURE, LIBRARY_ENV, LIBRARY_FILE, LIBRARY_VERSION, TELEMETRY_ENV};
