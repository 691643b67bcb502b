//! What a model is, for people who want to configure it: its files read, nothing run.

use std::path::{Path, PathBuf};

use serde::Serialize;
use wasm_engine_inference::account::{ModelAccount, PortAccount, model_account};

use crate::model_files::{ALL_BYTES_MAX, ModelFileError, of_version, read_model_files};

/// Values that a dimension may have where the lines to paste have to say some.
const DIM_EXAMPLE: u64 = 256;

/// What a model is, and how it would be configured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ModelDocument {
    /// The file.
    pub file: PathBuf,
    /// Its version, if it is in a folder of versions.
    pub version: Option<u64>,
    /// What it is.
    #[serde(flatten)]
    pub account: ModelAccount,
    /// Lines of a configuration, with the path as it was given; none for what no run takes.
    pub configuration: Vec<String>,
}

impl ModelDocument {
    /// Why no run takes it, if none does.
    #[must_use]
    pub fn refused(&self) -> Option<&str> {
        self.account.refused_in_process.as_deref()
    }
}

/// Reads the files of the model at `path`, which is one or a folder of versions.
///
/// # Errors
/// [`ModelFileError`].
pub fn read(path: &Path) -> Result<ModelDocument, ModelFileError> {
    let (file, version) = match path.is_dir() {
        true => of_version(path, None).map(|(file, version)| (file, Some(version)))?,
        false => (path.to_owned(), None),
    };
    let read = read_model_files(&file, ALL_BYTES_MAX)?;
    let account = model_account(&read.model, &read.external)
        .map_err(|fault| ModelFileError::Refused { file: file.clone(), fault })?;
    let configuration = match account.refused_in_process {
        Some(_) => Vec::new(),
        None => configuration(path, version, &account),
    };
    Ok(ModelDocument { file, version, account, configuration })
}

/// The lines of a configuration for it.
fn configuration(path: &Path, version: Option<u64>, account: &ModelAccount) -> Vec<String> {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().replace('@', "-");
    let key = if version.is_some() { "folder" } else { "file" };
    let mut lines = vec![
        "[[model]]".to_owned(),
        format!("name = {}", quoted(&name)),
        format!("{key} = {}", quoted(&path.to_string_lossy())),
    ];
    lines.extend(version.map(|version| format!("version = {version}")));
    lines.push(format!("sha256 = {}", quoted(&account.sha256)));
    let dims = bounded(&account.inputs);
    if !dims.is_empty() {
        let dims: Vec<String> =
            dims.iter().map(|dim| format!("{} = {DIM_EXAMPLE}", quoted(dim))).collect();
        lines.push(format!("dims = {{ {} }}", dims.join(", ")));
    }
    if account.refused_in_thread.is_some() {
        lines.push("isolation = \"process\"".to_owned());
    }
    lines
}

/// Dimensions of inputs that a configuration should bound: those that vary, but for one that is
/// the number of rows.
fn bounded(inputs: &[PortAccount]) -> Vec<&str> {
    let mut dims: Vec<&str> = Vec::new();
    for PortAccount { varies, rows, .. } in inputs {
        let varying = varies.iter().map(String::as_str);
        for dim in varying.filter(|dim| rows.as_deref() != Some(dim)) {
            if !dims.contains(&dim) {
                dims.push(dim);
            }
        }
    }
    dims
}
