//! Bad guests: each fault ends its own turn and changes nothing for the neighbours (A8, C5).

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::{fault, item};
use wasm_engine_core::{Phase, RefusedInput};
use wasm_engine_setup::Restart;

use crate::{
    CMD, ECHO, Guest, LATEST, Machine, Mix, OUT, Out, Prog, REFUSE, Rig, SELF, Scene, at, prog,
    reply_to, to,
};

const GOOD: u32 = 2;
/// A topic that the good ones do not hear.
const SECRET: u32 = LATEST;

/// Two agents that talk to each other, and perhaps a third that does `bad` in every tick.
fn run<M: Machine>(
    bad: Option<&dyn Fn(u32) -> Prog>,
    guest: Option<Guest>,
    restart: Restart,
) -> (Vec<Out>, Rig<M>) {
    let mut scene = Scene::of(GOOD);
    if bad.is_some() || guest.is_some() {
        let template = scene.template_of("bad", restart, guest.unwrap_or_default());
        if bad.is_some() {
            scene.agent(template, prog());
        } else {
            scene.raw_agent(template, &prog());
        }
    }
    let mut rig = Rig::<M>::new(&scene);
    drive(&mut rig, bad);
    let good = rig.sink.outputs.iter().filter(|o| o.from.index() < GOOD && o.topic == OUT);
    (good.cloned().collect(), rig)
}

/// Eight rounds of what all do.
fn drive<M: Machine>(rig: &mut Rig<M>, bad: Option<&dyn Fn(u32) -> Prog>) {
    rig.tick();
    rig.tell(1, prog().subscribe(REFUSE).join("room"));
    for round in 0..8 {
        let mut mix = Mix(u64::from(round));
        if let Some(bad) = bad {
            rig.tell(GOOD, bad(round));
        }
        rig.tell(0, prog().publish_len(REFUSE, mix.below(4000)).random(OUT).cast("room", b"x"));
        rig.tell(1, prog().count(OUT).timer(2, 1).random(OUT));
        rig.tick();
    }
    rig.settle(20);
}

fn neighbours_are_equal<M: Machine>(bad: &dyn Fn(u32) -> Prog) -> Rig<M> {
    let (alone, _) = run::<M>(None, None, Restart::Never);
    assert_eq!(alone.len(), 24);
    for restart in
        [Restart::Never, Restart::Fresh { backoff_ticks: 1, restarts_max: 5, window_ticks: 100 }]
    {
        let (beside, rig) = run::<M>(Some(bad), None, restart);
        assert_eq!(beside, alone);
        if restart == Restart::Never {
            continue;
        }
        return rig;
    }
    unreachable!("the second run returns")
}

/// The bad agent faulted with `cause`, with every turn until its restarts were used up.
fn faults_with<M: Machine>(cause: u32, bad: &dyn Fn(u32) -> Prog) {
    let rig = neighbours_are_equal::<M>(bad);
    let core = rig.core();
    let agent = core.agent(GOOD);
    assert_eq!(fault::text(agent.activity.last_fault), fault::text(cause));
    assert_eq!(agent.phase, Phase::Free, "5 restarts in the window were all");
    assert_eq!((core.stats().faults, core.stats().restarts), (6, 5));
    assert!(rig.published(at(GOOD), OUT).is_empty(), "A8: a faulted turn has no effects");
}

pub fn a8_1_a8_2_a_trap<M: Machine>() {
    faults_with::<M>(fault::UNREACHABLE, &|_| prog().publish(OUT, b"lost").trap());
}

pub fn a8_1_a8_2_an_endless_loop<M: Machine>() {
    faults_with::<M>(fault::OUT_OF_FUEL, &|_| prog().publish(OUT, b"lost").forever());
}

pub fn a8_1_a8_2_endless_recursion<M: Machine>() {
    faults_with::<M>(fault::CALL_DEPTH, &|_| prog().publish(OUT, b"lost").recurse());
}

pub fn a1_5_a8_1_a8_2_a_negative_code_of_receive_or_step<M: Machine>() {
    faults_with::<M>(fault::NEGATIVE_CODE, &|_| prog().publish(OUT, b"lost").code(-5));
    faults_with::<M>(fault::NEGATIVE_CODE, &|_| prog().publish(OUT, b"lost").step_code(-5));
}

