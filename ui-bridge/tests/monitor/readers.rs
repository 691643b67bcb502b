//! The readers in C and Python read what the Rust reader reads: of a golden region, by name, and at
//! each moment of a writer that overtakes them.
//!
//! `UPDATE_GOLDEN=1 cargo test -p wasm-engine-ui-bridge --test monitor readers::` rewrites the
//! golden region; read the difference before committing it. Damaged regions are in
//! `readers_damage.rs`, regions that are being written in `readers_live.rs`; the generated parts of
//! the two readers are those of `tables.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;
use wasm_engine_abi::counter;
use wasm_engine_shm::locate::{self, Descriptor, RegionLocation};
use wasm_engine_ui_bridge_testkit::owner::{TestOwner, golden};
use wasm_engine_ui_bridge_testkit::readers::{
    by_name, compare, compile, file, run, runtime_directory, rust,
};

const UPDATE: &str = "UPDATE_GOLDEN";

#[test]
fn the_golden_region_is_what_the_kernel_writes() {
    let (path, bytes) = (file("tests/monitor/golden/region.bin"), golden());
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &bytes).expect("it can be written");
    }
    let kept = fs::read(&path).expect("it is in the repository");
    assert!(kept == bytes, "the region's bytes have changed: set {UPDATE}=1 if that is meant");
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
    // Of 90 events the ring of 64 holds the last; a reader goes on half a ring behind the newest.
    assert!(whole.contains("\nring 7 sent 90\nlost 7.0 58 polling\nmessage 7.58 "));
    assert_eq!(whole.lines().filter(|line| line.starts_with("message 7.")).count(), 32);
    assert!(whole.contains("\npassed 7 90 lost 58 0\n"));
    assert!(whole.contains("186 counter|1|turns|Turns taken by agents.\n"));
    let counters = whole.lines().filter(|line| line.starts_with("counter 8 "));
    assert_eq!(counters.count(), counter::all().count());
}

#[test]
fn the_header_is_c_plus_plus_too_and_the_examples_are_short() {
    let folder = TempDir::new().expect("a folder");
    let program = compile(folder.path(), ["cc", "-std=c11"], "examples/c/monitor.c");
    let output = Command::new(program).arg("no-such-name").output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is it running?"));
    for example in ["examples/c/monitor.c", "examples/c/trace.c"] {
        let source = fs::read_to_string(file(example)).expect("it is there");
        assert!(source.lines().count() < 30, "a monitor takes under 30 lines");
    }
    let cpp = Command::new("c++").arg("--version").output().is_ok();
    for name in ["monitor", "trace"].into_iter().filter(|_| cpp) {
        let copy = folder.path().join(format!("{name}.cpp"));
        fs::copy(file(&format!("examples/c/{name}.c")), &copy).expect("room on the disk");
        let mut command = Command::new("c++");
        command.args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-U_GNU_SOURCE", "-I"]);
        command.arg(file("include")).arg(&copy).arg("-o").arg(folder.path().join("cpp"));
        run(&mut command, "a C++ compiler");
    }
}

#[test]
fn all_readers_refuse_the_same_descriptors_and_directories() {
    let (directory, folder) = (runtime_directory(), TempDir::new().expect("a folder"));
    let monitor = compile(folder.path(), ["cc", "-std=c11"], "examples/c/monitor.c");
    let mut owner = TestOwner::start(directory.path(), "found", 3);
    owner.publish(0);
    let path = directory.path().join("found.region");
    let good = fs::read(&path).expect("published");
    let descriptor = Descriptor::from_bytes(&good).expect("its own");
    let bytes = |d: &Descriptor| d.to_bytes().expect("it fits").to_vec();
    let file = |path: &str| Descriptor {
        location: RegionLocation::File(path.into()),
        ..descriptor.clone()
    };
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

/// What a follower of a ring of four slots finds that has read nothing, if the writer has sent
/// `before` messages, sends `more` when the follower reads for the `moment`-th time, and begins
/// another one if `half` says so: as `shm::broadcast` promises.
fn found([before, moment, more, half]: [u64; 4]) -> String {
    let sent = |read: u64| if read < moment { before } else { before + more };
    let begun = |read: u64| sent(read) + if read < moment { 0 } else { half };
    // The mark of slot 0, in which message 0 lies.
    let mark = |read: u64| match begun(read) {
        0 => 0,
        n => 2 * ((n - 1) / 4 * 4) + if (n - 1) / 4 * 4 < sent(read) { 2 } else { 1 },
    };
    let overrun = |read: u64, during| {
        let lost = sent(read).saturating_sub(2).max(1);
        format!("overrun {lost} {during} next {lost}")
    };
    // Reads: mark, length, contents, mark; after either look at the mark, how much was sent.
    match (mark(0), mark(3)) {
        (0 | 1, _) => "nothing next 0".to_owned(),
        (2, 2) => format!("message {} next 1", "01".repeat(48)),
        (2, _) => overrun(4, "reading"),
        (_, _) => overrun(1, "polling"),
    }
}

/// What a list of one counter gives, and then its value, if it is replaced, wholly or by half, when
/// the reader reads for the `moment`-th time: number, generation, entry, generation; value,
/// generation.
fn counted_at_each_moment() -> Vec<String> {
    let cases = (0..7).flat_map(|moment| [(moment, 0), (moment, 1)]);
    let found = |case| match case {
        (0 | 1, 0) => "new 7",
        (0..=3, _) => "none",
        (4 | 5, _) => "old gone",
        _ => "old 5",
    };
    cases.map(|case| format!("counter {} {} {}", case.0, case.1, found(case))).collect()
}

#[test]
fn readers_are_overtaken_at_each_moment_as_promised() {
    let folder = TempDir::new().expect("a folder");
    let program = compile(folder.path(), ["cc", "-std=c11"], "testkit/readers/overtaken.c");
    let c = run(&mut Command::new(program), "the reader in C");
    let mut python = Command::new("python3");
    let python = python.arg("-B").arg(file("testkit/readers/overtaken.py"));
    let python = run(python.env("PYTHONPATH", file("python")), "python3");
    let mut kinds = BTreeSet::new();
    for (who, output) in [("C", c), ("Python", python)] {
        let text = String::from_utf8(output.stdout).expect("text");
        let (counted, followed) = text.lines().partition::<Vec<_>, _>(|l| l.starts_with("counter"));
        assert_eq!(counted, counted_at_each_moment(), "{who}");
        for line in &followed {
            let mut words = line.splitn(5, ' ');
            let case = [(); 4].map(|()| words.next().and_then(|n| n.parse().ok()).expect("four"));
            let said = words.next().expect("what was found");
            assert_eq!(said, found(case), "{who}: before, moment, more, half: {case:?}");
            kinds.insert(said.split(" next").next().map(str::to_owned));
        }
        assert_eq!(followed.len(), 7 * 6 * 10 * 2, "{who}");
    }
    // Nothing, the message, and losses of several sizes by each of the two.
    assert!(kinds.len() > 10, "{kinds:?}");
}
