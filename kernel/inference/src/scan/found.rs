//! What the scan says of a model that it lets pass.

/// What the scan found in a model that it lets pass.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scanned {
    /// An operator that makes rows of a batch influence each other, always.
    pub(crate) mixing: Option<String>,
    /// It has graphs inside its graph, sequences or optional values, by which an operator may hand
    /// on a value as it is instead of making one.
    pub(crate) hands_on: bool,
}
