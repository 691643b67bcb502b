//! Bytes that must not change unseen: one committed value for a run of each kind of rule.
//!
//! A value is the digest of the run's last tick, in which all before are chained: facts, events,
//! turn digests, states. Other values mean that no log that was written before can be verified. A
//! change of that kind is made on purpose, with another version of the log, and
//! `UPDATE_GOLDEN=1 cargo test -p wasm-engine-core --test core golden::` writes the table anew.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use wasm_engine_abi::{
    AgentId,
    calls::Status,
    code::CodeEntry,
    frame::item,
    page::event,
    record::{
        BudgetFact, Chain, FactHeader, Facts, InputFact, LoadFact, ProviderFact, action, crc32c,
        fact,
    },
    task::{TaskHeader, TaskId, on_failure},
};
use wasm_engine_core_scripts::{
    CHILD, DROP_NEWEST, DROP_OLDEST, ECHO, FROM, Guest, LATEST, OUT, Prog, REFUSE, Rig, SELF,
    Scene, Scripted, drive, everything, prog, reply_to, to,
};
use wasm_engine_setup::{LoadOn, Restart, Schedule, SourceSetup};
use xxhash_rust::xxh3::xxh3_128;

type Run = Rig<Scripted>;

/// The table: which rules, what the run does, its ticks, the digest of the last.
const TABLE: &str = include_str!("golden.txt");
const HEAD: &str = "# What kernel/core/tests/core/golden.rs does, its last tick, and the digest.\n";

