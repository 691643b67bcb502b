//! Tasks and what they wait for (A12, Q2.4).

use std::collections::BTreeMap;

use wasm_engine_abi::{
    AgentId,
    calls::Status,
    frame::{fault, item},
    page::event,
    record::action,
    task::{TaskHeader, TaskId, on_failure, task_state},
};
use wasm_engine_setup::{Restart, Schedule};

use crate::{
    Machine, OUT, Prog, Rig, Scene, at, prog,
    rules::{fresh, shown},
    scene::Guest,
    to,
};

/// The bytes of a task.
pub(super) fn task(header: TaskHeader, after: &[TaskId], payload: &[u8]) -> Vec<u8> {
    let header = TaskHeader { after: after.len() as u32, ..header };
    header.parts(after, payload).concat()
}

/// One attempt, priority 0.
pub(super) fn plain(after: &[TaskId], payload: &[u8]) -> Vec<u8> {
    task(TaskHeader::default(), after, payload)
}

fn of(agent: u32, seq: u64) -> TaskId {
    TaskId { agent: to(agent), seq }
}

/// State, status, attempts and code of the host's tasks that ended, by the sequence of their
/// commands.
pub(super) fn ends<M: Machine>(rig: &Rig<M>) -> BTreeMap<u64, (u32, Status, u32, i32)> {
    let end = |end: &wasm_engine_core::TaskOutcome| {
        (end.seq, (end.state, end.status, end.attempts, end.code))
    };
    rig.sink.tasks.iter().map(end).collect()
}

const DONE: (u32, Status, u32, i32) = (task_state::DONE, Status::Ok, 1, 0);

/// Payloads of the tasks that an agent was given, in order.
fn given<M: Machine>(rig: &Rig<M>, agent: u32) -> Vec<Vec<u8>> {
    rig.seen_kind(at(agent), item::TASK).into_iter().map(|seen| seen.payload).collect()
}

pub fn a12_1_a12_2_a_task_that_is_refused_says_why<M: Machine>() {
    let answer = |bytes: Vec<u8>, target: u64, set: fn(&mut Scene)| {
        let mut scene = Scene::of(2);
        set(&mut scene);
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        let order = prog().schedule(to(1), &plain(&[], b"first")).schedule(target, &bytes);
        rig.tell(0, order.result(OUT));
        rig.tick();
        let answer: [u8; 8] = rig.published(at(0), OUT)[0].clone().try_into().expect("a number");
        let code = i64::from_le_bytes(answer).min(0).unsigned_abs() as i32;
        rig.settle(3);
        let outcomes = rig.seen_kind(at(0), item::OUTCOME);
        let last = outcomes.iter().find(|seen| seen.header.request == 3);
        (code, last.map(|seen| seen.header.code))
    };
    let ok = || plain(&[of(0, 2)], b"");
    let nothing = |_: &mut Scene| ();
    assert_eq!(answer(ok(), to(1), nothing), (0, Some(0)));
    let refused = |status: Status| (0, Some(status as i32));
    assert_eq!(answer(ok(), to(9), nothing), refused(Status::Gone));
    for unknown in [of(0, 3), of(0, 4), of(1, 2), TaskId::of_host(0)] {
        assert_eq!(answer(plain(&[unknown], b""), to(1), nothing), refused(Status::Unknown));
    }
    let few = |scene: &mut Scene| scene.limits().agent_tasks_max = 1;
    assert_eq!(answer(ok(), to(1), few), refused(Status::InboxFull));
    assert_eq!(answer(ok(), to(0), few), refused(Status::Ok), "another agent's");
    let few = |scene: &mut Scene| scene.limits().tasks_max = 1;
    assert_eq!(answer(ok(), to(0), few), refused(Status::KernelFull));
    // The order of reasons; the call's own come first.
    assert_eq!(answer(plain(&[of(1, 2)], b""), to(9), few), refused(Status::Gone));
    assert_eq!(answer(plain(&[of(1, 2)], b""), to(0), few), refused(Status::Unknown));
    let invalid = (shown(Status::Invalid), None);
    assert_eq!(answer(b"short".to_vec(), to(1), nothing), invalid);
    let none = |scene: &mut Scene| scene.limits().dependencies_max = 1;
    assert_eq!(answer(plain(&[of(0, 2); 2], b""), to(1), none), invalid);
    let poor = |scene: &mut Scene| {
        scene.setup.templates[0].capabilities.retain(|right| right != "schedule");
    };
    assert_eq!(answer(ok(), to(1), poor).0, shown(Status::Denied));
    assert_eq!(answer(b"".to_vec(), to(1), poor).0, shown(Status::Invalid));
}

