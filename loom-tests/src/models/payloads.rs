//! Outbox and spill: the rings between scheduler and lane order all accesses to payloads.
//!
//! One thread is scheduler and writing lane, as lane 0 is; the other is a reading lane. Commands
//! and results go over cell rings.

use loom::thread;
use wasm_engine_shm::mem::Mem;
use wasm_engine_shm::outbox::{self, OutboxReader, OutboxWriter};
use wasm_engine_shm::spill::{self, Spill, SpillReader};

use crate::check::{LoomModel, Marks};
use crate::class::Class;
use crate::ends::cells;
use crate::mem::LoomMem;

/// A payload of epoch e is read in epoch e + 1 and replaced in epoch e + 2, after the results of
/// e + 1 were collected.
pub const OUTBOX_RELEASE: LoomModel = LoomModel {
    name: "outbox_release",
    bound: Some(2),
    reach: &["read", "replaced"],
    run: |marks| outbox_epochs(marks, true),
};

/// The same with a scheduler that does not wait for the results: it must fail.
pub const OUTBOX_TOO_EARLY: LoomModel = LoomModel {
    name: "outbox_too_early",
    bound: Some(2),
    reach: &[],
    run: |marks| outbox_epochs(marks, false),
};

/// Blocks of a spill are taken again only after the results of their reader.
pub const SPILL_REUSE: LoomModel = LoomModel {
    name: "spill_reuse",
    bound: None,
    reach: &["reused"],
    run: |m| spill_rounds(m, true),
};

/// The same with a scheduler that releases before the results are there: it must fail.
pub const SPILL_TOO_EARLY: LoomModel = LoomModel {
    name: "spill_too_early",
    bound: Some(2),
    reach: &[],
    run: |marks| spill_rounds(marks, false),
};

const END: u64 = u64::MAX;

/// Receives, waiting.
fn receive(rx: &mut wasm_engine_shm::cell::Receiver<LoomMem>) -> [u64; 7] {
    loop {
        if let Some(cell) = rx.try_recv() {
            return cell;
        }
        LoomMem::yield_now();
    }
}

fn outbox_epochs(marks: &Marks, wait: bool) {
    const EPOCHS: u64 = 3;
    let len = outbox::layout(128).expect("valid");
    // One word per block is enough for payloads of 8 bytes.
    let class = |word: usize| if word.is_multiple_of(8) { Class::Atomic } else { Class::Unused };
    let mem = LoomMem::new(len, class);
    let mut writer = OutboxWriter::new(mem.clone()).expect("free");
    let reader = OutboxReader::new(mem).expect("free");
    let (mut commands, mut orders) = cells::<LoomMem>(4);
    let (mut results, mut replies) = cells::<LoomMem>(4);
    let (at_lane, at_scheduler) = (marks.clone(), marks.clone());
    let scheduler = thread::spawn(move || {
        for epoch in 0..EPOCHS {
            writer.begin(epoch);
            let block = writer.write(&(epoch + 100).to_ne_bytes()).expect("room");
            // The results of the epoch before release its half for the epoch after.
            if epoch > 0 && wait {
                receive(&mut replies);
            }
            let command = [epoch, u64::from(block), 0, 0, 0, 0, 0];
            commands.try_send(&command).expect("room");
        }
        at_scheduler.hit("replaced");
        commands.try_send(&[END; 7]).expect("room");
    });
    let lane = thread::spawn(move || {
        loop {
            let [epoch, block, ..] = receive(&mut orders);
            if epoch == END {
                break;
            }
            let mut payload = [0; 8];
            reader.copy_to(block as u32, &mut payload).expect("inside");
            assert_eq!(
                u64::from_ne_bytes(payload),
                epoch + 100,
                "a payload was replaced too early"
            );
            at_lane.hit("read");
            results.try_send(&[epoch; 7]).expect("room");
        }
    });
    scheduler.join().expect("the scheduler ended");
    lane.join().expect("the lane ended");
}

fn spill_rounds(marks: &Marks, wait: bool) {
    const PAYLOAD: usize = 72;
    let len = spill::layout(2).expect("valid");
    let mem = LoomMem::atomic(len);
    let mut spill = Spill::new(mem.clone()).expect("free");
    let reader = SpillReader::new(mem).expect("free");
    let (mut commands, mut orders) = cells::<LoomMem>(2);
    let (mut results, mut replies) = cells::<LoomMem>(2);
    let at_scheduler = marks.clone();
    let scheduler = thread::spawn(move || {
        for round in 1..=2_u8 {
            let first = spill.retain(&[round; PAYLOAD]).expect("room");
            commands.try_send(&[u64::from(first); 7]).expect("room");
            if wait {
                receive(&mut replies);
            }
            spill.release(first, PAYLOAD).expect("there");
        }
        at_scheduler.hit("reused");
    });
    let lane = thread::spawn(move || {
        for round in 1..=2_u8 {
            let [first, ..] = receive(&mut orders);
            let mut payload = [0; PAYLOAD];
            reader.copy_to(first as u32, &mut payload).expect("a chain");
            assert_eq!(payload, [round; PAYLOAD], "a payload was released too early");
            results.try_send(&[0; 7]).expect("room");
        }
    });
    scheduler.join().expect("the scheduler ended");
    lane.join().expect("the lane ended");
}
