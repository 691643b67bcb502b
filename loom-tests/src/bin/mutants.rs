//! The mutation gate: weakens one ordering at a time and demands that some model fails.
//!
//! `mutants` walks all sites; each trial is a process of its own (`mutants SITE MODEL`), because a
//! failed model leaves loom's state behind. Exit code 0 if every site is caught or explained.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use wasm_engine_loom_tests::mem::weaken;
use wasm_engine_loom_tests::{Model, check, models};
use wasm_engine_shm::site::Site;

/// Sites that no loom model can turn red, with the reason.
const EXPLAINED: &[(Site, &str)] = &[
    (Site::BellBump, "only load buffering could show it, which loom does not have"),
    (Site::BellEpoch, "only load buffering could show it, which loom does not have"),
];

/// Exit code of a trial whose site or model does not exist.
const UNKNOWN: i32 = 2;

/// What becomes of a site.
fn weakened(site: Site) -> &'static str {
    match site {
        Site::BellRing | Site::BellSleep => "SeqCst fence -> AcqRel fence",
        Site::SlotBusy | Site::RowBusy => "Release fence -> none",
        Site::SlotOpen
        | Site::SlotCheck
        | Site::SlotLatest
        | Site::RowCheck
        | Site::RowCut
        | Site::CounterCount
        | Site::ReadyLook => "Acquire fence -> none",
        Site::BytesPeek | Site::BytesReclaim | Site::CellPeek | Site::CellReclaim => {
            "Acquire load -> Relaxed"
        }
        Site::BellEpoch => "Acquire load -> Relaxed",
        Site::BellBump => "Release add -> Relaxed",
        _ => "Release store -> Relaxed",
    }
}

/// The models of a site's protocol.
fn candidates(site: Site) -> Vec<&'static Model> {
    let name = format!("{site:?}");
    let prefixes: &[&str] = match &name {
        n if n.starts_with("Bytes") => &["bytes"],
        n if n.starts_with("Cell") => &["cell", "outbox"],
        n if n.starts_with("Slot") => &["broadcast", "page"],
        n if n.starts_with("Row") => &["row"],
        n if n.starts_with("Counter") => &["counter"],
        n if n.starts_with("Bell") => &["doorbell"],
        _ => &["region"],
    };
    let likely = |model: &&Model| prefixes.iter().any(|p| model.name.starts_with(p));
    models::ALL.iter().filter(likely).collect()
}

/// Runs one trial in a process of its own; true if the model failed.
fn goes_red(site: Site, model: &Model) -> std::io::Result<bool> {
    let status = Command::new(std::env::current_exe()?)
        .args([format!("{site:?}").as_str(), model.name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    match status.code() {
        Some(0) => Ok(false),
        Some(UNKNOWN) => Err(std::io::Error::other(format!("no trial of {site:?}"))),
        // A panic, or the abort after a second one: loom's deadlocks end so.
        _ => Ok(true),
    }
}

/// The trial itself: a panic is the answer.
fn trial(site: &str, model: &str) -> ExitCode {
    let site = Site::ALL.into_iter().find(|s| format!("{s:?}") == site);
    let model = models::ALL.iter().find(|m| m.name == model);
    let (Some(site), Some(model)) = (site, model) else {
        eprintln!("no such site or model");
        return ExitCode::from(UNKNOWN as u8);
    };
    weaken(site);
    check(model);
    ExitCode::SUCCESS
}

fn main() -> std::io::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [site, model] = args.as_slice() {
        return Ok(trial(site, model));
    }
    let start = Instant::now();
    let (mut caught, mut explained, mut survived) = (0, 0, 0);
    println!("{:16} {:30} caught by", "site", "weakened to");
    for site in Site::ALL {
        let mut by = Vec::new();
        for model in candidates(site) {
            if goes_red(site, model)? {
                by.push(model.name);
            }
        }
        let reason = EXPLAINED.iter().find(|(s, _)| *s == site).map(|(_, reason)| *reason);
        let verdict = match (by.is_empty(), reason) {
            (false, _) => {
                caught += 1;
                by.join(", ")
            }
            (true, Some(reason)) => {
                explained += 1;
                format!("explained: {reason}")
            }
            (true, None) => {
                survived += 1;
                "NOTHING".into()
            }
        };
        println!("{:16} {:30} {verdict}", format!("{site:?}"), weakened(site));
    }
    println!(
        "{caught} caught, {explained} explained, {survived} survived, {:.1?}",
        start.elapsed()
    );
    Ok(if survived == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