pub fn a12_2_c2_3_payloads_of_tasks_count_against_what_the_kernel_holds<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.limits().payload_bytes_held_max = 192;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    let wait = |payload: &[u8]| plain(&[], payload);
    rig.command(action::PAUSE, to(1), b"");
    rig.command(action::SCHEDULE, to(1), &wait(&[7; 65]));
    rig.command(action::SCHEDULE, to(1), &wait(&[7; 65]));
    rig.command(action::SCHEDULE, to(1), &wait(b"fits"));
    rig.tick();
    let [ok, full] = [Status::Ok, Status::KernelFull];
    assert_eq!(rig.outcomes(), [ok, ok, full, ok]);
    assert_eq!(rig.core().held(), (0, 3));
    rig.command(action::RESUME, to(1), b"");
    rig.settle(4);
    assert_eq!(rig.core().held(), (0, 0), "given back when they ended");
    assert_eq!(given(&rig, 1), [vec![7; 64], b"fits".to_vec()], "the first 64 bytes of each");
}

pub fn a12_3_a_task_is_ready_from_the_microstep_after_all_it_waits_for<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(4));
    rig.tick();
    // 0 and 1 run at once, 2 after both, 3 after 2; the order of the agents does not matter.
    let host = TaskId::of_host;
    rig.command(action::SCHEDULE, to(3), &plain(&[], b"a"));
    rig.command(action::SCHEDULE, to(2), &plain(&[host(0)], b"b"));
    rig.command(action::SCHEDULE, to(0), &plain(&[host(0), host(1), host(0)], b"c"));
    rig.command(action::SCHEDULE, to(1), &plain(&[host(2)], b"d"));
    rig.tick();
    let when = |agent: u32| {
        let seen = rig.seen_kind(at(agent), item::TASK);
        seen.iter().map(|seen| (seen.tick, seen.microstep)).collect::<Vec<_>>()
    };
    let turns: Vec<_> = [3, 2, 0, 1].map(when).into_iter().flatten().collect();
    assert_eq!(turns, [(1, 1), (1, 2), (1, 3), (1, 4)]);
    assert_eq!(rig.core().stats().tasks_done, 4);
    let headers = rig.seen_kind(at(1), item::TASK);
    let header = headers[0].header;
    assert_eq!((header.from, header.from_seq), (AgentId::NONE.to_bits(), 3));
    assert_eq!((header.tick, header.microstep, header.code), (1, 0, 1), "as it was scheduled");
}

pub fn a12_4_a_step_takes_the_first_by_priority_then_by_acceptance<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(2));
    rig.tick();
    for (number, priority) in [0, 5, -1, 5].into_iter().enumerate() {
        let header = TaskHeader { priority, ..TaskHeader::default() };
        rig.command(action::SCHEDULE, to(1), &task(header, &[], &[number as u8]));
    }
    rig.tick();
    assert_eq!(given(&rig, 1), [[1], [3], [0], [2]]);
    let steps: Vec<_> =
        rig.seen_kind(at(1), item::TASK).iter().map(|seen| seen.microstep).collect();
    assert_eq!(steps, [1, 2, 3, 4], "one in a turn");
}

pub fn a12_4_no_task_of_an_agent_starves<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.limits().microsteps_max = 1;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // One comes in each tick and one is taken. Of aging_ticks = 4, 8 ticks make up for 2.
    rig.command(action::SCHEDULE, to(1), &plain(&[], b"low"));
    for _ in 0..20 {
        let header = TaskHeader { priority: 2, ..TaskHeader::default() };
        rig.command(action::SCHEDULE, to(1), &task(header, &[], b"high"));
        rig.tick();
    }
    let at_tick = given(&rig, 1).iter().position(|payload| payload == b"low");
    assert_eq!(at_tick, Some(8), "as many ticks later as make up for its priority");
}