/// The name of a run, its letter first, and what makes it.
type NamedRun = (&'static str, fn() -> Run);

/// Runs by the rules that decide most of what is in them.
const RUNS: [NamedRun; 25] = [
    ("T opens", opens),
    ("T microsteps", microsteps),
    ("T inits", inits),
    ("T chosen", chosen),
    ("T budget", budget),
    ("Q fifo", || scheduled(Schedule::Fifo)),
    ("Q round_robin", || scheduled(Schedule::RoundRobin)),
    ("Q priority", || scheduled(Schedule::Priority)),
    ("A lives", lives),
    ("A faults", faults),
    ("A groups", groups),
    ("A save_points", save_points),
    ("A tasks", tasks),
    ("A random", random),
    ("A host", host),
    ("C policies", policies),
    ("C limits", limits),
    ("C channels", channels),
    ("C passes", passes),
    ("D causes", causes),
    ("D payloads", payloads),
    ("D states", states),
    ("I replies", replies),
    ("I models", models),
    ("I providers", providers),
];

fn begun(scene: &Scene) -> Run {
    let mut rig = Run::new(scene);
    rig.tick();
    rig
}

/// Gives these orders, one tick each, and lets the run go on to its end.
fn ordered(scene: &Scene, orders: impl IntoIterator<Item = (u32, Prog)>) -> Run {
    let mut rig = begun(scene);
    for (agent, order) in orders {
        rig.tell(agent, order);
        rig.tick();
    }
    rig.settle(40);
    rig
}

fn fresh(backoff_ticks: u64) -> Restart {
    Restart::Fresh { backoff_ticks, restarts_max: 3, window_ticks: 50 }
}

/// An outcome of a load, a command, the end of a backoff, a reply, timers and inputs in one open.
fn opens() -> Run {
    let mut scene = Scene::of(3);
    scene.template("breaker", fresh(4));
    scene.agent(1, prog());
    scene.setup.sources.push(SourceSetup { id: "other".to_owned(), live: false });
    scene.model("slow", 4);
    let late = scene.model_of("late", 1, LoadOn::Command, 0);
    let mut rig = begun(&scene);
    rig.tell(3, prog().trap());
    rig.tell(1, prog().subscribe(REFUSE).timer(4, 2).infer(0, b"0001"));
    rig.tell(0, prog().timer(4, 1).subscribe(REFUSE));
    rig.tick();
    rig.tick();
    rig.command(action::LOAD, late.into(), b"");
    rig.tick();
    rig.tick();
    rig.command(action::PAUSE, to(2), b"");
    rig.input_from(1, REFUSE, b"of the other source");
    rig.input_from(0, REFUSE, b"of the host");
    rig.budget = Some(BudgetFact { turns: 2, fuel: 0 });
    assert_eq!(rig.tick().tick, 5);
    rig.settle(10);
    rig
}

/// Two agents that never stop to answer each other, and what is left over of a tick.
fn microsteps() -> Run {
    let mut scene = Scene::empty();
    scene.template("worker", Restart::Never);
    let answer = prog().on(item::MESSAGE, &prog().send(FROM, b"and back"));
    scene.agent(0, answer.clone());
    scene.agent(0, answer);
    scene.limits().microsteps_max = 3;
    let mut rig = begun(&scene);
    rig.tell(0, prog().send(to(1), b"there"));
    for _ in 0..4 {
        rig.tick();
    }
    rig
}

/// Tick 0 in several microsteps; what it wakes waits for tick 1.
fn inits() -> Run {
    let mut scene = Scene::empty();
    scene.template("worker", Restart::Never);
    for agent in 0..5 {
        scene.agent(0, prog().send(to(4 - agent), b"hello").spawn("worker", &prog().count(OUT)));
    }
    scene.limits().turns_per_microstep_max = 2;
    ordered(&scene, [])
}

/// A number that a live input chose.
fn chosen() -> Run {
    let mut scene = Scene::of(1);
    scene.setup.sources.push(SourceSetup { id: "live".to_owned(), live: true });
    let mut rig = begun(&scene);
    rig.tell(0, prog().subscribe(REFUSE).timer(8, 0));
    rig.tick();
    rig.facts.begin(5);
    rig.facts.choose();
    rig.facts.push(InputFact { source: 1, seq: 3, topic: REFUSE }, b"now");
    let facts = rig.facts.finish().to_vec();
    rig.feed(&facts).expect("5 is before 9");
    rig.settle(5);
    rig
}

/// A budget of turns, of fuel, and of both.
fn budget() -> Run {
    let mut rig = begun(&Scene::of(4));
    for (turns, fuel) in [(2, 0), (0, 1), (3, 1 << 40)] {
        (0..4).for_each(|agent| rig.tell(agent, prog().send(to(3 - agent), b"later")));
        rig.budget = Some(BudgetFact { turns, fuel });
        rig.tick();
    }
    rig.settle(10);
    rig
}

/// Everything at random under one schedule.
fn scheduled(schedule: Schedule) -> Run {
    let mut rig = Run::new(&everything(5, schedule));
    drive(&mut rig, 3, 24, 20);
    rig
}

/// Spawned, paused, resumed and ended agents; slots that are used again, and none that is left.
fn lives() -> Run {
    let mut scene = Scene::of(2);
    scene.limits().agents_max = 4;
    let child = prog().subscribe(REFUSE).farewell(OUT);
    let spawn = |program: Prog| program.spawn("worker", &child);
    ordered(
        &scene,
        [
            (0, spawn(spawn(spawn(prog())))),
            (0, prog().pause(CHILD).send(CHILD, b"waits").pause(CHILD)),
            (1, prog().publish(REFUSE, b"to all")),
            (0, prog().resume(CHILD).resume(CHILD)),
            (0, prog().terminate(CHILD).send(CHILD, b"gone").terminate(CHILD)),
            (0, spawn(prog())),
            (1, prog().terminate(SELF).shutdown_code(-3)),
        ],
    )
}

/// Each kind of fault that scripted agents have, restarts up to the limit, codes that are none.
fn faults() -> Run {
    let mut scene = Scene::of(1);
    scene.template("breaker", fresh(2));
    for _ in 0..2 {
        scene.agent(1, prog().timer(5, 1));
    }
    let bad = Guest { inbox: 4, capacity: 64 };
    let bad = scene.template_of("no inbox", Restart::Never, bad);
    scene.agent(bad, prog());
    let lost = |agent, order: Prog| (agent, prog().send(to(0), b"lost").then(&order));
    ordered(
        &scene,
        [
            lost(1, prog().trap()),
            lost(2, prog().forever()),
            (0, prog().send(to(1), b"in backoff").step_code(7)),
            (0, prog()),
            lost(1, prog().recurse()),
            lost(2, prog().code(-1)),
            (0, prog().code(9)),
            (0, prog()),
            lost(1, prog().publish_from(u32::MAX, 8)),
            lost(2, prog().trap()),
            (0, prog()),
            (0, prog()),
            lost(1, prog().trap()),
        ],
    )
}

/// A group that restarts together and ends over its limit.
fn groups() -> Run {
    let mut scene = Scene::empty();
    scene.template("member", fresh(1));
    for _ in 0..3 {
        scene.agent(0, prog().join("all"));
    }
    scene.group("together", &[0, 2]);
    let orders = [0, 2, 1, 0, 2].map(|agent| (agent, prog().cast("all", b"last words").trap()));
    let mut rig = begun(&scene);
    for (agent, order) in orders {
        rig.tell(agent, order);
        rig.tell(1, prog().cast("all", b"to whoever is there"));
        rig.tick();
        rig.tick();
    }
    rig.settle(10);
    rig
}

/// States that are kept, by the call and by turns, and gone back to.
fn save_points() -> Run {
    let mut scene = Scene::empty();
    for (name, save_every_turns) in [("asks", 0), ("counts", 2)] {
        let (backoff_ticks, restarts_max, window_ticks) = (1, 9, 50);
        let restart =
            Restart::Saved { backoff_ticks, restarts_max, window_ticks, save_every_turns };
        let template = scene.template(name, restart);
        scene.agent(template, prog());
    }
    ordered(
        &scene,
        [
            (0, prog().count(OUT).save()),
            (1, prog().count(OUT)),
            (0, prog().count(OUT).timer(9, 1)),
            (0, prog().trap()),
            (1, prog().count(OUT).grow()),
            (1, prog().trap()),
            (0, prog().count(OUT)),
            (1, prog().count(OUT)),
        ],
    )
}

/// Tasks that wait, are tried again, fail, are skipped, cancelled and done all the same.
fn tasks() -> Run {
    let task = |header: TaskHeader, after: &[TaskId], program: &Prog| {
        let header = TaskHeader { after: after.len() as u32, ..header };
        header.parts(after, program.bytes()).concat()
    };
    let of_host = TaskId::of_host;
    let failing = TaskHeader { attempts: 2, ..TaskHeader::default() };
    let or = |on_failure| TaskHeader { on_failure, ..TaskHeader::default() };
    let urgent = TaskHeader { priority: 9, ..TaskHeader::default() };
    let mut rig = begun(&Scene::of(3));
    for (agent, header, after, program) in [
        (0, TaskHeader::default(), vec![], prog().send(to(1), b"done")),
        (1, failing, vec![of_host(0)], prog().code(5)),
        (2, or(on_failure::FAIL), vec![of_host(1)], prog()),
        (2, or(on_failure::SKIP), vec![of_host(1)], prog()),
        (2, or(on_failure::RUN), vec![of_host(1), of_host(2)], prog().count(OUT)),
        (0, urgent, vec![], prog().count(OUT)),
        (1, or(on_failure::FAIL), vec![of_host(99)], prog()),
    ] {
        rig.command(action::SCHEDULE, to(agent), &task(header, &after, &program));
    }
    let own = task(TaskHeader::default(), &[], &prog().trap());
    rig.tell(0, prog().schedule(to(2), &own).schedule(to(1), &own));
    rig.tick();
    rig.settle(20);
    rig
}

/// Numbers by chance, of agents in several places.
fn random() -> Run {
    let draws = || prog().random(OUT).random(OUT);
    let spawn = draws().spawn("worker", &draws().farewell(OUT));
    ordered(&Scene::of(2), [(0, spawn), (1, draws()), (0, prog().send_prog(CHILD, draws()))])
}

/// Commands of a host.
fn host() -> Run {
    let mut rig = begun(&Scene::of(2));
    for (action, subject, args) in [
        (action::SPAWN, 0, &b"arguments"[..]),
        (action::PAUSE, to(1), b""),
        (action::PAUSE, to(1), b""),
        (action::RESUME, to(1), b""),
        (action::TERMINATE, to(0), b""),
        (action::RESUME, AgentId::new(7, 3).to_bits(), b""),
    ] {
        rig.command(action, subject, args);
        rig.tick();
    }
    rig.settle(5);
    rig
}

/// What reaches an agent that is paused, by each policy, with and without a quota.
fn policies() -> Run {
    let mut scene = Scene::of(2);
    scene.limits().inbox_items_max = 3;
    scene.setup.topics[REFUSE as usize].messages_held_max = Some(1);
    let topics = [REFUSE, DROP_OLDEST, DROP_NEWEST, LATEST];
    let all = topics.into_iter().fold(prog(), Prog::subscribe);
    let publish = |text: &'static [u8]| {
        topics.into_iter().fold(prog(), |program, topic| program.publish(topic, text))
    };
    ordered(
        &scene,
        [
            (1, all.send(to(1), b"to itself")),
            (0, prog().pause(to(1))),
            (0, publish(b"first")),
            (0, publish(b"second")),
            (0, prog().flood(DROP_OLDEST, 3, b"flood").flood(LATEST, 2, b"new")),
            (0, prog().resume(to(1))),
        ],
    )
}

