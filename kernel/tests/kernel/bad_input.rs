//! What a user can get wrong: one typed error each, that names the thing, with its exit code, and
//! nothing is left behind.

use std::{cell::Cell, fs, path::Path, rc::Rc, sync::Arc};

use crate::support::{
    ALL, SCRIPT, manifest,
    run::{Folder, config, data, named, options},
    wasm,
};
use wasm_engine::{
    config::{Config, Wait},
    exit::{Exit, HasExitCode},
    machine::KernelError,
    replay::{ReplayOptions, inspect, verify},
    report::{Ended, RunReport},
    resolve::{Resolved, resolve},
    run::{RunError, RunOptions, run},
};
use wasm_engine_guest::admission::Admitted;

/// The failure's message and code, from the configuration file on; a log directory must not exist.
fn failure(folder: &Folder, sets: &[&str]) -> (String, Exit) {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let config = match Config::load(&folder.path("run.toml"), &sets) {
        Ok(config) => config,
        Err(error) => return (error.to_string(), error.exit()),
    };
    let resolved = match resolve(&config) {
        Ok(resolved) => resolved,
        Err(error) => return (error.to_string(), error.exit()),
    };
    let options = RunOptions { log_dir: Some(folder.path("log")), ..options() };
    let error = run(resolved, named(options, folder.dir.path())).expect_err("something is wrong");
    (error.to_string(), error.exit())
}

fn says(failure: (String, Exit), exit: Exit, words: &[&str]) {
    let (text, code) = failure;
    assert_eq!(code, exit, "{text}");
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
    assert!(!text.contains('\n'), "one message: {text}");
}

fn changed(name: &str, content: impl AsRef<[u8]>) -> Folder {
    let folder = Folder::new(5);
    fs::write(folder.path(name), content).expect("written");
    folder
}

fn without(name: &str) -> Folder {
    let folder = Folder::new(5);
    fs::remove_file(folder.path(name)).expect("removed");
    folder
}

#[test]
fn a_configuration_that_is_missing_or_broken() {
    says(failure(&without("run.toml"), &[]), Exit::Usage, &["run.toml"]);
    let broken = [
        ("[kernel", "run.toml, line 1"),
        ("[kernel]\nspeed = 3", "speed"),
        ("[kernel]\nworkers = \"many\"", "line 2"),
        ("[limits]\nfuel_per_call = -1", "line 2"),
        ("[[agent]]\nname = \"a\"", "module"),
    ];
    for (text, word) in broken {
        says(failure(&changed("run.toml", text), &[]), Exit::Usage, &["run.toml", word]);
    }
    says(failure(&Folder::new(5), &["kernel.speed=3"]), Exit::Usage, &["kernel.speed=3"]);
}

/// The files are holes, so nothing is read or written.
#[test]
fn a_file_that_is_longer_than_anybody_means() {
    let (small, model, data) = (64 << 20, 2 << 30, 4 << 30);
    for (name, max) in [
        ("run.toml", small),
        ("agent.wasm", small),
        ("agent.manifest.toml", small),
        ("m.onnx", model),
        ("data.csv", data),
    ] {
        let folder = Folder::new(5);
        if name == "m.onnx" {
            let text = fs::read_to_string(folder.path("run.toml")).expect("readable");
            let with = format!("{text}[[model]]\nname = \"m\"\nfile = \"m.onnx\"\n");
            fs::write(folder.path("run.toml"), with).expect("written");
        }
        let file = fs::File::create(folder.path(name)).expect("made");
        file.set_len(max + 1).expect("a hole");
        let words = [name, "cannot be read", &format!("more than {max} bytes")];
        says(failure(&folder, &[]), Exit::Usage, &words);
    }
}