pub fn q2_4_q1_4_a_task_raises_its_agent_where_it_stands<M: Machine>() {
    let first = |priorities: [i32; 2]| {
        let mut scene = Scene::of(3);
        scene.setup.schedule = Schedule::Priority;
        scene.limits().turns_per_microstep_max = 1;
        let mut rig = Rig::<M>::new(&scene);
        for _ in 0..4 {
            rig.tick();
        }
        // All wait, in this order; then the tasks come.
        rig.command(action::PAUSE, to(2), b"");
        (0..3).for_each(|agent| rig.tell(agent, prog()));
        rig.command(action::RESUME, to(2), b"");
        for (agent, priority) in [(1, priorities[0]), (2, priorities[1])] {
            let header = TaskHeader { priority, ..TaskHeader::default() };
            rig.command(action::SCHEDULE, to(agent), &task(header, &[], b""));
        }
        rig.tick();
        let turns = rig.events(&[event::TURN]).into_iter().filter(|event| event.tick == 4);
        turns.map(|event| event.subject).collect::<Vec<_>>()
    };
    let [a, b, c] = [to(0), to(1), to(2)];
    // Commands come before inputs, so the tasks of 1 and 2 wake them before 0.
    assert_eq!(first([0, 0]), [b, c, a]);
    assert_eq!(first([0, 1]), [c, b, a]);
    assert_eq!(first([-9, -9]), [b, c, a], "none is lowered");
}

pub fn q2_4_an_agent_in_the_queue_is_keyed_anew<M: Machine>() {
    let mut scene = Scene::of(4);
    scene.setup.schedule = Schedule::Priority;
    scene.limits().turns_per_microstep_max = 1;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // 0 runs first; 1, 2 and 3 wait behind it when its effect gives 3 an urgent task.
    let header = TaskHeader { priority: 7, ..TaskHeader::default() };
    rig.tell(0, prog().schedule(to(3), &task(header, &[], b"urgent")));
    (1..4).for_each(|agent| rig.tell(agent, prog()));
    rig.tick();
    let turns = rig.events(&[event::TURN]).into_iter().filter(|event| event.tick == 1);
    let turns: Vec<_> = turns.map(|event| event.subject).take(4).collect();
    assert_eq!(turns, [to(0), to(3), to(1), to(2)]);
}

