//! What enters a tick, and tick 0 (T1 to T9).

use wasm_engine_abi::frame::item;
use wasm_engine_abi::page::event;
use wasm_engine_core::{OpenError, Phase};
use wasm_engine_setup::{Limits, Restart};

use crate::{
    DROP_OLDEST, FROM, Machine, OUT, REFUSE, Rig, SELF, Scene, at, prog, rules::fresh, to,
};

pub fn t1_1_microsteps_are_numbered_from_1_in_each_tick<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(1));
    rig.tick();
    for tick in [1, 4] {
        rig.tell(0, prog().send_prog(SELF, prog().send_prog(SELF, prog())));
        assert_eq!(rig.tick_at(tick).microsteps, 3);
    }
    let seen = rig.seen(at(0));
    let moments: Vec<_> =
        seen.iter().map(|s| (s.header.tick, s.header.microstep, s.microstep)).collect();
    assert_eq!(moments, [(1, 0, 1), (1, 1, 2), (1, 2, 3), (4, 0, 1), (4, 1, 2), (4, 2, 3)]);
}

pub fn t1_2_what_is_counted_in_ticks_does_not_count_microsteps<M: Machine>() {
    let run = |exchanges: u32| {
        let mut scene = Scene::empty();
        scene.template("breaker", fresh(3, 1, 3));
        scene.template("worker", Restart::Never);
        for agent in 0..4 {
            scene.agent(u32::from(agent > 0), prog());
        }
        scene.model("m", 3);
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        let talk = (0..exchanges).fold(prog(), |inner, _| prog().send_prog(FROM, inner));
        rig.tell(0, prog().trap());
        rig.tell(1, prog().timer(3, 7).infer(0, b"1234"));
        rig.tell(2, prog().send_prog(to(3), talk));
        let microsteps = rig.tick().microsteps;
        rig.tell(0, prog().trap());
        rig.tick_at(4);
        assert_eq!(rig.core().agent(0).phase, Phase::Backoff(7), "the window of 3 is over");
        rig.settle(9);
        let kinds = [event::TIMER, event::RESTARTED, event::BACKOFF, event::FAULTED];
        let events = rig.events(&kinds).into_iter().map(|event| (event.tick, event.kind));
        let replies: Vec<_> = rig.seen_kind(at(1), item::REPLY).iter().map(|s| s.tick).collect();
        (microsteps, events.collect::<Vec<_>>(), replies)
    };
    let (few, many) = (run(0), run(12));
    assert_eq!((few.0, many.0), (2, 14));
    assert_eq!((few.1, few.2), (many.1, many.2));
}

pub fn t2_1_a_tick_is_an_open_its_microsteps_and_a_close<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(1));
    rig.tick();
    rig.tell(0, prog().send_prog(SELF, prog()));
    rig.tick();
    rig.tick();
    let kinds = [event::TICK_OPEN, event::MICROSTEP, event::TICK_CLOSE];
    let parts: Vec<_> =
        rig.events(&kinds).iter().map(|event| (event.kind, event.tick, event.microstep)).collect();
    let [open, microstep, close] = kinds;
    let expected = [
        (open, 0, 0),
        (microstep, 0, 1),
        (close, 0, 1),
        (open, 1, 0),
        (microstep, 1, 1),
        (microstep, 1, 2),
        (close, 1, 2),
        // Nobody is runnable: a tick without a microstep, which is closed all the same.
        (open, 2, 0),
        (close, 2, 0),
    ];
    assert_eq!(parts, expected);
    assert_ne!(rig.closes[1].digest, rig.closes[2].digest);
}

