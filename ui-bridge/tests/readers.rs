//! The readers in C and Python read what the Rust reader reads, and refuse what it refuses.
//!
//! All three print everything published in the golden region, in damaged copies of it, and in a region
//! that is being written, and are compared. `UPDATE_GOLDEN=1 cargo test -p wasm-engine-ui-bridge --test
//! readers` rewrites the golden region; read the difference before committing it. The generated parts
//! of the two readers are those of `tables.rs`.
#![cfg(target_os = "linux")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{Owner, plan};
use tempfile::TempDir;
use wasm_engine_abi::page::{AgentRow, KernelPage, LaneRow, ModelRow, RingRow, SCHEMA, section};
use wasm_engine_shm::header::{AttachError, Identity};
use wasm_engine_shm::layout::SectionKind;
use wasm_engine_shm::locate::{self, Descriptor, Place};
use wasm_engine_shm::map::{Map, MapError};
use wasm_engine_shm::page::{PageError, PageReader};
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::region::RegionView;
use wasm_engine_shm::rows::{ATTEMPTS, RowError, RowsReader};

const UPDATE: &str = "UPDATE_GOLDEN";
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");
/// Words of the header before the directory, and of an entry of it.
const HEADER_WORDS: usize = 32;
const ENTRY_WORDS: usize = 8;
/// The word that holds the checksum.
const CHECKSUM: usize = 15;

fn file(name: &str) -> PathBuf {
    Path::new(PACKAGE).join(name)
}

/// A region as a fixed owner left it.
fn golden() -> Vec<u8> {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("region");
    let identity = Identity {
        schema: SCHEMA,
        generation: 7,
        pid: 4242,
        pid_start_time: 99,
        boot_id: *b"a golden boot id",
        pid_namespace: 5,
        started_unix_ns: 1_700_000_000_000_000_000,
    };
    let map = Map::file(&path, plan().total_bytes()).expect("a file");
    let mut owner = Owner::format(map, identity);
    for tick in 0..6 {
        owner.publish(tick);
    }
    fs::read(&path).expect("its file is there while it lives")
}

#[test]
fn the_golden_region_is_what_the_kernel_writes() {
    let (path, bytes) = (file("tests/golden/region.bin"), golden());
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &bytes).expect("it can be written");
    }
    let kept = fs::read(&path).expect("it is in the repository");
    assert!(kept == bytes, "the region's bytes have changed: set {UPDATE}=1 if that is meant");
}

/// What the Rust reader says: everything published, or the kind of error.
fn rust(path: &Path) -> Result<String, &'static str> {
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
        "region {major}.{minor} schema {:016x} generation {} pid {} started {}\nstatus {} heartbeat \
         {} tick {}\n",
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
            let bytes = hex(&page[..read.words]);
            writeln!(out, "page {} number {} {bytes}", s.id, read.number).expect("a string");
        } else if s.kind == SectionKind::ROWS {
            let reader = RowsReader::new(mem, words, row_words).map_err(|_| "section")?;
            out += &(0..ATTEMPTS).find_map(|_| rows(&reader, s.id)).ok_or("busy")?;
        }
    }
    Ok(out)
}

/// What reading fields gives: the kernel's tick, one more than the last row there is; or the kind of
/// error.
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
    out
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
fn rows<M: wasm_engine_shm::mem::Mem>(reader: &RowsReader<M>, id: u32) -> Option<String> {
    let (cut, mut out) = (reader.cut(), String::new());
    let mut words = vec![0u64; reader.row_words()];
    for row in 0..reader.rows() {
        match reader.read(cut, row, &mut words) {
            Ok(None) => {}
            Ok(Some(_)) => {
                writeln!(out, "row {id}.{row} cut {cut} {}", hex(&words)).expect("a string");
            }
            Err(RowError::Lapped) => return None,
            Err(other) => panic!("{other}"),
        }
    }
    Some(out)
}

fn hex(words: &[u64]) -> String {
    words.iter().flat_map(|word| word.to_le_bytes()).fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string");
        out
    })
}

