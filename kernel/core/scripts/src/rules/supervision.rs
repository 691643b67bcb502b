//! Faults and restarts of single agents (A8).

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::{fault, item};
use wasm_engine_core::Phase;

use crate::{Machine, OUT, Rig, Scene, at, prog, rules::fresh, to};

pub fn a7_3_a8_2_a8_6_never_means_the_end_and_the_faulted_turn_has_no_effect<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(2));
    rig.tick();
    rig.tell(0, prog().publish(OUT, b"lost").send(to(1), b"lost").trap());
    rig.tick();
    let core = rig.core();
    assert_eq!(core.agent(0).phase, Phase::Free);
    assert_eq!(core.agent(0).activity.last_fault, fault::UNREACHABLE);
    assert_eq!((core.stats().faults, core.stats().dead_letters), (1, 1));
    assert!(rig.sink.outputs.is_empty());
    rig.tell(1, prog().send(to(0), b"hello?"));
    rig.tick();
    assert_eq!(rig.seen_kind(at(1), item::OUTCOME)[0].header.code, Status::Gone as i32);
}

pub fn a8_4_a8_5_a8_7_a8_8_a8_9_a9_2_a9_5_fresh_restarts_keep_mail_and_stop_at_the_limit<
    M: Machine,
>() {
    let mut scene = Scene::of(1);
    scene.template("breaker", fresh(3, 2, 50));
    scene.agent(1, prog().count(OUT));
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for round in 0..3 {
        let tick = rig.core().tick() + 1;
        rig.tell(1, prog().count(OUT));
        rig.tell(1, prog().trap());
        rig.tell(1, prog().publish(OUT, b"kept"));
        rig.tick();
        if round == 2 {
            assert_eq!(rig.core().agent(1).phase, Phase::Free, "two restarts in 50 ticks");
            break;
        }
        assert_eq!(rig.core().agent(1).phase, Phase::Backoff(tick + 3));
        // In backoff it queues like a paused one.
        rig.tell(0, prog().send_prog(to(1), prog().publish(OUT, b"sent")));
        rig.tick();
        assert_eq!(rig.next_tick(), Some(tick + 3));
        rig.tick_at(tick + 3);
        let agent = rig.core().agent(1);
        assert_eq!((agent.incarnation, agent.phase), (round + 1, Phase::Active));
    }
    // A fresh count of 0 at each init, and what was left in the inbox.
    let texts: Vec<_> = rig.published(at(1), OUT).iter().map(|p| p.to_vec()).collect();
    let zero = 0u64.to_le_bytes().to_vec();
    let round = [zero.clone(), b"kept".to_vec(), b"sent".to_vec()];
    assert_eq!(texts, [vec![zero], round.to_vec(), round.to_vec()].concat());
}

pub fn t5_6_a8_8_restarts_outside_the_window_do_not_count<M: Machine>() {
    let mut scene = Scene::empty();
    scene.template("breaker", fresh(1, 1, 5));
    scene.agent(0, prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for _ in 0..4 {
        rig.tell(0, prog().trap());
        rig.tick();
        rig.tick();
        assert_eq!(rig.core().agent(0).phase, Phase::Active);
        rig.tick_at(rig.core().tick() + 5);
    }
    assert_eq!(rig.core().stats().restarts, 4);
}

pub fn a8_8_an_init_that_faults_is_supervised_too<M: Machine>() {
    let mut scene = Scene::empty();
    scene.template("breaker", fresh(1, 2, 50));
    scene.raw_agent(0, &prog().trap());
    let mut rig = Rig::<M>::new(&scene);
    rig.settle(10);
    assert_eq!(rig.core().stats().faults, 3);
    assert_eq!(rig.core().agents_alive(), 0);
}
