//! The run log against crashes, damage and full disks (SEMANTICS L1-L3, L5).
//!
//! Small logs are taken apart exhaustively: every cut, every changed byte. Processes are killed for
//! real. `cargo test -p wasm-engine-log --test log -- --ignored --nocapture measure` prints costs,
//! `EVENT_LOG_MEASURE_IN` names another directory, `EVENT_LOG_MEASURE_KIB` the size of blocks.
#![expect(clippy::disallowed_methods, reason = "tests wait for a real disk and measure it")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use wasm_engine_abi::record::{
    BLOCK_HEADER_BYTES, LOG_VERSION, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, crc32c, flags,
    kind, scan,
};
use wasm_engine_log::tamper::{seal, segments};
use wasm_engine_log::{
    Ending, LogError, LogOptions, LogReader, LogReport, LogRing, LogWriter, SyncPolicy, resume,
};
use wasm_engine_shm::lease::SetupError;
use wasm_engine_telemetry::publisher::log_counter_specs;

pub(crate) const RUN_ID: [u8; 16] = *b"a run's identity";

/// Nanoseconds since the first call.
fn now_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

pub(crate) fn log_ring(capacity_bytes: usize) -> Result<LogRing, SetupError> {
    LogRing::heap(capacity_bytes, &log_counter_specs(), now_ns)
}

/// A record as appended and as read.
pub(crate) type Owned = (u16, u64, Vec<u8>);

pub(crate) fn options(dir: &Path, block_bytes: usize, segment_bytes: u64) -> LogOptions {
    let sync = SyncPolicy::None;
    LogOptions { sync, block_bytes, segment_bytes, block_ms: 1000, ..LogOptions::new(dir) }
}

pub(crate) fn append(log: &mut LogWriter, (kind, tick, payload): &Owned) {
    log.append(*kind, *tick, &[payload]).unwrap();
}

/// A log of these records, closed in order.
pub(crate) fn write(options: &LogOptions, records: &[Owned]) {
    let mut log = LogWriter::create(options, RUN_ID, log_ring(4096).unwrap()).unwrap();
    records.iter().for_each(|record| append(&mut log, record));
    log.close().unwrap();
}

pub(crate) fn read_all(reader: &mut LogReader) -> Result<Vec<Owned>, LogError> {
    let mut records = Vec::new();
    while let Some(record) = reader.next()? {
        records.push((record.kind, record.tick, record.payload.to_vec()));
    }
    Ok(records)
}

fn open(dir: &Path) -> Result<(Vec<Owned>, LogReport), LogError> {
    let (mut reader, report) = LogReader::open(dir)?;
    let records = read_all(&mut reader)?;
    assert_eq!(records.len() as u64, report.records);
    reader.rewind();
    assert_eq!(read_all(&mut reader)?, records, "a second reading gives the same");
    Ok((records, report))
}

pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (seed.wrapping_mul(31).wrapping_add(at * 7) >> 1) as u8).collect()
}

/// Setup, then ticks with messages, some longer than a fragment.
pub(crate) fn sample(ticks: u64) -> Vec<Owned> {
    let mut records = vec![(kind::RUN, 0, bytes(1, 200)), (kind::MODULE, 0, bytes(2, 500))];
    for tick in 0..ticks {
        records.push((kind::TICK_OPEN, tick * 2, bytes(tick, 30 + (tick as usize * 97) % 300)));
        records.push((kind::MESSAGE, tick * 2, bytes(tick, tick as usize % 5)));
        records.push((kind::TICK_CLOSE, tick * 2, bytes(tick, 48)));
    }
    records
}

fn lay_out(dir: &Path, segments: &[Vec<u8>]) {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).unwrap();
    for (number, bytes) in segments.iter().enumerate() {
        fs::write(dir.join(format!("{number:06}.log")), bytes).unwrap();
    }
}

