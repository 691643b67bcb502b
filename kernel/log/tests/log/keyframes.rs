//! Keyframes are whole or not there, whatever happens while one is written (SEMANTICS L9).

use std::sync::Arc;

use wasm_engine_abi::Digest;
use wasm_engine_log::{
    keyframes::{
        Keyframe, KeyframeError, KeyframeJob, KeyframeTerms, KeyframeWriter, read_keyframe,
        ticks_of_keyframes, write_keyframe,
    },
    storage::{
        Storage as _,
        memory::{ENOSPC, Fault, Memory, Survival},
    },
};

fn terms() -> KeyframeTerms {
    KeyframeTerms { run_id: *b"sixteen bytes id", engine: "an engine of 1".to_owned() }
}

fn keyframe(tick: u64) -> Keyframe {
    let part = |len: usize| (0..len).map(|at| (at as u64 ^ tick) as u8).collect();
    Keyframe {
        tick,
        digest: Digest::new(u128::from(tick) << 70),
        core: part(700),
        run: part(90),
        agents: part(3000),
    }
}

fn storage() -> Memory {
    let memory = Memory::new("keyframes");
    memory.create_dir().expect("made");
    memory.sync_parent().expect("synced");
    memory
}

/// The name of the keyframe of a tick.
fn name(tick: u64) -> String {
    format!("keyframe-{tick:020}")
}

/// A storage that holds these bytes as the keyframe of tick 7.
fn holding(bytes: &[u8]) -> Memory {
    let memory = storage();
    let mut file = memory.create(&name(7)).expect("created");
    file.append(bytes).expect("written");
    memory
}

fn whole() -> Vec<u8> {
    let memory = storage();
    let bytes = write_keyframe(&memory, &terms(), &keyframe(7)).expect("written");
    assert_eq!(read_keyframe(&memory, 7, &terms()).expect("whole"), keyframe(7));
    let content = memory.content(&name(7)).expect("it is there");
    assert_eq!(content.len() as u64, bytes);
    content
}

#[test]
fn l9_1_l9_3_what_is_of_another_format_abi_engine_run_or_tick_is_refused_by_name() {
    let bytes = whole();
    let read = |memory: &Memory, terms: &KeyframeTerms| read_keyframe(memory, 7, terms);
    let mut format = bytes.clone();
    format[8] = 1;
    let error = read(&holding(&format), &terms()).expect_err("another format");
    assert!(matches!(error, KeyframeError::Format { found: 1, .. }), "{error}");
    let mut abi = bytes.clone();
    abi[12] = 9;
    let crc = crc32c::crc32c(&abi[..108]);
    abi[108..112].copy_from_slice(&crc.to_le_bytes());
    let error = read(&holding(&abi), &terms()).expect_err("another ABI");
    assert!(matches!(error, KeyframeError::Abi { found: 9, .. }), "{error}");
    let engine = KeyframeTerms { engine: "an engine of 2".to_owned(), ..terms() };
    let error = read(&holding(&bytes), &engine).expect_err("another engine");
    assert!(error.to_string().contains("engine of 1") && error.to_string().contains("of 2"));
    let run = KeyframeTerms { run_id: [0; 16], ..terms() };
    let error = read(&holding(&bytes), &run).expect_err("another run");
    assert!(matches!(error, KeyframeError::Other { .. }), "{error}");
    let memory = storage();
    memory.create(&name(8)).expect("created").append(&bytes).expect("written");
    let error = read_keyframe(&memory, 8, &terms()).expect_err("another tick");
    assert!(matches!(error, KeyframeError::Other { .. }), "{error}");
}

