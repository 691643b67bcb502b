//! A monitor beside an owner that publishes, stops, dies, ends and starts again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wasm_engine_abi::page::NONE_U64;
use wasm_engine_shm::header::OwnerState;
use wasm_engine_ui_bridge::{Live, Liveness, MonitorError, Snapshot, SnapshotSource, View};
use wasm_engine_ui_bridge_testkit::owner::{ExampleRun, TestOwner};

/// An owner in a process of its own, so that it can be stopped and killed. Not a test: the others
/// start this very program with its name and a directory.
#[test]
#[ignore = "started by the other tests"]
fn owner_process() {
    let Some(directory) = std::env::var_os("OWNER_DIRECTORY") else { return };
    let generation = std::env::var("OWNER_GENERATION").expect("given").parse().expect("a number");
    let mut owner = TestOwner::start(Path::new(&directory), "weather", generation);
    owner.publish(0);
    if std::env::var_os("OWNER_IDLE").is_some() {
        owner.header.set_state(OwnerState::Idle, 0);
        println!("ready");
        loop {
            // It writes nothing, so a signal finds it in no write.
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    println!("ready");
    for tick in 1.. {
        std::thread::sleep(Duration::from_millis(2));
        owner.publish(tick);
    }
}

struct Process(Child);

impl Process {
    fn start(directory: &Path, generation: u64) -> Self {
        Self::start_with(directory, generation, &[])
    }

    fn start_with(directory: &Path, generation: u64, more: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .envs(more.iter().copied())
            .args(["live::owner_process", "--exact", "--ignored", "--nocapture"])
            .env("OWNER_DIRECTORY", directory)
            .env("OWNER_GENERATION", generation.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        assert!(lines.any(|line| line.expect("text").ends_with("ready")), "the owner is ready");
        Self(child)
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill").success());
    }

    fn kill(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks until the owner is judged so.
fn wait_for(live: &mut Live, liveness: Liveness) -> Snapshot {
    let started = Instant::now();
    loop {
        let snapshot = live.poll().expect("readable");
        if snapshot.liveness == liveness {
            return snapshot;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "never {liveness:?}: {snapshot:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn stopped_killed_and_started_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut first = Process::start(directory.path(), 1);
    let mut live = Live::open(directory.path(), None).expect("the only one");
    let before = wait_for(&mut live, Liveness::Live);
    first.signal("-STOP");
    let stale = wait_for(&mut live, Liveness::Stale);
    assert!(stale.kernel.tick >= before.kernel.tick);
    first.signal("-CONT");
    wait_for(&mut live, Liveness::Live);
    first.kill();
    let dead = wait_for(&mut live, Liveness::Dead);
    // What it published last is still there, whole.
    assert_eq!(dead.kernel, ExampleRun::at(dead.kernel.tick).kernel);
    assert_eq!(live.poll().expect("readable").kernel, dead.kernel);
    let error = Live::open(directory.path(), Some("weather")).expect_err("it is dead");
    assert!(matches!(error, MonitorError::NotFound { .. }), "{error}");

    let _second = Process::start(directory.path(), 2);
    let again = wait_for(&mut live, Liveness::Live);
    assert_eq!(again.owner.generation, 2);
    // Rates never span two lives.
    let view = View::new(&again, Some(&dead));
    assert_eq!(view.rates.window_ns, again.kernel.now_ns - again.kernel.start_ns);
}

/// One in the state idle may be so for ever, but not while a signal holds it.
#[test]
#[cfg(target_os = "linux")]
fn an_owner_that_waits_and_is_held_by_a_signal_is_not_live() {
    let directory = tempfile::tempdir().expect("a directory");
    let owner = Process::start_with(directory.path(), 1, &[("OWNER_IDLE", "1")]);
    let mut live = Live::open(directory.path(), None).expect("the only one");
    assert_eq!(wait_for(&mut live, Liveness::Live).activity, "idle");
    owner.signal("-STOP");
    assert_eq!(wait_for(&mut live, Liveness::Stale).activity, "idle");
    owner.signal("-CONT");
    wait_for(&mut live, Liveness::Live);
}

#[test]
fn every_number_is_whole_and_rows_are_one_cut() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut owner = TestOwner::start(directory.path(), "weather", 7);
    let mut live = Live::open(directory.path(), Some("weather")).expect("attached");
    let empty = live.poll().expect("nothing published is no error");
    assert_eq!((empty.agents.len(), View::new(&empty, None).kernel.tick), (0, None));
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut tick = 0;
            while !stop.load(Ordering::Relaxed) {
                owner.publish(tick);
                tick += 1;
            }
            (owner, tick)
        }
    });
    let (mut polls, mut one_version, mut last) = (0, 0, 0);
    let started = Instant::now();
    while polls < 2000 && started.elapsed() < Duration::from_secs(20) {
        let now = match live.poll() {
            Ok(now) => now,
            Err(MonitorError::Busy { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        // The first page may come between its look and that at the agents.
        if now.agents.is_empty() || now.kernel.tick == NONE_U64 {
            continue;
        }
        polls += 1;
        assert!(now.kernel.tick >= last);
        last = now.kernel.tick;
        assert_eq!(now.kernel, ExampleRun::at(now.kernel.tick).kernel);
        let ticks: Vec<u64> = now.agents.iter().map(|(_, row)| row.last_tick).collect();
        for (slot, row) in &now.agents {
            // The archivist's last turn is four ticks back.
            let tick = if row.template == 2 { row.turns - 1 } else { row.last_tick };
            assert_eq!(*row, ExampleRun::at(tick).agents[*slot as usize]);
        }
        if now.agents_one_version {
            one_version += 1;
            assert!(ticks[..13].iter().all(|tick| *tick == ticks[0]), "{ticks:?}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (mut owner, tick) = writer.join().expect("the writer is well");
    assert!(polls > 0 && one_version > 0, "{polls} polls, {one_version} of one version");
    // Quiet again: one cut, the newest.
    let last = live.poll().expect("readable");
    assert!(last.agents_one_version && last.kernel.tick == tick - 1);
    owner.header.set_state(OwnerState::WaitingForLog, 0);
    assert_eq!(live.poll().expect("readable").activity, "waiting for the log");
    owner.finish(tick, 1);
    let end = live.poll().expect("readable");
    assert_eq!((end.liveness, end.activity), (Liveness::Finished, "stopped"));
    assert_eq!(View::new(&end, None).kernel.exit_code, Some(1));
}