/// Writes a file anew. Not by cutting the old one: some file systems wait for the disk then.
fn replace(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

/// Bytes of the blocks of a segment, and per block the fragments that end a `TickOpen` in it.
fn blocks(segment: &[u8]) -> Vec<(Range<usize>, usize)> {
    let blocks = scan(segment, None, crc32c).unwrap().map(|block| block.unwrap());
    blocks
        .map(|block| {
            let ends = block.records().filter(|(_, header, _)| {
                header.kind == kind::TICK_OPEN && header.flags & flags::LAST != 0
            });
            (block.offset..block.offset + block.header.block_bytes(), ends.count())
        })
        .collect()
}

fn record() -> impl Strategy<Value = Vec<Vec<u8>>> {
    // The parts of one payload: mostly short, sometimes longer than a fragment.
    let part = prop_oneof![4 => 0..40_usize, 1 => 0..3000_usize];
    prop::collection::vec((any::<u8>(), part).prop_map(|(byte, len)| vec![byte; len]), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn l3_1_l3_3_what_was_appended_is_read_back(
        setup in prop::collection::vec(record(), 1..4),
        ticks in prop::collection::vec(
            (1..4_u64, record(), prop::collection::vec(record(), 0..6)),
            0..30,
        ),
        block_bytes in 256..3000_usize,
        segment_blocks in 1..5_u64,
        ring_bytes in prop_oneof![Just(256_usize), Just(4096), Just(1 << 20)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let segment_bytes = 64 + block_bytes as u64 * segment_blocks;
        let options = options(dir.path(), block_bytes, segment_bytes);
        let ring = log_ring(ring_bytes).unwrap();
        let mut log = LogWriter::create(&options, RUN_ID, ring).unwrap();
        let mut expected: Vec<Owned> = Vec::new();
        let mut put = |kind, tick, parts: &Vec<Vec<u8>>| {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            log.append(kind, tick, &parts).unwrap();
            expected.push((kind, tick, parts.concat()));
        };
        setup.iter().for_each(|parts| put(kind::MODULE, 0, parts));
        let mut tick = 0;
        for (step, open, messages) in &ticks {
            put(kind::TICK_OPEN, tick, open);
            messages.iter().for_each(|parts| put(kind::MESSAGE, tick, parts));
            put(kind::TICK_CLOSE, tick, open);
            tick += step;
        }
        let last = expected.last().filter(|_| !ticks.is_empty()).map(|record| record.1);
        prop_assert_eq!(log.close().unwrap(), last);
        expected.push((kind::END, last.unwrap_or(0), Vec::new()));
        let (records, report) = open(dir.path()).unwrap();
        prop_assert_eq!(records, expected);
        prop_assert_eq!(report.ending, Ending::Closed);
        prop_assert_eq!((report.opened, report.closed), (last, last.is_some()));
        for segment in segments(dir.path()) {
            prop_assert!(segment.len() as u64 <= segment_bytes);
            for (range, _) in blocks(&segment) {
                prop_assert!(range.len() <= block_bytes);
            }
        }
    }
}

#[test]
fn t10_1_who_asks_for_room_first_never_waits_while_appending() {
    for block_bytes in [4 << 10, 64 << 10] {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path(), block_bytes, 64 << 20);
        let mut log = LogWriter::create(&options, RUN_ID, log_ring(1 << 16).unwrap()).unwrap();
        let (mut waits, mut appended) = (0, 0);
        for tick in 0..500 {
            // Some take one fragment, some several, and all of them less than half the ring.
            for (kind, len) in [(kind::TICK_OPEN, tick * 7919 % 29_000), (kind::TICK_CLOSE, 48)] {
                let payload = bytes(tick, len as usize);
                if !log.has_room(payload.len()).unwrap() {
                    waits += 1;
                    let (before, mut said) = (log.stalls(), 0);
                    log.wait_for_room(payload.len(), &mut || said += 1).unwrap();
                    // It may have been made meanwhile.
                    assert!(said <= 1 && log.stalls() == before + said);
                    assert!(log.has_room(payload.len()).unwrap());
                }
                let before = log.stalls();
                log.append(kind, tick, &[&payload]).unwrap();
                assert_eq!(log.stalls(), before, "tick {tick}, {len} bytes");
                appended += 1;
            }
        }
        assert!(waits > 10, "the ring is full now and then");
        log.close().unwrap();
        assert_eq!(open(dir.path()).unwrap().0.len(), appended + 1);
    }
}

#[test]
fn l2_3_l3_3_t10_1_a_record_larger_than_ring_and_blocks_passes_in_fragments() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes: 3 << 20, ..LogOptions::new(dir.path()) };
    let mut log = LogWriter::create(&options, RUN_ID, log_ring(1 << 18).unwrap()).unwrap();
    let module = bytes(5, 10_000_001);
    let (head, tail) = module.split_at(777);
    log.append(kind::MODULE, 0, &[head, &[], tail]).unwrap();
    assert!(log.stalls() > 0, "the ring is smaller than the record");
    log.append(kind::TICK_OPEN, 3, &[b"facts"]).unwrap();
    log.append(kind::TICK_CLOSE, 3, &[]).unwrap();
    assert_eq!(log.close().unwrap(), Some(3));
    let (records, report) = open(dir.path()).unwrap();
    assert_eq!(records[0], (kind::MODULE, 0, module));
    assert_eq!(records.len(), 4);
    assert!(report.segments.len() > 3);
}

