//! kill -9 at any moment: what was durable is there, and the run goes on to the same end
//! (SEMANTICS L2, L5).

#![expect(clippy::disallowed_methods, reason = "it waits for another process and kills it")]

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Mix,
    run::{Folder, config, data, options, resolved},
};
use wasm_engine::{
    replay::{ReplayOptions, inspect, verify},
    run::{RunOptions, run},
};
use wasm_engine_abi::page::NONE_U64;
use wasm_engine_shm::locate::runtime_directory;
use wasm_engine_ui_bridge::{Live, SnapshotSource};

const ROWS: u64 = 700;
const KILLS: u64 = 10;

/// Not a test of its own: the run that
/// [`l2_1_l5_1_l5_2_l5_6_l9_3_what_was_durable_survives_kill_9`] kills.
#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_runs_until_it_is_killed() {
    let dir = env::var("WASM_ENGINE_TEST_CHILD").expect("started by its parent");
    let dir = PathBuf::from(dir);
    let options = RunOptions {
        pace: Some(1000.0),
        log_dir: Some(dir.join("log")),
        name: Some(env::var("WASM_ENGINE_TEST_NAME").expect("a name")),
        ..options()
    };
    run(resolved(&dir.join("run.toml")), options).expect("the run succeeds");
}

/// Starts a run, kills it after `delay` once something is durable; gives the durable tick that a
/// monitor read just before.
fn kill(folder: &Folder, number: u64, delay: Duration) -> u64 {
    let name = format!("crash-{}-{number}", std::process::id());
    let mut child = Command::new(env::current_exe().expect("this binary"))
        .args(["--exact", "crash::child_runs_until_it_is_killed", "--ignored", "--nocapture"])
        .env("WASM_ENGINE_TEST_CHILD", folder.dir.path())
        .env("WASM_ENGINE_TEST_NAME", &name)
        .stdout(Stdio::null())
        .spawn()
        .expect("the child starts");
    let directory = runtime_directory().expect("a runtime directory");
    let deadline = Instant::now() + Duration::from_secs(30);
    let durable = |live: &mut Live| live.poll().map_or(NONE_U64, |now| now.kernel.durable_tick);
    let mut live = loop {
        if let Ok(mut live) = Live::open(&directory, Some(&name))
            && durable(&mut live) != NONE_U64
        {
            break live;
        }
        assert!(Instant::now() < deadline, "nothing became durable in 30 s");
        thread::sleep(Duration::from_millis(1));
    };
    thread::sleep(delay);
    let last = durable(&mut live);
    child.kill().expect("it runs or has ended");
    child.wait().expect("it has ended");
    last
}

#[test]
fn l2_1_l5_1_l5_2_l5_6_l9_3_what_was_durable_survives_kill_9() {
    // So often that one is being written at most moments.
    let text = config("").replace("sync = \"none\"", "sync = \"5ms\"\nkeyframe_ticks = 3");
    let folder = Folder::with(&text, &data(ROWS));
    let unbroken = folder.logged("unbroken", None);
    let mut mix = Mix(std::process::id().into());
    let (mut ends, mut froms) = (Vec::new(), Vec::new());
    for number in 0..KILLS {
        let delay = Duration::from_millis(mix.below(500));
        let durable = kill(&folder, number, delay);
        let found = inspect(&folder.path("log")).expect("the log is recovered");
        assert!(found.last_open >= Some(durable), "durable {durable}, found {:?}", found.last_open);
        let recover = ReplayOptions { recover: true, ..ReplayOptions::default() };
        let verified = verify(&folder.path("log"), recover).expect("what is left is right");
        assert_eq!(verified.divergence, None);
        let workers = Some((number % 3) as u32);
        let on = RunOptions { resume: Some(folder.path("log")), workers, ..options() };
        let resumed = folder.run(on).expect("the run goes on");
        assert_eq!((resumed.digest, resumed.ticks), (unbroken.digest, unbroken.ticks));
        let outputs =
            |log: &str| std::fs::read(folder.path(log).join("outputs.jsonl")).expect("read");
        assert!(outputs("log") == outputs("unbroken"), "killed at {durable}");
        std::fs::remove_dir_all(folder.path("log")).expect("removed");
        ends.push(durable);
        froms.extend(resumed.resumed_from);
    }
    assert!(!froms.is_empty(), "some went on from a keyframe");
    assert!(ends.iter().any(|tick| *tick < ROWS), "some were killed in the middle: {ends:?}");
}
