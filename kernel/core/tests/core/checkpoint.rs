//! The state as bytes (SEMANTICS L8): whoever goes on from them is not told from who never stopped.

use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any},
    proptest,
};
use wasm_engine_abi::{
    record::action,
    task::{TaskHeader, TaskId},
};
use wasm_engine_core::{CheckpointError, Phase};
use wasm_engine_core_scripts::{
    Mix, Rig, Scripted, everything, prog, random_budget, random_command, random_program, to,
};
use wasm_engine_setup::Schedule;
use xxhash_rust::xxh3::xxh3_128;

type Run = Rig<Scripted>;

const SCHEDULES: [Schedule; 3] = [Schedule::Fifo, Schedule::RoundRobin, Schedule::Priority];

/// A rig of eight agents that do everything, after tick 0.
fn begun(seed: u64) -> Run {
    let mut scene = everything(seed, SCHEDULES[seed as usize % 3]);
    scene.setup.agents.truncate(8);
    let mut rig = Run::with_workers(&scene, (seed % 2) as u32);
    rig.tick();
    rig
}

/// One tick of random inputs, commands and budgets.
fn drive(rig: &mut Run, choice: u64) {
    let mut mix = Mix(choice);
    for _ in 0..mix.below(5) {
        let program = random_program(&mut mix, 8);
        rig.tell(mix.below(8) as u32, program);
    }
    if mix.below(3) == 0 {
        let (action, subject, args) = random_command(&mut mix, 8, rig.commands_given());
        rig.command(action, subject, &args);
    }
    rig.budget = random_budget(&mut mix);
    let last = rig.core().tick();
    // Sometimes a tick is skipped, as far as nothing is due (T5).
    let next = rig.next_tick().unwrap_or(last + 3).max(last + 1);
    rig.tick_at(next);
}

/// Both did the same, to the last message.
fn assert_same(one: &Run, other: &Run) {
    assert_eq!(one.closes, other.closes);
    assert_eq!(one.log, other.log, "facts and what they chose");
    assert_eq!(one.sink.outputs, other.sink.outputs);
    assert_eq!(one.sink.requests, other.sink.requests);
    assert_eq!(one.sink.lines, other.sink.lines);
    assert_eq!(one.sink.refused, other.sink.refused);
    assert_eq!(one.sink.loads, other.sink.loads);
    assert_eq!(one.sink.unloads, other.sink.unloads);
    assert_eq!(one.sink.commands, other.sink.commands);
    assert_eq!(one.sink.tasks, other.sink.tasks);
    assert_eq!(one.core().stats(), other.core().stats());
}

#[test]
fn l8_1_l8_2_l8_3_a_run_restored_at_every_tick_is_one_that_never_stopped() {
    let config = ProptestConfig { cases: 60, ..ProptestConfig::default() };
    proptest!(config, |(seed in 0_u64..1000, choices in vec(any::<u64>(), 1..40))| {
        let (mut one, mut other) = (begun(seed), begun(seed));
        for (at, choice) in (0_u32..).zip(choices) {
            let bytes = other.machine.checkpoint();
            let undisturbed = one.machine.checkpoint();
            assert_eq!(bytes, undisturbed, "equal states have equal bytes, whatever ran before");
            let restored = other.machine.restored(&bytes, at % 3).expect("it was just written");
            other.machine = restored;
            assert_eq!(other.machine.checkpoint(), bytes);
            drive(&mut one, choice);
            drive(&mut other, choice);
            assert_eq!(one.closes.last(), other.closes.last());
        }
        assert_same(&one, &other);
    });
}

#[test]
fn l8_1_a_run_of_a_thousand_ticks_restored_at_every_one_ends_the_same() {
    let (mut one, mut other) = (begun(11), begun(11));
    for at in 0..1000_u32 {
        let bytes = other.machine.checkpoint();
        let restored = other.machine.restored(&bytes, at % 4).expect("it was just written");
        other.machine = restored;
        let choice = u64::from(at).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        drive(&mut one, choice);
        drive(&mut other, choice);
    }
    assert_same(&one, &other);
    assert_eq!(one.machine.checkpoint(), other.machine.checkpoint());
}

