//! Why there is no cache, in words for whoever starts a run.

use std::io;
use std::path::PathBuf;

/// Why a folder cannot keep compiled modules. None of these fails a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// It cannot be made, opened or used.
    #[error(
        "modules are compiled in each run, because {} cannot be used: {source}; set \
         XDG_CACHE_HOME to a directory that you can write, or kernel.cache to false",
        .path.display()
    )]
    Io {
        /// The folder or a file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could put code there, or read the key.
    #[error(
        "modules are compiled in each run, because {} {problem}; remove it, or set kernel.cache to \
         false",
        .path.display()
    )]
    Distrusted {
        /// The folder, or its key.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
}