/// Cuts a log at every byte; `pad` makes the file as long as it was, with zeros, and longer.
fn every_cut(pad: bool) {
    let dir = tempfile::tempdir().unwrap();
    let (whole, cut) = (dir.path().join("whole"), dir.path().join("cut"));
    let records = sample(9);
    write(&options(&whole, 300, 1000), &records);
    let all = segments(&whole);
    assert!(all.len() > 3);
    let mut kept_before = 0;
    let mut opens_in_front = 0;
    for (number, segment) in all.iter().enumerate() {
        let blocks = blocks(segment);
        lay_out(&cut, &all[..number]);
        let path = cut.join(format!("{number:06}.log"));
        for len in 0..=segment.len() {
            // A footer is 8-aligned: the edge of a sector, where zeros begin, never cuts it.
            if pad && blocks.iter().any(|(range, _)| range.end - 8 < len && len < range.end) {
                continue;
            }
            let mut bytes = segment[..len].to_vec();
            if pad {
                bytes.resize(segment.len() + 5000, 0);
            }
            replace(&path, &bytes);
            if number == 0 && len < SEGMENT_HEADER_BYTES {
                assert!(matches!(LogReader::open(&cut), Err(LogError::Empty { .. })));
                continue;
            }
            let (kept, report) = open(&cut).unwrap_or_else(|error| panic!("{len}: {error}"));
            assert_eq!(kept, with_end(&records)[..kept.len()], "a prefix, cut at {len}");
            assert!(kept.len() >= kept_before, "more bytes never keep less");
            kept_before = kept.len();
            let sound = blocks.iter().filter(|(range, _)| range.end <= len);
            let opens: usize = sound.clone().map(|(_, opens)| opens).sum();
            let found = kept.iter().filter(|record| record.0 == kind::TICK_OPEN).count();
            assert_eq!(found, opens_in_front + opens, "every complete TickOpen, cut at {len}");
            let end = sound.map(|(range, _)| range.end).max().unwrap_or(SEGMENT_HEADER_BYTES);
            let end = if len < SEGMENT_HEADER_BYTES { 0 } else { end };
            match report.ending {
                Ending::Torn(torn) => {
                    assert_eq!((torn.segment as usize, torn.offset as usize), (number, end));
                    assert!(pad || torn.bytes as usize == len - end);
                }
                _ => assert!(len == end && !pad, "cut at {len}: {report}"),
            }
            assert_eq!(report.ending == Ending::Closed, kept.len() > records.len() && !pad);
        }
        opens_in_front += blocks.iter().map(|(_, opens)| opens).sum::<usize>();
    }
    assert_eq!(kept_before, records.len() + 1);
}

pub(crate) fn with_end(records: &[Owned]) -> Vec<Owned> {
    let mut records = records.to_vec();
    records.push((kind::END, records.last().unwrap().1, Vec::new()));
    records
}

#[test]
fn l5_1_every_cut_keeps_a_prefix_with_every_complete_tick_open() {
    every_cut(false);
}

#[test]
fn l5_1_every_cut_filled_with_zeros_keeps_the_same() {
    every_cut(true);
}

