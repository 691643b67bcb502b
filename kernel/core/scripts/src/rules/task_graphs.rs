//! Random graphs of tasks (A12).

use std::collections::BTreeMap;

use wasm_engine_abi::{
    AgentId,
    page::event,
    record::{Facts, action},
    task::{TaskHeader, TaskId, TaskParts, task_state},
};
use wasm_engine_setup::{Restart, Schedule};

use crate::{
    Machine, Mix, OUT, Rig, Scene, prog,
    rules::fresh,
    rules::tasks::{ends, plain, task},
    to,
};

/// A random graph of tasks over some agents that fail, restart, end and are paused.
fn graph<M: Machine>(seed: u64, schedule: Schedule, workers: u32) -> Rig<M> {
    let mut mix = Mix(seed);
    let mut scene = Scene::empty();
    scene.setup.schedule = schedule;
    scene.setup.seed = seed;
    scene.template("worker", fresh(2, 9, 9));
    scene.template("other", Restart::Never);
    scene.limits().turns_per_microstep_max = 3;
    scene.limits().microsteps_max = 4;
    scene.limits().agent_tasks_max = 16;
    for agent in 0..6 {
        scene.agent(agent % 2, prog());
    }
    let mut rig = Rig::<M>::with_workers(&scene, workers);
    rig.tick();
    // Sequences of the commands that scheduled tasks.
    let (mut commands, mut tasks) = (0, Vec::<u64>::new());
    for tick in 0..30 {
        for _ in 0..mix.below(5) {
            let last = tasks.len().min(9) as u64;
            let after: Vec<_> = (0..mix.below(4).min(last))
                .map(|_| TaskId::of_host(tasks[tasks.len() - 1 - mix.below(last) as usize]))
                .collect();
            tasks.push(commands);
            commands += 1;
            let header = TaskHeader {
                priority: mix.below(7) as i32 - 3,
                attempts: 1 + mix.below(3) as u32,
                on_failure: mix.below(3) as u32,
                after: 0,
            };
            let program = match mix.below(9) {
                0 => prog().trap(),
                1 | 2 => prog().code(3),
                3 => prog().schedule(to(mix.below(6) as u32), &plain(&[], b"child")),
                _ => prog().random(OUT).publish(OUT, b"done"),
            };
            let bytes = task(header, &after, program.bytes());
            rig.command(action::SCHEDULE, to(mix.below(6) as u32), &bytes);
        }
        let (agent, what) = (mix.below(6) as u32, mix.below(12));
        commands += u64::from(what < 4 || what == 4 && tick > 20);
        match what {
            0 => rig.command(action::PAUSE, to(agent), b""),
            1..4 => rig.command(action::RESUME, to(agent), b""),
            4 if tick > 20 => rig.command(action::TERMINATE, to(agent), b""),
            5 => rig.tell(agent, prog().trap()),
            6 => rig.tell(agent, prog().schedule(to(mix.below(6) as u32), &plain(&[], b"mine"))),
            _ => rig.tell(agent, prog().count(OUT)),
        }
        rig.tick();
    }
    (0..6).for_each(|agent| rig.command(action::RESUME, to(agent), b""));
    rig.settle(200);
    rig
}

pub fn a12_3_t4_3_l6_1_random_graphs_are_topological_equal_anywhere_and_end<M: Machine>() {
    let mut endings = BTreeMap::<u32, u32>::new();
    for (seed, schedule) in
        (0..12).zip([Schedule::Fifo, Schedule::RoundRobin, Schedule::Priority].into_iter().cycle())
    {
        let rig = graph::<M>(seed, schedule, 0);
        for workers in [1, 2] {
            let other = graph::<M>(seed, schedule, workers);
            assert_eq!(other.digests(), rig.digests(), "seed {seed}, {workers} workers");
        }
        ends(&rig).values().for_each(|end| *endings.entry(end.0).or_default() += 1);
        check_graph(&rig, seed);
    }
    for state in [task_state::DONE, task_state::FAILED, task_state::SKIPPED, task_state::CANCELLED]
    {
        assert!(endings.get(&state).is_some_and(|count| *count >= 10), "{endings:?}");
    }
}

/// No task runs or is given up before all that it waits for have ended, each accepted one ends
/// once, and nothing is left.
fn check_graph<M: Machine>(rig: &Rig<M>, seed: u64) {
    let scheduled: Vec<_> = rig.events(&[event::TASK_SCHEDULED]);
    let ended = rig.events(&[event::TASK_ENDED]);
    assert_eq!(scheduled.len(), ended.len(), "seed {seed}");
    let mut ended_as = BTreeMap::new();
    for (at, end) in ended.iter().enumerate() {
        assert_eq!(ended_as.insert((end.subject, end.a), at), None, "seed {seed}: ended twice");
    }
    // The facts say who waits for whom.
    let mut waits = 0;
    for facts in &rig.log {
        let facts = Facts::parse(facts).expect("well-formed");
        for fact in facts.iter().filter(|f| f.header.c == action::SCHEDULE) {
            let Some(own) = ended_as.get(&(AgentId::NONE.to_bits(), fact.header.a)) else {
                continue;
            };
            let Some(parts) = TaskParts::parse(fact.payload, 32) else {
                continue;
            };
            for after in parts.after() {
                let before = ended_as.get(&(after.agent, after.seq)).expect("it ended");
                assert!(before < own, "seed {seed}: {after:?} before {}", fact.header.a);
                waits += 1;
            }
        }
    }
    assert!(waits >= 8, "seed {seed}: {waits} waited");
    let stats = rig.core().stats();
    assert_eq!((stats.tasks_blocked, stats.tasks_ready, rig.core().held()), (0, 0, (0, 0)));
}
