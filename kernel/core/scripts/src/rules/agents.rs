//! Calls, answers, addresses, random numbers (A1 to A7).

use wasm_engine_abi::AgentId;
use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::item;
use wasm_engine_setup::Restart;

use crate::{
    ECHO, Machine, OUT, REFUSE, Rig, Scene, at, prog,
    rules::{fresh, payloads, shown},
    to,
};

pub fn a4_1_a4_4_c1_2_lifecycle_calls_have_one_outcome_and_messages_one_only_if_refused<
    M: Machine,
>() {
    let mut rig = Rig::<M>::new(&Scene::of(2));
    rig.tick();
    let nobody = AgentId::new(40, 3).to_bits();
    rig.tell(
        0,
        prog()
            .spawn("worker", &prog()) // seq 1 after the subscribe of init
            .pause(to(1))
            .pause(to(1))
            .resume(to(1))
            .terminate(nobody)
            .send(nobody, b"lost")
            .send(to(1), b"found")
            .publish(REFUSE, b"to nobody"),
    );
    rig.settle(5);
    let outcomes = rig.seen_kind(at(0), item::OUTCOME);
    let codes: Vec<_> = outcomes.iter().map(|s| Status::from_code(s.header.code)).collect();
    // The message is refused in pass 1, before the lifecycle requests of pass 3 (C1, A2).
    let expected =
        [Status::Gone, Status::Ok, Status::Ok, Status::Already, Status::Ok, Status::Gone];
    assert_eq!(codes, expected.map(Some));
    let first = outcomes[1].header.request;
    let requests: Vec<_> = outcomes.iter().map(|s| s.header.request - first).collect();
    assert_eq!(requests, [5, 0, 1, 2, 3, 4], "each names its call");
    assert_eq!(outcomes[1].header.from, to(2), "A5: the lowest free slot");
    assert_eq!(rig.seen_kind(at(1), item::MESSAGE).len(), 1);
}

pub fn a4_7_a4_9_calls_are_busy_without_a_free_slot_and_slots_come_free_again<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.limits().answers_max = 4;
    scene.limits().effects_max = 16;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // The echo of the program takes one place until commit, three timers the others.
    rig.tell(0, prog().timer(3, 1).timer(3, 2).timer(3, 3).timer(3, 4));
    rig.tick();
    assert_eq!(rig.code(0), shown(Status::Busy));
    // One place is free: for the echo alone.
    rig.tell(0, prog().timer(9, 9));
    rig.tick();
    assert_eq!(rig.code(0), shown(Status::Busy));
    rig.tick();
    rig.tick();
    assert_eq!(rig.seen_kind(at(0), item::TIMER).len(), 1, "one place was free for echoes");
    rig.tell(0, prog().timer(3, 1).timer(3, 2).timer(3, 3));
    rig.tick();
    assert_eq!(rig.code(0), 0, "all places are free again");
}

pub fn a4_9_c2_10_a_refused_membership_holds_a_pending_call_slot_too<M: Machine>() {
    // Refused memberships must not heap up without end: many in a turn, one received in a turn.
    let mut scene = Scene::of(1);
    scene.limits().memberships_max = 1;
    scene.limits().receive_max = 1;
    scene.limits().microsteps_max = 1;
    scene.limits().answers_max = 8;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    let joins = (0..20).fold(prog(), |p, n| p.join(&format!("r{n}")));
    rig.tell(0, prog().on(item::OUTCOME, &joins).then(&joins));
    for _ in 0..12 {
        rig.tick();
        assert_eq!(rig.code(0), shown(Status::Busy));
    }
    let outcomes = rig.seen_kind(at(0), item::OUTCOME);
    assert!(outcomes.iter().all(|s| s.header.code == Status::Quota as i32));
    // Sequence 1 is the first echo and 2 to 8 are the joins of tick 1: 8 pending-call slots. The
    // echo of tick 2 takes the only free one. From then on each answer received frees one, which
    // the echo of the next turn does not need: one echo, one join.
    let requests: Vec<_> = outcomes.iter().map(|s| (s.tick, s.header.request)).collect();
    let first = (2..9).map(|tick| (tick, tick));
    let later = (9..13).map(|tick| (tick, 11 + 2 * (tick - 9)));
    assert_eq!(requests, first.chain(later).collect::<Vec<_>>());
}

