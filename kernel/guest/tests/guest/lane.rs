//! A lane executes turns: every host call with every status, every fault, quotas, equal bytes.

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::{ItemFrame, Location, TurnCommand, effect, fault, turn};
use wasm_engine_abi::limits::{
    ARGS_BYTES_MAX, LOG_LINE_BYTES_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX,
};
use wasm_engine_abi::{AgentId, Digest};
use wasm_engine_guest::MachineFailure;
use wasm_engine_guest::engine::{MemoryProfile, deterministic_engine};
use wasm_engine_setup::{Limits, Policy, Setup, Template, TopicSetup, channel_key};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::rig::{
    BYTES_AT, FUEL, Order, PROBE, Rig, SEED, TRIVIAL, compile, header, naming, now_ns, order,
    publishing, setup,
};

#[test]
fn a1_2_init_gets_its_arguments_and_the_context() {
    let mut rig = Rig::of(PROBE, &setup());
    let turn = rig.init(0, &[5, 0, 0, 0]);
    assert_eq!((turn.result.code, turn.result.fault), (5, fault::NONE));
    assert_eq!((turn.result.items, turn.result.effects), (0, 0));
    assert!(turn.result.fuel > 0 && turn.result.fuel < FUEL);
    // The step sees its own context: the probe publishes its first 8 bytes, the tick.
    let turn = rig.one(order(40, [], b""));
    assert_eq!(rig.payload(&turn.effects[0]), 9_u64.to_le_bytes());
}

#[test]
fn a3_3_a4_6_a4_7_accepted_calls_become_effects() {
    let mut rig = Rig::new();
    let room = b"room/1";
    let key = channel_key(SEED, "room/1");
    let (low, high) = (key as u64, (key >> 64) as u64);
    for (order, kind, target, arg, payload) in [
        (order(1, [7, BYTES_AT, 3], b"abc"), effect::SEND, 7, 0, Some(&b"abc"[..])),
        (publishing(0, b"de"), effect::PUBLISH, 0, 0, Some(b"de")),
        (order(3, [1], b""), effect::SUBSCRIBE, 1, 0, None),
        (order(4, [1], b""), effect::UNSUBSCRIBE, 1, 0, None),
        (naming(5, room), effect::JOIN, low, high, None),
        (naming(6, room), effect::LEAVE, low, high, None),
        (
            order(7, [BYTES_AT, 6, BYTES_AT + 6, 2], b"room/1hi"),
            effect::CAST,
            low,
            high,
            Some(b"hi"),
        ),
        (order(8, [0, BYTES_AT, 8], b"12345678"), effect::INFER, 0, 0, Some(b"12345678")),
        (order(9, [3, 99], b""), effect::TIMER, 3, 99, None),
        (order(10, [BYTES_AT, 4, BYTES_AT + 4, 2], b"noneab"), effect::SPAWN, 1, 0, Some(b"ab")),
        (order(11, [8], b""), effect::TERMINATE, 8, 0, None),
        (order(12, [u64::MAX], b""), effect::PAUSE, u64::MAX, 0, None),
        (order(13, [8], b""), effect::RESUME, 8, 0, None),
        (order(14, [2, BYTES_AT, 5], b"hello"), effect::LOG, 2, 0, Some(b"hello")),
    ] {
        let (op, seq) = (order.op, rig.seq);
        let turn = rig.one(order);
        let expected = if kind == effect::LOG { 0 } else { seq as i32 };
        assert_eq!(turn.answer(), expected, "op {op}");
        let [effect] = turn.effects[..] else { panic!("op {op}: {turn:?}") };
        assert_eq!((effect.kind, effect.target, effect.arg), (kind, target, arg), "op {op}");
        assert_eq!((effect.seq, turn.result.seq), (seq, seq + 1), "op {op}");
        assert_eq!(effect.hash, payload.map_or(0, xxh3_64), "op {op}");
        assert_eq!(rig.payload(&effect), payload.unwrap_or(b""), "op {op}");
        assert_eq!(turn.result.blocks, u32::from(payload.is_some()), "op {op}");
        // What nothing can refuse has no outcome and so takes no location.
        let silent = [effect::UNSUBSCRIBE, effect::LEAVE, effect::LOG];
        assert_eq!(turn.result.answers, u32::from(!silent.contains(&kind)), "op {op}, A4");
    }
}