/// Each limit that can refuse a delivery or a call.
fn limits() -> Run {
    let mut scene = Scene::of(4);
    *scene.limits() = wasm_engine_setup::Limits {
        messages_held_max: 6,
        payload_bytes_held_max: 2048,
        deliveries_per_microstep_max: 5,
        memberships_max: 2,
        effects_max: 9,
        payload_bytes_max: 1024,
        answers_max: 3,
        inbox_bytes_max: 1024,
        ..scene.setup.limits.clone()
    };
    let timers = (0..4).fold(prog(), |program, tag| program.timer(3, tag));
    ordered(
        &scene,
        [
            (0, prog().send_len(to(1), 1025).send_len(to(1), 1000)),
            (0, timers),
            (1, prog().subscribe(REFUSE).subscribe(LATEST).join("too many")),
            (0, prog().pause(to(1)).pause(to(2))),
            (0, prog().send_len(to(1), 500).send_len(to(1), 500)),
            (3, prog().send_len(to(2), 500).send_len(to(2), 500)),
            (0, prog().flood(REFUSE, 7, b"flood")),
            (3, prog().flood(REFUSE, 7, b"flood")),
            (0, prog().resume(to(1)).resume(to(2))),
        ],
    )
}

/// Members that come and go.
fn channels() -> Run {
    ordered(
        &Scene::of(3),
        [
            (2, prog().join("red").join("blue")),
            (0, prog().join("red").cast("red", b"both")),
            (1, prog().cast("blue", b"one").cast("nobody", b"")),
            (2, prog().leave("red").join("red").leave("never")),
            (0, prog().cast("red", b"in another order")),
        ],
    )
}

