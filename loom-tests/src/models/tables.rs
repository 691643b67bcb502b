//! Rows, errors and counters: cuts are consistent, the directory is complete.

use loom::thread;
use wasm_engine_shm::counters::{self, Counter, CounterSpec, CountersReader};
use wasm_engine_shm::errors::{self, ErrorsReader, ErrorsWriter};
use wasm_engine_shm::rows::{self, RowError, RowsReader, RowsWriter};

use crate::check::{Marks, Model};
use crate::mem::{Class, LoomMem};

/// Two rows, three cuts, of which one changes only the first row: a reader of cut c sees both rows
/// as they were in c, or is told that it is late.
pub const ROW_CUT: Model = Model {
    name: "row_cut",
    bound: Some(2),
    reach: &["none", "cut 1", "cut 2", "cut 3", "lapped"],
    run: row_cut,
};

/// A table with room for one distinct error, three errors of two kinds: what is listed belongs to
/// one moment, and no error is missing from the counts.
pub const ERRORS_LIST: Model = Model {
    name: "errors_list",
    bound: Some(2),
    reach: &["none", "first", "without place", "again"],
    run: errors_list,
};

/// The directory is empty or complete, a value never goes back.
pub const COUNTER_READ: Model = Model {
    name: "counter_read",
    bound: None,
    reach: &["empty", "complete", "grown"],
    run: counter_read,
};

/// A place that is given to another counter: entry and value belong together, or the reader is told.
pub const COUNTER_REUSE: Model = Model {
    name: "counter_reuse",
    bound: Some(2),
    reach: &["before", "being replaced", "gone", "after"],
    run: counter_reuse,
};

/// What both rows hold in a cut: the first changes in all, the second in the first and third.
fn rows_in(cut: u64) -> [u64; 2] {
    [cut, if cut < 3 { 1 } else { 3 }]
}

fn row_cut(marks: &Marks) {
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
        for cut in 1..=3 {
            writer.write(0, &[rows_in(cut)[0]; WORDS]);
            if cut != 2 {
                writer.write(1, &[rows_in(cut)[1]; WORDS]);
            }
            assert_eq!(writer.publish_cut(), cut);
        }
    });
    let reading = thread::spawn(move || {
        let cut = reader.cut();
        for (row, value) in rows_in(cut).into_iter().enumerate() {
            let mut words = [0; WORDS];
            match reader.read(cut, row, &mut words) {
                Ok(None) => {
                    assert_eq!(cut, 0, "a row of the cut is missing");
                    marks.hit("none");
                }
                Ok(Some(written)) => {
                    assert_eq!((written, words), (value, [value; WORDS]), "row {row}, cut {cut}");
                    marks.hit(["", "cut 1", "cut 2", "cut 3"][cut as usize]);
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
fn is(counter: &Counter, spec: &CounterSpec<'_>) -> bool {
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
        let Ok((list, without_place)) = reader.list() else { return marks.hit("lapped") };
        let Some(first) = list.first() else {
            assert_eq!(without_place, 0, "counted before the first");
            return marks.hit("none");
        };
        assert_eq!((first.key, first.first_tick, first.text.as_str()), (7, 1, "text"));
        // Which of the three states of the table it was.
        let state = (first.count, first.last_tick, without_place);
        marks.hit(match state {
            (1, 1, 0) => "first",
            (1, 1, 1) => "without place",
            (2, 3, 1) => "again",
            _ => panic!("{state:?} was never published"),
        });
    });
    writing.join().expect("the writer ended");
    reading.join().expect("the reader ended");
}