#[test]
fn a13_1_questions_are_answered_at_once() {
    let mut rig = Rig::new();
    assert_eq!(rig.one(naming(15, b"b")).answer(), 1);
    assert_eq!(rig.one(naming(15, b"a")).answer(), 0);
    assert_eq!(rig.one(naming(16, b"m")).answer(), 0);
    assert_eq!(rig.one(order(17, [], b"")).answer(), 9);
    assert_eq!(rig.seq, 0, "questions take no sequence number");
}

/// The call that asks for the topic behind `after` that a pattern matches.
fn next_topic(pattern: &str, after: u32) -> Order {
    order(19, [BYTES_AT, pattern.len() as u64, after.into()], pattern.as_bytes())
}

#[test]
fn a13_7_a_pattern_gives_the_topics_that_an_agent_has_rights_on_one_after_the_other() {
    let mut setup = setup();
    let names = ["a", "b", "c", "d/1", "d/2", "d/2/x", "e/2"];
    setup.topics = names.map(|name| TopicSetup::new(name, Policy::Refuse, false)).into();
    let rights = ["publish:a", "subscribe:d/**"].map(str::to_owned);
    setup.templates[0].capabilities.extend(rights);
    let mut rig = Rig::of(PROBE, &setup);
    rig.init(0, b"");
    let mut found = |pattern: &str| {
        let (mut topics, mut after) = (Vec::new(), u32::MAX);
        loop {
            let answer = rig.one(next_topic(pattern, after)).answer();
            if answer == Status::Unknown as i32 {
                return topics;
            }
            after = answer.cast_unsigned();
            topics.push(names[after as usize]);
        }
    };
    assert_eq!(found("**"), ["a", "b", "d/1", "d/2", "d/2/x"], "neither c nor e/2");
    assert_eq!(found("*/2"), ["d/2"]);
    assert_eq!(found("d/*"), ["d/1", "d/2"]);
    assert_eq!(found("d/2"), ["d/2"]);
    assert_eq!(found("x/**"), Vec::<&str>::new());
    for (pattern, after, status) in [
        ("a//b", u32::MAX, Status::Invalid),
        ("a*", u32::MAX, Status::Invalid),
        ("", u32::MAX, Status::Invalid),
        ("**", 6, Status::Unknown),
        ("**", 7, Status::Unknown),
        ("**", u32::MAX - 1, Status::Unknown),
    ] {
        assert_eq!(rig.one(next_topic(pattern, after)).status(), status, "{pattern:?} {after}");
    }
    // Each topic that it looks at costs fuel, and by the length of its name.
    let base = rig.one(next_topic("x", 6)).result.fuel;
    assert_eq!(rig.one(next_topic("x", 5)).result.fuel - base, 1);
    assert_eq!(rig.one(next_topic("x", u32::MAX)).result.fuel - base, 7);
    assert_eq!(rig.one(next_topic("b", u32::MAX)).result.fuel - base, 2, "up to the one it finds");
    assert_eq!(rig.seq, 0, "questions take no sequence number");
}

