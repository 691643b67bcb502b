//! What a restart drops, how agents end, pausing (A9, A10, C1).

use wasm_engine_abi::AgentId;
use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::item;
use wasm_engine_abi::page::event;
use wasm_engine_core::Phase;

use crate::{CMD, ECHO, Machine, OUT, REFUSE, Rig, SELF, Scene, at, prog, rules::fresh, to};

pub fn a9_3_a9_4_answers_timers_and_replies_of_the_old_incarnation_are_dropped<M: Machine>() {
    for backoff in [1, 4] {
        let mut scene = Scene::of(1);
        scene.model("m", 2);
        scene.template("breaker", fresh(backoff, 9, 50));
        scene.agent(1, prog());
        let mut rig = Rig::<M>::new(&scene);
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

pub fn a1_3_a10_2_a10_3_a10_4_terminate_drops_mail_and_gives_one_last_turn<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(3));
    rig.tick();
    rig.tell(1, prog().farewell(OUT));
    rig.tick();
    // Both act in one microstep: pass 1 delivers 2's message, pass 3 ends 1.
    rig.tell(0, prog().terminate(to(1)));
    rig.tell(2, prog().send(to(1), b"dead"));
    let dead = rig.core().stats().dead_letters;
    rig.tick();
    let last: Vec<_> = rig.sink.outputs.iter().filter(|o| o.topic == OUT).collect();
    assert_eq!((last.len(), last[0].from, last[0].microstep), (1, at(1), 2));
    assert_eq!(rig.core().stats().dead_letters, dead + 1);
    assert!(rig.seen_kind(at(2), item::OUTCOME).is_empty(), "dead letters have no outcome");
    assert_eq!(rig.core().agent(1).phase, Phase::Free);
    // It left its topic: nobody hears the input.
    rig.input(CMD + 1, b"to nobody");
    let messages = rig.core().stats().messages;
    rig.tick();
    assert_eq!(rig.core().stats().messages, messages);
}

pub fn a10_4_a10_7_an_agent_can_end_itself_and_its_last_turn_may_fault<M: Machine>() {
    for code in [0, 7, -7] {
        let mut scene = Scene::empty();
        scene.template("worker", fresh(1, 9, 50));
        scene.agent(0, prog());
        scene.agent(0, prog());
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        let last = prog().farewell(OUT).shutdown_code(code).terminate(SELF);
        rig.tell(0, last.spawn("worker", &prog().echo(ECHO)));
        rig.settle(5);
        let faults = u64::from(code < 0);
        assert_eq!(rig.published(at(0), OUT).len() as u64, 1 - faults, "A10.7: none if it faults");
        let stats = rig.core().stats();
        assert_eq!((stats.faults, stats.restarts), (faults, 0), "counted, not supervised");
        assert_eq!(rig.core().agent(0).phase, Phase::Free);
        assert_eq!(rig.core().agents_alive(), 2);
        assert_eq!(rig.core().held(), (0, 0));
    }
}

pub fn c1_4_a_fault_of_an_incarnation_that_pass_3_ended_is_counted_not_supervised<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.template("breaker", fresh(1, 9, 50));
    scene.agent(1, prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // In one microstep agent 1 faults and agent 0 ends it.
    rig.tell(0, prog().terminate(to(1)));
    rig.tell(1, prog().trap());
    rig.settle(9);
    let core = rig.core();
    assert_eq!((core.stats().faults, core.stats().restarts), (1, 0));
    assert_eq!((core.agent(1).phase, core.agents_alive()), (Phase::Free, 1));
}

pub fn c1_4_a10_5_an_init_that_faults_while_it_is_ended_ends_once<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.template("breaker", fresh(1, 9, 50));
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // The child's init faults in the microstep in which its parent, told of it, ends it.
    let child = AgentId::new(1, 0).to_bits();
    rig.tell(
        0,
        prog().on(item::OUTCOME, &prog().terminate(child)).spawn("breaker", &prog().trap()),
    );
    rig.tick();
    rig.settle(9);
    let core = rig.core();
    assert_eq!((core.stats().faults, core.stats().restarts), (1, 0));
    assert_eq!((core.agent(1).phase, core.agents_alive()), (Phase::Free, 1));
}

pub fn a10_8_paused_agents_queue_and_their_timers_and_replies_wait<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.model("m", 1);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(1, prog().timer(1, 3).infer(0, b"1234"));
    rig.tell(0, prog().pause(to(1)).send(to(1), b"queued"));
    rig.tick();
    rig.settle(9);
    assert_eq!(rig.seen(at(1)).len(), 1, "only the program itself");
    assert_eq!(rig.core().agent(1).inbox_items, 1);
    rig.tell(0, prog().resume(to(1)));
    rig.settle(9);
    let kinds: Vec<_> = rig.seen(at(1)).iter().map(|s| s.header.kind).collect();
    assert_eq!(kinds, [item::INPUT, item::MESSAGE, item::REPLY, item::TIMER]);
}

pub fn a9_1_subscriptions_and_memberships_outlive_a_restart<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.template("breaker", fresh(1, 9, 50));
    scene.agent(1, prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for agent in [2, 1] {
        rig.tell(agent, prog().subscribe(REFUSE).join("room"));
        rig.tick();
    }
    rig.tell(2, prog().trap());
    rig.settle(3);
    assert_eq!(rig.core().agent(2).incarnation, 1);
    rig.tell(0, prog().publish(REFUSE, b"news").cast("room", b"news"));
    rig.tick();
    let to: Vec<_> = rig.events(&[event::DELIVERED]).iter().map(|e| e.subject as u32).collect();
    assert_eq!(to, [2, 1, 2, 1], "in its old position");
}

pub fn a10_1_a_terminated_agents_address_is_gone_at_once<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(4));
    rig.tick();
    rig.tell(0, prog().terminate(to(2)));
    rig.tell(1, prog().terminate(to(2)).pause(to(2)));
    // In the next microstep, while its last turn is pending.
    rig.tell(3, prog().send_prog(SELF, prog().send(to(2), b"late")));
    rig.tick();
    let [ok, gone] = [Status::Ok as i32, Status::Gone as i32];
    let codes = |agent| -> Vec<_> {
        rig.seen_kind(at(agent), item::OUTCOME).iter().map(|s| s.header.code).collect()
    };
    assert_eq!([codes(0), codes(1), codes(3)], [vec![ok], vec![gone, gone], vec![gone]]);
}

pub fn a10_9_pausing_who_is_paused_and_resuming_who_is_not_change_nothing<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(2));
    rig.tick();
    rig.tell(0, prog().resume(to(1)).pause(to(1)).pause(to(1)).resume(to(1)).resume(to(1)));
    rig.tick();
    let seen = rig.seen_kind(at(0), item::OUTCOME);
    let codes: Vec<_> = seen.iter().map(|s| Status::from_code(s.header.code)).collect();
    let [ok, already] = [Some(Status::Ok), Some(Status::Already)];
    assert_eq!(codes, [already, ok, already, ok, already]);
    assert_eq!(rig.events(&[event::PAUSED, event::RESUMED]).len(), 2);
}
