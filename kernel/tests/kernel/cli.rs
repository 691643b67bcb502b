//! The command line, from outside: exit codes, one document on standard output, words that help.
#![cfg(feature = "cli")]

use std::{fs, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::CACHES;

/// Exit code, standard output and standard error.
fn engine(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasm-engine"));
    command.args(args).env_remove("RUST_LOG").env("XDG_CACHE_HOME", CACHES);
    let output = command.output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// With `--json` a failure is one document with `error` on standard output.
#[track_caller]
fn fails(args: &[&str], code: i32, parts: &[&str]) {
    let json: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let (found, stdout, _) = engine(&json);
    let document: Value = serde_json::from_str(&stdout).expect("one document");
    assert_eq!((found, document["exit_code"].as_i64()), (code, Some(code.into())), "{stdout}");
    assert!(document["$type"].as_str().is_some_and(|kind| kind.starts_with("wasm-engine/")));
    let error = document["error"].as_str().expect("an error");
    // Without it the message is on standard error, and standard output carries no result.
    let (found, stdout, stderr) = engine(args);
    assert_eq!((found, stdout.as_str()), (code, ""), "{stderr}");
    for part in parts {
        assert!(error.contains(part), "{error:?} does not name {part:?}");
        assert!(stderr.contains(part), "{stderr:?} does not name {part:?}");
    }
}

#[test]
fn wrong_usage_is_exit_2() {
    fails(&[], 2, &["Usage"]);
    fails(&["fly"], 2, &["fly"]);
    fails(&["run"], 2, &["CONFIG"]);
    fails(&["run", "a.toml", "--pace", "0"], 2, &["--pace", "above 0"]);
    fails(&["run", "a.toml", "--timeout", "soon"], 2, &["--timeout", "above 0"]);
    fails(&["run", "a.toml", "--name", "a/b"], 2, &["--name", "a/b"]);
    fails(&["run", "a.toml", "--log", "x", "--resume", "x"], 2, &["--resume"]);
    fails(&["run", "none.toml"], 2, &["none.toml", "cannot be read"]);
    fails(&["verify"], 2, &["DIR"]);
    let (code, stdout, stderr) = engine(&["--version"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("wasm-engine "));
}

#[test]
fn a_configuration_that_runs_nothing_or_names_what_is_not_there_is_refused() {
    let dir = TempDir::new().expect("a temporary folder");
    // A name of a file that no kernel can have becomes one.
    let config = dir.path().join("my run.toml");
    fs::write(&config, "").expect("writable");
    let config = config.to_str().expect("text");
    fails(&["run", config], 2, &["[[agent]]", "nothing would run"]);
    let agent = "[[agent]]\nname = \"a\"\nmodule = \"a.wasm\"\n";
    fs::write(config, format!("{agent}args = '{{\"t\":\"reading/{{kye}}\"}}'\n"))
        .expect("writable");
    fails(&["run", config], 2, &["agent.a.args", "{kye}", "{copy}"]);
    // Braces of JSON are text.
    fs::write(config, format!("{agent}args = '{{\"t\":{{\"x\":1}},\"n\":{{}}}}'\n"))
        .expect("writable");
    fails(&["run", config], 2, &["a.wasm", "cannot be read"]);
}

#[test]
fn configurations_and_directories_are_checked_first() {
    let dir = TempDir::new().expect("a temporary folder");
    let config = dir.path().join("run.toml");
    fs::write(&config, "[kernel]\nsede = 1\n").expect("writable");
    let config = config.to_str().expect("text");
    fails(&["run", config], 2, &["run.toml", "line 2", "sede"]);
    fs::write(config, "[kernel]\nseed = 1\n").expect("writable");
    fails(&["run", config, "--set", "kernel.sede=1"], 2, &["--set kernel.sede=1"]);
    fails(&["run", config, "--workers", "1000"], 2, &["kernel.workers", "255"]);
    fails(&["run", config, "--set", "limits.effects_per_microstep_max=1"], 5, &["limits.effects"]);
    let full = dir.path().to_str().expect("text");
    fails(&["run", config, "--log", full], 2, &["not empty", full]);
    assert_eq!(fs::read_dir(full).expect("the folder").count(), 1, "nothing was written into it");
}