#[test]
fn t3_4_a3_5_a13_2_i1_8_refused_calls_say_why_and_leave_nothing() {
    let mut rig = Rig::new();
    let long_name = vec![b'n'; NAME_BYTES_MAX as usize + 1];
    let long_args = ARGS_BYTES_MAX + 1;
    let orders = [
        (publishing(1, b""), Status::Denied),
        (publishing(3, b""), Status::Unknown),
        (publishing(u64::from(u32::MAX), b""), Status::Unknown),
        (order(3, [0], b""), Status::Denied),
        (order(3, [9], b""), Status::Unknown),
        (order(4, [0], b""), Status::Denied),
        (naming(5, b"hall"), Status::Denied),
        (naming(5, b"room//1"), Status::Denied),
        (naming(5, b""), Status::Invalid),
        (naming(5, &[0xff]), Status::Invalid),
        (naming(6, &long_name), Status::Invalid),
        (order(7, [BYTES_AT, 4, BYTES_AT, 0], b"hall"), Status::Denied),
        (order(8, [0, BYTES_AT, 4], b"1234"), Status::Invalid),
        (order(8, [1, BYTES_AT, 8], b"12345678"), Status::Denied),
        (order(8, [2, BYTES_AT, 8], b"12345678"), Status::Unknown),
        (order(9, [0, 0], b""), Status::Invalid),
        (order(9, [u64::MAX, 0], b""), Status::Invalid),
        (order(10, [BYTES_AT, 4, 0, 0], b"some"), Status::Denied),
        (order(10, [BYTES_AT, 4, 0, 0], b"nope"), Status::Unknown),
        (order(10, [BYTES_AT, 4, 0, long_args.into()], b"none"), Status::Invalid),
        (order(14, [0, 0, u64::from(LOG_LINE_BYTES_MAX) + 1], b""), Status::Invalid),
        (naming(15, b"c"), Status::Denied),
        (naming(15, b"z"), Status::Unknown),
        (naming(15, &long_name), Status::Invalid),
        (naming(16, b"n"), Status::Denied),
        (naming(16, b"z"), Status::Unknown),
    ];
    for (order, status) in orders {
        let op = (order.op, order.args);
        let turn = rig.one(order);
        assert_eq!(turn.status(), status, "{op:?}");
        assert_eq!((turn.result.effects, turn.result.seq), (0, 0), "{op:?}");
    }
}

#[test]
fn a3_6_a_template_without_rights_is_denied_everything() {
    let mut rig = Rig::of(PROBE, &setup());
    rig.init(1, b"");
    let row = order(8, [0, BYTES_AT, 8], b"12345678");
    let spawn = order(10, [BYTES_AT, 4, 0, 0], b"none");
    let lifecycle = [11, 12, 13].map(|op| order(op, [1], b""));
    let calls = [order(1, [1, 0, 0], b""), publishing(0, b""), order(9, [1, 1], b""), row, spawn];
    for order in calls.into_iter().chain(lifecycle).chain([order(14, [0, 0, 1], b"")]) {
        let op = order.op;
        assert_eq!(rig.one(order).status(), Status::Denied, "op {op}");
    }
    // Random has no room for a status.
    let turn = rig.one(order(18, [1], b""));
    assert_eq!(turn.result.fault, fault::MISUSE);
}

#[test]
fn a3_7_a4_7_a4_8_quotas_count_effects_charge_units_and_pending_call_slots() {
    let mut setup = setup();
    setup.limits.effects_max = 3;
    setup.limits.payload_bytes_max = 5 * 64;
    let mut rig = Rig::of(PROBE, &setup);
    rig.init(0, b"");
    let small = || publishing(0, b"x");
    assert_eq!(rig.step(&[small(), small(), small()]).answer(), 2);
    let turn = rig.step(&[small(), small(), small(), small()]);
    assert_eq!((turn.status(), turn.result.effects), (Status::Quota, 3));
    assert_eq!(rig.step(&[small(), small(), small(), order(3, [1], b"")]).status(), Status::Quota);
    // 65 bytes take two blocks of the five (C2).
    let two = || publishing(0, &[1; 65]);
    let turn = rig.step(&[two(), two(), two()]);
    assert_eq!((turn.status(), turn.result.effects, turn.result.blocks), (Status::Quota, 2, 4));
    let turn = rig.step(&[two(), two(), small()]);
    assert_eq!((turn.result.effects, turn.result.blocks), (3, 5));
    let turn = rig.step(&[two(), two(), publishing(0, b"")]);
    assert_eq!((turn.result.effects, turn.result.blocks), (3, 4), "nothing takes no block");
    let turn = rig.step_with(&[small(), small()], |command| command.answers_free = 1);
    assert_eq!((turn.status(), turn.result.answers), (Status::Busy, 1));
    let turn = rig.step_with(&[order(4, [1], b"")], |command| command.answers_free = 0);
    assert_eq!((turn.result.effects, turn.result.answers), (1, 0), "A4");
}

