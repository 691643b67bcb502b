//! Tasks of a configuration and of a host (SEMANTICS A12).

use std::path::Path;

use tempfile::TempDir;
use wasm_engine::{
    config::Config,
    host::HostCommand,
    replay::{ReplayOptions, verify},
};
use wasm_engine_abi::{
    calls::Status,
    task::{TaskHeader, TaskId, task_state},
};

use crate::host::{OUT, builder, config};
use crate::support::{prog, run::toml_string};

/// A task of the configuration whose agent publishes its name.
fn task(name: &str, agent: u32, rest: &str) -> String {
    let payload = toml_string(&prog().publish(OUT, name.as_bytes()).args());
    format!(
        "[[task]]\nname = \"{name}\"\nagent = \"agent{agent}/0\"\npayload = {payload}\n{rest}\n"
    )
}

/// A graph whose file says it the other way round.
fn graph() -> String {
    let failing = toml_string(&prog().code(7).args());
    config("", &[prog(), prog(), prog()])
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

#[test]
fn a12_10_a_host_hears_how_its_tasks_end() {
    let mut host = builder(&config("", &[prog(), prog()])).start().expect("it starts");
    host.tick().expect("tick 0");
    let agent = host.agent("agent1/0").expect("it is configured");
    let bytes = |header: TaskHeader, after: &[TaskId], payload: &[u8]| {
        let header = TaskHeader { after: after.len() as u32, ..header };
        [bytemuck::bytes_of(&header), bytemuck::cast_slice(after), payload].concat()
    };
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
