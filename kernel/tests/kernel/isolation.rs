//! Models with a process of their own: what ends it costs the row that did it, no more, and it
//! never outlives its kernel.
//!
//! Needs the ONNX Runtime library, as the tests of models do.

#![expect(clippy::disallowed_methods, reason = "it waits for other processes and kills them")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use wasm_engine::{
    exit::{Exit, HasExitCode},
    replay::{ReplayOptions, verify},
    report::{Ended, RunReport},
    run::{RunError, RunOptions},
};
use wasm_engine_abi::frame::item;

use crate::models::{case, ready};
use crate::support::{
    CACHES, prog,
    run::{Folder, SOURCE, base64, data, named, options, toml_string},
};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_wasm-engine");
pub(crate) const PROCESS: &str = "isolation = \"process\"";
/// An integer of 5, whose bytes are a text, as an agent's arguments have to be.
pub(crate) const FIVE: f32 = f32::from_bits(0x40a0_c200);
/// For what `loop_on_request` never returns.
const ENDLESS: f32 = f32::from_bits(0x4242_4242);

/// Agents that ask for one row each with every input, and publish every reply.
pub(crate) fn folder(model: &[u8], keys: &str, rows: u64, asked: &[(&str, f32)]) -> Folder {
    let agent = |(name, row): &(&str, f32)| {
        let on_input = prog().infer(0, &row.to_le_bytes());
        let asking = prog().subscribe(1).on(item::INPUT, &on_input);
        let args = toml_string(&asking.on(item::REPLY, &prog().echo(0)).args());
        let module = "module = \"agent.wasm\"\ngrant = \"declared\"";
        format!("[[agent]]\nname = \"{name}\"\n{module}\nargs = {args}\n")
    };
    let agents: String = asked.iter().map(agent).collect();
    let config = format!(
        "[limits]\nagents_max = 8\nmemory_bytes_max = 131072\n[log]\nsync = \"none\"\n{SOURCE}\n\
         {agents}[[topic]]\nname = \"out\"\n[[output]]\ntopic = \"out\"\n\
         [[model]]\nname = \"m\"\nfile = \"model.onnx\"\n{keys}\n"
    );
    let folder = Folder::with(&config, &data(rows));
    fs::write(folder.path("model.onnx"), model).expect("written");
    folder
}

pub(crate) fn with_program(options: RunOptions) -> RunOptions {
    RunOptions { model_program: Some(PathBuf::from(BINARY)), ..options }
}

fn logged(folder: &Folder, log: &str) -> RunReport {
    let options = RunOptions { log_dir: Some(folder.path(log)), ..options() };
    folder.run(with_program(options)).expect("it runs")
}

/// The log gives the run again, and its models the same replies.
#[track_caller]
fn gives_itself_again(folder: &Folder, log: &str, report: &RunReport) {
    for recompute in [false, true] {
        let model_program = recompute.then(|| PathBuf::from(BINARY));
        let options = ReplayOptions { recompute, model_program, ..ReplayOptions::default() };
        let verified = verify(&folder.path(log), options).expect("it verifies");
        assert_eq!((verified.divergence, verified.run.digest), (None, report.digest));
    }
}
/// The replies to each agent: a value, or nothing for one that failed.
pub(crate) fn replies(folder: &Folder, log: &str) -> BTreeMap<String, Vec<Option<f32>>> {
    let mut replies: BTreeMap<String, Vec<Option<f32>>> = BTreeMap::new();
    let lines = fs::read_to_string(folder.path(log).join("outputs.jsonl")).expect("outputs");
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let from = text(&line["from"]).expect("an agent");
        let bytes = base64(&text(&line["payload"]["base64"]).expect("bytes"));
        // The item's header: its kind, the length of its payload. Inputs are published too.
        if bytes[0] != item::REPLY as u8 {
            continue;
        }
        let value = bytes.last_chunk().map(|last| f32::from_le_bytes(*last));
        replies.entry(from).or_default().push(value.filter(|_| bytes[4] == 4));
    }
    replies
}