pub fn a3_6_a8_1_a8_2_a_pointer_outside_the_memory<M: Machine>() {
    for (pointer, len) in [(0xffff_ff00, 64), (0, 1 << 20), (u32::MAX, u32::MAX), (65_500, 64)] {
        let bad = move |_| prog().publish(OUT, b"lost").publish_from(pointer, len);
        faults_with::<M>(fault::MISUSE, &bad);
    }
}

pub fn a1_7_c5_1_memory_that_grows_without_end_stops_at_its_limit<M: Machine>() {
    let rig = neighbours_are_equal::<M>(&|_| prog().grow().publish(OUT, b"alive"));
    assert_eq!(rig.core().stats().faults, 0);
    assert_eq!(rig.published(at(GOOD), OUT).len(), 8);
}

pub fn a3_7_a4_7_too_many_effects_and_bytes_are_refused_in_the_turn<M: Machine>() {
    // The echo of the program takes one of 64 pending-call slots in each of 8 rounds.
    let rig = neighbours_are_equal::<M>(&|_| prog().flood(OUT, 500, b"x"));
    assert_eq!(rig.code(GOOD), -(Status::Busy as i32), "publications take pending-call slots");
    assert_eq!(rig.published(at(GOOD), OUT).len(), 8 * 63);
    assert_eq!(rig.core().stats().faults, 0);
    // And two of the turn's 256 charge units; 4096 bytes take 64.
    let bytes = (0..5).fold(prog(), |p, _| p.publish_len(OUT, 4096));
    let rig = neighbours_are_equal::<M>(&move |_| bytes.clone());
    assert_eq!(rig.code(GOOD), -(Status::Quota as i32));
    assert_eq!(rig.published(at(GOOD), OUT).len(), 8 * 3);
    assert_eq!(rig.core().stats().faults, 0);
}

pub fn a3_8_a8_1_who_does_not_stop_calling_runs_out_of_fuel<M: Machine>() {
    // A publication costs 100; the instructions alone would stay within a call's million.
    faults_with::<M>(fault::OUT_OF_FUEL, &|_| prog().flood(OUT, 10_100, b"x"));
}

pub fn a13_2_unknown_names_and_handles_are_refused<M: Machine>() {
    let bad: [fn() -> Prog; 5] = [
        || prog().topic("no such topic"),
        || prog().model("no such model"),
        || prog().publish(999, b"x"),
        || prog().infer(7, b"1234"),
        || prog().spawn("nobody", &prog()),
    ];
    for bad in bad {
        let rig = neighbours_are_equal::<M>(&move |_| bad());
        assert_eq!(rig.code(GOOD), -(Status::Unknown as i32));
        assert_eq!(rig.core().stats().faults, 0);
    }
}

pub fn c2_4_c5_1_who_sends_to_itself_for_ever_fills_its_own_inbox_only<M: Machine>() {
    let rig = neighbours_are_equal::<M>(&|_| {
        let again = prog().send(SELF, b"a").send(SELF, b"b").send(SELF, b"c");
        prog().on(item::MESSAGE, &again).send(SELF, b"first")
    });
    let core = rig.core();
    assert!(core.agent(GOOD).inbox_items <= core.setup().limits.inbox_items_max);
    assert!(core.stats().refused > 0);
}

pub fn a8_10_a8_12_a8_13_c5_1_a_group_that_stops_again_and_again_leaves_its_neighbours_alone<
    M: Machine,
>() {
    let alone = run::<M>(None, None, Restart::Never).0;
    for workers in [0, 2] {
        let mut scene = Scene::of(GOOD);
        let restart = Restart::Fresh { backoff_ticks: 1, restarts_max: 3, window_ticks: 100 };
        let bad = scene.template("bad", restart);
        scene.agent(bad, prog());
        let quiet = scene.agent(bad, prog().subscribe(SECRET));
        scene.group("bad", &[GOOD, quiet]);
        let mut rig = Rig::<M>::with_workers(&scene, workers);
        drive(&mut rig, Some(&|_| prog().publish(SECRET, b"x").trap()));
        let good = rig.sink.outputs.iter().filter(|o| o.from.index() < GOOD && o.topic == OUT);
        assert_eq!(good.cloned().collect::<Vec<_>>(), alone, "{workers} workers");
        let core = rig.core();
        assert_eq!((core.stats().faults, core.stats().restarts), (4, 6), "3 stops of 2 members");
        assert_eq!(core.agent(quiet).activity.faults, 0);
        assert_eq!([GOOD, quiet].map(|index| core.agent(index).phase), [Phase::Free; 2]);
    }
}

