//! Commit: passes, limits, policies, strangers (C).

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::{CHANNEL, item};
use wasm_engine_setup::Limits;

use crate::{
    CHILD, DROP_NEWEST, DROP_OLDEST, ECHO, LATEST, Machine, Mix, OUT, Out, Prog, REFUSE, Rig, SELF,
    Scene, at, prog,
    rules::{fresh, payloads},
    to,
};

pub fn c2_1_pass_1_sees_subscriptions_channels_and_addresses_as_before_the_microstep<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(3));
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

pub fn c1_1_items_of_this_microstep_are_released_before_deliveries_are_judged<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.limits().inbox_items_max = 1;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // 0 is planned before 1 consumes its item; the place is free nevertheless.
    rig.tell(0, prog().send(to(1), b"fits"));
    rig.tell(1, prog());
    rig.tick();
    assert_eq!(payloads(&rig.seen_kind(at(1), item::MESSAGE)), [b"fits"]);
}

pub fn c2_3_c2_4_each_limit_refuses_with_its_own_status_and_counts_whole_charge_units<
    M: Machine,
>() {
    let refused = |set: fn(&mut Limits), program: Prog| {
        let mut scene = Scene::of(3);
        // Agent 1 is paused, so what it gets is held.
        set(scene.limits());
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        rig.tell(0, prog().pause(to(1)));
        rig.tick();
        rig.tell(0, program);
        rig.tick();
        let outcomes = rig.seen_kind(at(0), item::OUTCOME);
        let codes: Vec<_> = outcomes.iter().skip(1).map(|s| s.header.code).collect();
        (codes, rig.core().agent(1).inbox_items, rig.core().held())
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

pub fn a4_5_a_publish_decides_each_receiver_alone_with_one_outcome<M: Machine>() {
    let mut scene = Scene::of(4);
    scene.limits().inbox_items_max = 1;
    let mut rig = Rig::<M>::new(&scene);
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

pub fn c3_1_a_child_takes_its_init_turn_in_the_next_microstep<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(1));
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

pub fn c4_1_c4_2_c4_3_c4_4_c4_5_each_policy_decides_what_a_full_inbox_keeps<M: Machine>() {
    let kept = |topic: u32| {
        let mut scene = Scene::of(2);
        scene.limits().inbox_items_max = 3;
        let mut rig = Rig::<M>::new(&scene);
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
        let stats = rig.core().stats();
        let seen = rig.seen_kind(at(1), item::MESSAGE);
        let texts: Vec<_> =
            seen.iter().map(|s| String::from_utf8_lossy(&s.payload).into_owned()).collect();
        assert_eq!(rig.core().held(), (0, 0));
        (texts.join(" "), outcomes, stats.refused, stats.dropped)
    };
    assert_eq!(kept(REFUSE), ("other a b".to_owned(), 2, 2, 0));
    assert_eq!(kept(DROP_OLDEST), ("other c d".to_owned(), 0, 0, 2));
    assert_eq!(kept(DROP_NEWEST), ("other a b".to_owned(), 0, 0, 2));
    assert_eq!(kept(LATEST), ("other d".to_owned(), 0, 0, 3));
}

/// What a paused agent holds of a topic after `program` published on it, under limits; how many
/// messages were refused and dropped.
fn kept_under<M: Machine>(
    topic: u32,
    set: fn(&mut Limits),
    program: &Prog,
) -> (Vec<Vec<u8>>, [u64; 2]) {
    let mut scene = Scene::of(2);
    set(scene.limits());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(1, prog().subscribe(topic));
    rig.tick();
    rig.tell(0, prog().pause(to(1)));
    rig.tick();
    // A timer is held beside the limits, so it can wake the other one whatever is full.
    let wake = prog().on(item::TIMER, &prog().resume(to(1))).timer(2, 0);
    rig.tell(0, wake.then(program));
    rig.settle(5);
    assert_eq!(rig.core().held(), (0, 0));
    let seen = rig.seen_kind(at(1), item::MESSAGE);
    let stats = rig.core().stats();
    (seen.into_iter().map(|seen| seen.payload).collect(), [stats.refused, stats.dropped])
}

pub fn c4_6_c4_7_nothing_is_dropped_for_a_message_that_is_then_refused<M: Machine>() {
    let short = |l: &mut Limits| (l.inbox_bytes_max, l.input_bytes_per_tick_max) = (256, 256);
    let two = |topic| prog().publish(topic, b"old").publish(topic, b"new");
    let (old, new) = (|| vec![b"old".to_vec()], || vec![b"new".to_vec()]);
    for topic in [DROP_OLDEST, LATEST] {
        // Five blocks never fit an inbox of four, whoever makes room.
        let program = prog().publish(topic, b"old").publish_len(topic, 300);
        assert_eq!(kept_under::<M>(topic, short, &program), (old(), [1, 0]));
    }
    // The room of what is replaced counts, in the inbox and in the kernel.
    let one_held = |l: &mut Limits| l.messages_held_max = 1;
    assert_eq!(kept_under::<M>(LATEST, one_held, &two(LATEST)), (new(), [0, 1]));
    // The inbox has room, so the oldest does not have to go, and the kernel's limit refuses.
    assert_eq!(kept_under::<M>(DROP_OLDEST, one_held, &two(DROP_OLDEST)), (old(), [1, 0]));
    let both = |l: &mut Limits| (l.messages_held_max, l.inbox_items_max) = (1, 1);
    assert_eq!(kept_under::<M>(DROP_OLDEST, both, &two(DROP_OLDEST)), (new(), [0, 1]));
}

pub fn c4_7_a_refused_message_leaves_the_queued_one_its_turn<M: Machine>() {
    let mut scene = Scene::of(3);
    scene.limits().deliveries_per_microstep_max = 2;
    scene.limits().turns_per_microstep_max = 1;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(2, prog().subscribe(LATEST));
    rig.tick();
    // 0 publishes, then 1, whose sends use the deliveries of the microstep up.
    rig.tell(0, prog().publish(LATEST, b"old"));
    rig.tell(1, prog().send(SELF, b"x").send(SELF, b"y").publish(LATEST, b"new"));
    rig.tick();
    let stats = rig.core().stats();
    assert_eq!((stats.dropped, stats.refused), (0, 1));
    assert_eq!(payloads(&rig.seen_kind(at(2), item::MESSAGE)), [b"old"]);
    assert_eq!(rig.core().runnable(), 0);
}

pub fn c5_1_strangers_do_not_change_what_a_group_does<M: Machine>() {
    let outputs = |strangers: bool| {
        let mut scene = Scene::of(3);
        scene.template("stranger", fresh(1, 100, 1));
        if strangers {
            for _ in 0..3 {
                scene.agent(1, prog().join("elsewhere"));
            }
        }
        let mut rig = Rig::<M>::new(&scene);
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
        let own = |o: &Out| (o.tick, o.microstep, o.topic, o.from, o.seq, o.payload.clone());
        // Inputs are numbered by their source, which strangers share; their number is no output.
        let mine = rig.sink.outputs.iter().filter(|o| o.from.index() < 3 && o.topic == OUT);
        mine.map(own).collect::<Vec<_>>()
    };
    let (alone, among) = (outputs(false), outputs(true));
    assert_eq!(alone.len(), 20);
    assert_eq!(alone, among);
}
