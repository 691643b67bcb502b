//! S4: messages of 64 bytes from agent to agent through the orchestrator, each with a receive, a
//! step and a send, log on.
//!
//! As many messages are under way as there are agents; each agent receives one and sends one in
//! every microstep. The agents count: each knows the number that the next message must carry, and
//! ends in a fault if it is another. The bare loop and Node.js run the same module (addresses have
//! 32 bits there), Erlang processes do the same.

use std::process::Command;

use serde_json::json;

use crate::bare_loop::{BareLoop, rounds_of};
use crate::growth::{TURNS, in_turn};
use crate::guests::Job;
use crate::measure::{Scale, apart, median, median_ratio, ns_each, pin};
use crate::rig::{Case, Rig, check};
use crate::rivals;
use crate::row::{Row, Unit};

const AGENTS: u32 = 50;
/// Agents beside which the few are compared.
const MANY: u32 = 4_096;
/// Microsteps of a tick: the default limit.
const MICROSTEPS: u32 = 64;
/// Those of a tick of very many.
const MICROSTEPS_MANY: u32 = 8;
/// Time of arithmetic in a turn, in ns, and what two lanes must be better by.
const SPINS: [(f64, f64); 4] =
    [(0.0, NEVER_SLOWER), (1_000.0, NEVER_SLOWER), (2e3, 1.6), (5e3, 1.6)];
/// Not slower, but for the noise.
pub const NEVER_SLOWER: f64 = 0.97;
/// Time of a segment of turns that compute, in ns.
pub const SEGMENT_NS: f64 = 20e6;

/// The rows.
///
/// # Panics
/// If a tick fails, a message is lost or a digest depends on the lanes.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    check(Case::relay(AGENTS, MICROSTEPS, 0), scale.of(200));
    check(Case::relay(scale.of(MANY as usize) as u32, MICROSTEPS_MANY, 0), 2);
    let mut rows = against_bare(scale);
    let ours = rows[0].ours.unwrap_or_default();
    rows.extend(against_node(scale, ours));
    rows.push(against_erlang(scale, ours));
    rows.extend(by_agents(scale));
    rows.extend(SPINS.map(|(ns, goal)| by_lanes(scale, ns, goal)));
    rows
}

fn row(ours: f64) -> Row {
    Row::new("S4", format!("message of 64 B, {AGENTS} agents, 1 lane"), Unit::Ns, ours)
}

/// The kernel and the loop without one, in turn.
fn against_bare(scale: Scale) -> Vec<Row> {
    apart(|| {
        let mut kernel = Rig::new(Case::relay(AGENTS, MICROSTEPS, 0));
        // After the log's thread has started, which else would share the core.
        pin(0);
        let mut bare = BareLoop::new(AGENTS, Job::Relay { rounds: 0 });
        let turns = AGENTS * MICROSTEPS;
        let ticks = scale.of(20);
        let rounds = ticks * MICROSTEPS as usize;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..scale.segments * 4 {
            ours.push(ns_each(ticks, || kernel.tick()) / f64::from(turns));
            let one = || assert_eq!(bare.round(), AGENTS as usize, "no message is lost");
            theirs.push(ns_each(rounds, one) / f64::from(AGENTS));
        }
        assert_eq!(kernel.faults(), 0, "an agent found a wrong message");
        let ratio = Some(median_ratio(&theirs, &ours));
        vec![row(median(&ours)).against("the bare loop", median(&theirs), ratio).goal(1.0 / 1.25)]
    })
}

/// Many agents against few, and few in ticks of one microstep.
fn by_agents(scale: Scale) -> [Row; 2] {
    let many = scale.of(MANY as usize) as u32;
    let name = format!("message of 64 B, {many} agents, 1 lane");
    let cases = [
        Case::relay(AGENTS, MICROSTEPS, 0),
        Case::relay(AGENTS, 1, 0),
        Case::relay(many, MICROSTEPS_MANY, 0),
    ];
    let figures = in_turn(scale, &cases, scale.of(TURNS as usize));
    let [few, short, many] = &figures[..] else { unreachable!("one for each") };
    let row = |name: String, figures: &Result<Vec<f64>, String>| match (few, figures) {
        (Ok(few), Ok(figures)) => Row::new("S4", name, Unit::Ns, median(figures)).against(
            "50 agents",
            median(few),
            Some(median_ratio(few, figures)),
        ),
        (_, Err(reason)) | (Err(reason), _) => Row::skipped("S4", name, Unit::Ns, reason),
    };
    let short_name = format!("message of 64 B, {AGENTS} agents, 1 microstep a tick");
    [row(name, many).goal(0.7), row(short_name, short).note("64 microsteps a tick there")]
}

