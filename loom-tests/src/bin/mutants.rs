//! The mutation gate: each ordering weakened, each mutant injected; some model must fail.
//!
//! `mutants` walks all sites, each use of those that have several, all mutants and the models that
//! must fail; `--markdown` prints the tables of `docs/PROOF.md`. Each trial is a process of its own
//! (`mutants trial WHAT MODEL`), because a failed model leaves loom's state behind. The models of
//! the protocol run first; only if none of them fails, all others do. Exit code 0 if everything is
//! caught or explained.

use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use wasm_engine_loom_tests::mem::weaken;
use wasm_engine_loom_tests::mutant::{self, Mutant};
use wasm_engine_loom_tests::{LoomModel, check, models};
use wasm_engine_shm::site::Site;

/// Sites that no loom model can turn red, with the reason.
const EXPLAINED: &[(Site, &str)] = &[
    (Site::BellBump, "only load buffering could show it, which loom does not have"),
    (Site::BellEpoch, "only load buffering could show it, which loom does not have"),
];

/// Exit code of a trial whose subject or model does not exist.
const UNKNOWN: u8 = 2;

/// The subject of a trial in which all is as it ships.
const NOTHING: &str = "nothing";

/// The uses of a site in shm's source, if it has several: their lines.
fn uses(site: Site) -> std::io::Result<Vec<usize>> {
    let call = format!("ord(Site::{site:?},");
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../shm/src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path)?;
                let lines = text.lines().enumerate();
                let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
                found.extend(code.filter(|(_, line)| line.contains(&call)).map(|(at, _)| at + 1));
            }
        }
    }
    Ok(if found.len() > 1 { found } else { Vec::new() })
}

/// What a site is weakened to.
fn weakened(site: Site) -> &'static str {
    match site {
        Site::BellRing | Site::BellSleep => "SeqCst fence -> AcqRel fence",
        Site::SlotBusy | Site::RowBusy | Site::CounterBusy => "Release fence -> none",
        Site::SlotOpen
        | Site::SlotCheck
        | Site::SlotLatest
        | Site::RowCheck
        | Site::RowVersion
        | Site::CounterCount
        | Site::CounterOpen
        | Site::CounterCheck
        | Site::ReadyPoll
        | Site::StatePoll => "Acquire fence -> none",
        Site::BytesPeek | Site::BytesReclaim | Site::CellPeek | Site::CellReclaim => {
            "Acquire load -> Relaxed"
        }
        Site::BellEpoch | Site::AckPeek => "Acquire load -> Relaxed",
        Site::BellBump => "Release add -> Relaxed",
        _ => "Release store -> Relaxed",
    }
}

/// Names of the models of a site's protocol, by their beginnings.
fn likely(site: Site) -> &'static [&'static str] {
    let name = format!("{site:?}");
    match &name {
        n if n.starts_with("Bytes") => &["bytes"],
        n if n.starts_with("Cell") => &["cell", "outbox"],
        n if n.starts_with("Slot") => &["broadcast", "page"],
        n if n.starts_with("Row") => &["row"],
        n if n.starts_with("Counter") => &["counter"],
        n if n.starts_with("Bell") => &["doorbell"],
        n if n.starts_with("Ready") => &["region"],
        n if n.starts_with("State") => &["owner"],
        n if n.starts_with("Ack") => &["acks"],
        _ => &[],
    }
}

/// Runs one trial in a process of its own; true if the model failed.
fn goes_red(what: &str, model: &LoomModel) -> std::io::Result<bool> {
    let status = Command::new(std::env::current_exe()?)
        .args(["trial", what, model.name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    match status.code() {
        Some(0) => Ok(false),
        Some(code) if code == i32::from(UNKNOWN) => {
            Err(std::io::Error::other(format!("no trial of {what} on {}", model.name)))
        }
        // A panic, or the abort after a second one: loom's deadlocks end so.
        _ => Ok(true),
    }
}

/// The trial itself: a panic is the result.
fn trial(what: &str, model: &str) -> ExitCode {
    let (name, line) = what
        .split_once(':')
        .map_or((what, None), |(name, line)| (name, Some(line.parse().unwrap_or(usize::MAX))));
    let site = Site::ALL.into_iter().find(|site| format!("{site:?}") == name);
    let mutant = Mutant::ALL.into_iter().find(|mutant| format!("{mutant:?}") == what);
    let model = models::ALL.iter().chain(models::RED).find(|m| m.name == model);
    let known = site.is_some() || mutant.is_some() || what == NOTHING;
    let (Some(model), true) = (model, known) else {
        eprintln!("no such subject or model");
        return ExitCode::from(UNKNOWN);
    };
    if let Some(site) = site {
        weaken(site, line);
    }
    if let Some(mutant) = mutant {
        mutant::inject(mutant);
    }
    check(model);
    ExitCode::SUCCESS
}

/// The models that go red: of those that begin so, all; if none does, the first of the others.
fn caught_by(what: &str, begins: &[&str]) -> std::io::Result<Vec<&'static str>> {
    let (first, rest): (Vec<&LoomModel>, Vec<&LoomModel>) =
        models::ALL.iter().partition(|model| begins.iter().any(|b| model.name.starts_with(b)));
    let mut red = Vec::new();
    for model in first {
        if goes_red(what, model)? {
            red.push(model.name);
        }
    }
    for model in rest {
        if !red.is_empty() {
            break;
        }
        if goes_red(what, model)? {
            red.push(model.name);
        }
    }
    Ok(red)
}

/// What is tried, and the result.
struct Trial {
    subject: String,
    what: &'static str,
    likely: &'static [&'static str],
    reason: Option<&'static str>,
    caught_by: Vec<&'static str>,
}

