//! The command, as a user meets it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use wasm_engine_abi::page::{TraceEvent, event};
use wasm_engine_shm::header::Identity;
use wasm_engine_shm::layout::{RegionPlan, SectionKind};
use wasm_engine_shm::locate::{self, Descriptor};
use wasm_engine_shm::map::Map;
use wasm_engine_telemetry::publisher::Sizes;
use wasm_engine_ui_bridge_testkit::owner::{NAMES, TestOwner, identity, plan, sizes};

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(directory.path(), private).expect("private");
    directory
}

fn monitor(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wasm-engine-monitor"))
        .args(args)
        .env("XDG_RUNTIME_DIR", directory)
        .output()
        .expect("started")
}

/// Exit status and the one line of its error.
fn refusal(directory: &Path, args: &[&str]) -> (i32, String) {
    let output = monitor(directory, args);
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    (output.status.code().expect("no signal"), text)
}

#[test]
fn nobody_runs() {
    let directory = directory();
    let (code, text) = refusal(directory.path(), &[]);
    assert_eq!(code, 1);
    assert!(text.starts_with("error: no kernel is running in "), "{text}");
    let (code, text) = refusal(directory.path(), &["weather"]);
    assert_eq!(code, 1);
    assert!(text.contains("no running kernel is named weather"), "{text}");
    assert!(text.contains("none is running"), "{text}");
    assert_eq!(refusal(directory.path(), &["../x"]).0, 2);
}

