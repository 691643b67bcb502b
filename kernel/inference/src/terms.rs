//! What a configuration says of a model's inputs and outputs.

use std::collections::BTreeMap;

use wasm_engine_setup::{ModelSetup, PortSetup, PortValue};

/// What a configuration says of a model's inputs and outputs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ModelTerms {
    /// The most that dimensions may be, by their names or as `INPUT.AXIS`.
    pub dims: BTreeMap<String, u64>,
    /// The outputs that replies hold, if not all.
    pub outputs: Option<Vec<String>>,
    /// Longest request in bytes, if not what follows from its inputs.
    pub request_bytes_max: Option<u32>,
    /// Longest reply in bytes, if not what follows from its outputs.
    pub reply_bytes_max: Option<u32>,
    /// What computes it, in the order in which that is tried ([`ProviderName`]); the processor
    /// where nothing is named.
    ///
    /// [`ProviderName`]: crate::ProviderName
    pub providers: Vec<String>,
}

impl From<&ModelSetup> for ModelTerms {
    /// Those that gave this setup.
    fn from(setup: &ModelSetup) -> Self {
        let given = setup.outputs.iter().filter(|port| port.given);
        Self {
            dims: maxima(setup),
            outputs: Some(given.map(|port| port.name.clone()).collect()),
            request_bytes_max: Some(setup.request_bytes_max),
            reply_bytes_max: Some(setup.reply_bytes_max),
            providers: Vec::new(),
        }
    }
}

/// The maxima in a setup, each under the name that is certain: `INPUT.AXIS`.
fn maxima(setup: &ModelSetup) -> BTreeMap<String, u64> {
    let mut maxima = BTreeMap::new();
    for port in setup.inputs.iter().chain(&setup.outputs) {
        let PortValue::Tensor { dims, .. } = &port.value else { continue };
        for (axis, dim) in dims.iter().enumerate() {
            if let Some(max) = dim.max {
                maxima.insert(dim_key(port, axis), max);
            }
        }
    }
    maxima
}

/// The name that a dimension has for certain.
pub(crate) fn dim_key(port: &PortSetup, axis: usize) -> String {
    format!("{}.{axis}", port.name)
}