#[test]
fn l3_2_l7_2_every_changed_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, damaged) = (dir.path().join("whole"), dir.path().join("damaged"));
    write(&options(&whole, 300, 900), &sample(5));
    let all = segments(&whole);
    lay_out(&damaged, &all);
    for (number, segment) in all.iter().enumerate() {
        let path = damaged.join(format!("{number:06}.log"));
        let blocks = blocks(segment);
        for at in 0..segment.len() {
            for change in [0x01, 0x80, 0xFF, segment[at]] {
                if change == 0 {
                    continue;
                }
                let mut bytes = segment.clone();
                bytes[at] ^= change;
                replace(&path, &bytes);
                let error = open(&damaged).expect_err("a changed byte was accepted");
                assert_eq!(error.exit_code(), 4, "{error}");
                let LogError::Corrupt { segment: found, offset, first_tick, last_tick, .. } = error
                else {
                    panic!("{error}")
                };
                let block = blocks.iter().find(|(range, _)| range.contains(&at));
                let expected = block.map_or(0, |(range, _)| range.start);
                assert_eq!((found as usize, offset as usize), (number, expected));
                assert!(last_tick.is_none_or(|last| first_tick <= last));
            }
        }
        fs::write(&path, segment).unwrap();
    }
    open(&damaged).unwrap();
}

#[test]
fn l5_1_changed_bytes_in_a_torn_log_never_change_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, damaged) = (dir.path().join("whole"), dir.path().join("damaged"));
    let records = sample(3);
    write(&options(&whole, 300, 1 << 20), &records);
    let segment = segments(&whole).remove(0);
    let last = blocks(&segment).last().unwrap().0.clone();
    let mut accepted = 0;
    for len in [last.start + 20, last.start + 70, last.end - 9, last.end - 1] {
        for at in 0..len {
            let mut bytes = segment[..len].to_vec();
            bytes[at] ^= 0x10;
            lay_out(&damaged, &[bytes]);
            match open(&damaged) {
                Ok((kept, report)) => {
                    assert!(at >= last.start && matches!(report.ending, Ending::Torn(_)));
                    assert_eq!(kept, records[..kept.len()]);
                    accepted += 1;
                }
                Err(error) => assert_eq!(error.exit_code(), 4),
            }
        }
    }
    assert!(accepted > 0, "bytes of a torn body are dropped unread");
}

#[test]
fn l3_2_l5_3_missing_repeated_and_foreign_segments_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, other, damaged) =
        (dir.path().join("whole"), dir.path().join("other"), dir.path().join("damaged"));
    write(&options(&whole, 300, 900), &sample(5));
    let mut second =
        LogWriter::create(&options(&other, 300, 900), [9; 16], log_ring(4096).unwrap()).unwrap();
    sample(5).iter().for_each(|record| append(&mut second, record));
    second.close().unwrap();
    let all = segments(&whole);
    let foreign = segments(&other).remove(1);
    lay_out(&damaged, &all);
    fs::remove_file(damaged.join("000001.log")).unwrap();
    assert!(matches!(open(&damaged), Err(LogError::MissingSegment { segment: 1, .. })));
    for wrong in [&all[0], &all[2], &foreign] {
        fs::write(damaged.join("000001.log"), wrong).unwrap();
        let error = open(&damaged).unwrap_err();
        assert!(matches!(error, LogError::Corrupt { segment: 1, offset: 0, .. }), "{error}");
    }
    // A cut at a block's end, or inside a block, is damage if segments follow.
    let block = blocks(&all[1]).last().unwrap().0.clone();
    for end in [block.start, block.start + 10, block.end - 1, 10, 0] {
        fs::write(damaged.join("000001.log"), &all[1][..end]).unwrap();
        assert_eq!(open(&damaged).unwrap_err().exit_code(), 4);
    }
}

#[test]
fn a_sound_log_of_another_version_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write(&options(dir.path(), 300, 1 << 20), &sample(1));
    let mut bytes = segments(dir.path()).remove(0);
    let other = LOG_VERSION as u8 - 1;
    bytes[8] = other;
    let crc = crc32c(0, &bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    lay_out(dir.path(), &[bytes]);
    let found = u32::from(other);
    let refused = LogReader::open(dir.path());
    assert!(matches!(refused, Err(LogError::Version { found: named, .. }) if named == found));
}

