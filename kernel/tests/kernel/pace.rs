//! The clock decides when, never what (SEMANTICS T1, T5, T6).
#![expect(clippy::disallowed_methods, reason = "it measures how long runs take")]

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use wasm_engine::{
    report::{Ended, RunReport},
    run::RunOptions,
};
use wasm_engine_abi::{frame::item, record::kind};
use wasm_engine_log::tamper::records;

use crate::support::{
    Prog, prog,
    run::{Folder, SOURCE, options, toml_string},
};
use wasm_engine_core_scripts::SELF;

/// Far more than any of these runs takes, far less than a wait that should not be would take.
const SOON: Duration = Duration::from_secs(10);

/// One agent that begins with `init`; its topic 0 has rows of these hours.
fn folder(init: &Prog, hours: &[u32]) -> Folder {
    let args = toml_string(&init.args());
    let source = if hours.is_empty() { "" } else { SOURCE };
    let config = format!(
        "[limits]\nagents_max = 64\nmemory_bytes_max = 131072\n{source}\n\
         [[topic]]\nname = \"observation\"\n\n\
         [[agent]]\nname = \"agent\"\nmodule = \"agent.wasm\"\ngrant = \"declared\"\n\
         args = {args}\n"
    );
    let mut data = "station,time,value\n".to_owned();
    for hour in hours {
        let (day, hour) = (1 + hour / 24, hour % 24);
        data.push_str(&format!("EWR,2013-01-{day:02}T{hour:02}:00:00Z,1\n"));
    }
    Folder::with(&config, &data)
}

/// An agent that is runnable in every tick, with all the microsteps there are.
fn restless() -> Prog {
    prog().on(item::MESSAGE, &prog().send(SELF, b"x")).send(SELF, b"x")
}

fn timed(folder: &Folder, options: RunOptions) -> (RunReport, Duration) {
    let start = Instant::now();
    let report = folder.run(options).expect("the run succeeds");
    (report, start.elapsed())
}

#[test]
fn t6_1_with_a_pace_no_tick_opens_before_its_time() {
    // Ticks 0, 1 and 6: what counts is the number of a tick, not how many came before.
    let init = prog().timer(1, 1).timer(6, 2);
    let start = Instant::now();
    let seen: Rc<RefCell<Vec<(u64, Duration)>>> = Rc::default();
    let theirs = Rc::clone(&seen);
    let progress = Box::new(move |now: &wasm_engine::report::Progress| {
        theirs.borrow_mut().push((now.tick, start.elapsed()));
    });
    folder(&init, &[])
        .run(RunOptions { pace: Some(50.0), progress: Some(progress), ..options() })
        .expect("the run succeeds");
    let seen = seen.borrow();
    assert_eq!(seen.iter().map(|(tick, _)| *tick).collect::<Vec<_>>(), [0, 1, 6]);
    for (tick, after) in seen.iter() {
        assert!(*after >= Duration::from_millis(20) * *tick as u32, "tick {tick} after {after:?}");
    }
}

#[test]
fn t6_2_microsteps_are_not_paced() {
    let options = RunOptions { pace: Some(10.0), ticks: Some(5), ..options() };
    let (report, took) = timed(&folder(&restless(), &[]), options);
    // In the pace of ticks they would take half a minute.
    assert!(report.microsteps > 250, "{report:?}");
    assert!(took >= Duration::from_millis(400) && took < SOON, "{took:?}");
}

#[test]
fn t6_3_the_first_tick_after_resuming_is_due_at_once() {
    let folder = folder(&restless(), &[]);
    folder.logged("log", Some(500));
    let options = RunOptions {
        pace: Some(10.0),
        ticks: Some(503),
        resume: Some(folder.path("log")),
        ..options()
    };
    let (report, took) = timed(&folder, options);
    assert_eq!((report.ticks, report.last_tick), (503, 502));
    // Tick 502 comes two tenths of a second after tick 500, not 50 s after tick 0.
    assert!(took >= Duration::from_millis(200) && took < SOON, "{took:?}");
}

#[test]
fn t6_4_without_a_pace_no_tick_waits_for_the_clock() {
    let (report, took) = timed(&folder(&prog().timer(1_000_000, 1), &[]), options());
    assert_eq!((report.ticks, report.last_tick), (2, 1_000_000));
    assert!(took < SOON, "{took:?}");
}

#[test]
fn t5_7_t6_1_a_tick_after_the_end_of_time_is_waited_for_until_the_run_is_stopped() {
    for (delay, pace) in [(1 << 61, 1000.0), (1 << 61, 1e-300), (2, 1e-300), (1 << 40, 1e9)] {
        let folder = folder(&prog().timer(delay, 1), &[]);
        let timeout = Some(Duration::from_millis(300));
        let options = RunOptions { pace: Some(pace), timeout, ..options() };
        let (report, took) = timed(&folder, options);
        assert_eq!((report.ended, report.last_tick), (Ended::Timeout, 0), "{delay} at {pace}");
        assert!(took < SOON, "{took:?}");
    }
}

#[test]
fn t1_3_a_run_is_the_same_with_and_without_a_pace() {
    let folder = Folder::new(12);
    let run = |pace| timed(&folder, RunOptions { pace, ..options() });
    let ((fast, _), (slow, took)) = (run(None), run(Some(100.0)));
    assert!(took >= Duration::from_millis(120), "{took:?}");
    assert_eq!((slow.digest, slow.fuel_digest), (fast.digest, fast.fuel_digest));
}

#[test]
fn t5_2_t5_3_ticks_in_which_nothing_is_due_are_not_in_the_log() {
    let init = prog().subscribe(0).on(item::INPUT, &prog().timer(9, 1));
    let folder = folder(&init, &[0, 49]);
    let report = folder.logged("log", None);
    assert_eq!((report.ticks, report.last_tick), (5, 59));
    let records = records(&folder.path("log"));
    for kind in [kind::TICK_OPEN, kind::TICK_CLOSE] {
        let ticks: Vec<_> = records.iter().filter(|r| r.kind == kind).map(|r| r.tick).collect();
        assert_eq!(ticks, [0, 1, 10, 50, 59]);
    }
}
