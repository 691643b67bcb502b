//! The counters of a running kernel, as a table for people and a document for programs.

use std::fmt::Write as _;

use serde::Serialize;
use wasm_engine_abi::plain::PlainJson;
use wasm_engine_telemetry::counters::Counted;

/// What the JSON document is.
pub const TYPE: &str = "wasm-engine/counters/1";

/// As a table, one line each.
#[must_use]
pub fn table(counters: &[Counted]) -> String {
    let width = |of: fn(&Counted) -> usize| counters.iter().map(of).max().unwrap_or(0);
    let (labels, units) = (width(|c| c.label.chars().count()), width(|c| c.unit.chars().count()));
    let mut out = String::new();
    for Counted { label, kind, unit, help, value, .. } in counters {
        // Writing to a `String` cannot fail.
        let _ = writeln!(out, "{label:labels$} {value:>20} {unit:units$} {kind:7}  {help}");
    }
    out
}

#[derive(Serialize)]
struct CountersDocument<'a> {
    #[serde(rename = "$type")]
    kind: &'static str,
    counters: &'a [Counted],
}

/// As one JSON document on one line, without a line end.
///
/// # Errors
/// None in practice: counters hold only what JSON can express.
pub fn document(counters: &[Counted]) -> Result<String, serde_json::Error> {
    let document = serde_json::to_string(&CountersDocument { kind: TYPE, counters })?;
    Ok(PlainJson(&document).to_string())
}