pub fn t3_3_what_comes_later_in_an_open_sees_what_came_before<M: Machine>() {
    let mut scene = Scene::empty();
    scene.template("breaker", fresh(3, 9, 50));
    scene.agent(0, prog());
    scene.model("m", 3);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // It asks, then faults: both end in tick 5.
    rig.tell(0, prog().infer(0, b"1234").send_prog(SELF, prog().trap()));
    rig.tick_at(2);
    assert_eq!(rig.next_tick(), Some(5));
    rig.tell(0, prog().publish(OUT, b"new"));
    rig.tick_at(5);
    let kinds = [event::RESTARTED, event::REPLY_DROPPED, event::INPUT];
    let order: Vec<_> =
        rig.events(&kinds).iter().filter(|e| e.tick == 5).map(|event| event.kind).collect();
    assert_eq!(order, kinds, "the reply finds the new incarnation");
    let new: Vec<_> = rig.sink.outputs.iter().filter(|out| out.payload == b"new").collect();
    assert_eq!((new.len(), new[0].tick, new[0].microstep), (1, 5, 2), "after the init");
}

pub fn t4_1_who_takes_a_turn_with_what_is_fixed_before_any_turn_runs<M: Machine>() {
    let mut rig = Rig::<M>::with_workers(&Scene::of(3), 1);
    rig.tick();
    rig.tell(2, prog().send(to(1), b"later").send(to(0), b"later"));
    rig.tell(1, prog());
    rig.tick();
    let turns = rig.events(&[event::TURN]).into_iter().filter(|event| event.tick == 1);
    let turns: Vec<_> =
        turns.map(|event| (event.microstep, event.subject, event.b >> 32)).collect();
    assert_eq!(turns, [(1, to(2), 1), (1, to(1), 1), (2, to(1), 1), (2, to(0), 1)]);
}

pub fn t5_5_a_reply_names_its_tick_though_nobody_waits_for_it<M: Machine>() {
    let asked = || {
        let mut scene = Scene::of(2);
        scene.model("m", 9);
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        rig.tell(0, prog().infer(0, b"1234").terminate(SELF));
        rig.tick();
        assert_eq!(rig.core().agent(0).phase, Phase::Free);
        assert_eq!((rig.next_tick(), rig.core().requests_pending()), (Some(10), 1));
        rig
    };
    let mut rig = asked();
    rig.tick_at(10);
    assert_eq!(rig.events(&[event::REPLY_DROPPED]).len(), 1);
    assert_eq!((rig.next_tick(), rig.core().requests_pending()), (None, 0));
    let mut rig = asked();
    rig.facts.begin(10);
    let facts = rig.facts.finish().to_vec();
    let refused = rig.feed(&facts).expect_err("the reply is missing");
    assert!(matches!(refused, OpenError::MissingReply { tick: 10, .. }), "{refused:?}");
}

pub fn t7_5_c2_6_an_input_goes_to_the_subscribers_in_order_under_the_topics_policy<M: Machine>() {
    let run = |topic: u32| {
        let mut scene = Scene::of(4);
        scene.limits().inbox_items_max = 1;
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        for agent in [2, 0, 1, 3] {
            rig.tell(agent, prog().subscribe(topic));
            rig.tick();
        }
        rig.tell(2, prog().pause(to(0)));
        rig.tell(3, prog().unsubscribe(topic));
        rig.tick();
        let before = rig.machine.events().len();
        for text in [b"one", b"two"] {
            rig.input(topic, text);
            rig.tick();
        }
        let kinds = [event::INPUT, event::REFUSED, event::DROPPED];
        let events = &rig.machine.events()[before..];
        let events: Vec<_> = events
            .iter()
            .filter(|event| kinds.contains(&event.kind))
            .map(|event| (event.kind, event.subject as u32))
            .collect();
        let outcomes = (0..4).flat_map(|agent| rig.seen_kind(at(agent), item::OUTCOME)).count();
        assert_eq!(outcomes, 1, "of the pause alone");
        rig.tell(2, prog().resume(to(0)));
        rig.settle(9);
        let stats = rig.core().stats();
        let kept = rig.seen(at(0)).pop().expect("it received the input").payload;
        (events, kept, stats.refused, stats.dropped)
    };
    let [input, refused, dropped] = [event::INPUT, event::REFUSED, event::DROPPED];
    let first = [(input, 2), (input, 0), (input, 1)];
    let second = [(input, 2), (refused, 0), (input, 1)];
    assert_eq!(run(REFUSE), ([first, second].concat(), b"one".to_vec(), 1, 0));
    let second = [(input, 2), (dropped, 0), (input, 0), (input, 1)];
    assert_eq!(run(DROP_OLDEST), ([&first[..], &second].concat(), b"two".to_vec(), 0, 1));
}

