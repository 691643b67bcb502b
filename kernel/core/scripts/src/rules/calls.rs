//! Turns, host calls and what comes back from them (A1 to A7, A13).

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::item;
use wasm_engine_abi::page::event;
use wasm_engine_core::Phase;
use wasm_engine_setup::{Limits, Policy, Restart, SourceSetup, TopicSetup};

use crate::{
    CMD, LATEST, Machine, OUT, Prog, REFUSE, Rig, SELF, Scene, at, prog, rules::fresh,
    rules::shown, to,
};

pub fn a1_1_a_turn_receives_at_most_receive_max_items<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.limits().receive_max = 2;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for number in 0..5 {
        // A refused call shows in the code of the one agent_step behind the items.
        let wrong = if number == 2 { prog().publish(999, b"x") } else { prog() };
        rig.tell(0, wrong);
    }
    rig.tick();
    let turns = rig.events(&[event::TURN]).into_iter().filter(|event| event.tick == 1);
    let turns: Vec<_> = turns.map(|event| (event.microstep, event.b >> 32)).collect();
    assert_eq!(turns, [(1, 2), (2, 2), (3, 1)]);
    let steps: Vec<_> = rig.seen(at(0)).iter().map(|seen| seen.microstep).collect();
    assert_eq!(steps, [1, 1, 2, 2, 3]);
    assert_eq!(rig.code(0), 0, "the code of the last step alone");
}

pub fn a2_2_a_full_inbox_refuses_no_answer<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.model("m", 1);
    scene.limits().inbox_items_max = 1;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(0, prog().pause(to(1)).send(to(1), b"fills").send(to(1), b"one too many"));
    rig.tell(1, prog().timer(1, 3).infer(0, b"1234").terminate(to(40)));
    rig.tick();
    rig.tick();
    assert_eq!(rig.core().agent(1).inbox_items, 1);
    rig.tell(0, prog().resume(to(1)));
    rig.settle(5);
    let kinds: Vec<_> = rig.seen(at(1)).iter().skip(1).map(|s| s.header.kind).collect();
    assert_eq!(kinds, [item::MESSAGE, item::OUTCOME, item::REPLY, item::TIMER]);
    let refused = rig.seen_kind(at(0), item::OUTCOME);
    assert_eq!(refused[0].header.code, Status::InboxFull as i32);
}

pub fn a3_2_a_call_answers_without_regard_to_others<M: Machine>() {
    let sent = |before: Prog, set: fn(&mut Limits)| {
        let mut scene = Scene::of(3);
        set(scene.limits());
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        rig.tell(2, before);
        rig.tick();
        rig.tick();
        rig.tell(0, prog().send_len(to(1), 65).result(OUT));
        rig.settle(5);
        let answer = rig.published(at(0), OUT).remove(0);
        let outcomes = rig.seen_kind(at(0), item::OUTCOME);
        assert_eq!(rig.code(0), 0);
        (answer, outcomes.first().map_or(Status::Ok as i32, |seen| seen.header.code))
    };
    // Its own sequence: 0 subscribes, 1 echoes the order.
    let answer = 2_u64.to_le_bytes().to_vec();
    let full = prog().pause(to(1)).send(to(1), b"fills");
    let [ok, gone, inbox, kernel] =
        [Status::Ok, Status::Gone, Status::InboxFull, Status::KernelFull]
            .map(|status| (answer.clone(), status as i32));
    assert_eq!(sent(prog(), |_| ()), ok);
    assert_eq!(sent(prog().terminate(to(1)), |_| ()), gone);
    assert_eq!(sent(full.clone(), |limits| limits.inbox_items_max = 1), inbox);
    assert_eq!(sent(full, |limits| limits.payload_bytes_held_max = 128), kernel);
}

pub fn a3_4_of_several_reasons_the_first_is_the_answer<M: Machine>() {
    let answer = |program: Prog| {
        let mut scene = Scene::empty();
        scene.template("poor", Restart::Never);
        let rights = &mut scene.setup.templates[0].capabilities;
        rights.retain(|right| !["timer", "publish:**"].contains(&right.as_str()));
        scene.limits().effects_max = 2;
        scene.limits().answers_max = 1;
        scene.limits().microsteps_max = 1;
        scene.setup.topics.push(TopicSetup::new("orders", Policy::Refuse, false));
        scene.raw_agent(0, &prog().subscribe(CMD));
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        rig.tell(0, program);
        rig.tick();
        rig.code(0)
    };
    // Both effects of a turn without an answer; both and the only pending-call slot; the slot.
    let full = prog().leave("a").leave("a");
    let all = prog().send(to(9), b"").leave("a");
    let busy = prog().send(to(9), b"");
    assert_eq!(answer(prog().timer(0, 1)), shown(Status::Invalid), "it may not set timers either");
    assert_eq!(answer(full.clone().join("")), shown(Status::Invalid));
    assert_eq!(answer(prog().publish(999, b"")), shown(Status::Unknown), "nor publish");
    assert_eq!(answer(full.then(&prog().publish(OUT, b""))), shown(Status::Denied));
    assert_eq!(answer(all.send(to(9), b"")), shown(Status::Quota), "nor is a slot free");
    assert_eq!(answer(busy.send(to(9), b"")), shown(Status::Busy));
}

