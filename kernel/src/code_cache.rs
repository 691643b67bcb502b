//! The folder for compiled modules, opened or explained: what is wrong with it fails no run.

use std::path::Path;

use wasm_engine_guest::code_cache::CodeCache;

/// The cache in `folder`; none where none is wanted or the folder cannot be used, which is said.
pub(crate) fn open_cache(folder: Option<&Path>) -> Option<CodeCache> {
    let opened = CodeCache::open(folder?);
    opened.inspect_err(|error| tracing::warn!("{error}")).ok()
}
