//! S2: a consistent 4 KiB page, read from a second, read-only mapping as another process would.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use wasm_engine_shm::lease::Protocol;
use wasm_engine_shm::map::Map;
use wasm_engine_shm::mem::{Mem, RawMem, ReadMem};
use wasm_engine_shm::page::{self, PageReader, PageWriter, SLOTS};
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::slots::SlotsReader;

use crate::measure::{Scale, median, median_ratio, ns_each, on_core, pin};
use crate::row::{Row, Unit};

/// Words of the page: 4 KiB.
const WORDS: usize = 512;

/// A page and its second mapping.
struct Page {
    /// Keeps the memory.
    _owner: Map,
    /// Keeps the mapping.
    reader_map: ReadMap,
    writer: PageWriter<RawMem>,
    len: usize,
}

/// The rows.
///
/// # Panics
/// If a page is torn, or the system gives no memory.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    let mut rows = vec![quiet(scale)];
    rows.extend(publishing(scale));
    rows.push(writer_cost(scale));
    rows
}

fn page() -> Page {
    let len = page::layout(WORDS).expect("4 KiB is a page");
    let owner = Map::memfd("bench page", len as u64).expect("the system gives some memory");
    let fd = owner.fd().expect("sealed memory has a file");
    let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
    let reader_map = ReadMap::open(&path).expect("own memory can be opened");
    let mem = owner.mem().slice(0, len).expect("the map is whole pages");
    let writer = PageWriter::new(mem, WORDS).expect("fresh memory");
    Page { _owner: owner, reader_map, writer, len }
}

impl Page {
    fn read_only(&self) -> ReadMem {
        self.reader_map.mem().slice(0, self.len).expect("the map is whole pages")
    }

    fn reader(&self) -> PageReader<ReadMem> {
        PageReader::new(self.read_only(), WORDS).expect("a page of this length")
    }
}

fn check(words: &[u64]) {
    assert!(words.iter().all(|word| *word == words[0]), "a torn page was read");
}

/// Nobody publishes: the read against a copy of the same bytes.
fn quiet(scale: Scale) -> Row {
    let mut page = page();
    page.writer.publish(&[7; WORDS]);
    let reader = page.reader();
    on_core(0, || {
        let (from, mut to) = (vec![7u64; WORDS], vec![0u64; WORDS]);
        let count = scale.of(20_000);
        let (mut ours, mut copies) = (Vec::new(), Vec::new());
        for _ in 0..scale.segments {
            ours.push(ns_each(count, || {
                reader.read(std::hint::black_box(&mut to)).expect("a page is there");
            }));
            check(&to);
            copies.push(ns_each(count, || {
                std::hint::black_box(&mut to).copy_from_slice(std::hint::black_box(&from));
            }));
        }
        let copy = median(&copies);
        Row::new("S2", "4 KiB page, read while nothing is published", Unit::Ns, median(&ours))
            .against("memcpy", copy, Some(median_ratio(&copies, &ours)))
            .limit(copy)
            .goal(1.0 / 1.5)
    })
}

/// Somebody publishes without pause on another core: how long reads take and how many go wrong.
fn publishing(scale: Scale) -> Vec<Row> {
    let mut page = page();
    page.writer.publish(&[0; WORDS]);
    let (reader, memory) = (page.reader(), page.read_only());
    let slots = SlotsReader::new(memory, Protocol::Page, SLOTS, WORDS * 8).expect("same layout");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (stop, writer) = (&stop, &mut page.writer);
        scope.spawn(move || {
            pin(1);
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                writer.publish(&[number; WORDS]);
            }
        });
        let measured = scope.spawn(move || {
            pin(0);
            let measured = read_busy(scale, &reader, &slots);
            stop.store(true, Ordering::Relaxed);
            measured
        });
        measured.join().unwrap_or_else(|panic| {
            stop.store(true, Ordering::Relaxed);
            std::panic::resume_unwind(panic)
        })
    })
}

fn read_busy(scale: Scale, reader: &PageReader<ReadMem>, slots: &SlotsReader<ReadMem>) -> Vec<Row> {
    let mut to = vec![0u64; WORDS];
    let count = scale.of(20_000);
    let times: Vec<f64> = (0..scale.segments)
        .map(|_| {
            ns_each(count, || {
                // Busy after eight attempts is counted below as retries, not as a figure.
                if reader.read(&mut to).is_ok() {
                    check(&to);
                }
            })
        })
        .collect();
    let mut bytes = vec![0u8; WORDS * 8];
    let (mut reads, mut retries) = (0u64, 0u64);
    for _ in 0..scale.of(300_000) {
        loop {
            let newest = slots.latest() - 1;
            match slots.try_copy(newest, &mut bytes) {
                Ok(_) => break,
                Err(_) => retries += 1,
            }
        }
        reads += 1;
        let first = &bytes[..8];
        assert!(bytes.chunks_exact(8).all(|word| word == first), "a torn page was read");
    }
    vec![
        Row::new("S2", "4 KiB page, read and checked under publishing", Unit::Ns, median(&times)),
        Row::new(
            "S2",
            "retries per read under publishing",
            Unit::Count,
            retries as f64 / reads as f64,
        )
        .at_most(0.2)
        .note(format!("0 torn in {reads} reads")),
    ]
}

/// What a reader costs the writer: cache lines, no instruction.
fn writer_cost(scale: Scale) -> Row {
    let mut page = page();
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    let count = scale.of(20_000);
    for _ in 0..scale.segments {
        alone.push(on_core(0, || publish(&mut page.writer, count)));
        let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
        let reader = page.reader();
        let writer = &mut page.writer;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pin(1);
                let mut to = vec![0u64; WORDS];
                while !stop.load(Ordering::Relaxed) {
                    if reader.read(&mut to).is_ok() {
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            while reads.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            watched.push(on_core(0, || publish(writer, count)));
            stop.store(true, Ordering::Relaxed);
        });
    }
    Row::new("S2", "4 KiB page, published under a hammering reader", Unit::Ns, median(&watched))
        .against("no reader", median(&alone), Some(median_ratio(&alone, &watched)))
        .note("the same instructions; the difference is cache lines on their way")
}

fn publish(writer: &mut PageWriter<RawMem>, count: usize) -> f64 {
    let words = [0u64; WORDS];
    ns_each(count, || {
        writer.publish(std::hint::black_box(&words));
    })
}