/// Two lanes against one, for turns that compute for a while.
fn by_lanes(scale: Scale, ns: f64, goal: f64) -> Row {
    let case = Case::relay(AGENTS, MICROSTEPS, rounds_of(ns));
    let name = format!("message of 64 B and {} us of arithmetic, 2 lanes", ns / 1e3);
    two_lanes("S4", name, scale, case, ns, goal)
}

/// Two lanes against one.
pub(crate) fn two_lanes(
    goal: &'static str,
    name: String,
    scale: Scale,
    case: Case,
    ns: f64,
    ratio: f64,
) -> Row {
    check(case, 2);
    let turns = ((SEGMENT_NS / (ns + 200.0)) as usize / scale.divisor).max(1);
    let figures = in_turn(scale, &[case.pinned_on(0), case.pinned_on(1)], turns);
    match &figures[..] {
        [Ok(one), Ok(two)] => Row::new(goal, name, Unit::Ns, median(two))
            .against("1 lane", median(one), Some(median_ratio(one, two)))
            .goal(ratio),
        _ => {
            let reason = figures.into_iter().find_map(Result::err).unwrap_or_default();
            Row::skipped(goal, name, Unit::Ns, reason)
        }
    }
}

/// Rounds of a rival's segment.
fn rounds(scale: Scale) -> usize {
    scale.of(2_000)
}

/// Messages that a rival must have passed on: one segment is for warming up.
fn messages(scale: Scale, segments: usize) -> u64 {
    u64::from(AGENTS) * ((segments + 1) * rounds(scale)) as u64
}

/// Node.js, with all agents on the orchestrator's thread, as one writes it first and as one writes
/// it after measuring, and with all on a worker.
fn against_node(scale: Scale, ours: f64) -> Vec<Row> {
    match node(scale) {
        Err(reason) => vec![row(ours).note(reason)],
        Ok([inline, tuned, worker]) => vec![
            row(ours).against("Node.js, inline", inline, None).goal(2.8),
            row(ours).against("Node.js, inline, no allocation", tuned, None),
            row(ours).against("Node.js, a worker thread", worker, None),
        ],
    }
}

fn node(scale: Scale) -> Result<[f64; 3], String> {
    let dir = tempfile::tempdir().map_err(|error| format!("no peer: {error}"))?;
    let wasm = dir.path().join("relay.wasm");
    let module = Job::Relay { rounds: 0 }.module_for_node(AGENTS);
    std::fs::write(&wasm, module).map_err(|error| format!("no peer: {error}"))?;
    let script = rivals::script("rivals-node/brokered.js");
    let segments = scale.segments * 2;
    let numbers = [AGENTS as usize, segments, rounds(scale)];
    let said = rivals::ask(
        "node",
        Command::new("node").arg(script).arg(wasm).args(numbers.map(|n| n.to_string())),
    )?;
    let all = [(); 3].map(|()| messages(scale, segments));
    assert_eq!(said["messages"], json!(all), "a message was lost");
    serde_json::from_value(said["ns"].clone()).map_err(|error| format!("no peer: node: {error}"))
}

/// Erlang, on as many schedulers as it likes and on one; the better counts.
fn against_erlang(scale: Scale, ours: f64) -> Row {
    let figures = ["", "+S 1:1"].map(|flags| erlang(scale, flags));
    match figures {
        [Ok(all), Ok(one)] => row(ours)
            .against("Erlang", all.min(one), None)
            .goal(6.0)
            .note(format!("{all:.0} ns with its own choice of schedulers, {one:.0} ns with one")),
        [Err(reason), _] | [_, Err(reason)] => row(ours).note(reason),
    }
}

fn erlang(scale: Scale, flags: &str) -> Result<f64, String> {
    let script = rivals::script("rivals-erlang/brokered.erl");
    let segments = scale.segments * 2;
    let numbers = [AGENTS as usize, segments, rounds(scale)].map(|n| n.to_string());
    let mut escript = Command::new("escript");
    let said = rivals::ask("escript", escript.arg(script).args(numbers).env("ERL_FLAGS", flags))?;
    assert_eq!(said["messages"], messages(scale, segments), "a message was lost");
    said["message_ns"].as_f64().ok_or_else(|| "no peer: escript gave no figure".to_owned())
}
