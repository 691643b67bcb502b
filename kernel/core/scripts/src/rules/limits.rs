//! Every documented limit, exceeded by an agent on its own lane and on those of workers: the
//! refusal is the same and the one that the rules name.

use std::collections::BTreeSet;

use wasm_engine_abi::{
    AgentId, Digest,
    calls::Status,
    frame::{fault, item},
    task::{TaskHeader, TaskId},
};
use wasm_engine_core::OpenError;
use wasm_engine_setup::{Limits, LoadOn};

use crate::{Machine, OUT, Prog, REFUSE, Rig, SELF, Scene, prog, rules::shown, to};

/// How a run shows that a limit was reached.
#[derive(Clone, Copy, Debug)]
enum Reached {
    /// The agent gets an item with this status.
    Answer(Status),
    /// The call itself answers with it.
    Call(Status),
    /// Its turn faults.
    Fault(u32),
    /// The tick has so many microsteps.
    Microsteps(u32),
    /// The facts of a tick are refused.
    Facts(&'static str),
}

/// The limit, by name; how it is lowered; what agent 0 does then; what follows.
type Case = (&'static str, fn(&mut Limits), fn() -> Prog, Reached);

/// The one limit that no running agent reaches: a module whose memory could be larger is refused.
const AT_ADMISSION: &str = "memory_bytes_max";

fn two() -> Prog {
    prog().send_len(to(1), 64).send_len(to(1), 64)
}

fn idle() -> Prog {
    prog()
}

const CASES: &[Case] = &[
    (
        "agents_max",
        |l| l.agents_max = 4,
        || prog().spawn("worker", &prog()),
        Reached::Answer(Status::NoSlot),
    ),
    (
        "microsteps_max",
        |l| l.microsteps_max = 5,
        || prog().on(item::MESSAGE, &prog().send(SELF, b"x")).send(SELF, b"x"),
        Reached::Microsteps(5),
    ),
    ("inputs_per_tick_max", |l| l.inputs_per_tick_max = 2, idle, Reached::Facts("more inputs")),
    (
        "input_bytes_per_tick_max",
        |l| l.input_bytes_per_tick_max = 64,
        idle,
        Reached::Facts("longer inputs"),
    ),
    ("inbox_items_max", |l| l.inbox_items_max = 1, two, Reached::Answer(Status::InboxFull)),
    ("inbox_bytes_max", |l| l.inbox_bytes_max = 64, two, Reached::Answer(Status::InboxFull)),
    (
        "receive_max",
        |l| l.receive_max = 1,
        // Two messages and, with the order itself, three turns.
        || prog().send(SELF, b"x").send(SELF, b"y"),
        Reached::Microsteps(3),
    ),
    (
        "effects_max",
        |l| l.effects_max = 3,
        || prog().publish(OUT, b"").publish(OUT, b"").publish(OUT, b""),
        Reached::Call(Status::Quota),
    ),
    (
        "payload_bytes_max",
        |l| l.payload_bytes_max = 256,
        || prog().publish_len(OUT, 64).publish_len(OUT, 128),
        Reached::Call(Status::Quota),
    ),
    ("answers_max", |l| l.answers_max = 2, two, Reached::Call(Status::Busy)),
    ("fuel_per_call", |_| (), || prog().forever(), Reached::Fault(fault::OUT_OF_FUEL)),
    ("turns_per_microstep_max", |l| l.turns_per_microstep_max = 2, idle, Reached::Microsteps(2)),
    (
        "effects_per_microstep_max",
        |l| l.effects_per_microstep_max = 2 * l.effects_max,
        idle,
        Reached::Microsteps(2),
    ),
    (
        "payload_bytes_per_microstep_max",
        |l| l.payload_bytes_per_microstep_max = 2 * l.payload_bytes_max,
        idle,
        Reached::Microsteps(2),
    ),
    (
        "fuel_per_microstep_max",
        |l| l.fuel_per_microstep_max = 2 * 33_000_000,
        idle,
        Reached::Microsteps(2),
    ),
    (
        "deliveries_per_microstep_max",
        |l| l.deliveries_per_microstep_max = 4,
        || two().then(&two()).then(&two()),
        Reached::Answer(Status::KernelFull),
    ),
    (
        "messages_held_max",
        |l| l.messages_held_max = 4,
        || two().then(&two()).then(&two()),
        Reached::Answer(Status::KernelFull),
    ),
    (
        "payload_bytes_held_max",
        |l| l.payload_bytes_held_max = 512,
        || prog().send_len(to(1), 320).send_len(to(1), 256),
        Reached::Answer(Status::KernelFull),
    ),
    (
        "inferences_pending_max",
        |l| l.inferences_pending_max = 1,
        || prog().infer(0, b"1234").infer(0, b"1234"),
        Reached::Answer(Status::KernelFull),
    ),
    (
        "inference_bytes_max",
        |l| l.inference_bytes_max = 64,
        || prog().infer(0, b"1234").infer(0, b"1234"),
        Reached::Call(Status::Quota),
    ),
    (
        "inference_bytes_per_microstep_max",
        |l| l.inference_bytes_per_microstep_max = 2 * l.inference_bytes_max,
        idle,
        Reached::Microsteps(2),
    ),
    (
        "inference_reply_bytes_pending_max",
        |l| l.inference_reply_bytes_pending_max = 1000,
        || prog().infer(0, b"1234").infer(0, b"1234"),
        Reached::Answer(Status::KernelFull),
    ),
    (
        "inference_bytes_pending_max",
        |l| l.inference_bytes_pending_max = 4,
        || prog().infer(0, b"1234").infer(0, b"1234"),
        Reached::Answer(Status::KernelFull),
    ),
    (
        "models_bytes_max",
        // The model of the scene takes them, and stays.
        |l| l.models_bytes_max = 100,
        || prog().infer(1, b"1234"),
        Reached::Answer(Status::KernelFull),
    ),
    (
        "memberships_max",
        |l| l.memberships_max = 2,
        || prog().join("a").join("b"),
        Reached::Answer(Status::Quota),
    ),
    ("tasks_max", |l| l.tasks_max = 1, two_tasks, Reached::Answer(Status::KernelFull)),
    ("agent_tasks_max", |l| l.agent_tasks_max = 1, two_tasks, Reached::Answer(Status::InboxFull)),
    (
        "dependencies_max",
        |l| l.dependencies_max = 1,
        || prog().schedule(SELF, &plain_task(&[TaskId::of_host(0); 2])),
        Reached::Call(Status::Invalid),
    ),
];

/// A task of one attempt without a payload.
fn plain_task(after: &[TaskId]) -> Vec<u8> {
    let header = TaskHeader { after: after.len() as u32, ..TaskHeader::default() };
    [bytemuck::bytes_of(&header), bytemuck::cast_slice(after)].concat()
}

fn two_tasks() -> Prog {
    prog().schedule(SELF, &plain_task(&[])).schedule(SELF, &plain_task(&[]))
}

/// A run under a limit, its worker count apart: whether it was reached, and the digests.
fn reached<M: Machine>(case: &Case, workers: u32) -> (bool, Vec<Digest>) {
    let (key, lower, program, expected) = case;
    let mut scene = Scene::of(4);
    scene.model("m", 1);
    (scene.setup.models[0].memory_bytes, scene.setup.models[0].pinned) = (100, true);
    scene.model_of("later", 1, LoadOn::Request, 100);
    lower(scene.limits());
    let mut rig = Rig::<M>::with_workers(&scene, workers);
    rig.tick();
    if let Reached::Facts(_) = expected {
        for _ in 0..3 {
            rig.input(REFUSE, b"x");
        }
        let refused = rig.try_tick();
        let exceeds = |error: &OpenError| match (error, expected) {
            (OpenError::Exceeds { what, .. }, Reached::Facts(expected)) => what == expected,
            _ => false,
        };
        return (refused.is_err_and(|error| exceeds(&error)), rig.digests());
    }
    rig.tell(0, program());
    if let Reached::Microsteps(2) = expected {
        (1..4).for_each(|agent| rig.tell(agent, prog()));
    }
    let close = rig.tick();
    let code = rig.code(0);
    rig.tick();
    let from = AgentId::new(0, 0);
    let seen = rig.seen(from);
    let answer = |status: Status| seen.iter().any(|seen| seen.header.code == status as i32);
    let reached = match *expected {
        Reached::Answer(status) => answer(status),
        Reached::Call(status) => code == shown(status),
        Reached::Fault(kind) => rig.core().agent(0).activity.last_fault == kind,
        Reached::Microsteps(count) => close.microsteps == count,
        Reached::Facts(_) => unreachable!("handled above: {key}"),
    };
    (reached, rig.digests())
}

pub fn c2_4_q3_1_a3_7_a4_7_t2_2_every_limit_is_reached_on_every_lane_as_documented<M: Machine>() {
    for case in CASES {
        let (alone, digests) = reached::<M>(case, 0);
        assert!(alone, "{} is not reached", case.0);
        for workers in [1, 3] {
            let (also, same) = reached::<M>(case, workers);
            assert!(also && same == digests, "{} differs with {workers} workers", case.0);
        }
        // Without the limit nothing of it shows, so the case tests the limit.
        if !matches!(case, ("fuel_per_call", ..)) {
            let unlimited: Case = (case.0, |_| (), case.2, case.3);
            assert!(!reached::<M>(&unlimited, 0).0, "{} shows without the limit", case.0);
        }
    }
    let named: BTreeSet<_> = CASES.iter().map(|case| case.0).chain([AT_ADMISSION]).collect();
    let all: BTreeSet<_> = Limits::default().bounds().into_iter().map(|bound| bound.0).collect();
    assert_eq!(named, all, "no limit is left out");
}
