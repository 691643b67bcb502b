//! Pages, rows, broadcast, counters, outbox and spill on the heap: contents, limits, races.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use wasm_engine_shm::broadcast::{self, BroadcastReader, BroadcastWriter, Next, Overtaken};
use wasm_engine_shm::counters::{self, CounterSpec, CountersReader};
use wasm_engine_shm::errors::{self, ErrorsReader, ErrorsWriter};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::outbox::{self, OutboxReader, OutboxWriter};
use wasm_engine_shm::page::{self, PageError, PageReader, PageWriter};
use wasm_engine_shm::rows::{self, RowError, RowsReader, RowsWriter};
use wasm_engine_shm::spill::{self, Spill, SpillReader};

use crate::traced_mem::{Access, TracedMem};

const ROUNDS: u64 = if cfg!(miri) { 40 } else { 100_000 };

fn page_of(words: usize) -> (PageWriter<RawMem>, PageReader<RawMem>) {
    let mem = RawMem::heap(page::layout(words).expect("valid"));
    let writer = PageWriter::new(mem.clone(), words).expect("free");
    (writer, PageReader::new(mem, words).expect("free"))
}

#[test]
fn a_page_shows_the_newest() {
    let (mut writer, reader) = page_of(5);
    let mut dst = [0; 5];
    assert_eq!(reader.read(&mut dst), Err(PageError::NotYet));
    for n in 0..20 {
        let words: Vec<u64> = (0..n % 5 + 1).map(|w| n * 10 + w).collect();
        assert_eq!(writer.publish(&words), n);
        let read = reader.read(&mut dst).expect("published");
        assert_eq!((read.number, &dst[..read.words]), (n, &words[..]));
    }
    writer.publish_with(5, |draft| {
        draft.put_words(0, &[1, 2]);
        draft.put_words(2, &[3, 4, 5]);
    });
    assert_eq!(reader.read(&mut dst[..2]), Err(PageError::BufferTooSmall { words: 5 }));
    assert_eq!(reader.read(&mut dst).expect("published").words, 5);
    assert_eq!(dst, [1, 2, 3, 4, 5]);
}

/// A writer that never stops, readers that must never see two publications mixed.
#[test]
fn pages_are_never_torn() {
    // Longer than the bound from which the string instruction copies, and shorter.
    for words in [9, if cfg!(miri) { 12 } else { 512 }] {
        let (mut writer, reader) = page_of(words);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..ROUNDS {
                    let len = words - (n % 3) as usize;
                    writer.publish(&vec![n; len]);
                }
                stop.store(true, Ordering::Release);
            });
            let (mut newest, mut reads) = (0, 0_u64);
            let mut dst = vec![0; words];
            // One read more after the writer's end: a busy machine may leave this thread no other.
            let mut stopped = false;
            while !stopped {
                stopped = stop.load(Ordering::Acquire);
                if let Ok(read) = reader.read(&mut dst) {
                    assert!(dst[..read.words].iter().all(|w| *w == read.number), "torn");
                    assert_eq!(read.words, words - (read.number % 3) as usize);
                    assert!(read.number >= newest, "went back");
                    newest = read.number;
                    reads += 1;
                }
            }
            assert!(reads > 0);
        });
    }
}

#[test]
fn rows_show_consistent_snapshots() {
    let mem = RawMem::heap(rows::layout(3, 2).expect("valid"));
    let mut writer = RowsWriter::new(mem.clone(), 3, 2).expect("free");
    let reader = RowsReader::new(mem, 3, 2).expect("free");
    let mut dst = [0; 2];
    assert_eq!((reader.version(), reader.read(0, 0, &mut dst)), (0, Ok(None)));
    writer.write(0, &[1, 1]);
    assert_eq!(reader.read(0, 0, &mut dst), Ok(None), "not published");
    writer.write(0, &[2, 2]);
    assert_eq!(writer.publish(), 1);
    assert_eq!((reader.read(1, 0, &mut dst), dst), (Ok(Some(1)), [2, 2]));
    writer.write(0, &[3, 3]);
    writer.write(1, &[4, 4]);
    assert_eq!((reader.read(1, 0, &mut dst), dst), (Ok(Some(1)), [2, 2]));
    assert_eq!(reader.read(1, 1, &mut dst), Ok(None));
    writer.publish();
    assert_eq!((reader.read(1, 0, &mut dst), dst), (Ok(Some(1)), [2, 2]), "the snapshot before");
    assert_eq!((reader.read_newest(1, &mut dst), dst), (Ok((2, Some(2))), [4, 4]));
    writer.write(0, &[5, 5]);
    assert_eq!(reader.read(1, 0, &mut dst), Err(RowError::Lapped));
    assert_eq!((reader.read(2, 0, &mut dst), dst), (Ok(Some(2)), [3, 3]));
    assert!(matches!(reader.read(2, 3, &mut dst), Err(RowError::NoRow { .. })));
    assert!(matches!(reader.read(2, 0, &mut dst[..1]), Err(RowError::Buffer { .. })));
    for _ in 0..10 {
        writer.publish();
    }
    assert_eq!((reader.read_newest(1, &mut dst), dst), (Ok((12, Some(2))), [4, 4]));
}

