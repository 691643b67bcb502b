//! The rules that decide the bits, each by a test that its breach would fail (SEMANTICS T, Q, A,
//! C, D, I).

use crate::support::{
    CHILD, CMD, DROP_NEWEST, DROP_OLDEST, ECHO, FROM, LATEST, Mix, OUT, Prog, REFUSE, Rig, SELF,
    Scene, Seen, at, prog, random_program, reply_to, to,
};
use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any},
    proptest,
};
use wasm_engine::machine::TickError;
use wasm_engine_abi::{
    AgentId,
    calls::Status,
    frame::{CHANNEL, fault, item},
    record::{FactHeader, fact},
};
use wasm_engine_core::{FactsBuilder, OpenError, Phase};
use wasm_engine_setup::{Limits, Restart};

fn fresh(backoff_ticks: u64, restarts_max: u32, window_ticks: u64) -> Restart {
    Restart::Fresh { backoff_ticks, restarts_max, window_ticks }
}

/// The positive code under which the guest shows a refusal.
fn shown(status: Status) -> i32 {
    -(status as i32)
}

fn payloads(seen: &[Seen]) -> Vec<&[u8]> {
    seen.iter().map(|seen| seen.payload.as_slice()).collect()
}

// ---- T: time

#[test]
fn t3_what_opens_a_tick_comes_in_the_fixed_order() {
    let mut scene = Scene::of(1);
    scene.model("m", 2);
    let mut rig = Rig::new(&scene);
    rig.tick();
    rig.tell(0, prog().timer(2, 9).infer(0, b"1234").timer(2, 8));
    rig.tick();
    rig.tick();
    rig.input(CMD, b"an input");
    rig.tick();
    let kinds: Vec<_> =
        rig.seen(at(0)).iter().skip(1).map(|s| (s.header.kind, s.header.from_seq)).collect();
    // Replies, timers by sequence (their tags), inputs.
    assert_eq!(kinds, [(item::REPLY, 0), (item::TIMER, 9), (item::TIMER, 8), (item::INPUT, 1)]);
    assert!(rig.seen(at(0)).iter().skip(1).all(|s| s.header.microstep == 0), "T3: microstep 0");
}

#[test]
fn t2_t4_a_turn_sees_only_what_was_committed_before_its_microstep_and_the_rest_carries_over() {
    let mut scene = Scene::of(2);
    scene.limits().microsteps_max = 3;
    let mut rig = Rig::new(&scene);
    rig.tick();
    // Agent 0 tells 1, 1 tells 0 back, and so on: one exchange a microstep.
    let answer = prog().send(FROM, b"pong");
    rig.tell(0, prog().on(item::MESSAGE, &answer));
    rig.tell(1, prog().on(item::MESSAGE, &answer).send(to(0), b"ping"));
    assert_eq!(rig.tick().microsteps, 3);
    assert_eq!(rig.kernel.core().runnable(), 1, "the last pong waits");
    assert_eq!(rig.next_tick(), Some(2), "T5: somebody is runnable");
    assert_eq!(rig.tick().microsteps, 3);
    let steps: Vec<_> =
        rig.seen_kind(at(0), item::MESSAGE).iter().map(|s| (s.tick, s.microstep)).collect();
    assert_eq!(steps, [(1, 2), (2, 1), (2, 3)]);
}

#[test]
fn t5_only_the_ticks_are_executed_that_something_is_due_in() {
    let mut scene = Scene::of(1);
    scene.model("m", 30);
    scene.template("breaker", fresh(7, 3, 100));
    scene.agent(1, prog());
    let mut rig = Rig::new(&scene);
    rig.tick();
    assert_eq!(rig.next_tick(), None, "T9: nothing is due");
    rig.tell(0, prog().timer(5, 0).timer(20, 0).infer(0, b"1234"));
    rig.tell(1, prog().trap());
    rig.settle(20);
    // Timer, backoff 1 + 7, timer, reply.
    let ticks: Vec<_> = rig.closes.iter().map(|close| close.tick).collect();
    assert_eq!(ticks, [0, 1, 6, 8, 21, 31]);
    assert_eq!(rig.next_tick(), None);
}

#[test]
fn t5_a_dead_agents_timer_or_backoff_names_no_tick() {
    let mut scene = Scene::of(2);
    scene.template("breaker", fresh(7, 3, 100));
    scene.agent(1, prog());
    let mut rig = Rig::new(&scene);
    rig.tick();
    rig.tell(1, prog().timer(9, 0));
    rig.tell(2, prog().trap());
    rig.tick();
    rig.tell(0, prog().terminate(to(1)).terminate(to(2)));
    rig.tick();
    assert_eq!(rig.kernel.core().agents_alive(), 1);
    assert_eq!(rig.next_tick(), None);
}

#[test]
fn t5_the_longest_timer_neither_ends_in_overflow_nor_holds_the_run() {
    let mut rig = Rig::new(&Scene::of(1));
    rig.tick();
    let far = i64::MAX as u64;
    rig.tell(0, prog().on(item::TIMER, &prog().timer(far, 1).send(SELF, b"x")).timer(far, 1));
    rig.settle(20);
    assert!(rig.closes.len() < 20, "it ends: {:?}", rig.closes.last());
}

#[test]
fn t8_tick_0_takes_no_input_and_only_inits_in_configuration_order_within_the_limits() {
    let mut scene = Scene::empty();
    scene.template("worker", Restart::Never);
    for number in 0..5 {
        scene.agent(0, prog().publish(OUT, &[b'0' + number]).send(to(0), b"early"));
    }
    scene.limits().turns_per_microstep_max = 2;
    scene.limits().microsteps_max = 1;
    let mut rig = Rig::new(&scene);
    let close = rig.tick();
    assert_eq!((close.microsteps, close.turns), (3, 5), "as many microsteps as it takes");
    let all: Vec<_> = rig.sink.outputs.iter().map(|o| (o.microstep, o.payload[0])).collect();
    assert_eq!(all, [(1, b'0'), (1, b'1'), (2, b'2'), (2, b'3'), (3, b'4')]);
    assert!(rig.seen(at(0)).is_empty(), "its messages wait for tick 1");
    rig.tick();
    assert_eq!(rig.seen(at(0)).len(), 5);

    let mut rig = Rig::new(&scene);
    rig.facts.begin(0);
    rig.facts.push(FactHeader { kind: fact::INPUT, c: CMD, ..FactHeader::default() }, b"no");
    let facts = rig.facts.finish().to_vec();
    let refused = rig.feed(&facts);
    assert!(matches!(refused, Err(TickError::Open(OpenError::InputInTickZero))), "{refused:?}");
}