pub fn a12_5_an_attempt_ends_by_code_or_fault_and_the_next_is_the_same_task<M: Machine>() {
    let mut scene = Scene::empty();
    scene.template("worker", fresh(2, 9, 9));
    scene.agent(0, prog());
    scene.agent(0, prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    let three = TaskHeader { attempts: 3, ..TaskHeader::default() };
    rig.command(action::SCHEDULE, to(0), &task(three, &[], prog().code(9).bytes()));
    rig.command(action::SCHEDULE, to(1), &task(three, &[], prog().trap().bytes()));
    rig.settle(20);
    let failed = |code| (task_state::FAILED, Status::TaskFailed, 3, code);
    assert_eq!(ends(&rig), [(0, failed(9)), (1, failed(0))].into());
    let tries = |agent: u32| {
        let seen = rig.seen_kind(at(agent), item::TASK);
        seen.iter().map(|seen| (seen.tick, seen.header.code)).collect::<Vec<_>>()
    };
    assert_eq!(tries(0), [(1, 1), (1, 2), (1, 3)], "at once, one microstep after the other");
    // The echo of a turn that faults is discarded with it.
    let faults: Vec<_> = rig.events(&[event::FAULTED]).iter().map(|event| event.tick).collect();
    assert_eq!(faults, [1, 3, 5], "at each restart");
    assert_eq!(rig.core().agent(1).phase, wasm_engine_core::Phase::Active);
    assert_eq!(rig.core().stats().tasks_failed, 2);
}

pub fn a12_6_a_task_may_be_named_when_it_has_ended_and_is_remembered<M: Machine>() {
    let mut scene = Scene::of(2);
    scene.limits().tasks_max = 2;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for _ in 0..3 {
        rig.command(action::SCHEDULE, to(1), &plain(&[], b""));
        rig.tick();
    }
    // The first is forgotten.
    for seq in [0, 1, 2, 1] {
        rig.command(action::SCHEDULE, to(1), &plain(&[TaskId::of_host(seq)], b""));
        rig.tick();
    }
    let [ok, unknown] = [Status::Ok, Status::Unknown];
    assert_eq!(rig.outcomes(), [ok, ok, ok, unknown, ok, ok, unknown], "1 is forgotten then");
}

pub fn a12_7_what_waits_for_a_failure_is_cancelled_skipped_or_runs<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(3));
    rig.tick();
    let host = TaskId::of_host;
    let on = |on_failure| TaskHeader { on_failure, ..TaskHeader::default() };
    rig.command(action::SCHEDULE, to(0), &plain(&[], prog().code(4).bytes()));
    rig.command(action::SCHEDULE, to(0), &plain(&[], prog().bytes()));
    for how in [on_failure::FAIL, on_failure::SKIP, on_failure::RUN] {
        // Decided when all that it waits for have ended, so after 1 too.
        rig.command(action::SCHEDULE, to(1), &task(on(how), &[host(0), host(1)], b""));
    }
    // What follows from each of the three: 5, 6 and 7.
    for seq in 2..5 {
        rig.command(action::SCHEDULE, to(2), &plain(&[host(seq)], b""));
    }
    // Named when it has failed already: 8.
    rig.tick();
    rig.command(action::SCHEDULE, to(2), &plain(&[host(0)], b""));
    rig.tick();
    let cancelled = (task_state::CANCELLED, Status::Cancelled, 0, 0);
    let skipped = (task_state::SKIPPED, Status::Skipped, 0, 0);
    let failed = (task_state::FAILED, Status::TaskFailed, 1, 4);
    let expected = [failed, DONE, cancelled, skipped, DONE, cancelled, DONE, DONE, cancelled];
    assert_eq!(ends(&rig), (0..9).zip(expected).collect());
    let order: Vec<_> = rig.sink.tasks.iter().map(|end| end.seq).collect();
    assert_eq!(order, [0, 1, 2, 3, 5, 4, 6, 7, 8], "in the order in which it follows");
    let stats = rig.core().stats();
    let counts = [stats.tasks, stats.tasks_done, stats.tasks_failed, stats.tasks_skipped];
    assert_eq!((counts, stats.tasks_cancelled), ([9, 4, 1, 1], 3));
    assert_eq!((stats.tasks_blocked, stats.tasks_ready), (0, 0));
}

pub fn a12_8_a_task_fails_with_its_agent_and_waits_through_its_backoff<M: Machine>() {
    let mut scene = Scene::empty();
    scene.template("frail", fresh(3, 9, 9));
    scene.template("mortal", Restart::Never);
    (0..2).for_each(|template| _ = scene.agent(template, prog()));
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    let host = TaskId::of_host;
    for agent in 0..2 {
        rig.tell(agent, prog().trap());
        rig.command(action::SCHEDULE, to(agent), &plain(&[], b"ready"));
        rig.command(action::SCHEDULE, to(agent), &plain(&[host(0)], b"blocked"));
    }
    rig.tick();
    let gone = (task_state::FAILED, Status::Gone, 0, 0);
    assert_eq!(ends(&rig), [(2, gone)].into(), "what is blocked fails when it would be ready");
    assert_eq!(rig.core().stats().tasks_blocked, 2);
    rig.settle(9);
    assert_eq!(ends(&rig), [(0, DONE), (1, DONE), (2, gone), (3, gone)].into());
    assert_eq!(rig.seen_kind(at(0), item::TASK)[0].tick, 4, "after the restart");
}

