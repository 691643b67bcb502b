//! Hosts with a deadline: ticks with a budget, which replay and resume as all others, and what a
//! tick is said to have done.

use std::{num::NonZeroU64, path::Path, time::Duration};

use tempfile::TempDir;
use wasm_engine::{
    host::{Host, TickBudget, TickPoll},
    replay::{ReplayOptions, verify},
    report::RunReport,
};
use wasm_engine_abi::frame::item;

use crate::host::{IN_B, OUT, builder, config, echoed, echoes, host};
use crate::support::{Mix, prog};

fn budget(turns: u64, fuel: u64) -> TickBudget {
    TickBudget { turns: NonZeroU64::new(turns), fuel: NonZeroU64::new(fuel) }
}

#[test]
fn t2_4_a_tick_takes_as_many_turns_as_its_budget_has_and_says_what_it_left() {
    let mut host = host(&config("", &[echoes(), echoes(), echoes(), echoes(), echoes()]));
    let init = host.last_tick().expect("tick 0 was executed");
    assert_eq!((init.tick, init.turns, init.carried_over, init.stages), (0, 5, 0, None));
    host.set_tick_budget(budget(2, 0));
    host.push("in", "a", b"one").expect("it has room");
    let mut turns = Vec::new();
    while host.next_due().is_some() {
        assert!(matches!(host.poll_tick(), Ok(TickPoll::Done(_))));
        let tick = host.last_tick().expect("it was executed");
        assert_eq!(host.outputs().count(), tick.turns as usize);
        assert!(tick.fuel > 0);
        turns.push((tick.tick, tick.turns, tick.carried_over));
    }
    assert_eq!(turns, [(1, 2, 3), (2, 2, 1), (3, 1, 0)]);
    host.set_tick_budget(TickBudget::default());
    host.push("in", "a", b"two").expect("it has room");
    assert!(matches!(host.poll_tick(), Ok(TickPoll::Done(4))));
    assert_eq!(host.last_tick().map(|tick| tick.turns), Some(5), "all of it again");
}

/// What a run with a budget for some of its ticks comes to: by seed, with what is in `log` before.
fn run(log: &Path, workers: u32, resume: bool, seeds: &[u64]) -> RunReport {
    let text = config("", &[echoes(), echoes(), echoes(), echoes()]);
    let builder = builder(&text).workers(workers);
    let builder = if resume { builder.resume(log) } else { builder.log(log) };
    let mut host = builder.start().expect("it starts");
    for &seed in seeds {
        let mut mix = Mix(seed);
        for number in 0..40 {
            let most = if mix.below(3) == 0 { 0 } else { 1 + mix.below(5) };
            host.set_tick_budget(budget(most, mix.below(2) * (1 + mix.below(5_000))));
            for _ in 0..mix.below(3) {
                host.push("in", "a", &[number; 9]).expect("it has room");
            }
            host.poll_tick().expect("it runs");
        }
        host.set_tick_budget(TickBudget::default());
        host.run_until_idle(100).expect("it runs");
    }
    host.close().expect("it ends")
}

#[test]
fn t2_4_l5_4_l6_1_budgets_replay_and_resume_with_any_number_of_workers() {
    let dir = TempDir::new().expect("a folder");
    let log = |name: &str| dir.path().join(name);
    let whole = run(&log("whole"), 0, false, &[1, 2]);
    assert!(whole.inputs > 40);
    let other = run(&log("other"), 2, false, &[1, 2]);
    assert_eq!((other.digest, other.ticks), (whole.digest, whole.ticks));
    run(&log("parts"), 1, false, &[1]);
    let parts = run(&log("parts"), 0, true, &[2]);
    assert_eq!((parts.digest, parts.ticks), (whole.digest, whole.ticks));
    for name in ["whole", "other", "parts"] {
        let verified = verify(&log(name), ReplayOptions::default()).expect("it verifies");
        assert_eq!((verified.divergence, verified.log_end.as_str()), (None, "in order"), "{name}");
        assert_eq!(verified.run.digest, whole.digest, "{name}");
    }
}

/// A neighbour that loops takes what a call may take, and its own ticks; who shares the kernel with
/// it waits no longer than that.
#[test]
fn t2_4_q3_1_a_neighbour_that_loops_takes_no_more_than_its_own_fuel() {
    const CALL: u64 = 50_000;
    let looping = prog().subscribe(IN_B).on(item::INPUT, &prog().forever());
    let restart = "restart = { kind = \"fresh\", backoff_ticks = 1, restarts_max = 9, \
                   window_ticks = 1 }\n";
    let text = config("", &[echoes(), looping]) + restart;
    let mut host = host(&text.replace("[limits]", &format!("[limits]\nfuel_per_call = {CALL}")));
    host.set_tick_budget(budget(0, CALL));
    for number in 0..50_u8 {
        host.push("in", "b", &[number]).expect("it has room");
        host.push("in", "a", &[number]).expect("it has room");
        assert!(matches!(host.poll_tick(), Ok(TickPoll::Done(_))));
        assert_eq!(echoed(&host).last().map(Vec::as_slice), Some(&[number][..]));
        // An agent receives up to 16 items a turn, each with the fuel of a call; this one, one.
        let tick = host.last_tick().expect("it was executed");
        assert!(tick.fuel < 3 * CALL, "{tick:?}");
    }
    assert!(host.snapshot().expect("it runs").faults >= 25);
}

#[expect(dead_code, reason = "its main is called by cargo, and prints")]
#[path = "../../examples/frames.rs"]
mod frames;

/// The example of the README: each frame has its answer whoever is beside, and all of it replays.
#[test]
fn l6_1_the_frames_of_the_example_have_their_answers_beside_a_neighbour_and_replay() {
    const FRAMES: u64 = 300;
    let dir = TempDir::new().expect("a folder");
    for (hostile, workers) in [(false, 0), (true, 0), (true, 1)] {
        let log = dir.path().join(format!("{hostile}{workers}"));
        let builder = frames::builder(20_000, hostile).expect("the modules are modules");
        let builder = builder.workers(workers).log(&log);
        let ran = frames::frames(builder, Duration::ZERO, 20_000, FRAMES).expect("all answered");
        assert_eq!(ran.ways.len(), FRAMES);
        assert_eq!(ran.report.faults > FRAMES / 3, hostile, "{} faults", ran.report.faults);
        let verified = verify(&log, ReplayOptions::default()).expect("it verifies");
        assert_eq!((verified.divergence, verified.log_end.as_str()), (None, "in order"));
        assert_eq!(verified.run.digest, ran.report.digest);
    }
}

#[test]
fn the_stages_of_a_tick_are_timed_where_it_is_asked_for() {
    let dir = TempDir::new().expect("a folder");
    let text = config("", &[echoes(), prog().subscribe(IN_B).publish(OUT, b"")]);
    let builder = builder(&text).time_stages(true).log(dir.path().join("log"));
    let mut host: Host = builder.start().expect("it starts");
    assert_eq!(host.last_tick(), None);
    for _ in 0..3 {
        host.poll_tick().expect("it runs");
        let stages = host.last_tick().and_then(|tick| tick.stages).expect("they are timed");
        for time in [stages.open, stages.plan, stages.step, stages.commit, stages.close, stages.log]
        {
            assert!(!time.is_zero(), "{stages:?}");
        }
        host.push("in", "a", b"").expect("it has room");
    }
}
