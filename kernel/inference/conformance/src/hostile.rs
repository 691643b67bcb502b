//! Files that no exporter writes: each is refused in words or is a model, and nothing else happens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::child::INTERRUPTED_AFTER;
use crate::herd::{Herd, HerdAnswer};

/// How long a child may take for a file: until it is interrupted, and to heed that.
const PATIENCE: Duration = INTERRUPTED_AFTER.saturating_mul(4);

/// Longest refusal that a person reads.
const WORDS_MAX: usize = 2_000;

/// What a file came to, where that is in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Accepted,
    Refused,
    Interrupted,
}

/// What the files of a kind came to.
#[derive(Clone, Copy, Default, Debug)]
struct KindTally {
    accepted: u32,
    refused: u32,
    interrupted: u32,
    findings: u32,
    took: Duration,
}

impl KindTally {
    fn note(&mut self, fate: Option<Fate>, took: Duration) {
        *match fate {
            Some(Fate::Accepted) => &mut self.accepted,
            Some(Fate::Refused) => &mut self.refused,
            Some(Fate::Interrupted) => &mut self.interrupted,
            None => &mut self.findings,
        } += 1;
        self.took += took;
    }

    fn print(&self, kind: &str) {
        let Self { accepted, refused, interrupted, findings, took } = self;
        println!(
            "| {kind} | {} | {accepted} | {refused} | {interrupted} | {findings} | {:.0} s |",
            accepted + refused + interrupted + findings,
            took.as_secs_f64()
        );
    }
}

/// Loads every file of the folder whose name contains `part`; whether nothing was found.
///
/// # Errors
/// If the folder or a child cannot be had.
pub(crate) fn command(dir: &Path, part: &str) -> Result<bool> {
    let files = files(dir, part)?;
    ensure!(!files.is_empty(), "no file of {} has {part} in its name", dir.display());
    let mut herd = Herd::new(PATIENCE);
    let mut tallies: BTreeMap<String, KindTally> = BTreeMap::new();
    let mut together = KindTally::default();
    for path in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let asked = Instant::now();
        let fate = classify(herd.ask(&path.to_string_lossy())?)?
            .inspect_err(|finding| println!("{name}: {finding}"))
            .ok();
        let took = asked.elapsed();
        tallies.entry(kind(&name)).or_default().note(fate, took);
        together.note(fate, took);
    }
    println!("\n| kind | files | accepted | refused | interrupted | findings | took |");
    println!("|---|---|---|---|---|---|---|");
    for (kind, tally) in &tallies {
        tally.print(kind);
    }
    together.print("together");
    Ok(together.findings == 0)
}

/// The models of a folder, in the order of their names.
fn files(dir: &Path, part: &str) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .filter(|path| path.to_string_lossy().contains(part))
        .collect();
    files.sort();
    Ok(files)
}

/// The kind of a file, from its name `0042-flip.onnx`.
fn kind(name: &str) -> String {
    let kind = name.split_once('-').map_or(name, |(_, rest)| rest);
    kind.trim_end_matches(".onnx").to_owned()
}

/// What a file came to, or what is wrong with that.
///
/// # Errors
/// If the child did not understand the question or could not read the file.
fn classify(answer: HerdAnswer) -> Result<Result<Fate, String>> {
    let line = match answer {
        HerdAnswer::Said(line) => line,
        HerdAnswer::Ended(how) => return Ok(Err(format!("it ended the process ({how})"))),
        HerdAnswer::Silent => return Ok(Err(format!("no answer in {} s", PATIENCE.as_secs()))),
    };
    let answer: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
    if let Some(error) = answer["unread"].as_str() {
        bail!("a file cannot be read: {error}");
    }
    if answer["accepted"].is_string() {
        return Ok(Ok(Fate::Accepted));
    }
    Ok(match answer["refused"].as_str() {
        Some(words) => refusal(words),
        None => Err(line),
    })
}

/// A refusal in words that a person can read in a terminal, or what is wrong with them.
fn refusal(words: &str) -> Result<Fate, String> {
    if words.is_empty() || words.len() > WORDS_MAX {
        return Err(format!("a refusal of {} bytes", words.len()));
    }
    if let Some(control) = words.chars().find(|one| one.is_control() && *one != '\n') {
        return Err(format!("a refusal with the control character {control:?}: {words:?}"));
    }
    Ok(if words.contains("was stopped before it was done") {
        Fate::Interrupted
    } else {
        Fate::Refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fate_is_a_model_or_words_that_a_person_can_read() {
        let said = |line: &str| classify(HerdAnswer::Said(line.to_owned())).expect("understood");
        assert_eq!(said(r#"{ "accepted": "kernel" }"#), Ok(Fate::Accepted));
        assert_eq!(said(r#"{ "refused": "it has no graph" }"#), Ok(Fate::Refused));
        let stopped = r#"{ "refused": "model m was stopped before it was done" }"#;
        assert_eq!(said(stopped), Ok(Fate::Interrupted));
        for wrong in
            [r#"{ "refused": "" }"#, r#"{ "refused": "\u001b[2J" }"#, r#"{ "panicked": true }"#]
        {
            assert!(said(wrong).is_err(), "{wrong}");
        }
        let ended = HerdAnswer::Ended("signal: 8 (SIGFPE)".to_owned());
        assert!(classify(ended).expect("understood").is_err_and(|words| words.contains("SIGFPE")));
        assert!(classify(HerdAnswer::Silent).expect("understood").is_err());
        assert!(classify(HerdAnswer::Said(r#"{ "unread": "no such file" }"#.to_owned())).is_err());
        assert_eq!(kind("0042-flip.onnx"), "flip");
    }
}