pub fn a1_4_each_call_has_fuel_of_its_own<M: Machine>() {
    // More than half of a call's fuel in each of two calls of a turn, then more than all of it.
    let faults = |programs: [Prog; 2]| {
        let mut rig = Rig::<M>::new(&Scene::of(1));
        rig.tick();
        for program in programs {
            rig.tell(0, program);
        }
        rig.tick();
        let turns = rig.events(&[event::TURN]).into_iter().filter(|event| event.tick == 1);
        assert_eq!(turns.map(|event| event.b >> 32).collect::<Vec<_>>(), [2], "one turn");
        rig.core().stats().faults
    };
    let half = || prog().flood(OUT, 5500, b"x");
    assert_eq!(faults([half(), half()]), 0);
    assert_eq!(faults([prog(), half().then(&half())]), 1);
}

pub fn a4_3_a_timer_has_one_item_at_the_open_of_its_tick<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(1));
    rig.tick();
    rig.tell(0, prog().timer(5, 50).timer(1, 10).timer(2, 20));
    rig.tick_at(3);
    rig.settle(20);
    assert_eq!(rig.next_tick(), None);
    let timers = rig.seen_kind(at(0), item::TIMER);
    // Sequence 1 is the echo.
    let seen: Vec<_> = timers
        .iter()
        .map(|s| (s.tick, s.header.microstep, s.header.from_seq, s.header.request))
        .collect();
    assert_eq!(seen, [(4, 0, 10, 3), (5, 0, 20, 4), (8, 0, 50, 2)]);
}

pub fn a4_10_an_outcome_for_an_address_that_is_gone_is_a_dead_letter<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.limits().inbox_items_max = 1;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(1, prog().subscribe(REFUSE));
    rig.tick();
    // The last turn publishes to a full inbox, so its message has an outcome.
    let fills = prog().pause(to(1)).send(to(1), b"fills");
    rig.tell(0, fills.farewell(REFUSE));
    rig.settle(3);
    let (dead, outcomes) = (rig.core().stats().dead_letters, rig.events(&[event::OUTCOME]).len());
    rig.tell(0, prog().terminate(SELF));
    rig.settle(3);
    assert_eq!(rig.core().agent(0).phase, Phase::Free);
    // That of terminate, too.
    assert_eq!(rig.events(&[event::OUTCOME]).len(), outcomes + 2, "digested");
    assert_eq!(rig.core().stats().dead_letters, dead + 2);
}

pub fn a5_7_what_strangers_do_shows_in_no_item<M: Machine>() {
    let run = |strangers: u32| {
        let mut scene = Scene::of(2 + strangers);
        scene.setup.sources.push(SourceSetup { id: "strangers".to_owned(), live: false });
        scene.model("m", 2);
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        for round in 0..4 {
            for stranger in 2..2 + strangers {
                let noise = prog().send(to(2), b"noise").publish(LATEST, b"noise").timer(1, 1);
                let topic = CMD + stranger;
                rig.input_from(1, topic, noise.infer(0, b"1234").bytes());
            }
            rig.tell(0, prog().send(to(1), &[round]).timer(2, 7).infer(0, b"1234"));
            rig.tell(1, prog().send(to(0), b"back").send(to(99), b"nobody"));
            rig.tick();
        }
        rig.settle(9);
        (rig.seen(at(0)), rig.seen(at(1)))
    };
    let (alone, among) = (run(0), run(3));
    assert!(alone.0.len() >= 12 && alone.1.len() >= 8);
    assert_eq!(alone, among);
}

pub fn a7_2_a_restart_keeps_the_address<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.template("breaker", fresh(2, 9, 50));
    scene.agent(1, prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(1, prog().trap());
    rig.tick();
    rig.tell(0, prog().send(to(1), b"to the same address"));
    rig.settle(9);
    let agent = rig.core().agent(1);
    assert_eq!((agent.id, agent.incarnation), (at(1), 1));
    let seen = rig.seen_kind(at(1), item::MESSAGE);
    assert_eq!((seen.len(), seen[0].tick), (1, 3));
}

pub fn a13_1_a_handle_is_the_position_in_the_configuration_for_everybody<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.model("first", 1);
    scene.model("second", 1);
    scene.template("other", Restart::Never);
    scene.agent(1, prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    let ask = prog().topic("latest").result(OUT).model("second").result(OUT);
    for agent in [0, 1] {
        rig.tell(agent, ask.clone());
    }
    rig.tick();
    let expected = [u64::from(LATEST), 1].map(|handle| handle.to_le_bytes().to_vec());
    assert_eq!(rig.published(at(0), OUT), expected);
    assert_eq!(rig.published(at(1), OUT), expected);
}
