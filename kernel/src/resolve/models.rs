//! The models of a configuration: their files read, their versions chosen.

use std::path::PathBuf;

use wasm_engine_inference::{
    ExternalFile, account::model_notes, model_sha256, registry::ModelTerms,
};
use wasm_engine_setup::{LoadOn, ModelNotes, ModelSetup};

use crate::{
    config::{Config, Isolation, ModelConfig},
    model_files::{ModelBytes, attached_model, of_version, read_model_files},
    resolve::error::ResolveError,
};

/// A model's files, read.
#[derive(Clone, PartialEq, Eq)]
pub struct ReadModel {
    /// Configured name, with the version behind it if there is one.
    pub name: String,
    /// Where it came from.
    pub path: PathBuf,
    /// Bytes that it may have.
    pub bytes_max: u64,
    /// Its content.
    pub bytes: Vec<u8>,
    /// A host has handed it over, and there is no file.
    pub attached: bool,
    /// The other files in which it has data; the SHA-256 in the setup is of all.
    pub external: Vec<ExternalFile>,
    /// What the file says of itself.
    pub notes: ModelNotes,
    /// Where it runs.
    pub isolation: Isolation,
    /// What the configuration says of its inputs and outputs.
    pub terms: ModelTerms,
}

impl std::fmt::Debug for ReadModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, path, notes, .. } = self;
        write!(f, "ReadModel({name}, {}, {} bytes)", path.display(), notes.bytes)
    }
}

/// Reads all of them.
pub(super) fn resolve(config: &Config) -> Result<(Vec<ReadModel>, Vec<ModelSetup>), ResolveError> {
    let mut models = Vec::with_capacity(config.model.len());
    let mut setups: Vec<ModelSetup> = Vec::with_capacity(config.model.len());
    for (index, model) in config.model.iter().enumerate() {
        let (file, setup) = read(config, model)?;
        let same = |other: &&ModelSetup| other.name == setup.name;
        let alike = |other: &ModelSetup| {
            other.version == setup.version || other.version.or(setup.version).is_none()
        };
        let versions = |other: &ModelSetup| (other.version.is_some(), setup.version.is_some());
        if let Some(other) =
            setups.iter().find(same).filter(|other| versions(other) != (true, true))
        {
            let name = &other.name;
            let problem =
                format!("= \"{name}\" is there twice; give each a version, or rename one");
            return Err(config.value_error(format!("model.{index}.name"), problem).into());
        }
        if setups.iter().filter(same).any(alike) {
            let name = setup.full_name();
            let problem = format!("makes it a second {name}; choose another version");
            return Err(config.value_error(format!("model.{index}.version"), problem).into());
        }
        models.push(file);
        setups.push(setup);
    }
    check_room(config, &setups)?;
    Ok((models, setups))
}

/// Those that are loaded before tick 0 have room together, and each of the others alone.
fn check_room(config: &Config, setups: &[ModelSetup]) -> Result<(), ResolveError> {
    let max = config.limits.models_bytes_max;
    if max == 0 {
        return Ok(());
    }
    let mut held = 0;
    for (model, setup) in config.model.iter().zip(setups) {
        let key = format!("model.{}.memory_bytes", model.name);
        let bytes = setup.memory_bytes;
        held += if setup.load == LoadOn::Start { bytes } else { 0 };
        if bytes > max {
            let problem =
                format!("is {bytes}, and limits.models_bytes_max is {max}, so it is never loaded");
            return Err(config.value_error(key, problem).into());
        }
        if held > max {
            let problem = format!(
                "is {bytes}, and with the models before it {held} are loaded before tick 0, while \
                 limits.models_bytes_max is {max}; raise that, or set load = \"request\" for some"
            );
            return Err(config.value_error(key, problem).into());
        }
    }
    Ok(())
}

fn read(config: &Config, model: &ModelConfig) -> Result<(ReadModel, ModelSetup), ResolveError> {
    let key = |key: &str| format!("model.{}.{key}", model.name);
    let failed =
        |source| ResolveError::Model { key: key(model.location_key()), source: Box::new(source) };
    let (path, version) = match (&model.file, &model.folder) {
        (Some(file), _) => (config.path(file), model.version),
        (None, Some(folder)) => {
            let chosen = of_version(&config.path(folder), model.version);
            let (path, version) = chosen.map_err(failed)?;
            (path, Some(version))
        }
        (None, None) => unreachable!("a configuration that was checked has one of them"),
    };
    let handed_over = model.file.as_ref().and_then(|file| config.attached.get(file));
    let ModelBytes { model: bytes, external } = match handed_over {
        Some(bytes) => attached_model(&path, bytes, model.bytes_max),
        None => read_model_files(&path, model.bytes_max),
    }
    .map_err(failed)?;
    let sha256 = model_sha256(&bytes, &external);
    if let Some(expected) = model.sha256.as_ref().filter(|hex| !hex.eq_ignore_ascii_case(&sha256)) {
        return Err(ResolveError::Sha256 {
            key: key("sha256"),
            file: path,
            found: sha256,
            expected: expected.clone(),
        });
    }
    let notes = model_notes(&bytes, &external);
    let counted = config.limits.models_bytes_max > 0;
    let setup = ModelSetup {
        load: model.load,
        load_ticks: model.load_ticks,
        memory_bytes: model.memory_bytes.unwrap_or(if counted { notes.bytes } else { 0 }),
        pinned: model.pinned,
        name: model.name.clone(),
        version,
        sha256,
        latency_ticks: model.latency_ticks,
        batch: model.batch,
        ..ModelSetup::default()
    };
    let terms = ModelTerms {
        dims: model.dims.clone().unwrap_or_default(),
        outputs: model.outputs.clone(),
        request_bytes_max: model.request_bytes_max,
        reply_bytes_max: model.reply_bytes_max,
        providers: model.providers.clone().unwrap_or_default(),
    };
    let (name, isolation) = (setup.full_name(), model.isolation);
    let (bytes_max, attached) = (model.bytes_max, handed_over.is_some());
    Ok((
        ReadModel { name, path, bytes_max, bytes, attached, external, notes, isolation, terms },
        setup,
    ))
}
