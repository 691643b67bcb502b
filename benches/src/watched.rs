//! P9: what monitors cost the one who publishes: none, one, many; polite, hammering, stopped,
//! killed.
//!
//! Readers are processes: this very program again, told by [`READER`] which region to read. They
//! run on another core than the writer if there is one, so that what is measured is the memory they
//! share and not the time slices they would share as any two programs do. Each checks what it reads
//! and ends with an error if a page or a row is torn.
//!
//! Publications are timed in small batches, of which the median counts; the batches of a region
//! that nobody watches are taken in turn with those of the watched one while the readers are
//! stopped.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wasm_engine_shm::broadcast::{self, BroadcastReader, BroadcastWriter, Next};
use wasm_engine_shm::map::Map;
use wasm_engine_shm::mem::{Mem, RawMem, ReadMem};
use wasm_engine_shm::page::{self, PageReader, PageWriter};
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::rows::{self, RowsReader, RowsWriter};

use crate::measure::{Scale, median, median_ratio, ns_each, on_core, pin, quantile};
use crate::row::{Row, Unit};

/// Environment variable of a reading process: pause between two polls in microseconds, then the
/// path of the region.
pub const READER: &str = "WASM_ENGINE_BENCH_READER";
/// Name of the test under which a test program is a reader.
pub const READER_TEST: &str = "watched::p9_reader";

/// Words of the page: 4 KiB.
const WORDS: usize = 512;
/// The table: as many agents as a tick may well change, with rows of the size of an agent's.
const ROWS: usize = 50;
const ROW_WORDS: usize = 12;
/// The trace ring: as the kernel's own, messages of a cache line's length.
const SLOTS: usize = 16 << 10;
const EVENT_BYTES: usize = 48;
/// What is published, in the order of the figures.
const THINGS: [&str; 3] = ["4 KiB page", "cut of 50 rows", "event"];
/// Publications timed together.
const BATCH: usize = 8;
/// Attempts to time a segment during which the readers run at all, on a busy machine.
const ATTEMPTS: u32 = 5;
/// Cores that hammering readers must have used for a figure to be one of theirs.
const RAN: f64 = 0.8;
/// A monitor that paints 60 times a second.
const POLITE_US: u64 = 16_667;

/// The rows.
///
/// # Panics
/// If something is torn, a reader fails, or the system gives no memory or processes.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    let many = scale.of(64).min(64);
    let cases = [
        (1, POLITE_US, Then::Run, "reader at 60 Hz"),
        (many, POLITE_US, Then::Run, "readers at 60 Hz"),
        (1, 0, Then::Run, "hammering reader"),
        (many, 0, Then::Run, "hammering readers"),
        (many, 0, Then::Stop, "readers stopped while reading"),
        (many, 0, Then::Kill, "readers killed while reading"),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (count, pause_us, then, what) in cases {
        rows.extend(case(scale, &Readers { count, pause_us, then }, what));
    }
    rows.push(from_a_file(scale));
    rows
}

/// What happens to the readers before the figures are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    Run,
    Stop,
    Kill,
}

/// The readers of a case.
struct Readers {
    count: usize,
    pause_us: u64,
    then: Then,
}

impl Readers {
    /// Whether they read without pause while the figures are taken.
    fn hammer(&self) -> bool {
        self.then == Then::Run && self.pause_us == 0
    }
}

/// A region of one page, one table and one trace ring.
struct Published {
    map: Map,
    page: PageWriter<RawMem>,
    rows: RowsWriter<RawMem>,
    trace: BroadcastWriter<RawMem>,
    number: u64,
}

/// Lengths of the parts in bytes.
fn lengths() -> [usize; 3] {
    let page = page::layout(WORDS).expect("4 KiB is a page");
    let rows = rows::layout(ROWS, ROW_WORDS).expect("a small table");
    [page, rows, broadcast::layout(SLOTS, EVENT_BYTES).expect("a power of two")]
}

