//! A case as the scripts wrote it: a model, its requests, and what plain ONNX Runtime says.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::compare::Tolerance;

/// What plain ONNX Runtime made of a case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum PlainOutcome {
    /// It runs, and gives what the case states.
    Pass,
    /// It runs, and gives something else than the case states.
    Mismatch,
    /// It loads the model and fails in it.
    RunFail,
    /// It refuses the model.
    LoadFail,
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// `node`, `simple` and such, or `model`.
    pub(crate) group: String,
    /// What it is for, if it is a model of a package.
    pub(crate) what: String,
    /// Where it is from.
    pub(crate) origin: String,
    pub(crate) folder: PathBuf,
    pub(crate) plain: PlainOutcome,
    /// Why it has no place in a list of tensors, if so.
    pub(crate) inexpressible: Option<String>,
    pub(crate) runs: usize,
    pub(crate) tolerance: Tolerance,
}

impl Case {
    /// Reads the case of a folder.
    ///
    /// # Errors
    /// If it is not as the scripts write it.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("case.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let case: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is no JSON", path.display()))?;
        Self::of(&case, folder)
            .with_context(|| format!("{} lacks something; write the cases anew", path.display()))
    }

    fn of(case: &Value, folder: &Path) -> Option<Self> {
        let text = |key: &str| case[key].as_str().map(str::to_owned);
        let name = text("name")?;
        let plain = match case["plain"]["outcome"].as_str()? {
            "pass" => PlainOutcome::Pass,
            "mismatch" => PlainOutcome::Mismatch,
            "run-fail" => PlainOutcome::RunFail,
            "load-fail" => PlainOutcome::LoadFail,
            _ => return None,
        };
        let group = name.split_once('.').map_or("model", |(group, _)| group).to_owned();
        Some(Self {
            group,
            what: text("what").unwrap_or_default(),
            origin: text("origin")?,
            folder: folder.to_owned(),
            plain,
            inexpressible: text("inexpressible"),
            runs: case["runs"].as_array()?.len(),
            tolerance: Tolerance { rtol: case["rtol"].as_f64()?, atol: case["atol"].as_f64()? },
            name,
        })
    }

    /// The model's file.
    pub(crate) fn model(&self) -> PathBuf {
        self.folder.join("model.onnx")
    }

    /// A file of a run: `request`, `reply` or `expected`, if there is one.
    pub(crate) fn file(&self, what: &str, run: usize) -> Option<PathBuf> {
        Some(self.folder.join(format!("{what}-{run}.bin"))).filter(|path| path.is_file())
    }
}
