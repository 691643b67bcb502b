//! Models of a run: bytes checked against their hash, loaded into ONNX Runtime, ready to be asked.
//!
//! The caller reads each file once; the bytes that are hashed here are the bytes that are loaded,
//! those of other files in which a model has its data too.
//! What a run binds to (SEMANTICS I1, L4) comes back with the backend: hash, inputs and outputs,
//! how long requests and replies may be, batch and the fingerprint of library, processor class and
//! settings.
//!
//! What not: no paths of models, no batching, no second kind of backend. Without models the library
//! is neither looked for nor loaded. Replay needs none of this (SEMANTICS L6).

use std::path::Path;

use thiserror::Error;

use crate::external_file::{ExternalFile, model_sha256};
#[cfg(all(feature = "onnx", unix))]
use crate::isolated::{IsolatedError, IsolatedModel};
#[cfg(feature = "onnx")]
use crate::onnx::{self, ModelSource, OnnxError};
pub use crate::terms::ModelTerms;
use crate::{Backend, Interrupter};
#[cfg(feature = "onnx")]
use crate::{
    ModelPorts, ProviderName, describe,
    fallback::{FallbackModel, MakeModel},
    provider,
};
#[cfg(feature = "onnx")]
use wasm_engine_setup::CPU;
use wasm_engine_setup::ModelSetup;

/// A model file that was read.
#[derive(Clone, Copy, Debug)]
pub struct ModelFile<'a> {
    /// Configured name.
    pub name: &'a str,
    /// The whole file.
    pub bytes: &'a [u8],
    /// The other files in which it has data: those that
    /// [`external_names`](crate::account::external_names) names.
    pub external: &'a [ExternalFile],
    /// The sha256 ([`model_sha256`]) that the configuration demands, in hexadecimal, if it does.
    pub sha256: Option<&'a str>,
    /// Rows of a batch, at least 1 (SEMANTICS I2).
    pub batch: u32,
    /// Where it runs.
    pub home: ModelHome<'a>,
    /// What the configuration says of its inputs and outputs.
    pub terms: &'a ModelTerms,
}

/// In which process a model runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ModelHome<'a> {
    /// In this one.
    #[default]
    Here,
    /// In one of its own, of the program with this path, which is `wasm-engine`.
    Process(Option<&'a Path>),
}

impl<'a> ModelHome<'a> {
    /// In a process of its own, which is served by `program`, or in this one.
    #[must_use]
    pub fn of(isolated: bool, program: Option<&'a Path>) -> Self {
        if isolated { Self::Process(program) } else { Self::Here }
    }
}

/// A model that can be asked, and what the setup and the log say about it.
pub struct LoadedModel {
    /// What agents know of it; its latency is the caller's.
    pub setup: ModelSetup,
    /// What its bits depend on beside the file: bits are comparable between equal ones only
    /// (SEMANTICS I5).
    pub fingerprint: String,
    /// For [`InferenceHandle::start`](crate::InferenceHandle::start).
    pub backend: Box<dyn Backend>,
}

impl std::fmt::Debug for LoadedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { setup, fingerprint, .. } = self;
        write!(f, "LoadedModel({} {}, {fingerprint})", setup.name, setup.sha256)
    }
}

/// Why a model of the configuration cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file is not the one configured.
    #[error(
        "model {model} has sha256 {found}, and the configuration demands {wanted}; restore the \
         file or change the configuration"
    )]
    Sha256 {
        /// The model.
        model: String,
        /// Of the file.
        found: String,
        /// Of the configuration.
        wanted: String,
    },
    /// This build has no inference.
    #[error(
        "model {model} cannot be run: this build lacks the feature `onnx`; build with \
         `cargo build -p wasm-engine --features onnx`, then `wasm-engine doctor` says how to get \
         the library"
    )]
    NotBuiltIn {
        /// The model.
        model: String,
    },
    /// The library is missing or unusable.
    #[cfg(feature = "onnx")]
    #[error("model {model} cannot be run: {source}")]
    Library {
        /// The first model that needs it.
        model: String,
        /// What is wrong and what to do.
        #[source]
        source: OnnxError,
    },
    /// The model itself cannot be used.
    #[cfg(feature = "onnx")]
    #[error(transparent)]
    Model(#[from] OnnxError),
    /// A model without the process that it needs.
    #[cfg(all(feature = "onnx", unix))]
    #[error(transparent)]
    Isolated(#[from] IsolatedError),
    /// Nobody says which program would serve it.
    #[error(
        "model {model} has isolation = \"process\", and this host names no program that serves \
         models, or the system has no such processes; give the path of `wasm-engine` in \
         model_program of the options, or use isolation = \"thread\""
    )]
    NoProgram {
        /// The model.
        model: String,
    },
    /// Its inputs or outputs do not suit the configuration.
    #[error("model {model} cannot be asked as it is configured: {reason}")]
    Terms {
        /// The model.
        model: String,
        /// What does not suit, and what to do.
        reason: String,
    },
}

