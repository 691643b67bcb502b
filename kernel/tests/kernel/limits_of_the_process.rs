//! Limits and signals of the system end the command in words, whatever it is doing.
#![cfg(all(target_os = "linux", feature = "cli"))]

use std::{fs, process::Command};

use serde_json::Value;
use tempfile::TempDir;
use wasm_engine_abi::frame::item;

use crate::support::{
    ALL, CACHES, SCRIPT, prog,
    run::{SOURCE, data, toml_string},
    wasm,
};

/// A folder with a run whose data file is `data.csv`; the run has `more` in its configuration.
fn folder(more: &str) -> TempDir {
    let dir = TempDir::new().expect("a folder");
    fs::write(dir.path().join("agent.wasm"), wasm(SCRIPT, ALL)).expect("written");
    let agent = "[[agent]]\nname = \"a\"\nmodule = \"agent.wasm\"\ngrant = \"declared\"\n";
    let limits = "[limits]\nagents_max = 4\nmemory_bytes_max = 131072\n";
    fs::write(dir.path().join("run.toml"), format!("{limits}{agent}{more}")).expect("written");
    dir
}

/// The run under a shell that does `before`, as exit code, document and standard error.
fn run(dir: &TempDir, before: &str, args: &str) -> (Option<i32>, Value, String) {
    let unique = dir.path().file_name().expect("a name").to_string_lossy().replace('.', "t");
    let script = format!(
        "{before} exec {} run run.toml --name {unique} --json {args}",
        env!("CARGO_BIN_EXE_wasm-engine")
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(dir.path()).env("XDG_CACHE_HOME", CACHES);
    let output = shell.output().expect("it starts");
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), document, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn ends_with(found: &(Option<i32>, Value, String), code: i32, word: &str) {
    let (exit, document, stderr) = found;
    assert_eq!(*exit, Some(code), "{document} {stderr}");
    let error = document["error"].as_str().unwrap_or_default();
    assert!(error.contains(word), "{error:?} does not say {word:?}: {stderr}");
}

/// Whether this process, and so each that it starts, ignores SIGHUP, the first of the signals.
fn hang_ups_are_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|m| m & 1 != 0)
}

#[test]
fn the_timeout_and_a_signal_end_a_run_whose_data_never_come() {
    let dir = folder(SOURCE);
    let made = Command::new("mkfifo").arg(dir.path().join("data.csv")).status();
    assert!(made.expect("it starts").success());
    ends_with(&run(&dir, "", "--timeout 0.3"), 7, "loaded");
    // Who ignores hang-ups (nohup) hands that down, and a run that was started so survives them.
    let hang_up = (!hang_ups_are_ignored()).then_some("HUP");
    for signal in ["INT", "TERM"].into_iter().chain(hang_up) {
        // Sent again until it is caught: before that a signal ends the process without a word.
        // Once the thread that watches is there, signals are caught.
        let late = format!(
            "(until grep -qs we-loading /proc/$$/task/*/comm; do sleep 0.05; done; \
             kill -{signal} $$) &"
        );
        ends_with(&run(&dir, &late, "--timeout 60"), 130, "interrupted");
    }
}

#[test]
fn a_file_beyond_the_limit_of_sizes_is_an_error() {
    // The region is larger.
    ends_with(&run(&folder(""), "ulimit -f 10;", ""), 1, "File too large");
}

/// The log is small and the outputs are not: they end the run as a full disk does.
#[test]
fn l2_4_outputs_beyond_the_limit_of_sizes_end_the_run_with_the_durable_tick() {
    let often = prog().publish_len(0, 3_967).timer(1, 1);
    let program = prog().on(item::TIMER, &often).timer(1, 1);
    let args = toml_string(&program.args());
    let dir = folder(&format!("args = {args}\n[[output]]\ntopic = \"out\"\n"));
    let found = run(&dir, "ulimit -f 65536;", "--log log --ticks 20000");
    ends_with(&found, 1, "outputs.jsonl cannot be written: File too large");
    ends_with(&found, 1, "is durable");
    ends_with(&run(&dir, "ulimit -f 65536;", "--log log"), 2, "not empty");
}

#[test]
fn a_standard_error_that_takes_nothing_ends_no_run() {
    let program = prog().log(2, "a warning").timer(1, 1);
    let args = toml_string(&prog().on(item::TIMER, &program).timer(1, 1).args());
    let dir = folder(&format!("args = {args}\n"));
    // A device that is full, and a pipe whose reader is gone.
    for before in ["exec 2>/dev/full;", "mkfifo pipe; (: < pipe) & exec 2> pipe; wait;"] {
        let (exit, document, _) = run(&dir, before, "--ticks 50");
        assert_eq!((exit, &document["last_tick"]), (Some(0), &49.into()), "{before} {document}");
    }
}

#[test]
fn a_number_of_copies_costs_nothing_before_it_is_refused() {
    let dir = folder(SOURCE);
    fs::write(dir.path().join("data.csv"), data(3)).expect("written");
    let found = run(&dir, "", "--set source.0.copies=4294967295 --timeout 20");
    ends_with(&found, 2, "too many streams");
}

#[test]
fn a_small_stack_of_the_process_is_enough() {
    let (exit, _, stderr) = run(&folder(""), "ulimit -s 128;", "");
    assert_eq!(exit, Some(0), "{stderr}");
}

#[test]
fn names_beyond_what_monitors_read_do_not_refuse_a_run() {
    let topics: Vec<String> =
        (0..12_000).map(|n| format!("[[topic]]\nname = \"{}/{n}\"\n", "x".repeat(100))).collect();
    let (exit, _, stderr) = run(&folder(&topics.concat()), "", "");
    assert_eq!(exit, Some(0), "{stderr}");
    assert!(stderr.contains("names as numbers"), "{stderr}");
}

/// Guarded memories take 4 GiB of address space each.
#[test]
fn address_space_that_cannot_be_had_is_said_with_its_limit_or_done_without() {
    let dir = folder("");
    let limited = "ulimit -v 4000000 &&";
    let guarded = "--ticks 3 --log log --set kernel.memory_layout=guarded";
    let found = run(&dir, limited, guarded);
    for part in
        ["guarded memories of 5 agents", "21676183552", "`ulimit -v`", "kernel.memory_layout"]
    {
        ends_with(&found, 1, part);
    }
    assert!(!dir.path().join("log").exists(), "nothing was written");
    let (exit, dense, stderr) = run(&dir, limited, "--ticks 3");
    assert_eq!(exit, Some(0), "{dense} {stderr}");
    let (exit, guarded, stderr) = run(&dir, "", "--ticks 3 --set kernel.memory_layout=guarded");
    assert_eq!(exit, Some(0), "{guarded} {stderr}");
    assert_eq!(dense["digest"], guarded["digest"]);
    assert_eq!(
        (&dense["memory_layout"], &guarded["memory_layout"]),
        (&"dense".into(), &"guarded".into())
    );
    let found = run(&dir, "", "--set kernel.awake_max=0");
    ends_with(&found, 2, "kernel.awake_max");
}