pub fn a5_6_a7_1_a7_3_a_freed_slot_is_used_from_the_next_tick_with_a_new_generation<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(3));
    rig.tick();
    rig.tell(0, prog().terminate(to(1)).spawn("worker", &prog()));
    rig.tick();
    // Agent 1 was still in its slot at the spawn.
    assert_eq!(rig.seen_kind(at(0), item::OUTCOME)[1].header.from, to(3));
    rig.tell(0, prog().spawn("worker", &prog().echo(ECHO)).send(to(1), b"late"));
    rig.tick();
    let reused = AgentId::new(1, 1);
    let outcomes = rig.seen_kind(at(0), item::OUTCOME);
    assert_eq!(outcomes[2].header.code, Status::Gone as i32, "the old address is gone");
    assert_eq!(outcomes[3].header.from, reused.to_bits());
    rig.tell(0, prog().send(to(1), b"old").send(reused.to_bits(), b"new"));
    rig.tick();
    assert_eq!(payloads(&rig.seen(reused)), [b"new"]);
    assert!(rig.seen(at(1)).is_empty());
}

pub fn a5_5_no_slot_is_an_outcome<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.limits().agents_max = 3;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(0, prog().spawn("worker", &prog()).spawn("worker", &prog()));
    rig.tick();
    let codes: Vec<_> = rig.seen_kind(at(0), item::OUTCOME).iter().map(|s| s.header.code).collect();
    assert_eq!(codes, [0, Status::NoSlot as i32]);
}

pub fn a5_3_a5_4_own_sequences_roll_back_with_a_faulted_turn_and_run_on_over_restarts<
    M: Machine,
>() {
    let mut scene = Scene::empty();
    scene.template("breaker", fresh(1, 9, 1));
    scene.agent(0, prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(0, prog().publish(OUT, b"one"));
    rig.tick();
    rig.tell(0, prog().publish(OUT, b"lost").trap());
    rig.tick();
    rig.tell(0, prog().publish(OUT, b"two"));
    rig.settle(3);
    let seqs: Vec<_> = rig.sink.outputs.iter().map(|o| o.seq).collect();
    // 0: subscribe of init; 1, 2: echo and "one"; lost: none; 3: subscribe again; 4, 5.
    assert_eq!(seqs, [1, 2, 4, 5]);
}

pub fn a5_2_a6_1_random_depends_on_seed_key_and_moment_alone<M: Machine>() {
    let draw = |seed: u64, neighbours: u32, workers: u32| {
        let mut scene = Scene::empty();
        scene.setup.seed = seed;
        scene.template("worker", Restart::Never);
        scene.template("other", Restart::Never);
        // Strangers shift addresses, not keys.
        for _ in 0..neighbours {
            scene.agent(1, prog().random(OUT));
        }
        scene.agent(0, prog());
        let mut rig = Rig::<M>::with_workers(&scene, workers);
        rig.tick();
        rig.tell(neighbours, prog().random(OUT).random(OUT));
        rig.tick();
        rig.tell(neighbours, prog().random(OUT));
        rig.tick();
        rig.published(at(neighbours), OUT)
    };
    let reference = draw(1, 0, 0);
    assert_eq!(reference.len(), 3);
    let mut distinct = reference.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 3, "each draw differs");
    assert_eq!(draw(1, 3, 0), reference);
    assert_eq!(draw(1, 1, 2), reference);
    assert_ne!(draw(2, 0, 0), reference);
}
