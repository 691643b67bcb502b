//! Where compiled modules are kept: the user's cache directory.

use std::{env, path::PathBuf};

/// `$XDG_CACHE_HOME/wasm-engine`, else `~/.cache/wasm-engine`; without either none, which is said.
pub(crate) fn folder() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    if caches.is_none() {
        tracing::warn!(
            "modules are compiled in each run, because neither XDG_CACHE_HOME nor HOME names a \
             directory; set one of them, or kernel.cache to false"
        );
    }
    Some(caches?.join("wasm-engine"))
}
