//! What an engine leaves in the process that it is in, which may be somebody else's.

use std::error::Error;
use std::sync::OnceLock;

/// What an engine leaves in its process beside its own memory. Physical: code, fuel, faults and
/// results are the same with all of it and with none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Footprint {
    /// Compile on threads of the process's pool, which is made if missing and stays.
    pub helpers: bool,
    /// Find what an agent may not do by SIGSEGV, SIGILL and SIGFPE, for which the process gets
    /// handlers that stay. Without, code checks for itself, and memories are dense.
    pub signals: bool,
}

impl Footprint {
    /// All of it: a process whose purpose is the kernel.
    pub const WHOLE: Self = Self { helpers: true, signals: true };
    /// Nothing: a process of somebody else.
    pub const NONE: Self = Self { helpers: false, signals: false };
}

/// Whether there are the threads on which modules are compiled at once; the code is the same
/// without. The compiler would start them by itself, and panic where the system refuses.
pub(crate) fn compiles_in_parallel() -> bool {
    static THREADS: OnceLock<bool> = OnceLock::new();
    *THREADS.get_or_init(|| match rayon::ThreadPoolBuilder::new().build_global() {
        Ok(()) => true,
        // Only a refusal of the system has a source: else somebody has started them before.
        Err(error) => error.source().is_none(),
    })
}
