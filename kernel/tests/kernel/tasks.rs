//! Tasks of a configuration and of a host (SEMANTICS A12).

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use wasm_engine::{
    config::Config,
    host::{Host, HostCommand, TaskOutcome, TickPoll},
    replay::{ReplayOptions, inspect, verify},
};
use wasm_engine_abi::{
    AgentId,
    calls::Status,
    frame::item,
    record::LIVE_COMMAND,
    task::{TaskHeader, TaskId, on_failure, task_state},
};

use crate::host::{OUT, builder, config};
use crate::support::{Prog, prog, run::toml_string};

/// A task of the configuration whose agent publishes its name.
fn task(name: &str, agent: u32, rest: &str) -> String {
    let payload = toml_string(&prog().publish(OUT, name.as_bytes()).args());
    format!(
        "[[task]]\nname = \"{name}\"\nagent = \"agent{agent}/0\"\npayload = {payload}\n{rest}\n"
    )
}

/// A graph whose file says it the other way round.
fn graph() -> String {
    graph_of(&prog())
}

/// The same, each of its agents with this program.
fn graph_of(agent: &Prog) -> String {
    let failing = toml_string(&prog().code(7).args());
    config("", &[agent.clone(), agent.clone(), agent.clone()])
        + &task("report", 0, "after = [\"left\", \"right\"]\ntick = 3")
        + &task("left", 1, "after = [\"first\"]\ntick = 2\npriority = -1")
        + &task("right", 1, "after = [\"first\"]\ntick = 2\non_failure = \"skip\"")
        + &task("first", 2, "")
        + &task("anyway", 2, "after = [\"fails\"]\non_failure = \"run\"")
        + &format!(
            "[[task]]\nname = \"fails\"\nagent = \"agent2/0\"\nattempts = 2\npayload = {failing}\n"
        )
}

#[test]
fn a12_3_a12_13_l6_1_a_configured_graph_runs_in_its_order_and_replays() {
    let dir = TempDir::new().expect("a folder");
    let mut digests = Vec::new();
    for workers in [0, 1, 2] {
        let log = dir.path().join(format!("log{workers}"));
        let set = format!("kernel.workers={workers}");
        let mut host = builder(&graph()).set(&set).log(log.clone()).start().expect("it starts");
        let mut done = Vec::new();
        for _ in 0..4 {
            host.tick().expect("it runs");
            let texts =
                host.outputs().map(|output| String::from_utf8_lossy(output.payload).into_owned());
            done.extend(texts);
        }
        assert_eq!(done, ["first", "anyway", "right", "left", "report"]);
        let report = host.close().expect("it ends");
        digests.push(report.digest);
        for workers in [0, 2] {
            let options = ReplayOptions { workers, ..ReplayOptions::default() };
            let verified = verify(&log, options).expect("verifies");
            assert_eq!((verified.divergence, verified.run.digest), (None, report.digest));
        }
    }
    assert!(digests.windows(2).all(|two| two[0] == two[1]), "{digests:?}");
}

#[test]
fn a12_13_what_is_wrong_with_a_graph_is_said_with_all_names() {
    let refused = |extra: &str| {
        let text = graph() + extra;
        let parsed = Config::parse(Path::new("a.toml"), &text, &[]);
        parsed.and_then(|config| config.check()).expect_err("refused").to_string()
    };
    let circle = task("x", 0, "after = [\"z\", \"first\"]")
        + &task("y", 0, "after = [\"x\"]")
        + &task("z", 0, "after = [\"y\"]");
    let said = refused(&circle);
    assert!(said.contains("`x` -> `z` -> `y` -> `x`"), "{said}");
    for (rest, words) in [
        ("after = [\"frist\"]", "did you mean `first`?"),
        ("after = [\"report\"]", "scheduled later, in tick 3"),
        ("attempts = 0", "must be from 1 to 65536"),
        ("tick = 0", "tick"),
        ("aftr = []", "did you mean `after`?"),
        ("on_failure = \"skp\"", "did you mean `skip`?"),
    ] {
        let said = refused(&task("new", 0, rest));
        assert!(said.contains(words), "{rest}: {said}");
    }
    assert!(refused(&task("first", 0, "")).contains("first"), "a name twice");
}