#[test]
fn t10_3_payloads_have_a_hard_maximum() {
    let mut setup = setup();
    setup.limits.payload_bytes_max = 2 << 20;
    setup.limits.memory_bytes_max = 32 << 16;
    let mut rig = Rig::of(&PROBE.replace("\"memory\") 1 4", "\"memory\") 32 32"), &setup);
    rig.init(0, b"");
    let max = u64::from(PAYLOAD_BYTES_MAX);
    assert_eq!(rig.one(order(2, [0, 8192, max + 1], b"")).status(), Status::Invalid);
    let turn = rig.one(order(2, [0, 8192, max], b""));
    assert_eq!((turn.effects[0].len, turn.result.blocks), (PAYLOAD_BYTES_MAX, 1 << 14));
    // The outbox of this rig is smaller than the quota promises: not the guest's business (T10).
    let items = rig.items(&[order(2, [0, 8192, max], b""), order(2, [0, 8192, max], b"")]);
    let command = TurnCommand { items: 2, ..rig.command(turn::STEP) };
    let error = rig.lane.execute(&command, &items, &[], &mut Vec::new()).expect_err("no room");
    assert_eq!(error.failure, MachineFailure::Outbox);
}

#[test]
fn a3_6_a8_1_faults_have_their_codes() {
    let mut rig = Rig::new();
    let page = 1 << 16;
    let cases = [
        (order(20, [], b""), fault::UNREACHABLE),
        (order(21, [0], b""), fault::ARITHMETIC),
        (order(29, [], b""), fault::ARITHMETIC),
        (order(28, [], b""), fault::ARITHMETIC),
        (order(22, [page], b""), fault::OUT_OF_BOUNDS),
        (order(22, [page - 4], b""), fault::OUT_OF_BOUNDS),
        (order(23, [], b""), fault::OUT_OF_FUEL),
        (order(24, [], b""), fault::CALL_DEPTH),
        (order(25, [0], b""), fault::INDIRECT_CALL),
        (order(25, [1], b""), fault::INDIRECT_CALL),
        (order(25, [2], b""), fault::OUT_OF_BOUNDS),
        (order(26, [-1_i64 as u64], b""), fault::NEGATIVE_CODE),
        (order(2, [0, page, 1], b""), fault::MISUSE),
        (order(2, [0, u64::from(u32::MAX), u64::from(u32::MAX)], b""), fault::MISUSE),
        (order(15, [page + 1, 0], b""), fault::MISUSE),
    ];
    for (order, expected) in cases {
        let op = (order.op, order.args);
        assert_eq!(fault::text(rig.fault(order)), fault::text(expected), "{op:?}");
    }
}

#[test]
fn a3_8_a8_3_host_calls_cost_fuel_by_their_bytes() {
    let mut rig = Rig::new();
    let base = rig.one(publishing(0, b"")).result.fuel;
    let more = rig.one(order(2, [0, 0, 800], b"")).result.fuel;
    assert_eq!(more - base, 100, "one unit per 8 bytes");
    let setup = Setup {
        templates: vec![Template { fuel_per_call: 90, ..setup().templates[0].clone() }],
        ..setup()
    };
    let mut poor = Rig::of(PROBE, &setup);
    poor.init(0, b"");
    let turn = poor.one(publishing(0, b""));
    assert_eq!((turn.result.fault, turn.result.fuel), (fault::OUT_OF_FUEL, 90));
}

#[test]
fn a3_8_asking_for_a_channel_costs_fuel_by_the_patterns() {
    let fuel = |op: u32, patterns: &[String]| {
        let mut setup = setup();
        setup.templates[0].capabilities = patterns.iter().map(|p| format!("channel:{p}")).collect();
        let mut rig = Rig::of(PROBE, &setup);
        rig.init(0, b"");
        let turn = match op {
            7 => rig.one(order(7, [BYTES_AT, 4, BYTES_AT, 0], b"hall")),
            _ => rig.one(naming(op, b"hall")),
        };
        assert_eq!(turn.status(), Status::Denied);
        turn.result.fuel
    };
    for op in [5, 6, 7] {
        let none = fuel(op, &[]);
        let many: Vec<String> = (0..200).map(|n| format!("hal/{n:0200}")).collect();
        assert_eq!(fuel(op, &many), none + 200 * 204, "op {op}");
    }
}