pub fn a12_9_a2_3_a_task_that_its_agent_cannot_hold_fails<M: Machine>() {
    let mut scene = Scene::empty();
    let guest = Guest { capacity: 512, ..Guest::default() };
    scene.template_of("small", Restart::Never, guest);
    scene.raw_agent(0, &prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    // The inbox less the context, then the header.
    for len in [512 - 40 - 64, 512 - 40 - 64 + 1] {
        rig.command(action::SCHEDULE, to(0), &plain(&[], &vec![1; len]));
    }
    // One that has not named its inbox yet.
    rig.command(action::SPAWN, 0, b"");
    rig.command(action::SCHEDULE, to(1), &plain(&[], &[1; 500]));
    rig.command(action::SCHEDULE, to(1), &plain(&[], b"fits"));
    rig.settle(4);
    let long = (task_state::FAILED, Status::TooLong, 0, 0);
    assert_eq!(ends(&rig), [(0, DONE), (1, long), (3, long), (4, DONE)].into());
}

pub fn a12_10_a4_1_a4_7_who_schedules_has_one_outcome_and_a_slot_until_then<M: Machine>() {
    let mut scene = Scene::of(3);
    (scene.limits().answers_max, scene.limits().receive_max) = (4, 1);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.command(action::PAUSE, to(1), b"");
    let twice = TaskHeader { attempts: 2, ..TaskHeader::default() };
    let failing = task(twice, &[], prog().code(77).bytes());
    rig.tell(0, prog().schedule(to(1), &failing).schedule(to(2), &plain(&[], b"")));
    rig.tick();
    // One slot is taken by the task that waits.
    let one = |order: Prog| order.schedule(to(2), &plain(&[], b""));
    rig.tell(0, one(one(prog())).schedule(to(2), &plain(&[], b"")).publish(OUT, b"busy"));
    rig.tick();
    assert_eq!(rig.published(at(0), OUT).len(), 0, "the echo and two tasks have the other slots");
    rig.command(action::RESUME, to(1), b"");
    rig.settle(5);
    let outcomes: Vec<_> = rig
        .seen_kind(at(0), item::OUTCOME)
        .iter()
        .map(|seen| &seen.header)
        .map(|h| (h.request, h.code, h.from, h.from_seq >> 32, h.from_seq as u32))
        .collect();
    let failed = Status::TaskFailed as i32;
    // 0 subscribes, 1 echoes the order, 4 its outcome, 5 the second order.
    let done = |seq| (seq, 0, to(2), 1, 0);
    assert_eq!(outcomes, [done(3), done(6), done(7), (2, failed, to(1), 2, 77)]);
}

pub fn a12_11_a9_4_with_an_incarnation_its_tasks_are_cancelled_unheard<M: Machine>() {
    let mut scene = Scene::empty();
    scene.template("frail", fresh(1, 9, 9));
    (0..3).for_each(|_| _ = scene.agent(0, prog()));
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    let host = TaskId::of_host;
    rig.command(action::PAUSE, to(1), b"");
    rig.command(action::SCHEDULE, to(1), &plain(&[], b"of the host"));
    rig.tell(0, prog().schedule(to(1), &plain(&[host(1)], b"of the agent")));
    rig.tick();
    rig.command(action::SCHEDULE, to(2), &plain(&[of(0, 2)], b"follows"));
    rig.tell(0, prog().trap());
    rig.tick();
    let cancelled = (task_state::CANCELLED, Status::Cancelled, 0, 0);
    assert_eq!(ends(&rig), [(2, cancelled)].into());
    rig.command(action::RESUME, to(1), b"");
    rig.settle(5);
    assert_eq!(given(&rig, 1), [b"of the host"]);
    assert_eq!(rig.seen_kind(at(0), item::OUTCOME), [], "a new incarnation hears nothing");
    assert_eq!(rig.core().stats().tasks_cancelled, 2);
}

pub fn a12_11_a12_6_a_cancelled_task_waits_for_nothing_when_it_is_forgotten<M: Machine>() {
    let mut scene = Scene::empty();
    scene.template("frail", fresh(1, 9, 9));
    (0..4).for_each(|_| _ = scene.agent(0, prog()));
    scene.limits().tasks_max = 3;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    let host = TaskId::of_host;
    for agent in [1, 3] {
        rig.command(action::PAUSE, to(agent), b"");
    }
    rig.command(action::SCHEDULE, to(1), &plain(&[], b"first"));
    rig.tell(0, prog().schedule(to(2), &plain(&[host(2)], b"cancelled")));
    rig.tick();
    rig.tell(0, prog().trap());
    rig.tick();
    // The cancelled one is forgotten, and its place in memory is another one's.
    for _ in 0..3 {
        rig.command(action::SCHEDULE, to(2), &plain(&[], b""));
        rig.tick();
    }
    rig.command(action::SCHEDULE, to(3), &plain(&[], b"second"));
    rig.command(action::SCHEDULE, to(2), &plain(&[host(6)], b"behind the second"));
    rig.command(action::RESUME, to(1), b"");
    rig.settle(3);
    assert_eq!((given(&rig, 1), given(&rig, 2).len()), (vec![b"first".to_vec()], 3));
    rig.command(action::RESUME, to(3), b"");
    rig.settle(3);
    assert_eq!(given(&rig, 2)[3], b"behind the second");
    assert_eq!(rig.core().stats().tasks_done, 6);
}

pub fn a12_12_a8_4_a_fault_before_the_step_leaves_the_task<M: Machine>() {
    let mut scene = Scene::empty();
    scene.template("frail", fresh(1, 9, 9));
    scene.agent(0, prog());
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    rig.command(action::SCHEDULE, to(0), &plain(&[], b"do"));
    rig.tell(0, prog().trap());
    rig.settle(5);
    assert_eq!(rig.core().agent(0).activity.last_fault, fault::UNREACHABLE);
    assert_eq!(ends(&rig), [(0, DONE)].into(), "its only attempt was not used");
    assert_eq!(rig.seen_kind(at(0), item::TASK)[0].tick, 2);
}

pub fn d1_3_d1_4_what_a_step_with_a_task_does_has_the_task_as_its_cause<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(3));
    rig.tick();
    let payload = prog().send(to(2), b"effect");
    rig.tell(0, prog().schedule(to(1), &plain(&[], payload.bytes())));
    rig.tick();
    let order = rig.seen(at(0))[0].header.trace;
    let task = rig.seen_kind(at(1), item::TASK)[0].header.trace;
    let message = rig.seen_kind(at(2), item::MESSAGE)[0].header.trace;
    let outcome = rig.seen_kind(at(0), item::OUTCOME)[0].header.trace;
    assert_eq!([task, message, outcome], [order; 3], "one trace from the order to the end");
}

