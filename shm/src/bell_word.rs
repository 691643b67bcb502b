//! A doorbell word, for the system calls of [`crate::os`].
#![expect(clippy::disallowed_types, reason = "the kernel wakes by this very type")]

/// The 32 bits that a futex looks at.
pub(crate) type BellWord = core::sync::atomic::AtomicU32;
