//! The three readers, and what each prints of a region: everything published, or the kind of error.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bytemuck::Zeroable;
use tempfile::TempDir;
use wasm_engine_abi::SCHEMA;
use wasm_engine_abi::page::{
    AgentRow, KernelPage, LaneRow, ModelRow, RingRow, TraceEvent, section,
};
use wasm_engine_shm::broadcast::{BroadcastReader, Next, Overtaken};
use wasm_engine_shm::counters::CountersReader;
use wasm_engine_shm::header::AttachError;
use wasm_engine_shm::layout::SectionKind;
use wasm_engine_shm::map::MapError;
use wasm_engine_shm::mem::Mem;
use wasm_engine_shm::page::{PageError, PageReader};
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::region::RegionView;
use wasm_engine_shm::rows::{ATTEMPTS, RowError, RowsReader};

/// Folder of `ui-bridge`.
const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Words of the header before the directory, and of an entry of it.
pub const HEADER_WORDS: usize = 32;
pub const ENTRY_WORDS: usize = 8;
/// The word that holds the checksum.
pub const CHECKSUM: usize = 15;
/// Looks at a ring, at most: no hostile one keeps a reader for ever.
const POLLS: u32 = 1000;

pub fn file(name: &str) -> PathBuf {
    Path::new(PACKAGE).join(name)
}

/// What the Rust reader says: everything published, or the kind of error.
pub fn rust(path: &Path) -> Result<String, &'static str> {
    let map = ReadMap::open(path).map_err(|error| match error {
        MapError::Length { .. } => "short",
        other => panic!("{other}"),
    })?;
    let view = RegionView::attach(map).map_err(|error| match error {
        AttachError::TooShort { .. } => "short",
        AttachError::NotReady => "not_ready",
        AttachError::Magic { .. } => "magic",
        AttachError::Endian { .. } => "endian",
        AttachError::Version { .. } => "version",
        AttachError::Field { .. } => "field",
        AttachError::TotalLength { .. } => "length",
        AttachError::Checksum { .. } => "checksum",
        AttachError::Section { .. } => "section",
        other => panic!("{other}"),
    })?;
    let (header, status) = (view.header(), view.status());
    let ((major, minor), identity) = (header.version, &header.identity);
    let mut out = format!(
        "region {major}.{minor} schema {:016x} generation {} pid {} started {}\nstatus {} \
         heartbeat {} tick {}\n",
        identity.schema,
        identity.generation,
        identity.pid,
        identity.started_unix_ns,
        format!("{:?}", status.state).to_lowercase(),
        status.heartbeat,
        status.tick
    );
    out += &typed(&view);
    for s in &header.sections {
        let (kind, [a, b]) = (s.kind.0, s.params);
        let (version, at, len) = (s.version, s.offset, s.len);
        writeln!(out, "section {kind} {} version {version} at {at} bytes {len} ({a}, {b})", s.id)
            .expect("a string");
        let mem = view.section(s.kind, s.id).expect("it is in the directory");
        let [words, row_words] = s.params.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        if s.kind == SectionKind::PAGE {
            let reader = PageReader::new(mem, words).map_err(|_| "section")?;
            let mut page = vec![0u64; words];
            let read = reader.read(&mut page).map_err(|error| match error {
                PageError::NotYet => "not_yet",
                PageError::Busy => "busy",
                other => panic!("{other}"),
            })?;
            let bytes = hex(bytemuck::cast_slice(&page[..read.words]));
            writeln!(out, "page {} number {} {bytes}", s.id, read.number).expect("a string");
        } else if s.kind == SectionKind::ROWS {
            let reader = RowsReader::new(mem, words, row_words).map_err(|_| "section")?;
            out += &(0..ATTEMPTS).find_map(|_| rows(&reader, s.id)).ok_or("busy")?;
        } else if s.kind == SectionKind::BROADCAST {
            let reader = BroadcastReader::new(mem, words, row_words).map_err(|_| "section")?;
            out += &ring(reader, s.id, row_words);
        } else if s.kind == SectionKind::COUNTERS {
            out += &counters(&CountersReader::new(mem).map_err(|_| "section")?, s.id);
        }
    }
    Ok(out)
}

/// What reading fields gives: the kernel's tick, one more than the last row there is; or the kind
/// of error.
fn typed(view: &RegionView) -> String {
    let kernel = kernel_tick(view);
    let mut out =
        format!("kernel {}\n", kernel.map_or_else(str::to_owned, |tick| tick.to_string()));
    for (name, id, bytes) in [
        ("agents", section::AGENTS, size_of::<AgentRow>()),
        ("lanes", section::LANES, size_of::<LaneRow>()),
        ("models", section::MODELS, size_of::<ModelRow>()),
        ("rings", section::RINGS, size_of::<RingRow>()),
    ] {
        let end = rows_end(view, id, bytes);
        let end = end.map_or_else(str::to_owned, |end| end.to_string());
        writeln!(out, "{name} {end}").expect("a string");
    }
    writeln!(out, "trace {}", trace_end(view).unwrap_or_else(str::to_owned)).expect("a string");
    let memory = view.section(SectionKind::COUNTERS, section::COUNTERS);
    let entry = view.entry(SectionKind::COUNTERS, section::COUNTERS);
    let count = match (memory, entry) {
        (Some(_), Some(entry)) if entry.version != 1 => "version".to_owned(),
        (Some(memory), _) => {
            let reader = CountersReader::new(memory).expect("long enough");
            reader.list().len().to_string()
        }
        (None, _) => "section".to_owned(),
    };
    writeln!(out, "counters {count}").expect("a string");
    out
}

