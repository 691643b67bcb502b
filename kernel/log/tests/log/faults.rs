//! Any operation of the storage fails: typed errors, no panic, no hang, and what was durable stays
//! (SEMANTICS L2.1, L2.4).

use wasm_engine_abi::AgentId;
use wasm_engine_log::outputs::{OUTPUTS_FILE, OutputError, OutputFile, OutputLine};
use wasm_engine_log::storage::memory::{EIO, ENOSPC, Fault, Memory, Operation, Survival};
use wasm_engine_log::{LogError, SyncPolicy};

use crate::scenario::{Durable, SYNC, begin, go_further, opened, within_a_minute};

/// A part of a log's life.
type Part = fn(&Memory, SyncPolicy, &Durable) -> Result<Option<u64>, LogError>;

/// Runs `part` on copies of `storage`, with a fault at each of its operations in turn; `before` is
/// the tick durable until then. Gives how many faults there were.
fn fail_each(
    part: Part,
    storage: &Memory,
    sync: SyncPolicy,
    before: Option<u64>,
    code: i32,
) -> u64 {
    for after in 0.. {
        let storage = storage.crash(Survival::ALL);
        storage.fail(Fault { operation: None, after, code });
        let durable = Durable::default();
        let result = part(&storage, sync, &durable);
        if !storage.has_failed() {
            result.expect("without a fault");
            return after;
        }
        let case = format!("fault {code} at operation {after}, {sync:?}");
        let promised = match result.expect_err(&case) {
            LogError::Disk { durable: promised, source, .. } => {
                assert_eq!(source.raw_os_error(), Some(code), "{case}");
                assert_eq!(promised, durable.get().or(promised), "{case}");
                assert!(promised >= before, "{case}: {promised:?} is less than {before:?}");
                promised
            }
            LogError::Read { source, .. } => {
                assert_eq!(source.raw_os_error(), Some(code), "{case}");
                durable.get().or(before)
            }
            error => panic!("{case}: {error}"),
        };
        opened(&storage, promised, &case);
        if sync != SyncPolicy::None {
            opened(&storage.crash(Survival::SYNCED), promised, &case);
        }
        // Once the disk works again, the run continues.
        if promised.is_some() {
            let last = go_further(&storage, sync, &Durable::default()).expect(&case);
            assert!(last > promised, "{case}");
        }
    }
    unreachable!("a part ends after fewer operations than there are numbers")
}

#[test]
fn l2_1_l2_4_whichever_operation_fails_while_writing_what_was_durable_is_found_again() {
    within_a_minute(|| {
        for sync in [SYNC, SyncPolicy::None] {
            for code in [ENOSPC, EIO] {
                let faults = fail_each(begin, &Memory::new("run"), sync, None, code);
                assert!(faults > 20, "{faults} operations");
            }
        }
    });
}

#[test]
fn l2_1_l2_4_whichever_operation_fails_while_resuming_what_was_durable_is_found_again() {
    within_a_minute(|| {
        let storage = Memory::new("run");
        // The disk fails in the middle of a block, so that the log is torn.
        storage.fail(Fault { operation: Some(Operation::Append), after: 9, code: ENOSPC });
        let durable = Durable::default();
        begin(&storage, SYNC, &durable).expect_err("the disk is full");
        let before = durable.get();
        assert!(before.is_some());
        for code in [ENOSPC, EIO] {
            let faults = fail_each(go_further, &storage, SYNC, before, code);
            assert!(faults > 20, "{faults} operations");
        }
    });
}

#[test]
fn l2_4_an_error_names_operation_file_and_durable_tick() {
    for (operation, after, text) in [
        (Operation::CreateDir, 0, "cannot create run; no tick is durable yet"),
        (Operation::Lock, 0, "cannot open run; check the path"),
        (Operation::Names, 0, "cannot read run; no tick is durable yet"),
        (Operation::SyncParent, 0, "cannot sync .; no tick is durable yet"),
        (Operation::Create, 0, "cannot create run/000000.log; no tick is durable yet"),
        (Operation::Append, 0, "cannot write run/000000.log; no tick is durable yet"),
        (Operation::SyncDir, 0, "cannot sync run; no tick is durable yet"),
        (Operation::Sync, 0, "cannot sync run/000000.log; no tick is durable yet"),
        (Operation::Create, 1, "cannot create run/000001.log; the log is durable up to tick "),
        (Operation::Append, 9, "the log is durable up to tick "),
    ] {
        let storage = Memory::new("./run");
        storage.fail(Fault { operation: Some(operation), after, code: EIO });
        let error = begin(&storage, SYNC, &Durable::default()).expect_err("it fails");
        let shown = error.to_string().replace("./run", "run");
        assert!(shown.contains(text), "{operation:?}: {shown}");
        let read = matches!(error, LogError::Read { .. });
        assert_eq!(error.exit_code(), if read { 2 } else { 1 }, "{shown}");
    }
}

/// Gives the lines of ten ticks to an outputs file and ends it.
fn give_lines(mut file: OutputFile) -> Result<(), OutputError> {
    for tick in 0..10 {
        let (topic, from, payload) = ("score", "scorer", &b"{}"[..]);
        file.line(&OutputLine {
            tick,
            microstep: 1,
            topic,
            from,
            address: AgentId::new(1, 0),
            seq: tick,
            payload,
        })?;
    }
    file.finish(None)
}

#[test]
fn l5_6_outputs_that_cannot_be_written_or_continued_are_typed_errors() {
    within_a_minute(|| {
        let whole = Memory::new("run");
        wasm_engine_log::storage::Storage::create_dir(&whole).expect("no fault");
        let empty = whole.crash(Survival::ALL);
        give_lines(OutputFile::create_in(&whole).expect("new")).expect("no fault");
        let lines = whole.content(OUTPUTS_FILE).expect("it was created");
        for (operation, action) in [
            (Operation::Create, "created"),
            (Operation::Append, "written"),
            (Operation::Sync, "synced"),
        ] {
            let storage = empty.crash(Survival::ALL);
            storage.fail(Fault { operation: Some(operation), after: 0, code: ENOSPC });
            let result = OutputFile::create_in(&storage).and_then(give_lines);
            expect_io(result, action, ENOSPC);
            // Resumed, the file is complete.
            let (file, _) = OutputFile::resume_in(&storage, 5).expect("no fault is left");
            give_lines(file).expect("no fault is left");
            assert_eq!(storage.content(OUTPUTS_FILE).expect("resumed"), lines, "{operation:?}");
        }
        for (operation, after, action) in [
            (Operation::OpenAppend, 0, "opened"),
            (Operation::ReadAt, 0, "read"),
            (Operation::Bytes, 0, "measured"),
            (Operation::Truncate, 0, "cut"),
            (Operation::Open, 0, "opened"),
            (Operation::ReadAt, 1, "read"),
        ] {
            let storage = whole.crash(Survival::ALL);
            storage.fail(Fault { operation: Some(operation), after, code: EIO });
            let result = OutputFile::resume_in(&storage, 5).and_then(|(file, _)| give_lines(file));
            expect_io(result, action, EIO);
        }
    });
}

fn expect_io(result: Result<(), OutputError>, expected: &str, code: i32) {
    match result {
        Err(OutputError::Io { action, source, .. }) => {
            assert_eq!((action, source.raw_os_error()), (expected, Some(code)));
        }
        other => panic!("{expected}: {other:?}"),
    }
}