#[test]
fn l9_3_every_cut_and_every_changed_byte_is_found() {
    let bytes = whole();
    for cut in 0..bytes.len() {
        let error = read_keyframe(&holding(&bytes[..cut]), 7, &terms()).expect_err("it is cut");
        assert!(matches!(error, KeyframeError::Damaged { .. }), "cut at {cut}: {error}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let error = read_keyframe(&holding(&changed), 7, &terms()).expect_err("it is changed");
        let of_format = (8..12).contains(&at);
        assert!(of_format || matches!(error, KeyframeError::Damaged { .. }), "{at}: {error}");
    }
    assert!(read_keyframe(&holding(&[bytes, vec![0]].concat()), 7, &terms()).is_err(), "longer");
}

/// A crash at any moment leaves the keyframe before, and the new one whole or not at all.
#[test]
fn l9_3_l9_5_a_crash_while_one_is_written_leaves_the_one_before() {
    let memory = storage();
    write_keyframe(&memory, &terms(), &keyframe(5)).expect("written");
    memory.record(|| None);
    write_keyframe(&memory, &terms(), &keyframe(7)).expect("written");
    let moments = memory.moments();
    assert!(moments.len() > 6, "{} moments", moments.len());
    let mut found = [false; 2];
    for moment in moments {
        for names in [false, true] {
            for unsynced_bytes in [0, 100, 3000, usize::MAX] {
                let left = moment.crash(Survival { names, unsynced_bytes, zeros: names });
                assert_eq!(read_keyframe(&left, 5, &terms()).expect("before"), keyframe(5));
                let ticks = ticks_of_keyframes(&left).expect("read");
                let new = ticks.contains(&7);
                found[usize::from(new)] = true;
                if new {
                    assert_eq!(read_keyframe(&left, 7, &terms()).expect("whole"), keyframe(7));
                }
                // What a crash left of another name is in nobody's way.
                write_keyframe(&left, &terms(), &keyframe(9)).expect("written");
            }
        }
    }
    assert!(found[0], "before it was renamed");
}

/// A disk that fails leaves what was there; the next one is written.
#[test]
fn l9_2_a_failing_disk_leaves_the_one_before_and_the_next_is_written() {
    let operations = {
        let memory = storage();
        let before = memory.operations();
        write_keyframe(&memory, &terms(), &keyframe(5)).expect("written");
        memory.operations() - before
    };
    for after in 0..operations {
        let memory = storage();
        write_keyframe(&memory, &terms(), &keyframe(5)).expect("written");
        memory.fail(Fault { operation: None, after, code: ENOSPC });
        let failed = write_keyframe(&memory, &terms(), &keyframe(7));
        assert!(matches!(failed, Err(KeyframeError::Io { .. })), "operation {after}: {failed:?}");
        assert_eq!(read_keyframe(&memory, 5, &terms()).expect("before"), keyframe(5));
        write_keyframe(&memory, &terms(), &keyframe(9)).expect("written");
        assert_eq!(read_keyframe(&memory, 9, &terms()).expect("whole"), keyframe(9));
    }
}

/// Waits for the job under way.
fn job(writer: &mut KeyframeWriter) -> KeyframeJob {
    loop {
        if let Some(job) = writer.job() {
            return job;
        }
        std::thread::yield_now();
    }
}

#[test]
fn l9_2_l9_5_the_newest_that_the_log_covers_are_kept_and_all_that_it_does_not() {
    let memory = storage();
    let mut writer = KeyframeWriter::start(Arc::new(memory.clone()), terms(), 2).expect("a thread");
    for tick in 1..=9_u64 {
        let mut job = job(&mut writer);
        assert_eq!(writer.job().map(|_| ()), None, "one at a time");
        (job.keyframe.tick, job.keyframe.digest) = (tick, Digest::new(tick.into()));
        // Agent 3 runs always, agent 1 in the first two, agent 2 ends in the fifth.
        job.changed = vec![(3, Some(2))];
        job.states = vec![tick as u8; 2];
        if tick <= 2 {
            job.changed = vec![(1, Some(1)), (2, Some(0)), (3, Some(2))];
            job.states = vec![100, tick as u8, tick as u8];
        }
        if tick == 5 {
            job.changed = vec![(2, None), (3, Some(2))];
        }
        job.durable = (tick >= 6).then_some(5);
        writer.write(job);
    }
    writer.finish();
    assert_eq!((writer.counts().written, writer.counts().failed), (9, 0));
    // Of those before tick 5 the newest two, and all from it on.
    assert_eq!(ticks_of_keyframes(&memory).expect("read"), [3, 4, 5, 6, 7, 8, 9]);
    let slots = |tick: u64| {
        let Keyframe { agents, .. } = read_keyframe(&memory, tick, &terms()).expect("whole");
        let (mut at, mut slots) = (0, Vec::new());
        while at < agents.len() {
            let word = |at: usize| u32::from_le_bytes(agents[at..at + 4].try_into().expect("4"));
            let len = word(at + 4) as usize;
            slots.push((word(at), agents[at + 12..at + 12 + len].to_vec()));
            at += 12 + len;
        }
        slots
    };
    assert_eq!(slots(4), [(1, vec![100]), (2, vec![]), (3, vec![4, 4])]);
    assert_eq!(slots(9), [(1, vec![100]), (3, vec![9, 9])]);
}
