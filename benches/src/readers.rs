//! What reading costs: pages of 4 KiB to 1 MiB, cuts of 10,000 and 100,000 agents, in Rust, C and
//! Python, while nothing is published and while another core publishes at a given rate.
//!
//! The readers in C and Python are programs of their own (`benches/readers/`), which open the
//! region like any other process. `memcpy` of the same bytes stands beside them. The reader in Rust
//! also looks at every word it got, which its figures include; S2 in `page_read.rs` is the read
//! alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wasm_engine_shm::header::Identity;
use wasm_engine_shm::layout::{RegionPlan, SectionKind};
use wasm_engine_shm::map::Map;
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::page::{self, PageReader, PageWriter};
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::region::{Region, RegionView};
use wasm_engine_shm::rows::{self, RowsReader, RowsWriter};

use crate::measure::{apart, ns_each, pin};

/// Words of a row, those of an agent's.
const ROW_WORDS: usize = 12;
/// Sections: name, id, and words of the page or rows of the table.
const SECTIONS: [(&str, u32, usize); 5] = [
    ("page of 4 KiB", 1, 512),
    ("page of 64 KiB", 2, 8 << 10),
    ("page of 1 MiB", 3, 128 << 10),
    ("cut of 10,000 agents", 4, 10_000),
    ("cut of 100,000 agents", 5, 100_000),
];
/// First id of a table.
const TABLES: u32 = 4;
/// Pause between two publications: a thousand a second, as a kernel publishes at most.
const PAUSE: Duration = Duration::from_millis(1);
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// What one reader took for one section: ns a read, share of reads that failed.
type Cost = (f64, f64);

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// What is read.
    pub what: &'static str,
    /// `memcpy` of as many bytes, in ns.
    pub copy_ns: f64,
    /// Rust, C, Python; none where the language is not there. First quiet, then under publishing.
    pub costs: [[Option<Cost>; 3]; 2],
}

/// The region and its writing sides.
struct Writers {
    _region: Region,
    path: PathBuf,
    pages: Vec<PageWriter<RawMem>>,
    tables: Vec<RowsWriter<RawMem>>,
}

/// A region of [`SECTIONS`], in sealed memory.
///
/// # Panics
/// If the system gives no memory.
fn writers() -> Writers {
    let mut plan = RegionPlan::new();
    for (_, id, n) in SECTIONS {
        let (kind, len, params) = if id < TABLES {
            (SectionKind::PAGE, page::layout(n), [n as u64, 0])
        } else {
            (SectionKind::ROWS, rows::layout(n, ROW_WORDS), [n as u64, ROW_WORDS as u64])
        };
        let len = len.expect("a valid size") as u64;
        plan.add_with(kind, id, len, 1, params).expect("it fits");
    }
    let map = Map::memfd("readers", plan.total_bytes()).expect("the system gives memory");
    let path = PathBuf::from(format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        map.fd().expect("sealed memory has a file")
    ));
    let mut region = Region::format(map, &plan, Identity::default()).expect("it fits");
    let (mut pages, mut tables) = (Vec::new(), Vec::new());
    for (_, id, n) in SECTIONS {
        if id < TABLES {
            let mem = region.section(SectionKind::PAGE, id).expect("planned");
            pages.push(PageWriter::new(mem, n).expect("fresh memory"));
        } else {
            let mem = region.section(SectionKind::ROWS, id).expect("planned");
            tables.push(RowsWriter::new(mem, n, ROW_WORDS).expect("fresh memory"));
        }
    }
    region.publish_ready().expect("once");
    Writers { _region: region, path, pages, tables }
}

impl Writers {
    /// Publishes everything: all words of a page, all rows of a table at first, then one in a
    /// thousand.
    fn publish(&mut self, number: u64) {
        for (page, (_, _, words)) in self.pages.iter_mut().zip(SECTIONS) {
            page.publish(&vec![number; words]);
        }
        for (table, (_, _, rows)) in self.tables.iter_mut().zip(SECTIONS.into_iter().skip(3)) {
            let step = if number == 1 { 1 } else { 1000 };
            for row in (0..rows).step_by(step) {
                table.write(row, &[number; ROW_WORDS]);
            }
            table.publish();
        }
    }
}