#[test]
fn a1_6_a8_1_a8_3_a_bad_inbox_is_a_fault() {
    let args = [0; 100];
    for (at, capacity) in [
        ("1025", "4096"),
        ("1028", "4096"),
        ("1024", "127"),
        ("65536", "128"),
        ("65408", "136"),
        ("-8", "128"),
        ("1024", "-1"),
    ] {
        let wat = PROBE
            .replace("1024) (; INBOX ;)", &format!("{at})"))
            .replace("4096) (; CAP ;)", &format!("{capacity})"));
        let turn = Rig::of(&wat, &setup()).init(0, b"");
        assert_eq!(turn.result.fault, fault::BAD_INBOX, "{at} {capacity}");
        assert_eq!(turn.result.fuel, 2 * FUEL);
    }
    let wat = PROBE.replace("4096) (; CAP ;)", "128)");
    let mut rig = Rig::of(&wat, &setup());
    assert_eq!(rig.init(0, &args[..88]).result.fault, fault::NONE);
    assert_eq!(rig.init(0, &args[..89]).result.fault, fault::BAD_INBOX, "arguments must fit");
    // A trap while asking is that trap.
    let wat = PROBE.replace("(i32.const 4096) (; CAP ;)", "unreachable");
    assert_eq!(Rig::of(&wat, &setup()).init(0, b"").result.fault, fault::UNREACHABLE);
}

#[test]
fn a2_3_an_init_says_how_long_an_item_may_be() {
    let mut rig = Rig::of(&PROBE.replace("4096) (; CAP ;)", "128)"), &setup());
    let init = rig.init(0, b"");
    assert_eq!(init.result.item_bytes_max, 128 - 64, "without the header");
    // An order has 40 bytes before its data.
    let turn = rig.one(publishing(0, &[1; 24]));
    assert_eq!((turn.result.effects, turn.result.item_bytes_max), (1, 0), "this one just fits");
}

#[test]
fn a1_7_memory_grows_by_declared_numbers_only() {
    let mut rig = Rig::new();
    assert_eq!(rig.one(order(27, [u64::from(u32::MAX)], b"")).answer(), -1);
    assert_eq!(rig.one(order(27, [4], b"")).answer(), -1, "beyond the declared maximum");
    assert_eq!(rig.one(order(27, [3], b"")).answer(), 1);
    assert_eq!(rig.one(order(27, [1], b"")).answer(), -1);
    assert_eq!(rig.one(order(27, [u64::from(u32::MAX)], b"")).answer(), -1);
    assert_eq!(rig.one(publishing(0, b"still here")).result.effects, 1);
    // The run's limit binds where the module asks for more.
    let mut setup = setup();
    setup.limits.memory_bytes_max = 2 << 16;
    let mut rig = Rig::of(&PROBE.replace("\"memory\") 1 4", "\"memory\") 1 2"), &setup);
    rig.init(0, b"");
    assert_eq!(rig.one(order(27, [1], b"")).answer(), 1);
    assert_eq!(rig.one(order(27, [1], b"")).answer(), -1);
}

#[test]
fn d1_3_d1_4_causes_and_traces_follow_the_item() {
    let mut rig = Rig::new();
    let orders = [publishing(0, b"1"), publishing(0, b"2"), order(40, [], b"")];
    let items = rig.items(&orders);
    let command = TurnCommand { items: 3, ..rig.command(turn::STEP) };
    let turn = rig.run(&command, &items, &[]);
    let cause = |item: &ItemFrame| xxh3_64(bytemuck::bytes_of(&item.header));
    let expected = [(cause(&items[0]), 1000), (cause(&items[1]), 1001), (cause(&items[2]), 1002)];
    let found: Vec<_> = turn.effects.iter().map(|e| (e.cause, e.trace)).collect();
    assert_eq!(found, expected, "D1: the item being received, in a step the last one");
    // Shutdown has no item: no cause, a trace of its own.
    let seq = rig.seq;
    let turn = rig.run(&rig.command(turn::SHUTDOWN), &[], &[]);
    assert_eq!((turn.result.code, turn.effects.len()), (7, 1));
    let own: Vec<u8> = [0x1234_u64, seq].iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!((turn.effects[0].cause, turn.effects[0].trace), (0, xxh3_64(&own)), "D1");
}

#[test]
fn a6_1_a6_2_random_is_a_hash_of_the_moment() {
    let mut rig = Rig::new();
    let turn = rig.step(&[order(40, [], b""), order(18, [3], b""), order(18, [1], b"")]);
    let expected = |call: u32, draw: u32| {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&0x1234_u64.to_le_bytes());
        bytes.extend_from_slice(&9_u64.to_le_bytes());
        for word in [1, 2, call, draw] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        xxh3_64_with_seed(&bytes, SEED).to_le_bytes()
    };
    let first = [expected(1, 0), expected(1, 1), expected(1, 2)].concat();
    assert_eq!(rig.payload(&turn.effects[0]), first, "A6");
    assert_eq!(rig.payload(&turn.effects[1]), expected(2, 0), "A6: draws count within a call");
}