fn bytes(header: TaskHeader, after: &[TaskId], payload: &[u8]) -> Vec<u8> {
    let header = TaskHeader { after: after.len() as u32, ..header };
    header.parts(after, payload).concat()
}

#[test]
fn a12_10_a_host_hears_how_its_tasks_end() {
    let mut host = builder(&config("", &[prog(), prog()])).start().expect("it starts");
    host.tick().expect("tick 0");
    let agent = host.agent("agent1/0").expect("it is configured");
    let failing = prog().code(5);
    let header = TaskHeader { attempts: 2, ..TaskHeader::default() };
    let task = &bytes(header, &[], failing.bytes());
    let first = host.command(HostCommand::Schedule { agent, task }).expect("it is taken");
    let task = &bytes(TaskHeader::default(), &[TaskId::of_host(first)], b"");
    let second = host.command(HostCommand::Schedule { agent, task }).expect("it is taken");
    host.tick().expect("it runs");
    let accepted: Vec<_> = host.command_outcomes().map(|outcome| outcome.status).collect();
    assert_eq!(accepted, [Status::Ok; 2]);
    let ended: Vec<_> = host
        .task_outcomes()
        .map(|end| (end.seq, end.state, end.status, end.attempts, end.code))
        .collect();
    let failed = (first, task_state::FAILED, Status::TaskFailed, 2, 5);
    let cancelled = (second, task_state::CANCELLED, Status::Cancelled, 0, 0);
    assert_eq!(ended, [failed, cancelled]);
    assert_eq!(host.close().expect("it ends").commands_refused, 0);
}

/// Rounds of a run that is killed, one tick each.
const ROUNDS: u64 = 40;
/// Commands of each of them.
const COMMANDS: u64 = 3;

/// A host whose log is in `log`, new or gone on with, that has the graph and agents which say what
/// became of what they scheduled.
fn logging(log: &Path, workers: u32, resume: bool) -> Host {
    let text = graph_of(&prog().on(item::OUTCOME, &prog().echo(OUT)));
    let text = text
        .replace("[limits]", "[log]\nsync = \"2ms\"\nkeyframe_ticks = 5\n[limits]\ntasks_max = 24");
    let builder = builder(&text).set(format!("kernel.workers={workers}"));
    let builder = if resume { builder.resume(log) } else { builder.log(log) };
    builder.start().expect("it starts")
}

/// Tasks of a host in each round, which wait for those of the rounds before, fail and schedule
/// others while their agents are paused and go on. Gives what became of them.
fn driven(host: &mut Host, rounds: std::ops::Range<u64>) -> Vec<TaskOutcome> {
    let mut ends = Vec::new();
    for round in rounds {
        let agent = |offset: u64| AgentId::new(((round + offset) % 3) as u32, 0);
        let turn = if round % 4 < 2 { HostCommand::Pause } else { HostCommand::Resume };
        let turned = AgentId::new(((round % 2 + round / 4) % 3) as u32, 0);
        host.command(turn(turned)).expect("it is taken");
        let child = bytes(TaskHeader::default(), &[], prog().publish(OUT, b"child").bytes());
        let last = |number: u64| TaskId::of_host(LIVE_COMMAND + round * COMMANDS - number);
        let after = if round < 2 { vec![] } else { vec![last(1), last(COMMANDS + 2)] };
        let header = TaskHeader {
            priority: (round % 5) as i32 - 2,
            attempts: 1 + (round % 2) as u32,
            on_failure: [on_failure::RUN, on_failure::SKIP, on_failure::FAIL][round as usize % 3],
            after: 0,
        };
        let program = match round % 5 {
            0 => prog().schedule(agent(1).to_bits(), &child),
            1 => prog().code(9),
            _ => prog().random(OUT),
        };
        let task = &bytes(header, &after, program.bytes());
        host.command(HostCommand::Schedule { agent: agent(0), task }).expect("it is taken");
        let task = &bytes(TaskHeader::default(), &[], prog().count(OUT).bytes());
        host.command(HostCommand::Schedule { agent: agent(1), task }).expect("it is taken");
        assert_eq!(host.tick().expect("it runs"), TickPoll::Done(round + 1));
        ends.extend(host.task_outcomes());
    }
    ends
}