#[test]
fn one_runs() {
    let directory = directory();
    let mut owner = TestOwner::start(directory.path(), "weather", 1);
    owner.publish(41);
    // Without a terminal: one summary, no control codes.
    for args in [&[][..], &["weather"], &["--once"]] {
        let output = monitor(directory.path(), args);
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(0));
        assert!(text.starts_with("weather (pid "), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    }
    let output = monitor(directory.path(), &["--once", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(value["$type"], "wasm-engine/monitor/1");
    assert_eq!((&value["kernel"]["tick"], &value["name"]), (&41.into(), &"weather".into()));
    let args = ["weather", "--json", "--interval", "50", "--duration", "0.2"];
    let output = monitor(directory.path(), &args);
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a document")).collect();
    assert!(lines.len() >= 2, "{text}");
    assert_eq!(output.status.code(), Some(0));
    let (code, text) = refusal(directory.path(), &["nobody"]);
    assert_eq!(code, 1);
    assert!(text.contains("running: weather"), "{text}");
}

#[test]
fn two_run() {
    let directory = directory();
    let _one = TestOwner::start(directory.path(), "one", 1);
    let mut two = TestOwner::start(directory.path(), "two", 2);
    let (code, text) = refusal(directory.path(), &[]);
    assert_eq!(code, 2);
    assert_eq!(text, "error: 2 kernels are running, give the name of one: one, two\n");
    two.finish(5, 0);
    let output = monitor(directory.path(), &["two", "--once"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("finished, exit 0"), "{text}");
}

#[test]
fn usage() {
    let directory = directory();
    for args in [&["--interval", "1"][..], &["--frobnicate"], &["a", "b"], &["--duration", "-1"]] {
        assert_eq!(monitor(directory.path(), args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(monitor(directory.path(), &["--help"]).status.code(), Some(0));
}

/// Publishes a file-backed region under a name.
fn publish(directory: &Path, name: &str, identity: Identity) -> (TestOwner, std::path::PathBuf) {
    let name_lock = locate::lock_in(directory, name).expect("free");
    let path = name_lock.file_path();
    let map = Map::file(&path, plan().total_bytes()).expect("a file");
    let mut owner = TestOwner::format(map, identity);
    let descriptor = Descriptor::of(owner.region.map(), owner.region.identity());
    name_lock.publish(&descriptor.expect("a location")).expect("published");
    owner.name_lock = Some(name_lock);
    (owner, path)
}

#[test]
fn damaged_and_foreign_regions() {
    let directory = directory();
    let other = Identity { schema: 1, ..identity(1) };
    let (_owner, _) = publish(directory.path(), "other", other);
    let (code, text) = refusal(directory.path(), &["other"]);
    assert_eq!(code, 5);
    assert!(text.contains("schema 0x0000000000000001"), "{text}");
    let (_owner, path) = publish(directory.path(), "cut", identity(2));
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("opened");
    file.set_len(300).expect("cut");
    assert_eq!(refusal(directory.path(), &["cut"]).0, 4);
    std::fs::write(directory.path().join("junk.region"), b"junk").expect("written");
    assert_eq!(refusal(directory.path(), &["junk"]).0, 4);
}

/// Numbered events.
fn tell(owner: &mut TestOwner, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let (kind, a) = (event::TICK_OPEN, 7 * n);
        let event = TraceEvent { kind, tick: n, a, ..TraceEvent::default() };
        owner.publisher.event(&event);
    }
}

#[test]
fn a_trace_is_followed_to_its_end_with_what_was_lost() {
    let directory = directory();
    let mut owner = TestOwner::start(directory.path(), "weather", 1);
    // The ring holds 64, of which the oldest are left to a kernel that runs.
    tell(&mut owner, 0..100);
    let output = monitor(directory.path(), &["--trace", "--once"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (61, "-- 40 events lost (earlier)"));
    assert!(lines[60].ends_with(" 99.0 tick_open facts=693"), "{text}");

    let mut following = Command::new(env!("CARGO_BIN_EXE_wasm-engine-monitor"))
        .args(["weather", "--trace", "--json"])
        .env("XDG_RUNTIME_DIR", directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    // What was there is printed at once; then it waits for more, and ends with the run.
    let mut out = BufReader::new(following.stdout.take().expect("piped"));
    let mut text = String::new();
    while !text.contains("\"number\":99,") {
        assert_ne!(out.read_line(&mut text).expect("readable"), 0, "it ended: {text}");
    }
    tell(&mut owner, 100..105);
    while !text.contains("\"number\":104,") {
        assert_ne!(out.read_line(&mut text).expect("readable"), 0, "it ended: {text}");
    }
    tell(&mut owner, 105..110);
    owner.finish(110, 0);
    out.read_to_string(&mut text).expect("readable");
    assert_eq!(following.wait().expect("ended").code(), Some(0));
    let (mut passed, mut last) = (0, 0);
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("a document");
        assert_eq!(value["$type"], "wasm-engine/event/1");
        passed += value["lost"].as_u64().unwrap_or(1);
        if value["lost"].is_null() {
            last = value["number"].as_u64().expect("a number");
            assert_eq!(value["facts"], 7 * last);
        }
    }
    assert_eq!((passed, last), (110, 109), "{text}");
}

#[test]
fn a_damaged_trace_ends_with_an_error_however_it_is_asked() {
    let directory = directory();
    let (mut owner, path) = publish(directory.path(), "bad", identity(1));
    tell(&mut owner, 0..3);
    // All sequences say that the reader is late, and the count says nothing.
    let section = owner.region.sections().iter().find(|s| s.kind == SectionKind::BROADCAST);
    let section = section.expect("there is a trace");
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("opened");
    for count in [0, u64::MAX / 2] {
        file.write_all_at(&count.to_le_bytes(), section.offset).expect("written");
        for slot in 0..64 {
            let at = section.offset + 128 + 64 * slot;
            file.write_all_at(&(u64::MAX - 1).to_le_bytes(), at).expect("written");
        }
        let args: [&[&str]; 3] =
            [&["--trace"], &["--trace", "--once"], &["--trace", "--json", "--duration", "60"]];
        for args in args {
            let output = monitor(directory.path(), args);
            let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
            assert!(lines < 10, "{lines} lines for {args:?}");
            // What is there once ends where the count says; what follows it never would.
            let wanted = i32::from(!args.contains(&"--once"));
            assert_eq!(output.status.code(), Some(wanted), "{count} {args:?}");
        }
    }
}

#[test]
fn counters_are_shown_whatever_the_schema() {
    let directory = directory();
    let other = Identity { schema: 1, ..identity(1) };
    let (mut owner, _) = publish(directory.path(), "other", other);
    owner.publish(41);
    let output = monitor(directory.path(), &["--counters", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(value["$type"], "wasm-engine/counters/1");
    let first = &value["counters"][0];
    assert_eq!([&first["label"], &first["kind"], &first["unit"]], ["ticks", "counter", "1"]);
    assert_eq!(first["value"], 42);
    let output = monitor(directory.path(), &["--counters"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.lines().next().expect("a line").ends_with("counter  Ticks executed."), "{text}");
    assert_eq!(refusal(directory.path(), &["--trace"]).0, 5, "events need the schema");
    assert_eq!(monitor(directory.path(), &["--trace", "--counters"]).status.code(), Some(2));
}

#[test]
fn a_kernel_without_a_trace_says_so() {
    let directory = directory();
    let sizes = Sizes { trace_events: 0, ..sizes() };
    let mut plan = RegionPlan::new();
    sizes.plan(&mut plan).expect("a possible plan");
    let map = Map::memfd("quiet", plan.total_bytes()).expect("sealed memory");
    let owner = TestOwner::format_named(map, identity(1), NAMES, &sizes);
    let name_lock = locate::lock_in(directory.path(), "quiet").expect("free");
    let descriptor = Descriptor::of(owner.region.map(), owner.region.identity());
    name_lock.publish(&descriptor.expect("a location")).expect("published");
    let (code, text) = refusal(directory.path(), &["--trace"]);
    assert_eq!(code, 1);
    assert!(text.contains("set region.trace to"), "{text}");
}
