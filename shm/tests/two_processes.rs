//! Two processes: a writer killed in the middle, a reader that cannot write, names and descriptors.
//!
//! The second process is this test program again, told by an environment variable which part to play.
#![cfg(target_os = "linux")]
#![cfg(not(miri))]
#![expect(clippy::disallowed_methods, reason = "the moment of a kill is a matter of time")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wasm_engine_shm::broadcast::{self, BroadcastReader, BroadcastWriter, Next};
use wasm_engine_shm::header::{Identity, OwnerState};
use wasm_engine_shm::layout::{RegionPlan, SectionKind};
use wasm_engine_shm::locate::{self, Descriptor, LocateError, Owner};
use wasm_engine_shm::map::{Backing, Map};
use wasm_engine_shm::mem::{Mem, Ordering, RawMem};
use wasm_engine_shm::page::{self, PageReader, PageWriter};
use wasm_engine_shm::region::{Region, RegionView};
use wasm_engine_shm::rows::{self, RowsReader, RowsWriter};

const PART: &str = "SHM_TEST_PART";
const DIRECTORY: &str = "SHM_TEST_DIRECTORY";
const WORDS: usize = 512;
const ROWS: usize = 8;

fn plan() -> RegionPlan {
    let mut plan = RegionPlan::new();
    let len = |bytes: Result<usize, _>| bytes.expect("valid") as u64;
    plan.add(SectionKind::PAGE, 0, len(page::layout(WORDS))).expect("fits");
    plan.add(SectionKind::ROWS, 0, len(rows::layout(ROWS, 2))).expect("fits");
    plan.add(SectionKind::BROADCAST, 0, len(broadcast::layout(16, 16))).expect("fits");
    plan
}

/// Plays a part in a process of its own.
fn play(part: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "part", "--nocapture", "--test-threads=1"])
        .env(PART, part)
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process")
}

/// The entry of the second process; nothing to do in the first.
#[test]
fn part() {
    let (Ok(part), Some(directory)) = (std::env::var(PART), std::env::var_os(DIRECTORY)) else {
        return;
    };
    let directory = Path::new(&directory);
    match part.as_str() {
        "writer" => write_for_ever(directory, false),
        "file writer" => write_for_ever(directory, true),
        "store" => store_into_read_only(directory),
        other => panic!("no such part: {other}"),
    }
}

/// Publishes until killed.
fn write_for_ever(directory: &Path, in_file: bool) {
    let claim = locate::claim_in(directory, "run").expect("free");
    let len = plan().total_bytes();
    let map = if in_file { Map::file(&claim.file_path(), len) } else { Map::memfd("test", len) };
    let identity = Identity::of_this_process(42, 1, 0);
    let mut region = Region::format(map.expect("memory"), &plan(), identity).expect("fits");
    let section = |kind| region.section(kind, 0).expect("planned");
    let mut page = PageWriter::new(section(SectionKind::PAGE), WORDS).expect("free");
    let mut rows = RowsWriter::new(section(SectionKind::ROWS), ROWS, 2).expect("free");
    let mut trace = BroadcastWriter::new(section(SectionKind::BROADCAST), 16, 16).expect("free");
    let mut status = region.publish_ready().expect("once");
    claim.publish(&Descriptor::of(region.map(), &identity).expect("shared")).expect("writable");
    status.set_state(OwnerState::Running, 0);
    println!("ready");
    for n in 0.. {
        page.publish(&[n; WORDS]);
        for row in 0..ROWS {
            rows.write(row, &[n; 2]);
        }
        rows.publish_cut();
        trace.send(&n.to_le_bytes().repeat(2));
        status.beat(n, n);
    }
}

fn wait_ready(child: &mut Child) {
    let out = child.stdout.take().expect("piped");
    let ready = BufReader::new(out).lines().map_while(Result::ok).any(|l| l.contains("ready"));
    assert!(ready, "the writer did not start");
}

/// Reads everything once; all of it must be whole.
fn read_all(view: &RegionView) -> u64 {
    let section = |kind| view.section(kind, 0).expect("planned");
    let page = PageReader::new(section(SectionKind::PAGE), WORDS).expect("free");
    let rows = RowsReader::new(section(SectionKind::ROWS), ROWS, 2).expect("free");
    let broadcast = section(SectionKind::BROADCAST);
    let mut trace = BroadcastReader::new(broadcast, 16, 16).expect("free");
    let mut words = vec![0; WORDS];
    let mut number = 0;
    if let Ok(read) = page.read(&mut words) {
        assert!(words.iter().all(|word| *word == read.number), "torn");
        number = read.number;
    }
    let cut = rows.cut();
    for row in 0..ROWS {
        let mut pair = [0; 2];
        if let Ok(Some(written)) = rows.read(cut, row, &mut pair) {
            assert_eq!((written, pair), (cut, [cut - 1; 2]));
        }
    }
    let mut message = [0; 16];
    for _ in 0..8 {
        if let Next::Message { number, .. } = trace.next(&mut message) {
            assert_eq!(message[..], number.to_le_bytes().repeat(2));
        }
    }
    number
}