#[test]
fn l6_facts_that_cannot_be_those_of_the_next_tick_are_refused() {
    let open = |facts: &dyn Fn(&mut FactsBuilder)| {
        let mut rig = Rig::new(&Scene::of(1));
        rig.tick();
        rig.tick_at(4);
        let mut builder = FactsBuilder::default();
        facts(&mut builder);
        match rig.feed(builder.finish()) {
            Err(TickError::Open(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let input = |c: u32, a: u64| FactHeader { kind: fact::INPUT, a, c, ..FactHeader::default() };
    for tick in [0, 3, 4] {
        assert!(
            matches!(open(&|f| f.begin(tick)), OpenError::NotNext { tick: t, .. } if t == tick)
        );
    }
    let unknown = |a, c| {
        open(&move |f| {
            f.begin(5);
            f.push(input(c, a), b"");
        })
    };
    assert!(matches!(unknown(0, 999), OpenError::UnknownTopic { topic: 999, .. }));
    assert!(matches!(unknown(1, CMD), OpenError::UnknownTopic { origin: 1, .. }));
    let kind = open(&|f| {
        f.begin(5);
        f.push(FactHeader { kind: 77, ..FactHeader::default() }, b"");
    });
    assert!(matches!(kind, OpenError::UnknownFact { kind: 77, .. }));
}

#[test]
fn t7_more_inputs_than_a_tick_admits_are_refused_not_fatal() {
    let mut scene = Scene::of(1);
    scene.limits().inputs_per_tick_max = 4;
    scene.limits().input_bytes_per_tick_max = 256;
    scene.limits().inbox_bytes_max = 4096;
    for (count, bytes) in [(5, 1), (2, 4000)] {
        let mut rig = Rig::new(&scene);
        rig.tick();
        for _ in 0..count {
            rig.input(CMD, &vec![b'x'; bytes]);
        }
        let mut facts = FactsBuilder::default();
        facts.begin(1);
        for seq in 0..count {
            let header = FactHeader { kind: fact::INPUT, b: seq, c: CMD, ..FactHeader::default() };
            facts.push(header, &vec![b'x'; bytes]);
        }
        let refused = rig.feed(facts.finish());
        assert!(matches!(refused, Err(TickError::Open(_))), "{refused:?}");
    }
}

// ---- Q: schedule order

#[test]
fn q1_an_agent_with_leftovers_comes_before_those_it_wakes() {
    let mut scene = Scene::of(3);
    scene.limits().receive_max = 1;
    let mut rig = Rig::new(&scene);
    rig.tick();
    // Agent 0 has two items; the first wakes 1 and 2.
    rig.tell(0, prog().send(to(2), b"a").send(to(1), b"b"));
    rig.tell(0, prog().publish(OUT, b"mine"));
    rig.tick();
    let second: Vec<_> = rig
        .sink
        .outputs
        .iter()
        .filter(|o| o.microstep == 2 && o.topic == ECHO)
        .map(|o| o.from)
        .collect();
    assert_eq!(second, [at(0), at(2), at(1)]);
}

#[test]
fn q3_who_does_not_fit_keeps_its_place_over_microsteps_and_ticks() {
    let limits: [fn(&mut Limits); 4] = [
        |limits| limits.turns_per_microstep_max = 2,
        |limits| limits.effects_per_microstep_max = 2 * limits.effects_max + 1,
        |limits| limits.payload_bytes_per_microstep_max = 3 * limits.payload_bytes_max - 64,
        |limits| {
            // 33 calls of a million each.
            limits.fuel_per_microstep_max = 99_000_000 - 1;
        },
    ];
    for set in limits {
        let mut scene = Scene::of(7);
        set(scene.limits());
        scene.limits().microsteps_max = 2;
        let mut rig = Rig::new(&scene);
        rig.tick();
        for agent in [4, 2, 6, 0, 5, 1, 3] {
            rig.tell(agent, prog());
        }
        rig.tick();
        rig.tick();
        let order: Vec<_> =
            rig.sink.outputs.iter().map(|o| (o.tick, o.microstep, o.from.index())).collect();
        let expected =
            [(1, 1, 4), (1, 1, 2), (1, 2, 6), (1, 2, 0), (2, 1, 5), (2, 1, 1), (2, 2, 3)];
        assert_eq!(order, expected);
    }
}

#[test]
fn q2_priority_plans_the_more_important_first_and_round_robin_goes_around() {
    use wasm_engine_setup::Schedule;
    let order = |schedule| {
        let mut scene = Scene::of(3);
        scene.setup.schedule = schedule;
        scene.template("urgent", Restart::Never);
        scene.setup.templates[1].priority = 5;
        scene.agent(1, prog());
        scene.limits().turns_per_microstep_max = 1;
        let mut rig = Rig::new(&scene);
        rig.tick();
        for agent in [2, 1, 3, 0] {
            rig.tell(agent, prog());
        }
        rig.tick();
        rig.sink.outputs.iter().map(|o| o.from.index()).collect::<Vec<_>>()
    };
    assert_eq!(order(Schedule::Fifo), [2, 1, 3, 0]);
    assert_eq!(order(Schedule::Priority), [3, 2, 1, 0]);
    // The cursor is behind agent 3 or at the start, the order cyclic either way.
    assert_eq!(order(Schedule::RoundRobin), [0, 1, 2, 3]);
}

// ---- A: agents

#[test]
fn a4_lifecycle_calls_have_exactly_one_outcome_and_messages_one_only_if_refused() {
    let mut rig = Rig::new(&Scene::of(2));
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

#[test]
fn a4_calls_are_busy_without_a_free_place_and_places_come_free_again() {
    let mut scene = Scene::of(1);
    scene.limits().answers_max = 4;
    scene.limits().effects_max = 16;
    let mut rig = Rig::new(&scene);
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

#[test]
fn a4_a_refused_subscription_holds_an_answer_place_too() {
    // Refused memberships must not heap up without end: 100 in a turn, one received in a turn.
    let mut scene = Scene::of(1);
    scene.limits().memberships_max = 1;
    scene.limits().receive_max = 1;
    scene.limits().microsteps_max = 1;
    scene.limits().answers_max = 8;
    let mut rig = Rig::new(&scene);
    rig.tick();
    let joins = (0..20).fold(prog(), |p, n| p.join(&format!("room {n}")));
    rig.tell(0, joins);
    rig.tick();
    assert_eq!(rig.code(0), shown(Status::Busy));
    rig.settle(40);
    assert!(rig.seen_kind(at(0), item::OUTCOME).len() <= 8);
}

#[test]
fn a5_a7_a_freed_slot_is_used_from_the_next_tick_with_a_new_generation() {
    let mut rig = Rig::new(&Scene::of(3));
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

#[test]
fn a5_no_slot_is_an_outcome() {
    let mut scene = Scene::of(2);
    scene.limits().agents_max = 3;
    let mut rig = Rig::new(&scene);
    rig.tick();
    rig.tell(0, prog().spawn("worker", &prog()).spawn("worker", &prog()));
    rig.tick();
    let codes: Vec<_> = rig.seen_kind(at(0), item::OUTCOME).iter().map(|s| s.header.code).collect();
    assert_eq!(codes, [0, Status::NoSlot as i32]);
}

#[test]
fn a5_own_sequences_roll_back_with_a_faulted_turn_and_run_on_over_restarts() {
    let mut scene = Scene::empty();
    scene.template("breaker", fresh(1, 9, 1));
    scene.agent(0, prog());
    let mut rig = Rig::new(&scene);
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

#[test]
fn a6_random_depends_on_seed_key_and_place_alone() {
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
        let mut rig = Rig::with_workers(&scene, workers);
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

#[test]
fn a8_never_means_the_end_and_the_faulted_turn_has_no_effect() {
    let mut rig = Rig::new(&Scene::of(2));
    rig.tick();
    rig.tell(0, prog().publish(OUT, b"lost").send(to(1), b"lost").trap());
    rig.tick();
    let core = rig.kernel.core();
    assert_eq!(core.agent(0).phase, Phase::Free);
    assert_eq!(core.agent(0).activity.last_fault, fault::UNREACHABLE);
    assert_eq!((core.stats().faults, core.stats().dead_letters), (1, 1));
    assert!(rig.sink.outputs.is_empty());
    rig.tell(1, prog().send(to(0), b"hello?"));
    rig.tick();
    assert_eq!(rig.seen_kind(at(1), item::OUTCOME)[0].header.code, Status::Gone as i32);
}

#[test]
fn a8_fresh_restarts_after_backoff_keep_mail_and_stop_at_the_intensity_limit() {
    let mut scene = Scene::of(1);
    scene.template("breaker", fresh(3, 2, 50));
    scene.agent(1, prog().count(OUT));
    let mut rig = Rig::new(&scene);
    rig.tick();
    for round in 0..3 {
        let tick = rig.kernel.core().tick() + 1;
        rig.tell(1, prog().count(OUT));
        rig.tell(1, prog().trap());
        rig.tell(1, prog().publish(OUT, b"kept"));
        rig.tick();
        if round == 2 {
            assert_eq!(rig.kernel.core().agent(1).phase, Phase::Free, "two restarts in 50 ticks");
            break;
        }
        assert_eq!(rig.kernel.core().agent(1).phase, Phase::Backoff(tick + 3));
        // In backoff it queues like a paused one.
        rig.tell(0, prog().send_prog(to(1), prog().publish(OUT, b"sent")));
        rig.tick();
        assert_eq!(rig.next_tick(), Some(tick + 3));
        rig.tick_at(tick + 3);
        let agent = rig.kernel.core().agent(1);
        assert_eq!((agent.incarnation, agent.phase), (round + 1, Phase::Active));
    }
    // A fresh count of 0 at each init, and what was left in the inbox.
    let texts: Vec<_> = rig.published(at(1), OUT).iter().map(|p| p.to_vec()).collect();
    let zero = 0u64.to_le_bytes().to_vec();
    let round = [zero.clone(), b"kept".to_vec(), b"sent".to_vec()];
    assert_eq!(texts, [vec![zero], round.to_vec(), round.to_vec()].concat());
}

#[test]
fn a8_restarts_outside_the_window_do_not_count() {
    let mut scene = Scene::empty();
    scene.template("breaker", fresh(1, 1, 5));
    scene.agent(0, prog());
    let mut rig = Rig::new(&scene);
    rig.tick();
    for _ in 0..4 {
        rig.tell(0, prog().trap());
        rig.tick();
        rig.tick();
        assert_eq!(rig.kernel.core().agent(0).phase, Phase::Active);
        rig.tick_at(rig.kernel.core().tick() + 5);
    }
    assert_eq!(rig.kernel.core().stats().restarts, 4);
}

#[test]
fn a8_an_init_that_faults_is_supervised_too() {
    let mut scene = Scene::empty();
    scene.template("breaker", fresh(1, 2, 50));
    scene.raw_agent(0, &prog().trap());
    let mut rig = Rig::new(&scene);
    rig.settle(10);
    assert_eq!(rig.kernel.core().stats().faults, 3);
    assert_eq!(rig.kernel.core().agents_alive(), 0);
}

/// Agents 0 to 2 are one group of a template with this restart, agent 3 stands alone.
fn grouped(restart: Restart) -> Scene {
    let mut scene = Scene::empty();
    scene.template("member", restart);
    scene.template("alone", Restart::Never);
    for _ in 0..3 {
        scene.agent(0, prog().count(OUT));
    }
    scene.agent(1, prog());
    scene.group("g", &[0, 1, 2]);
    scene
}

fn phases(rig: &Rig) -> Vec<Phase> {
    (0..4).map(|index| rig.kernel.core().agent(index).phase).collect()
}

#[test]
fn a8_a_group_falls_and_restarts_together_and_keeps_its_mail() {
    let run = |workers: u32| {
        let mut rig = Rig::with_workers(&grouped(fresh(3, 5, 50)), workers);
        rig.tick();
        for agent in 0..3 {
            rig.tell(agent, prog().count(OUT).timer(5, 1));
        }
        rig.tick();
        // In one microstep 1 faults, 0 has a turn whose effects stand, 2 has none; all get mail.
        rig.tell(1, prog().publish(OUT, b"lost").trap());
        rig.tell(0, prog().publish(OUT, b"stands").spawn("alone", &prog()));
        rig.tell(3, (0..3).fold(prog(), |p, n| p.send_prog(to(n), prog().count(OUT))));
        rig.tick();
        let fallen = Phase::Backoff(5);
        assert_eq!(phases(&rig), [fallen, fallen, fallen, Phase::Active]);
        // Their memory is given back; agent 3 and the child of 0 have some.
        assert_eq!(rig.instances(), 2);
        assert_eq!(rig.next_tick(), Some(5));
        rig.settle(20);
        rig
    };
    let rig = run(0);
    let core = rig.kernel.core();
    assert_eq!(phases(&rig), [Phase::Active; 4]);
    assert_eq!((core.stats().faults, core.stats().restarts), (1, 3));
    for index in 0..3 {
        assert_eq!(core.agent(index).incarnation, 1);
        // A count at init, one by order; then both again by the new incarnation.
        let texts = rig.published(at(index), OUT);
        let counted: Vec<u64> = texts
            .iter()
            .filter_map(|text| Some(u64::from_le_bytes(text.as_slice().try_into().ok()?)))
            .collect();
        assert_eq!(counted, [0, 1, 0, 1], "a fresh state");
        let late = [item::TIMER, item::OUTCOME];
        let seen = rig.seen(at(index));
        assert!(seen.iter().all(|s| !late.contains(&s.header.kind)), "A9: {seen:?}");
    }
    assert_eq!(rig.published(at(0), OUT)[2], b"stands", "what was committed stays");
    for workers in [1, 2] {
        let many = run(workers);
        assert_eq!(many.digests(), rig.digests(), "{workers} workers");
        assert_eq!(many.sink.outputs, rig.sink.outputs);
    }
    let mut again = Rig::new(&grouped(fresh(3, 5, 50)));
    for facts in &rig.log {
        again.feed(facts).expect("they were facts");
    }
    assert_eq!(again.digests(), rig.digests(), "replay as live");
}

#[test]
fn a8_a_group_counts_one_restart_for_all_and_ends_together_over_the_limit() {
    let mut rig = Rig::new(&grouped(fresh(1, 2, 50)));
    rig.tick();
    for round in 1..=2 {
        // Two members fault in one commit: one fall, one restart.
        rig.tell(round % 3, prog().trap());
        rig.tell((round + 1) % 3, prog().trap());
        rig.tick();
        rig.tick();
        assert_eq!(phases(&rig), [Phase::Active; 4], "restart {round} of 2");
    }
    assert_eq!(rig.kernel.core().stats().faults, 4);
    rig.tell(0, prog().farewell(OUT).send(to(2), b"dead"));
    rig.tick();
    rig.tell(1, prog().trap());
    rig.tick();
    let over = [Phase::Free, Phase::Free, Phase::Free, Phase::Active];
    assert_eq!(phases(&rig), over, "the third is one too many");
    assert_eq!(rig.instances(), 1);
    assert!(rig.published(at(0), OUT).iter().all(|text| text.len() == 8), "A10: no farewell");
    assert_eq!(rig.kernel.core().held(), (0, 0));
    rig.tell(3, prog().send(to(0), b"late").spawn("member", &prog()));
    rig.settle(5);
    let codes: Vec<_> = rig.seen_kind(at(3), item::OUTCOME).iter().map(|s| s.header.code).collect();
    assert_eq!(codes, [Status::Gone as i32, 0]);

    let mut rig = Rig::new(&grouped(Restart::Never));
    rig.tick();
    rig.tell(2, prog().trap());
    rig.settle(5);
    assert_eq!(phases(&rig), over, "never: they end together");
}

#[test]
fn a8_members_of_a_group_fall_in_every_phase_but_stopping() {
    // Paused: it falls, and stays paused through its restart.
    let mut rig = Rig::new(&grouped(fresh(2, 5, 50)));
    rig.tick();
    rig.tell(3, prog().pause(to(0)));
    rig.tick();
    rig.tell(1, prog().trap());
    rig.tick();
    rig.settle(9);
    let agent = rig.kernel.core().agent(0);
    assert_eq!((agent.phase, agent.paused, agent.incarnation), (Phase::Starting, true, 1));
    rig.tell(3, prog().resume(to(0)));
    rig.settle(9);
    assert_eq!(phases(&rig), [Phase::Active; 4]);

    // Starting: an init that was not planned yet waits for the restart of all.
    let mut scene = grouped(fresh(2, 5, 50));
    scene.limits().turns_per_microstep_max = 1;
    scene.setup.agents[0].args = prog().trap().args();
    let mut rig = Rig::new(&scene);
    rig.tick();
    let fallen = Phase::Backoff(2);
    assert_eq!(phases(&rig), [fallen, fallen, fallen, Phase::Active]);
    assert!(rig.sink.outputs.is_empty(), "1 and 2 have not begun");

    // Stopping: who was told to end is no member any more, nor does its last turn's fault matter.
    let mut rig = Rig::new(&grouped(fresh(2, 5, 50)));
    rig.tick();
    rig.tell(0, prog().farewell(OUT));
    rig.tick();
    rig.tell(3, prog().terminate(to(0)));
    rig.tell(1, prog().trap());
    rig.tick();
    assert_eq!(rig.published(at(0), OUT).len(), 2, "init and farewell");
    let fallen = Phase::Backoff(4);
    assert_eq!(phases(&rig), [Phase::Free, fallen, fallen, Phase::Active]);
    rig.settle(9);
    assert_eq!(phases(&rig), [Phase::Free, Phase::Active, Phase::Active, Phase::Active]);

    // In backoff: a member that is ended there leaves; the others restart.
    rig.tell(1, prog().trap());
    rig.tick();
    rig.tell(3, prog().terminate(to(2)));
    rig.settle(9);
    assert_eq!(phases(&rig), [Phase::Free, Phase::Active, Phase::Free, Phase::Active]);
}

#[test]
fn a8_spawned_agents_are_in_no_group() {
    let mut rig = Rig::new(&grouped(fresh(2, 5, 50)));
    rig.tick();
    rig.tell(0, prog().spawn("member", &prog().echo(ECHO)));
    rig.tick();
    let child = AgentId::new(4, 0);
    rig.tell(1, prog().trap());
    rig.tell(3, prog().send_prog(child.to_bits(), prog().trap()));
    rig.tick();
    let core = rig.kernel.core();
    assert_eq!(core.agent(4).phase, Phase::Backoff(4), "by its own fault, with its own limit");
    rig.tell(1, prog().trap());
    rig.settle(9);
    assert_eq!(rig.kernel.core().agent(4).incarnation, 1);
    assert_eq!(rig.kernel.core().agent(1).incarnation, 2);
}

#[test]
fn d5_the_state_of_an_agent_that_fell_with_its_group_is_no_state() {
    // A state digest in the tick of the fall and in every one after it.
    let run = |workers: u32| {
        let mut scene = grouped(fresh(3, 5, 50));
        scene.setup.state_digest_ticks = 1;
        let mut rig = Rig::with_workers(&scene, workers);
        rig.tick();
        rig.tell(0, prog().count(OUT));
        rig.tell(1, prog().trap());
        for _ in 0..6 {
            rig.tick();
        }
        rig.digests()
    };
    assert_eq!(run(2), run(0));
}

#[test]
fn a9_answers_timers_and_replies_of_the_old_incarnation_are_dropped() {
    for backoff in [1, 4] {
        let mut scene = Scene::of(1);
        scene.model("m", 2);
        scene.template("breaker", fresh(backoff, 9, 50));
        scene.agent(1, prog());
        let mut rig = Rig::new(&scene);
        rig.tick();
        rig.tell(1, prog().timer(2, 7).timer(6, 8).infer(0, b"1234"));
        rig.tick();
        rig.tell(1, prog().spawn("worker", &prog()).send(to(9), b"gone"));
        rig.tell(1, prog().trap());
        rig.tick();
        rig.tell(0, prog().send(to(1), b"kept"));
        rig.settle(20);
        let seen = rig.seen(at(1));
        let kinds: Vec<_> = seen.iter().map(|s| s.header.kind).collect();
        assert_eq!(kinds, [item::INPUT, item::MESSAGE], "backoff {backoff}: {seen:?}");
        // Nothing is left of the places that they held.
        let many = (0..60).fold(prog(), |p, _| p.timer(1, 1));
        rig.tell(1, many);
        rig.tick();
        assert_eq!(rig.code(1), 0);
    }
}

#[test]
fn a10_terminate_is_gone_at_once_drops_mail_and_gives_one_last_turn() {
    let mut rig = Rig::new(&Scene::of(3));
    rig.tick();
    rig.tell(1, prog().farewell(OUT));
    rig.tick();
    // Both act in one microstep: pass 1 delivers 2's message, pass 3 ends 1.
    rig.tell(0, prog().terminate(to(1)));
    rig.tell(2, prog().send(to(1), b"dead"));
    let dead = rig.kernel.core().stats().dead_letters;
    rig.tick();
    let last: Vec<_> = rig.sink.outputs.iter().filter(|o| o.topic == OUT).collect();
    assert_eq!((last.len(), last[0].from, last[0].microstep), (1, at(1), 2));
    assert_eq!(rig.kernel.core().stats().dead_letters, dead + 1);
    assert!(rig.seen_kind(at(2), item::OUTCOME).is_empty(), "dead letters have no outcome");
    assert_eq!(rig.kernel.core().agent(1).phase, Phase::Free);
    // It left its topic: nobody hears the input.
    rig.input(CMD + 1, b"to nobody");
    let messages = rig.kernel.core().stats().messages;
    rig.tick();
    assert_eq!(rig.kernel.core().stats().messages, messages);
}

#[test]
fn a10_an_agent_can_end_itself_and_its_last_turn_may_fault() {
    let mut rig = Rig::new(&Scene::of(2));
    rig.tick();
    rig.tell(0, prog().farewell(OUT).terminate(SELF).spawn("worker", &prog().echo(ECHO)));
    rig.settle(5);
    assert_eq!(rig.published(at(0), OUT).len(), 1);
    assert_eq!(rig.kernel.core().agents_alive(), 2);
    assert_eq!(rig.kernel.core().held(), (0, 0));
}

#[test]
fn c1_a_fault_of_an_incarnation_that_pass_3_ended_is_counted_not_supervised() {
    let mut scene = Scene::of(1);
    scene.template("breaker", fresh(1, 9, 50));
    scene.agent(1, prog());
    let mut rig = Rig::new(&scene);
    rig.tick();
    // In one microstep agent 1 faults and agent 0 ends it.
    rig.tell(0, prog().terminate(to(1)));
    rig.tell(1, prog().trap());
    rig.settle(9);
    let core = rig.kernel.core();
    assert_eq!((core.stats().faults, core.stats().restarts), (1, 0));
    assert_eq!((core.agent(1).phase, core.agents_alive()), (Phase::Free, 1));
}

#[test]
fn c1_an_init_that_faults_while_it_is_ended_ends_once() {
    let mut scene = Scene::of(1);
    scene.template("breaker", fresh(1, 9, 50));
    let mut rig = Rig::new(&scene);
    rig.tick();
    // The child's init faults in the microstep in which its parent, told of it, ends it.
    let child = AgentId::new(1, 0).to_bits();
    rig.tell(
        0,
        prog().on(item::OUTCOME, &prog().terminate(child)).spawn("breaker", &prog().trap()),
    );
    rig.tick();
    rig.settle(9);
    let core = rig.kernel.core();
    assert_eq!((core.stats().faults, core.stats().restarts), (1, 0));
    assert_eq!((core.agent(1).phase, core.agents_alive()), (Phase::Free, 1));
}

#[test]
fn a10_paused_agents_queue_and_their_timers_and_replies_wait() {
    let mut scene = Scene::of(2);
    scene.model("m", 1);
    let mut rig = Rig::new(&scene);
    rig.tick();
    rig.tell(1, prog().timer(1, 3).infer(0, b"1234"));
    rig.tell(0, prog().pause(to(1)).send(to(1), b"queued"));
    rig.tick();
    rig.settle(9);
    assert_eq!(rig.seen(at(1)).len(), 1, "only the program itself");
    assert_eq!(rig.kernel.core().agent(1).inbox_items, 1);
    rig.tell(0, prog().resume(to(1)));
    rig.settle(9);
    let kinds: Vec<_> = rig.seen(at(1)).iter().map(|s| s.header.kind).collect();
    assert_eq!(kinds, [item::INPUT, item::MESSAGE, item::REPLY, item::TIMER]);
}

// ---- C: commit

#[test]
fn c1_pass_1_sees_subscriptions_channels_and_addresses_as_before_the_microstep() {
    let mut rig = Rig::new(&Scene::of(3));
    rig.tick();
    rig.tell(0, prog().subscribe(REFUSE).join("room").publish(REFUSE, b"1").cast("room", b"1"));
    rig.tell(1, prog().publish(REFUSE, b"2").cast("room", b"2"));
    rig.tell(2, prog().terminate(to(1)).send(to(1), b"before"));
    rig.tick();
    assert!(rig.seen_kind(at(0), item::MESSAGE).is_empty(), "nobody had subscribed yet");
    rig.tell(0, prog().unsubscribe(REFUSE).leave("room"));
    rig.tell(2, prog().publish(REFUSE, b"3").cast("room", b"3"));
    rig.tick();
    let seen = rig.seen_kind(at(0), item::MESSAGE);
    assert_eq!(payloads(&seen), [b"3", b"3"], "it was still subscribed");
    assert_eq!((seen[0].header.topic, seen[1].header.topic), (REFUSE, CHANNEL));
    rig.tell(2, prog().publish(REFUSE, b"4").cast("room", b"4"));
    rig.tick();
    assert_eq!(rig.seen_kind(at(0), item::MESSAGE).len(), 2);
}

#[test]
fn c1_items_of_this_microstep_are_released_before_deliveries_are_judged() {
    let mut scene = Scene::of(2);
    scene.limits().inbox_items_max = 1;
    let mut rig = Rig::new(&scene);
    rig.tick();
    // 0 is planned before 1 consumes its item; the place is free nevertheless.
    rig.tell(0, prog().send(to(1), b"fits"));
    rig.tell(1, prog());
    rig.tick();
    assert_eq!(payloads(&rig.seen_kind(at(1), item::MESSAGE)), [b"fits"]);
}

#[test]
fn c2_each_limit_refuses_with_its_own_status_and_counts_whole_blocks() {
    let refused = |set: fn(&mut Limits), program: crate::support::Prog| {
        let mut scene = Scene::of(3);
        // Agent 1 is paused, so what it gets is held.
        set(scene.limits());
        let mut rig = Rig::new(&scene);
        rig.tick();
        rig.tell(0, prog().pause(to(1)));
        rig.tick();
        rig.tell(0, program);
        rig.tick();
        let outcomes = rig.seen_kind(at(0), item::OUTCOME);
        let codes: Vec<_> = outcomes.iter().skip(1).map(|s| s.header.code).collect();
        (codes, rig.kernel.core().agent(1).inbox_items, rig.kernel.core().held())
    };
    let full = Status::InboxFull as i32;
    let kernel = Status::KernelFull as i32;
    let three = || prog().send_len(to(1), 1).send_len(to(1), 65).send_len(to(1), 64);
    assert_eq!(refused(|l| l.inbox_items_max = 2, three()), (vec![full], 2, (2, 3)));
    // 256 bytes are 4 blocks: 1 + 2 + 1 fit exactly.
    assert_eq!(refused(|l| l.inbox_bytes_max = 1 << 10, three()), (vec![], 3, (3, 4)));
    let inputs = |l: &mut Limits| (l.inbox_bytes_max, l.input_bytes_per_tick_max) = (192, 192);
    assert_eq!(refused(inputs, three()), (vec![full], 2, (2, 3)));
    assert_eq!(refused(|l| l.messages_held_max = 2, three()), (vec![kernel], 2, (2, 3)));
    assert_eq!(refused(|l| l.payload_bytes_held_max = 192, three()), (vec![kernel], 2, (2, 3)));
    assert_eq!(refused(|l| l.deliveries_per_microstep_max = 2, three()), (vec![kernel], 2, (2, 3)));
}

#[test]
fn c2_a_publish_decides_each_receiver_alone_with_one_outcome() {
    let mut scene = Scene::of(4);
    scene.limits().inbox_items_max = 1;
    let mut rig = Rig::new(&scene);
    rig.tick();
    for agent in 1..4 {
        rig.tell(agent, prog().subscribe(REFUSE));
    }
    rig.tick();
    rig.tell(0, prog().pause(to(2)).send(to(2), b"fills"));
    rig.tick();
    rig.tell(0, prog().publish(REFUSE, b"news"));
    rig.tick();
    let outcome = &rig.seen_kind(at(0), item::OUTCOME)[1].header;
    assert_eq!(outcome.code, Status::InboxFull as i32);
    assert_eq!((outcome.from_seq as u32, outcome.from_seq >> 32), (2, 1), "delivered, refused");
    assert_eq!(rig.seen_kind(at(1), item::MESSAGE).len(), 1);
    assert_eq!(rig.seen_kind(at(3), item::MESSAGE).len(), 1);
}

#[test]
fn c3_a_child_takes_its_init_turn_in_the_next_microstep() {
    let mut rig = Rig::new(&Scene::of(1));
    rig.tick();
    rig.tell(
        0,
        prog()
            .spawn("worker", &prog().echo(ECHO).publish(OUT, b"born"))
            .on(item::OUTCOME, &prog().send(CHILD, b"hello")),
    );
    rig.tick();
    let born = &rig.sink.outputs.iter().find(|o| o.payload == b"born").expect("born");
    assert_eq!((born.tick, born.microstep), (1, 2));
    assert_eq!(payloads(&rig.seen(at(1))), [b"hello"]);
}

#[test]
fn c4_each_policy_decides_what_a_full_inbox_keeps() {
    let kept = |topic: u32| {
        let mut scene = Scene::of(2);
        scene.limits().inbox_items_max = 3;
        let mut rig = Rig::new(&scene);
        rig.tick();
        rig.tell(1, prog().subscribe(topic));
        rig.tick();
        rig.tell(0, prog().pause(to(1)).send(to(1), b"other"));
        rig.tick();
        rig.tell(
            0,
            prog()
                .publish(topic, b"a")
                .publish(topic, b"b")
                .publish(topic, b"c")
                .publish(topic, b"d"),
        );
        rig.tick();
        rig.tell(0, prog().resume(to(1)));
        rig.tick();
        let outcomes = rig.seen_kind(at(0), item::OUTCOME).len() - 2;
        let stats = rig.kernel.core().stats();
        let seen = rig.seen_kind(at(1), item::MESSAGE);
        let texts: Vec<_> =
            seen.iter().map(|s| String::from_utf8_lossy(&s.payload).into_owned()).collect();
        assert_eq!(rig.kernel.core().held(), (0, 0));
        (texts.join(" "), outcomes, stats.refused, stats.dropped)
    };
    assert_eq!(kept(REFUSE), ("other a b".to_owned(), 2, 2, 0));
    assert_eq!(kept(DROP_OLDEST), ("other c d".to_owned(), 0, 0, 2));
    assert_eq!(kept(DROP_NEWEST), ("other a b".to_owned(), 0, 0, 2));
    assert_eq!(kept(LATEST), ("other d".to_owned(), 0, 0, 3));
}

/// What a paused agent holds of a topic after `program` published on it, under limits; how many
/// messages were refused and dropped.
fn kept_under(topic: u32, set: fn(&mut Limits), program: &Prog) -> (Vec<Vec<u8>>, [u64; 2]) {
    let mut scene = Scene::of(2);
    set(scene.limits());
    let mut rig = Rig::new(&scene);
    rig.tick();
    rig.tell(1, prog().subscribe(topic));
    rig.tick();
    rig.tell(0, prog().pause(to(1)));
    rig.tick();
    // A timer is held beside the limits, so it can wake the other one whatever is full.
    let wake = prog().on(item::TIMER, &prog().resume(to(1))).timer(2, 0);
    rig.tell(0, wake.then(program));
    rig.settle(5);
    assert_eq!(rig.kernel.core().held(), (0, 0));
    let seen = rig.seen_kind(at(1), item::MESSAGE);
    let stats = rig.kernel.core().stats();
    (seen.into_iter().map(|seen| seen.payload).collect(), [stats.refused, stats.dropped])
}

#[test]
fn c4_nothing_is_dropped_for_a_message_that_is_then_refused() {
    let short = |l: &mut Limits| (l.inbox_bytes_max, l.input_bytes_per_tick_max) = (256, 256);
    let two = |topic| prog().publish(topic, b"old").publish(topic, b"new");
    let (old, new) = (|| vec![b"old".to_vec()], || vec![b"new".to_vec()]);
    for topic in [DROP_OLDEST, LATEST] {
        // Five blocks never fit an inbox of four, whoever makes room.
        let program = prog().publish(topic, b"old").publish_len(topic, 300);
        assert_eq!(kept_under(topic, short, &program), (old(), [1, 0]));
    }
    // The room of what is replaced counts, in the inbox and in the kernel.
    let one_held = |l: &mut Limits| l.messages_held_max = 1;
    assert_eq!(kept_under(LATEST, one_held, &two(LATEST)), (new(), [0, 1]));
    // The inbox has room, so the oldest does not have to go, and the kernel's limit refuses.
    assert_eq!(kept_under(DROP_OLDEST, one_held, &two(DROP_OLDEST)), (old(), [1, 0]));
    let both = |l: &mut Limits| (l.messages_held_max, l.inbox_items_max) = (1, 1);
    assert_eq!(kept_under(DROP_OLDEST, both, &two(DROP_OLDEST)), (new(), [0, 1]));
}

#[test]
fn c4_a_refused_message_leaves_the_queued_one_its_turn() {
    let mut scene = Scene::of(3);
    scene.limits().deliveries_per_microstep_max = 2;
    scene.limits().turns_per_microstep_max = 1;
    let mut rig = Rig::new(&scene);
    rig.tick();
    rig.tell(2, prog().subscribe(LATEST));
    rig.tick();
    // 0 publishes, then 1, whose sends use the deliveries of the microstep up.
    rig.tell(0, prog().publish(LATEST, b"old"));
    rig.tell(1, prog().send(SELF, b"x").send(SELF, b"y").publish(LATEST, b"new"));
    rig.tick();
    let stats = rig.kernel.core().stats();
    assert_eq!((stats.dropped, stats.refused), (0, 1));
    assert_eq!(payloads(&rig.seen_kind(at(2), item::MESSAGE)), [b"old"]);
    assert_eq!(rig.kernel.core().runnable(), 0);
}

#[test]
fn c5_strangers_do_not_change_what_a_group_does() {
    let outputs = |strangers: bool| {
        let mut scene = Scene::of(3);
        scene.template("stranger", fresh(1, 100, 1));
        if strangers {
            for _ in 0..3 {
                scene.agent(1, prog().join("elsewhere"));
            }
        }
        let mut rig = Rig::new(&scene);
        rig.tick();
        rig.tell(0, prog().subscribe(REFUSE).join("room"));
        rig.tell(1, prog().subscribe(REFUSE));
        for round in 0..20u64 {
            if strangers {
                let mut mix = Mix(round);
                for agent in 3..6 {
                    let noise =
                        prog().cast("elsewhere", b"noise").publish_len(LATEST, mix.below(4000));
                    let noise =
                        if mix.below(3) == 0 { noise.trap() } else { noise.random(DROP_NEWEST) };
                    rig.tell(agent, noise.timer(2, 1));
                }
            }
            rig.tell(
                round as u32 % 3,
                prog()
                    .publish(REFUSE, &round.to_le_bytes())
                    .random(OUT)
                    .cast("room", b"x")
                    .timer(3, round),
            );
            rig.tick();
        }
        let own = |o: &crate::support::Out| {
            (o.tick, o.microstep, o.topic, o.from, o.seq, o.payload.clone())
        };
        // Inputs are numbered by their source, which strangers share; their number is no output.
        let mine = rig.sink.outputs.iter().filter(|o| o.from.index() < 3 && o.topic == OUT);
        mine.map(own).collect::<Vec<_>>()
    };
    let (alone, among) = (outputs(false), outputs(true));
    assert_eq!(alone.len(), 20);
    assert_eq!(alone, among);
}

// ---- D: digests

#[test]
fn d3_the_digest_shows_every_input_byte_and_the_setup() {
    let digest = |seed: u64, bytes: &[u8], heard: bool| {
        let mut scene = Scene::of(1);
        scene.setup.seed = seed;
        let mut rig = Rig::new(&scene);
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

#[test]
fn d4_digest_and_fuel_chain_are_functions_of_what_is_done() {
    let close = |program: crate::support::Prog| {
        let mut rig = Rig::new(&Scene::of(1));
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

#[test]
fn d1_where_a_payload_lies_never_shows() {
    // The same bytes reach agent 2 at once, out of the spill, or by a worker's lane.
    let headers = |workers: u32| {
        let mut scene = Scene::of(4);
        scene.limits().receive_max = 2;
        let mut rig = Rig::with_workers(&scene, workers);
        rig.tick();
        for agent in [0, 1, 3] {
            rig.tell(agent, prog().send_len(to(2), 3000).send_len(to(2), 1));
        }
        rig.tick();
        assert_eq!(rig.kernel.core().held(), (0, 0));
        (rig.seen(at(2)), rig.digests())
    };
    let reference = headers(0);
    assert_eq!(reference.0.len(), 6);
    assert_eq!(headers(1), reference);
    assert_eq!(headers(3), reference);
}

// ---- I: inference

#[test]
fn i1_replies_come_at_t_plus_l_in_request_order_over_all_models() {
    let mut scene = Scene::of(2);
    scene.model("slow", 3);
    scene.model("quick", 2);
    let mut rig = Rig::new(&scene);
    rig.tick();
    rig.tell(0, prog().infer(0, b"0001").infer(0, b"0002"));
    rig.tell(1, prog().infer(0, b"0003"));
    rig.tick();
    rig.tell(0, prog().infer(1, b"0004"));
    rig.settle(9);
    let order: Vec<_> = rig.sink.requests.iter().map(|(r, _)| (r.number, r.tick, r.due)).collect();
    assert_eq!(order, [(0, 1, 4), (1, 1, 4), (2, 1, 4), (3, 2, 4)]);
    let replies = rig.seen_kind(at(0), item::REPLY);
    assert_eq!(payloads(&replies), [b"1000", b"2000", b"4000"]);
    assert!(replies.iter().all(|s| (s.tick, s.header.code) == (4, 0)));
    assert_eq!(payloads(&rig.seen_kind(at(1), item::REPLY)), [b"3000"]);
    assert_eq!(rig.kernel.core().requests_pending(), 0);
}

#[test]
fn i1_missing_unexpected_and_swapped_replies_are_refused() {
    type Facts = Vec<(FactHeader, Vec<u8>)>;
    let facts = |change: &dyn Fn(&mut Facts), tick: u64| {
        let mut scene = Scene::of(1);
        scene.model("m", 2);
        let mut rig = Rig::new(&scene);
        rig.tick();
        rig.tell(0, prog().infer(0, b"0001").infer(0, b"0002"));
        rig.tick();
        rig.tick();
        let mut due = Vec::new();
        rig.kernel.core().requests_due(3, &mut due);
        let mut replies: Vec<_> = due.iter().map(|r| (reply_to(r), b"row1".to_vec())).collect();
        change(&mut replies);
        let mut builder = FactsBuilder::default();
        builder.begin(tick);
        replies.iter().for_each(|(header, row)| builder.push(*header, row));
        rig.feed(builder.finish()).map_err(|error| match error {
            TickError::Open(error) => error,
            other => panic!("{other:?}"),
        })
    };
    assert!(facts(&|_| (), 3).is_ok());
    type Replies = Vec<(FactHeader, Vec<u8>)>;
    let missing = facts(&|r: &mut Replies| drop(r.pop()), 3);
    assert!(
        matches!(missing, Err(OpenError::MissingReply { tick: 3, agent, .. }) if agent == at(0))
    );
    let swapped = facts(&|r: &mut Replies| r.swap(0, 1), 3);
    assert!(matches!(swapped, Err(OpenError::UnexpectedReply { .. })));
    let twice = facts(&|r: &mut Replies| r.push(r[1].clone()), 3);
    assert!(matches!(twice, Err(OpenError::UnexpectedReply { .. })));
    let other = facts(&|r: &mut Replies| r[0].0.c = 5, 3);
    assert!(matches!(other, Err(OpenError::UnexpectedReply { .. })));
    let longer = facts(&|r: &mut Replies| r[1].1 = vec![0; 5], 3);
    assert!(matches!(longer, Err(OpenError::Exceeds { tick: 3, .. })));
    let agent = facts(&|r: &mut Replies| r[0].0.a = to(7), 3);
    assert!(matches!(agent, Err(OpenError::UnexpectedReply { agent, .. }) if agent == at(7)));
}

#[test]
fn i3_a_full_kernel_and_a_failed_model_are_replies() {
    let mut scene = Scene::of(1);
    scene.model("m", 1);
    scene.limits().inferences_pending_max = 2;
    let mut rig = Rig::new(&scene);
    rig.tick();
    rig.tell(0, prog().infer(0, b"0001").infer(0, b"0002").infer(0, b"0003").infer(0, b"long!"));
    rig.tick();
    assert_eq!(rig.code(0), 0, "the refusal came in a later turn than the bad length");
    let refused = rig.seen_kind(at(0), item::REPLY);
    assert_eq!((refused.len(), refused[0].header.code), (1, Status::KernelFull as i32));
    let mut facts = FactsBuilder::default();
    facts.begin(2);
    let mut due = Vec::new();
    rig.kernel.core().requests_due(2, &mut due);
    assert_eq!(due.len(), 2);
    for request in &due {
        let code = Status::ModelFailed as i32;
        facts.push(FactHeader { code, ..reply_to(request) }, b"");
    }
    rig.feed(facts.finish()).expect("failed replies are facts");
    let codes: Vec<_> = rig.seen_kind(at(0), item::REPLY).iter().map(|s| s.header.code).collect();
    assert_eq!(codes[1..], [Status::ModelFailed as i32; 2]);
    rig.tell(0, prog().infer(0, b"0001").infer(0, b"0002"));
    rig.settle(5);
    assert_eq!(rig.seen_kind(at(0), item::REPLY).len(), 5, "the places are free again");
}

// ---- everything at once

/// Runs random programs and gives every digest; checks that nothing is left held.
fn random_run(seed: u64, choices: &[u64], workers: u32) -> (Vec<wasm_engine_abi::Digest>, Rig) {
    let mut scene = crate::support::everything(
        seed,
        [
            wasm_engine_setup::Schedule::Fifo,
            wasm_engine_setup::Schedule::RoundRobin,
            wasm_engine_setup::Schedule::Priority,
        ][seed as usize % 3],
    );
    scene.setup.agents.truncate(8);
    let mut rig = Rig::with_workers(&scene, workers);
    rig.tick();
    for (tick, choice) in choices.iter().enumerate() {
        let mut mix = Mix(*choice);
        for _ in 0..mix.below(5) {
            let program = random_program(&mut mix, 8);
            rig.tell(mix.below(8) as u32, program);
        }
        // Sometimes a tick is skipped, as far as nothing is due (T5).
        let next = rig.next_tick().unwrap_or(tick as u64 + 3);
        rig.tick_at(next.max(rig.kernel.core().tick() + 1));
    }
    (rig.digests(), rig)
}

/// Everything is taken in the end: agents are resumed and ended one by one.
fn drain(rig: &mut Rig) {
    let slots = rig.kernel.core().slots();
    let alive: Vec<u64> = (0..slots)
        .map(|index| rig.kernel.core().agent(index))
        .filter(|agent| agent.phase != Phase::Free)
        .map(|agent| agent.id.to_bits())
        .collect();
    // Agent 0 to 7 may all be gone; then nobody can end the others, and the run is over.
    let Some(&doer) = alive.iter().find(|id| (**id as u32) < 8 && **id >> 32 == 0) else { return };
    let doer = doer as u32;
    let resumes = alive.iter().fold(prog(), |p, id| p.resume(*id));
    for program in
        [resumes, alive.iter().filter(|id| **id != to(doer)).fold(prog(), |p, id| p.terminate(*id))]
    {
        rig.tell(doer, program);
        for _ in 0..20 {
            rig.tick();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn random_programs_give_equal_digests_anywhere_replay_as_live_and_leave_nothing(
        seed in 0u64..1000,
        choices in vec(any::<u64>(), 1..40),
    ) {
        let (digests, mut rig) = random_run(seed, &choices, 0);
        let (two, _) = random_run(seed, &choices, 2);
        assert_eq!(digests, two);
        // The recorded facts alone give the same again.
        let mut scene = crate::support::everything(seed, rig.kernel.core().setup().schedule);
        scene.setup.agents.truncate(8);
        let mut again = Rig::new(&scene);
        let log = rig.log.clone();
        for facts in &log {
            again.feed(facts).expect("they were facts");
        }
        assert_eq!(again.digests(), digests);
        drain(&mut rig);
        let core = rig.kernel.core();
        let queued: u32 = (0..core.slots()).map(|i| core.agent(i)).filter(|a| a.phase != Phase::Free).map(|a| a.inbox_items).sum();
        assert_eq!(core.held().0, queued, "what is held is what inboxes hold");
    }
}
