//! The schedule order (Q).

use wasm_engine_abi::AgentId;
use wasm_engine_abi::page::event;
use wasm_engine_core::Phase;
use wasm_engine_setup::{Limits, Restart, Schedule};

use crate::{ECHO, Machine, OUT, Prog, Rig, SELF, Scene, at, prog, rules::fresh, to};

pub fn q1_3_an_agent_with_leftovers_comes_before_those_it_wakes<M: Machine>() {
    let mut scene = Scene::of(3);
    scene.limits().receive_max = 1;
    let mut rig = Rig::<M>::new(&scene);
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

pub fn q1_2_q1_3_who_is_planned_without_leftovers_gets_the_position_of_what_wakes_it<M: Machine>() {
    let order = |orders: [(u32, Prog); 2]| {
        let mut rig = Rig::<M>::new(&Scene::of(3));
        rig.tick();
        orders.into_iter().for_each(|(agent, order)| rig.tell(agent, order));
        rig.tick();
        let turns = rig.events(&[event::TURN]).into_iter().filter(|event| event.microstep == 2);
        turns.filter(|event| event.tick == 1).map(|event| event.subject).collect::<Vec<_>>()
    };
    // Planned are 0 and 1; the effects of 0 wake 1 before 2.
    let first = prog().send(to(1), b"a").send(to(2), b"b");
    assert_eq!(order([(0, first.clone()), (1, prog())]), [to(1), to(2)]);
    // The other way round 1 wakes 2 first, and 0 is awake before all of it.
    let second = prog().send(to(2), b"a").send(to(1), b"b");
    assert_eq!(order([(0, second.clone()), (1, prog())]), [to(2), to(1)]);
    assert_eq!(order([(0, second.send(SELF, b"c")), (1, prog())]), [to(2), to(1), to(0)]);
    // A later turn's message finds 0 without leftovers too.
    let late = prog().send(to(2), b"a").send(to(0), b"b");
    assert_eq!(order([(0, prog()), (1, late)]), [to(2), to(0)]);
}

pub fn q3_2_an_init_counts_with_all_its_calls<M: Machine>() {
    let mut scene = Scene::of(5);
    // A step of one item has two calls, so an init is what needs the most.
    scene.limits().receive_max = 1;
    scene.limits().fuel_per_microstep_max = 2 * 4 * 1_000_000 + 3_999_999;
    let mut rig = Rig::<M>::new(&scene);
    let close = rig.tick();
    assert_eq!((close.microsteps, close.turns), (3, 5), "two inits of four calls at a time");
}

pub fn q1_4_q3_1_q3_2_who_does_not_fit_keeps_its_position_over_microsteps_and_ticks<M: Machine>() {
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
        let mut rig = Rig::<M>::new(&scene);
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

pub fn q2_1_q2_2_q2_3_each_schedule_plans_in_its_order<M: Machine>() {
    let order = |schedule| {
        let mut scene = Scene::of(3);
        scene.setup.schedule = schedule;
        scene.template("urgent", Restart::Never);
        scene.setup.templates[1].priority = 5;
        scene.agent(1, prog());
        scene.limits().turns_per_microstep_max = 1;
        let mut rig = Rig::<M>::new(&scene);
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

pub fn q1_1_runnable_is_who_starts_has_items_or_stops_and_is_not_held_back<M: Machine>() {
    let mut scene = Scene::of(5);
    scene.template("breaker", fresh(5, 9, 50));
    scene.agent(1, prog());
    scene.limits().microsteps_max = 1;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // Of two new agents, 6 and 7, one is paused before its init.
    let born = prog().spawn("worker", &prog()).spawn("worker", &prog());
    let born = born.pause(AgentId::new(7, 0).to_bits());
    let orders = prog().send(to(1), b"x").send(to(2), b"x").send(to(5), b"x").pause(to(2));
    rig.tell(0, born.then(&orders).pause(to(3)).terminate(to(3)));
    rig.tell(5, prog().trap());
    rig.tick();
    assert_eq!(rig.core().agent(5).phase, Phase::Backoff(6));
    let items: Vec<_> = (0..6).map(|agent| rig.core().agent(agent).inbox_items).collect();
    assert_eq!(items, [0, 1, 1, 0, 0, 1], "outcomes are not counted");
    // 0 has outcomes, 1 a message, 6 starts, 3 stops though it is paused.
    assert_eq!(rig.core().runnable(), 4);
    rig.tick();
    let turns = rig.events(&[event::TURN]).into_iter().filter(|event| event.tick == 2);
    let mut turns: Vec<_> = turns.map(|event| event.subject).collect();
    turns.sort_unstable();
    assert_eq!(turns, [to(0), to(1), to(3), to(6)]);
}

pub fn q1_2_q1_5_more_items_move_nobody_but_a_pause_costs_the_position<M: Machine>() {
    let order = |orders: Prog| {
        let mut scene = Scene::of(4);
        scene.limits().turns_per_microstep_max = 1;
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        rig.tell(0, orders);
        for agent in [1, 2, 3] {
            rig.tell(agent, prog());
        }
        rig.tick();
        let turns = rig.events(&[event::TURN]).into_iter().filter(|event| event.tick == 1);
        turns.map(|event| event.subject as u32).collect::<Vec<_>>()
    };
    assert_eq!(order(prog().send(to(1), b"more").send(to(1), b"more")), [0, 1, 2, 3]);
    // The outcome of the pause comes before the resume.
    assert_eq!(order(prog().pause(to(1)).resume(to(1))), [0, 2, 3, 0, 1]);
}