/// Reads section `at` once; true if it was whole.
///
/// # Panics
/// If it is torn.
fn read_once(view: &RegionView, at: usize, to: &mut [u64]) -> bool {
    let (_, id, n) = SECTIONS[at];
    if id < TABLES {
        let mem = view.section(SectionKind::PAGE, id).expect("it is there");
        let reader = PageReader::new(mem, n).expect("its size");
        let whole = reader.read(&mut to[..n]).is_ok();
        assert!(!whole || to[..n].iter().all(|word| *word == to[0]), "a torn page");
        return whole;
    }
    let mem = view.section(SectionKind::ROWS, id).expect("it is there");
    let reader = RowsReader::new(mem, n, ROW_WORDS).expect("its size");
    let (cut, row_words) = (reader.version(), &mut to[..ROW_WORDS]);
    (0..n).all(|row| match reader.read(cut, row, row_words) {
        Ok(Some(_)) => {
            assert!(row_words.iter().all(|word| *word == row_words[0]), "a torn row");
            true
        }
        _ => false,
    })
}

fn in_rust(path: &Path, seconds: f64) -> Vec<Option<Cost>> {
    let view = RegionView::attach(ReadMap::open(path).expect("own memory")).expect("ready");
    let mut to = vec![0u64; 128 << 10];
    let of = |at| {
        let (start, mut reads, mut failed) = (Instant::now(), 0.0, 0.0);
        while start.elapsed().as_secs_f64() < seconds {
            failed += f64::from(u8::from(!read_once(&view, at, &mut to)));
            reads += 1.0;
        }
        Some((start.elapsed().as_nanos() as f64 / reads, failed / reads))
    };
    (0..SECTIONS.len()).map(of).collect()
}

/// Runs one of the programs; a line for each section.
fn in_other(command: &mut Command, path: &Path, seconds: f64) -> Vec<Option<Cost>> {
    let output = command.arg(path).arg(seconds.to_string()).output();
    let text = match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        _ => return vec![None; SECTIONS.len()],
    };
    let number = |line: &str, at| line.split(' ').nth(at).and_then(|text| text.parse().ok());
    let cost = |line: &str| Some((number(line, 1)?, number(line, 2)?));
    text.lines().map(cost).collect()
}

/// Compiles the reader in C; none without a compiler.
fn compile() -> Option<PathBuf> {
    let program = std::env::temp_dir().join(format!("wasm-engine-readers-{}", std::process::id()));
    let source = Path::new(PACKAGE).join("readers/readers.c");
    let status =
        Command::new("cc").args(["-std=c11", "-O2"]).arg(source).arg("-o").arg(&program).status();
    status.is_ok_and(|status| status.success()).then_some(program)
}

/// Measures each section for about `seconds`, in each language, twice.
///
/// # Panics
/// If something torn is read, or the system gives no memory.
#[must_use]
pub fn lines(seconds: f64) -> Vec<Line> {
    let mut writers = writers();
    writers.publish(1);
    let (path, program) = (writers.path.clone(), compile());
    let all = || {
        let c = match &program {
            Some(program) => in_other(&mut Command::new(program), &path, seconds),
            None => vec![None; SECTIONS.len()],
        };
        let script = Path::new(PACKAGE).join("readers/readers.py");
        let python = in_other(Command::new("python3").arg(script), &path, seconds);
        [apart(|| in_rust(&path, seconds)), c, python]
    };
    pin(0);
    let quiet = all();
    let stop = AtomicBool::new(false);
    let busy = std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            for number in 2.. {
                writers.publish(number);
                std::thread::park_timeout(PAUSE);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let busy = all();
        stop.store(true, Ordering::Relaxed);
        busy
    });
    if let Some(program) = program {
        // A file in the temporary directory that stays behind does no harm.
        let _ = std::fs::remove_file(program);
    }
    let line = |(at, (what, id, n)): (usize, (&'static str, u32, usize))| {
        let words = if id < TABLES { n } else { n * ROW_WORDS };
        let (from, mut to) = (vec![1u64; words], vec![0u64; words]);
        let count = ((8 << 20) / (words * 8)).max(8);
        let copies = (0..9).map(|_| {
            ns_each(count, || {
                std::hint::black_box(&mut to).copy_from_slice(std::hint::black_box(&from));
            })
        });
        let copy_ns = copies.fold(f64::MAX, f64::min);
        let costs = [&quiet, &busy].map(|of| [of[0][at], of[1][at], of[2][at]]);
        Line { what, copy_ns, costs }
    };
    (0..).zip(SECTIONS).map(line).collect()
}
