//! A region with a page, rows and a trace, an owner that publishes into it, and its reader.
#![expect(clippy::disallowed_methods, reason = "a reader waits for a limited time")]

use std::path::Path;
use std::time::{Duration, Instant};

use wasm_engine_shm::broadcast::{self, BroadcastReader, BroadcastWriter, Next};
use wasm_engine_shm::header::{HeaderWriter, Identity, OwnerState};
use wasm_engine_shm::layout::{RegionPlan, SectionKind};
use wasm_engine_shm::locate::{self, Descriptor, NameLock};
use wasm_engine_shm::map::Map;
use wasm_engine_shm::mem::{RawMem, ReadMem};
use wasm_engine_shm::page::{self, PageReader, PageWriter};
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::region::{Region, RegionView};
use wasm_engine_shm::rows::{self, RowsReader, RowsWriter};

/// The name that every owner here locks.
pub(crate) const NAME: &str = "run";
/// Words of the page: 4 KiB.
pub(crate) const WORDS: usize = 512;
pub(crate) const ROWS: usize = 8;

pub(crate) fn plan() -> RegionPlan {
    let mut plan = RegionPlan::new();
    let len = |bytes: Result<usize, _>| bytes.expect("valid") as u64;
    plan.add(SectionKind::PAGE, 0, len(page::layout(WORDS))).expect("fits");
    plan.add(SectionKind::ROWS, 0, len(rows::layout(ROWS, 2))).expect("fits");
    plan.add(SectionKind::BROADCAST, 0, len(broadcast::layout(16, 16))).expect("fits");
    plan
}

/// An owner with everything that it publishes.
pub(crate) struct TestOwner {
    pub(crate) region: Region,
    pub(crate) name_lock: NameLock,
    pub(crate) status: HeaderWriter<RawMem>,
    page: PageWriter<RawMem>,
    rows: RowsWriter<RawMem>,
    trace: BroadcastWriter<RawMem>,
    next: u64,
}

impl TestOwner {
    pub(crate) fn start(directory: &Path, in_file: bool) -> Self {
        let name_lock = locate::lock_in(directory, NAME).expect("free");
        let len = plan().total_bytes();
        let map =
            if in_file { Map::file(&name_lock.file_path(), len) } else { Map::memfd("test", len) };
        // Differs from run to run: tests start owners one after the other.
        let generation = u64::from(std::process::id());
        let identity = Identity::of_this_process(42, generation, 0);
        let mut region = Region::format(map.expect("memory"), &plan(), identity).expect("fits");
        let section = |kind| region.section(kind, 0).expect("planned");
        let page = PageWriter::new(section(SectionKind::PAGE), WORDS).expect("free");
        let rows = RowsWriter::new(section(SectionKind::ROWS), ROWS, 2).expect("free");
        let trace = BroadcastWriter::new(section(SectionKind::BROADCAST), 16, 16).expect("free");
        let mut status = region.publish_ready().expect("once");
        name_lock
            .publish(&Descriptor::of(region.map(), &identity).expect("shared"))
            .expect("writable");
        status.set_state(OwnerState::Running, 0);
        Self { region, name_lock, status, page, rows, trace, next: 0 }
    }

    /// Publishes everything once.
    pub(crate) fn publish(&mut self) {
        let n = self.next;
        self.page.publish(&[n; WORDS]);
        for row in 0..ROWS {
            self.rows.write(row, &[n; 2]);
        }
        self.rows.publish();
        self.trace.send(&n.to_le_bytes().repeat(2));
        self.status.heartbeat(n, n);
        self.next += 1;
    }

    /// Heartbeats so far.
    pub(crate) fn status_heartbeat(&self) -> u64 {
        let view = RegionView::attach(self.read_map()).expect("ready");
        view.status().heartbeat
    }

    /// The region as a reader in this process opens it.
    pub(crate) fn read_map(&self) -> ReadMap {
        let descriptor = Descriptor::of(self.region.map(), self.region.identity());
        ReadMap::open(&descriptor.expect("shared").path()).expect("our own")
    }
}

/// Publishes until killed; prints `ready` after the first time.
pub(crate) fn write_for_ever(directory: &Path, in_file: bool) {
    let mut owner = TestOwner::start(directory, in_file);
    owner.publish();
    println!("ready");
    loop {
        owner.publish();
    }
}

/// The read sides of an attached region.
pub(crate) struct RegionReader {
    pub(crate) view: RegionView,
    page: PageReader<ReadMem>,
    rows: RowsReader<ReadMem>,
}

impl RegionReader {
    pub(crate) fn attach(directory: &Path) -> Self {
        let (_, map) = locate::open_in(directory, NAME).expect("running");
        Self::of(RegionView::attach(map).expect("ready"))
    }

    pub(crate) fn of(view: RegionView) -> Self {
        let section = |kind| view.section(kind, 0).expect("planned");
        let page = PageReader::new(section(SectionKind::PAGE), WORDS).expect("free");
        let rows = RowsReader::new(section(SectionKind::ROWS), ROWS, 2).expect("free");
        Self { page, rows, view }
    }

    /// Reads everything once; all of it must be whole. Returns the number of the page, if one could
    /// be read.
    pub(crate) fn read_all(&self) -> Option<u64> {
        let trace = self.view.section(SectionKind::BROADCAST, 0).expect("planned");
        let mut trace = BroadcastReader::new(trace, 16, 16).expect("free");
        let mut words = vec![0; WORDS];
        let number = self.page.read(&mut words).ok().map(|read| {
            assert!(words.iter().all(|word| *word == read.number), "torn");
            read.number
        });
        let version = self.rows.version();
        for row in 0..ROWS {
            let mut pair = [0; 2];
            if let Ok(Some(written)) = self.rows.read(version, row, &mut pair) {
                assert_eq!((written, pair), (version, [version - 1; 2]));
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

    /// Reads until a page could be read, for at most ten seconds.
    pub(crate) fn read_page(&self) -> u64 {
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
pub(crate) fn read_for_ever(directory: &Path) {
    let reader = RegionReader::attach(directory);
    println!("ready");
    loop {
        reader.read_all();
    }
}

/// Numbers that look random, the same in each run.
pub(crate) struct Seeded(pub u64);

impl Seeded {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
