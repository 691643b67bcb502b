//! What a model's file says of itself: kept in the log and shown, deciding nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a model's file says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelNotes {
    /// The program that wrote it, if it says so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub producer: String,
    /// That program's version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub producer_version: String,
    /// The version that the file gives the model, if it does; the configured one is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_version: Option<i64>,
    /// Versions of its operator sets, by domain; the standard one is `ai.onnx`.
    pub opsets: BTreeMap<String, i64>,
    /// Bytes of the file and of all in which it has data.
    pub bytes: u64,
    /// The other files in which it has data, relative to its folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<String>,
}