impl Published {
    fn over(map: Map) -> Self {
        let [first, second, third] = lengths();
        let part = |at, len| map.mem().slice(at, len).expect("the map holds all");
        let page = PageWriter::new(part(0, first), WORDS).expect("fresh memory");
        let rows = RowsWriter::new(part(first, second), ROWS, ROW_WORDS).expect("fresh memory");
        let trace = BroadcastWriter::new(part(first + second, third), SLOTS, EVENT_BYTES);
        let trace = trace.expect("fresh memory");
        let mut published = Self { map, page, rows, trace, number: 0 };
        published.page();
        published.cut();
        published.event();
        published
    }

    fn sealed() -> Self {
        let len = lengths().iter().sum::<usize>() as u64;
        Self::over(Map::memfd("bench watched", len).expect("the system gives some memory"))
    }

    fn path(&self) -> PathBuf {
        let fd = self.map.fd().expect("shared memory has a file");
        PathBuf::from(format!("/proc/{}/fd/{fd}", std::process::id()))
    }

    #[inline]
    fn page(&mut self) {
        self.page.publish(std::hint::black_box(&[self.number; WORDS]));
        self.number += 1;
    }

    #[inline]
    fn cut(&mut self) {
        let cut = self.rows.version();
        for row in 0..ROWS {
            self.rows.write(row, std::hint::black_box(&[cut; ROW_WORDS]));
        }
        self.rows.publish();
    }

    #[inline]
    fn event(&mut self) {
        let words = [self.trace.sent(); EVENT_BYTES / 8];
        self.trace.send(bytemuck::cast_slice(std::hint::black_box(&words)));
    }

    /// Medians of batches, by thing.
    fn measure(&mut self, batches: usize) -> [f64; THINGS.len()] {
        let mut times = THINGS.map(|_| Vec::with_capacity(batches));
        for _ in 0..batches {
            times[0].push(ns_each(BATCH, || self.page()));
            times[1].push(ns_each(BATCH, || self.cut()));
            times[2].push(ns_each(BATCH, || self.event()));
        }
        times.map(|times| median(&times))
    }
}

/// The read sides, and the check of what they bring.
struct Watch {
    page: PageReader<ReadMem>,
    rows: RowsReader<ReadMem>,
    trace: BroadcastReader<ReadMem>,
    words: Vec<u64>,
}

impl Watch {
    fn over(map: &ReadMap) -> Self {
        let [first, second, third] = lengths();
        let part = |at, len| map.mem().slice(at, len).expect("the map holds all");
        Self {
            page: PageReader::new(part(0, first), WORDS).expect("a page of this length"),
            rows: RowsReader::new(part(first, second), ROWS, ROW_WORDS)
                .expect("a table of this length"),
            trace: BroadcastReader::new(part(first + second, third), SLOTS, EVENT_BYTES)
                .expect("a ring of this length"),
            words: vec![0; WORDS],
        }
    }

    /// Looks at everything once; gives how many pages, rows and events came whole.
    fn poll(&mut self) -> u64 {
        let mut whole = 0;
        if self.page.read(&mut self.words).is_ok() {
            assert!(self.words.iter().all(|word| *word == self.words[0]), "a torn page was read");
            whole += 1;
        }
        let cut = self.rows.version();
        for row in 0..ROWS {
            let mut words = [0; ROW_WORDS];
            if let Ok(Some(written)) = self.rows.read(cut, row, &mut words) {
                assert!(written == cut && words == [cut; ROW_WORDS], "a torn row was read");
                whole += 1;
            }
        }
        // At most what the ring holds, however fast its writer is.
        for _ in 0..SLOTS {
            let mut words = [0u64; EVENT_BYTES / 8];
            match self.trace.next(bytemuck::cast_slice_mut(&mut words)) {
                Next::Message { number, .. } => {
                    assert!(words == [number; EVENT_BYTES / 8], "a torn event was read");
                    whole += 1;
                }
                Next::Overrun { .. } => {}
                Next::Empty => break,
            }
        }
        whole
    }
}

