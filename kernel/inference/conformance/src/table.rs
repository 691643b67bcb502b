//! The tables of a run: one for people, one for programs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::case::PlainOutcome;
use crate::result::{CaseFate, CaseResult, Home};

/// Longest reason in a cell, in characters.
const WORDS_MAX: usize = 160;

/// Writes both, and prints the one for people.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(results: &[CaseResult], out: &Path) -> Result<()> {
    let (models, nodes): (Vec<_>, Vec<_>) =
        results.iter().partition(|one| one.case.group == "model");
    let mut text = String::new();
    if !models.is_empty() {
        text += &of_models(&models);
    }
    if !nodes.is_empty() {
        text += &of_groups(&nodes);
        text += &of_the_rest(&nodes);
        text += &of_the_missing(&nodes);
    }
    print!("{text}");
    let save = |name: &str, text: &str| {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    };
    save("table.md", &text)?;
    let records: Vec<Value> = results.iter().map(record).collect();
    save("table.json", &(serde_json::to_string_pretty(&records)? + "\n"))
}

/// A table in Markdown, with an empty line after it.
fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(N));
    let body: String = rows.into_iter().map(|row| line(&row)).collect();
    line(&head.map(str::to_owned)) + &rule + &body + "\n"
}

/// One row a model.
fn of_models(models: &[&CaseResult]) -> String {
    let row = |one: &&CaseResult| {
        let case = &one.case;
        let home = match one.home {
            Some(Home::Kernel) => "the kernel",
            Some(Home::Own) => "a process of its own",
            None => "—",
        };
        let replies = match &one.fate {
            CaseFate::Equal => "equal bits".to_owned(),
            fate => format!("{}: {}", word(fate), cell(reason(fate))),
        };
        let package = case.origin.split(',').next().unwrap_or_default().to_owned();
        let (name, what) = (case.name.clone(), case.what.clone());
        [name, package, what, home.to_owned(), case.runs.to_string(), replies]
    };
    let head = ["model", "package", "what it does", "runs in", "requests", "replies"];
    let equal = models.iter().filter(|one| one.fate == CaseFate::Equal).count();
    let accepted = models.iter().filter(|one| one.home.is_some()).count();
    format!(
        "{}{} models: {accepted} are accepted, {equal} give the bits of Python's library.\n\n",
        table(head, models.iter().map(row)),
        models.len()
    )
}

/// One row a group of cases.
fn of_groups(nodes: &[&CaseResult]) -> String {
    let mut groups: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
    for one in nodes {
        groups.entry(&one.case.group).or_default().push(one);
    }
    let head = [
        "cases",
        "all",
        "plain ONNX Runtime passes",
        "of these pass here",
        "with equal bits",
        "in the kernel",
        "in a process of their own",
        "refused",
        "failed or different",
        "ended",
    ];
    let rows = groups.iter().map(|(name, group)| of_group(name, group));
    table(head, rows.chain([of_group("together", nodes)]))
}

fn of_group(name: &str, group: &[&CaseResult]) -> [String; 10] {
    let due: Vec<_> = group.iter().filter(|one| one.is_due()).collect();
    let count = |test: &dyn Fn(&CaseResult) -> bool| due.iter().filter(|one| test(one)).count();
    let at = |home| count(&|one| one.passes() && one.home == Some(home));
    let counts = [
        group.len(),
        due.len(),
        count(&CaseResult::passes),
        count(&|one| one.fate == CaseFate::Equal),
        at(Home::Kernel),
        at(Home::Own),
        count(&|one| matches!(one.fate, CaseFate::Refused(_))),
        count(&|one| matches!(one.fate, CaseFate::Failed(_) | CaseFate::Different(_))),
        count(&|one| matches!(one.fate, CaseFate::Ended(_))),
    ];
    let mut cells = counts.iter().map(usize::to_string);
    std::array::from_fn(|at| match at {
        0 => name.to_owned(),
        _ => cells.next().unwrap_or_default(),
    })
}

/// What the cases come to that plain ONNX Runtime does not pass, or that cannot be asked.
fn of_the_rest(nodes: &[&CaseResult]) -> String {
    let mut counts: BTreeMap<(PlainOutcome, &str), u32> = BTreeMap::new();
    for one in nodes.iter().filter(|one| !one.is_due()) {
        *counts.entry((one.case.plain, word(&one.fate))).or_default() += 1;
    }
    let row = |((plain, here), count): ((PlainOutcome, &str), u32)| {
        let plain = match plain {
            PlainOutcome::Pass => "passes",
            PlainOutcome::Mismatch => "gives other values",
            PlainOutcome::RunFail => "fails",
            PlainOutcome::LoadFail => "refuses",
        };
        [plain.to_owned(), here.to_owned(), count.to_string()]
    };
    table(["plain ONNX Runtime", "here", "cases"], counts.into_iter().map(row))
}

/// Those that plain ONNX Runtime passes and the engine does not.
fn of_the_missing(nodes: &[&CaseResult]) -> String {
    let missing = nodes.iter().filter(|one| one.is_due() && !one.passes());
    let row = |one: &&CaseResult| {
        [one.case.name.clone(), word(&one.fate).to_owned(), cell(reason(&one.fate))]
    };
    let rows: Vec<_> = missing.map(row).collect();
    if rows.is_empty() { String::new() } else { table(["case", "here", "why"], rows) }
}

fn word(fate: &CaseFate) -> &'static str {
    match fate {
        CaseFate::Equal => "equal bits",
        CaseFate::Within(_) => "within the tolerance",
        CaseFate::Inexpressible(_) => "cannot be asked",
        CaseFate::Refused(_) => "refused",
        CaseFate::Failed(_) => "failed",
        CaseFate::Different(_) => "different",
        CaseFate::Ended(_) => "ended",
    }
}

fn reason(fate: &CaseFate) -> &str {
    match fate {
        CaseFate::Equal => "",
        CaseFate::Within(reason)
        | CaseFate::Inexpressible(reason)
        | CaseFate::Refused(reason)
        | CaseFate::Failed(reason)
        | CaseFate::Different(reason)
        | CaseFate::Ended(reason) => reason,
    }
}

/// A reason that fits in a cell of a table.
fn cell(reason: &str) -> String {
    let line = reason.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    match line.char_indices().nth(WORDS_MAX) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

fn record(one: &CaseResult) -> Value {
    json!({
        "name": one.case.name,
        "origin": one.case.origin,
        "plain": format!("{:?}", one.case.plain).to_lowercase(),
        "home": one.home.map(|home| format!("{home:?}").to_lowercase()),
        "fate": word(&one.fate),
        "reason": reason(&one.fate),
    })
}