impl ModelError {
    /// The exit code of a run that it ends: 1 if the machine lacks something, 2 if the
    /// configuration names another file, 5 if the model is refused.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Sha256 { .. } | Self::NoProgram { .. } => 2,
            #[cfg(all(feature = "onnx", unix))]
            Self::Isolated(error) => error.exit_code(),
            Self::NotBuiltIn { .. } => 1,
            #[cfg(feature = "onnx")]
            Self::Library { .. }
            | Self::Model(OnnxError::NotInitialised { .. } | OnnxError::NoProvider { .. }) => 1,
            #[cfg(feature = "onnx")]
            Self::Model(_) => 5,
            Self::Terms { .. } => 5,
        }
    }
}

/// Checks and loads a model; `library` is the library file that the configuration names, if it
/// does, and `interrupter` stops it from another thread.
///
/// # Errors
/// [`ModelError`].
pub fn load_model(
    file: &ModelFile<'_>,
    library: Option<&Path>,
    interrupter: &Interrupter,
) -> Result<LoadedModel, ModelError> {
    let sha256 = check_sha256(file)?;
    start_library(file, library)?;
    load(file, sha256, library, interrupter)
}

/// The file's hash, if it is the one demanded.
fn check_sha256(file: &ModelFile<'_>) -> Result<String, ModelError> {
    let found = model_sha256(file.bytes, file.external);
    match file.sha256 {
        Some(wanted) if !wanted.eq_ignore_ascii_case(&found) => Err(ModelError::Sha256 {
            model: file.name.to_owned(),
            found,
            wanted: wanted.to_owned(),
        }),
        _ => Ok(found),
    }
}

#[cfg(feature = "onnx")]
fn start_library(file: &ModelFile<'_>, library: Option<&Path>) -> Result<(), ModelError> {
    // A process of its own has a library of its own.
    if file.home != ModelHome::Here {
        return Ok(());
    }
    onnx::locate_library(library)
        .and_then(|library| onnx::init(&library))
        .map_err(|source| ModelError::Library { model: file.name.to_owned(), source })
}

#[cfg(feature = "onnx")]
fn load(
    file: &ModelFile<'_>,
    sha256: String,
    library: Option<&Path>,
    interrupter: &Interrupter,
) -> Result<LoadedModel, ModelError> {
    let outputs = file.terms.outputs.as_deref();
    let ModelFile { name, bytes, external, .. } = *file;
    let providers = file.terms.providers.as_slice();
    let source = ModelSource { name, bytes, external, outputs, providers };
    let (mut backend, mixing) = computed(source, file.home, library, interrupter)?;
    if let Some(operator) = mixing.filter(|_| file.batch > 1) {
        let reason = format!("{operator} computes with all rows of a batch together");
        let model = file.name.to_owned();
        return Err(OnnxError::RowsMix { model, batch: file.batch, reason }.into());
    }
    let setup = describe(file, sha256, backend.ports())?;
    onnx::tried(&setup, backend.as_mut())?;
    let fingerprint = format!("{} batch={}", backend.describe(), file.batch);
    let used = backend.providers().used;
    if used != CPU && provider::asked(providers).contains(&ProviderName::Cpu) {
        let make = on_processor(source, file.home, library, interrupter);
        backend = Box::new(FallbackModel::new(backend, make));
    }
    Ok(LoadedModel { setup, fingerprint, backend })
}

/// A model wherever it runs, and the operator in it that makes rows influence each other.
#[cfg(feature = "onnx")]
fn computed(
    source: ModelSource<'_>,
    home: ModelHome<'_>,
    library: Option<&Path>,
    interrupter: &Interrupter,
) -> Result<Tried, ModelError> {
    match home {
        ModelHome::Here => {
            let model = onnx::load(source, interrupter)?;
            let mixing = model.mixing().map(str::to_owned);
            Ok((Box::new(model), mixing))
        }
        ModelHome::Process(program) => isolated(source, program, library, interrupter),
    }
}

