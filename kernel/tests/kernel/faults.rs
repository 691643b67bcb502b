//! Faults are shown: to the terminal, in the document, by the exit code; the same in a run, its
//! replay and its resumption. And what agents say is shown, not obeyed.
#![cfg(feature = "cli")]

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;
use tempfile::TempDir;
use wasm_engine_abi::plain::is_plain;

use crate::support::{CACHES, manifest, run::toml_string};

const LOUD: &str = include_str!("fixtures/loud.wat");

/// A folder with agents of `fixtures/loud.wat`.
struct Loud {
    dir: TempDir,
    config: PathBuf,
}

/// What the command did.
struct Said {
    code: i32,
    document: Value,
    stderr: String,
}

impl Loud {
    /// One agent for each name and arguments.
    fn new(agents: &[(&str, &str)], kernel: &str) -> Self {
        let dir = TempDir::new().expect("a folder");
        let capabilities = "abi = 1\ncapabilities = ['log', 'publish:**', 'timer']";
        fs::write(dir.path().join("loud.wasm"), manifest(LOUD, capabilities)).expect("written");
        let agents: Vec<String> = agents
            .iter()
            .map(|(name, args)| {
                let (name, args) = (toml_string(name), toml_string(args));
                format!(
                    "[[agent]]\nname = {name}\nmodule = \"loud.wasm\"\ngrant = \"declared\"\n\
                     args = {args}\n"
                )
            })
            .collect();
        let unique = dir.path().file_name().expect("a name").to_string_lossy().replace('.', "t");
        let text = format!(
            "[kernel]\nname = \"{unique}\"\n{kernel}\n[limits]\nagents_max = 64\n\
             memory_bytes_max = 65536\n[[output]]\ntopic = \"out\"\n{}",
            agents.concat()
        );
        let config = dir.path().join("run.toml");
        fs::write(&config, text).expect("written");
        Self { dir, config }
    }

    fn log(&self) -> String {
        self.dir.path().join("log").display().to_string()
    }

    fn run(&self, more: &[&str]) -> Said {
        let config = self.config.display().to_string();
        let args: Vec<&str> = ["run", &config].into_iter().chain(more.iter().copied()).collect();
        said(&args)
    }
}

/// Runs the command twice: as text for what people see, with `--json` for the document, on a log of
/// its own where it writes one.
fn said(args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasm-engine"));
    command.args(args).arg("--json").env_remove("RUST_LOG").env("XDG_CACHE_HOME", CACHES);
    let output = command.output().expect("the binary starts");
    let stderr = String::from_utf8(output.stderr).expect("text");
    Said {
        code: output.status.code().unwrap_or(-1),
        document: serde_json::from_slice(&output.stdout).expect("one document"),
        stderr,
    }
}

#[track_caller]
fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
}

#[test]
fn a_run_whose_agent_faults_is_not_silent() {
    let typo = Loud::new(&[("a", "nno/such/topic")], "");
    let said = typo.run(&[]);
    assert_eq!(said.code, 0);
    let parts = ["a/0", "tick 0", "agent_init", "-2", "Unknown", "topic(name = \"no/such/topic\")"];
    contains(&said.stderr, &parts);
    let fault = &said.document["first_fault"];
    assert_eq!(fault["agent"], "a/0");
    assert_eq!((&fault["code"], &fault["status"]), (&(-2).into(), &"Unknown".into()));
    assert_eq!(fault["function"], "agent_init");
    let last = said.stderr.lines().last().expect("a last line");
    contains(last, &["warning: 1 turn faulted", "a/0", "configure", "kernel.on_fault"]);
}

#[test]
fn a_panic_shows_its_message_its_stack_and_what_the_turn_logged() {
    let stdy = Loud::new(&[("stats", "pthirty is too many: 12.9")], "");
    let said = stdy.run(&[]);
    contains(
        &said.stderr,
        &[
            "stats/0 in tick 3, in the turn that faults: thirty is too many: 12.9",
            "stats/0 faulted in tick 3: agent_receive panicked: thirty is too many: 12.9",
            "in panic at 0x",
        ],
    );
    let fault = &said.document["first_fault"];
    assert_eq!(fault["message"], "thirty is too many: 12.9");
    assert_eq!(fault["lines"], Value::from(vec!["thirty is too many: 12.9"]));
    assert!(fault["backtrace"][0].as_str().is_some_and(|f| f.starts_with("panic at 0x")));
}

