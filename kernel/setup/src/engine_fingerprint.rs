//! What decides the bits of an engine, as plain data: logs name it and refuse another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What must be equal for two engines to compute the same bits and charge the same fuel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EngineFingerprint {
    /// Version of wasmtime.
    pub wasmtime_version: String,
    /// Every setting that decides bits, as `name=value` pairs between spaces.
    pub config: String,
    /// blake3 of the operator costs by name.
    pub cost_table_hash: [u8; 32],
    /// Version of the rewriting that admission applies to modules.
    pub instrumentation_version: u32,
}

impl EngineFingerprint {
    /// One hash over all fields.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let Self { wasmtime_version, config, cost_table_hash, instrumentation_version } = self;
        let mut hasher = blake3::Hasher::new();
        for text in [wasmtime_version, config] {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        hasher.update(cost_table_hash).update(&instrumentation_version.to_le_bytes());
        *hasher.finalize().as_bytes()
    }
}

impl fmt::Display for EngineFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wasmtime_version, config, cost_table_hash, instrumentation_version } = self;
        let costs = blake3::Hash::from_bytes(*cost_table_hash).to_hex();
        write!(f, "wasmtime {wasmtime_version}, instrumentation {instrumentation_version}, ")?;
        write!(f, "costs {}, {config}", &costs[..16])
    }
}