/// Loads and stores that the writer of a table made in the shared memory.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Accesses {
    loads: usize,
    stores: usize,
}

/// A table whose writer's accesses are counted, with the rows as they should be.
struct CountedTable {
    writer: RowsWriter<TracedMem>,
    reader: RowsReader<RawMem>,
    accesses: Arc<Mutex<Accesses>>,
    want: Vec<[u64; 3]>,
}

impl CountedTable {
    /// All rows written and published once.
    fn new(rows: usize) -> Self {
        let accesses = Arc::new(Mutex::new(Accesses::default()));
        let counted = Arc::clone(&accesses);
        let mem = RawMem::heap(rows::layout(rows, 3).expect("valid"));
        let traced = TracedMem::new(mem.clone(), move |access| {
            let mut accesses = counted.lock().expect("no panic");
            match access {
                Access::Load => accesses.loads += 1,
                Access::Store => accesses.stores += 1,
            }
        });
        let writer = RowsWriter::new(traced, rows, 3).expect("free");
        let reader = RowsReader::new(mem, rows, 3).expect("free");
        let mut table = Self { writer, reader, accesses, want: vec![[0; 3]; rows] };
        table.change(rows, 1);
        table.writer.publish();
        table
    }

    /// Changes this many rows, spread over the table.
    fn change(&mut self, count: usize, value: u64) {
        let rows = self.want.len();
        for n in 0..count {
            let row = n * rows / count;
            self.want[row] = [value, row as u64, value ^ row as u64];
            self.writer.write(row, &self.want[row]);
        }
    }

    /// What this costs the writer.
    fn cost(&mut self, act: impl FnOnce(&mut Self)) -> Accesses {
        *self.accesses.lock().expect("no panic") = Accesses::default();
        act(self);
        *self.accesses.lock().expect("no panic")
    }

    /// Every row of the newest snapshot is as given.
    fn check(&self, version: u64, want: &[[u64; 3]]) {
        assert_eq!(self.reader.version(), version);
        let mut dst = [0; 3];
        for (row, want) in want.iter().enumerate() {
            let written = self.reader.read(version, row, &mut dst).expect("of this snapshot");
            assert!(written.is_some_and(|written| written <= version) && dst == *want, "row {row}");
        }
    }
}

/// Counted in the shared memory, which is what may be large: a table of ten rows and one of 100,000
/// cost the same. (Beside it `publish` adds one to a private number and walks no list.)
#[test]
fn publishing_a_snapshot_costs_the_same_for_any_number_of_rows() {
    let many = if cfg!(miri) { 50 } else { 100_000 };
    let (mut small, mut large) = (CountedTable::new(10), CountedTable::new(many));
    let mut value = 1;
    for changed in [0, 1, 2, 5, 10, 0, 7] {
        value += 1;
        // Mark, words, mark for each row; one store for the version. The writer reads nothing back.
        let rows = Accesses { loads: 0, stores: changed * (1 + 3 + 1) };
        let publication = Accesses { loads: 0, stores: 1 };
        for table in [&mut small, &mut large] {
            let before = table.want.clone();
            assert_eq!(table.cost(|table| table.change(changed, value)), rows);
            // Not published yet: every row of the snapshot before.
            table.check(value - 1, &before);
            assert_eq!(table.cost(|table| assert_eq!(table.writer.publish(), value)), publication);
            table.check(value, &table.want);
        }
    }
}

/// Two rows whose sum is constant in every snapshot.
#[test]
fn snapshots_are_never_mixed() {
    let mem = RawMem::heap(rows::layout(2, 3).expect("valid"));
    let mut writer = RowsWriter::new(mem.clone(), 2, 3).expect("free");
    let reader = RowsReader::new(mem, 2, 3).expect("free");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=ROUNDS {
                writer.write(0, &[n; 3]);
                writer.write(1, &[ROUNDS - n; 3]);
                assert_eq!(writer.publish(), n);
            }
            stop.store(true, Ordering::Release);
        });
        let (mut a, mut b) = ([0; 3], [0; 3]);
        while !stop.load(Ordering::Acquire) {
            let version = reader.version();
            let both = (reader.read(version, 0, &mut a), reader.read(version, 1, &mut b));
            if let (Ok(Some(x)), Ok(Some(y))) = both {
                assert_eq!((x, y), (version, version));
                assert_eq!((a, b), ([version; 3], [ROUNDS - version; 3]));
            }
        }
    });
}

