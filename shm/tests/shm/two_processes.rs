//! Two processes and more: writers and readers that are killed, stopped and started again at any
//! moment, and a region that its readers cannot write.
#![expect(clippy::disallowed_methods, reason = "the moment of a kill is a matter of time")]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use wasm_engine_shm::header::{Identity, Liveness, OwnerState, Pulse, STALE_AFTER_NS};
use wasm_engine_shm::locate::{self, Descriptor, LocateError, OwnerProcess};
use wasm_engine_shm::map::{Map, MapBacking, MapError};
use wasm_engine_shm::mem::{Mem, Ordering};
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::region::{Region, RegionView};

use crate::live_region::{NAME, RegionReader, Seeded, TestOwner, plan};
use crate::parts::{CONT, Ends, KILL, STOP, play, signal, wait_ready};

const WRITERS: [(&str, MapBacking); 2] =
    [("writer", MapBacking::SealedMemory), ("file writer", MapBacking::File)];

fn killed_writer(part: &str, backing: MapBacking) {
    for round in 0..8 {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = Ends(play(part, dir.path()));
        wait_ready(&mut child.0);
        let (descriptor, map) = locate::open_in(dir.path(), NAME).expect("running");
        assert_eq!((descriptor.owner(), map.backing()), (OwnerProcess::Alive, backing));
        let taken = locate::lock_in(dir.path(), NAME).expect_err("taken");
        assert!(matches!(taken, LocateError::Taken { .. }), "{taken}");
        let reader = RegionReader::of(RegionView::attach(map).expect("ready"));
        let until = Instant::now() + Duration::from_micros(500 + round * 700);
        let mut newest = 0;
        while Instant::now() < until {
            let number = reader.read_all().unwrap_or(newest);
            assert!(number >= newest, "went back");
            newest = number;
        }
        child.0.kill().expect("alive");
        // Not fetched by its parent yet: a process without memory is a dead owner already.
        while reader.view.owner() == OwnerProcess::Alive {
            std::thread::yield_now();
        }
        child.0.wait().expect("a child");
        // Killed at any moment: what is there is whole, and never older than what was seen.
        assert!(reader.read_page() >= newest, "the last publication is lost");
        assert_eq!((reader.view.owner(), reader.view.owner_exists()), (OwnerProcess::Dead, false));
        assert_eq!(reader.view.status().state, OwnerState::Running);
        let dead = locate::open_in(dir.path(), NAME).expect_err("dead");
        assert!(matches!(dead, LocateError::Dead { .. }), "{dead}");
        assert_eq!(locate::list_in(dir.path()).expect("readable").len(), 1);
        drop(locate::lock_in(dir.path(), NAME).expect("free again"));
        let gone = locate::open_in(dir.path(), NAME).expect_err("gone");
        assert!(matches!(gone, LocateError::NotFound { .. }), "{gone}");
    }
}

#[test]
fn a_killed_writer_leaves_whole_memory() {
    let (part, backing) = WRITERS[0];
    killed_writer(part, backing);
}

#[test]
fn a_killed_writer_leaves_a_whole_file() {
    let (part, backing) = WRITERS[1];
    killed_writer(part, backing);
}

/// Nanoseconds since a moment.
fn ns(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).expect("centuries")
}

