//! What a kernel tells of its doings: events that follow from the run alone, exact losses, counters
//! that say what they are.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    process,
    rc::Rc,
};

use crate::support::{
    Rig, announced, drive, everything,
    run::{Folder, config, data, named, options},
};
use wasm_engine::{
    machine::TraceOptions,
    report::RunReport,
    run::{RunOptions, run},
};
use wasm_engine_abi::{
    counter::{self, CounterDescription},
    page::{
        TraceEvent,
        event::{self, is_full_only},
    },
};
use wasm_engine_setup::Schedule;
use wasm_engine_setup::TraceLevel;
use wasm_engine_shm::locate::runtime_directory;
use wasm_engine_telemetry::trace::{Followed, Follower, Why};
use wasm_engine_ui_bridge::{Live, SnapshotSource};

const TICKS: u64 = 80;
const AGENTS: u32 = 20;
/// More events than any of these runs has.
const ROOM: u32 = 1 << 18;
const ROWS: u64 = 60;

fn attach(name: &str) -> Live {
    let directory = runtime_directory().expect("a runtime directory");
    Live::open(&directory, Some(name)).expect("the kernel runs")
}

/// Every event of a run, of which none may be lost; without its time.
fn all(follower: &mut Follower) -> Vec<TraceEvent> {
    let mut events = Vec::new();
    let mut time_ns = 0;
    while let Some(seen) = follower.poll() {
        let Followed::Event { number, event } = seen else { panic!("{seen:?}") };
        assert_eq!(number, events.len() as u64);
        assert!(time_ns <= event.time_ns, "time runs backwards at event {number}");
        time_ns = event.time_ns;
        events.push(TraceEvent { time_ns: 0, ..event });
    }
    assert_eq!(events.len() as u64, follower.sent());
    events
}

/// A seed of which the scenario has events of all kinds.
const SEED: u64 = 3;

/// The scenario with everything in it, and its trace.
fn traced(workers: u32, level: TraceLevel, schedule: Schedule) -> (Rig, Vec<TraceEvent>) {
    let name = format!("trace-{}-{workers}-{level:?}-{schedule:?}", process::id());
    let scene = everything(SEED, schedule);
    let mut rig = announced(&scene, workers, name.clone(), TraceOptions { level, events: ROOM });
    let mut follower = attach(&name).follow().expect("sound").expect("there is a trace");
    drive(&mut rig, SEED, TICKS, AGENTS);
    let events = all(&mut follower);
    (rig, events)
}

#[test]
fn events_follow_from_the_run_alone_and_add_up_to_its_counts() {
    let (alone, events) = traced(0, TraceLevel::Full, Schedule::Priority);
    for workers in [1, 2] {
        let (many, others) = traced(workers, TraceLevel::Full, Schedule::Priority);
        assert_eq!(many.digests(), alone.digests());
        let differs = events.iter().zip(&others).position(|(a, b)| a != b);
        assert_eq!((differs, events.len()), (None, others.len()), "{workers} workers");
    }
    let (few, others) = traced(0, TraceLevel::Events, Schedule::Priority);
    assert_eq!(few.digests(), alone.digests(), "level decides nothing");
    let kept: Vec<_> = events.iter().filter(|event| !is_full_only(event.kind)).copied().collect();
    assert!(others == kept, "`events` is `full` without what is only there");

    let mut counts = BTreeMap::<u32, u64>::new();
    for event in &events {
        *counts.entry(event.kind).or_default() += 1;
    }
    let count = |kind| counts.get(&kind).copied().unwrap_or(0);
    let stats = alone.core().stats();
    assert_eq!(count(event::TURN), stats.turns);
    assert_eq!(count(event::MICROSTEP), stats.microsteps);
    assert_eq!(count(event::DELIVERED) + count(event::INPUT), stats.messages);
    assert_eq!(count(event::FAULTED), stats.faults);
    assert_eq!(count(event::RESTARTED), stats.restarts);
    assert_eq!(count(event::REQUESTED), stats.inferences);
    assert_eq!(count(event::DROPPED), stats.dropped);
    assert_eq!([event::TICK_OPEN, event::TICK_CLOSE].map(count), [stats.ticks; 2]);
    for kind in event::ALL {
        // A rig waits for nothing, and its replies come for the living.
        let absent = [event::STALL, event::REPLY_DROPPED].contains(&kind.value);
        assert!(absent || count(kind.value) > 0, "the scenario has no {}", kind.text);
    }
    let fuel: u64 = events.iter().filter(|e| e.kind == event::TURN).map(|e| e.a).sum();
    assert_eq!(fuel, stats.fuel);
    let closes = events.iter().filter(|e| e.kind == event::TICK_CLOSE);
    assert!(closes.zip(&alone.closes).all(|(seen, close)| {
        (seen.tick, seen.microstep, seen.a, seen.b)
            == (close.tick, close.microsteps, u64::from(close.turns), close.digest.low())
    }));
    let order = |event: &TraceEvent| (event.tick, event.microstep);
    assert!(events.is_sorted_by_key(order), "ticks and microsteps only grow");
}