#[test]
fn broadcast_counts_losses_exactly() {
    let mem = RawMem::heap(broadcast::layout(4, 16).expect("valid"));
    let mut writer = BroadcastWriter::new(mem.clone(), 4, 16).expect("free");
    let mut reader = BroadcastReader::new(mem.clone(), 4, 16).expect("free");
    let mut dst = [0; 16];
    assert_eq!(reader.next(&mut dst), Next::Empty);
    for n in 0..10_u64 {
        writer.send(&n.to_le_bytes());
    }
    let during = Overtaken::Polling;
    assert_eq!(reader.next(&mut dst), Next::Overrun { lost: 8, next: 8, during });
    assert_eq!(reader.lost_apart(), (8, 0));
    for number in 8..10 {
        assert_eq!(reader.next(&mut dst), Next::Message { number, len: 8 });
        assert_eq!(dst[..8], number.to_le_bytes());
    }
    assert_eq!(reader.next(&mut dst), Next::Empty);
    assert_eq!((reader.lost(), reader.position()), (8, 10));
    let mut late = BroadcastReader::new(mem, 4, 16).expect("free");
    late.skip_to_newest();
    assert_eq!((late.next(&mut dst), late.lost()), (Next::Empty, 0));
}

#[test]
fn slow_readers_lose_and_know() {
    let mem = RawMem::heap(broadcast::layout(8, 24).expect("valid"));
    let mut writer = BroadcastWriter::new(mem.clone(), 8, 24).expect("free");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut reader = BroadcastReader::new(mem.clone(), 8, 24).expect("free");
            scope.spawn(move || {
                let (mut delivered, mut dst) = (0, [0; 24]);
                while reader.position() < ROUNDS {
                    match reader.next(&mut dst) {
                        Next::Message { number, len } => {
                            let word = number.to_le_bytes();
                            assert_eq!(len, 8 + (number % 3) as usize * 8);
                            assert!(dst[..len].chunks(8).all(|c| c == word), "torn");
                            delivered += 1;
                        }
                        Next::Empty => std::thread::yield_now(),
                        Next::Overrun { .. } => {}
                    }
                    assert_eq!(delivered + reader.lost(), reader.position());
                }
            });
        }
        for n in 0..ROUNDS {
            let message = n.to_le_bytes().repeat(1 + (n % 3) as usize);
            writer.send(&message);
        }
    });
}

#[test]
fn counters_have_names_and_values() {
    let spec = |id, group, label| {
        let (kind, unit, help) = (counters::KIND_COUNTER, "By", "what it counts");
        CounterSpec { id, kind, unit, group, label, help }
    };
    let long = "ä".repeat(40);
    let mut specs: Vec<_> = (0..20).map(|id| spec(id, 7, "many")).collect();
    specs.push(spec(100, 3, "turns"));
    specs.push(spec(101, 3, &long));
    let mem = RawMem::heap(counters::layout(&specs).expect("valid"));
    let reader = CountersReader::new(mem.clone()).expect("free");
    assert!(reader.list().is_empty());
    let mut writers = counters::format(&mem, &specs).expect("free");
    let groups: Vec<u32> = writers.iter().map(counters::CounterWriter::group).collect();
    assert_eq!(groups, [3, 7]);
    writers[0].add(0, 5);
    writers[0].add(0, 6);
    writers[1].set(19, 42);
    let list = reader.list();
    assert_eq!(list.len(), 22);
    // In the order of the groups.
    assert_eq!((list[0].label.as_str(), reader.value(&list[0])), ("turns", Some(11)));
    let texts = [&list[0].kind, &list[0].unit, &list[0].help];
    assert_eq!(texts, ["counter", "By", "what it counts"]);
    assert_eq!((list[21].id, reader.value(&list[21])), (19, Some(42)));
    assert_eq!(list[1].label, "ä".repeat(16));
    assert!(counters::format(&mem, &specs).is_err(), "formatted once");
    // A slot that is reused: the old counter is gone, the new one begins with 0.
    writers[1].reuse(19, &spec(200, 7, "new"));
    assert_eq!((reader.value(&list[21]), reader.value(&list[20])), (None, Some(0)));
    let list = reader.list();
    let new = (list[21].id, list[21].label.as_str(), reader.value(&list[21]));
    assert_eq!((list.len(), new), (22, (200, "new", Some(0))));
}

