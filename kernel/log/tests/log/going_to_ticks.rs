//! A reader that goes to a tick (SEMANTICS L6).

use wasm_engine_abi::record::kind;
use wasm_engine_log::{LogReader, LogWriter, resume};

use crate::event_log::{
    RUN_ID, append, bytes, log_ring, options, read_all, sample, with_end, write,
};

#[test]
fn l6_1_a_reader_that_goes_to_a_tick_reads_what_follows_from_there() {
    let dir = tempfile::tempdir().unwrap();
    // Blocks and segments are short: some records lie in several of them.
    for (block_bytes, segment_bytes) in [(256, 600), (700, 4000), (1 << 16, 1 << 20)] {
        let dir = dir.path().join(block_bytes.to_string());
        let records = sample(60);
        write(&options(&dir, block_bytes, segment_bytes), &records);
        let (mut reader, _) = LogReader::open(&dir).unwrap();
        // There and back, and past the end.
        for tick in (0..125).chain((0..125).rev()).chain([0, u64::MAX]) {
            reader.go_to(tick).unwrap();
            let expected = with_end(&records);
            let expected: Vec<_> = expected.into_iter().filter(|(_, of, _)| *of >= tick).collect();
            assert_eq!(read_all(&mut reader).unwrap(), expected, "tick {tick}");
            let opened = records.iter().filter(|(kind, ..)| *kind == kind::TICK_OPEN);
            let before = opened.map(|(_, of, _)| *of).filter(|of| *of < tick).max();
            assert_eq!(reader.tick_before(tick).unwrap(), before, "tick {tick}");
        }
        reader.rewind();
        assert_eq!(read_all(&mut reader).unwrap(), with_end(&records));
    }
}

#[test]
fn l6_1_a_reader_goes_to_ticks_of_a_log_that_was_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), 300, 900);
    let mut log = LogWriter::create(&options, RUN_ID, log_ring(4096).unwrap()).unwrap();
    let unfinished = (kind::TICK_OPEN, 20, bytes(4, 500));
    sample(10).iter().chain([&unfinished]).for_each(|record| append(&mut log, record));
    drop(log);
    let (_, _, mut log) = resume(&options, log_ring(4096).unwrap()).unwrap();
    append(&mut log, &(kind::TICK_CLOSE, 20, bytes(4, 48)));
    for tick in 21..40 {
        append(&mut log, &(kind::TICK_OPEN, tick, bytes(tick, 90)));
        append(&mut log, &(kind::TICK_CLOSE, tick, bytes(tick, 48)));
    }
    log.close().unwrap();
    let (mut reader, _) = LogReader::open(dir.path()).unwrap();
    let all = read_all(&mut reader).unwrap();
    for tick in (0..45).rev() {
        reader.go_to(tick).unwrap();
        let expected: Vec<_> = all.iter().filter(|(_, of, _)| *of >= tick).cloned().collect();
        assert_eq!(read_all(&mut reader).unwrap(), expected, "tick {tick}");
    }
}
