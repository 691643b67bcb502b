//! No read is torn: a process that publishes pages, snapshots of a table and messages without a
//! pause, and this one, which reads them through a read-only mapping of its own and checks every
//! word.
//!
//! Whatever is published follows from its number, so a read that mixes two publications cannot
//! pass. A page of two slots is read beside one as it ships, because there nearly every read meets
//! the writer. `TORN_READS` and `TORN_SECONDS` set when to stop (`cargo xtask torn` does, after
//! long).
#![expect(clippy::disallowed_methods, reason = "it ends by time and prints its speed")]

use std::fmt;
use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use wasm_engine_shm::broadcast::{self, BroadcastReader, BroadcastWriter, Next};
use wasm_engine_shm::lease::Protocol;
use wasm_engine_shm::map::Map;
use wasm_engine_shm::mem::{Mem, RawMem, ReadMem};
use wasm_engine_shm::page::{self, PageWriter};
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::rows::{self, RowError, RowsReader, RowsWriter};
use wasm_engine_shm::slots::SlotsReader;

use crate::parts::{Ends, play, wait_for};

/// Words of a page: 4 KiB.
const WORDS: usize = 512;
const ROWS: usize = 8;
const ROW_WORDS: usize = 3;
const MESSAGES: usize = 64;
const MESSAGE: usize = 16;
const FEW_SLOTS: usize = 2;

/// The four things published, one behind the other: page, page of two slots, table, messages.
fn parts<M: Mem>(mem: &M) -> [M; 4] {
    let mut at = 0;
    lens().map(|len| {
        at += len;
        mem.slice(at - len, len).expect("it was made for them")
    })
}

fn lens() -> [usize; 4] {
    [
        page::layout(WORDS).expect("valid"),
        page::layout_with(FEW_SLOTS, WORDS).expect("valid"),
        rows::layout(ROWS, ROW_WORDS).expect("valid"),
        broadcast::layout(MESSAGES, MESSAGE).expect("valid"),
    ]
}

/// First word of what is published under a number; the others count on from it. No word is the same
/// at its position in two publications.
fn seed(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Whether bytes are the words that belong to a number.
fn is_whole(bytes: &[u8], number: u64) -> bool {
    let mut wrong = 0;
    for (word, at) in bytes.as_chunks::<8>().0.iter().zip(0..) {
        wrong |= u64::from_ne_bytes(*word) ^ seed(number).wrapping_add(at);
    }
    wrong == 0
}

/// Words of publication `n`; the length differs from lap to lap of a slot.
fn page_words(n: u64) -> usize {
    WORDS - (n % 3) as usize
}

/// The version up to `version` in which a row was written last, 0 if in none: row `r` is written in
/// every `r + 1`st.
fn last_change(row: usize, version: u64) -> u64 {
    version - version % (row as u64 + 1)
}

fn row_words(row: usize, written: u64) -> [u64; ROW_WORDS] {
    let word = seed(written).wrapping_add(row as u64);
    [word, !word, written]
}

/// Pins this thread to the first or the last processor allowed, if there are two: writer and reader
/// that take turns on one of them meet only when the system interrupts one.
fn keep_apart(last: bool) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let (Some(first), Some(other)) = (cpus.next(), cpus.next_back()) else { return };
    let mut own = CpuSet::new();
    own.set(if last { other } else { first });
    // If refused, both may run anywhere; the table shows how often they met.
    let _ = sched_setaffinity(None, &own);
}

/// The other process: publishes until it is killed.
pub(crate) fn publish_for_ever() {
    keep_apart(true);
    let map = Map::memfd("torn", lens().iter().sum::<usize>() as u64).expect("memory");
    let [pages, few, table, messages] = parts::<RawMem>(&map.mem());
    let mut pages = PageWriter::new(pages, WORDS).expect("free");
    let mut few = PageWriter::with_slots(few, FEW_SLOTS, WORDS).expect("free");
    let mut table = RowsWriter::new(table, ROWS, ROW_WORDS).expect("free");
    let mut messages = BroadcastWriter::new(messages, MESSAGES, MESSAGE).expect("free");
    let mut words = [0; WORDS];
    for n in 0.. {
        for (word, at) in words.iter_mut().zip(0..) {
            *word = seed(n).wrapping_add(at);
        }
        pages.publish(&words[..page_words(n)]);
        few.publish(&words[..page_words(n)]);
        let version = table.version();
        for row in (0..ROWS).filter(|row| last_change(*row, version) == version) {
            table.write(row, &row_words(row, version));
        }
        table.publish();
        let mut message = [0; MESSAGE];
        message[..8].copy_from_slice(&words[0].to_ne_bytes());
        message[8..].copy_from_slice(&words[1].to_ne_bytes());
        messages.send(&message);
        if n == 0 {
            let fd = map.fd().expect("memory has a file");
            println!("\nready\n/proc/{}/fd/{fd}", std::process::id());
        }
    }
}

/// The results of the reads of one thing.
#[derive(Default)]
struct Tally {
    name: &'static str,
    /// Reads that succeeded, and how many of them brought something new.
    reads: u64,
    fresh: u64,
    /// Attempts that returned that they were overtaken.
    overtaken: u64,
    torn: u64,
    newest: u64,
}

