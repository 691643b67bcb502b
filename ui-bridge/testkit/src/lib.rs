//! What the tests of monitors share: a region without a kernel ([`owner`]), the readers in Rust, C
//! and Python as programs to be compared ([`readers`]), and what must hold of any bytes
//! (`oracles`).
#![allow(missing_docs, reason = "a kit for tests, not an interface")]

#[cfg(feature = "tui")]
pub mod oracles;
pub mod owner;
#[cfg(unix)]
pub mod readers;