/// Effects of all passes in one microstep, of several agents, one of which faults.
fn passes() -> Run {
    let mut scene = Scene::of(3);
    scene.template("breaker", fresh(1));
    scene.agent(1, prog());
    let mut rig = begun(&scene);
    let busy = prog().terminate(to(2)).subscribe(REFUSE).publish(REFUSE, b"before").join("c");
    rig.tell(0, busy.clone().cast("c", b"").pause(to(1)).timer(1, 1).log(2, "a line"));
    rig.tell(1, busy.spawn("breaker", &prog().trap()).unsubscribe(REFUSE).leave("c"));
    rig.tell(2, prog().send(to(0), b"last").trap());
    rig.tell(3, prog().send(to(0), b"none").trap());
    rig.tick();
    rig.settle(10);
    rig
}

/// Traces from a cause over messages, replies, timers and tasks.
fn causes() -> Run {
    let mut scene = Scene::of(3);
    scene.model("m", 1);
    let on_timer = prog().on(item::TIMER, &prog().send(to(2), b"fired"));
    let on_reply = prog().on(item::REPLY, &prog().log(3, "answered").publish(OUT, b"reply"));
    ordered(
        &scene,
        [
            (1, on_timer.then(&on_reply)),
            (0, prog().send_prog(to(1), prog().timer(2, 7).infer(0, b"0001"))),
            (0, prog().send_prog(to(1), prog().send_prog(to(2), prog().send(to(0), b"far")))),
        ],
    )
}