/// How many events are read, and tick and kind of the last.
fn trace_end(view: &RegionView) -> Result<String, &'static str> {
    view.expect_schema(SCHEMA).map_err(|_| "schema")?;
    let (mut count, mut last) = (0, TraceEvent::zeroed());
    if let Some(entry) = view.entry(SectionKind::BROADCAST, section::TRACE) {
        let mem = view.section(SectionKind::BROADCAST, section::TRACE).ok_or("section")?;
        let [slots, bytes] = entry.params.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        if entry.version != 1 {
            return Err("version");
        }
        if bytes != size_of::<TraceEvent>() {
            return Err("section");
        }
        let mut reader = BroadcastReader::new(mem, slots, bytes).map_err(|_| "section")?;
        let sent = reader.sent();
        for _ in 0..POLLS {
            let mut event = TraceEvent::zeroed();
            if reader.position() >= sent {
                break;
            }
            match reader.next(bytemuck::bytes_of_mut(&mut event)) {
                Next::Message { .. } => (count, last) = (count + 1, event),
                Next::Overrun { .. } => {}
                Next::Empty => break,
            }
        }
    }
    Ok(format!("{count} {} {}", last.tick, last.kind))
}

/// All that a ring still holds, with what was lost.
fn ring<M: Mem>(mut reader: BroadcastReader<M>, id: u32, bytes: usize) -> String {
    let (sent, mut buffer) = (reader.sent(), vec![0; bytes]);
    let mut out = format!("ring {id} sent {sent}\n");
    for _ in 0..POLLS {
        if reader.position() >= sent {
            break;
        }
        match reader.next(&mut buffer) {
            Next::Empty => break,
            Next::Message { number, len } => {
                writeln!(out, "message {id}.{number} {}", hex(&buffer[..len]))
            }
            Next::Overrun { lost, next, during } => {
                let during = if during == Overtaken::Reading { "reading" } else { "polling" };
                writeln!(out, "lost {id}.{} {lost} {during}", next.wrapping_sub(lost))
            }
        }
        .expect("a string");
    }
    let ((polling, reading), position) = (reader.lost_apart(), reader.position());
    writeln!(out, "passed {id} {position} lost {polling} {reading}").expect("a string");
    out
}

/// All counters, each with its value.
fn counters<M: Mem>(reader: &CountersReader<M>, id: u32) -> String {
    let clean = |text: &str| wasm_engine_telemetry::names::clean(text, usize::MAX);
    reader.list().iter().fold(String::new(), |mut out, c| {
        let value = reader.value(c).map_or("gone".to_owned(), |value| value.to_string());
        let [kind, unit, label, help] = [&c.kind, &c.unit, &c.label, &c.help].map(|t| clean(t));
        writeln!(out, "counter {id} {:08x} {value} {kind}|{unit}|{label}|{help}", c.id)
            .expect("a string");
        out
    })
}

fn kernel_tick(view: &RegionView) -> Result<u64, &'static str> {
    view.expect_schema(SCHEMA).map_err(|_| "schema")?;
    let words = size_of::<KernelPage>() / 8;
    let entry = view.entry(SectionKind::PAGE, section::KERNEL).ok_or("section")?;
    if entry.params[0] != words as u64 {
        return Err("section");
    }
    let mem = view.section(SectionKind::PAGE, section::KERNEL).ok_or("section")?;
    let mut page = vec![0u64; words];
    let read = PageReader::new(mem, words).map_err(|_| "section")?.read(&mut page);
    match read {
        Ok(read) if read.words == words => {
            let tick = KernelPage::FIELDS.iter().find(|field| field.name == "tick");
            Ok(page[tick.expect("a field").offset / 8])
        }
        Err(PageError::NotYet) => Err("not_yet"),
        Err(PageError::Busy) => Err("busy"),
        _ => Err("section"),
    }
}

fn rows_end(view: &RegionView, id: u32, row_bytes: usize) -> Result<usize, &'static str> {
    view.expect_schema(SCHEMA).map_err(|_| "schema")?;
    let Some(entry) = view.entry(SectionKind::ROWS, id) else { return Ok(0) };
    if entry.params[1] != row_bytes as u64 / 8 {
        return Err("section");
    }
    let mem = view.section(SectionKind::ROWS, id).ok_or("section")?;
    let count = usize::try_from(entry.params[0]).unwrap_or(usize::MAX);
    let reader = RowsReader::new(mem, count, row_bytes / 8).map_err(|_| "section")?;
    let text = (0..ATTEMPTS).find_map(|_| rows(&reader, id)).ok_or("busy")?;
    let last = text.lines().last().and_then(|line| line.split(['.', ' ']).nth(2)?.parse().ok());
    Ok(last.map_or(0, |last: usize| last + 1))
}

