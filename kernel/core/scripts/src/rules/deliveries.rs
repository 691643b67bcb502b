//! Deliveries: their order and their limits (C1, C2, C4).

use wasm_engine_abi::AgentId;
use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::{CHANNEL, item};
use wasm_engine_abi::page::{TraceEvent, event};
use wasm_engine_abi::record::{FactHeader, fact};
use wasm_engine_core::{FactsBuilder, OpenError};
use wasm_engine_setup::TopicSetup;

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    DROP_NEWEST, DROP_OLDEST, LATEST, Machine, REFUSE, Rig, Scene, at, prog, rules::payloads, to,
};

/// Agents that got a message, in order.
fn delivered_to(events: &[TraceEvent]) -> Vec<u32> {
    let delivered = events.iter().filter(|event| event.kind == event::DELIVERED);
    delivered.map(|event| event.subject as u32).collect()
}

pub fn c1_3_effects_apply_in_the_order_of_the_plan_then_of_the_calls<M: Machine>() {
    let mut rig = Rig::<M>::with_workers(&Scene::of(3), 2);
    rig.tick();
    rig.tell(2, prog().send(to(1), b"2a").subscribe(REFUSE).send(to(1), b"2b"));
    rig.tell(0, prog().send(to(1), b"0a").subscribe(REFUSE).send(to(1), b"0b"));
    rig.tick();
    let seen = rig.seen_kind(at(1), item::MESSAGE);
    assert_eq!(payloads(&seen), [b"2a", b"2b", b"0a", b"0b"]);
    let before = rig.machine.events().len();
    rig.tell(1, prog().publish(REFUSE, b"x"));
    rig.tick();
    let to = delivered_to(&rig.machine.events()[before..]);
    assert_eq!(to, [2, 0], "as they subscribed");
}

pub fn c2_2_an_earlier_delivery_leaves_no_room_for_a_later_one<M: Machine>() {
    let mut scene = Scene::of(3);
    scene.limits().inbox_items_max = 1;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for agent in [2, 0] {
        rig.tell(agent, prog().send(to(1), &[b'0' + agent as u8]));
    }
    rig.tick();
    assert_eq!(payloads(&rig.seen_kind(at(1), item::MESSAGE)), [b"2"]);
    let refused = &rig.seen_kind(at(0), item::OUTCOME)[0].header;
    assert_eq!(refused.code, Status::InboxFull as i32);
    assert!(rig.seen_kind(at(2), item::OUTCOME).is_empty());
}

pub fn c2_5_what_waits_stays_charged_wherever_its_bytes_lie<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(2));
    rig.tick();
    rig.tell(0, prog().pause(to(1)).send_len(to(1), 65).send_len(to(1), 1).send_len(to(1), 0));
    for _ in 0..4 {
        rig.tick();
        assert_eq!(rig.core().held(), (3, 3));
        let agent = rig.core().agent(1);
        assert_eq!((agent.inbox_items, agent.inbox_blocks), (3, 3));
    }
    rig.tell(0, prog().resume(to(1)));
    rig.tick();
    assert_eq!(rig.core().held(), (0, 0));
}

pub fn c2_6_receivers_are_taken_in_the_order_in_which_they_joined<M: Machine>() {
    let mut scene = Scene::of(4);
    scene.limits().deliveries_per_microstep_max = 2;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for (agent, program) in [
        (0, prog().subscribe(REFUSE).join("room")),
        (2, prog().subscribe(REFUSE).join("room")),
        (1, prog().subscribe(REFUSE).join("room")),
        (0, prog().unsubscribe(REFUSE).leave("room")),
        (0, prog().subscribe(REFUSE).join("room")),
    ] {
        rig.tell(agent, program);
        rig.tick();
    }
    for program in [prog().publish(REFUSE, b"x"), prog().cast("room", b"x")] {
        let before = rig.machine.events().len();
        rig.tell(3, program);
        rig.tick();
        let to = delivered_to(&rig.machine.events()[before..]);
        assert_eq!(to, [2, 1], "for 0 there was no room");
    }
}

pub fn c2_7_a_message_reaches_its_sender_if_it_is_a_member<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(2));
    rig.tick();
    rig.tell(0, prog().subscribe(REFUSE).join("room"));
    rig.tick();
    for agent in [0, 1] {
        rig.tell(agent, prog().publish(REFUSE, b"topic").cast("room", b"room"));
    }
    rig.tick();
    let seen = rig.seen_kind(at(0), item::MESSAGE);
    let from: Vec<_> = seen.iter().map(|s| (s.header.from, s.header.topic)).collect();
    let both = |agent| [(to(agent), REFUSE), (to(agent), CHANNEL)];
    assert_eq!(from, [both(0), both(1)].concat());
    assert!(rig.seen_kind(at(1), item::MESSAGE).is_empty());
}

