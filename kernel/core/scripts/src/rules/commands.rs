//! Commands of the host (T3, T7).

use wasm_engine_abi::{
    AgentId,
    calls::Status,
    frame::item,
    page::event,
    record::{CommandFact, InputFact, LIVE_COMMAND, action},
};
use wasm_engine_core::{FactsBuilder, OpenError};
use wasm_engine_setup::{LoadOn, Restart};

use crate::{CMD, ECHO, Machine, OUT, Rig, Scene, at, prog, rules::fresh, to};

pub fn t3_2_t7_8_commands_come_after_loads_and_before_all_else<M: Machine>() {
    let mut scene = Scene::empty();
    scene.template("breaker", fresh(2, 9, 50));
    scene.agent(0, prog());
    scene.agent(0, prog());
    scene.model_of("m", 1, LoadOn::Request, 0);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // Load, backoff and timer are due in tick 3.
    rig.tell(1, prog().timer(2, 7).infer(0, b"0001"));
    rig.tell(0, prog().trap());
    rig.tick();
    rig.command(action::UNLOAD, 0, b"");
    rig.command(action::PAUSE, to(1), b"");
    rig.input(CMD + 1, b"");
    rig.tick_at(3);
    let opened: Vec<_> = rig
        .machine
        .events()
        .iter()
        .filter(|event| (event.tick, event.microstep) == (3, 0))
        .map(|event| event.kind)
        .collect();
    let expected = [
        event::TICK_OPEN,
        event::MODEL_LOADED,
        event::MODEL_UNLOADED,
        event::COMMANDED,
        event::PAUSED,
        event::COMMANDED,
        event::RESTARTED,
        event::TIMER,
        event::INPUT,
    ];
    assert_eq!(opened, expected);
}

pub fn t7_8_each_command_has_one_outcome<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.limits().agents_max = 3;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for (action, agent) in [
        (action::PAUSE, to(1)),
        (action::PAUSE, to(1)),
        (action::RESUME, to(1)),
        (action::RESUME, to(1)),
        (action::TERMINATE, to(1)),
        (action::TERMINATE, to(1)),
        (action::PAUSE, AgentId::new(0, 9).to_bits()),
    ] {
        rig.command(action, agent, b"");
    }
    let init = prog().echo(ECHO).publish(OUT, b"here").args();
    rig.command(action::SPAWN, 0, init.as_bytes());
    rig.command(action::SPAWN, 0, b"");
    rig.tick();
    let [ok, already, gone] = [Status::Ok, Status::Already, Status::Gone];
    let expected = [ok, already, ok, already, ok, gone, gone, ok, Status::NoSlot];
    assert_eq!(rig.outcomes(), expected);
    let agents: Vec<_> = rig.sink.commands.iter().map(|outcome| outcome.agent).collect();
    assert_eq!(agents[7..], [at(2), AgentId::NONE], "who was made");
    assert_eq!(rig.published(at(2), OUT), [b"here"], "C3.1: its init runs in this tick");
    assert_eq!(rig.events(&[event::COMMANDED]).len(), expected.len());
    assert_eq!(rig.core().agents_alive(), 2, "agent 1 had its last turn");
    assert_eq!(rig.seen_kind(at(0), item::OUTCOME), [], "no agent hears of it");
}

pub fn a5_1_an_agent_of_the_host_has_a_key_of_its_own<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.template("other", Restart::Never);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for template in [0, 0, 1] {
        rig.command(action::SPAWN, template, b"");
    }
    rig.tick();
    let keys: Vec<_> = rig.events(&[event::SPAWNED]).iter().map(|event| event.a).collect();
    // A change breaks every log: random numbers and traces are others.
    let mut bytes = b"\0worker\0".to_vec();
    bytes.extend_from_slice(&1_u64.to_le_bytes());
    assert_eq!((keys.len(), keys[1]), (3, xxhash_rust::xxh3::xxh3_64(&bytes)));
    assert!(keys[0] != keys[1] && keys[1] != keys[2]);
}

pub fn l6_4_commands_that_cannot_be_are_refused<M: Machine>() {
    let command = |action, subject| CommandFact { seq: 0, action, subject };
    let fed = |tick: u64, command: CommandFact, args: &[u8], input_first: bool| {
        let mut scene = Scene::of(1);
        scene.model("m", 1);
        let mut rig = Rig::<M>::new(&scene);
        if tick > 0 {
            rig.tick();
        }
        let mut builder = FactsBuilder::default();
        builder.begin(tick);
        if input_first {
            builder.push(InputFact { source: 0, seq: 0, topic: 0 }, b"");
        }
        builder.push(command, args);
        rig.feed(builder.finish())
    };
    let long = vec![b'0'; (16 << 10) + 1];
    assert!(fed(1, command(action::LOAD, 0), b"", false).is_ok());
    let unknown = |error| matches!(error, OpenError::UnknownCommand { tick: 1, seq: 0, .. });
    assert!(fed(1, command(99, 0), b"", false).is_err_and(unknown));
    for action in [action::LOAD, action::UNLOAD, action::SWAP, action::SPAWN] {
        assert!(fed(1, command(action, 1), b"", false).is_err_and(unknown));
        assert!(fed(1, command(action, u64::MAX), b"", false).is_err_and(unknown));
    }
    let exceeds = |error| matches!(error, OpenError::Exceeds { tick: 1, .. });
    assert!(fed(1, command(action::SPAWN, 0), &long, false).is_err_and(exceeds));
    let early = |error| matches!(error, OpenError::CommandInTickZero);
    assert!(fed(0, command(action::PAUSE, 0), b"", false).is_err_and(early));
    let order = |error| matches!(error, OpenError::Order { tick: 1 });
    assert!(fed(1, command(action::PAUSE, 0), b"", true).is_err_and(order));
    let pause = |seq| CommandFact { seq, action: action::PAUSE, subject: to(0) };
    let other = |error| matches!(error, OpenError::UnexpectedCommand { tick: 1, .. });
    for seq in [1, LIVE_COMMAND - 1, LIVE_COMMAND + 1, u64::MAX] {
        assert!(fed(1, pause(seq), b"", false).is_err_and(other), "{seq}");
    }
    let two = |first, second| {
        let mut rig = Rig::<M>::new(&Scene::of(1));
        rig.tick();
        let mut builder = FactsBuilder::default();
        builder.begin(1);
        builder.push(pause(first), b"");
        builder.push(pause(second), b"");
        rig.feed(builder.finish())
    };
    assert!(two(0, LIVE_COMMAND).is_ok());
    assert!(two(0, 0).is_err_and(other), "no two have one number");
    assert!(two(LIVE_COMMAND, 0).is_err_and(order), "live ones come last");
}