#[test]
fn a_module_that_is_missing_broken_or_asks_for_too_much() {
    says(failure(&without("agent.wasm"), &[]), Exit::Usage, &["agent.wasm", "station"]);
    let good = wasm(SCRIPT, ALL);
    let module = |bytes: &[u8], words: &[&str]| {
        let mut all = vec!["station"];
        all.extend(words);
        says(failure(&changed("agent.wasm", bytes), &[]), Exit::Refused, &all);
    };
    module(&good[..good.len() / 2], &["byte"]);
    module(&wat::parse_str(SCRIPT).expect("a module"), &["manifest"]);
    module(&manifest(SCRIPT, "abi = 2\ncapabilities = []"), &["ABI", "2"]);
    module(&manifest(SCRIPT, "abi = 1\ncapabilities = ['fly']"), &["fly"]);
    module(&wasm(SCRIPT, &["send", "timer", "publish:**"]), &["cast", "channel:"]);
    let import = "(import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32) (result i32)))";
    let with_import = SCRIPT.replacen("(import", &format!("{import}\n  (import"), 1);
    module(&wasm(&with_import, ALL), &["wasi_snapshot_preview1", "fd_write"]);
    let unknown =
        SCRIPT.replacen("(import", "(import \"wasm_engine\" \"fork\" (func))\n  (import", 1);
    module(&wasm(&unknown, ALL), &["fork"]);
    let unbounded =
        SCRIPT.replace("(memory (export \"memory\") 1 2)", "(memory (export \"memory\") 1)");
    module(&wasm(&unbounded, ALL), &["maximum"]);
    let large =
        SCRIPT.replace("(memory (export \"memory\") 1 2)", "(memory (export \"memory\") 1 3)");
    module(&wasm(&large, ALL), &["196608", "131072"]);
    let shutdown = "(func (export \"agent_shutdown\")";
    let renamed = SCRIPT.replace(shutdown, "(func (export \"agent_stop\")");
    module(&wasm(&renamed, ALL), &["agent_shutdown"]);
}

#[test]
fn a_file_that_is_no_module_is_refused_in_one_line() {
    let folder = changed("agent.wasm", b"no module at all");
    says(failure(&folder, &[]), Exit::Refused, &["station", "byte 0"]);
}

