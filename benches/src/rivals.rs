//! Programs of other runtimes, which say what they measured as JSON.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The path of a rival's program.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Runs a rival; gives the JSON that it says.
pub(crate) fn ask(name: &str, command: &mut Command) -> Result<Value, String> {
    let output =
        command.output().map_err(|_| format!("no peer: there is no `{name}` on the PATH"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        // Node.js says where before what.
        let said = error.lines().find(|line| line.contains("Error:"));
        let words = said.or(error.lines().next()).unwrap_or_default();
        return Err(format!("no peer: {name} failed: {words}"));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("no peer: {name}: {error}"))
}
