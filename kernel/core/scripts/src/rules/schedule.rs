//! The schedule order (Q).

use wasm_engine_setup::{Limits, Restart, Schedule};

use crate::{ECHO, Machine, OUT, Rig, Scene, at, prog, to};

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