#[test]
fn the_exit_code_follows_on_fault() {
    let agents = [("bad", "qno"), ("good", "x")];
    for (on_fault, code, ticks) in [("continue", 0, 6), ("fail", 6, 6), ("end_run", 6, 1)] {
        let loud = Loud::new(&agents, &format!("ticks = 6\non_fault = \"{on_fault}\""));
        let said = loud.run(&[]);
        assert_eq!((said.code, said.document["ticks"].as_u64()), (code, Some(ticks)), "{on_fault}");
        assert_eq!(said.document["error"].is_null(), code == 0);
    }
}

#[test]
fn a_replay_tells_the_faults_of_its_run() {
    let loud = Loud::new(&[("a", "pover"), ("b", "qunder")], "ticks = 8");
    let log = loud.log();
    let run = loud.run(&["--log", &log]);
    assert_eq!(run.document["first_fault"]["agent"], "b/0");
    for verb in ["replay", "verify"] {
        for workers in ["0", "2"] {
            let again = said(&[verb, &log, "--workers", workers]);
            assert_eq!(again.document["first_fault"], run.document["first_fault"], "{verb}");
            assert_eq!(again.stderr, run.stderr, "{verb} with {workers} workers");
        }
    }
}

#[test]
fn a_resumed_run_tells_what_is_new_and_goes_on_behind_old_faults() {
    let agents = [("a", "qearly"), ("b", "plate"), ("c", "x")];
    let loud = Loud::new(&agents, "on_fault = \"end_run\"");
    let log = loud.log();
    let first = loud.run(&["--log", &log, "--ticks", "8"]);
    assert_eq!(first.document["first_fault"]["agent"], "a/0");
    let second = loud.run(&["--resume", &log, "--ticks", "8"]);
    assert_eq!(second.document["first_fault"], first.document["first_fault"], "of the whole run");
    assert!(second.stderr.contains("b/0 faulted"), "{}", second.stderr);
    assert_eq!((second.code, second.document["last_tick"].as_u64()), (6, Some(3)));
    assert!(!second.stderr.contains("WARN agent: a/0"), "said again: {}", second.stderr);
    // The old faults end nothing: one resumption more reaches the end.
    let third = loud.run(&["--resume", &log, "--ticks", "8"]);
    assert_eq!((third.code, third.document["last_tick"].as_u64()), (0, Some(7)));
    assert_eq!(third.document["first_fault"], first.document["first_fault"]);
    assert!(!third.stderr.contains("b/0 faulted"), "{}", third.stderr);
    assert_eq!(third.document["faults"], 2);
}

#[test]
fn many_faulting_agents_take_few_lines() {
    let names: Vec<String> = (0..40).map(|number| format!("a{number}")).collect();
    let agents: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "nx")).collect();
    let said = Loud::new(&agents, "").run(&[]);
    let lines: Vec<&str> = said.stderr.lines().collect();
    assert_eq!(lines.len(), 12, "ten agents, that there are more, the last words: {lines:#?}");
    contains(lines[11], &["40 turns faulted"]);
}

#[test]
fn a_code_of_an_agents_own_is_counted() {
    let said = Loud::new(&[("m", "c"), ("x", "x")], "ticks = 5").run(&[]);
    assert_eq!((said.code, &said.document["own_codes"]), (0, &4.into()));
}

const EVIL: &str = "\x1b[31mRED\x1b]0;title\x07\x1b[2J\nerror: forged\r\u{9b}A \u{202e}dlrow";

#[test]
fn what_agents_say_is_shown_and_not_obeyed() {
    let loud = Loud::new(&[("m", &format!("e{EVIL}")), ("n", &format!("q{EVIL}"))], "ticks = 3");
    let config = loud.config.display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasm-engine"));
    command.args(["run", &config]).env_remove("RUST_LOG").env("XDG_CACHE_HOME", CACHES);
    let output = command.output().expect("it starts");
    for (stream, text) in [("out", output.stdout), ("error", output.stderr)] {
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains("\\u{1b}[31mRED"), "standard {stream} shows it: {text:?}");
        assert!(text.chars().all(|c| c == '\n' || is_plain(c)), "standard {stream}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("error: forged")), "{text:?}");
    }
}