#[test]
fn payloads_come_from_every_area() {
    let mut rig = Rig::new();
    let payload = publishing(0, &[7; 500]).payload();
    let block = rig.spill.retain(&payload).expect("room");
    let spilled = ItemFrame {
        header: header(payload.len() as u32, 0),
        location: Location { area: Location::SPILL, block },
        epoch: 0,
    };
    rig.epoch += 1;
    rig.lane.begin(rig.epoch);
    let command = TurnCommand { items: 1, ..rig.command(turn::STEP) };
    let turn = rig.run(&command, &[spilled], &[]);
    let sent = turn.effects[0];
    assert_eq!(rig.payload(&sent), [7; 500]);
    // What it published lies in the lane's own outbox and is an item one epoch later.
    let order = publishing(0, &order(17, [], b"").payload());
    let sent = rig.one(order).effects[0];
    let own = ItemFrame {
        header: header(sent.len, 0),
        location: Location { area: 0, block: sent.block },
        epoch: rig.epoch,
    };
    rig.epoch += 1;
    rig.lane.begin(rig.epoch);
    let command = TurnCommand { items: 1, ..rig.command(turn::STEP) };
    assert_eq!(rig.run(&command, &[own], &[]).answer(), 9);
    // Any other epoch is a bug of the kernel.
    rig.lane.begin(rig.epoch + 1);
    let error = rig.lane.execute(&command, &[own], &[], &mut Vec::new()).expect_err("expired");
    assert_eq!(error.failure, MachineFailure::Payload);
}

#[test]
fn impossible_commands_stop_the_lane() {
    type Change = fn(&mut TurnCommand);
    let cases: [(Change, &str); 7] = [
        (|c| c.items = 1, "announces"),
        (|c| c.args_len = 1, "announces"),
        (|c| c.incarnation = 2, "incarnation"),
        (|c| c.agent = AgentId::new(3, 2).to_bits(), "incarnation"),
        (|c| c.agent = AgentId::new(4, 1).to_bits(), "no instance"),
        (|c| c.agent = AgentId::new(8, 1).to_bits(), "slot"),
        (|c| c.kind = 99, "kind"),
    ];
    for (change, text) in cases {
        let mut rig = Rig::new();
        let mut command = rig.command(turn::STEP);
        change(&mut command);
        let error = rig.lane.execute(&command, &[], &[], &mut Vec::new()).expect_err(text);
        assert_eq!(error.failure, MachineFailure::Command);
        assert!(error.to_string().contains(text), "{error}");
    }
    let mut rig = Rig::new();
    let command = TurnCommand { template: 2, ..rig.command(turn::INIT) };
    assert!(rig.lane.execute(&command, &[], &[], &mut Vec::new()).is_err());
}

#[test]
fn d5_1_the_state_digest_covers_memory_and_globals() {
    let mut rig = Rig::new();
    let fresh = rig.state();
    assert_ne!(fresh, Digest::default());
    assert_eq!(rig.state(), fresh, "hashing changes nothing");
    rig.one(order(17, [], b""));
    let stepped = rig.state();
    assert_ne!(stepped, fresh);
    // The same inbox bytes, but another value in a global: the tick.
    rig.step_with(&[order(17, [], b"")], |command| command.tick = 10);
    let other = rig.state();
    assert_ne!(other, stepped);
    rig.init(0, b"");
    assert_eq!(rig.state(), fresh, "a new incarnation starts afresh");
    rig.run(&rig.command(turn::DROP), &[], &[]);
    assert_eq!(rig.state(), Digest::default());
}