/// A whole run; `at_boundary` is called with its name after each tick.
fn run_with(
    folder: &Folder,
    trace: TraceLevel,
    trace_events: u32,
    mut at_boundary: impl FnMut(&str) + 'static,
) -> RunReport {
    let name = named(options(), folder.dir.path()).name.expect("a name of its own");
    let mut resolved = folder.resolved();
    resolved.physical.region.trace = trace;
    resolved.physical.region.trace_events = trace_events;
    let progress = {
        let name = name.clone();
        Box::new(move |_: &_| at_boundary(&name))
    };
    let options = RunOptions {
        name: Some(name),
        log_dir: Some(folder.path("log")),
        progress: Some(progress),
        ..options()
    };
    run(resolved, options).expect("the run succeeds")
}

#[test]
fn a_slow_follower_knows_exactly_what_it_lost_and_the_run_is_the_same() {
    const SLOTS: u32 = 64;
    let mut digests = Vec::new();
    for (trace, slots) in
        [(TraceLevel::Off, SLOTS), (TraceLevel::Events, SLOTS), (TraceLevel::Full, SLOTS)]
    {
        let folder = Folder::with(&config(""), &data(ROWS));
        let follower: Rc<RefCell<Option<Follower>>> = Rc::default();
        let counts = Rc::new(Cell::new([0u64; 3]));
        let (theirs, seen) = (Rc::clone(&follower), Rc::clone(&counts));
        let mut boundaries = 0;
        let report = run_with(&folder, trace, slots, move |name| {
            let mut follower = theirs.borrow_mut();
            if follower.is_none() {
                *follower = attach(name).follow().expect("sound");
                assert_eq!(follower.is_none(), trace == TraceLevel::Off);
            }
            boundaries += 1;
            // Every fifth tick, and a few events only.
            let Some(follower) = follower.as_mut().filter(|_| boundaries % 5 == 0) else { return };
            let [mut events, mut late, mut last] = seen.get();
            for found in std::iter::from_fn(|| follower.poll()).take(10) {
                match found {
                    Followed::Event { number, event } => {
                        assert!(last <= event.tick && number == events + late, "{number}");
                        (events, last) = (events + 1, event.tick);
                    }
                    Followed::Lost { events: lost, why } => {
                        // What was gone at the first look is lost as well.
                        assert_ne!(why, Why::Reading, "nobody wrote meanwhile");
                        late += lost;
                    }
                }
            }
            seen.set([events, late, last]);
            assert_eq!(events + late, follower.passed(), "delivered and lost is what passed");
        });
        digests.push(report.digest);
        let [events, late, _] = counts.get();
        match trace {
            TraceLevel::Off => assert_eq!((events, late), (0, 0)),
            TraceLevel::Events => assert!(events > 50, "{events} delivered"),
            TraceLevel::Full => {
                assert!(events > 50 && late > 500, "{events} delivered, {late} lost")
            }
        }
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "a trace decides nothing");
}

