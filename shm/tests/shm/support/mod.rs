//! A region with a page, rows and a trace, its writer for ever, and its reader: parts for tests whose
//! second process is their own program again, told by an environment variable which part to play.
#![allow(dead_code, reason = "each test uses what it needs")]
#![allow(unreachable_pub, reason = "the tests are the only users")]
#![allow(clippy::disallowed_methods, reason = "moments of kills and stops are a matter of time")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use wasm_engine_shm::broadcast::{self, BroadcastReader, BroadcastWriter, Next};
use wasm_engine_shm::header::{HeaderWriter, Identity, OwnerState};
use wasm_engine_shm::layout::{RegionPlan, SectionKind};
use wasm_engine_shm::locate::{self, Claim, Descriptor};
use wasm_engine_shm::map::Map;
use wasm_engine_shm::mem::{RawMem, ReadMem};
use wasm_engine_shm::page::{self, PageReader, PageWriter};
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::region::{Region, RegionView};
use wasm_engine_shm::rows::{self, RowsReader, RowsWriter};

pub const PART: &str = "SHM_TEST_PART";
pub const DIRECTORY: &str = "SHM_TEST_DIRECTORY";
/// The name that every owner here claims.
pub const NAME: &str = "run";
/// Words of the page: 4 KiB.
pub const WORDS: usize = 512;
pub const ROWS: usize = 8;

pub fn plan() -> RegionPlan {
    let mut plan = RegionPlan::new();
    let len = |bytes: Result<usize, _>| bytes.expect("valid") as u64;
    plan.add(SectionKind::PAGE, 0, len(page::layout(WORDS))).expect("fits");
    plan.add(SectionKind::ROWS, 0, len(rows::layout(ROWS, 2))).expect("fits");
    plan.add(SectionKind::BROADCAST, 0, len(broadcast::layout(16, 16))).expect("fits");
    plan
}

/// A command that plays a part of this test program, or of a copy of it.
pub fn part_of(program: &Path, part: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    let args = ["--exact", "part", "--nocapture", "--test-threads=1"];
    command.args(args).env(PART, part).env(DIRECTORY, directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Plays a part in a process of its own.
pub fn play(part: &str, directory: &Path) -> Child {
    let program = std::env::current_exe().expect("this program");
    part_of(&program, part, directory).spawn().expect("a process")
}

/// The part to play and its directory; none in the first process.
pub fn my_part() -> Option<(String, PathBuf)> {
    Some((std::env::var(PART).ok()?, std::env::var_os(DIRECTORY)?.into()))
}

/// Waits until a part says a word; gives its further output.
pub fn wait_for(child: &mut Child, word: &str) -> BufReader<ChildStdout> {
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        let bytes = out.read_line(&mut line).expect("text");
        assert!(bytes > 0, "the other process ended without saying {word}");
    }
    out
}

pub fn wait_ready(child: &mut Child) {
    drop(wait_for(child, "ready"));
}

/// The last thing that a part said after a mark.
pub fn answer(child: Child, mark: &str) -> String {
    let output = child.wait_with_output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.split_once(mark).map(|(_, said)| said.to_owned()));
    line.unwrap_or_else(|| panic!("no {mark} in: {text}"))
}

/// An owner with everything that it publishes.
pub struct Owner {
    pub region: Region,
    pub claim: Claim,
    pub status: HeaderWriter<RawMem>,
    page: PageWriter<RawMem>,
    rows: RowsWriter<RawMem>,
    trace: BroadcastWriter<RawMem>,
    next: u64,
}