pub fn t8_5_who_is_paused_or_ended_before_its_init_takes_no_turn_in_tick_0<M: Machine>() {
    let mut scene = Scene::empty();
    scene.template("worker", Restart::Never);
    scene.limits().turns_per_microstep_max = 1;
    scene.agent(0, prog().publish(OUT, b"0").pause(to(1)).terminate(to(2)));
    for text in [b"1", b"2", b"3"] {
        scene.agent(0, prog().publish(OUT, text));
    }
    let mut rig = Rig::<M>::new(&scene);
    assert_eq!((rig.tick().turns, rig.core().agents_alive()), (2, 3));
    assert_eq!(rig.core().agent(2).phase, Phase::Free);
    let agent = rig.core().agent(1);
    assert_eq!((agent.phase, agent.paused), (Phase::Starting, true));
    rig.tell(0, prog().resume(to(1)));
    rig.settle(9);
    let texts: Vec<_> = rig
        .sink
        .outputs
        .iter()
        .filter(|o| o.topic == OUT)
        .map(|o| (o.tick, o.payload[0]))
        .collect();
    assert_eq!(texts, [(0, b'0'), (0, b'3'), (1, b'1')]);
}

pub fn t9_1_items_of_paused_agents_do_not_hold_a_run<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(2));
    rig.tick();
    rig.tell(0, prog().pause(to(1)).send(to(1), b"waits"));
    rig.settle(9);
    assert_eq!(rig.core().agent(1).inbox_items, 1);
    assert_eq!(rig.next_tick(), None);
}

pub fn t4_3_a_turn_with_as_many_items_and_effects_as_limits_allow_runs_on_any_lane<M: Machine>() {
    const MANY: u32 = 8_250;
    let run = |workers: u32| {
        let mut scene = Scene::of(3);
        for template in &mut scene.setup.templates {
            template.fuel_per_call = 100_000_000;
        }
        *scene.limits() = Limits {
            inbox_items_max: 1 << 16,
            inbox_bytes_max: 1 << 20,
            receive_max: 1 << 16,
            answers_max: 1 << 16,
            effects_max: 1 << 16,
            payload_bytes_max: 1 << 20,
            payload_bytes_per_microstep_max: 4 << 20,
            effects_per_microstep_max: 3 << 16,
            fuel_per_call: 100_000_000,
            fuel_per_microstep_max: 1 << 60,
            ..scene.limits().clone()
        };
        let mut rig = Rig::<M>::with_workers(&scene, workers);
        rig.tick();
        // Agent 1 sends, agent 2 receives them in one turn.
        rig.tell(2, prog().subscribe(REFUSE));
        rig.tick();
        rig.tell(1, prog().flood(REFUSE, MANY.into(), b"x"));
        rig.tick();
        let turns = rig.events(&[event::TURN]);
        let counts: Vec<_> = turns.iter().map(|turn| (turn.b >> 32, turn.b as u32)).collect();
        assert!(counts.iter().any(|(_, effects)| *effects >= MANY), "{counts:?}");
        assert!(counts.iter().any(|(items, _)| *items >= MANY.into()), "{counts:?}");
        assert_eq!(rig.core().stats().faults, 0);
        rig.digests()
    };
    let alone = run(0);
    assert_eq!(run(2), alone);
}
