//! What host calls ask about a template: its rights, its quotas, the names of the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasm_engine_setup::Setup;

use crate::rights::Rights;

/// Configured names and what host calls ask of them; handles are places in the setup.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    /// Topics by name.
    pub(crate) topics: BTreeMap<String, u32>,
    /// Models by name.
    pub(crate) models: BTreeMap<String, u32>,
    /// Templates by name.
    pub(crate) templates: BTreeMap<String, u32>,
    /// Number of topics: their handles are below it.
    pub(crate) topic_count: usize,
    /// Bytes of an input row, by model.
    pub(crate) input_bytes: Vec<u64>,
}

impl NameTable {
    pub(crate) fn of(setup: &Setup) -> Self {
        fn table<'a>(names: impl Iterator<Item = &'a String>) -> BTreeMap<String, u32> {
            names.cloned().zip(0..).collect()
        }
        Self {
            topics: table(setup.topics.iter().map(|t| &t.name)),
            models: table(setup.models.iter().map(|m| &m.name)),
            templates: table(setup.templates.iter().map(|t| &t.name)),
            topic_count: setup.topics.len(),
            input_bytes: setup.models.iter().map(|m| 4 * u64::from(m.input_len)).collect(),
        }
    }
}

/// The terms under which the agents of one template run.
#[derive(Debug)]
pub(crate) struct Terms {
    /// What its agents may do.
    pub(crate) rights: Rights,
    /// Names of the run.
    pub(crate) names: Arc<NameTable>,
    /// Fuel of one call of a function of the contract.
    pub(crate) fuel_per_call: u64,
    /// Bytes that the memory of one of its agents may grow to.
    pub(crate) memory_bytes_max: u64,
    /// Effects of one turn.
    pub(crate) effects_max: u32,
    /// Payload blocks of one turn.
    pub(crate) blocks_max: u32,
}