pub fn c2_8_an_open_has_deliveries_of_its_own<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.limits().deliveries_per_microstep_max = 2;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(0, prog().send(to(1), b"a").send(to(1), b"b"));
    rig.tell(1, prog());
    rig.tell(1, prog());
    rig.tick();
    assert_eq!(rig.core().stats().refused, 1, "the third input");
    assert_eq!(payloads(&rig.seen_kind(at(1), item::MESSAGE)), [b"a", b"b"]);
}

pub fn c2_9_bytes_round_up_for_inboxes_and_down_for_turns_and_inputs<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.limits().payload_bytes_max = 4 * 64 + 63;
    // The order has 2 units, its echo 2 of the 4 that a turn has.
    scene.limits().inbox_bytes_max = 2 * 64 + 1;
    scene.limits().input_bytes_per_tick_max = 3 * 64 + 63;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(0, prog().pause(to(1)).send_len(to(1), 128).send_len(to(1), 1));
    rig.tick();
    assert_eq!(rig.core().agent(1).inbox_blocks, 2, "a turn's last unit is no whole one");
    rig.tell(0, prog().send_len(to(1), 64));
    rig.tell(0, prog().send_len(to(1), 1));
    let refused = |rig: &Rig<M>| rig.core().stats().refused;
    rig.tick();
    assert_eq!(
        (rig.core().agent(1).inbox_blocks, refused(&rig)),
        (3, 1),
        "three units are one more than two"
    );
    let facts = |len: usize| {
        let mut facts = FactsBuilder::default();
        facts.begin(3);
        let header = FactHeader { kind: fact::INPUT, c: REFUSE, ..FactHeader::default() };
        facts.push(header, &vec![0; len]);
        facts.finish().to_vec()
    };
    let refused = rig.feed(&facts(3 * 64 + 1)).expect_err("four units");
    assert!(matches!(refused, OpenError::Exceeds { what: "longer inputs", .. }), "{refused:?}");
}

pub fn c4_8_messages_by_address_and_channel_are_refused_at_a_full_inbox<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.limits().inbox_items_max = 1;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(1, prog().subscribe(DROP_OLDEST).join("room"));
    rig.tick();
    rig.tell(0, prog().pause(to(1)).publish(DROP_OLDEST, b"old"));
    rig.tick();
    rig.tell(0, prog().send(to(1), b"by address").cast("room", b"by channel"));
    rig.tick();
    let seen = rig.seen_kind(at(0), item::OUTCOME);
    let codes: Vec<_> = seen.iter().skip(1).map(|s| s.header.code).collect();
    assert_eq!(codes, [Status::InboxFull as i32; 2]);
    assert_eq!(rig.core().stats().dropped, 0);
    rig.tell(0, prog().resume(to(1)));
    rig.settle(5);
    assert_eq!(payloads(&rig.seen_kind(at(1), item::MESSAGE)), [b"old"]);
}

pub fn c2_11_each_receiver_tried_counts_and_beyond_the_limit_nobody_is<M: Machine>() {
    // Three of five subscribers are full; a microstep may try four.
    let mut scene = Scene::of(6);
    scene.limits().inbox_items_max = 1;
    scene.limits().deliveries_per_microstep_max = 4;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for agent in 1..6 {
        rig.tell(agent, prog().subscribe(REFUSE).join("room"));
        rig.tick();
    }
    for agent in [1, 2, 3] {
        rig.tell(0, prog().pause(to(agent)).send(to(agent), b"fills"));
        rig.tick();
    }
    for program in [prog().publish(REFUSE, b"x"), prog().cast("room", b"x")] {
        let (seen, before) = (rig.machine.events().len(), rig.core().stats().refused);
        rig.tell(0, program.send(to(5), b"y"));
        rig.tick();
        assert_eq!(delivered_to(&rig.machine.events()[seen..]), [4], "5 is not tried any more");
        assert_eq!(rig.core().stats().refused - before, 5);
        let answers = rig.seen_kind(at(0), item::OUTCOME);
        let [.., first, second] = answers.as_slice() else { panic!("each has an outcome") };
        assert_eq!(first.header.code, Status::InboxFull as i32, "the first reason");
        assert_eq!((first.header.from_seq as u32, first.header.from_seq >> 32), (1, 4));
        assert_eq!(second.header.code, Status::KernelFull as i32);
    }
    // Inputs likewise; those untried are counted in one event.
    let before = rig.machine.events().len();
    rig.input(REFUSE, b"z");
    rig.tick();
    let refused = rig.events(&[event::REFUSED]);
    let refused = refused.iter().filter(|event| event.tick == rig.core().tick());
    let refused: Vec<_> = refused.map(|event| (event.subject, event.b >> 32)).collect();
    assert_eq!(refused, [(to(1), 1), (to(2), 1), (to(3), 1), (AgentId::NONE.to_bits(), 1)]);
    let inputs = rig.machine.events()[before..].iter().filter(|e| e.kind == event::INPUT);
    assert_eq!(inputs.map(|event| event.subject).collect::<Vec<_>>(), [to(4)]);
}

