//! What a log says before its first tick, so that the directory is complete (SEMANTICS L4).
//!
//! ```text
//!  RUN     JSON {name, agent_names, started_unix_ns, setup}
//!  ENGINE  JSON of the engine's fingerprint
//!  MODULE  blake3 of the original 32 bytes | the original module      one per distinct module
//!  MODEL   JSON {name, path, sha256, fingerprint}                     one per model
//! ```

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use wasm_engine_abi::record::kind;

use crate::{
    admission::{Admitted, ModuleLimits, admit},
    engine::EngineFingerprint,
    event_log::{LogError, LogReader, LogWriter},
    setup::Setup,
};

/// The run as a log names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) name: String,
    pub(crate) started_unix_ns: u64,
    pub(crate) agent_names: Vec<String>,
    pub(crate) setup: Setup,
}

/// A model as a log names it: metadata, not weights.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ModelRecord {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) sha256: String,
    /// What its bits depend on beside the file (SEMANTICS I5).
    pub(crate) fingerprint: String,
}

/// Everything before tick 0.
#[derive(Clone, Debug)]
pub(crate) struct Preamble {
    pub(crate) run: RunRecord,
    pub(crate) engine: EngineFingerprint,
    /// Original modules by the blake3 that the record claims, in hexadecimal.
    pub(crate) modules: BTreeMap<String, Vec<u8>>,
    pub(crate) models: Vec<ModelRecord>,
}

/// Why a preamble cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreambleError {
    /// The log itself.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record is not what its kind promises, although its checksum is right.
    #[error("the log's {what} record cannot be read; it was changed after the run")]
    Malformed {
        /// Which record.
        what: &'static str,
        /// How.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// A record is not there.
    #[error("the log has no {what} record; the run ended before its first tick")]
    Missing {
        /// Which record.
        what: &'static str,
    },
}

/// A module of the log that is not what the setup names.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the module of template {template} is not the one the run used: {what}")]
pub struct ModuleMismatch {
    /// The template, by position.
    pub index: usize,
    /// Its name.
    pub template: String,
    /// What differs.
    pub what: String,
}

impl Preamble {
    /// Appends the records.
    pub(crate) fn write(&self, log: &mut LogWriter) -> Result<(), LogError> {
        log.append(kind::RUN, 0, &[&json(&self.run)])?;
        log.append(kind::ENGINE, 0, &[&json(&self.engine)])?;
        for bytes in self.modules.values() {
            log.append(kind::MODULE, 0, &[blake3::hash(bytes).as_bytes(), bytes])?;
        }
        for model in &self.models {
            log.append(kind::MODEL, 0, &[&json(model)])?;
        }
        Ok(())
    }

    /// Reads the records in front of the first tick and rewinds the reader.
    pub(crate) fn read(log: &mut LogReader) -> Result<Self, PreambleError> {
        let (mut run, mut engine) = (None, None);
        let (mut modules, mut models) = (BTreeMap::new(), Vec::new());
        log.rewind();
        while let Some(record) = log.next()? {
            match record.kind {
                kind::RUN => run = Some(parse("RUN", record.payload)?),
                kind::ENGINE => engine = Some(parse("ENGINE", record.payload)?),
                kind::MODEL => models.push(parse("MODEL", record.payload)?),
                kind::MODULE => {
                    let (hash, wasm) = record
                        .payload
                        .split_at_checked(32)
                        .ok_or(PreambleError::Malformed { what: "MODULE", source: None })?;
                    modules.insert(hex(hash), wasm.to_vec());
                }
                _ => break,
            }
        }
        log.rewind();
        Ok(Self {
            run: run.ok_or(PreambleError::Missing { what: "RUN" })?,
            engine: engine.ok_or(PreambleError::Missing { what: "ENGINE" })?,
            modules,
            models,
        })
    }

    /// Admits the module of each template again.
    pub(crate) fn admit(&self) -> Result<Vec<Arc<Admitted>>, ModuleMismatch> {
        let setup = &self.run.setup;
        let mut admitted: BTreeMap<&str, Arc<Admitted>> = BTreeMap::new();
        let mut all = Vec::with_capacity(setup.templates.len());
        for (index, template) in setup.templates.iter().enumerate() {
            let mismatch = |what| ModuleMismatch { index, template: template.name.clone(), what };
            if let Some(known) = admitted.get(template.module.as_str()) {
                all.push(Arc::clone(known));
                continue;
            }
            let wasm = self
                .modules
                .get(&template.module)
                .ok_or_else(|| mismatch(format!("the log has no module {}", template.module)))?;
            let found = blake3::hash(wasm).to_hex();
            if found.as_str() != template.module {
                return Err(mismatch(format!("its blake3 is {found}, not {}", template.module)));
            }
            let memory_bytes_max = setup.limits.memory_bytes_max;
            let limits = ModuleLimits { memory_bytes_max, ..ModuleLimits::default() };
            let module = admit(&template.name, wasm, &limits)
                .map_err(|error| mismatch(error.to_string()))?;
            let module = Arc::new(module);
            admitted.insert(&template.module, Arc::clone(&module));
            all.push(module);
        }
        Ok(all)
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| {
        unreachable!("records hold only strings, numbers and lists of them: {error}")
    })
}

fn parse<T: for<'a> Deserialize<'a>>(what: &'static str, bytes: &[u8]) -> Result<T, PreambleError> {
    serde_json::from_slice(bytes)
        .map_err(|source| PreambleError::Malformed { what, source: Some(source) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
