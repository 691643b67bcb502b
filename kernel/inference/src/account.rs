//! What a model is, told from its files alone: without ONNX Runtime and without a run.

use std::collections::BTreeSet;

use serde::Serialize;
use wasm_engine_setup::{Dim, ModelNotes, PortValue};

use crate::external_file::{ExternalFile, model_sha256};
use crate::scan::{self, DeclaredPort, ScanFault, Surroundings};

/// Why a model's files cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FileFault {
    /// They are no model that can be read.
    #[error("it is not a readable ONNX file: {0}; export it again")]
    Malformed(&'static str),
    /// They hold something that is refused.
    #[error("it contains {what}; {cure}")]
    Refused {
        /// What it holds.
        what: String,
        /// What to do about it.
        cure: &'static str,
    },
}

impl From<ScanFault> for FileFault {
    fn from(fault: ScanFault) -> Self {
        match fault {
            ScanFault::Malformed(reason) => Self::Malformed(reason),
            ScanFault::Refused { what, cure } | ScanFault::Ends { what, cure } => {
                Self::Refused { what, cure }
            }
        }
    }
}

/// What a model is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ModelAccount {
    /// What a run binds to: [`model_sha256`].
    pub sha256: String,
    /// What the file says of itself.
    #[serde(flatten)]
    pub notes: ModelNotes,
    /// Its inputs.
    pub inputs: Vec<PortAccount>,
    /// Its outputs.
    pub outputs: Vec<PortAccount>,
    /// Why it is refused with `isolation = "thread"`, if it is.
    pub refused_in_thread: Option<String>,
    /// Why it is refused with `isolation = "process"`, if it is.
    pub refused_in_process: Option<String>,
}

/// An input or output, in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PortAccount {
    /// Its name.
    pub name: String,
    /// What it takes or gives, as `f32[N, 3]`; `f32[..]` where the file does not say its
    /// dimensions.
    pub value: String,
    /// Dimensions that vary with each request, as `model.dims` names them.
    pub varies: Vec<String>,
    /// That of them which is first before others, and so counts rows.
    #[serde(skip)]
    pub rows: Option<String>,
}

/// The names of the files in which a model has data, relative to its folder. Bytes that are no
/// model have none: why they are none is said when they are loaded.
///
/// # Errors
/// [`FileFault::Refused`], for a name that lies outside the folder, and data that are not in a file
/// as ONNX says it.
pub fn external_names(model: &[u8]) -> Result<BTreeSet<String>, FileFault> {
    match scan::external_names(model) {
        Ok(names) => Ok(names),
        Err(ScanFault::Malformed(_)) => Ok(BTreeSet::new()),
        Err(fault) => Err(fault.into()),
    }
}

/// What the files of a model say of themselves; nothing for bytes that are no model.
#[must_use]
pub fn model_notes(model: &[u8], external: &[ExternalFile]) -> ModelNotes {
    let declared = scan::embed(model, external).and_then(|files| scan::declared(&files.model));
    let notes = declared.unwrap_or_default().notes;
    let bytes = model.len() as u64 + external.iter().map(|one| one.bytes.len() as u64).sum::<u64>();
    ModelNotes { bytes, external: external.iter().map(|one| one.name.clone()).collect(), ..notes }
}

/// What a model is.
///
/// # Errors
/// [`FileFault`], for what is none, and for data in other files that are not as it says.
pub fn model_account(model: &[u8], external: &[ExternalFile]) -> Result<ModelAccount, FileFault> {
    let embedded = scan::embed(model, external)?;
    let declared = scan::declared(&embedded.model)?;
    let refused = |surroundings| -> Option<String> {
        let fault = scan::model(&embedded.model, surroundings).err()?;
        Some(FileFault::from(fault).to_string())
    };
    let ports = |ports: &[DeclaredPort]| ports.iter().map(PortAccount::of).collect();
    Ok(ModelAccount {
        sha256: model_sha256(model, external),
        notes: model_notes(model, external),
        inputs: ports(&declared.inputs),
        outputs: ports(&declared.outputs),
        refused_in_thread: refused(Surroundings::Kernel),
        refused_in_process: refused(Surroundings::Own),
    })
}

impl PortAccount {
    fn of(port: &DeclaredPort) -> Self {
        let DeclaredPort { name, value, ranked } = port;
        let (mut varies, mut rows) = (Vec::new(), None);
        if let Ok(PortValue::Tensor { dims, .. }) = value {
            let free = |(_, dim): &(usize, &Dim)| dim.size.is_none();
            varies = dims
                .iter()
                .enumerate()
                .filter(free)
                .map(|(axis, dim)| match &dim.name[..] {
                    "" => format!("{name}.{axis}"),
                    name => name.to_owned(),
                })
                .collect();
            let first = dims.len() > 1 && dims[0].size.is_none();
            rows = varies.first().filter(|_| first).cloned();
        }
        let value = match value {
            Ok(PortValue::Tensor { kind, .. }) if !ranked => format!("{}[..]", kind.text()),
            Ok(value) => value.to_string(),
            Err(what) => format!("{what} (refused)"),
        };
        Self { name: name.clone(), value, varies, rows }
    }
}