impl Owner {
    pub fn start(directory: &Path, in_file: bool) -> Self {
        let claim = locate::claim_in(directory, NAME).expect("free");
        let len = plan().total_bytes();
        let map =
            if in_file { Map::file(&claim.file_path(), len) } else { Map::memfd("test", len) };
        // Differs from run to run: tests start owners one after the other.
        let generation = u64::from(std::process::id());
        let identity = Identity::of_this_process(42, generation, 0);
        let mut region = Region::format(map.expect("memory"), &plan(), identity).expect("fits");
        let section = |kind| region.section(kind, 0).expect("planned");
        let page = PageWriter::new(section(SectionKind::PAGE), WORDS).expect("free");
        let rows = RowsWriter::new(section(SectionKind::ROWS), ROWS, 2).expect("free");
        let trace = BroadcastWriter::new(section(SectionKind::BROADCAST), 16, 16).expect("free");
        let mut status = region.publish_ready().expect("once");
        claim.publish(&Descriptor::of(region.map(), &identity).expect("shared")).expect("writable");
        status.set_state(OwnerState::Running, 0);
        Self { region, claim, status, page, rows, trace, next: 0 }
    }

    /// Publishes everything once.
    pub fn publish(&mut self) {
        let n = self.next;
        self.page.publish(&[n; WORDS]);
        for row in 0..ROWS {
            self.rows.write(row, &[n; 2]);
        }
        self.rows.publish_cut();
        self.trace.send(&n.to_le_bytes().repeat(2));
        self.status.beat(n, n);
        self.next += 1;
    }

    /// Heartbeats so far.
    pub fn status_heartbeat(&self) -> u64 {
        let view = RegionView::attach(self.read_map()).expect("ready");
        view.status().heartbeat
    }

    /// The region as a reader in this process opens it.
    pub fn read_map(&self) -> ReadMap {
        let descriptor = Descriptor::of(self.region.map(), self.region.identity());
        ReadMap::open(&descriptor.expect("shared").path()).expect("our own")
    }
}

/// Publishes until killed; says so after the first time.
pub fn write_for_ever(directory: &Path, in_file: bool) {
    let mut owner = Owner::start(directory, in_file);
    owner.publish();
    println!("ready");
    loop {
        owner.publish();
    }
}

/// The read sides of an attached region.
pub struct Reader {
    pub view: RegionView,
    page: PageReader<ReadMem>,
    rows: RowsReader<ReadMem>,
}

impl Reader {
    pub fn attach(directory: &Path) -> Self {
        let (_, map) = locate::open_in(directory, NAME).expect("running");
        Self::of(RegionView::attach(map).expect("ready"))
    }

    pub fn of(view: RegionView) -> Self {
        let section = |kind| view.section(kind, 0).expect("planned");
        let page = PageReader::new(section(SectionKind::PAGE), WORDS).expect("free");
        let rows = RowsReader::new(section(SectionKind::ROWS), ROWS, 2).expect("free");
        Self { page, rows, view }
    }

    /// Reads everything once; all of it must be whole. Gives the number of the page, if one could
    /// be read.
    pub fn read_all(&self) -> Option<u64> {
        let trace = self.view.section(SectionKind::BROADCAST, 0).expect("planned");
        let mut trace = BroadcastReader::new(trace, 16, 16).expect("free");
        let mut words = vec![0; WORDS];
        let number = self.page.read(&mut words).ok().map(|read| {
            assert!(words.iter().all(|word| *word == read.number), "torn");
            read.number
        });
        let cut = self.rows.cut();
        for row in 0..ROWS {
            let mut pair = [0; 2];
            if let Ok(Some(written)) = self.rows.read(cut, row, &mut pair) {
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

    /// Reads until a page came, at most for a few seconds.
    pub fn read_page(&self) -> u64 {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(number) = self.read_all() {
                return number;
            }
            assert!(Instant::now() < until, "no page could be read");
        }
    }
}

/// Reads for ever.
pub fn read_for_ever(directory: &Path) {
    let reader = Reader::attach(directory);
    println!("ready");
    loop {
        reader.read_all();
    }
}

/// A signal by number: 9 KILL, 18 CONT, 19 STOP.
pub fn signal(child: &Child, number: i32) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid");
    let signal = Signal::from_named_raw(number).expect("a signal");
    kill_process(pid, signal).expect("a child");
}

pub const KILL: i32 = 9;
pub const CONT: i32 = 18;
pub const STOP: i32 = 19;

/// Ends its process when dropped, so that a failed test leaves none behind.
pub struct Ends(pub Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Numbers that look random, the same in each run.
pub struct Seeded(pub u64);

impl Seeded {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
