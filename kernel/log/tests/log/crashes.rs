//! A crash of the machine before any operation of a small log, with any part of what was not synced
//! (SEMANTICS L2.1, L5).

use wasm_engine_log::SyncPolicy;
use wasm_engine_log::storage::memory::{ENOSPC, Fault, Memory, Moment, Operation, Survival};

use crate::scenario::{Durable, SYNC, begin, go_further, opened};

/// The moments of a log that is written without a fault.
fn moments_of_begin(sync: SyncPolicy) -> Vec<Moment> {
    let (storage, durable) = (Memory::new("run"), Durable::default());
    let seen = durable.clone();
    storage.record(move || seen.get());
    let last = begin(&storage, sync, &durable).expect("no fault");
    assert_eq!(last, Some(6));
    storage.moments()
}

/// What a crash may leave: the names or not, and of the unsynced bytes all lengths in steps, the
/// file shorter or filled with zeros. A sector's edge, where zeros begin, is at a multiple of 8.
fn survivals(moment: &Moment) -> impl Iterator<Item = Survival> + use<> {
    let unsynced = moment.unsynced_bytes();
    let cut = (0..unsynced).step_by(5).chain([unsynced]).map(|bytes| (bytes, false));
    let filled = (0..unsynced).step_by(8).map(|bytes| (bytes, true));
    cut.chain(filled).flat_map(|(unsynced_bytes, zeros)| {
        [true, false].map(|names| Survival { names, unsynced_bytes, zeros })
    })
}

/// A log with a torn tail, and the durable tick from before the crash.
fn torn_log() -> (Memory, u64) {
    let moments = moments_of_begin(SYNC);
    let torn = moments.iter().filter(|moment| moment.unsynced_bytes() > 300).nth(3);
    let torn = torn.expect("several moments have unsynced blocks");
    let half = Survival { names: true, unsynced_bytes: 300, zeros: false };
    (torn.crash(half), torn.note.expect("ticks were durable"))
}

#[test]
fn l2_1_l5_1_every_crash_while_writing_keeps_what_was_durable() {
    let moments = moments_of_begin(SYNC);
    let syncs = moments.iter().filter(|moment| moment.operation == Operation::Sync).count();
    let segments = moments.iter().filter(|moment| moment.operation == Operation::Create).count();
    assert!(syncs > 4 && segments > 2, "{syncs} syncs, {segments} segments");
    let (mut cases, mut lost) = (0, 0);
    for (number, moment) in moments.iter().enumerate() {
        let written = opened(&moment.crash(Survival::ALL), moment.note, "nothing lost");
        for survival in survivals(moment) {
            let case = format!("before operation {number}, {:?}, {survival:?}", moment.operation);
            let found = opened(&moment.crash(survival), moment.note, &case);
            assert!(found <= written, "{case}: nothing is found that was not written");
            (cases, lost) = (cases + 1, lost + usize::from(found < written));
        }
    }
    assert!(cases > 1000 && lost > 100, "{cases} crashes, {lost} of which lost a tick");
}

#[test]
fn l2_1_l5_1_every_crash_while_resuming_keeps_what_was_durable() {
    let (torn, before) = torn_log();
    let storage = torn.crash(Survival::ALL);
    let durable = Durable::default();
    let seen = durable.clone();
    storage.record(move || seen.get().or(Some(before)));
    go_further(&storage, SYNC, &durable).expect("no fault");
    let moments = storage.moments();
    for operation in [Operation::Truncate, Operation::Sync, Operation::SyncDir, Operation::Create] {
        let found = moments.iter().any(|moment| moment.operation == operation);
        assert!(found, "a resumed log calls {operation:?}");
    }
    for (number, moment) in moments.iter().enumerate() {
        // Reading changes nothing: the crash before it is the one before the next change.
        if matches!(moment.operation, Operation::ReadAt | Operation::Bytes | Operation::Open) {
            continue;
        }
        for survival in survivals(moment) {
            let case = format!("before operation {number}, {:?}, {survival:?}", moment.operation);
            opened(&moment.crash(survival), moment.note, &case);
        }
    }
}

#[test]
fn l5_2_a_crashed_log_is_resumed_and_ends_in_order() {
    for moment in moments_of_begin(SYNC).iter().filter(|moment| moment.note.is_some()) {
        for unsynced_bytes in [0, moment.unsynced_bytes() / 2, usize::MAX] {
            let survival = Survival { names: true, unsynced_bytes, zeros: false };
            let storage = moment.crash(survival);
            let found = opened(&storage, moment.note, "after the crash");
            let last = go_further(&storage, SYNC, &Durable::default()).expect("no fault");
            assert_eq!(last, found.map(|tick| tick + 6));
            assert_eq!(opened(&storage.crash(Survival::SYNCED), last, "closed"), last);
        }
    }
}

#[test]
fn l3_4_without_sync_the_end_of_the_process_loses_nothing_written() {
    let moments = moments_of_begin(SyncPolicy::None);
    assert!(moments.iter().any(|moment| moment.note.is_some()));
    for (number, moment) in moments.iter().enumerate() {
        let case = format!("before operation {number}, {:?}", moment.operation);
        opened(&moment.crash(Survival::ALL), moment.note, &case);
    }
}

#[test]
fn l2_1_a_closed_log_is_durable_whole_under_any_policy() {
    for sync in [SYNC, SyncPolicy::None] {
        let storage = Memory::new("run");
        let last = begin(&storage, sync, &Durable::default()).expect("no fault");
        assert!(storage.content("000001.log").is_some(), "it has several segments");
        assert_eq!(opened(&storage.crash(Survival::SYNCED), last, "closed"), last);
    }
}

#[test]
fn l2_1_l5_1_a_resumed_log_makes_durable_what_a_process_before_it_left_unsynced() {
    let storage = Memory::new("run");
    storage.fail(Fault { operation: Some(Operation::Append), after: 14, code: ENOSPC });
    begin(&storage, SyncPolicy::None, &Durable::default()).expect_err("the disk is full");
    let storage = storage.process_ended();
    assert!(storage.content("000001.log").is_some(), "it has several segments");
    let last = go_further(&storage, SYNC, &Durable::default()).expect("no fault is left");
    assert_eq!(opened(&storage.crash(Survival::SYNCED), last, "resumed and closed"), last);
}
