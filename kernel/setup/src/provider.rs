//! Where a model was computed: physical, and known before the first tick.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The provider that every library has: the processor.
pub const CPU: &str = "cpu";

/// With what a model is computed, and with what it could not be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProviderUse {
    /// The provider that it is computed with.
    pub used: String,
    /// Those that were asked for before it and could not be had, each with the reason.
    pub refused: BTreeMap<String, String>,
}

impl ProviderUse {
    /// Whether it is the processor, and nothing else was asked for.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for ProviderUse {
    fn default() -> Self {
        Self { used: CPU.to_owned(), refused: BTreeMap::new() }
    }
}