/// Runs a command to its end.
fn run(command: &mut Command, what: &str) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{what} is needed: {error}"));
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Compiles a program against the C header; warnings are errors.
fn compile(folder: &Path, compiler: [&str; 2], source: &str) -> PathBuf {
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

fn python() -> Command {
    let mut command = Command::new("python3");
    command.arg(file("python/wasm_engine_monitor.py"));
    command
}

/// What a reader printed for each file: everything, or the kind of error.
fn parts(output: Output, what: &str) -> Vec<Result<String, String>> {
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
fn compare(folder: &Path, files: &[(String, Vec<u8>)]) {
    let program = compile(folder, ["cc", "-std=c11"], "tests/readers/dump.c");
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

#[test]
fn all_readers_say_the_same_of_the_golden_region() {
    let folder = TempDir::new().expect("a folder");
    let files = [("golden".to_owned(), golden())];
    compare(folder.path(), &files);
    let whole = rust(&folder.path().join("0.bin")).expect("it is sound");
    // Two pages, four tables, 14 agents of 64.
    assert_eq!(whole.lines().filter(|line| line.starts_with("page ")).count(), 2);
    assert_eq!(whole.lines().filter(|line| line.starts_with("row 2.")).count(), 14);
}

/// A copy with some words replaced; the checksum is made right again if `seal` says so.
fn with(bytes: &[u8], changes: &[(usize, u64)], seal: bool) -> Vec<u8> {
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

/// The lengths of what is published in the slots of a page of `words` words that begins at word `at`.
fn lengths(at: usize, words: usize, bytes: u64) -> Vec<(usize, u64)> {
    let stride = (2 + words).next_multiple_of(16);
    (0..4).map(|slot| (at + 16 + slot * stride + 1, bytes)).collect()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at * 8..][..8].try_into().expect("inside"))
}

#[test]
fn all_readers_refuse_the_same_damage() {
    let good = golden();
    let mut files = Vec::new();
    for len in [0, 8, 127, 128, 255, 256, 1000, 4096, good.len() - 8] {
        files.push((format!("cut to {len} bytes"), good[..len].to_vec()));
    }
    files.push(("longer".to_owned(), [&good[..], &[0; 64]].concat()));
    files.push(("not ready".to_owned(), with(&good, &[(0, 0)], false)));
    for at in 0..=CHECKSUM {
        for bit in [0, 33] {
            let value = word(&good, at) ^ 1 << bit;
            files.push((format!("word {at}, bit {bit}"), with(&good, &[(at, value)], false)));
        }
    }
    files.push(("a newer minor".to_owned(), with(&good, &[(2, word(&good, 2) + 7)], true)));
    files.push(("another major".to_owned(), with(&good, &[(2, 9 << 32)], true)));
    let sections = word(&good, 7) as usize;
    for section in 0..sections {
        let entry = HEADER_WORDS + section * ENTRY_WORDS;
        let other = HEADER_WORDS + (section + 1) % sections * ENTRY_WORDS;
        let of = |field: usize| word(&good, entry + field);
        let damage = [
            ("unknown kind", vec![(entry, 0x7777)]),
            ("twice", vec![(entry, word(&good, other)), (entry + 1, word(&good, other + 1))]),
            ("unaligned", vec![(entry + 2, of(2) + 8)]),
            ("beyond", vec![(entry + 2, good.len() as u64)]),
            ("huge offset", vec![(entry + 2, u64::MAX - 127)]),
            ("over another", vec![(entry + 2, word(&good, other + 2))]),
            ("empty", vec![(entry + 3, 0)]),
            ("huge", vec![(entry + 3, u64::MAX - 127)]),
            ("no words", vec![(entry + 4, 0)]),
            ("many words", vec![(entry + 4, 1 << 20)]),
            ("no row words", vec![(entry + 5, 0)]),
            ("one less", vec![(entry + 4, of(4).saturating_sub(1))]),
            ("a row word less", vec![(entry + 5, of(5).saturating_sub(1))]),
        ];
        for (what, changes) in damage {
            files.push((format!("section {section}: {what}"), with(&good, &changes, true)));
        }
        // The first words of a section: how much was published, then a mark and a length.
        let at = of(2) as usize / 8;
        for (what, changes) in [
            ("nothing published", vec![(at, 0)]),
            ("more than ever", vec![(at, u64::MAX)]),
            ("a busy mark", (0..4).map(|n| (at + 16 + n * of(4).max(1) as usize, 1)).collect()),
            ("a huge length", vec![(at + 17, u64::MAX)]),
            ("lengths of nothing", lengths(at, of(4) as usize, 0)),
            ("short lengths", lengths(at, of(4) as usize, 8)),
        ] {
            if changes.iter().all(|(word, _)| word * 8 < good.len()) {
                files.push((format!("section {section}: {what}"), with(&good, &changes, false)));
            }
        }
    }
    let folder = TempDir::new().expect("a folder");
    compare(folder.path(), &files);
}

#[test]
fn the_header_is_c_plus_plus_too_and_the_example_is_short() {
    let folder = TempDir::new().expect("a folder");
    let program = compile(folder.path(), ["cc", "-std=c11"], "examples/c/monitor.c");
    let output = Command::new(program).arg("no-such-name").output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is it running?"));
    let source = fs::read_to_string(file("examples/c/monitor.c")).expect("it is there");
    assert!(source.lines().count() < 30, "a monitor takes under 30 lines");
    if Command::new("c++").arg("--version").output().is_ok() {
        let copy = folder.path().join("monitor.cpp");
        fs::copy(file("examples/c/monitor.c"), &copy).expect("room on the disk");
        let mut command = Command::new("c++");
        command.args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-U_GNU_SOURCE", "-I"]);
        command.arg(file("include")).arg(&copy).arg("-o").arg(folder.path().join("cpp"));
        run(&mut command, "a C++ compiler");
    }
}

/// A folder for this user alone.
fn runtime_directory() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.permissions(PermissionsExt::from_mode(0o700)).tempdir().expect("a folder")
}

/// What the monitors in C and Python say of a kernel that they find by name.
fn by_name(monitor: &Path, directory: &Path, name: &str) -> [Output; 2] {
    [Command::new(monitor), python()]
        .map(|mut c| c.arg(name).env("XDG_RUNTIME_DIR", directory).output().expect("it runs"))
}

#[test]
fn all_readers_refuse_the_same_descriptors_and_directories() {
    let (directory, folder) = (runtime_directory(), TempDir::new().expect("a folder"));
    let monitor = compile(folder.path(), ["cc", "-std=c11"], "examples/c/monitor.c");
    let mut owner = Owner::start(directory.path(), "found", 3);
    owner.publish(0);
    let path = directory.path().join("found.region");
    let good = fs::read(&path).expect("published");
    let descriptor = Descriptor::from_bytes(&good).expect("its own");
    let bytes = |d: &Descriptor| d.to_bytes().expect("it fits").to_vec();
    let file = |path: &str| Descriptor { place: Place::File(path.into()), ..descriptor.clone() };
    let at = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let namespace = descriptor.pid_namespace + 1;
    let cases = [
        ("the good one", good.clone(), ""),
        ("cut short", good[..1000].to_vec(), "no descriptor"),
        ("without its end", good[..1030].to_vec(), "damaged"),
        ("another form", at(7, b'2'), "no descriptor"),
        ("version 0", at(8, 0), "no descriptor"),
        ("version 1, without a checksum", at(8, 1), ""),
        ("a flipped bit", at(600, 1), "damaged"),
        ("a relative path", bytes(&file("region")), "not absolute"),
        ("no such file", bytes(&file("/no/such/region")), "/no/such/region"),
        ("another boot", bytes(&Descriptor { boot_id: [1; 16], ..descriptor.clone() }), "kernel"),
        ("another process", bytes(&Descriptor { pid_start_time: 1, ..descriptor.clone() }), "runn"),
        ("a container", bytes(&Descriptor { pid_namespace: namespace, ..descriptor }), "container"),
    ];
    let ask = |what: &str, problem: &str| {
        for (who, output) in
            ["C", "Python"].iter().zip(by_name(&monitor, directory.path(), "found"))
        {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let code = output.status.code();
            assert_eq!(code, Some(i32::from(!problem.is_empty())), "{who}, {what}: {text}");
            assert!(text.contains(problem) && text.lines().count() <= 1, "{who}, {what}: {text}");
        }
    };
    for (what, bytes, problem) in cases {
        fs::write(&path, &bytes).expect("room on the disk");
        let rust = locate::open_in(directory.path(), "found");
        assert_eq!(rust.is_err(), !problem.is_empty(), "Rust, {what}: {rust:?}");
        ask(what, problem);
    }
    fs::write(&path, &good).expect("room on the disk");
    for (mode, problem) in [(0o755, "alone"), (0o720, "alone"), (0o700, "")] {
        let permissions = PermissionsExt::from_mode(mode);
        fs::set_permissions(directory.path(), permissions).expect("its own");
        ask(&format!("mode {mode:o}"), problem);
    }
}

#[test]
fn a_region_that_is_being_written_is_read_whole_by_name() {
    const LOOKS: usize = 40;
    const BURST: u64 = 64;
    const PAUSE: Duration = Duration::from_millis(2);
    let directory = runtime_directory();
    let folder = TempDir::new().expect("a folder");
    let program = compile(folder.path(), ["cc", "-std=c11"], "tests/readers/dump.c");
    let monitor = compile(folder.path(), ["cc", "-std=c11"], "examples/c/monitor.c");
    let mut owner = Owner::start(directory.path(), "live", 3);
    let fd = owner.region.map().fd().expect("sealed memory");
    let path = PathBuf::from(format!("/proc/{}/fd/{fd}", std::process::id()));
    owner.publish(0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for tick in 1.. {
                owner.publish(tick);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // A writer without any pause overtakes every reader of a table for ever; one that
                // only ever pauses is seldom caught in the act.
                if tick % BURST == 0 {
                    std::thread::park_timeout(PAUSE);
                }
            }
        });
        let paths = vec![&path; LOOKS];
        let c = parts(run(Command::new(&program).args(&paths), "the reader in C"), "C");
        let python = run(python().arg("--dump").args(&paths), "python3");
        let python = parts(python, "Python");
        let [named_c, named] = by_name(&monitor, directory.path(), "live");
        stop.store(true, Ordering::Relaxed);
        for (who, looks) in [("C", c), ("Python", python)] {
            let whole: Vec<u64> =
                looks.into_iter().flatten().map(|look| check_whole(who, &look)).collect();
            // The writer may overtake a slow reader; not each time.
            assert!(!whole.is_empty(), "{who} never succeeded");
            assert!(whole.is_sorted(), "{who} went back in time");
        }
        for (who, output) in [("C", named_c), ("Python", named)] {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let busy = String::from_utf8_lossy(&output.stderr).contains("every attempt");
            assert!(busy || text.contains("turns") && output.status.success(), "{who}: {output:?}");
        }
    });
}

/// The tick of the kernel's page, which must belong to all of it.
fn check_whole(who: &str, look: &str) -> u64 {
    let page = look.lines().find_map(|line| line.strip_prefix("page 1 number ")).expect("a page");
    let (_, hex) = page.split_once(' ').expect("its bytes");
    let field = |name: &str| {
        let fields = KernelPage::FIELDS;
        let at = fields.iter().find(|field| field.name == name).expect("a field").offset * 2;
        let bytes: Vec<u8> = (at..at + 16)
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    };
    let n = field("tick") + 1;
    let expected = [n * 31, n * 117, n * 24_000, 0x0123_4567_89ab_cdef ^ n];
    let read = [field("turns"), field("items"), field("fuel"), field("digest")];
    assert_eq!(read, expected, "{who} read a torn page");
    field("tick")
}
