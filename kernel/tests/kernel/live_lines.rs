//! JSON lines that come while the command runs: standard input, pipes, writers that are killed.
#![expect(clippy::disallowed_methods, reason = "it waits for another process")]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use wasm_engine::replay::{ReplayOptions, verify};

use crate::host::{builder, config, echoes};
use crate::support::{ALL, CACHES, SCRIPT, wasm};

/// A folder with a run whose source `in` reads `file`.
fn folder(file: &str) -> TempDir {
    let dir = TempDir::new().expect("a folder");
    let text = config("", &[echoes()]);
    let lines = format!("kind = \"live\"\nfile = \"{file}\"\npayload = \"text\"");
    fs::write(dir.path().join("run.toml"), text.replace("kind = \"live\"", &lines))
        .expect("written");
    fs::write(dir.path().join("agent.wasm"), wasm(SCRIPT, ALL)).expect("written");
    dir
}

/// Starts the command in a folder, with `--log` or `--resume`, under a name of its own.
pub(crate) fn start(dir: &TempDir, log: &str) -> Child {
    let unique = dir.path().file_name().expect("a name").to_string_lossy().replace('.', "t");
    Command::new(env!("CARGO_BIN_EXE_wasm-engine"))
        .args(["--json", "run", "run.toml", log, "log", "--name", &unique])
        .current_dir(dir.path())
        .env("XDG_CACHE_HOME", CACHES)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts")
}

fn line(key: &str, payload: &str) -> String {
    format!("{{\"key\":\"{key}\",\"payload\":\"{payload}\"}}\n")
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("a document")
}

fn verified(dir: &TempDir) -> u64 {
    let verified = verify(&dir.path().join("log"), ReplayOptions::default()).expect("sound");
    assert_eq!(verified.divergence, None);
    verified.run.inputs
}

/// Lines of the outputs so far.
fn outputs(dir: &TempDir) -> usize {
    let text = fs::read_to_string(dir.path().join("log/outputs.jsonl"));
    text.map_or(0, |text| text.lines().count())
}

fn wait_for_outputs(dir: &TempDir, count: usize) {
    let begin = Instant::now();
    while outputs(dir) < count {
        assert!(begin.elapsed() < Duration::from_secs(60), "{} of {count}", outputs(dir));
        thread::sleep(Duration::from_millis(5));
    }
}

/// Feeds lines and ends standard input; gives what the command said.
fn fed(dir: &TempDir, log: &str, lines: &str) -> Output {
    let mut child = start(dir, log);
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(lines.as_bytes()).expect("it is read");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

#[test]
fn standard_input_is_read_to_its_end_and_bad_lines_are_counted_with_their_numbers() {
    let dir = folder("-");
    let mut lines = String::new();
    for number in 0..3000 {
        lines += &line(if number % 2 == 0 { "a" } else { "b" }, &format!("n{number}"));
    }
    let long = "x".repeat(257);
    let endless = "y".repeat(80_000);
    let bad = [
        "no JSON\n".to_owned(),
        line("c", "of no stream"),
        line("a", &long),
        format!("{endless}\n"),
        "{\"key\":\"a\"}\n".to_owned(),
        "{\"key\":\"a\",\"payload\":7}\n".to_owned(),
        "\u{0}\u{1}\n".to_owned(),
    ];
    // An empty line is none, and the last line needs no end.
    let last = line("b", "last");
    let output = fed(&dir, "--log", &(lines + "\n" + &bad.concat() + last.trim_end()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = report(&output);
    assert_eq!((&report["inputs"], &report["ended"]), (&3001.into(), &"done".into()));
    assert_eq!(report["rows_left_out"]["in"], bad.len());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("source `in`: line 3002, `line`: `no JSON`"), "{said}");
    assert_eq!(verified(&dir), 3001);

    // What was logged enters again from there, and new lines number on.
    let output = fed(&dir, "--resume", &(line("a", "more") + &line("b", "and more")));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(self::report(&output)["inputs"], 3003);
    assert_eq!(verified(&dir), 3003);
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill is there").success());
}

#[cfg(unix)]
#[test]
fn a_pipe_outlives_its_writers_and_an_interrupt_ends_the_run_within_a_second() {
    let dir = folder("pipe");
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("it is there").success());
    let child = start(&dir, "--log");
    let writes = |pipe: &Path, lines: &str| {
        // It is killed in the middle of a line, which is then left out. It begins with a line end:
        // a pipe that the next one opens at once has no end between the two.
        let script = "printf '\\n%s{\"key\":\"a\",' \"$LINES_\" > \"$PIPE\"; kill -9 $$";
        let mut writer = Command::new("sh")
            .args(["-c", script])
            .env("LINES_", lines)
            .env("PIPE", pipe)
            .spawn()
            .expect("a shell");
        writer.wait().expect("it ends");
    };
    for round in 0..20 {
        writes(&pipe, &line("a", &format!("of writer {round}")));
        wait_for_outputs(&dir, round + 1);
    }
    let begin = Instant::now();
    interrupt(&child);
    let output = child.wait_with_output().expect("it ends");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(output.status.code(), Some(130));
    let report = report(&output);
    assert_eq!(report["inputs"], 20);
    assert!(report["rows_left_out"]["in"].as_u64().is_some_and(|count| count >= 19), "{report}");
    assert_eq!(verified(&dir), 20);
}

#[cfg(unix)]
#[test]
fn a_pipe_that_nobody_writes_into_holds_neither_the_start_nor_the_end() {
    let dir = folder("pipe");
    let made = Command::new("mkfifo").arg(dir.path().join("pipe")).status();
    assert!(made.expect("it is there").success());
    let child = start(&dir, "--log");
    let begin = Instant::now();
    let opened = || fs::metadata(dir.path().join("log/outputs.jsonl")).is_ok();
    while !opened() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it starts");
        thread::sleep(Duration::from_millis(5));
    }
    let begin = Instant::now();
    interrupt(&child);
    let output = child.wait_with_output().expect("it ends");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_live_source_that_nobody_feeds_is_refused_in_words() {
    let dir = folder("-");
    let file = dir.path().join("run.toml");
    let text = fs::read_to_string(&file).expect("it is there");
    let error = |text: &str| {
        fs::write(&file, text).expect("written");
        let output = fed(&dir, "--log", "");
        assert_eq!(output.status.code(), Some(2), "{text}");
        report(&output)["error"].as_str().expect("an error").to_owned()
    };
    let without = text.replace("file = \"-\"\npayload = \"text\"", "");
    let said = error(&without);
    assert!(said.contains("source `in`") && said.contains("a host program"), "{said}");
    let said = error(&text.replace("file = \"-\"", "file = \"none\""));
    assert!(said.contains("source.in.file") && said.contains("none"), "{said}");
    let said = error(&text.replace("payload = \"text\"", ""));
    assert!(said.contains("source.in.payload"), "{said}");
    let said = error(
        &text
            .replace("kind = \"live\"", "kind = \"jsonl\"")
            .replace("keys = [\"a\", \"b\"]\npayload_bytes_max = 256\nqueue_bytes = 65536\n", ""),
    );
    assert!(said.contains("source.in.file") && said.contains("\"live\""), "{said}");
    let said = error(&without.replace("keys", "key = \"k\"\nkeys"));
    assert!(said.contains("source.in.key "), "{said}");
    // A host pushes and reads nothing.
    let said = builder(&text).start().expect_err("it is refused").to_string();
    assert!(said.contains("source.in.file") && said.contains("push"), "{said}");
}