fn killed_writer(part: &str, backing: Backing) {
    for round in 0..8 {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = play(part, dir.path());
        wait_ready(&mut child);
        let (descriptor, map) = locate::open_in(dir.path(), "run").expect("running");
        assert_eq!((descriptor.owner(), map.backing()), (Owner::Alive, backing));
        let taken = locate::claim_in(dir.path(), "run").expect_err("taken");
        assert!(matches!(taken, LocateError::Taken { .. }), "{taken}");
        let view = RegionView::attach(map).expect("ready");
        let until = Instant::now() + Duration::from_micros(500 + round * 700);
        let mut newest = 0;
        while Instant::now() < until {
            let number = read_all(&view);
            assert!(number == 0 || number >= newest, "went back");
            newest = newest.max(number);
        }
        child.kill().expect("alive");
        child.wait().expect("a child");
        // Killed anywhere: what is there is whole, and never older than what was seen.
        assert!(read_all(&view) >= newest, "the last publication is lost");
        assert!(!view.owner_exists());
        assert_eq!(view.status().state, OwnerState::Running);
        let dead = locate::open_in(dir.path(), "run").expect_err("dead");
        assert!(matches!(dead, LocateError::Dead { .. }), "{dead}");
        assert_eq!(locate::list_in(dir.path()).expect("readable").len(), 1);
        drop(locate::claim_in(dir.path(), "run").expect("free again"));
        let gone = locate::open_in(dir.path(), "run").expect_err("gone");
        assert!(matches!(gone, LocateError::NotFound { .. }), "{gone}");
    }
}

#[test]
fn a_killed_writer_leaves_whole_memory() {
    killed_writer("writer", Backing::SealedMemory);
}

#[test]
fn a_killed_writer_leaves_a_whole_file() {
    killed_writer("file writer", Backing::File);
}

/// Stores into a mapping opened for reading: the hardware refuses.
fn store_into_read_only(directory: &Path) {
    let map = Map::open_read_only(&directory.join("region")).expect("there");
    let mem: RawMem = map.mem();
    assert!(!mem.is_writable());
    println!("ready");
    // SAFETY: deliberately not upheld (the memory is read-only): the process must end here.
    unsafe { mem.store(20, 1, Ordering::Relaxed) };
}

#[test]
fn readers_cannot_write() {
    let dir = tempfile::tempdir().expect("a directory");
    let _owner = Map::file(&dir.path().join("region"), 4096).expect("a file");
    let status = play("store", dir.path()).wait().expect("a child");
    // SIGSEGV.
    assert_eq!(status.signal(), Some(11));
}

#[test]
fn sealed_memory_cannot_change_its_length_or_be_mapped_writable() {
    let owner = Map::memfd("sealed", 8192).expect("memory");
    let path = format!("/proc/self/fd/{}", owner.fd().expect("a file"));
    let writable = std::fs::File::options().read(true).write(true).open(&path).expect("opens");
    assert!(writable.set_len(4096).is_err(), "shrunk");
    assert!(writable.set_len(16384).is_err(), "grown");
    assert!(memmap2::MmapRaw::map_raw(&writable).is_err(), "mapped writable");
    assert!(std::io::Write::write(&mut &writable, &[1]).is_err(), "written");
    let reader = Map::open_read_only(Path::new(&path)).expect("readable");
    assert_eq!((reader.backing(), reader.len_bytes()), (Backing::SealedMemory, 8192));
}

#[test]
fn names_are_private_and_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    let claim = locate::claim_in(dir.path(), "a.b-c_1").expect("free");
    let map = Map::memfd("x", plan().total_bytes()).expect("memory");
    let identity = Identity::of_this_process(1, 2, 3);
    let mut region = Region::format(map, &plan(), identity).expect("fits");
    let missing = locate::open_in(dir.path(), "a.b-c_1").expect_err("not published");
    assert!(matches!(missing, LocateError::NotFound { .. }), "{missing}");
    region.publish_ready().expect("once");
    claim.publish(&Descriptor::of(region.map(), &identity).expect("shared")).expect("writable");
    let (descriptor, map) = locate::open_in(dir.path(), "a.b-c_1").expect("running");
    assert_eq!((descriptor.fingerprint, descriptor.generation), (1, 2));
    assert_eq!(RegionView::attach(map).expect("ready").header().identity, identity);
    std::fs::write(dir.path().join("bad.region"), b"WENGLOC1").expect("writable");
    let names = locate::list_in(dir.path()).expect("readable");
    let good: Vec<_> = names.iter().map(|f| (f.name.as_str(), f.descriptor.is_ok())).collect();
    assert_eq!(good, [("a.b-c_1", true), ("bad", false)]);
    assert!(!map_file_is_left(dir.path()));
    drop(claim);
    assert_eq!(locate::list_in(dir.path()).expect("readable").len(), 1);
}

fn map_file_is_left(directory: &Path) -> bool {
    directory.join("a.b-c_1.bytes").exists()
}