#[test]
fn i3_6_a_row_that_ends_its_process_fails_alone() {
    if !ready() {
        return;
    }
    for (name, five, eight) in
        [("intmin_i64", -(2_f32.powi(62)), -(2_f32.powi(63)) / 5.0), ("intmin_mod", 0.0, 2.0)]
    {
        for batch in [1, 4] {
            let keys = format!("batch = {batch}\n{PROCESS}");
            let asked = [("five", FIVE), ("two", 2.0), ("eight", 8.0)];
            let folder = folder(&case(name), &keys, 2, &asked);
            let report = logged(&folder, "log");
            assert_eq!((report.ended, report.faults), (Ended::Done, 0));
            let got = replies(&folder, "log");
            let expected = [Some(eight), Some(five), None];
            assert_eq!(got.len(), 3, "{got:?}");
            for ((agent, got), expected) in got.iter().zip(expected) {
                assert!(got.len() >= 5, "{got:?}");
                assert!(
                    got.iter().all(|one| *one == expected),
                    "{name}, {batch}, {agent}: {got:?}"
                );
            }
            if batch > 1 {
                gives_itself_again(&folder, "log", &report);
            }
        }
    }
}

#[test]
fn i3_6_a_model_that_was_given_up_is_a_new_one_when_it_is_loaded_again() {
    if !ready() {
        return;
    }
    let command = |tick: u64, action: &str, whom: &str| {
        format!("[[command]]\ntick = {tick}\naction = \"{action}\"\n{whom}\n")
    };
    let (model, two, five) = ("model = \"m\"", "agent = \"two/0\"", "agent = \"five/0\"");
    let commands = [
        command(1, "pause", five),
        // By then two has ended the process so often that the model is given up.
        command(20, "pause", two),
        command(21, "unload", model),
        command(22, "load", model),
        command(24, "resume", five),
    ];
    let keys = format!("batch = 1\n{PROCESS}\n{}", commands.concat());
    let folder = folder(&case("intmin_mod"), &keys, 30, &[("five", FIVE), ("two", 2.0)]);
    let report = logged(&folder, "log");
    assert_eq!((report.ended, report.commands_refused), (Ended::Done, 0));
    let got = replies(&folder, "log");
    assert!(got["two/0"].len() > 16 && got["two/0"].iter().all(Option::is_none), "{got:?}");
    assert!(got["five/0"].contains(&Some(0.0)), "{got:?}");
    let counts = (report.model_loads, report.model_unloads, report.model_loads_failed);
    assert_eq!(counts, (1, 1, 0));
    gives_itself_again(&folder, "log", &report);
}

#[test]
fn i3_6_where_a_model_runs_changes_no_digest() {
    if !ready() {
        return;
    }
    for (name, batch) in [("div_by_input", 4), ("intmin_i8", 8), ("intmin_i8", 1)] {
        let run = |keys: &str| {
            let keys = format!("batch = {batch}\n{keys}");
            // Some rows of the second model fail: divided by 0.
            let folder = folder(&case(name), &keys, 12, &[("a", FIVE), ("b", 3.0), ("c", 8.0)]);
            let report = logged(&folder, "log");
            (report.digest, report.ticks, replies(&folder, "log"), report.inferences)
        };
        let (thread, process) = (run(""), run(PROCESS));
        assert!(thread == process, "{name}, {batch}: {thread:?} {process:?}");
        assert!(thread.3 > 100, "{thread:?}");
    }
}

#[test]
fn i3_6_l5_4_a_run_with_a_process_goes_on_to_the_same_end() {
    if !ready() {
        return;
    }
    let keys = format!("batch = 4\n{PROCESS}");
    let folder = folder(&case("intmin_mod"), &keys, 6, &[("five", FIVE), ("two", 2.0)]);
    let whole = logged(&folder, "whole");
    let part = with_program(RunOptions { ticks: Some(4), ..options() });
    folder.run(RunOptions { log_dir: Some(folder.path("part")), ..part }).expect("it runs");
    let resume = with_program(RunOptions { resume: Some(folder.path("part")), ..options() });
    let resumed = folder.run(resume).expect("it goes on");
    assert_eq!((resumed.digest, resumed.ticks), (whole.digest, whole.ticks));
    assert!(replies(&folder, "part") == replies(&folder, "whole"));
}