#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_schedules_until_it_is_killed() {
    let of = |name: &str| env::var(name).expect("started by its parent");
    let log = PathBuf::from(of("WASM_ENGINE_TEST_DIR"));
    let mut host = logging(&log, of("WASM_ENGINE_TEST_WORKERS").parse().expect("a number"), false);
    host.tick().expect("tick 0");
    driven(&mut host, 0..of("WASM_ENGINE_TEST_ROUNDS").parse().expect("a number"));
    loop {
        std::thread::park();
    }
}

/// Starts a run of so many rounds in `log` and kills it when half of them are logged.
fn killed(log: &Path, workers: u32, rounds: u64) {
    let mut child = Command::new(env::current_exe().expect("this binary"))
        .args(["--exact", "tasks::child_schedules_until_it_is_killed", "--ignored"])
        .env("WASM_ENGINE_TEST_DIR", log)
        .env("WASM_ENGINE_TEST_WORKERS", workers.to_string())
        .env("WASM_ENGINE_TEST_ROUNDS", rounds.to_string())
        .stdout(Stdio::null())
        .spawn()
        .expect("the child starts");
    while inspect(log).ok().and_then(|log| log.last_open) < Some(rounds / 2) {
        assert!(child.try_wait().expect("it can be asked").is_none(), "it waits to be killed");
        std::thread::yield_now();
    }
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
}

#[test]
fn a12_10_l5_2_l5_4_tasks_of_a_run_that_is_killed_end_as_in_one_that_is_not() {
    let dir = TempDir::new().expect("a folder");
    let outputs = |log: &Path| std::fs::read(log.join("outputs.jsonl")).expect("read");
    let unbroken = dir.path().join("unbroken");
    let mut host = logging(&unbroken, 0, false);
    host.tick().expect("tick 0");
    let expected = driven(&mut host, 0..ROUNDS);
    let report = host.close().expect("it ends");
    let states: BTreeSet<u32> = expected.iter().map(|end| end.state).collect();
    assert_eq!(states.len(), 4, "tasks end in each way: {states:?}");
    for (workers, rounds) in [(0, 2), (1, 9), (2, 16), (0, 24), (1, 31), (2, 38)] {
        let log = dir.path().join(format!("killed{rounds}"));
        killed(&log, workers, rounds);
        let mut host = logging(&log, (workers + 1) % 3, true);
        let from = host.snapshot().and_then(|now| now.tick).expect("something was logged");
        assert!((rounds / 2..=rounds).contains(&from), "killed after {from} of {rounds}");
        let ends = driven(&mut host, from..ROUNDS);
        let later: Vec<_> = expected.iter().filter(|end| end.tick > from).copied().collect();
        assert_eq!(ends, later, "killed after {from}");
        let resumed = host.close().expect("it ends");
        assert_eq!((resumed.digest, resumed.ticks), (report.digest, report.ticks));
        assert!(outputs(&log) == outputs(&unbroken), "killed after {from}");
        let options = ReplayOptions { workers, ..ReplayOptions::default() };
        let verified = verify(&log, options).expect("it verifies");
        assert_eq!((verified.divergence, verified.run.digest), (None, report.digest));
    }
}