#[test]
fn data_that_is_missing_or_broken() {
    says(failure(&without("data.csv"), &[]), Exit::Usage, &["weather", "data.csv"]);
    let row = |line: &str| {
        let text = data(2) + line + "\n";
        failure(&changed("data.csv", text), &[])
    };
    let line = ["weather", "data.csv", "line 8"];
    let with = |more: &[&'static str]| [line.as_slice(), more].concat();
    says(row("EWR,2013-01-01T02:00:00Z,warm"), Exit::Usage, &with(&["value", "warm"]));
    says(row("EWR,yesterday,1"), Exit::Usage, &with(&["time", "yesterday"]));
    says(row("EWR,2013-01-01T02:30:00Z,1"), Exit::Usage, &with(&["time", "02:30"]));
    says(row("EWR,2013-01-01T02:00:00Z"), Exit::Usage, &with(&[]));
    says(row("EWR,2013-01-01T02:00:00Z,1,2"), Exit::Usage, &with(&[]));
    says(row("EWR,2012-01-01T02:00:00Z,1"), Exit::Usage, &with(&["2012"]));
    says(failure(&changed("data.csv", ""), &[]), Exit::Usage, &["data.csv"]);
    says(
        failure(&changed("data.csv", "a,b,c\n1,2,3\n"), &[]),
        Exit::Usage,
        &["data.csv", "station"],
    );
    let bytes = b"station,time,value\nEWR,2013-01-01T00:00:00Z,\xff\xfe\n";
    says(failure(&changed("data.csv", bytes), &[]), Exit::Usage, &["data.csv"]);
}

#[test]
fn a_model_that_is_missing_or_another_one() {
    let with_model = |more: &str| {
        let text = config("") + "[[model]]\nname = \"temperature\"\nfile = \"model.onnx\"\n" + more;
        changed("run.toml", text)
    };
    says(failure(&with_model(""), &[]), Exit::Usage, &["temperature", "model.onnx"]);
    let folder = with_model(&format!("sha256 = \"{}\"\n", "ab".repeat(32)));
    fs::write(folder.path("model.onnx"), "not a model").expect("written");
    says(failure(&folder, &[]), Exit::Usage, &["temperature", "model.onnx", "abab"]);
}

/// What became of a run, and how many ticks of it were executed.
fn tried(folder: &Folder, resolved: Resolved) -> (Result<RunReport, RunError>, u64) {
    let ticks = Rc::new(Cell::new(0));
    let counted = Rc::clone(&ticks);
    let options = RunOptions {
        log_dir: Some(folder.path("log")),
        progress: Some(Box::new(move |_| counted.set(counted.get() + 1))),
        ..options()
    };
    (run(resolved, named(options, folder.dir.path())), ticks.get())
}

#[test]
fn t8_6_no_tick_is_executed_unless_every_module_and_model_can_be_loaded() {
    let folder = Folder::new(5);
    let (report, ticks) = tried(&folder, folder.resolved());
    assert!(ticks > 1 && ticks == report.expect("the run succeeds").ticks);
    assert!(folder.path("log").exists());
    // A module that was admitted and is none now.
    let folder = Folder::new(5);
    let mut resolved = folder.resolved();
    for module in &mut resolved.modules {
        *module = Arc::new(Admitted { wasm: b"no module".to_vec(), ..Admitted::clone(module) });
    }
    let (failed, ticks) = tried(&folder, resolved);
    assert!(matches!(failed, Err(RunError::Kernel(KernelError::Load(_)))), "{failed:?}");
    assert_eq!((ticks, folder.path("log").exists()), (0, false));
    // A model that nobody asks, in a file that is there and no model.
    let model = "[[model]]\nname = \"temperature\"\nfile = \"model.onnx\"\n";
    let folder = changed("run.toml", config("") + model);
    fs::write(folder.path("model.onnx"), "not a model").expect("written");
    let (failed, ticks) = tried(&folder, folder.resolved());
    assert!(matches!(failed, Err(RunError::Models(_))), "{failed:?}");
    assert_eq!((ticks, folder.path("log").exists()), (0, false));
}

#[test]
fn limits_that_do_not_fit_are_refused_by_name() {
    let folder = Folder::new(5);
    let turn = "limits.effects_per_microstep_max";
    says(failure(&folder, &[&format!("{turn}=1")]), Exit::Refused, &[turn, "limits.effects_max"]);
    says(
        failure(&folder, &["region.bytes_max=4096"]),
        Exit::Refused,
        &["region.bytes_max", "4096"],
    );
    // A tick must be a record of the log, whatever is in it.
    let large = ["region.bytes_max=1000000000000", "limits.input_bytes_per_tick_max=2147483648"];
    says(failure(&folder, &large), Exit::Refused, &["inputs and replies", "input_bytes_per_tick"]);
    let many = ["limits.microsteps_max=65536", "limits.agents_max=4096"];
    says(failure(&folder, &many), Exit::Refused, &["turns of one tick", "microsteps_max"]);
    says(failure(&folder, &["limits.agents_max=2"]), Exit::Refused, &["limits.agents_max"]);
    assert!(!folder.path("log").exists(), "nothing is left behind");
}

#[test]
fn busy_waiting_with_more_threads_than_cores() {
    let folder = Folder::new(5);
    let mut resolved = folder.resolved();
    (resolved.physical.wait, resolved.physical.workers) = (Wait::Busy, 500);
    let error = run(resolved, named(options(), folder.dir.path())).expect_err("too many");
    says((error.to_string(), error.exit()), Exit::Usage, &["kernel.wait", "501"]);
}

#[test]
fn a_log_directory_that_is_not_empty_stays_as_it_is() {
    let folder = Folder::new(5);
    fs::create_dir(folder.path("log")).expect("created");
    fs::write(folder.path("log").join("notes.txt"), "mine").expect("written");
    says(failure(&folder, &[]), Exit::Usage, &["log", "not empty"]);
    let entries = fs::read_dir(folder.path("log")).expect("read").count();
    assert_eq!(entries, 1);
}

#[test]
fn a_log_directory_that_cannot_be_made() {
    let folder = Folder::new(5);
    fs::write(folder.path("log"), "a file").expect("written");
    let (text, exit) = failure(&folder, &[]);
    assert!(text.contains("log") && matches!(exit, Exit::Usage | Exit::Failure), "{text}");
}

#[test]
fn a_second_kernel_of_the_same_name_is_refused_and_the_first_runs_on() {
    let folder = Folder::new(100);
    let name = format!("twice-{}", std::process::id());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let first = RunOptions {
        name: Some(name.clone()),
        pace: Some(20.0),
        stop: Arc::clone(&stop),
        ..options()
    };
    let resolved = folder.resolved();
    let (sender, began) = std::sync::mpsc::channel();
    let first = RunOptions {
        progress: Some(Box::new(move |_| {
            let _ = sender.send(());
        })),
        ..first
    };
    // The progress is written on the thread of the run, so all of it is made there.
    let stop_too = Arc::clone(&stop);
    let second = std::thread::scope(|scope| {
        let folder = &folder;
        let name = &name;
        let waiter = scope.spawn(move || {
            began.recv().expect("the first run ticks");
            let options = RunOptions { name: Some(name.clone()), ..options() };
            let error = run(folder.resolved(), options).expect_err("the name is taken");
            let failure = (error.to_string(), error.exit());
            stop_too.store(true, std::sync::atomic::Ordering::Relaxed);
            failure
        });
        let report = run(resolved, first).expect("the first run is not disturbed");
        assert_eq!(report.ended, Ended::Interrupted);
        waiter.join().expect("it ends")
    });
    says(second, Exit::Usage, &[&name]);
}

#[test]
fn logs_that_are_none() {
    let folder = Folder::new(5);
    let at = |path: &Path| {
        let error = verify(path, ReplayOptions::default()).expect_err("no log");
        let inspected = inspect(path).expect_err("no log");
        assert_eq!(error.to_string(), inspected.to_string());
        (error.to_string(), error.exit())
    };
    says(at(&folder.path("nowhere")), Exit::Usage, &["nowhere"]);
    fs::create_dir(folder.path("empty")).expect("created");
    says(at(&folder.path("empty")), Exit::Usage, &["empty"]);
    let resumed = folder.resumed("empty", None).expect_err("no log");
    says((resumed.to_string(), resumed.exit()), Exit::Usage, &["empty"]);
    let text = "this is no log, but long enough to be the header of one, and then some more of it";
    fs::write(folder.path("empty").join("000000.log"), text).expect("written");
    let (message, exit) = at(&folder.path("empty"));
    assert!(
        message.contains("000000.log") && matches!(exit, Exit::Corrupt | Exit::Usage),
        "{message}"
    );
}

#[test]
fn exit_codes_of_runs_that_end_early() {
    let folder = Folder::new(20);
    let mut resolved = folder.resolved();
    resolved.physical.on_fault = wasm_engine::config::OnFault::EndRun;
    let report = run(resolved, named(options(), folder.dir.path())).expect("a fault is no error");
    assert_eq!((report.ended, report.ended.exit()), (Ended::Fault, Exit::Fault));
    let fault = report.first_fault.expect("it is named");
    assert_eq!((fault.tick, fault.agent.as_str()), (1, "clumsy/0"));
    assert_eq!(fault.fault, "unreachable executed");
    let slow = RunOptions {
        pace: Some(10.0),
        timeout: Some(std::time::Duration::from_millis(300)),
        ..options()
    };
    let report = folder.run(slow).expect("a timeout is no error");
    assert_eq!(report.ended.exit(), Exit::Timeout);
}