pub fn a8_1_c5_1_a_bad_inbox_is_a_fault_of_init<M: Machine>() {
    let (alone, _) = run::<M>(None, None, Restart::Never);
    for (inbox, capacity) in
        [(-64, 16384), (16388, 16384), (65472, 16384), (16384, 64), (16384, -1)]
    {
        let guest = Guest { inbox, capacity };
        let (beside, rig) = run::<M>(None, Some(guest), Restart::Never);
        assert_eq!(beside, alone, "{guest:?}");
        let activity = rig.core().agent(GOOD).activity;
        assert_eq!(fault::text(activity.last_fault), fault::text(fault::BAD_INBOX), "{guest:?}");
    }
}

/// A scene whose agent `GOOD` has an inbox for payloads of 832 bytes.
fn small_inbox() -> Scene {
    let mut scene = Scene::of(GOOD);
    let guest = Guest { capacity: 832 + 64, ..Guest::default() };
    let template = scene.template_of("small", Restart::Never, guest);
    scene.agent(template, prog().join("room"));
    scene
}

pub fn a2_3_what_is_longer_than_its_receivers_inbox_is_refused<M: Machine>() {
    let mut scene = small_inbox();
    scene.limits().inbox_items_max = 8;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for len in [832, 833] {
        rig.input(CMD + GOOD, &vec![b'x'; len]);
        let lengths = prog().send_len(to(GOOD), len as u64);
        rig.tell(0, lengths.publish_len(CMD + GOOD, len as u64));
    }
    rig.tick();
    let seen = rig.seen(at(GOOD));
    let seen: Vec<_> = seen.iter().map(|seen| (seen.header.kind, seen.header.len)).collect();
    assert_eq!(seen, [(item::INPUT, 832), (item::MESSAGE, 832), (item::MESSAGE, 832)]);
    let answers = rig.seen_kind(at(0), item::OUTCOME);
    let answers: Vec<_> = answers.iter().map(|seen| seen.header.code).collect();
    assert_eq!(answers, [Status::TooLong as i32; 2]);
    let (agent, status, item_bytes_max) = (at(GOOD), Status::TooLong, Some(832));
    let refused = RefusedInput { agent, status, source: 0, len: 833, item_bytes_max };
    assert_eq!(rig.sink.refused, [refused]);
    assert_eq!((rig.core().stats().refused, rig.core().stats().faults), (3, 0));
    assert_eq!(rig.core().held(), (0, 0));
}

pub fn a2_3_a_reply_that_its_inbox_cannot_hold_says_so<M: Machine>() {
    let mut scene = small_inbox();
    scene.model("wide", 1);
    scene.setup.models[0].reply_bytes_max = 209 * 4;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(GOOD, prog().infer(0, b"1234"));
    rig.tick();
    let mut due = Vec::new();
    rig.core().requests_due(2, &mut due);
    rig.facts.begin(2);
    rig.facts.push(reply_to(&due[0]), &[7; 209 * 4]);
    let facts = rig.facts.finish().to_vec();
    rig.feed(&facts).expect("a reply of that length");
    let reply = &rig.seen_kind(at(GOOD), item::REPLY)[0];
    assert_eq!((reply.header.len, reply.header.code), (0, Status::TooLong as i32));
    assert_eq!((rig.core().requests_pending(), rig.core().stats().faults), (0, 0));
}

pub fn a2_3_what_came_before_the_init_said_how_long_becomes_dead_letters<M: Machine>() {
    let mut scene = small_inbox();
    // Agent 1 is initialised one microstep before the small one, and writes to it.
    scene.limits().turns_per_microstep_max = GOOD;
    let early = prog().send_len(to(GOOD), 833).send_len(to(GOOD), 832);
    let args = prog().echo(ECHO).then(&early).args();
    scene.setup.agents[1].args = args;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    assert_eq!(rig.core().stats().dead_letters, 1);
    assert_eq!(rig.core().held().0, 1);
    rig.tick();
    let seen: Vec<_> = rig.seen(at(GOOD)).iter().map(|seen| seen.header.len).collect();
    assert_eq!(seen, [832]);
    assert_eq!(rig.core().held(), (0, 0));
}
