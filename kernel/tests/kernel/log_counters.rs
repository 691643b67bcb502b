//! What the log thread counts is what lies on the disk.

use std::{fs, sync::Mutex};

use tempfile::TempDir;
use wasm_engine_abi::{
    counter::{self, CounterOwner, log},
    record::{BLOCK_BYTES_MIN, kind},
};
use wasm_engine_log::{LogCounters, LogOptions, LogRing, LogWriter, SyncPolicy};
use wasm_engine_shm::{
    bytes,
    counters::{self, CountersReader},
    mem::RawMem,
};
use wasm_engine_telemetry::publisher::counter_spec;

const TICKS: u64 = 400;

/// Writes a log of small segments; gives the counters by place, the bytes on disk and the segments.
/// A clock that goes on by a microsecond with each reading.
fn clock() -> u64 {
    static NOW_NS: Mutex<u64> = Mutex::new(0);
    let mut now_ns = NOW_NS.lock().expect("nobody panics with it");
    *now_ns += 1000;
    *now_ns
}

fn write(sync: SyncPolicy) -> (Vec<u64>, u64, u64) {
    let specs: Vec<_> =
        counter::LOG.iter().map(|described| counter_spec(CounterOwner::Log, *described)).collect();
    let section = RawMem::heap(counters::layout(&specs).expect("a few"));
    let writer = counters::format(&section, &specs).expect("fresh").pop().expect("one group");
    let reader = CountersReader::new(section.clone()).expect("a section");
    let counters = LogCounters::new(writer, section).expect("the log's own");
    let shape = bytes::layout(1 << 16).expect("a power of two");
    let memory = [shape.producer_len, shape.consumer_len].map(RawMem::heap);
    let [producer, consumer] = memory;
    let ring = LogRing::new(producer, consumer, counters, clock).expect("fresh");

    let dir = TempDir::new().expect("a folder");
    let options = LogOptions {
        sync,
        block_bytes: BLOCK_BYTES_MIN,
        segment_bytes: 8 * BLOCK_BYTES_MIN as u64,
        ..LogOptions::new(dir.path().join("log"))
    };
    let mut log = LogWriter::create(&options, [7; 16], ring).expect("an empty folder");
    let (open, close) = ([1; 500], [2; 100]);
    for tick in 0..TICKS {
        log.append(kind::TICK_OPEN, tick, &[&open]).expect("in order");
        log.append(kind::TICK_CLOSE, tick, &[&close]).expect("in order");
    }
    assert_eq!(log.close().expect("the disk has room"), Some(TICKS - 1));
    let values = reader.list().iter().map(|c| reader.value(c).expect("never reused")).collect();
    let files: Vec<_> = fs::read_dir(&options.dir).expect("there").map(Result::unwrap).collect();
    let bytes = files.iter().map(|file| file.metadata().expect("a file").len()).sum();
    (values, bytes, files.len() as u64)
}

#[test]
fn l3_4_counters_of_the_log_are_what_lies_on_the_disk() {
    let policies = [SyncPolicy::None, SyncPolicy::EveryMs(1_000), SyncPolicy::EveryBytes(1)];
    for sync in policies {
        let (values, bytes, segments) = write(sync);
        assert!(segments > 5, "{segments} segments");
        assert_eq!(values[log::DURABLE_TICKS], TICKS);
        assert_eq!(values[log::WRITTEN_BYTES], bytes);
        // Seven or eight to a segment, but for the last.
        let blocks = values[log::BLOCKS];
        let whole = segments - 1;
        assert!((7 * whole..=8 * segments).contains(&blocks), "{blocks} in {segments}");
        // One at the end; each change of segment, if anything is synced; each block, if so asked.
        let syncs = values[log::SYNCS];
        match sync {
            SyncPolicy::None => assert_eq!(syncs, 1),
            SyncPolicy::EveryMs(_) => assert!(syncs >= segments, "{syncs} for {segments}"),
            SyncPolicy::EveryBytes(_) => assert!(syncs >= blocks, "{syncs} for {blocks}"),
        }
        assert!(values[log::WRITE_NS] > 0 && values[log::SYNC_NS] >= values[log::SYNC_NS_MAX]);
        assert!(values[log::SYNC_NS_MAX] > 0);
    }
}
