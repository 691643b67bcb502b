//! One thing that was tried: how it stands, and what to do about it.

use serde::Serialize;

/// How something stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// As a run wants it.
    Fine,
    /// Some runs are slower, or cannot be.
    Limited,
    /// No run with the default configuration can be.
    Lacking,
}

/// One thing that was tried.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Diagnosis {
    /// What it is.
    pub name: &'static str,
    /// How it stands.
    pub condition: Condition,
    /// What was found.
    pub found: String,
    /// What follows and what to do, unless it is fine.
    pub cure: Option<String>,
}

impl Diagnosis {
    pub(super) fn fine(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, condition: Condition::Fine, found: found.into(), cure: None }
    }

    pub(super) fn limited(
        name: &'static str,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        let cure = Some(cure.into());
        Self { name, condition: Condition::Limited, found: found.into(), cure }
    }

    pub(super) fn lacking(
        name: &'static str,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { condition: Condition::Lacking, ..Self::limited(name, found, cure) }
    }
}

/// A file of the system that is one short text; none where there is none.
pub(super) fn text_of(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}