#[test]
fn a_changed_and_resealed_log_reads_well_and_shows_the_change() {
    let dir = tempfile::tempdir().unwrap();
    let records = sample(5);
    write(&options(dir.path(), 300, 900), &records);
    let mut all = segments(dir.path());
    let before = all.clone();
    seal(&mut all, RUN_ID);
    assert_eq!(all, before, "sealing anew changes nothing by itself");
    // The first record's first payload byte.
    all[0][SEGMENT_HEADER_BYTES + BLOCK_HEADER_BYTES + RECORD_HEADER_BYTES] ^= 4;
    seal(&mut all, RUN_ID);
    lay_out(dir.path(), &all);
    let (read, report) = open(dir.path()).unwrap();
    let mut expected = with_end(&records);
    expected[0].2[0] ^= 4;
    assert_eq!(read, expected);
    assert_eq!(report.ending, Ending::Closed);
}

#[test]
fn directories_that_cannot_take_a_new_log_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let create =
        |path: &Path| LogWriter::create(&LogOptions::new(path), RUN_ID, log_ring(1 << 16).unwrap());
    let full = dir.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("anything"), "").unwrap();
    let error = create(&full).unwrap_err();
    assert!(matches!(error, LogError::NotEmpty { .. }), "{error}");
    assert_eq!(error.exit_code(), 2);

    let error = create(&full.join("anything").join("log")).unwrap_err();
    assert!(matches!(error, LogError::Disk { durable: None, .. }), "{error}");
    assert_eq!(error.exit_code(), 1);

    let run = dir.path().join("run");
    let log = create(&run).unwrap();
    let error = create(&run).unwrap_err();
    assert!(matches!(error, LogError::InUse { .. }), "{error}");
    let error = resume(&LogOptions::new(&run), log_ring(1 << 16).unwrap()).unwrap_err();
    assert!(matches!(error, LogError::InUse { .. }), "{error}");
    log.close().unwrap();
    assert!(matches!(create(&run), Err(LogError::NotEmpty { .. })));
    assert!(matches!(open(&dir.path().join("none")), Err(LogError::NoLog { .. })));
    assert!(matches!(open(&full), Err(LogError::NoLog { .. })));
}

#[test]
fn options_and_records_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = LogOptions::new(dir.path());
    for wrong in [
        LogOptions { block_bytes: 255, ..good.clone() },
        LogOptions { block_bytes: (1 << 20) + 1, ..good.clone() },
        LogOptions { segment_bytes: 1 << 12, ..good.clone() },
        LogOptions { sync: SyncPolicy::EveryBytes(0), ..good.clone() },
    ] {
        assert!(matches!(wrong.check(), Err(LogError::Options { .. })), "{wrong:?}");
    }
    let tiny = log_ring(64).unwrap();
    assert!(matches!(LogWriter::create(&good, RUN_ID, tiny), Err(LogError::Options { .. })));
    fs::remove_dir_all(dir.path()).unwrap();
    let mut log = LogWriter::create(&good, RUN_ID, log_ring(1 << 16).unwrap()).unwrap();
    log.append(kind::TICK_OPEN, 4, &[]).unwrap();
    for (kind, tick) in
        [(kind::TICK_OPEN, 5), (kind::TICK_CLOSE, 3), (kind::END, 4), (kind::RESUMED, 4)]
    {
        assert!(matches!(log.append(kind, tick, &[]), Err(LogError::Order { .. })));
    }
    log.append(kind::TICK_CLOSE, 4, &[]).unwrap();
    assert!(log.append(kind::TICK_OPEN, 4, &[]).is_err());
    log.append(kind::TICK_OPEN, 5, &[]).unwrap();
}

