//! Restart groups (A8).

use wasm_engine_abi::AgentId;
use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::item;
use wasm_engine_core::Phase;
use wasm_engine_setup::Restart;

use crate::{ECHO, Machine, OUT, Rig, Scene, at, prog, rules::fresh, to};

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

fn phases<M: Machine>(rig: &Rig<M>) -> Vec<Phase> {
    (0..4).map(|index| rig.core().agent(index).phase).collect()
}

pub fn a8_10_a8_11_a8_12_a9_2_a9_3_a9_4_a_group_restarts_together_and_keeps_its_mail<M: Machine>() {
    let run = |workers: u32| {
        let mut rig = Rig::<M>::with_workers(&grouped(fresh(3, 5, 50)), workers);
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
        let stopped = Phase::Backoff(5);
        assert_eq!(phases(&rig), [stopped, stopped, stopped, Phase::Active]);
        // Their memory is given back; agent 3 and the child of 0 have some.
        assert_eq!(rig.instances(), 2);
        assert_eq!(rig.next_tick(), Some(5));
        rig.settle(20);
        rig
    };
    let rig = run(0);
    let core = rig.core();
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
    let mut again = Rig::<M>::new(&grouped(fresh(3, 5, 50)));
    for facts in &rig.log {
        again.feed(facts).expect("they were facts");
    }
    assert_eq!(again.digests(), rig.digests(), "replay as live");
}

pub fn a8_12_a8_13_a8_15_a10_6_a_group_counts_one_restart_for_all_and_ends_over_the_limit<
    M: Machine,
>() {
    let mut rig = Rig::<M>::new(&grouped(fresh(1, 2, 50)));
    rig.tick();
    for round in 1..=2 {
        // Two members fault in one commit: one stop, one restart.
        rig.tell(round % 3, prog().trap());
        rig.tell((round + 1) % 3, prog().trap());
        rig.tick();
        rig.tick();
        assert_eq!(phases(&rig), [Phase::Active; 4], "restart {round} of 2");
    }
    assert_eq!(rig.core().stats().faults, 4);
    rig.tell(0, prog().farewell(OUT).send(to(2), b"dead"));
    rig.tick();
    rig.tell(1, prog().trap());
    rig.tick();
    let over = [Phase::Free, Phase::Free, Phase::Free, Phase::Active];
    assert_eq!(phases(&rig), over, "the third is one too many");
    assert_eq!(rig.instances(), 1);
    assert!(rig.published(at(0), OUT).iter().all(|text| text.len() == 8), "A10: no farewell");
    assert_eq!(rig.core().held(), (0, 0));
    rig.tell(3, prog().send(to(0), b"late").spawn("member", &prog()));
    rig.settle(5);
    let codes: Vec<_> = rig.seen_kind(at(3), item::OUTCOME).iter().map(|s| s.header.code).collect();
    assert_eq!(codes, [Status::Gone as i32, 0]);

    let mut rig = Rig::<M>::new(&grouped(Restart::Never));
    rig.tick();
    rig.tell(2, prog().trap());
    rig.settle(5);
    assert_eq!(phases(&rig), over, "never: they end together");
}

pub fn a8_14_a8_16_a10_5_a_group_stops_its_members_in_every_phase_but_stopping<M: Machine>() {
    // Paused: it is stopped, and stays paused through its restart.
    let mut rig = Rig::<M>::new(&grouped(fresh(2, 5, 50)));
    rig.tick();
    rig.tell(3, prog().pause(to(0)));
    rig.tick();
    rig.tell(1, prog().trap());
    rig.tick();
    rig.settle(9);
    let agent = rig.core().agent(0);
    assert_eq!((agent.phase, agent.paused, agent.incarnation), (Phase::Starting, true, 1));
    rig.tell(3, prog().resume(to(0)));
    rig.settle(9);
    assert_eq!(phases(&rig), [Phase::Active; 4]);

    // Starting: an init that was not planned yet waits for the restart of all.
    let mut scene = grouped(fresh(2, 5, 50));
    scene.limits().turns_per_microstep_max = 1;
    scene.setup.agents[0].args = prog().trap().args();
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    let stopped = Phase::Backoff(2);
    assert_eq!(phases(&rig), [stopped, stopped, stopped, Phase::Active]);
    assert!(rig.sink.outputs.is_empty(), "1 and 2 have not begun");

    // Stopping: who was told to end is no member any more, nor does its last turn's fault matter.
    let mut rig = Rig::<M>::new(&grouped(fresh(2, 5, 50)));
    rig.tick();
    rig.tell(0, prog().farewell(OUT));
    rig.tick();
    rig.tell(3, prog().terminate(to(0)));
    rig.tell(1, prog().trap());
    rig.tick();
    assert_eq!(rig.published(at(0), OUT).len(), 2, "init and farewell");
    let stopped = Phase::Backoff(4);
    assert_eq!(phases(&rig), [Phase::Free, stopped, stopped, Phase::Active]);
    rig.settle(9);
    assert_eq!(phases(&rig), [Phase::Free, Phase::Active, Phase::Active, Phase::Active]);

    // In backoff: a member that is ended there leaves; the others restart.
    rig.tell(1, prog().trap());
    rig.tick();
    rig.tell(3, prog().terminate(to(2)));
    rig.settle(9);
    assert_eq!(phases(&rig), [Phase::Free, Phase::Active, Phase::Free, Phase::Active]);
}

pub fn a8_16_spawned_agents_are_in_no_group<M: Machine>() {
    let mut rig = Rig::<M>::new(&grouped(fresh(2, 5, 50)));
    rig.tick();
    rig.tell(0, prog().spawn("member", &prog().echo(ECHO)));
    rig.tick();
    let child = AgentId::new(4, 0);
    rig.tell(1, prog().trap());
    rig.tell(3, prog().send_prog(child.to_bits(), prog().trap()));
    rig.tick();
    let core = rig.core();
    assert_eq!(core.agent(4).phase, Phase::Backoff(4), "by its own fault, with its own limit");
    rig.tell(1, prog().trap());
    rig.settle(9);
    assert_eq!(rig.core().agent(4).incarnation, 1);
    assert_eq!(rig.core().agent(1).incarnation, 2);
}

pub fn d5_3_the_state_of_an_agent_that_stopped_with_its_group_is_no_state<M: Machine>() {
    // A state digest in the tick of the stop and in every one after it.
    let run = |workers: u32| {
        let mut scene = grouped(fresh(3, 5, 50));
        scene.setup.state_digest_ticks = 1;
        let mut rig = Rig::<M>::with_workers(&scene, workers);
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
