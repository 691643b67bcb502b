//! Digests (D).

use std::collections::BTreeMap;

use wasm_engine_abi::{
    Digest,
    frame::{ItemHeader, NO_TOPIC, item},
    page::{TraceEvent, event},
    record::action,
    task::TaskHeader,
};
use wasm_engine_core::first_digest;
use wasm_engine_setup::{LoadOn, Restart};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::{CMD, DROP_NEWEST, Machine, OUT, Prog, REFUSE, Rig, Scene, at, prog, rules::fresh, to};

pub fn d3_1_d3_3_the_digest_shows_every_input_byte_and_the_setup<M: Machine>() {
    let digest = |seed: u64, bytes: &[u8], heard: bool| {
        let mut scene = Scene::of(1);
        scene.setup.seed = seed;
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        rig.input(if heard { CMD } else { REFUSE }, bytes);
        rig.tick().digest
    };
    let reference = digest(1, b"an input", true);
    assert_eq!(digest(1, b"an input", true), reference);
    assert_ne!(digest(1, b"an inpuu", true), reference);
    assert_ne!(digest(2, b"an input", true), reference);
    assert_ne!(digest(1, b"a", false), digest(1, b"b", false), "even if nobody hears it");
}

/// Events whose codes are below this one enter the digest.
const DIGESTED: u32 = 32;

/// The digest of the last tick, made of its facts, of what lanes gave and of the events after the
/// first `from`, but for those of the kind `left_out`.
fn tick_digest<M: Machine>(rig: &Rig<M>, from: usize, left_out: u32) -> Digest {
    let before = rig.closes.len().checked_sub(2).map(|at| rig.closes[at].digest);
    let before = before.unwrap_or_else(|| first_digest(rig.core().setup()));
    let parts = rig.machine.parts();
    let events = &rig.machine.events()[from..];
    let turns_of = |microstep| {
        let of =
            move |event: &&TraceEvent| event.kind == event::TURN && event.microstep == microstep;
        events.iter().filter(of).count()
    };
    let mut turns = parts.turns.iter();
    let mut bytes = before.to_bytes().to_vec();
    bytes.extend(rig.core().tick().to_le_bytes());
    bytes.extend(rig.log.last().expect("a tick has facts"));
    for happened in events {
        match happened.kind {
            event::MICROSTEP => {
                bytes.extend(u64::from(happened.microstep).to_le_bytes());
                // The digests of its turns, before any event.
                let of_it = turns.by_ref().take(turns_of(happened.microstep));
                bytes.extend(of_it.flat_map(|turn| turn.to_bytes()));
            }
            kind if kind >= DIGESTED || kind == left_out => (),
            kind => {
                let words = [kind.into(), happened.subject, happened.a, happened.b];
                bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            }
        }
    }
    assert_eq!(turns.next(), None, "one event for each turn");
    bytes.extend(u64::from(rig.core().runnable()).to_le_bytes());
    bytes.extend(parts.state.iter().flat_map(|state| state.to_bytes()));
    Digest::new(xxh3_128(&bytes))
}

/// What happens in five ticks, tick by tick: every kind of event at least once.
fn eventful() -> (Scene, [Vec<(u32, Prog)>; 5]) {
    let mut scene = Scene::empty();
    scene.template("worker", Restart::Never);
    scene.template("breaker", fresh(1, 9, 50));
    for template in &mut scene.setup.templates {
        // Its digests are known from before there were tasks.
        template.capabilities.retain(|right| right != "schedule");
    }
    for template in [0, 0, 1, 1] {
        scene.agent(template, prog());
    }
    scene.group("both", &[2, 3]);
    scene.model("m", 2);
    scene.limits().inbox_items_max = 2;
    let full = prog().send(to(1), b"1").send(to(1), b"2").send(to(1), b"3");
    let ticks = [
        vec![],
        vec![(1, prog().subscribe(DROP_NEWEST)), (2, prog().infer(0, b"0001"))],
        vec![(0, prog().pause(to(1)).timer(1, 9).spawn("worker", &prog())), (2, prog().trap())],
        vec![(0, full.publish(DROP_NEWEST, b"4"))],
        vec![(0, prog().resume(to(1)).pause(to(1)).terminate(to(1)))],
    ];
    (scene, ticks)
}

/// A tick whose events all enter its digest; counts them.
fn digested_tick<M: Machine>(rig: &mut Rig<M>, counts: &mut BTreeMap<u32, u32>) {
    let from = rig.machine.events().len();
    let close = rig.tick();
    assert_eq!(tick_digest(rig, from, 0), close.digest, "tick {}", close.tick);
    for happened in rig.machine.events()[from..].iter().filter(|event| event.kind < DIGESTED) {
        *counts.entry(happened.kind).or_default() += 1;
        let without = tick_digest(rig, from, happened.kind);
        assert_ne!(without, close.digest, "kind {} in tick {}", happened.kind, close.tick);
    }
}