impl Tally {
    fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    fn read(&mut self, number: u64, whole: bool) {
        self.reads += 1;
        self.fresh += u64::from(number > self.newest);
        // To go back is as wrong as to be torn.
        self.torn += u64::from(!whole || number < self.newest);
        self.newest = number;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, reads, fresh, overtaken, torn, .. } = self;
        let each = *overtaken as f64 / (*reads).max(1) as f64;
        write!(f, "{name:<22} {reads:>13} {fresh:>13} {overtaken:>12} {each:>9.5} {torn:>5}")
    }
}

struct Pages {
    slots: SlotsReader<ReadMem>,
    tally: Tally,
    bytes: Box<[u8; WORDS * 8]>,
}

impl Pages {
    fn new(mem: ReadMem, slots: usize, name: &'static str) -> Self {
        let slots = SlotsReader::new(mem, Protocol::Page, slots, WORDS * 8).expect("free");
        Self { slots, tally: Tally::new(name), bytes: Box::new([0; WORDS * 8]) }
    }

    /// As [`page::PageReader`] reads, which does not count how often it was overtaken.
    fn read(&mut self) {
        for _ in 0..page::ATTEMPTS {
            let number = self.slots.latest() - 1;
            match self.slots.try_copy(number, &mut self.bytes[..]) {
                Ok(len) => {
                    let whole = len == page_words(number) * 8;
                    let bytes = &self.bytes[..len.min(WORDS * 8)];
                    return self.tally.read(number, whole && is_whole(bytes, number));
                }
                Err(_) => self.tally.overtaken += 1,
            }
        }
    }
}

/// Reads all rows of the newest snapshot once.
fn read_snapshot(rows: &RowsReader<ReadMem>, tally: &mut Tally) {
    let version = rows.version();
    let mut whole = true;
    for row in 0..ROWS {
        let mut words = [0; ROW_WORDS];
        let change = last_change(row, version);
        match rows.read(version, row, &mut words) {
            Ok(Some(written)) => whole &= written == change && words == row_words(row, written),
            Ok(None) => whole &= change == 0,
            Err(RowError::Lapped) => return tally.overtaken += 1,
            Err(error) => panic!("{error}"),
        }
    }
    tally.read(version, whole);
}

/// Takes the next message; returns how many messages were passed.
fn read_message(messages: &mut BroadcastReader<ReadMem>, tally: &mut Tally) -> u64 {
    let mut message = [0; MESSAGE];
    match messages.next(&mut message) {
        Next::Message { number, len } => {
            tally.read(number, len == MESSAGE && is_whole(&message, number));
            1
        }
        Next::Empty => 0,
        Next::Overrun { lost, .. } => {
            tally.overtaken += 1;
            lost
        }
    }
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

/// In a thread of its own, because it is pinned.
#[test]
fn no_read_is_torn() {
    if let Err(panic) = std::thread::spawn(read_beside_a_writer).join() {
        std::panic::resume_unwind(panic);
    }
}

fn read_beside_a_writer() {
    let reads = number("TORN_READS", 300_000);
    let most = Duration::from_secs(number("TORN_SECONDS", 60));
    let mut writer = Ends(play("publish", Path::new("")));
    let mut path = String::new();
    wait_for(&mut writer.0, "ready").read_line(&mut path).expect("a path");
    keep_apart(false);
    let map = ReadMap::open(Path::new(path.trim())).expect("the same user may");
    let [pages, few, table, messages] = parts(&map.mem());
    let mut pages = Pages::new(pages, page::SLOTS, "page, 4 KiB");
    let mut few = Pages::new(few, FEW_SLOTS, "page of two slots");
    let rows = RowsReader::new(table, ROWS, ROW_WORDS).expect("free");
    let mut messages = BroadcastReader::new(messages, MESSAGES, MESSAGE).expect("free");
    let (mut snapshots, mut trace) = (Tally::new("snapshot of all rows"), Tally::new("message"));
    let (start, mut passed) = (Instant::now(), 0);
    // Reading the clock costs as much as a message, so it is read once in a thousand rounds.
    for round in 1_u64.. {
        pages.read();
        few.read();
        read_snapshot(&rows, &mut snapshots);
        passed += read_message(&mut messages, &mut trace);
        let enough = pages.tally.reads + few.tally.reads >= reads && pages.tally.fresh > 1;
        if round % 1024 == 0 && (enough || start.elapsed() >= most) {
            break;
        }
    }
    let took = start.elapsed().as_secs_f64();
    let tallies = [pages.tally, few.tally, snapshots, trace];
    println!("\nwhat                           reads     brought new    overtaken      each  torn");
    tallies.iter().for_each(|tally| println!("{tally}"));
    let of_pages = tallies[0].reads + tallies[1].reads;
    println!(
        "{of_pages} reads of pages in {took:.1} s, {:.2} million/s, {:.2} GiB/s checked; {} \
         published; messages lost by polling and reading {:?}",
        of_pages as f64 / took / 1e6,
        of_pages as f64 * WORDS as f64 * 8.0 / took / f64::from(1 << 30),
        tallies[0].newest + 1,
        messages.lost_apart(),
    );
    assert!(tallies.iter().all(|tally| tally.torn == 0), "a read was torn: see the table");
    assert_eq!(passed, messages.position(), "messages delivered and lost");
    assert!(tallies[0].fresh > 1, "the writer did nothing in {took:.1} s");
    assert!(writer.0.try_wait().expect("a child").is_none(), "the writer ended");
}