/// What makes the same model again, computed by the processor alone.
#[cfg(feature = "onnx")]
fn on_processor(
    source: ModelSource<'_>,
    home: ModelHome<'_>,
    library: Option<&Path>,
    interrupter: &Interrupter,
) -> MakeModel {
    let (name, bytes) = (source.name.to_owned(), source.bytes.to_owned());
    let (external, outputs) = (source.external.to_owned(), source.outputs.map(<[String]>::to_vec));
    let (library, interrupter) = (library.map(Path::to_owned), interrupter.clone());
    let program = match home {
        ModelHome::Here => None,
        ModelHome::Process(program) => Some(program.map(Path::to_owned)),
    };
    Box::new(move || {
        let source = ModelSource {
            name: &name,
            bytes: &bytes,
            external: &external,
            outputs: outputs.as_deref(),
            providers: &[],
        };
        let home = match &program {
            None => ModelHome::Here,
            Some(program) => ModelHome::Process(program.as_deref()),
        };
        let made = computed(source, home, library.as_deref(), &interrupter);
        made.map(|(model, _)| model).map_err(|error| error.to_string())
    })
}

/// What agents know of a model.
#[cfg(feature = "onnx")]
fn describe(
    file: &ModelFile<'_>,
    sha256: String,
    ports: &ModelPorts,
) -> Result<ModelSetup, ModelError> {
    let setup = describe::setup((file.name, file.batch), file.terms, ports);
    let setup =
        setup.map_err(|reason| ModelError::Terms { model: file.name.to_owned(), reason })?;
    Ok(ModelSetup { sha256, ..setup })
}

/// A model, and the operator in it that makes rows influence each other.
#[cfg(feature = "onnx")]
type Tried = (Box<dyn Backend>, Option<String>);

/// A model in a process of its own, tried from here: what ends that process shows early, and is a
/// failure like another.
#[cfg(all(feature = "onnx", unix))]
fn isolated(
    source: ModelSource<'_>,
    program: Option<&Path>,
    library: Option<&Path>,
    interrupter: &Interrupter,
) -> Result<Tried, ModelError> {
    let Some(program) = program else {
        return Err(ModelError::NoProgram { model: source.name.to_owned() });
    };
    let model = IsolatedModel::new(program, library, source, interrupter)?;
    let mixing = model.mixing().map(str::to_owned);
    Ok((Box::new(model), mixing))
}

#[cfg(all(feature = "onnx", not(unix)))]
fn isolated(
    source: ModelSource<'_>,
    _program: Option<&Path>,
    _library: Option<&Path>,
    _interrupter: &Interrupter,
) -> Result<Tried, ModelError> {
    Err(ModelError::NoProgram { model: source.name.to_owned() })
}

#[cfg(not(feature = "onnx"))]
fn start_library(file: &ModelFile<'_>, _library: Option<&Path>) -> Result<(), ModelError> {
    Err(ModelError::NotBuiltIn { model: file.name.to_owned() })
}

#[cfg(not(feature = "onnx"))]
fn load(
    file: &ModelFile<'_>,
    _sha256: String,
    _library: Option<&Path>,
    _interrupter: &Interrupter,
) -> Result<LoadedModel, ModelError> {
    Err(ModelError::NotBuiltIn { model: file.name.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn file<'a>(bytes: &'a [u8], sha256: Option<&'a str>) -> ModelFile<'a> {
        const TERMS: &ModelTerms = &ModelTerms {
            dims: BTreeMap::new(),
            outputs: None,
            request_bytes_max: None,
            reply_bytes_max: None,
            providers: Vec::new(),
        };
        let home = ModelHome::Here;
        ModelFile { name: "m", bytes, external: &[], sha256, batch: 4, home, terms: TERMS }
    }

    #[cfg(feature = "onnx")]
    #[test]
    fn a_model_in_another_process_needs_no_library_here() {
        let isolated = ModelFile { home: ModelHome::of(true, None), ..file(b"bytes", None) };
        assert!(start_library(&isolated, Some(Path::new("/no/such/library"))).is_ok());
    }

    #[test]
    fn the_hash_is_checked_before_anything_is_loaded() {
        let error = load_model(
            &file(b"bytes", Some("00")),
            Some(Path::new("/no/such/library")),
            &Interrupter::default(),
        )
        .expect_err("another hash");
        assert!(matches!(&error, ModelError::Sha256 { wanted, .. } if wanted == "00"));
        assert!(
            error
                .to_string()
                .contains("277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9")
        );
        // Capitals are the same number.
        let hash = model_sha256(b"bytes", &[]).to_uppercase();
        assert_eq!(check_sha256(&file(b"bytes", Some(&hash))).ok(), Some(hash.to_lowercase()));
    }

    #[test]
    fn a_missing_library_says_what_to_do() {
        let error = load_model(
            &file(b"bytes", None),
            Some(Path::new("/no/such/library")),
            &Interrupter::default(),
        );
        // Where the environment names a good library, it wins, and the bytes are no model.
        let text = error.expect_err("neither library nor model").to_string();
        assert!(
            text.contains("version 1.28.0") || text.contains("is not a readable ONNX file"),
            "{text}"
        );
    }
}