/// Payloads and log lines of many lengths.
fn payloads() -> Run {
    let lens = [0, 1, 7, 8, 63, 64, 65, 500, 4096];
    let sends = lens.into_iter().fold(prog(), |program, len| program.send_len(to(1), len));
    ordered(&Scene::of(2), [(0, sends), (1, prog().log(1, "").log(4, "longer").log(9, "ü"))])
}

/// State digests of agents that ran, grew, lost their state or ended.
fn states() -> Run {
    let mut scene = Scene::of(2);
    scene.template("breaker", fresh(9));
    scene.agent(1, prog());
    scene.setup.state_digest_ticks = 2;
    ordered(
        &scene,
        [
            (0, prog().grow()),
            (1, prog().on(item::TIMER, &prog().count(OUT))),
            (2, prog().trap()),
            (0, prog().terminate(to(1))),
            (0, prog()),
        ],
    )
}

/// Requests in rows and lists, to several models, some refused.
fn replies() -> Run {
    let mut scene = Scene::of(2);
    scene.model("quick", 1);
    scene.model("slow", 3);
    scene.limits().inferences_pending_max = 4;
    let mut rig = begun(&scene);
    rig.tell(0, prog().infer(1, b"0001").infer(0, b"0002").infer(0, b"bad"));
    rig.tell(1, prog().infer_tensors(0, b"a list").infer(0, b"0003").infer(1, b"0004"));
    rig.tick();
    // One fails, the others are answered.
    let mut due = Vec::new();
    rig.core().requests_due(2, &mut due);
    rig.facts.begin(2);
    for (nth, request) in due.iter().enumerate() {
        let code = if nth == 1 { Status::ModelFailed as i32 } else { 0 };
        rig.facts.push(FactHeader { code, ..reply_to(request) }, &b"rows"[..4 * (1 - nth % 2)]);
    }
    let facts = rig.facts.finish().to_vec();
    rig.feed(&facts).expect("they are due");
    // The replies of one that is gone are dropped.
    rig.tell(1, prog().infer(1, b"0005").terminate(SELF));
    rig.settle(9);
    rig
}

/// Models that are loaded, fail to load, are swapped, unloaded and make room.
fn models() -> Run {
    let mut scene = Scene::of(1);
    let first = scene.model_of("m", 1, LoadOn::Start, 50);
    let second = scene.model_of("m", 2, LoadOn::Command, 50);
    let asked = scene.model_of("asked", 1, LoadOn::Request, 60);
    scene.limits().models_bytes_max = 100;
    let mut rig = begun(&scene);
    rig.load_codes.insert(asked, Status::ModelFailed);
    rig.command(action::LOAD, second.into(), b"");
    rig.tell(0, prog().infer(second, b"0001"));
    rig.tick();
    rig.tick();
    rig.tick();
    // The handle of the name stands behind the models.
    let name = rig.core().setup().models.len() as u32;
    // At first it means the highest version.
    rig.command(action::SWAP, first.into(), b"");
    rig.command(action::UNLOAD, second.into(), b"");
    rig.tell(0, prog().infer(first, b"0002").infer(second, b"0003").infer(name, b"0004"));
    rig.tick();
    for _ in 0..2 {
        rig.tell(0, prog().infer(asked, b"0005"));
        rig.settle(9);
        rig.load_codes.clear();
    }
    rig
}

