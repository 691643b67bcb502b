//! Rows, errors and counters: snapshots are consistent, the directory is complete.

use loom::thread;
use wasm_engine_shm::counters::{self, CounterEntry, CounterSpec, CountersReader};
use wasm_engine_shm::errors::{self, ErrorsReader, ErrorsWriter};
use wasm_engine_shm::rows::{self, RowError, RowsReader, RowsWriter};

use crate::check::{LoomModel, Marks};
use crate::class::Class;
use crate::mem::LoomMem;

/// Two rows, three snapshots, of which one changes only the first row: a reader of version v sees
/// both rows as they were in v, or learns that it is late.
pub const ROW_VERSION: LoomModel = LoomModel {
    name: "row_version",
    bound: Some(2),
    reach: &["none", "version 1", "version 2", "version 3", "lapped"],
    run: row_version,
};

/// A table with room for one distinct error, three errors of two kinds: what is listed belongs to
/// one moment, and no error is missing from the counts.
pub const ERRORS_LIST: LoomModel = LoomModel {
    name: "errors_list",
    bound: Some(2),
    reach: &["none", "first", "without row", "again"],
    run: errors_list,
};

/// The directory is empty or complete, a value never goes back.
pub const COUNTER_READ: LoomModel = LoomModel {
    name: "counter_read",
    bound: None,
    reach: &["empty", "complete", "grown"],
    run: counter_read,
};

/// A slot that is reused for another counter: entry and value belong together, or the reader learns
/// that the counter is gone.
pub const COUNTER_REUSE: LoomModel = LoomModel {
    name: "counter_reuse",
    bound: Some(2),
    reach: &["before", "being replaced", "gone", "after"],
    run: counter_reuse,
};

/// What both rows hold in a version: the first changes in all, the second in the first and third.
fn rows_in(version: u64) -> [u64; 2] {
    [version, if version < 3 { 1 } else { 3 }]
}

fn row_version(marks: &Marks) {
    const WORDS: usize = 2;
    let mem = LoomMem::new(rows::layout(2, WORDS).expect("valid"), |word| match word {
        0 => Class::Atomic,
        _ if word >= 16 && word % 8 < 6 => Class::Atomic,
        _ => Class::Unused,
    });
    let mut writer = RowsWriter::new(mem.clone(), 2, WORDS).expect("free");
    let reader = RowsReader::new(mem, 2, WORDS).expect("free");
    let marks = marks.clone();
    let writing = thread::spawn(move || {
        for version in 1..=3 {
            writer.write(0, &[rows_in(version)[0]; WORDS]);
            if version != 2 {
                writer.write(1, &[rows_in(version)[1]; WORDS]);
            }
            assert_eq!(writer.publish(), version);
        }
    });
    let reading = thread::spawn(move || {
        let version = reader.version();
        for (row, value) in rows_in(version).into_iter().enumerate() {
            let mut words = [0; WORDS];
            match reader.read(version, row, &mut words) {
                Ok(None) => {
                    assert_eq!(version, 0, "a row of the snapshot is missing");
                    marks.hit("none");
                }
                Ok(Some(written)) => {
                    assert_eq!(
                        (written, words),
                        (value, [value; WORDS]),
                        "row {row}, version {version}"
                    );
                    marks.hit(["", "version 1", "version 2", "version 3"][version as usize]);
                }
                Err(RowError::Lapped) => marks.hit("lapped"),
                Err(error) => panic!("{error}"),
            }
        }
    });
    writing.join().expect("the writer ended");
    reading.join().expect("the reader ended");
}