#[test]
fn counters_say_what_they_are_and_what_the_page_says() {
    let folder = Folder::with(&config(""), &data(ROWS));
    let polls: Rc<RefCell<Vec<Vec<wasm_engine_telemetry::counters::Counted>>>> = Rc::default();
    let theirs = Rc::clone(&polls);
    let mut live = None;
    let report = run_with(&folder, TraceLevel::Events, 64, move |name| {
        let directory = runtime_directory().expect("a runtime directory");
        let counted =
            wasm_engine_telemetry::counters::poll(&directory, Some(name)).expect("the kernel runs");
        // Between two ticks the kernel publishes nothing: the page says the same.
        let live = live.get_or_insert_with(|| attach(name));
        let page = live.poll().expect("the kernel runs").kernel;
        for (counter, counted) in counter::KERNEL.iter().zip(&counted) {
            assert_eq!(counted.value, counter.read(&page), "{}", counter.name);
        }
        theirs.borrow_mut().push(counted);
    });
    let polls = polls.borrow();
    assert_eq!(polls.len() as u64, report.ticks);
    for counted in polls.iter() {
        assert_eq!(counted.len(), counter::all().count());
        for (counted, (_, described)) in counted.iter().zip(counter::all()) {
            let CounterDescription { name, kind, unit, help } = described;
            assert_eq!((counted.id, counted.label.as_str()), (counter::id(name), name));
            assert_eq!((counted.kind.as_str(), counted.unit.as_str()), (kind.text(), unit.ucum()));
            assert_eq!(counted.help, help);
        }
    }
    // What only grows does.
    for pair in polls.windows(2) {
        for (before, after) in pair[0].iter().zip(&pair[1]) {
            assert!(before.kind != "counter" || before.value <= after.value, "{}", before.label);
        }
    }
    let value = |name: &str| {
        let last = polls.last().expect("there were ticks");
        last.iter().find(|counted| counted.label == name).expect("listed").value
    };
    // The page is published once a millisecond at most, so the last look may be a little behind.
    assert!(value("ticks") > 0 && value("ticks") <= report.ticks);
    assert!(value("turns") > 0 && value("turns") <= report.turns);
    assert!(value("log_durable_ticks") <= report.ticks);
    assert_eq!(value("region_bytes"), report.region_bytes);
}

#[test]
fn more_events_than_there_is_room_for_are_lost_exactly() {
    const SLOTS: u32 = 64;
    let name = format!("burst-{}", process::id());
    let mut rig = announced(
        &everything(SEED, Schedule::Fifo),
        0,
        name.clone(),
        TraceOptions { level: TraceLevel::Full, events: SLOTS },
    );
    let mut follower = attach(&name).follow().expect("sound").expect("there is a trace");
    drive(&mut rig, SEED, TICKS, AGENTS);
    // The same run with room for all says how many there were.
    let (whole, events) = traced(0, TraceLevel::Full, Schedule::Fifo);
    assert_eq!(whole.digests(), rig.digests());
    assert_eq!(follower.sent(), events.len() as u64);
    let (mut lost, mut last) = (0, Vec::new());
    while let Some(seen) = follower.poll() {
        match seen {
            Followed::Lost { events, .. } => lost += events,
            Followed::Event { number, event } => {
                assert_eq!(number, lost + last.len() as u64);
                last.push(TraceEvent { time_ns: 0, ..event });
            }
        }
    }
    assert_eq!(lost + last.len() as u64, follower.sent());
    assert_eq!(last.last().map(|event| event.kind), Some(event::TICK_CLOSE));
    assert!(events.ends_with(&last), "what was not lost is what came last");
}

#[test]
fn a_resumed_run_does_not_tell_its_past_again() {
    const FIRST: u64 = 20;
    let folder = Folder::with(&config(""), &data(ROWS));
    folder.logged("log", Some(FIRST));
    let ticks: Rc<RefCell<Vec<u64>>> = Rc::default();
    let (theirs, name) = (Rc::clone(&ticks), format!("resumed-{}", process::id()));
    let follower: RefCell<Option<Follower>> = RefCell::default();
    let progress = {
        let name = name.clone();
        Box::new(move |_: &_| {
            let mut follower = follower.borrow_mut();
            let follower = follower.get_or_insert_with(|| {
                attach(&name).follow().expect("sound").expect("there is a trace")
            });
            while let Some(seen) = follower.poll() {
                let Followed::Event { event, .. } = seen else { panic!("{seen:?}") };
                theirs.borrow_mut().extend((event.kind == event::TICK_OPEN).then_some(event.tick));
            }
        })
    };
    let options = RunOptions {
        name: Some(name),
        resume: Some(folder.path("log")),
        progress: Some(progress),
        ..options()
    };
    let report = run(folder.resolved(), options).expect("the run goes on");
    let seen = ticks.borrow();
    assert_eq!((seen.first(), seen.last()), (Some(&FIRST), Some(&report.last_tick)));
    assert_eq!(seen.len() as u64, report.ticks - FIRST);
}