/// Plays a reader if this process was started as one: until its input ends. Programs that call
/// [`rows()`] call this first.
///
/// # Panics
/// If something is torn.
#[must_use]
pub fn is_reader() -> bool {
    let Ok(what) = std::env::var(READER) else { return false };
    let (pause, path) = what.split_once(' ').expect("pause and path");
    let pause = Duration::from_micros(pause.parse().expect("microseconds"));
    // Not the writer's core; the scheduler places readers as it likes if there is only one.
    pin(1);
    let map = ReadMap::open(Path::new(path)).expect("the writer's region");
    let mut watch = Watch::over(&map);
    let ended = std::thread::spawn(|| std::io::stdin().read(&mut [0]));
    let mut whole = watch.poll();
    println!("\nreading");
    while !ended.is_finished() {
        whole += watch.poll();
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    println!("\nwhole {whole}");
    true
}

/// The reading processes of a case.
struct Crowd(Vec<Child>);

impl Crowd {
    fn start(readers: &Readers, path: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        let what = format!("{} {}", readers.pause_us, path.display());
        let children = (0..readers.count).map(|_| {
            Command::new(&program)
                .args(["--exact", READER_TEST, "--ignored", "--nocapture"])
                .env(READER, &what)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("a process")
        });
        let mut crowd = Self(children.collect());
        for child in &mut crowd.0 {
            let out = BufReader::new(child.stdout.as_mut().expect("piped"));
            let reading = out.lines().map_while(Result::ok).any(|line| line == "reading");
            assert!(reading, "a reader did not begin");
        }
        crowd
    }

    fn tell(&self, signal: &str) {
        let pids = self.0.iter().map(|child| child.id().to_string());
        let mut command = Command::new("sh");
        let sent = command.args(["-c", "kill -s \"$0\" \"$@\"", signal]).args(pids).status();
        assert!(sent.is_ok_and(|status| status.success()), "the readers do not take {signal}");
    }

    /// Nanoseconds that they have run so far, all together; 0 if the system does not say.
    fn ran_ns(&self) -> u64 {
        let ran = |child: &Child| -> Option<u64> {
            let text = std::fs::read_to_string(format!("/proc/{}/schedstat", child.id())).ok()?;
            text.split_ascii_whitespace().next()?.parse().ok()
        };
        self.0.iter().filter_map(ran).sum()
    }

    /// Times a segment while they run; gives also for which part of it they did, in cores.
    fn measure(&self, watched: &mut Published, batches: usize) -> ([f64; THINGS.len()], f64) {
        let (before, start) = (self.ran_ns(), Instant::now());
        let times = on_core(0, || watched.measure(batches));
        let elapsed = start.elapsed().as_nanos() as f64;
        (times, (self.ran_ns() - before) as f64 / elapsed)
    }

    /// Ends them; those that were left alone must have read whole pages and rows only.
    fn end(mut self, then: Then) {
        for child in &mut self.0 {
            drop(child.stdin.take());
        }
        for child in self.0 {
            let output = child.wait_with_output().expect("a child");
            let text = String::from_utf8_lossy(&output.stdout);
            let whole = text.lines().find_map(|line| line.strip_prefix("whole ")?.parse().ok());
            let read = output.status.success() && whole.is_some_and(|whole: u64| whole > 0);
            assert!(then == Then::Kill || read, "a reader failed: {text}");
        }
    }
}

/// Figures of a case by thing, one of each segment.
#[derive(Default)]
struct Figures {
    with: [Vec<f64>; THINGS.len()],
    without: [Vec<f64>; THINGS.len()],
    /// Cores that the readers used while the watched region was measured.
    cores: Vec<f64>,
}

/// Measures two regions in turn while the first is watched.
fn measure(scale: Scale, readers: &Readers, regions: [&mut Published; 2]) -> Figures {
    let [watched, alone] = regions;
    let crowd = Crowd::start(readers, &watched.path());
    let batches = scale.of(2_000);
    let run = readers.then == Then::Run;
    // They are in the middle of something when it happens, and publishing goes on.
    watched.measure(batches);
    match readers.then {
        Then::Run => {}
        Then::Stop => crowd.tell("STOP"),
        Then::Kill => crowd.tell("KILL"),
    }
    let mut figures = Figures::default();
    for _ in 0..scale.segments {
        if run {
            crowd.tell("STOP");
        }
        let none = on_core(0, || alone.measure(batches));
        if run {
            crowd.tell("CONT");
        }
        let (mut some, mut ran) = crowd.measure(watched, batches);
        for _ in 1..ATTEMPTS {
            if !readers.hammer() || ran > RAN {
                break;
            }
            (some, ran) = crowd.measure(watched, batches);
        }
        figures.cores.push(ran);
        for at in 0..THINGS.len() {
            figures.without[at].push(none[at]);
            figures.with[at].push(some[at]);
        }
    }
    if readers.then == Then::Stop {
        crowd.tell("CONT");
    }
    crowd.end(readers.then);
    let map = ReadMap::open(&watched.path()).expect("own memory can be opened");
    // Whoever is far behind goes on half a ring behind the newest.
    let least = 1 + ROWS as u64 + watched.trace.sent().min(SLOTS as u64 / 2);
    assert_eq!(Watch::over(&map).poll(), least, "what was published last is whole");
    figures
}

/// One case: a row for each thing. Where a region lies can make it faster or slower than
/// another by a quarter, so each of two is the watched one once.
fn case(scale: Scale, readers: &Readers, what: &str) -> [Row; THINGS.len()] {
    let (mut one, mut two) = (Published::sealed(), Published::sealed());
    let first = measure(scale, readers, [&mut one, &mut two]);
    let second = measure(scale, readers, [&mut two, &mut one]);
    core::array::from_fn(|at| {
        row([&first, &second], readers, at, format!("{}, {} {what}", THINGS[at], readers.count))
    })
}

fn row(halves: [&Figures; 2], readers: &Readers, at: usize, case: String) -> Row {
    // A half each: their medians are of two regions, and mean something together only.
    let mean = |of: &dyn Fn(&Figures) -> f64| halves.map(of).iter().product::<f64>().sqrt();
    let cores = mean(&|half| median(&half.cores));
    if readers.hammer() && cores < RAN {
        let reason = format!("the machine is busy, readers got {cores:.2} cores");
        return Row::skipped("P9", case, Unit::Ns, reason);
    }
    let noise = mean(&|half| quantile(&half.without[at], 0.9) / median(&half.without[at])) - 1.0;
    let ratio = mean(&|half| median_ratio(&half.without[at], &half.with[at]));
    let without = mean(&|half| median(&half.without[at]));
    let row = Row::new("P9", case, Unit::Ns, mean(&|half| median(&half.with[at])))
        .against("no reader", without, Some(ratio))
        .note(format!(
            "0 torn; noise {:.1} % (90th percentile, no reader); readers used {cores:.2} cores",
            noise * 100.0
        ));
    // Hammering readers move cache lines; that is their price and no goal.
    if readers.hammer() { row } else { row.goal(1.0 / (1.0 + noise.max(0.02))) }
}

/// What the plain file costs its reader: system calls instead of loads.
fn from_a_file(scale: Scale) -> Row {
    let directory = std::env::temp_dir().join(format!("wasm-engine-p9-{}", std::process::id()));
    let len = lengths().iter().sum::<usize>() as u64;
    let file = Published::over(Map::file(&directory, len).expect("a temporary file"));
    let memory = Published::sealed();
    let open = |published: &Published, path: &Path| {
        let map = ReadMap::open(path).expect("own memory can be opened");
        assert_eq!(map.len_bytes() as u64, published.map.len_bytes() as u64);
        Watch::over(&map)
    };
    let mut by_file = open(&file, &directory);
    let mut mapped = open(&memory, &memory.path());
    let count = scale.of(5_000);
    let (mut calls, mut loads) = (Vec::new(), Vec::new());
    on_core(0, || {
        for _ in 0..scale.segments {
            for (watch, times) in [(&mut by_file, &mut calls), (&mut mapped, &mut loads)] {
                times.push(ns_each(count, || {
                    watch.page.read(&mut watch.words).expect("a page is there");
                }));
                assert!(watch.words.iter().all(|word| *word == 0));
            }
        }
    });
    let name = "4 KiB page, read from a plain file";
    Row::new("P9", name, Unit::Ns, median(&calls))
        .against("sealed memory", median(&loads), Some(median_ratio(&loads, &calls)))
        .note(
            "what not being cut off by a signal costs the reader of a file; the writer pays \
            nothing",
        )
}