/// A state with something in every part.
fn busy() -> Run {
    let mut rig = begun(4);
    for choice in 0..12 {
        drive(&mut rig, choice);
    }
    // One that is ready and two that wait, of the host and of an agent.
    let active = |index: &u32| {
        let agent = rig.core().agent(*index);
        agent.phase == Phase::Active && agent.id.to_bits() == to(*index)
    };
    let mut living = (0..8).filter(active);
    let mut next = || living.next().expect("two of them live");
    let (receiver, other) = (next(), next());
    let plain = |after: &[TaskId], payload: &[u8]| {
        let header = TaskHeader { after: after.len() as u32, ..TaskHeader::default() };
        [bytemuck::bytes_of(&header), bytemuck::cast_slice(after), payload].concat()
    };
    let first = TaskId::of_host(rig.commands_given() + 1);
    rig.command(action::PAUSE, to(receiver), b"");
    rig.command(action::SCHEDULE, to(receiver), &plain(&[], b"ready"));
    rig.command(action::SCHEDULE, to(other), &plain(&[first], &[7; 65]));
    rig.command(action::RESUME, to(other), b"");
    rig.tell(other, prog().schedule(to(receiver), &plain(&[first], b"its own")));
    rig.budget = None;
    rig.tick();
    let stats = rig.core().stats();
    let tasks = [stats.tasks_blocked, stats.tasks_ready, stats.tasks_failed];
    assert!(tasks.iter().all(|count| *count > 0), "{tasks:?}");
    rig
}

#[test]
fn l8_4_every_cut_and_every_changed_byte_is_damage() {
    let mut rig = busy();
    let bytes = rig.machine.checkpoint();
    for cut in 0..bytes.len() {
        let error = rig.machine.restored(&bytes[..cut], 0).expect_err("it is cut");
        assert!(matches!(error, CheckpointError::Damaged { .. }), "cut at {cut}: {error}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let error = rig.machine.restored(&changed, 0).expect_err("it is changed");
        assert!(matches!(error, CheckpointError::Damaged { .. }), "byte {at}: {error}");
    }
    let error = rig.machine.restored(&[bytes.as_slice(), &[0]].concat(), 0);
    assert!(matches!(error, Err(CheckpointError::Damaged { .. })), "a byte more");
}

/// What is accepted of bytes that somebody sealed anew is a state with these very bytes; no byte
/// makes the state machine panic or take memory for what is only announced.
#[test]
fn l8_3_l8_4_what_is_accepted_of_changed_and_sealed_bytes_is_their_state() {
    let mut rig = busy();
    let bytes = rig.machine.checkpoint();
    let body = bytes.len() - 16;
    let (mut accepted, mut refused) = (0, 0);
    for at in 0..body {
        for value in [bytes[at] ^ 1, bytes[at] ^ 0x80, 0xff] {
            if value == bytes[at] {
                continue;
            }
            let mut changed = bytes.clone();
            changed[at] = value;
            let seal = xxh3_128(&changed[..body]);
            changed[body..].copy_from_slice(&seal.to_le_bytes());
            match rig.machine.restored(&changed, 1) {
                Ok(mut machine) => {
                    assert!(machine.checkpoint() == changed, "byte {at} is not in the state");
                    accepted += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
}

#[test]
fn l8_4_a_checkpoint_of_another_setup_is_refused() {
    let mut rig = begun(3);
    let bytes = rig.machine.checkpoint();
    let other = begun(5);
    let error = other.machine.restored(&bytes, 0).expect_err("it is another run's");
    assert!(matches!(error, CheckpointError::OtherSetup { .. }), "{error}");
}