pub fn d3_1_d3_2_every_kind_of_event_enters_the_digest_of_its_tick<M: Machine>() {
    let (scene, ticks) = eventful();
    let mut rig = Rig::<M>::new(&scene);
    let mut counts = BTreeMap::<u32, u32>::new();
    for orders in ticks {
        orders.into_iter().for_each(|(agent, order)| rig.tell(agent, order));
        digested_tick(&mut rig, &mut counts);
    }
    // What a host does, and what follows.
    let mut scene = Scene::of(1);
    let first = scene.model_of("m", 1, LoadOn::Start, 0).into();
    let second = scene.model_of("m", 2, LoadOn::Command, 0).into();
    let mut rig = Rig::<M>::new(&scene);
    digested_tick(&mut rig, &mut counts);
    for commands in [
        &[(action::LOAD, second)][..],
        &[],
        &[(action::SWAP, first), (action::SWAP, second), (action::UNLOAD, first)],
    ] {
        commands.iter().for_each(|(action, subject)| rig.command(*action, *subject, b""));
        digested_tick(&mut rig, &mut counts);
    }
    rig.command(action::SCHEDULE, to(0), bytemuck::bytes_of(&TaskHeader::default()));
    digested_tick(&mut rig, &mut counts);
    // A save point, and the restart with it.
    let mut scene = Scene::empty();
    let (backoff_ticks, restarts_max, window_ticks) = (1, 1, 1);
    let restart = Restart::Saved { backoff_ticks, restarts_max, window_ticks, save_every_turns: 0 };
    scene.template("saver", restart);
    scene.agent(0, prog());
    let mut rig = Rig::<M>::new(&scene);
    digested_tick(&mut rig, &mut counts);
    for program in [prog().save(), prog().trap()] {
        rig.tell(0, program);
        digested_tick(&mut rig, &mut counts);
    }
    digested_tick(&mut rig, &mut counts);
    let expected = BTreeMap::from([
        (event::REFUSED, 1),
        (event::DROPPED, 1),
        (event::OUTCOME, 6),
        (event::REPLY_DROPPED, 1),
        (event::TIMER, 1),
        (event::RESTARTED, 3),
        (event::SPAWNED, 1),
        (event::ENDED, 1),
        (event::PAUSED, 2),
        (event::RESUMED, 1),
        (event::FAULTED, 2),
        (event::BACKOFF, 3),
        // At its termination, and with none left after its last turn.
        (event::DEAD_LETTERS, 2),
        (event::REQUESTED, 1),
        (event::GROUP_STOPPED, 1),
        (event::MODEL_LOADING, 1),
        (event::MODEL_LOADED, 1),
        (event::MODEL_UNLOADED, 1),
        (event::MODEL_SWAPPED, 2),
        (event::COMMANDED, 5),
        (event::TASK_SCHEDULED, 1),
        (event::TASK_ENDED, 1),
        (event::SAVED, 1),
        (event::RESTORED, 1),
    ]);
    assert_eq!(counts, expected);
    let kinds = event::ALL.iter().filter(|kind| kind.value < DIGESTED).count();
    assert_eq!(kinds, expected.len(), "and there is no other kind");
}

pub fn d3_1_d4_1_d5_1_a_known_run_has_known_digests<M: Machine>() {
    let (scene, ticks) = eventful();
    let mut rig = Rig::<M>::new(&scene);
    let mut states = Vec::new();
    for orders in ticks {
        orders.into_iter().for_each(|(agent, order)| rig.tell(agent, order));
        rig.tick();
        states.extend(rig.machine.parts().state.map(|state| state.to_string()));
    }
    // Other values mean that no log that was written before can be verified: such a change is
    // made on purpose, with another version of the log.
    let digests = rig.closes.iter().map(|close| close.digest.to_string());
    assert_eq!(digests.collect::<Vec<_>>(), KNOWN_DIGESTS, "tick digests");
    assert_eq!(states, KNOWN_STATES, "state digests");
    let fuel = rig.closes.last().map(|close| close.fuel.to_string());
    assert_eq!(fuel.as_deref(), Some(M::KNOWN_FUEL), "fuel chain");
}

/// Tick digests of the run of [`eventful`].
const KNOWN_DIGESTS: [&str; 5] = [
    "d11c9485a2a10749706c09936dd234d8",
    "e4affe2dd2ade045078fbba0ba3663e4",
    "6ac6f208a6bc2d8b6e5abb65f7ac4eef",
    "45458d74e862b381c162fa02a4cb9a0c",
    "ac62d0811483c388531feafc86a7bdcf",
];
/// Its state digests.
const KNOWN_STATES: [&str; 2] =
    ["9a776741fb9be2860ab107901b7b9a49", "aa94237fc2d9fe87419c10590bbab4c2"];

pub fn d4_1_digest_and_fuel_chain_are_functions_of_what_is_done<M: Machine>() {
    let close = |program: Prog| {
        let mut rig = Rig::<M>::new(&Scene::of(1));
        rig.tick();
        rig.input(CMD, b"PROG\0\0\0\0");
        rig.tell(0, program);
        rig.tick()
    };
    // The same program twice is the same in both chains.
    let one = close(prog().topic("cmd/0"));
    assert_eq!(close(prog().topic("cmd/0")), one);
    let (few, more) = (close(prog()), close(prog().count(OUT)));
    assert_ne!(few.digest, more.digest);
    assert_ne!(few.fuel, more.fuel);
}