#[test]
fn l5_1_l5_5_a_stopped_log_continues_and_its_unfinished_tick_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), 300, 1000);
    let mut expected = sample(4);
    let mut log = LogWriter::create(&options, RUN_ID, log_ring(4096).unwrap()).unwrap();
    expected.iter().for_each(|record| append(&mut log, record));
    for round in 0..3_u64 {
        let tick = 100 + round;
        let open_record = (kind::TICK_OPEN, tick, bytes(round, 400));
        append(&mut log, &open_record);
        expected.push(open_record);
        // Records of a tick that is not closed, the last of them cut.
        append(&mut log, &(kind::MESSAGE, tick, bytes(8, 500)));
        append(&mut log, &(kind::MESSAGE, tick, bytes(9, 1500)));
        drop(log);
        let report = open(dir.path()).unwrap().1;
        assert_eq!((report.ending, report.unfinished_records), (Ending::Stopped, 2));
        let last = segments(dir.path()).len() - 1;
        let path = dir.path().join(format!("{last:06}.log"));
        let bytes_whole = fs::read(&path).unwrap();
        let cut = bytes_whole.len() - 20;
        fs::write(&path, &bytes_whole[..cut]).unwrap();
        let (kept, report) = open(dir.path()).unwrap();
        assert_eq!(kept, expected);
        assert_eq!((report.opened, report.closed), (Some(tick), false));
        let (mut reader, report, continued) = resume(&options, log_ring(4096).unwrap()).unwrap();
        assert!(matches!(report.ending, Ending::Torn(_)), "{report}");
        assert_eq!(read_all(&mut reader).unwrap(), expected, "the reader stops before RESUMED");
        log = continued;
        assert_eq!(log.durable().get(), Some(tick));
        // Executed again: its messages and its close, not its open.
        let message = (kind::MESSAGE, tick, bytes(8, 500));
        let close = (kind::TICK_CLOSE, tick, bytes(3, 48));
        append(&mut log, &message);
        append(&mut log, &close);
        let resumed = [tick + 1, report.unfinished_records];
        let resumed = bytemuck::cast_slice(&resumed).to_vec();
        expected.extend([(kind::RESUMED, tick, resumed), message, close]);
    }
    log.close().unwrap();
    expected.push((kind::END, 102, Vec::new()));
    let (kept, report) = open(dir.path()).unwrap();
    assert_eq!(kept, expected);
    assert_eq!((report.ending, report.resumed), (Ending::Closed, 3));
    // A closed log continues too.
    let (_, _, mut log) = resume(&options, log_ring(4096).unwrap()).unwrap();
    log.append(kind::TICK_OPEN, 103, &[b"x"]).unwrap();
    log.append(kind::TICK_CLOSE, 103, &[]).unwrap();
    log.close().unwrap();
    assert_eq!(open(dir.path()).unwrap().0.len(), expected.len() + 4);
}

#[test]
fn l5_2_a_log_torn_in_a_segment_header_continues() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), 300, 1000);
    write(&options, &sample(4));
    let all = segments(dir.path());
    let chain = scan(all.last().unwrap(), None, crc32c).unwrap();
    let mut last = chain.clone();
    last.by_ref().for_each(drop);
    let header = last.after().segment_header(crc32c);
    for len in [0, 7, 63] {
        lay_out(dir.path(), &all);
        let path = dir.path().join(format!("{:06}.log", all.len()));
        fs::write(&path, &bytemuck::bytes_of(&header)[..len]).unwrap();
        let (_, report, log) = resume(&options, log_ring(4096).unwrap()).unwrap();
        assert!(matches!(report.ending, Ending::Torn(torn) if torn.bytes == len as u64));
        log.close().unwrap();
        assert_eq!(open(dir.path()).unwrap().1.resumed, 1);
    }
}

