//! Time: ticks, microsteps, what is due (T), and facts that are refused (L6).

use wasm_engine_abi::frame::item;
use wasm_engine_abi::page::event;
use wasm_engine_abi::record::{FactHeader, fact};
use wasm_engine_core::{FactsBuilder, OpenError};
use wasm_engine_setup::{Restart, SourceSetup};

use crate::{CMD, FROM, Machine, OUT, REFUSE, Rig, SELF, Scene, at, prog, rules::fresh, to};

pub fn t3_1_t3_2_what_opens_a_tick_comes_in_the_fixed_order<M: Machine>() {
    let mut scene = Scene::empty();
    scene.template("breaker", fresh(3, 9, 50));
    scene.template("worker", Restart::Never);
    for agent in 0..4 {
        scene.agent(u32::from(agent >= 2), prog());
    }
    scene.setup.sources.push(SourceSetup { id: "other".to_owned(), live: false });
    // Models whose replies meet in tick 5.
    scene.model("quick", 1);
    scene.model("slow", 3);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(2, prog().subscribe(REFUSE));
    rig.tick();
    // In tick 2 agent 3 sets its timers before agent 2, and breaker 1 faults before 0.
    rig.tell(3, prog().timer(3, 31).timer(3, 30).infer(1, b"0001"));
    rig.tell(2, prog().timer(3, 21).infer(1, b"0002").timer(3, 20));
    rig.tell(1, prog().trap());
    rig.tell(0, prog().trap());
    rig.tick();
    // A later request to the model of the lower number has its reply in the same tick.
    rig.tell(2, prog().infer(0, b"0003"));
    rig.tick_at(4);
    assert_eq!(rig.next_tick(), Some(5));
    rig.input_from(1, REFUSE, b"other first");
    rig.input_from(0, REFUSE, b"host second");
    let before = rig.machine.events().len();
    rig.tick();
    let kinds = [event::RESTARTED, event::TIMER, event::INPUT];
    let events = &rig.machine.events()[before..];
    let opened: Vec<_> = events
        .iter()
        .take_while(|event| event.microstep == 0)
        .filter(|event| kinds.contains(&event.kind))
        .map(|event| (event.kind, event.subject as u32))
        .collect();
    let timers = [2, 2, 3, 3].map(|agent| (event::TIMER, agent));
    let restarts = [0, 1].map(|agent| (event::RESTARTED, agent));
    assert_eq!(opened, [&restarts[..], &timers, &[(event::INPUT, 2); 2]].concat());
    let seen = rig.seen(at(2)).into_iter().filter(|seen| seen.tick == 5);
    let seen: Vec<_> = seen.map(|s| (s.header.kind, s.header.from_seq, s.payload)).collect();
    let [reply, timer] = [item::REPLY, item::TIMER];
    let expected = [
        (reply, 0, &b"2000"[..]),
        (reply, 0, b"3000"),
        (timer, 21, b""),
        (timer, 20, b""),
        (item::INPUT, 0, b"other first"),
        (item::INPUT, 6, b"host second"),
    ];
    assert_eq!(seen, expected.map(|(kind, seq, payload)| (kind, seq, payload.to_vec())));
    assert!(rig.sink.outputs.iter().all(|out| out.microstep > 0), "T3.1: no turn in an open");
    let open = rig.seen(at(2)).into_iter().filter(|seen| seen.tick == 5);
    assert!(open.into_iter().all(|s| s.header.microstep == 0), "T3.1: made at the open");
}

pub fn t2_2_t2_3_t4_2_t5_1_a_turn_sees_only_what_was_committed_before_and_the_rest_waits<
    M: Machine,
>() {
    let mut scene = Scene::of(2);
    scene.limits().microsteps_max = 3;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // Agent 0 tells 1, 1 tells 0 back, and so on: one exchange a microstep.
    let answer = prog().send(FROM, b"pong");
    rig.tell(0, prog().on(item::MESSAGE, &answer));
    rig.tell(1, prog().on(item::MESSAGE, &answer).send(to(0), b"ping"));
    assert_eq!(rig.tick().microsteps, 3);
    assert_eq!(rig.core().runnable(), 1, "the last pong waits");
    assert_eq!(rig.next_tick(), Some(2), "T5: somebody is runnable");
    assert_eq!(rig.tick().microsteps, 3);
    let steps: Vec<_> =
        rig.seen_kind(at(0), item::MESSAGE).iter().map(|s| (s.tick, s.microstep)).collect();
    assert_eq!(steps, [(1, 2), (2, 1), (2, 3)]);
}