#[test]
fn a_stopped_writer_is_stale_and_goes_on() {
    for (part, _) in WRITERS {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = Ends(play(part, dir.path()));
        wait_ready(&mut child.0);
        let reader = RegionReader::attach(dir.path());
        let mut seeded = Seeded(7);
        for _ in 0..5 {
            std::thread::sleep(Duration::from_micros(seeded.below(3_000)));
            signal(&child.0, STOP);
            // Stopped at any moment: what is there is whole.
            let stopped = reader.read_page();
            assert!(reader.read_page() >= stopped);
            signal(&child.0, CONT);
        }
        signal(&child.0, STOP);
        let start = Instant::now();
        let mut pulse = Pulse::new(reader.view.status(), ns(start));
        let mut classify = || {
            let now_ns = ns(start);
            (
                pulse.classify(reader.view.status(), reader.view.owner(), now_ns),
                pulse.idle_ns(now_ns),
            )
        };
        loop {
            match classify() {
                (Liveness::Live, idle_ns) => assert!(idle_ns <= STALE_AFTER_NS),
                (other, _) => {
                    assert_eq!(other, Liveness::Stale);
                    break;
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        signal(&child.0, CONT);
        while classify().0 != Liveness::Live {
            std::thread::yield_now();
        }
        signal(&child.0, KILL);
        while classify().0 != Liveness::Dead {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_restarted_writer_is_another_run() {
    for (part, _) in WRITERS {
        let dir = tempfile::tempdir().expect("a directory");
        let mut first = Ends(play(part, dir.path()));
        wait_ready(&mut first.0);
        let old = RegionReader::attach(dir.path());
        let newest = old.read_page();
        first.0.kill().expect("alive");
        first.0.wait().expect("a child");
        let mut second = Ends(play(part, dir.path()));
        wait_ready(&mut second.0);
        let (descriptor, map) = locate::open_in(dir.path(), NAME).expect("running");
        assert!(!descriptor.is_of(&old.view.header().identity));
        let new = RegionReader::of(RegionView::attach(map).expect("ready"));
        assert!(descriptor.is_of(&new.view.header().identity));
        new.read_page();
        // The old region is still what it was: it was never used again.
        assert_eq!(old.view.owner(), OwnerProcess::Dead);
        assert!(old.read_page() >= newest);
        old.view.check().expect("whole");
    }
}

#[test]
fn readers_that_are_stopped_and_killed_at_any_moment_leave_no_trace() {
    for (part, _) in WRITERS {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = Ends(play(part, dir.path()));
        wait_ready(&mut writer.0);
        let own = RegionReader::attach(dir.path());
        let mut seeded = Seeded(11);
        for round in 0..12 {
            let mut reader = Ends(play("reader", dir.path()));
            wait_ready(&mut reader.0);
            let before = own.read_page();
            std::thread::sleep(Duration::from_micros(seeded.below(2_000)));
            if round % 2 == 0 {
                signal(&reader.0, STOP);
                std::thread::sleep(Duration::from_micros(seeded.below(1_000)));
            }
            let heartbeat = own.view.status().heartbeat;
            signal(&reader.0, KILL);
            assert_eq!(reader.0.wait().expect("a child").signal(), Some(KILL));
            while own.view.status().heartbeat <= heartbeat {
                std::thread::yield_now();
            }
            assert!(own.read_page() >= before);
        }
    }
}

#[test]
fn sixty_four_readers_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut owner = TestOwner::start(dir.path(), false);
    owner.publish();
    let readers: Vec<_> = (0..64).map(|_| Ends(play("reader", dir.path()))).collect();
    for mut reader in readers {
        // Each has attached and read under publishing.
        while reader.0.stdout.is_some() {
            wait_ready(&mut reader.0);
            owner.publish();
        }
        assert!(reader.0.try_wait().expect("a child").is_none(), "a reader ended");
        // The rest of them go on reading while this one is stopped for good.
        signal(&reader.0, STOP);
        let before = owner.status_heartbeat();
        for _ in 0..100 {
            owner.publish();
        }
        assert_eq!(owner.status_heartbeat(), before + 100);
        drop(reader);
    }
}

#[test]
fn a_file_truncated_under_its_readers_is_an_error_and_never_a_signal() {
    let len = plan().total_bytes();
    for end in [0, 64, 4096, len / 2, len - 8] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut owner = TestOwner::start(dir.path(), true);
        (0..3).for_each(|_| owner.publish());
        let reader = RegionReader::attach(dir.path());
        assert_eq!(reader.read_page(), 2);
        reader.view.check().expect("whole");
        let file = std::fs::File::options().write(true).open(owner.name_lock.file_path());
        let file = file.expect("the same user may");
        file.set_len(end).expect("truncated");
        // Nothing torn passes (`read_all` checks), nothing raises a signal, and the loss is found.
        for _ in 0..10 {
            reader.read_all();
        }
        let lost = reader.view.check().expect_err("truncated");
        assert!(matches!(lost, MapError::Lost { .. }), "{lost}");
        assert!(lost.to_string().contains("was truncated"), "{lost}");
        // Made as long as it was, it holds zeros now: what was lost stays lost.
        file.set_len(len).expect("grown");
        assert_eq!(reader.read_all(), None);
        assert!(reader.view.check().is_err());
    }
}

#[test]
fn a_file_truncated_and_grown_all_the_time_is_read_without_a_signal() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut owner = TestOwner::start(dir.path(), true);
    (0..3).for_each(|_| owner.publish());
    let path = owner.name_lock.file_path();
    let bytes = std::fs::read(&path).expect("readable");
    let copy = dir.path().join("copy");
    std::fs::write(&copy, &bytes).expect("writable");
    let mut seeded = Seeded(3);
    let (start, done) = (Instant::now(), AtomicBool::new(false));
    let (mut lost, mut read) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = std::fs::File::options().write(true).open(&copy).expect("ours");
            while !done.load(Ordering::Relaxed) {
                file.set_len(seeded.below(bytes.len() as u64)).expect("truncated");
                std::thread::sleep(Duration::from_micros(seeded.below(50)));
                std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).expect("written");
                std::thread::sleep(Duration::from_micros(seeded.below(300)));
            }
        });
        // For a while, and until both were seen on a busy machine.
        let long =
            |read, lost| start.elapsed() > Duration::from_millis(400) && read > 0 && lost > 0;
        while !long(read, lost) && start.elapsed() < Duration::from_secs(60) {
            // Whatever it meets: typed errors, or the one page that was published.
            let Ok(map) = ReadMap::open(&copy) else { continue };
            let Ok(view) = RegionView::attach(map) else { continue };
            let reader = RegionReader::of(view);
            for _ in 0..20 {
                match reader.read_all() {
                    Some(number) => assert_eq!(number, 2),
                    None => lost += u32::from(reader.view.check().is_err()),
                }
                read += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(read > 0 && lost > 0, "{read} reads, {lost} of a file that was truncated");
}

/// Stores into a mapping opened for reading: the hardware refuses.
pub(crate) fn store_into_read_only(path: &Path) {
    let map = ReadMap::open(path).expect("there");
    assert_eq!(map.backing(), MapBacking::SealedMemory);
    let mem = map.mem();
    println!("ready");
    // SAFETY: deliberately not upheld (the memory is read-only): the process must end here.
    unsafe { mem.store(20, 1, Ordering::Relaxed) };
}

#[test]
fn readers_cannot_write() {
    let owner = Map::memfd("read-only", 4096).expect("memory");
    let path = format!("/proc/{}/fd/{}", std::process::id(), owner.fd().expect("a file"));
    let status = play("store", Path::new(&path)).wait().expect("a child");
    // SIGSEGV.
    assert_eq!(status.signal(), Some(11));
    // SAFETY: the map is ours, nothing is leased.
    assert_eq!(unsafe { owner.mem().load(20, Ordering::Relaxed) }, 0);
}

#[test]
fn pages_that_come_late_keep_what_was_written_before() {
    let map = Map::memfd_unpopulated("late", 1 << 20).expect("memory");
    let mem = map.mem();
    let words = (0..map.len_bytes() / 8).step_by(700);
    for word in words.clone() {
        // SAFETY: the map is ours, nothing is leased.
        unsafe { mem.store(word, word as u64, Ordering::Relaxed) };
    }
    // Systems that cannot have touched all pages already.
    let _ = mem.populate(0..map.len_bytes());
    for word in words {
        // SAFETY: as above.
        assert_eq!(unsafe { mem.load(word, Ordering::Relaxed) }, word as u64);
    }
    assert!(!mem.populate(0..map.len_bytes() + 1), "that is more than there is");
}

#[test]
fn names_are_private_and_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    let name_lock = locate::lock_in(dir.path(), "a.b-c_1").expect("free");
    let map = Map::memfd("x", plan().total_bytes()).expect("memory");
    let identity = Identity::of_this_process(1, 2, 3);
    let mut region = Region::format(map, &plan(), identity).expect("fits");
    let missing = locate::open_in(dir.path(), "a.b-c_1").expect_err("not published");
    assert!(matches!(missing, LocateError::NotFound { .. }), "{missing}");
    region.publish_ready().expect("once");
    name_lock.publish(&Descriptor::of(region.map(), &identity).expect("shared")).expect("writable");
    let (descriptor, map) = locate::open_in(dir.path(), "a.b-c_1").expect("running");
    assert_eq!((descriptor.fingerprint, descriptor.generation), (1, 2));
    assert_eq!(RegionView::attach(map).expect("ready").header().identity, identity);
    std::fs::write(dir.path().join("invalid.region"), b"WENGLOC1").expect("writable");
    let names = locate::list_in(dir.path()).expect("readable");
    let good: Vec<_> = names.iter().map(|f| (f.name.as_str(), f.descriptor.is_ok())).collect();
    assert_eq!(good, [("a.b-c_1", true), ("invalid", false)]);
    assert!(!dir.path().join("a.b-c_1.bytes").exists());
    drop(name_lock);
    assert_eq!(locate::list_in(dir.path()).expect("readable").len(), 1);
}
