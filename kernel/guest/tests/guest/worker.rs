//! A worker on a thread of its own.

use std::sync::Arc;

use wasm_engine_abi::AgentId;
use wasm_engine_abi::frame::{ItemFrame, Location, TurnCommand, fault, turn};
use wasm_engine_guest::engine::THREAD_STACK_BYTES_MIN;
use wasm_engine_guest::lane::Lane;
use wasm_engine_guest::worker::{SharedLane, Worker};
use wasm_engine_guest::worker_codec::{
    Reply, push_begin, push_stop, push_turn, read_reply, reply_bytes,
};
use wasm_engine_guest::{LaneUse, MachineFailure};
use wasm_engine_shm::bytes::{self, Consumer, Producer};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::wait::{self, Ringer, WaitMode, Waiter};

use crate::rig::{TRIVIAL, areas, compile, header, now_ns, setup};

fn ring(capacity: usize) -> (Producer<RawMem>, Consumer<RawMem>) {
    let shape = bytes::layout(capacity).expect("a power of two");
    let (head, tail) = (RawMem::heap(shape.producer_len), RawMem::heap(shape.consumer_len));
    let producer = Producer::new(head.clone(), tail.clone()).expect("fresh");
    (producer, Consumer::new(head, tail).expect("fresh"))
}

/// Both rings of a worker on a thread of its own, against the same lane called directly.
#[test]
fn a_worker_gives_what_its_lane_gives() {
    let shared = Arc::new(compile(TRIVIAL, &setup()).expect("loads"));
    let (areas_of_worker, mut open, ..) = areas();
    let bell = || RawMem::heap(wait::LEN);
    let (to_worker, to_scheduler) = (bell(), bell());
    let (mut commands, worker_commands) = ring(1 << 16);
    // So small that the worker must wait for the scheduler now and then.
    let (worker_replies, mut replies) = ring((4 * reply_bytes(1)).next_power_of_two());
    let worker = Worker {
        clock: now_ns,
        lane: SharedLane::new(Lane::new(Arc::clone(&shared), 0, areas_of_worker)),
        commands: worker_commands,
        replies: worker_replies,
        bell: Waiter::new(to_worker.clone()).expect("fresh"),
        scheduler: Ringer::new(to_scheduler.clone()).expect("fresh"),
        wait: WaitMode::Hybrid,
    };
    let worker_bell = Ringer::new(to_worker).expect("fresh");
    let mut bell = Waiter::new(to_scheduler).expect("fresh");
    let thread = std::thread::Builder::new()
        .stack_size(THREAD_STACK_BYTES_MIN)
        .spawn(|| worker.run())
        .expect("a thread");

    let init = TurnCommand { kind: turn::INIT, ..TurnCommand::default() };
    let step = |position| TurnCommand { kind: turn::STEP, items: 1, position, ..init };
    open.begin(0);
    let block = open.write(&[9; 64]).expect("room");
    let item = ItemFrame {
        header: header(64, 0),
        location: Location { area: Location::OPEN, block },
        epoch: 0,
    };
    push_begin(&mut commands, 1).expect("room");
    push_turn(&mut commands, &init, &[], &[]).expect("room");
    for position in 0..100 {
        push_turn(&mut commands, &step(position), &[item], &[]).expect("room");
    }
    // Nobody lives in slot 1: the lane fails.
    let lost = TurnCommand { agent: 1, ..step(0) };
    push_turn(&mut commands, &lost, &[item], &[]).expect("room");
    push_stop(&mut commands).expect("room");
    commands.publish();
    worker_bell.ring();

    let (mut turns, mut failed, mut last) = (0, None, LaneUse::default());
    while failed.is_none() {
        bell.wait(WaitMode::Hybrid, || replies.has_next());
        while let Some(record) = replies.next().expect("sound") {
            match read_reply(&record, 0).expect("a reply") {
                Reply::Turn { result, effects } => {
                    assert_eq!(result.effects as usize * 64, effects.len());
                    assert_eq!(result.fault, fault::NONE);
                    turns += 1;
                }
                Reply::Use(used) => last = used,
                Reply::Failed(error) => failed = Some(error),
            }
        }
        replies.release();
    }
    thread.join().expect("the worker does not panic");
    assert_eq!(turns, 101);
    assert!(last.turns <= turns, "what a batch did, before the one that failed: {last:?}");
    let error = failed.expect("it failed");
    assert_eq!((error.failure, error.agent), (MachineFailure::Command, AgentId::new(1, 0)));
}