/// A busy script with effects, faults and restarts; everything it gave, as bytes.
fn script(rig: &mut Rig) -> Vec<u8> {
    let mut all = Vec::new();
    rig.init(0, &[1, 2, 3, 4]);
    for round in 0..20_u64 {
        let orders = [
            publishing(0, &[round as u8; 70]),
            order(18, [4], b""),
            order(1, [round, BYTES_AT, 3], b"abc"),
            if round % 5 == 4 { order(24, [], b"") } else { order(27, [1], b"") },
        ];
        let turn = rig.step(&orders);
        all.extend_from_slice(bytemuck::bytes_of(&turn.result));
        all.extend_from_slice(bytemuck::cast_slice(&turn.effects));
        turn.effects.iter().for_each(|effect| all.extend(rig.payload(effect)));
        if turn.result.fault != fault::NONE {
            rig.init(0, &[1, 2, 3, 4]);
        }
        all.extend_from_slice(&rig.state().to_bytes());
    }
    all
}

#[test]
fn equal_commands_give_equal_bytes() {
    let first = script(&mut Rig::of(PROBE, &setup()));
    let second = script(&mut Rig::of(PROBE, &setup()));
    assert!(first == second, "two lanes differ");
    let dense = Setup { limits: Limits { agents_max: 10_000, ..setup().limits }, ..setup() };
    let third = script(&mut Rig::of(PROBE, &dense));
    assert!(first == third, "the memory layout shows");
}

#[test]
fn a_missing_module_is_named() {
    let mut setup = setup();
    setup.templates[1].module = "beef".to_owned();
    let error = compile(PROBE, &setup).expect_err("missing").to_string();
    assert!(error.contains("template none") && error.contains("beef"), "{error}");
}

/// Figures for a quiet machine: `cargo test -p wasm-engine-guest -- --ignored
/// --nocapture timing`.
#[test]
#[ignore = "prints figures, asserts nothing about them"]
fn timing_of_a_trivial_turn() {
    const ROUNDS: u32 = 2000;
    const TURNS: u32 = 500;
    let mut rig = Rig::of(TRIVIAL, &setup());
    rig.init(0, b"");
    let item = rig.items(&[Order { bytes: vec![1; 24], ..Order::default() }])[0];
    assert_eq!(item.header.len, 64);
    let step = TurnCommand { items: 1, ..rig.command(turn::STEP) };
    let empty = TurnCommand { items: 0, ..step };
    let mut out = Vec::with_capacity(rig.lane.result_words_max());
    let mut best = [f64::MAX; 2];
    for _ in 0..ROUNDS {
        for (best, (command, items)) in best.iter_mut().zip([(&step, &[item][..]), (&empty, &[])]) {
            let begin = now_ns();
            for turn in 0..TURNS {
                if turn == 0 {
                    rig.lane.begin(rig.epoch);
                }
                out.clear();
                rig.lane.execute(command, items, &[], &mut out).expect("the machine works");
            }
            let ns = (now_ns() - begin) as f64 / f64::from(TURNS);
            *best = best.min(ns);
        }
    }
    let bare = bare_call_ns(ROUNDS, TURNS);
    let [with_item, without] = best;
    println!("bare typed call with fuel     {bare:.1} ns");
    println!("turn without items            {without:.1} ns ({:.1} x)", without / bare);
    println!("turn, 64-byte item, publish   {with_item:.1} ns ({:.1} x)", with_item / bare);
}

/// A fuel-metered `agent_step` of the trivial agent, called as cheaply as wasmtime can.
fn bare_call_ns(rounds: u32, turns: u32) -> f64 {
    let profile = MemoryProfile { seats: 1, memory_bytes_max: 1 << 16, layout: None };
    let engine = deterministic_engine(profile).expect("engine starts");
    let wat = r#"(module (func (export "agent_step") (param i32) (result i32) (i32.const 0)))"#;
    let wasm = wat::parse_str(wat).expect("parses");
    let module = wasmtime::Module::new(engine.wasmtime(), wasm).expect("valid");
    let mut store = wasmtime::Store::new(engine.wasmtime(), ());
    store.set_fuel(FUEL).expect("metered");
    let instance = wasmtime::Instance::new(&mut store, &module, &[]).expect("instantiates");
    let function = instance.get_typed_func::<i32, i32>(&mut store, "agent_step").expect("exported");
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let begin = now_ns();
        for _ in 0..turns {
            store.set_fuel(FUEL).expect("metered");
            function.call(&mut store, 1024).expect("returns");
        }
        best = best.min((now_ns() - begin) as f64 / f64::from(turns));
    }
    best
}