pub fn t5_2_only_the_ticks_are_next_that_something_is_due_in<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.model("m", 30);
    scene.template("breaker", fresh(7, 3, 100));
    scene.agent(1, prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    assert_eq!(rig.next_tick(), None, "T9: nothing is due");
    rig.tell(0, prog().timer(5, 0).timer(20, 0).infer(0, b"1234"));
    rig.tell(1, prog().trap());
    rig.settle(20);
    // Timer, backoff 1 + 7, timer, reply.
    let ticks: Vec<_> = rig.closes.iter().map(|close| close.tick).collect();
    assert_eq!(ticks, [0, 1, 6, 8, 21, 31]);
    assert_eq!(rig.next_tick(), None);
}

pub fn t5_4_a_dead_agents_timer_or_backoff_names_no_tick<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.template("breaker", fresh(7, 3, 100));
    scene.agent(1, prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(1, prog().timer(9, 0));
    rig.tell(2, prog().trap());
    rig.tick();
    rig.tell(0, prog().terminate(to(1)).terminate(to(2)));
    rig.tick();
    assert_eq!(rig.core().agents_alive(), 1);
    assert_eq!(rig.next_tick(), None);
}

pub fn t5_7_the_longest_timer_neither_ends_in_overflow_nor_holds_the_run<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.limits().microsteps_max = 1;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.tell(0, prog().timer(i64::MAX as u64, 1));
    rig.tick();
    assert_eq!(rig.next_tick(), None, "what is due after the last tick never is");
    let last = 1 << 62;
    let order = prog().on(item::TIMER, &prog().send(SELF, b"x")).timer(last - 2, 2);
    rig.tell(0, order);
    rig.tick();
    assert_eq!(rig.next_tick(), Some(last));
    rig.tick_at(last);
    let tags: Vec<_> =
        rig.seen_kind(at(0), item::TIMER).iter().map(|s| (s.tick, s.header.from_seq)).collect();
    assert_eq!(tags, [(last, 2)]);
    assert_eq!((rig.core().runnable(), rig.next_tick()), (1, None), "no tick follows the last");
    rig.facts.begin(last + 1);
    let facts = rig.facts.finish().to_vec();
    let refused = rig.feed(&facts).expect_err("no tick follows the last");
    assert!(matches!(refused, OpenError::NotNext { tick, .. } if tick == last + 1), "{refused:?}");
}

pub fn t8_1_t8_2_t8_3_t8_4_tick_0_takes_no_input_and_only_inits_in_configuration_order<
    M: Machine,
>() {
    let mut scene = Scene::empty();
    scene.template("worker", Restart::Never);
    for number in 0..5 {
        scene.agent(0, prog().publish(OUT, &[b'0' + number]).send(to(0), b"early"));
    }
    scene.limits().turns_per_microstep_max = 2;
    scene.limits().microsteps_max = 1;
    let mut rig = Rig::<M>::new(&scene);
    let close = rig.tick();
    assert_eq!((close.microsteps, close.turns), (3, 5), "as many microsteps as it takes");
    let all: Vec<_> = rig.sink.outputs.iter().map(|o| (o.microstep, o.payload[0])).collect();
    assert_eq!(all, [(1, b'0'), (1, b'1'), (2, b'2'), (2, b'3'), (3, b'4')]);
    assert!(rig.seen(at(0)).is_empty(), "its messages wait for tick 1");
    rig.tick();
    assert_eq!(rig.seen(at(0)).len(), 5);

    let mut rig = Rig::<M>::new(&scene);
    rig.facts.begin(0);
    rig.facts.push(FactHeader { kind: fact::INPUT, c: CMD, ..FactHeader::default() }, b"no");
    let facts = rig.facts.finish().to_vec();
    let refused = rig.feed(&facts);
    assert!(matches!(refused, Err(OpenError::InputInTickZero)), "{refused:?}");
}

pub fn l6_4_facts_that_cannot_be_those_of_the_next_tick_are_refused<M: Machine>() {
    let open = |facts: &dyn Fn(&mut FactsBuilder)| {
        let mut rig = Rig::<M>::new(&Scene::of(1));
        rig.tick();
        rig.tick_at(4);
        let mut builder = FactsBuilder::default();
        facts(&mut builder);
        rig.feed(builder.finish()).expect_err("these facts cannot be")
    };
    let input = |c: u32, a: u64| FactHeader { kind: fact::INPUT, a, c, ..FactHeader::default() };
    for tick in [0, 3, 4] {
        assert!(
            matches!(open(&|f| f.begin(tick)), OpenError::NotNext { tick: t, .. } if t == tick)
        );
    }
    let unknown = |a, c| {
        open(&move |f| {
            f.begin(5);
            f.push(input(c, a), b"");
        })
    };
    assert!(matches!(unknown(0, 999), OpenError::UnknownTopic { topic: 999, .. }));
    assert!(matches!(unknown(1, CMD), OpenError::UnknownTopic { origin: 1, .. }));
    let kind = open(&|f| {
        f.begin(5);
        f.push(FactHeader { kind: 77, ..FactHeader::default() }, b"");
    });
    assert!(matches!(kind, OpenError::UnknownFact { kind: 77, .. }));
}

