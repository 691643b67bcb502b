//! The configuration that a command names: a file, or standard input.

use std::path::Path;

use wasm_engine::config::{Config, ConfigError};

/// What stands for standard input and output.
pub(crate) const STANDARD: &str = "-";

/// Reads and checks it.
pub(crate) fn config(path: &Path, sets: &[String]) -> Result<Config, ConfigError> {
    match path == Path::new(STANDARD) {
        true => Config::load_stdin(sets),
        false => Config::load(path, sets),
    }
}
