//! S3, second half: a tick of 50 trivial agents with log and digests, against Node.js doing the
//! same.
//!
//! The peer is `rivals-node/tick50.js`: one orchestrator and one worker thread, rings in a
//! SharedArrayBuffer, both spinning, the same module 50 times, steps sent in one batch; once
//! without a log and once with one JSON event a step, which is what is usually done. It has no
//! digests.

use std::process::Command;

use wasm_engine_setup::TraceLevel;

use crate::guests::Job;
use crate::measure::{Scale, apart, median, ns_each, pin};
use crate::rig::{Case, Rig, STATE_INTERVAL, Without, check};
use crate::rivals;
use crate::row::{Row, Unit};

const AGENTS: u32 = 50;

/// The rows.
///
/// # Panics
/// If a tick fails or a digest depends on the lanes.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    check(Case::all(AGENTS), scale.of(1_000));
    let ticks = |without, level| {
        apart(|| {
            let mut rig = Rig::new(Case { without, level, ..Case::all(AGENTS) });
            // After the log's thread has started, which else would share the core.
            pin(0);
            let figures: Vec<f64> =
                (0..scale.segments * 4).map(|_| ns_each(STATE_INTERVAL, || rig.tick())).collect();
            median(&figures)
        })
    };
    let whole = ticks(Without::default(), TraceLevel::Events);
    let no_log = ticks(Without { log: true, ..Without::default() }, TraceLevel::Events);
    let no_rows = ticks(Without { rows: true, ..Without::default() }, TraceLevel::Events);
    let no_trace = ticks(Without::default(), TraceLevel::Off);
    let full_trace = ticks(Without::default(), TraceLevel::Full);
    let row = || Row::new("S3", "tick of 50 trivial agents, log and digests", Unit::Ns, whole);
    let mut rows = match node(scale) {
        Ok((plain, logged)) => vec![
            row().against("Node.js, no log, no digests", plain, None).goal(1.8),
            row().against("Node.js, a JSON event a step", logged, None).goal(4.5),
        ],
        Err(reason) => vec![row().note(reason)],
    };
    for (what, ns) in [
        ("tick of 50 trivial agents, no log", no_log),
        ("tick of 50 trivial agents, no rows", no_rows),
        ("tick of 50 trivial agents, no trace", no_trace),
        ("tick of 50 trivial agents, full trace", full_trace),
    ] {
        rows.push(Row::new("S3", what, Unit::Ns, ns));
    }
    rows
}

/// Medians of the peer's ticks without and with its log, in ns.
fn node(scale: Scale) -> Result<(f64, f64), String> {
    let dir = tempfile::tempdir().map_err(|error| format!("no peer: {error}"))?;
    let wasm = dir.path().join("trivial.wasm");
    let module = Job::Listen { rounds: 0 }.module(AGENTS, 1);
    std::fs::write(&wasm, module).map_err(|error| format!("no peer: {error}"))?;
    let numbers = [u64::from(AGENTS), scale.segments as u64 * 4, STATE_INTERVAL as u64];
    let said = rivals::ask(
        "node",
        Command::new("node")
            .arg(rivals::script("rivals-node/tick50.js"))
            .arg(&wasm)
            .args(numbers.map(|n| n.to_string()))
            .arg(dir.path().join("events.jsonl")),
    )?;
    match (said["tick_ns"].as_f64(), said["tick_logged_ns"].as_f64()) {
        (Some(plain), Some(logged)) => Ok((plain, logged)),
        _ => Err("no peer: node gave no figures".to_owned()),
    }
}
