//! LanePool make a run faster, never different: equal digests, tick by tick, for any number of
//! workers, in any process (SEMANTICS T4, C1, D1).

use std::{cell::RefCell, env, process::Command, rc::Rc};

use crate::support::{
    Rig, drive, everything,
    run::{Folder, named, options},
};
use wasm_engine::run::{RunOptions, run as run_live};
use wasm_engine_abi::{Digest, page::lane_state};
use wasm_engine_setup::Schedule;
use wasm_engine_shm::locate::runtime_directory;
use wasm_engine_ui_bridge::{Live, Snapshot, Source, View};

const TICKS: u64 = 120;
const AGENTS: u32 = 20;

fn run(seed: u64, schedule: Schedule, workers: u32) -> Rig {
    let mut rig = Rig::with_workers(&everything(seed, schedule), workers);
    drive(&mut rig, seed, TICKS, AGENTS);
    rig
}

/// The scenario is worth its name.
fn is_rich(rig: &Rig) {
    let stats = rig.core().stats();
    assert!(stats.messages > 500 && stats.items > 500, "{stats:?}");
    for count in [stats.refused, stats.dropped, stats.dead_letters, stats.inferences] {
        assert!(count > 0, "{stats:?}");
    }
    assert!(stats.faults > 3 && stats.restarts > 0 && stats.outputs > 100, "{stats:?}");
    let spawned = |index| index >= AGENTS || rig.core().agent(index).id.generation() > 0;
    assert!((0..rig.core().slots()).any(spawned), "somebody was spawned");
    assert!(rig.closes.iter().any(|close| close.microsteps == 5), "microsteps_max was reached");
}

fn first_difference(a: &[Digest], b: &[Digest]) -> Option<usize> {
    (0..a.len().max(b.len())).find(|&tick| a.get(tick) != b.get(tick))
}

#[test]
fn t4_3_digests_are_equal_tick_by_tick_for_0_1_2_and_4_workers() {
    for (seed, schedule) in
        [(1, Schedule::Fifo), (2, Schedule::RoundRobin), (3, Schedule::Priority)]
    {
        let alone = run(seed, schedule, 0);
        is_rich(&alone);
        for workers in [1, 2, 4] {
            let many = run(seed, schedule, workers);
            let difference = first_difference(&alone.digests(), &many.digests());
            assert_eq!(
                difference, None,
                "{schedule:?}, {workers} workers: first tick that differs"
            );
            assert_eq!(many.closes, alone.closes, "fuel, microsteps and turns too");
            assert_eq!(many.sink.outputs, alone.sink.outputs);
            assert_eq!(many.sink.lines, alone.sink.lines);
            assert_eq!(many.core().stats(), alone.core().stats());
        }
    }
}

#[test]
fn schedules_differ_from_one_another_and_each_is_deterministic() {
    let last = |schedule| {
        let (one, two) = (run(9, schedule, 0), run(9, schedule, 0));
        assert_eq!(one.digests(), two.digests());
        *one.digests().last().expect("ticks ran")
    };
    let digests = [Schedule::Fifo, Schedule::RoundRobin, Schedule::Priority].map(last);
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}

/// Not a test of its own: what [`d1_2_d3_4_digests_are_equal_in_processes_with_other_surroundings`]
/// runs.
#[test]
#[ignore = "run by the test below in a process of its own"]
fn child_prints_its_digest() {
    let workers = env::var("WASM_ENGINE_TEST_CHILD").expect("started by its parent");
    let rig = run(5, Schedule::Fifo, workers.parse().expect("a number"));
    println!("digest={}", rig.digests().last().expect("ticks ran"));
}

#[test]
fn d1_2_d3_4_digests_are_equal_in_processes_with_other_surroundings() {
    let child = |workers: &str, surroundings: &[(&str, String)]| {
        let output = Command::new(env::current_exe().expect("this binary"))
            .args(["--exact", "workers::child_prints_its_digest", "--ignored", "--nocapture"])
            .env("WASM_ENGINE_TEST_CHILD", workers)
            .envs(surroundings.iter().map(|(key, value)| (key, value)))
            .output()
            .expect("the child runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let at = text.find("digest=").unwrap_or_else(|| panic!("{text}"));
        text[at..].lines().next().expect("a line").to_owned()
    };
    // A larger environment moves the stack; another locale and zone must not matter either.
    let other = [
        ("LC_ALL", "de_DE.UTF-8".to_owned()),
        ("TZ", "Asia/Kathmandu".to_owned()),
        ("RUST_MIN_STACK", (8 << 20).to_string()),
        ("MALLOC_ARENA_MAX", "1".to_owned()),
        ("SURROUNDINGS", "x".repeat(100_000)),
    ];
    let reference = child("0", &[]);
    assert_eq!(child("2", &other), reference);
    assert_eq!(
        run(5, Schedule::Fifo, 0).digests().last().map(|d| format!("digest={d}")),
        Some(reference)
    );
}

/// A run with two workers, and what a monitor saw of it: at the last tick boundary, when it may be
/// a millisecond old, and after the end.
fn watched(folder: &Folder) -> [Snapshot; 2] {
    let options = RunOptions { workers: Some(2), ..named(options(), folder.dir.path()) };
    let name = options.name.clone().expect("it was given one");
    let seen = Rc::new(RefCell::new(None));
    let into = Rc::clone(&seen);
    let directory = runtime_directory().expect("a runtime directory");
    let progress = move |_: &_| {
        let mut seen = into.borrow_mut();
        let open = || (Live::open(&directory, Some(&name)).expect("it runs"), None);
        let (live, now) = seen.get_or_insert_with(open);
        *now = Some(live.look().expect("it can be read"));
    };
    let options = RunOptions { progress: Some(Box::new(progress)), ..options };
    run_live(folder.resolved(), options).expect("the run succeeds");
    let (mut live, now) = seen.take().expect("there were ticks");
    [now.expect("there were ticks"), live.look().expect("it can still be read")]
}

#[test]
fn each_lane_tells_monitors_what_it_did_itself() {
    let [now, _] = watched(&Folder::new(40));
    let [own, workers @ ..] = &now.lanes[..] else { panic!("{now:?}") };
    assert_eq!(workers.len(), 2);
    assert_eq!(own.state, lane_state::BUSY);
    for (number, lane) in now.lanes.iter().enumerate() {
        assert!(lane.turns > 0 && lane.busy_ns > 0, "lane {number}: {lane:?}");
        // State digests are commands, too.
        assert!(lane.commands > lane.turns && lane.results == lane.commands, "{lane:?}");
        assert!(lane.outbox_bytes <= lane.outbox_high_bytes, "{lane:?}");
        assert!(lane.outbox_high_bytes > 0 && lane.outbox_high_bytes <= lane.outbox_capacity);
        let homes = now.agents.iter().filter(|(_, row)| row.lane as usize == number);
        assert_eq!(lane.agents as usize, homes.count(), "lane {number}");
    }
    assert!(workers.iter().all(|lane| (lane.state, lane.wait_ns > 0) == (lane_state::IDLE, true)));
    assert_eq!(now.lanes.iter().map(|lane| lane.turns).sum::<u64>(), now.kernel.turns);
}

#[test]
fn monitors_call_agents_by_their_configured_names() {
    let [_, end] = watched(&Folder::new(2));
    let view = View::new(&end, None);
    let names: Vec<_> = view.agents.iter().map(|agent| agent.name.as_str()).collect();
    // The clumsy one has used its restarts up.
    assert_eq!(names, ["station/EWR", "station/JFK", "station/LGA"]);
}
