//! Cases with requests: is the model accepted, and are its replies those of plain ONNX Runtime?

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::case::Case;
use crate::child::INTERRUPTED_AFTER;
use crate::herd::{Herd, HerdAnswer};
use crate::result::{CaseFate, CaseResult, Home};
use crate::table;

/// How long a child may take for a case: loading and a few runs of a large model.
const PATIENCE: Duration = INTERRUPTED_AFTER.saturating_mul(24);

/// Runs every case of the folders whose name contains `part` and writes the tables
/// into `out`; whether every case that plain ONNX Runtime passes was answered.
///
/// # Errors
/// If a folder, a child or the tables cannot be had.
pub(crate) fn command(folders: &[&Path], part: &str, out: &Path) -> Result<bool> {
    let start = Instant::now();
    let mut cases = Vec::new();
    for folder in folders {
        cases.extend(read(folder, part)?);
    }
    ensure!(!cases.is_empty(), "no case has {part} in its name");
    let mut herd = Herd::new(PATIENCE);
    let results: Vec<CaseResult> =
        cases.into_iter().map(|case| classify(case, &mut herd)).collect::<Result<_>>()?;
    table::write(&results, out)?;
    let ended: Vec<_> =
        results.iter().filter(|one| matches!(one.fate, CaseFate::Ended(_))).collect();
    for CaseResult { case, fate, .. } in &ended {
        println!("{}: {fate:?}", case.name);
    }
    println!("{} cases, {:.0} s", results.len(), start.elapsed().as_secs_f64());
    Ok(ended.is_empty())
}

fn read(folder: &Path, part: &str) -> Result<Vec<Case>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut folders: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("case.json").is_file())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(part)))
        .collect();
    folders.sort();
    folders.iter().map(|folder| Case::read(folder)).collect()
}

fn classify(case: Case, herd: &mut Herd) -> Result<CaseResult> {
    if let Some(reason) = &case.inexpressible {
        let fate = CaseFate::Inexpressible(reason.clone());
        return Ok(CaseResult { case, home: None, fate });
    }
    let line = match herd.ask(&case.folder.to_string_lossy())? {
        HerdAnswer::Said(line) => line,
        HerdAnswer::Ended(how) => {
            return Ok(CaseResult { case, home: None, fate: CaseFate::Ended(how) });
        }
        HerdAnswer::Silent => {
            let how = format!("no answer in {} s", PATIENCE.as_secs());
            return Ok(CaseResult { case, home: None, fate: CaseFate::Ended(how) });
        }
    };
    let answer: Value =
        serde_json::from_str(&line).with_context(|| format!("{}: {line}", case.name))?;
    let home = match answer["accepted"].as_str() {
        Some("kernel") => Some(Home::Kernel),
        Some("own") => Some(Home::Own),
        _ => None,
    };
    let fate = fate(&answer, home).with_context(|| format!("{}: {line}", case.name))?;
    Ok(CaseResult { case, home, fate })
}

/// The worst of a case's runs.
fn fate(answer: &Value, home: Option<Home>) -> Option<CaseFate> {
    if answer["panicked"] == true {
        return Some(CaseFate::Ended("a panic".to_owned()));
    }
    if home.is_none() {
        return Some(CaseFate::Refused(answer["refused"].as_str()?.to_owned()));
    }
    answer["runs"].as_array()?.iter().map(run).collect::<Option<Vec<_>>>()?.into_iter().max()
}

fn run(run: &Value) -> Option<CaseFate> {
    if let Some(words) = run["failed"].as_str() {
        return Some(CaseFate::Failed(words.to_owned()));
    }
    let words = |key: &str| run[key].as_str().map(str::to_owned);
    Some(match (words("bits"), words("within")) {
        (None, _) => CaseFate::Equal,
        (Some(bits), None) if run["stated"] == true => CaseFate::Within(bits),
        (Some(bits), _) => CaseFate::Different(bits),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_case_comes_to_the_worst_of_its_runs() {
        let fate = |runs: Value| fate(&json!({ "runs": runs }), Some(Home::Kernel));
        let equal = json!({ "bits": null, "within": null, "stated": true });
        let close = json!({ "bits": "a bit", "within": null, "stated": true });
        let unstated = json!({ "bits": "a bit", "within": null, "stated": false });
        let far = json!({ "bits": "a bit", "within": "far", "stated": true });
        let failed = json!({ "failed": "words" });
        assert_eq!(fate(json!([equal])), Some(CaseFate::Equal));
        assert_eq!(fate(json!([equal, close])), Some(CaseFate::Within("a bit".to_owned())));
        assert_eq!(fate(json!([failed, equal])), Some(CaseFate::Failed("words".to_owned())));
        for worse in [unstated, far] {
            let different = CaseFate::Different("a bit".to_owned());
            assert_eq!(fate(json!([close, worse, failed])), Some(different));
        }
        assert_eq!(fate(json!([])), None, "nothing was asked");
        let refused = super::fate(&json!({ "refused": "words" }), None);
        assert_eq!(refused, Some(CaseFate::Refused("words".to_owned())));
    }
}