/// All rows of the newest cut; none if one was replaced meanwhile.
fn rows<M: Mem>(reader: &RowsReader<M>, id: u32) -> Option<String> {
    let (cut, mut out) = (reader.version(), String::new());
    let mut words = vec![0u64; reader.row_words()];
    for row in 0..reader.rows() {
        match reader.read(cut, row, &mut words) {
            Ok(None) => {}
            Ok(Some(_)) => {
                writeln!(out, "row {id}.{row} cut {cut} {}", hex(bytemuck::cast_slice(&words)))
                    .expect("a string");
            }
            Err(RowError::Lapped) => return None,
            Err(other) => panic!("{other}"),
        }
    }
    Some(out)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string");
        out
    })
}

/// Runs a command to its end.
pub fn run(command: &mut Command, what: &str) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{what} is needed: {error}"));
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Compiles a program against the C header; warnings are errors.
pub fn compile(folder: &Path, compiler: [&str; 2], source: &str) -> PathBuf {
    let program = folder.join(Path::new(source).file_stem().expect("a name"));
    let mut command = Command::new(compiler[0]);
    command
        .args([compiler[1], "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-I"])
        .arg(file("include"))
        .arg(file(source))
        .arg("-o")
        .arg(&program);
    run(&mut command, "a C compiler");
    program
}

pub fn python() -> Command {
    let mut command = Command::new("python3");
    // Nothing of the module is left beside it.
    command.args(["-B", "-W", "error"]).arg(file("python/wasm_engine_monitor.py"));
    command
}

/// What a reader printed for each file: everything, or the kind of error.
pub fn parts(output: Output, what: &str) -> Vec<Result<String, String>> {
    let text = String::from_utf8(output.stdout).expect("text");
    let mut parts: Vec<String> = vec![String::new()];
    for line in text.lines() {
        match (line.starts_with("end "), parts.last_mut()) {
            (false, Some(part)) => *part += &format!("{line}\n"),
            _ => parts.push(String::new()),
        }
    }
    assert_eq!(parts.pop().as_deref(), Some(""), "{what} did not get to its end");
    let verdict = |part: String| match part.lines().last().and_then(|l| l.strip_prefix("error ")) {
        Some(kind) => Err(kind.to_owned()),
        None => Ok(part),
    };
    parts.into_iter().map(verdict).collect()
}

/// Asks all three about the files, and compares.
pub fn compare(folder: &Path, files: &[(String, Vec<u8>)]) {
    let program = compile(folder, ["cc", "-std=c11"], "testkit/readers/dump.c");
    let paths: Vec<PathBuf> = (0..files.len()).map(|n| folder.join(format!("{n}.bin"))).collect();
    for ((_, bytes), path) in files.iter().zip(&paths) {
        fs::write(path, bytes).expect("room on the disk");
    }
    let c = parts(run(Command::new(program).args(&paths), "the reader in C"), "C");
    let output = run(python().arg("--dump").args(&paths), "python3");
    let python = parts(output, "Python");
    assert_eq!((c.len(), python.len()), (files.len(), files.len()));
    for (at, (name, _)) in files.iter().enumerate() {
        let rust = rust(&paths[at]).map_err(str::to_owned);
        assert_eq!(c[at], rust, "C and Rust differ: {name}");
        assert_eq!(python[at], rust, "Python and Rust differ: {name}");
    }
}

/// A copy with some words replaced; the checksum is made right again if `seal` says so.
pub fn with(bytes: &[u8], changes: &[(usize, u64)], seal: bool) -> Vec<u8> {
    let mut words: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes")))
        .collect();
    for (word, value) in changes {
        words[*word] = *value;
    }
    if seal {
        let entries = words[7] as usize * ENTRY_WORDS;
        let covered = words[1..CHECKSUM].iter().chain(&words[HEADER_WORDS..][..entries]);
        let sum = covered.fold(0xcbf2_9ce4_8422_2325_u64, |sum, word| {
            (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
        });
        words[CHECKSUM] = sum;
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at * 8..][..8].try_into().expect("inside"))
}

/// A folder for this user alone.
pub fn runtime_directory() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.permissions(PermissionsExt::from_mode(0o700)).tempdir().expect("a folder")
}

/// What the monitors in C and Python say of a kernel that they find by name.
pub fn by_name(monitor: &Path, directory: &Path, name: &str) -> [Output; 2] {
    [Command::new(monitor), python()]
        .map(|mut c| c.arg(name).env("XDG_RUNTIME_DIR", directory).output().expect("it runs"))
}
