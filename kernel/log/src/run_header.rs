//! The run header: the records before a log's first tick, which make its directory complete
//! (SEMANTICS L4).
//!
//! The run id, which is in every block, is the hash of these records. It covers all of them, also
//! what results do not depend on, like the time of the run's start.
//!
//! ```text
//!  RUN     JSON {name, started_unix_ns, setup, data}
//!  ENGINE  JSON of the engine's fingerprint
//!  MODULE  blake3 of the original 32 bytes | the original module      one per distinct module
//!  MODEL   JSON {name, path, sha256, fingerprint, isolated, version, notes}   one per model
//! ```

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use wasm_engine_abi::record::kind;
use wasm_engine_setup::{EngineFingerprint, ModelNotes, ModelSetup, ProviderUse, Setup};

use crate::{error::LogError, reader::LogReader, recovery::LogReport};

/// The run as its log describes it. Results do not depend on name and start time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunRecord {
    /// Name of the kernel.
    pub name: String,
    /// Wall clock at its start, in nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// Everything that its results depend on.
    pub setup: Setup,
    /// blake3 of the file of each source, in the order of the setup, in hexadecimal: what was
    /// still to come of them is in no fact.
    pub data: Vec<String>,
    /// blake3 of the commands of the host, in hexadecimal, if there are any: those still to come
    /// are in no fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<String>,
}

/// A model as a log describes it: metadata, not weights.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Configured name, with the version behind it if there is one.
    pub name: String,
    /// Path of its file during the run; its other files are below that file's folder.
    pub path: PathBuf,
    /// sha256 of its files, in lower-case hexadecimal.
    pub sha256: String,
    /// What its results depend on besides the file (SEMANTICS I5).
    pub fingerprint: String,
    /// Whether it had a process of its own.
    #[serde(default)]
    pub isolated: bool,
    /// The version that was chosen, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What its file says of itself.
    #[serde(default)]
    pub notes: ModelNotes,
    /// With what it was computed, and with what it could not be.
    #[serde(default, skip_serializing_if = "ProviderUse::is_plain")]
    pub providers: ProviderUse,
}

/// Everything before tick 0.
#[derive(Clone, Debug)]
pub struct RunHeader {
    /// The run.
    pub run: RunRecord,
    /// The engine that ran it.
    pub engine: EngineFingerprint,
    /// Original modules by the blake3 in their record, in hexadecimal.
    pub modules: BTreeMap<String, Vec<u8>>,
    /// Models in the order of the setup.
    pub models: Vec<ModelRecord>,
    /// The first 128 bits of the blake3 of kind, length and payload of each record.
    pub run_id: [u8; 16],
}

/// Why a run header cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunHeaderError {
    /// The log itself.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record's checksum is right, but its content is invalid.
    #[error("the log's {what} record cannot be read; it was changed after the run")]
    Malformed {
        /// Which record.
        what: &'static str,
        /// Why.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// A record is missing.
    #[error("the log has no {what} record; the run ended before its first tick")]
    Missing {
        /// Which record.
        what: &'static str,
    },
    /// The run ended while the header was written.
    #[error("the log's records before tick 0 are not all there; begin the run again")]
    Incomplete,
    /// The records are not those with which the run began.
    #[error("{what}; the log was changed after the run")]
    Changed {
        /// What does not fit what.
        what: String,
    },
}

impl RunHeader {
    /// The header of a new run.
    pub fn new(
        run: RunRecord,
        engine: EngineFingerprint,
        modules: BTreeMap<String, Vec<u8>>,
        models: Vec<ModelRecord>,
    ) -> Self {
        let mut header = Self { run, engine, modules, models, run_id: [0; 16] };
        let mut hasher = blake3::Hasher::new();
        for (kind, payload) in header.records() {
            hash_record(&mut hasher, kind, &payload);
        }
        header.run_id = run_id(&hasher);
        header
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
    #[cfg(feature = "writer")]
    pub fn write(&self, log: &mut crate::writer::LogWriter) -> Result<(), LogError> {
        self.records().iter().try_for_each(|(kind, payload)| log.append(*kind, 0, &[payload]))
    }

    /// Checks that these are the records of which the log's run id is the hash.
    pub fn check(&self, log: &LogReport) -> Result<(), RunHeaderError> {
        let changed = |what| RunHeaderError::Changed { what };
        let setup = &self.run.setup;
        setup.check().map_err(|what| changed(format!("the RUN record's setup is none: {what}")))?;
        if self.run_id == log.run_id {
            return Ok(());
        }
        if log.opened.is_none() {
            // Not all of them may have reached the disk.
            return Err(RunHeaderError::Incomplete);
        }
        let of = |model: &ModelRecord| (model.name.clone(), model.sha256.clone());
        let named = |model: &ModelSetup| (model.full_name(), model.sha256.clone());
        let expected = setup.models.iter().map(named);
        let kinds = if expected.eq(self.models.iter().map(of)) {
            "RUN, ENGINE, MODULE, MODEL"
        } else {
            "models of RUN and MODEL"
        };
        Err(changed(format!(
            "the records before tick 0 ({kinds}) are not those that the run id is the hash of"
        )))
    }

    /// Reads the records before the first tick and rewinds the reader.
    pub fn read(log: &mut LogReader) -> Result<Self, RunHeaderError> {
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
                        .ok_or(RunHeaderError::Malformed { what: "MODULE", source: None })?;
                    modules.insert(hex(hash), wasm.to_vec());
                }
                _ => break,
            }
        }
        log.rewind();
        Ok(Self {
            run: run.ok_or(RunHeaderError::Missing { what: "RUN" })?,
            engine: engine.ok_or(RunHeaderError::Missing { what: "ENGINE" })?,
            modules,
            models,
            run_id: run_id(&hasher),
        })
    }
}

fn hash_record(hasher: &mut blake3::Hasher, kind: u16, payload: &[u8]) {
    hasher.update(&kind.to_le_bytes()).update(&(payload.len() as u64).to_le_bytes());
    hasher.update(payload);
}

fn run_id(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    id
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| {
        unreachable!("records hold only strings, numbers and lists of them: {error}")
    })
}

fn parse<T: for<'a> Deserialize<'a>>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, RunHeaderError> {
    serde_json::from_slice(bytes)
        .map_err(|source| RunHeaderError::Malformed { what, source: Some(source) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
