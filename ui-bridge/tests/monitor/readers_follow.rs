//! The commands in Rust and Python and the example in C follow a run, and print the same documents.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use wasm_engine_abi::page::event;
use wasm_engine_shm::header::Identity;
use wasm_engine_telemetry::Names;
use wasm_engine_telemetry::trace::Followed;
use wasm_engine_ui_bridge::trace;
use wasm_engine_ui_bridge_testkit::owner::{TestOwner, event_of};
use wasm_engine_ui_bridge_testkit::readers::{compile, python, runtime_directory};

/// What a program prints, line by line as it does.
struct Lines {
    child: Child,
    count: Arc<AtomicUsize>,
    all: JoinHandle<Vec<String>>,
}

impl Lines {
    fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let line = move |line: Result<String, _>| {
            counted.fetch_add(1, Ordering::Relaxed);
            line.expect("text")
        };
        let all = std::thread::spawn(|| output.lines().map(line).collect());
        Self { child, count, all }
    }

    fn has_more_than(&self, lines: usize) -> bool {
        self.all.is_finished() || self.count.load(Ordering::Relaxed) > lines
    }

    fn end(mut self) -> Vec<String> {
        assert!(self.child.wait().expect("it ends").success());
        self.all.join().expect("read")
    }
}

const NAMED: &str = r#"{"name":"named","agents":["north","south \u001b[2J","east"]}"#;

#[test]
fn followers_of_a_run_lose_nothing_that_they_do_not_count() {
    const LINES: usize = 400;
    let (directory, folder) = (runtime_directory(), TempDir::new().expect("a folder"));
    let example = compile(folder.path(), ["cc", "-std=c11"], "examples/c/trace.c");
    let mut owner = TestOwner::start_as(
        directory.path(),
        "named",
        wasm_engine_ui_bridge_testkit::owner::identity(5),
        NAMED,
    );
    owner.publish(0);
    owner.tell(70);
    let (mut rust, mut c) = (monitor(), Command::new(example));
    let mut python = python();
    rust.args(["--trace", "--json"]);
    python.arg("--trace");
    let [rust, python, c] = [&mut rust, &mut python, &mut c]
        .map(|command| Lines::of(command.arg("named").env("XDG_RUNTIME_DIR", directory.path())));
    // Now few enough events for all to be read, now too many.
    for burst in [10, 200, 30, 1000].into_iter().cycle() {
        owner.tell(burst);
        std::thread::park_timeout(Duration::from_millis(1));
        if [&rust, &python, &c].into_iter().all(|lines| lines.has_more_than(LINES)) {
            break;
        }
    }
    owner.finish(1, 0);
    let names = Names::parse(NAMED.as_bytes()).expect("names");
    for (who, lines) in [("Rust", rust), ("Python", python)] {
        let (mut next, mut first) = (0, true);
        for line in lines.end() {
            let said: Value = serde_json::from_str(&line).expect("a document");
            if let Some(lost) = said["lost"].as_u64() {
                assert!((said["why"] == "earlier") == first, "{who}: {line}");
                next += lost;
            } else {
                let seen = Followed::Event { number: next, event: event_of(next) };
                let expected = trace::document(&seen, &names);
                assert_eq!(said, serde_json::from_str::<Value>(&expected).expect("one"), "{who}");
                next += 1;
            }
            first = false;
        }
        assert_eq!(next, owner.events, "{who}: delivered + lost = passed");
    }
    let mut next = 0;
    for line in c.end() {
        if let Some(lost) = line.strip_suffix(" events lost") {
            next += lost.parse::<u64>().expect("a number");
        } else {
            let event = event_of(next);
            let expected = format!("{next} tick {} {}", event.tick, event::text(event.kind));
            assert_eq!(line, expected, "C");
            next += 1;
        }
    }
    assert_eq!(next, owner.events, "C: delivered + lost = passed");
}

fn monitor() -> Command {
    Command::new(env!("CARGO_BIN_EXE_wasm-engine-monitor"))
}

#[test]
fn the_commands_print_the_same_documents() {
    let directory = runtime_directory();
    let mut owner = TestOwner::start_as(
        directory.path(),
        "named",
        wasm_engine_ui_bridge_testkit::owner::identity(6),
        NAMED,
    );
    let foreign = Identity { schema: 1, ..wasm_engine_ui_bridge_testkit::owner::identity(7) };
    let mut other = TestOwner::start_as(directory.path(), "other", foreign, NAMED);
    for owner in [&mut owner, &mut other] {
        owner.publish(3);
        owner.tell(100);
    }
    let documents = |mut command: Command, args: &[&str]| {
        command.args(args).env("XDG_RUNTIME_DIR", directory.path());
        let output = command.output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let documents = text.lines().map(|line| serde_json::from_str(line).expect("a document"));
        (output.status.success(), documents.collect::<Vec<Value>>())
    };
    for (name, option, count) in
        [("named", "--trace", 61), ("named", "--counters", 1), ("other", "--counters", 1)]
    {
        let (good, rust) = documents(monitor(), &[option, "--json", "--once", name]);
        assert!(good && rust.len() == count, "{option}: {rust:?}");
        assert_eq!(documents(python(), &[option, "--once", name]), (true, rust), "{option}");
    }
    for name in ["other", "nobody"] {
        assert_eq!(documents(monitor(), &["--trace", "--json", "--once", name]), (false, vec![]));
        assert_eq!(documents(python(), &["--trace", "--once", name]), (false, vec![]));
    }
}