/// A section of these counters of one group. Id and kind stand for a whole entry.
fn counter_memory(specs: &[CounterSpec<'_>]) -> LoomMem {
    let values = 16 + 16 * specs.len();
    LoomMem::new(counters::layout(specs).expect("valid"), |word| match word {
        0 => Class::Atomic,
        _ if word >= 16 && word < values && word % 16 < 3 => Class::Atomic,
        _ if word >= 16 && word < values => Class::Alike,
        _ if word >= values && word < values + specs.len() => Class::Atomic,
        _ => Class::Unused,
    })
}

fn counter_read(marks: &Marks) {
    let mem = counter_memory(&[TURNS, FAULTS]);
    let reader = CountersReader::new(mem.clone()).expect("free");
    let marks = marks.clone();
    let writing = thread::spawn(move || {
        let mut writers = counters::format(&mem, &[TURNS, FAULTS]).expect("free");
        writers[0].add(0, 1);
        writers[0].add(0, 1);
    });
    let reading = thread::spawn(move || {
        let list = reader.list();
        let Some(counter) = list.first() else { return marks.hit("empty") };
        assert_eq!(list.len(), 2, "a part of the directory");
        assert!(is(counter, &TURNS) && is(&list[1], &FAULTS), "an entry that nobody wrote");
        marks.hit("complete");
        let [before, after] = [0; 2].map(|_| reader.value(counter).expect("nobody replaces it"));
        assert!(before <= after && after <= 2, "a counter went back");
        if after > before {
            marks.hit("grown");
        }
    });
    writing.join().expect("the writer ended");
    reading.join().expect("the reader ended");
}

fn counter_reuse(marks: &Marks) {
    let mem = counter_memory(&[TURNS]);
    let mut writers = counters::format(&mem, &[TURNS]).expect("free");
    let reader = CountersReader::new(mem).expect("free");
    writers[0].set(0, 5);
    let marks = marks.clone();
    let writing = thread::spawn(move || {
        writers[0].reuse(0, &FAULTS);
        writers[0].set(0, 1);
    });
    let reading = thread::spawn(move || {
        let list = reader.list();
        let Some(counter) = list.first() else { return marks.hit("being replaced") };
        let before = is(counter, &TURNS);
        assert!(before || is(counter, &FAULTS), "an entry of two counters");
        match (before, reader.value(counter)) {
            (true, Some(value)) => {
                assert_eq!(value, 5, "a value of the next counter");
                marks.hit("before");
            }
            (true, None) => marks.hit("gone"),
            (false, Some(value)) => {
                assert!(value <= 1, "a value of the last counter");
                marks.hit("after");
            }
            (false, None) => panic!("replaced once only"),
        }
    });
    writing.join().expect("the writer ended");
    reading.join().expect("the reader ended");
}

const TURNS: CounterSpec<'_> =
    CounterSpec { id: 7, kind: "counter", unit: "1", group: 0, label: "turns", help: "taken" };
const FAULTS: CounterSpec<'_> =
    CounterSpec { id: 8, kind: "gauge", unit: "By", group: 0, label: "faults", help: "seen" };

/// Whether an entry is this counter's.
fn is(counter: &CounterEntry, spec: &CounterSpec<'_>) -> bool {
    (counter.id, counter.kind.as_str()) == (spec.id, spec.kind)
}

fn errors_list(marks: &Marks) {
    let mem = LoomMem::atomic(errors::layout(1).expect("valid"));
    let mut writer = ErrorsWriter::new(mem.clone(), 1).expect("free");
    let reader = ErrorsReader::new(mem, 1).expect("free");
    let marks = marks.clone();
    let writing = thread::spawn(move || {
        for (key, tick) in [(7, 1), (8, 2), (7, 3)] {
            writer.record(key, tick, "text");
        }
    });
    let reading = thread::spawn(move || {
        let Ok((list, without_row)) = reader.list() else { return marks.hit("lapped") };
        let Some(first) = list.first() else {
            assert_eq!(without_row, 0, "counted before the first");
            return marks.hit("none");
        };
        assert_eq!((first.key, first.first_tick, first.text.as_str()), (7, 1, "text"));
        // Which of the three states of the table it was.
        let state = (first.count, first.last_tick, without_row);
        marks.hit(match state {
            (1, 1, 0) => "first",
            (1, 1, 1) => "without row",
            (2, 3, 1) => "again",
            _ => panic!("{state:?} was never published"),
        });
    });
    writing.join().expect("the writer ended");
    reading.join().expect("the reader ended");
}