#[test]
fn l2_1_l3_4_time_makes_a_lonely_record_durable() {
    for sync in [SyncPolicy::None, SyncPolicy::EveryMs(20), SyncPolicy::EveryBytes(64 << 20)] {
        let dir = tempfile::tempdir().unwrap();
        let options = LogOptions { sync, ..LogOptions::new(dir.path()) };
        let mut log = LogWriter::create(&options, RUN_ID, log_ring(1 << 16).unwrap()).unwrap();
        log.append(kind::TICK_OPEN, 0, &[b"facts"]).unwrap();
        let start = Instant::now();
        while log.durable().get().is_none() {
            assert!(start.elapsed() < Duration::from_secs(20), "{sync:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(open(dir.path()).unwrap().1.opened, Some(0));
        assert!(log.check().is_ok());
    }
}

/// Runs an ignored test of this file in a process of its own.
fn child(test: &str, dir: &Path, shell: &str) -> Command {
    let script = format!("{shell} exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        &format!("event_log::{test}"),
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    command.env("EVENT_LOG_DIR", dir).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The directory that its parent gave to a child.
fn child_dir() -> PathBuf {
    std::env::var_os("EVENT_LOG_DIR").map(PathBuf::from).expect("started by its parent")
}

#[test]
fn l2_4_a_full_disk_stops_the_log_with_a_typed_error() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    // The file size limit, its signal ignored, makes write(2) fail as a full disk does.
    let limit = "trap '' XFSZ; ulimit -f 256;";
    let output = child("child_fills_the_disk", &log, limit).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let durable = text.lines().find_map(|line| line.split_once("durable ")).unwrap_or_else(|| {
        panic!("the child did not get so far: {text}");
    });
    let durable: u64 = durable.1.trim().parse().unwrap();
    let (records, report) = open(&log).unwrap();
    assert!(report.opened.unwrap() >= durable);
    assert!(records.len() as u64 > durable);
}

#[test]
#[ignore = "run by l2_4_a_full_disk_stops_the_log_with_a_typed_error"]
fn child_fills_the_disk() {
    let dir = child_dir();
    let options =
        LogOptions { sync: SyncPolicy::EveryMs(1), block_bytes: 4096, ..LogOptions::new(&dir) };
    let mut log = LogWriter::create(&options, RUN_ID, log_ring(1 << 16).unwrap()).unwrap();
    let mut stopped = None;
    for tick in 0..1_000_000 {
        let open = log.append(kind::TICK_OPEN, tick, &[&[1; 500]]);
        let close = open.and_then(|()| log.append(kind::TICK_CLOSE, tick, &[]));
        if let Err(error) = close.and_then(|()| log.check()) {
            stopped = Some(error);
            break;
        }
        while tick == 20 && log.durable().get().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let error = stopped.expect("the disk is full");
    let LogError::Disk { path, durable, source, .. } = &error else { panic!("{error}") };
    assert_eq!(path, &dir.join("000000.log"));
    assert!(source.raw_os_error().is_some());
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains(&format!("durable up to tick {}", durable.unwrap())));
    assert!(matches!(log.check(), Err(LogError::Disk { .. })), "it stays so");
    println!("\ndurable {}", durable.unwrap());
    assert!(matches!(log.close(), Err(LogError::Disk { .. })));
}

#[test]
fn l2_4_a_segment_that_cannot_begin_stops_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut log =
        LogWriter::create(&options(dir.path(), 300, 600), RUN_ID, log_ring(4096).unwrap()).unwrap();
    fs::create_dir(dir.path().join("000001.log")).unwrap();
    let error = (0..10_000)
        .find_map(|tick| {
            let open = log.append(kind::TICK_OPEN, tick, &[&[1; 100]]);
            open.and_then(|()| log.append(kind::TICK_CLOSE, tick, &[])).err()
        })
        .expect("the second segment's name is taken");
    assert!(matches!(&error, LogError::Disk { action: "create", .. }), "{error}");
    drop(log);
}

/// The facts of a tick in the kill test.
fn facts_of(tick: u64) -> Vec<u8> {
    bytes(tick, (tick as usize * 131) % 5000)
}

#[test]
fn l2_1_l5_1_a_killed_process_loses_nothing_it_called_durable() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let (mut torn, mut grown) = (0, 0);
    for round in 0..20_u64 {
        let mut process = child("child_appends_until_killed", &log, "").spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, ticks) = std::sync::mpsc::channel::<u64>();
        let reading = std::thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            let durable = lines.filter_map(|line| line.strip_prefix("durable ")?.parse().ok());
            durable.inspect(|tick| sender.send(*tick).unwrap_or_default()).last()
        });
        // Every other time at work for sure, else perhaps while it begins.
        if round % 2 == 0 {
            ticks.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        std::thread::sleep(Duration::from_micros(3_000 + round * 7_919 % 40 * 1_000));
        process.kill().unwrap();
        process.wait().unwrap();
        let durable: Option<u64> = reading.join().unwrap();
        let Ok((mut reader, report)) = LogReader::open(&log) else {
            assert_eq!(durable, None, "a log of which something was durable can be read");
            let _ = fs::remove_dir_all(&log);
            continue;
        };
        assert!(report.opened >= durable, "{report}, but tick {durable:?} was durable");
        torn += u32::from(matches!(report.ending, Ending::Torn(_)));
        grown += u32::from(durable.is_some());
        let (mut next, mut closed) = (0, true);
        while let Some(record) = reader.next().unwrap() {
            match record.kind {
                kind::TICK_OPEN => {
                    assert!(closed && record.tick == next);
                    assert_eq!(record.payload, facts_of(next));
                    (next, closed) = (next + 1, false);
                }
                kind::TICK_CLOSE => closed = true,
                _ => {}
            }
        }
        assert_eq!(next.checked_sub(1), report.opened);
    }
    println!("20 kills: {grown} with durable ticks, {torn} torn tails");
    assert!(grown >= 10, "the child hardly ran: {grown} of 20");
}