#[test]
fn what_is_no_matter_of_processes_is_refused_in_one_too_and_a_host_must_name_the_program() {
    if !ready() {
        return;
    }
    let begun = |name: &str, keys: &str, options: RunOptions| -> Result<RunReport, RunError> {
        folder(&case(name), &format!("{keys}\n{PROCESS}"), 2, &[("a", FIVE)]).run(options)
    };
    for (name, keys, part) in [
        ("cumsum_batch", "batch = 8", "set batch = 1"),
        ("dynamic_quantised", "batch = 8", "set batch = 1"),
        ("fixed_batch1", "batch = 8", "set batch = 1"),
        ("batchnorm_training", "batch = 1", "export it without"),
        ("ort_config_meta", "", "metadata `ort_config`"),
        ("seq_out", "batch = 2", "a sequence"),
        // The library ends its process before there is a model to ask.
        ("intmin_div", "batch = 1", "its process ended while it was loaded (signal: 8"),
        ("groups_zero", "batch = 1", "its process ended while it was loaded (signal: 8"),
    ] {
        let error = begun(name, keys, with_program(options())).expect_err(name);
        let text = error.to_string();
        assert_eq!(error.exit(), Exit::Refused, "{name}: {text}");
        assert!(text.contains("model m") && text.contains(part), "{name}: {text}");
    }
    let error = begun("opset6", "batch = 1", options()).expect_err("no program");
    assert_eq!(error.exit(), Exit::Usage, "{error}");
    assert!(error.to_string().contains("model_program"), "{error}");
    let missing = RunOptions { model_program: Some("/no/such/program".into()), ..options() };
    let error = begun("opset6", "batch = 1", missing).expect_err("no such program");
    assert_eq!(error.exit(), Exit::Failure, "{error}");
    assert!(error.to_string().contains("/no/such/program cannot be started"), "{error}");
    // One that is no kernel's: it says nothing, or something else.
    for program in ["/bin/true", "/bin/echo"] {
        let other = RunOptions { model_program: Some(program.into()), ..options() };
        let error = begun("opset6", "batch = 1", other).expect_err("another program");
        assert!(error.to_string().contains("its process ended"), "{program}: {error}");
    }
}

#[test]
fn a_model_that_never_returns_in_its_process_ends_with_the_timeout() {
    if !ready() {
        return;
    }
    let timeout = |seconds| {
        with_program(RunOptions { timeout: Some(Duration::from_secs(seconds)), ..options() })
    };
    let keys = format!("batch = 1\n{PROCESS}");
    let error = folder(&case("loop_forever"), &keys, 2, &[("a", FIVE)])
        .run(timeout(1))
        .expect_err("it is not loaded");
    assert_eq!(error.exit(), Exit::Timeout, "{error}");
    let endless = folder(&case("loop_on_request"), &keys, 2, &[("a", ENDLESS)]);
    // Long enough to load it on a busy machine.
    let report = endless.run(timeout(6)).expect("it ends");
    assert_eq!((report.ended, report.waited_for.as_deref()), (Ended::Timeout, Some("m")));
}

/// The command, in a process group of its own, as a terminal would start it.
fn command(folder: &Folder, more: &[&str]) -> Child {
    let name = named(options(), folder.dir.path()).name.expect("a name of its own");
    Command::new(BINARY)
        .args(["--json", "run", "run.toml", "--log", "log"])
        .args(["--name", &name])
        .args(more)
        .current_dir(folder.dir.path())
        .env("XDG_CACHE_HOME", CACHES)
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// The parent of a process; none if it is gone or was only not fetched yet.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    fields.next()?.parse().ok().filter(|_| state != "Z" && state != "X")
}

/// Whether a process has computed for longer than it takes to load a small model: then it is in a
/// loop without end.
fn loops(pid: u32) -> bool {
    const USER_TICKS: usize = 11;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rfind(')').map(|at| stat[at + 1..].split_ascii_whitespace());
    let ticks = fields.and_then(|mut fields| fields.nth(USER_TICKS)?.parse::<u64>().ok());
    ticks.is_some_and(|ticks| ticks > 50)
}