pub fn d1_2_where_a_payload_lies_never_shows<M: Machine>() {
    // The same bytes reach agent 2 at once, out of the spill, or by a worker's lane.
    let headers = |workers: u32| {
        let mut scene = Scene::of(4);
        scene.limits().receive_max = 2;
        let mut rig = Rig::<M>::with_workers(&scene, workers);
        rig.tick();
        for agent in [0, 1, 3] {
            rig.tell(agent, prog().send_len(to(2), 3000).send_len(to(2), 1));
        }
        rig.tick();
        assert_eq!(rig.core().held(), (0, 0));
        (rig.seen(at(2)), rig.digests())
    };
    let reference = headers(0);
    assert_eq!(reference.0.len(), 6);
    assert_eq!(headers(1), reference);
    assert_eq!(headers(3), reference);
}

pub fn d1_1_d1_5_a_header_says_what_a_message_is_and_traces_go_from_cause_to_effect<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.model("m", 1);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(0, prog().send(to(1), b"hello").timer(1, 5).infer(0, b"1234").pause(to(9)));
    rig.tick();
    rig.tick();
    let order = rig.seen_kind(at(0), item::INPUT)[0].header;
    assert_eq!(order.trace, xxh3_64(&[0; 16]), "of source 0 and sequence 0");
    let expected = ItemHeader {
        kind: item::MESSAGE,
        len: 5,
        from: to(0),
        from_seq: 2,
        tick: 1,
        topic: NO_TOPIC,
        code: 0,
        microstep: 1,
        hash: xxh3_64(b"hello") as u32,
        request: 0,
        trace: order.trace,
    };
    assert_eq!(rig.seen_kind(at(1), item::MESSAGE)[0].header, expected);
    for kind in [item::TIMER, item::REPLY, item::OUTCOME] {
        let seen = rig.seen_kind(at(0), kind);
        assert_eq!((seen.len(), seen[0].header.trace), (1, order.trace), "kind {kind}");
    }
}

/// Turn digests of a tick in which an agent that does this with any input gets one.
fn turn_digests<M: Machine>(reaction: &Prog) -> Vec<u64> {
    let mut scene = Scene::empty();
    scene.template("worker", fresh(1, 9, 50));
    scene.agent(0, prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(0, prog().on(item::INPUT, reaction));
    rig.tick();
    rig.input(CMD, b"go");
    rig.tick();
    rig.core().turn_digests().to_vec()
}

pub fn d2_2_a_faulted_turn_has_no_effects_in_its_digest<M: Machine>() {
    let trap = turn_digests::<M>(&prog().trap());
    assert_eq!(trap.len(), 1);
    assert_eq!(turn_digests::<M>(&prog().publish(OUT, b"lost").timer(3, 1).trap()), trap);
    assert_ne!(turn_digests::<M>(&prog()), trap);
    assert_ne!(turn_digests::<M>(&prog().code(-1)), trap, "the fault is in it");
}

pub fn d2_3_payloads_and_log_lines_enter_a_turn_digest_by_their_hash<M: Machine>() {
    for reaction in [
        |text: &[u8]| prog().publish(OUT, text),
        |text: &[u8]| prog().log(3, str::from_utf8(text).expect("a text")),
    ] {
        let reference = turn_digests::<M>(&reaction(b"one text"));
        assert_eq!(turn_digests::<M>(&reaction(b"one text")), reference);
        assert_ne!(turn_digests::<M>(&reaction(b"one tezt")), reference);
    }
    // From another address: an instruction without effect lies before it.
    let moved = prog().code(0).publish(OUT, b"one text");
    let still = prog().publish(OUT, b"one text");
    assert_eq!(turn_digests::<M>(&moved), turn_digests::<M>(&still));
}

pub fn d5_1_d5_2_d5_3_a_state_digest_is_due_by_ticks_and_holds_who_ran_and_lives<M: Machine>() {
    let mut scene = Scene::of(3);
    scene.template("breaker", fresh(20, 9, 50));
    scene.agent(1, prog());
    scene.setup.state_digest_ticks = 10;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(2, prog());
    rig.tick_at(3);
    rig.tell(0, prog());
    rig.tick_at(9);
    // 1 takes no turn until the next interval, 3 loses its state.
    rig.tell(3, prog().trap());
    rig.tick_at(14);
    for tick in [20, 23, 24] {
        rig.tell(1, prog());
        rig.tick_at(tick);
    }
    rig.tick_at(35);
    let agents = |agents: &[u32]| agents.iter().map(|agent| at(*agent)).collect::<Vec<_>>();
    let expected =
        [(0, agents(&[0, 1, 2, 3])), (14, agents(&[0, 2])), (24, agents(&[1])), (35, agents(&[3]))];
    assert_eq!(rig.machine.states(), expected);
}