#[test]
#[ignore = "run by l2_1_l5_1_a_killed_process_loses_nothing_it_called_durable"]
fn child_appends_until_killed() {
    let dir = child_dir();
    let options = LogOptions {
        sync: SyncPolicy::EveryMs(1),
        segment_bytes: 1 << 20,
        block_bytes: 1 << 16,
        block_ms: 1,
        ..LogOptions::new(&dir)
    };
    let ring = log_ring(1 << 20).unwrap();
    let (mut log, mut tick) = if dir.join("000000.log").exists() {
        let (_, report, mut log) = resume(&options, ring).unwrap();
        if let (Some(tick), false) = (report.opened, report.closed) {
            log.append(kind::TICK_CLOSE, tick, &[]).unwrap();
        }
        (log, report.opened.map_or(0, |tick| tick + 1))
    } else {
        (LogWriter::create(&options, RUN_ID, ring).unwrap(), 0)
    };
    let mut out = std::io::stdout().lock();
    let mut shown = None;
    writeln!(out).unwrap();
    loop {
        log.append(kind::TICK_OPEN, tick, &[&facts_of(tick)]).unwrap();
        log.append(kind::MESSAGE, tick, &[&[7; 300]]).unwrap();
        log.append(kind::TICK_CLOSE, tick, &[&[9; 48]]).unwrap();
        tick += 1;
        if log.durable().get() != shown {
            shown = log.durable().get();
            writeln!(out, "durable {}", shown.unwrap()).unwrap();
            out.flush().unwrap();
        }
    }
}

/// Nanoseconds on a processor, per thread name.
fn cpu_ns() -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let ns: u64 = stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        *sums.entry(name.trim().to_owned()).or_default() += ns;
    }
    sums
}

#[test]
#[ignore = "a measurement"]
fn measure() {
    const RECORDS: u64 = 4_000_000;
    const PER_TICK: u64 = 20_000;
    for sync in [SyncPolicy::None, SyncPolicy::EveryMs(100), SyncPolicy::EveryBytes(16 << 20)] {
        for burst in [true, false] {
            let dir = match std::env::var_os("EVENT_LOG_MEASURE_IN") {
                Some(parent) => tempfile::tempdir_in(parent).unwrap(),
                None => tempfile::tempdir().unwrap(),
            };
            let kib =
                std::env::var("EVENT_LOG_MEASURE_KIB").map_or(512, |kib| kib.parse().unwrap());
            let options =
                LogOptions { sync, block_bytes: kib << 10, ..LogOptions::new(dir.path()) };
            let ring = log_ring(8 << 20).unwrap();
            let mut log = LogWriter::create(&options, RUN_ID, ring).unwrap();
            let payload = [5_u8; 64];
            let (start, mut appending) = (Instant::now(), Duration::ZERO);
            for tick in 0..RECORDS / PER_TICK {
                log.append(kind::TICK_OPEN, tick, &[&payload]).unwrap();
                let before = Instant::now();
                for _ in 0..PER_TICK {
                    log.append(kind::MESSAGE, tick, &[&payload]).unwrap();
                }
                appending += before.elapsed();
                log.append(kind::TICK_CLOSE, tick, &[&payload]).unwrap();
                if !burst {
                    std::thread::sleep(Duration::from_millis(8));
                }
            }
            let stalls = log.stalls();
            while log.durable().get() != Some(RECORDS / PER_TICK - 1) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let thread = cpu_ns()["we-log"];
            println!(
                "{sync:?}, {}: log thread {:.1} ns CPU per record, append {:.1} ns, \
                 {stalls} stalls, {:.1} M records/s",
                if burst { "as fast as it goes" } else { "paced" },
                thread as f64 / RECORDS as f64,
                appending.as_nanos() as f64 / RECORDS as f64,
                RECORDS as f64 / start.elapsed().as_secs_f64() / 1e6,
            );
            log.close().unwrap();
        }
    }
}
