//! What differs between operating systems: sealed memory, futex, process identity.
//!
//! Linux has all of it. Elsewhere the same functions exist and either do the portable thing (a wait
//! becomes a short sleep) or say that the system has none (sealed memory), so that everything above
//! compiles and the file backing works.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

#[cfg(not(target_os = "linux"))]
mod portable;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::*;
