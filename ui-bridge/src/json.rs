//! One view as one JSON document, for other programs.
//!
//! The document is the [`View`] itself under a `$type`; its keys are the fields' names. Keys may be
//! added under the same number, none may change its meaning. Numbers are whole up to 2^64 - 1;
//! digests, addresses and the generation are text. Rates cover `rates.window_ns`.
//!
//! What this does not do: no pretty printing, no selection; that is what `jq` is for.

use serde::Serialize;
use wasm_engine_abi::plain::PlainJson;

use crate::view::View;

/// What the documents are.
pub const TYPE: &str = "wasm-engine/monitor/1";

#[derive(Serialize)]
struct ViewDocument<'a> {
    #[serde(rename = "$type")]
    kind: &'static str,
    #[serde(flatten)]
    view: &'a View,
}

/// The document, on one line, without a line end.
///
/// # Errors
/// None in practice: a view holds only what JSON can express.
pub fn document(view: &View) -> Result<String, serde_json::Error> {
    let document = serde_json::to_string(&ViewDocument { kind: TYPE, view })?;
    Ok(PlainJson(&document).to_string())
}