pub fn q1_5_a_task_that_ends_leaves_nobody_runnable<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(3));
    rig.tick();
    // The scheduler ends in the microstep in which its tasks were to be planned next.
    rig.command(action::SCHEDULE, to(1), &plain(&[], b""));
    let ends = prog().schedule(to(2), &plain(&[], b"")).trap();
    rig.tell(0, ends);
    rig.tell(0, prog().schedule(to(2), &plain(&[], b"")));
    rig.settle(4);
    assert_eq!(given(&rig, 2).len(), 0, "a faulted turn schedules nothing");
    let mut rig = Rig::<M>::new(&Scene::of(3));
    rig.tick();
    rig.tell(0, prog().schedule(to(2), &plain(&[], b"")).terminate(to(0)));
    let close = rig.tick();
    assert_eq!(given(&rig, 2).len(), 0);
    assert_eq!((close.turns, rig.core().runnable()), (2, 0), "the order and the shutdown");
}

pub fn t9_1_blocked_tasks_and_those_of_the_paused_name_no_tick<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(2));
    rig.tick();
    rig.command(action::PAUSE, to(1), b"");
    rig.command(action::SCHEDULE, to(1), &plain(&[], b""));
    rig.command(action::SCHEDULE, to(0), &plain(&[TaskId::of_host(1)], b""));
    rig.tick();
    assert_eq!(rig.next_tick(), None);
    let stats = rig.core().stats();
    assert_eq!((stats.tasks_blocked, stats.tasks_ready), (1, 1), "they are reported");
}
