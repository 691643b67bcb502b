//! Save points and the restart from them (A8, A9).

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::item;
use wasm_engine_abi::page::event;
use wasm_engine_core::Phase;
use wasm_engine_setup::Restart;

use crate::{Machine, OUT, Rig, Scene, at, prog, rules::fresh, to};

fn saved(save_every_turns: u32) -> Restart {
    Restart::Saved { backoff_ticks: 2, restarts_max: 3, window_ticks: 100, save_every_turns }
}

fn scene(restart: Restart) -> Scene {
    let mut scene = Scene::empty();
    scene.template("saver", restart);
    scene.agent(0, prog());
    scene
}

/// What an agent published, as numbers.
fn counts<M: Machine>(rig: &Rig<M>, agent: u32) -> Vec<u64> {
    let numbers = rig.published(at(agent), OUT);
    numbers.iter().map(|n| u64::from_le_bytes(n[..].try_into().expect("8 bytes"))).collect()
}

pub fn a8_17_a9_6_a9_7_a_restart_goes_back_to_the_save_point_and_says_so<M: Machine>() {
    for workers in [0, 1, 2] {
        let mut rig = Rig::<M>::with_workers(&scene(saved(0)), workers);
        rig.tick();
        // The counter of items is part of the state: 1, then 2 is saved, then 3 is lost.
        rig.tell(0, prog().count(OUT));
        rig.tick();
        rig.tell(0, prog().count(OUT).save());
        rig.tick();
        rig.tell(0, prog().count(OUT));
        rig.tick();
        rig.tell(0, prog().trap());
        rig.tick();
        assert_eq!(rig.core().agent(0).phase, Phase::Backoff(6));
        rig.tick_at(6);
        let agent = rig.core().agent(0);
        assert_eq!((agent.phase, agent.incarnation), (Phase::Active, 1));
        // The item `restarted` is the third of the state that was saved.
        rig.tell(0, prog().count(OUT));
        rig.tick();
        assert_eq!(counts(&rig, 0), [1, 2, 3, 4]);
        let first = &rig.seen_kind(at(0), item::RESTARTED)[0];
        assert_eq!((first.tick, first.header.from_seq, first.header.microstep), (6, 2, 0));
        assert_eq!(rig.seen_kind(at(0), item::RESTARTED).len(), 1);
        let kinds = [event::SAVED, event::RESTARTED, event::RESTORED];
        let events: Vec<_> = rig.events(&kinds).iter().map(|e| (e.kind, e.tick, e.a)).collect();
        let restarted = [(event::RESTARTED, 6, 1), (event::RESTORED, 6, 2)];
        assert_eq!(events, [&[(event::SAVED, 2, 0)], &restarted[..]].concat());
    }
}

pub fn a9_6_save_points_come_by_turns_or_by_the_call_and_never_from_a_fault<M: Machine>() {
    // Turns 3 and 6, the init being the first; the call in turn 4; none of the fault in turn 5.
    let mut rig = Rig::<M>::new(&scene(saved(3)));
    rig.tick();
    for program in [prog(), prog(), prog().save(), prog().save().trap()] {
        rig.tell(0, program);
        rig.tick();
    }
    rig.tick_at(6);
    // A new incarnation counts anew: turn 1 took the item `restarted`.
    for _ in 0..3 {
        rig.tell(0, prog());
        rig.tick();
    }
    let ticks: Vec<_> = rig.events(&[event::SAVED]).iter().map(|event| event.tick).collect();
    assert_eq!(ticks, [2, 3, 8]);
}

pub fn a8_17_a9_7_without_a_save_point_a_restart_is_fresh<M: Machine>() {
    let mut rig = Rig::<M>::new(&scene(saved(0)));
    rig.tick();
    rig.tell(0, prog().trap());
    rig.tick();
    rig.tick_at(3);
    rig.tell(0, prog().count(OUT));
    rig.tick();
    assert_eq!(rig.core().agent(0).incarnation, 1);
    assert_eq!(counts(&rig, 0), [1], "its init ran, and nothing was received before");
    assert!(rig.seen_kind(at(0), item::RESTARTED).is_empty());
}

pub fn a9_6_a3_2_who_does_not_restart_from_save_points_may_not_save<M: Machine>() {
    for restart in [Restart::Never, fresh(1, 1, 1)] {
        let mut rig = Rig::<M>::new(&scene(restart));
        rig.tick();
        rig.tell(0, prog().save());
        rig.tick();
        assert_eq!(rig.code(0), -(Status::Denied as i32));
        assert!(rig.events(&[event::SAVED]).is_empty());
    }
}

pub fn a9_7_what_the_old_incarnation_waited_for_is_dropped_and_mail_stays<M: Machine>() {
    let mut rig = Rig::<M>::new(&scene(saved(0)));
    rig.tick();
    rig.tell(0, prog().save().timer(3, 7).timer(9, 8));
    rig.tick();
    rig.tell(0, prog().trap());
    rig.tell(0, prog().publish(OUT, b"mail stays"));
    rig.tick();
    rig.tick_at(4);
    rig.settle(20);
    assert!(rig.seen_kind(at(0), item::TIMER).is_empty(), "timers of the old one are dropped");
    assert_eq!(rig.published(at(0), OUT), [b"mail stays".to_vec()]);
    let kinds: Vec<_> = rig.seen(at(0)).iter().map(|seen| seen.header.kind).collect();
    assert_eq!(kinds.last_chunk(), Some(&[item::RESTARTED, item::INPUT]), "in this order");
}

pub fn a9_8_a_save_point_ends_with_its_agent<M: Machine>() {
    let mut scene = scene(saved(1));
    scene.agent(0, prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(1, prog().terminate(to(0)).spawn("saver", &prog()));
    rig.tick();
    rig.tell(1, prog().spawn("saver", &prog().trap()));
    rig.tick();
    // In the slot of the one that ended: its init faults, and what begins again is fresh.
    let restarted = |rig: &Rig<M>| rig.core().agent(0).incarnation;
    let tick = rig.core().tick();
    rig.tick_at(tick + 2);
    assert_eq!((restarted(&rig), rig.core().agent(0).id.generation()), (1, 1));
    assert!(rig.events(&[event::RESTORED]).is_empty());
}

pub fn a8_12_a9_7_members_of_a_group_go_back_each_to_its_own<M: Machine>() {
    for workers in [0, 1, 2] {
        let mut scene = scene(saved(0));
        scene.agent(0, prog());
        scene.agent(0, prog());
        scene.group("g", &[0, 1, 2]);
        let mut rig = Rig::<M>::with_workers(&scene, workers);
        rig.tick();
        for (agent, program) in [(0, prog().save()), (1, prog()), (1, prog().save())] {
            rig.tell(agent, program);
            rig.tick();
        }
        rig.tell(0, prog().trap());
        rig.tick();
        rig.tick_at(6);
        for agent in 0..3 {
            rig.tell(agent, prog().count(OUT));
        }
        rig.tick();
        // What was saved, the item `restarted`, the question; the third has no save point.
        assert_eq!([0, 1, 2].map(|agent| counts(&rig, agent)), [vec![3], vec![4], vec![1]]);
    }
}