pub fn c2_11_a_search_for_room_counts_by_the_items_gone_through<M: Machine>() {
    let delivered = |others: u64| {
        let mut scene = Scene::of(3);
        scene.limits().deliveries_per_microstep_max = 5;
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        rig.tell(1, prog().subscribe(LATEST));
        rig.tell(0, prog().pause(to(1)));
        rig.tick();
        for _ in 0..others {
            rig.tell(0, prog().send(to(1), b"other"));
            rig.tick();
        }
        let seen = rig.machine.events().len();
        let news = prog().publish(LATEST, b"a").send(to(2), b"1").send(to(2), b"2");
        rig.tell(0, news.send(to(2), b"3").send(to(2), b"4"));
        rig.tick();
        delivered_to(&rig.machine.events()[seen..]).len()
    };
    assert_eq!((delivered(15), delivered(16), delivered(32)), (5, 4, 3));
}

pub fn c2_12_a_channel_is_its_name_and_an_item_says_by_which_join_it_came<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(2));
    rig.tick();
    // Two names that a fast hash of 64 bits cannot tell apart; anybody finds such in a minute.
    let (name, twin) = ("aaapck", "R1YbWFkI");
    assert_eq!(xxh3_64(name.as_bytes()), xxh3_64(twin.as_bytes()));
    rig.tell(0, prog().join("room").join("Room").join(name));
    rig.tick();
    let casts = prog().cast(twin, b"0").cast("Room", b"2").cast(name, b"3").cast("room", b"1");
    rig.tell(1, casts.cast("roo", b"0"));
    rig.tick();
    let of = |rig: &Rig<M>| {
        let seen = rig.seen_kind(at(0), item::MESSAGE);
        let seen = seen.iter().map(|seen| (seen.payload.clone(), seen.header.request));
        seen.collect::<Vec<_>>()
    };
    let seen = of(&rig);
    let payloads: Vec<_> = seen.iter().map(|(payload, _)| payload.as_slice()).collect();
    assert_eq!(payloads, [b"2", b"3", b"1"]);
    let joins: Vec<_> = seen.iter().map(|(_, request)| *request).collect();
    assert_eq!((joins[0], joins[1]), (joins[2] + 1, joins[2] + 2), "the joins followed each other");
    // Another join changes nothing but the sequence.
    rig.tell(0, prog().join("room"));
    rig.tick();
    rig.tell(1, prog().cast("room", b"4"));
    rig.tick();
    assert!(of(&rig)[3].1 > joins[1]);
}

/// What two paused subscribers hold of a topic with a quota, and how the publishes are answered.
fn held_under_quota<M: Machine>(topic: u32, set: fn(&mut TopicSetup)) -> (Vec<usize>, Vec<Status>) {
    let mut scene = Scene::of(3);
    set(&mut scene.setup.topics[topic as usize]);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for agent in [1, 2] {
        rig.tell(agent, prog().subscribe(topic));
        rig.tick();
        rig.tell(0, prog().pause(to(agent)));
        rig.tick();
    }
    let before = rig.seen_kind(at(0), item::OUTCOME).len();
    let two = prog().publish_len(topic, 100).publish_len(topic, 100);
    // What came by address, or by another topic, is not of its quota.
    rig.tell(0, two.send(to(1), b"x"));
    rig.tick();
    let codes = rig.seen_kind(at(0), item::OUTCOME).into_iter().skip(before);
    let codes = codes.filter_map(|seen| Status::from_code(seen.header.code)).collect();
    let held: Vec<_> = [1, 2].map(|index| rig.core().agent(index).inbox_items as usize).into();
    // Once it is received there is room again.
    rig.tell(0, prog().resume(to(1)).resume(to(2)));
    rig.settle(5);
    assert_eq!(rig.core().held(), (0, 0));
    let taken = rig.seen_kind(at(2), item::MESSAGE).len();
    rig.tell(0, prog().publish_len(topic, 1));
    rig.settle(5);
    assert_eq!(rig.seen_kind(at(2), item::MESSAGE).len(), taken + 1);
    (held, codes)
}

pub fn c2_13_c4_6_a_topic_holds_no_more_than_its_quota_and_others_have_room<M: Machine>() {
    let full = |n| vec![Status::TopicFull; n];
    // One more each is the message by address, at the first only.
    let held = |topic, set| held_under_quota::<M>(topic, set);
    assert_eq!(held(REFUSE, |_| ()), (vec![3, 2], full(0)));
    assert_eq!(held(REFUSE, |topic| topic.messages_held_max = Some(3)), (vec![3, 1], full(1)));
    assert_eq!(held(REFUSE, |topic| topic.messages_held_max = Some(2)), (vec![2, 1], full(1)));
    // Each takes two charge units.
    let bytes = |topic: &mut TopicSetup| topic.payload_bytes_held_max = Some(4 * 64 + 63);
    assert_eq!(held(REFUSE, bytes), (vec![2, 1], full(1)));
    assert_eq!(held(DROP_NEWEST, bytes), (vec![2, 1], full(1)), "under every policy");
    // What it replaces counts no more.
    assert_eq!(held(LATEST, |topic| topic.messages_held_max = Some(2)), (vec![2, 1], full(0)));
}
