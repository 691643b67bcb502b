//! What differs between operating systems, all of it: nothing else in this crate names one.
//!
//! ```text
//!              memory, waiting, processes    files of this user only
//!  Linux       linux.rs                      unix.rs
//!  other Unix  portable.rs                   unix.rs
//!  Windows     portable.rs                   plain.rs
//! ```
//! The same functions exist everywhere. Where a system lacks a thing they either do what is
//! portable (a wait becomes a short sleep) or return an error (sealed memory), so that everything
//! above compiles and the file backing works. The table in `docs/PROOF.md` has the consequences.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

#[cfg(not(target_os = "linux"))]
mod portable;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::*;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(not(unix))]
mod plain;
#[cfg(not(unix))]
pub(crate) use plain::*;
