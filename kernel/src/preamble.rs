//! What a log says before its first tick, so that the directory is complete (SEMANTICS L4).
//!
//! The run id, which stands in every block, is the hash of these records: what decides nothing,
//! like the run's start, is covered by it, and everything else too.
//!
//! ```text
//!  RUN     JSON {name, started_unix_ns, setup}
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
    event_log::{LogError, LogReader, LogReport, LogWriter},
    setup::Setup,
};

/// The run as a log names it; name and start time are physical.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) name: String,
    pub(crate) started_unix_ns: u64,
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
    /// blake3, cut to 128 bits, of kind, length and payload of each record.
    pub(crate) run_id: [u8; 16],
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
    /// The run ended while they were written.
    #[error("the log's records before tick 0 are not all there; begin the run again")]
    Incomplete,
    /// The records are not those that the run began with.
    #[error("{what}; the log was changed after the run")]
    Changed {
        /// What does not fit what.
        what: String,
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
    /// What is said of a run that begins.
    pub(crate) fn new(
        run: RunRecord,
        engine: EngineFingerprint,
        modules: BTreeMap<String, Vec<u8>>,
        models: Vec<ModelRecord>,
    ) -> Self {
        let mut preamble = Self { run, engine, modules, models, run_id: [0; 16] };
        let mut hasher = blake3::Hasher::new();
        for (kind, payload) in preamble.records() {
            hash_record(&mut hasher, kind, &payload);
        }
        preamble.run_id = cut(&hasher);
        preamble
    }

    /// Kind and payload of each record.
    fn records(&self) -> Vec<(u16, Vec<u8>)> {
        let mut all = vec![(kind::RUN, json(&self.run)), (kind::ENGINE, json(&self.engine))];
        all.extend(self.modules.values().map(|bytes| {
            (kind::MODULE, [blake3::hash(bytes).as_bytes().as_slice(), bytes].concat())
        }));
        all.extend(self.models.iter().map(|model| (kind::MODEL, json(model))));
        all
    }

    /// Appends the records.
    pub(crate) fn write(&self, log: &mut LogWriter) -> Result<(), LogError> {
        self.records().iter().try_for_each(|(kind, payload)| log.append(*kind, 0, &[payload]))
    }

    /// Whether these are the records of the run whose blocks name `run_id`.
    pub(crate) fn check(&self, log: &LogReport) -> Result<(), PreambleError> {
        let changed = |what| PreambleError::Changed { what };
        let setup = &self.run.setup;
        setup.check().map_err(|what| changed(format!("the RUN record's setup is none: {what}")))?;
        if self.run_id == log.run_id {
            return Ok(());
        }
        if log.opened.is_none() {
            // Not all of them may have reached the disk.
            return Err(PreambleError::Incomplete);
        }
        let of = |model: &ModelRecord| (model.name.clone(), model.sha256.clone());
        let expected = setup.models.iter().map(|model| (model.name.clone(), model.sha256.clone()));
        let kinds = if expected.eq(self.models.iter().map(of)) {
            "RUN, ENGINE, MODULE, MODEL"
        } else {
            "models of RUN and MODEL"
        };
        Err(changed(format!(
            "the records before tick 0 ({kinds}) are not those that the run id is the hash of"
        )))
    }

    /// Reads the records in front of the first tick and rewinds the reader.
    pub(crate) fn read(log: &mut LogReader) -> Result<Self, PreambleError> {
        let (mut run, mut engine) = (None, None);
        let (mut modules, mut models) = (BTreeMap::new(), Vec::new());
        let mut hasher = blake3::Hasher::new();
        log.rewind();
        while let Some(record) = log.next()? {
            if (kind::RUN..=kind::MODEL).contains(&record.kind) {
                hash_record(&mut hasher, record.kind, record.payload);
            }
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
            run_id: cut(&hasher),
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

fn hash_record(hasher: &mut blake3::Hasher, kind: u16, payload: &[u8]) {
    hasher.update(&kind.to_le_bytes()).update(&(payload.len() as u64).to_le_bytes());
    hasher.update(payload);
}

fn cut(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    id
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