fn children_of(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// Waits until there is something.
#[track_caller]
fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn signal(name: &str, target: &str) {
    let sent = Command::new("kill").args([name, "--", target]).status().expect("kill");
    assert!(sent.success(), "{name} {target}");
}

fn has_lines(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|facts| facts.len() > 0)
}

#[test]
fn i3_6_a_process_that_is_killed_once_in_a_run_changes_no_digest() {
    if !ready() {
        return;
    }
    // Alone in its batch, so that no half of a batch hides the death.
    let keys = format!("batch = 1\n{PROCESS}");
    let run = || {
        let asked = [("a", FIVE), ("b", 12.0), ("c", 3.0)];
        folder(&case("div_by_input"), &keys, 60, &asked)
    };
    let undisturbed = run();
    let report = logged(&undisturbed, "log");
    // A machine may stand still until the run is over: then again.
    let killed = || {
        let folder = run();
        let mut child = command(&folder, &["--pace", "50"]);
        let outputs = folder.path("log/outputs.jsonl");
        wait_for("an answer", || {
            has_lines(&outputs).then_some(()).or(child.try_wait().expect("known").map(drop))
        });
        let victim = children_of(child.id()).first().copied();
        let sent = victim.is_some_and(|pid| {
            let sent = Command::new("kill").args(["-9", &pid.to_string()]).status();
            sent.is_ok_and(|status| status.success())
        });
        let done = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}");
        (sent && said.contains("the process of a model ended")).then_some((folder, done, said))
    };
    let (folder, done, said) = (0..20).find_map(|_| killed()).expect("it was killed in time");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("signal: 9"), "{said}");
    let document: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(document["digest"], report.digest.to_string(), "{document}");
    assert!(replies(&folder, "log") == replies(&undisturbed, "log"));
    gives_itself_again(&folder, "log", &report);
}

#[test]
fn a_process_never_outlives_a_kernel_that_is_killed_whatever_its_model_does() {
    if !ready() {
        return;
    }
    let keys = format!("batch = 1\n{PROCESS}");
    // While it is loaded, and while it is asked, for ever; and while nobody asks.
    for (name, row, pace) in
        [("loop_forever", 2.0, "100"), ("loop_on_request", ENDLESS, "100"), ("opset6", 2.0, "0.1")]
    {
        let folder = folder(&case(name), &keys, 2, &[("a", row)]);
        let mut kernel = command(&folder, &["--pace", pace]);
        let model = wait_for("a process of the model", || children_of(kernel.id()).pop());
        match name {
            "opset6" => {
                wait_for("the run", || folder.path("log/outputs.jsonl").exists().then_some(()));
            }
            _ => wait_for("the loop", || loops(model).then_some(())),
        }
        assert_eq!(parent_of(model), Some(kernel.id()), "{name}: it is there");
        kernel.kill().expect("killed");
        kernel.wait().expect("it ends");
        wait_for("the end of the model's process", || parent_of(model).is_none().then_some(()));
    }
}

#[test]
fn what_is_no_kernel_is_not_served_and_reads_why() {
    for input in ["", "garbage that is long enough to be the head of a frame"] {
        let mut served = Command::new(BINARY)
            .arg("serve-model")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut to = served.stdin.take().expect("a pipe");
        // It may have ended before it was all written.
        let _ = to.write_all(input.as_bytes());
        drop(to);
        let done = served.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!((done.status.code(), done.stdout.len()), (Some(2), 0), "{said}");
        assert!(said.contains("serve-model is for kernels"), "{said}");
    }
}

#[test]
fn a_signal_from_the_terminal_is_the_kernels_alone() {
    if !ready() {
        return;
    }
    let keys = format!("batch = 1\n{PROCESS}");
    let folder = folder(&case("loop_on_request"), &keys, 2, &[("a", ENDLESS)]);
    let kernel = command(&folder, &[]);
    let model = wait_for("a process of the model", || children_of(kernel.id()).pop());
    wait_for("the loop", || loops(model).then_some(()));
    // To the whole group, as a terminal does.
    signal("-INT", &format!("-{}", kernel.id()));
    let done = kernel.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(130), "{said}");
    assert!(!said.contains("the process of a model ended"), "{said}");
    assert_eq!(parent_of(model), None, "it is gone before the kernel is");
}