pub fn t5_8_a_number_that_a_live_fact_chose_is_digested_and_checked<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.setup.sources.push(SourceSetup { id: "live".to_owned(), live: true });
    let waiting = || {
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        // A timer is due in tick 9, and nothing before it.
        rig.tell(0, prog().timer(8, 0));
        rig.tick();
        assert_eq!(rig.next_tick(), Some(9));
        rig
    };
    let input =
        |source| FactHeader { kind: fact::INPUT, a: source, c: OUT, ..FactHeader::default() };
    let feed = |tick, chosen, source| {
        let mut rig = waiting();
        rig.facts.begin(tick);
        if chosen {
            rig.facts.choose();
        }
        rig.facts.push(input(source), b"now");
        let facts = rig.facts.finish().to_vec();
        rig.feed(&facts)
    };
    let chosen = feed(5, true, 1).expect("it waits, and 5 is before 9");
    let not = feed(5, false, 1).expect("the number may be a data file's");
    assert_ne!(chosen.digest, not.digest, "who chose it is digested");
    for (tick, source, words) in
        [(5, 0, "it holds none"), (9, 1, "tick 9 was due"), (10, 1, "tick 9 was due")]
    {
        match feed(tick, true, source) {
            Err(OpenError::NotChosen { tick: at, why }) => {
                assert_eq!((at, why.as_str()), (tick, words));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut rig = waiting();
    rig.facts.begin(5);
    rig.facts.choose();
    rig.facts.push(input(1), b"now");
    let mut facts = rig.facts.finish().to_vec();
    facts[8] = 2;
    assert!(matches!(rig.feed(&facts), Err(OpenError::NotChosen { tick: 5, .. })));
}

pub fn l6_4_more_inputs_than_a_tick_admits_are_refused_not_fatal<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.limits().inputs_per_tick_max = 4;
    scene.limits().input_bytes_per_tick_max = 256;
    scene.limits().inbox_bytes_max = 4096;
    for (count, bytes, exceeds) in [(5, 1, "more inputs"), (2, 4000, "longer inputs")] {
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        let mut facts = FactsBuilder::default();
        facts.begin(1);
        for seq in 0..count {
            let header = FactHeader { kind: fact::INPUT, b: seq, c: CMD, ..FactHeader::default() };
            facts.push(header, &vec![b'x'; bytes]);
        }
        let refused = rig.feed(facts.finish()).expect_err("a tick admits less");
        assert!(
            matches!(refused, OpenError::Exceeds { tick: 1, what } if what == exceeds),
            "{refused:?}"
        );
    }
}

pub fn t5_4_timers_of_incarnations_that_are_over_do_not_pile_up<M: Machine>() {
    let mut scene = Scene::empty();
    scene.template("breaker", fresh(1, 1000, 1 << 40));
    scene.template("worker", Restart::Never);
    let timers = |due| (0..20).fold(prog(), |program, tag| program.timer(due, tag));
    scene.agent(0, prog());
    scene.agent(1, timers(512));
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // A crash loop whose timers are far away, then agents that end with theirs.
    for _ in 0..100 {
        rig.tell(0, timers(1 << 40).send_prog(SELF, prog().trap()));
        rig.tick();
        rig.tick();
    }
    assert_eq!(rig.core().stats().restarts, 100);
    assert!(rig.core().timers_held() <= 1024 + 20, "{}", rig.core().timers_held());
    for ending in [prog().terminate(SELF), prog().send_prog(SELF, prog().trap())] {
        let child = timers(1 << 40).then(&ending);
        for _ in 0..100 {
            rig.tell(0, prog().spawn("worker", &child));
            rig.tick();
        }
    }
    assert!(rig.core().timers_held() <= 1024 + 20, "{}", rig.core().timers_held());
    // What lives is kept, and nothing else names a tick.
    assert_eq!(rig.next_tick(), Some(512));
    rig.tick_at(512);
    assert_eq!(rig.seen_kind(at(1), item::TIMER).len(), 20);
    assert_eq!((rig.next_tick(), rig.core().timers_held()), (None, 0));
}