#[test]
fn outbox_halves_alternate() {
    let mem = RawMem::heap(outbox::layout(256).expect("valid"));
    let mut writer = OutboxWriter::new(mem.clone()).expect("free");
    let reader = OutboxReader::new(mem).expect("free");
    let read = |block, len| {
        let mut dst = vec![0; len];
        reader.copy_to(block, &mut dst).map(|()| dst)
    };
    writer.begin(4);
    let a = writer.write(b"hello").expect("room");
    let b = writer.write(&[9; 65]).expect("room");
    assert_eq!((a, b, writer.free_bytes()), (0, 1, 64));
    assert_eq!(writer.write(&[0; 65]), None);
    writer.begin(5);
    let mut draft = writer.draft(20).expect("room");
    draft.append(&[1; 8]);
    draft.append(&[2; 12]);
    assert_eq!(draft.block(), 4);
    assert_eq!(read(a, 5).expect("inside"), b"hello");
    assert_eq!(read(b, 65).expect("inside"), [9; 65]);
    assert_eq!(read(4, 20).expect("inside")[7..10], [1, 2, 2]);
    assert!(read(7, 65).is_err() && read(u32::MAX, 1).is_err());
    writer.begin(6);
    assert_eq!(writer.write(b"again"), Some(0));
}

#[test]
fn spill_survives_fragmentation() {
    let blocks = 16;
    let mem = RawMem::heap(spill::layout(blocks).expect("valid"));
    let mut spill = Spill::new(mem.clone()).expect("free");
    let reader = SpillReader::new(mem).expect("free");
    let blocks = spill.free_blocks();
    let read = |first, len| {
        let mut dst = vec![0; len];
        reader.copy_to(first, &mut dst).map(|()| dst)
    };
    let singles: Vec<u32> = (0..blocks).map_while(|n| spill.retain(&[n as u8; 10])).collect();
    assert_eq!((singles.len(), spill.retain(b"x")), (blocks, None));
    for first in singles.iter().step_by(2) {
        spill.release(*first, 10).expect("there");
    }
    let long: Vec<u8> = (0..500).map(|n| n as u8).collect();
    let first = spill.retain(&long).expect("eight scattered blocks");
    assert_eq!(read(first, 500).expect("there"), long);
    assert_eq!(read(singles[1], 10).expect("there"), [1; 10]);
    assert!(spill.release(first, 10).is_err(), "another length");
    assert!(spill.release(singles[0], 64 * 9).is_err() && spill.release(u32::MAX, 0).is_err());
    spill.release(first, 500).expect("there");
    assert!(spill.release(first, 500).is_err(), "released before");
    assert!(read(blocks as u32, 1).is_err() && read(u32::MAX, 70).is_err());
    assert!(spill.retain(b"").is_some(), "an empty payload has a name");
    let mut dst = [7; 0];
    spill.copy_to(first, &mut dst).expect("there");
}

#[test]
fn spill_retains_from_an_outbox() {
    let outbox = RawMem::heap(outbox::layout(256).expect("valid"));
    let mut writer = OutboxWriter::new(outbox.clone()).expect("free");
    let from = OutboxReader::new(outbox).expect("free");
    let mem = RawMem::heap(spill::layout(8).expect("valid"));
    let mut spill = Spill::new(mem.clone()).expect("free");
    let data: Vec<u8> = (0..130).collect();
    let block = writer.write(&data).expect("room");
    let first = spill.retain_from(&from, block, 130).expect("inside").expect("room");
    let mut dst = [0; 130];
    SpillReader::new(mem).expect("free").copy_to(first, &mut dst).expect("there");
    assert_eq!(dst[..], data[..]);
    assert!(spill.retain_from(&from, 7, 130).is_err());
}

#[test]
fn distinct_errors_are_counted() {
    let mem = RawMem::heap(errors::layout(2).expect("valid"));
    let mut writer = ErrorsWriter::new(mem.clone(), 2).expect("free");
    let reader = ErrorsReader::new(mem, 2).expect("free");
    assert_eq!(reader.list(), Ok((vec![], 0)));
    for (key, tick, text) in [(5, 1, "first"), (6, 2, "second"), (5, 3, "other"), (7, 4, "third")] {
        writer.record(key, tick, text);
    }
    let (list, without_row) = reader.list().expect("quiet");
    assert_eq!((list.len(), without_row), (2, 1));
    let first = &list[0];
    assert_eq!((first.key, first.count, first.text.as_str()), (5, 2, "first"));
    assert_eq!((first.first_tick, first.last_tick), (1, 3));
    writer.record(6, 9, &"ä".repeat(100));
    assert_eq!(reader.list().expect("quiet").0[1].text, "second");
}