impl Trial {
    fn of_site(site: Site) -> Self {
        let reason = EXPLAINED.iter().find(|(s, _)| *s == site).map(|(_, reason)| *reason);
        let subject = format!("{site:?}");
        Self { subject, what: weakened(site), likely: likely(site), reason, caught_by: vec![] }
    }

    /// One use of a site that has several.
    fn of_use(site: Site, line: usize) -> Self {
        Self {
            subject: format!("{site:?}:{line}"),
            what: "the same, on this line",
            ..Self::of_site(site)
        }
    }

    fn of_mutant(mutant: Mutant) -> Self {
        let (subject, likely) = (format!("{mutant:?}"), mutant.models());
        Self { subject, what: "in the memory", likely, reason: None, caught_by: vec![] }
    }

    /// A model that must fail, or with `what` as it ships one that must not.
    fn of_model(model: &'static LoomModel, what: &'static str) -> Self {
        let subject = model.name.to_owned();
        Self { subject, what, likely: &[], reason: None, caught_by: vec![] }
    }

    fn run(&mut self) -> std::io::Result<()> {
        let own = models::ALL.iter().chain(models::RED).find(|model| model.name == self.subject);
        self.caught_by = match own {
            Some(model) if goes_red(NOTHING, model)? => vec![model.name],
            Some(_) => vec![],
            None => caught_by(&self.subject, self.likely)?,
        };
        Ok(())
    }

    fn print(&self, markdown: bool) {
        let Self { subject, what, reason, caught_by, .. } = self;
        let verdict = match (caught_by.is_empty(), reason) {
            (false, _) => caught_by.join(", "),
            (true, Some(reason)) => format!("explained: {reason}"),
            (true, None) => "NOTHING".to_owned(),
        };
        match markdown {
            true => println!("| `{subject}` | {what} | {verdict} |"),
            false => println!("{subject:20} {what:30} {verdict}"),
        }
    }
}

/// Runs all trials, as many at a time as the machine has cores.
fn run_all(rows: &mut [Trial]) -> std::io::Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let left = Mutex::new(rows.iter_mut());
    let work = || {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(row) = next else { return Ok(()) };
            row.run()?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|t| t.join().unwrap_or_else(|p| resume_unwind(p)))
    })
}

fn head(markdown: bool, columns: [&str; 3]) {
    let [a, b, c] = columns;
    match markdown {
        true => println!("\n| {a} | {b} | {c} |\n|---|---|---|"),
        false => println!("\n{a:20} {b:30} {c}"),
    }
}

fn gate(markdown: bool) -> std::io::Result<ExitCode> {
    let start = Instant::now();
    // A model that fails by itself would catch everything.
    let mut green: Vec<Trial> = models::ALL.iter().map(|m| Trial::of_model(m, NOTHING)).collect();
    run_all(&mut green)?;
    if let Some(row) = green.iter().find(|row| !row.caught_by.is_empty()) {
        eprintln!("error: {} fails as it is; run its test", row.subject);
        return Ok(ExitCode::FAILURE);
    }
    let mut rows = Vec::new();
    for site in Site::ALL {
        rows.push(Trial::of_site(site));
        rows.extend(uses(site)?.into_iter().map(|line| Trial::of_use(site, line)));
    }
    let sites = rows.len();
    rows.extend(Mutant::ALL.into_iter().map(Trial::of_mutant));
    rows.extend(models::RED.iter().map(|model| Trial::of_model(model, "in the model")));
    run_all(&mut rows)?;
    head(markdown, ["site", "weakened to", "caught by"]);
    rows[..sites].iter().for_each(|row| row.print(markdown));
    head(markdown, ["mutant", "where", "caught by"]);
    rows[sites..].iter().for_each(|row| row.print(markdown));
    let missed = || rows.iter().filter(|row| row.caught_by.is_empty());
    let explained = missed().filter(|row| row.reason.is_some()).count();
    let survived = missed().count() - explained;
    let caught = rows.len() - explained - survived;
    let took = start.elapsed();
    eprintln!("{caught} caught, {explained} explained, {survived} survived, {took:.1?}");
    Ok(if survived == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn main() -> std::io::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [] => gate(false),
        ["--markdown"] => gate(true),
        ["trial", what, model] => Ok(trial(what, model)),
        _ => {
            eprintln!("error: use: mutants [--markdown]");
            Ok(ExitCode::from(UNKNOWN))
        }
    }
}
