//! What the benchmarks and the `bench` command of the kernel measure with, below both.
//!
//! ```text
//! measure.rs  pinning, segments in turn, medians
//! machine.rs  what the machine itself can do
//! rings.rs    the ring questions, asked of any ring
//! graphs.rs   models to measure with
//! guests.rs   agents to measure with (feature guests)
//! ```
//! It knows no kernel.
#![deny(unsafe_code)]

pub mod graphs;
#[cfg(feature = "guests")]
pub mod guests;
pub mod machine;
pub mod measure;
pub mod rings;