/// A change of what computes a model.
fn providers() -> Run {
    let mut scene = Scene::of(1);
    let model = scene.model_of("m", 1, LoadOn::Request, 0);
    let mut rig = begun(&scene);
    rig.tell(0, prog().infer(model, b"0001"));
    rig.tick();
    rig.facts.begin(3);
    rig.facts.push(LoadFact { load: 0, model, code: 0 }, b"");
    rig.facts.push(ProviderFact { model }, br#"{"used":"cpu","refused":{}}"#);
    let facts = rig.facts.finish().to_vec();
    rig.feed(&facts).expect("the load is due");
    rig.tell(0, prog().infer(model, b"0002"));
    rig.settle(5);
    rig
}

/// A log's first segment with a block of two records.
fn segment() -> Vec<u8> {
    let mut chain = Chain::new(*b"0123456789abcdef");
    let header = chain.segment_header(crc32c);
    chain.enter(&header);
    let records = b"sixteen bytes ofa record and ...";
    let mut block = vec![0; 64];
    block.extend_from_slice(records);
    block.extend_from_slice(&[0; 8]);
    chain.seal(&mut block, 2, 3, 4, crc32c);
    [bytemuck::bytes_of(&header), &block].concat()
}

/// The lines of the table as they come out now.
fn lines(runs: &mut [(&str, Run)]) -> String {
    let mut text = HEAD.to_owned();
    let (mut opened, mut closed) = (Vec::new(), Vec::new());
    let mut states = Vec::new();
    for (name, run) in runs {
        let close = run.closes.last().expect("it has ticks");
        let _ = writeln!(text, "{name} {} {}", close.tick, close.digest);
        opened.extend(run.log.concat());
        closed.extend(bytemuck::cast_slice::<_, u8>(&run.closes));
        states.extend(run.machine.checkpoint());
    }
    for (name, bytes) in [
        ("L facts", opened),
        ("L results", closed),
        ("L checkpoints", states),
        ("L segment", segment()),
    ] {
        let _ = writeln!(text, "{name} {} {:032x}", bytes.len(), xxh3_128(&bytes));
    }
    text
}

fn runs() -> Vec<(&'static str, Run)> {
    RUNS.iter().map(|(name, run)| (*name, run())).collect()
}

#[test]
fn t3_2_q2_1_q2_2_q2_3_a5_1_c1_2_d1_4_d2_1_d3_1_i1_2_l1_1_l8_2_bytes_are_the_committed_ones() {
    let text = lines(&mut runs());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/core/golden.txt");
        std::fs::write(path, &text).expect("the table is written");
        return;
    }
    let differs: Vec<&str> =
        text.lines().filter(|line| !TABLE.lines().any(|known| known == *line)).collect();
    assert_eq!(
        text, TABLE,
        "{differs:?}: logs written before cannot be verified. If that is meant, raise the log's \
         version and run UPDATE_GOLDEN=1 cargo test -p wasm-engine-core --test core golden::"
    );
}

/// What the table does not hold could change unseen.
#[test]
fn d3_2_the_golden_runs_have_every_kind_of_event_item_and_fact() {
    let kinds = |all: &[CodeEntry<u32>]| all.iter().map(|kind| kind.value).collect::<Vec<_>>();
    let (mut events, mut items, mut facts) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (_, run) in runs() {
        events.extend(run.events(&kinds(event::ALL)).iter().map(|event| event.kind));
        for out in run.sink.outputs.iter().filter(|out| out.topic == ECHO) {
            items.extend(run.seen(out.from).iter().map(|seen| seen.header.kind));
        }
        for record in &run.log {
            let parsed = Facts::parse(record).expect("they were facts");
            facts.extend(parsed.iter().map(|fact| fact.header.kind));
        }
    }
    // Those of monitors alone have higher numbers.
    let digested = kinds(event::ALL).into_iter().filter(|kind| *kind < 32).collect();
    for (what, all, met) in [
        ("events", digested, events),
        ("items", kinds(item::ALL), items),
        ("facts", kinds(fact::ALL), facts),
    ] {
        let missing: Vec<u32> = all.into_iter().filter(|kind| !met.contains(kind)).collect();
        assert!(missing.is_empty(), "{what} {missing:?} are in no golden run; let one have them");
    }
}
