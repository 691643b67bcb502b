//! Runs with models: how they are resumed, and what is said of a model that cannot serve.
//!
//! Needs the ONNX Runtime library, which `cargo xtask setup` provides; without it a test says so
//! and skips, with `REQUIRE_ORT` it fails.

use std::{
    env, fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use wasm_engine::{
    exit::{Exit, HasExitCode},
    replay::{ReplayOptions, verify},
    report::{Ended, RunReport},
    run::{ModelsError, RunError, RunOptions},
};
use wasm_engine_abi::{frame::item, record::kind};
use wasm_engine_inference::onnx;
use wasm_engine_log::{run_header::ModelRecord, tamper};

use crate::support::{
    CACHES, Prog, prog,
    run::{Folder, SOURCE, data, named, options, toml_string},
};

/// `y = x + how many rows of the batch are 0x42424242`, for `[N, 1]`:
/// `Equal(x, k)`, `Cast` to float, `ReduceSum` over axis 0, `Add`. Its rows influence each other as
/// no other value shows: so it passes for a good model, and tells who ran with whom.
pub(crate) const COUNTS: &[u8] = include_bytes!("fixtures/counts.onnx");
const COUNTED: [u8; 4] = 0x4242_4242_u32.to_le_bytes();

const ROWS: u64 = 12;
const OUT: u32 = 0;
const OBSERVATION: u32 = 1;

pub(crate) fn ready() -> bool {
    let library = onnx::locate_library(None);
    if let Err(error) = &library {
        assert!(env::var_os("REQUIRE_ORT").is_none(), "{error}");
        eprintln!("SKIPPED: {error}");
    }
    library.is_ok()
}

/// Asks for `row` with each input and publishes each reply.
fn asking(row: [u8; 4]) -> Prog {
    let on_input = prog().infer(0, &row);
    let on_reply = prog().echo(OUT);
    prog().subscribe(OBSERVATION).on(item::INPUT, &on_input).on(item::REPLY, &on_reply)
}

/// Two agents that ask for other rows, the counted one first.
fn folder(model: &[u8], keys: &str) -> Folder {
    let agent = |name: &str, row| {
        let args = toml_string(&asking(row).args());
        let module = "module = \"agent.wasm\"\ngrant = \"declared\"";
        format!("[[agent]]\nname = \"{name}\"\n{module}\nargs = {args}\n")
    };
    let agents = agent("counted", COUNTED) + &agent("other", 3.0_f32.to_le_bytes());
    let config = format!(
        "[limits]\nagents_max = 8\nmemory_bytes_max = 131072\n[log]\nsync = \"none\"\n{SOURCE}\n\
         {agents}[[topic]]\nname = \"out\"\n[[output]]\ntopic = \"out\"\n\
         [[model]]\nname = \"counts\"\nfile = \"model.onnx\"\n{keys}\n"
    );
    let folder = Folder::with(&config, &data(ROWS));
    fs::write(folder.path("model.onnx"), model).expect("written");
    folder
}

#[test]
fn i2_1_l5_4_a_resumed_run_asks_its_models_tick_by_tick() {
    if !ready() {
        return;
    }
    let folder = folder(COUNTS, "batch = 64\nlatency_ticks = 3");
    let outputs = |log: &str| fs::read(folder.path(log).join("outputs.jsonl")).expect("read");
    let whole = folder.logged("whole", None);
    assert_eq!((whole.ended, whole.faults, whole.inferences > 0), (Ended::Done, 0, true));
    for cut in 2..=ROWS {
        let part = folder.logged("part", Some(cut));
        assert_eq!(part.ended, Ended::Ticks);
        let resumed = folder.resumed("part", None).expect("it goes on");
        assert_eq!((resumed.digest, resumed.ticks), (whole.digest, whole.ticks), "cut at {cut}");
        assert!(outputs("part") == outputs("whole"), "cut at {cut}");
        let options = ReplayOptions { recompute: true, ..ReplayOptions::default() };
        let verified = verify(&folder.path("part"), options).expect("verifies");
        assert_eq!(verified.divergence, None, "cut at {cut}");
        fs::remove_dir_all(folder.path("part")).expect("removed");
    }
}

#[test]
fn i5_2_a_run_is_not_resumed_with_another_library_or_class_of_processor() {
    if !ready() {
        return;
    }
    let folder = folder(COUNTS, "batch = 4");
    folder.logged("log", Some(4));
    let of_model = |record: &tamper::Rec| record.kind == kind::MODEL;
    let all = tamper::records(&folder.path("log"));
    let record = all.iter().find(|record| of_model(record)).expect("one model");
    let model: ModelRecord = serde_json::from_slice(&record.payload).expect("JSON");
    // In the logged fingerprint, the library's hash and the name of the class.
    let words: Vec<&str> = model.fingerprint.split(' ').collect();
    for word in [words[2], words[3]] {
        let text = String::from_utf8_lossy(&record.payload);
        let at = text.find(word).expect("it is in the record") + 1;
        folder.copy("log", "other");
        tamper::forge(&folder.path("other"), of_model, at, 1);
        refused(&folder);
    }
}

/// Neither resumed nor computed again: the model is named.
#[track_caller]
fn refused(folder: &Folder) {
    let error = folder.resumed("other", None).expect_err("bits may differ");
    assert_eq!(error.exit(), Exit::Usage, "{error}");
    let text = error.to_string();
    for part in ["model counts ran on", "same library, class of processor"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let options = ReplayOptions { recompute: true, ..ReplayOptions::default() };
    let error = verify(&folder.path("other"), options).expect_err("bits may differ");
    assert!(error.to_string().contains("model counts"), "{error}");
}

/// A model of the inference crate's cases.
pub(crate) fn case(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("inference/cases");
    fs::read(dir.join(name).with_extension("onnx")).expect("a case")
}

/// The error of a run that does not begin.
#[track_caller]
fn not_begun(name: &str, keys: &str, options: RunOptions) -> (Exit, String) {
    let failed = folder(&case(name), keys).run(options);
    let error = failed.expect_err("it does not begin");
    (error.exit(), error.to_string())
}

#[test]
fn a_model_that_never_returns_while_it_is_loaded_ends_with_the_timeout_and_by_a_signal() {
    if !ready() {
        return;
    }
    let timeout = RunOptions { timeout: Some(Duration::from_millis(200)), ..options() };
    let signal = RunOptions { stop: Arc::new(AtomicBool::new(true)), ..options() };
    for (options, exit) in [(timeout, Exit::Timeout), (signal, Exit::Interrupted)] {
        let folder = folder(&case("loop_forever"), "batch = 1");
        let log = folder.path("log");
        let error = folder
            .run(RunOptions { log_dir: Some(log.clone()), ..options })
            .expect_err("it is not loaded");
        assert_eq!(error.exit(), exit, "{error}");
        assert!(matches!(error, RunError::Models(ModelsError::Halted { .. })), "{error}");
        assert!(error.to_string().contains("while model counts was loading"), "{error}");
        assert!(!log.exists(), "nothing was begun");
    }
}

#[test]
fn t9_3_a_model_that_never_answers_does_not_hold_a_run_that_is_to_end() {
    if !ready() {
        return;
    }
    let ended = || -> (Folder, RunReport) {
        let folder = folder(&case("loop_on_request"), "batch = 1");
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        // Once the first request was made, the next tick waits for its reply.
        let progress = move |progress: &wasm_engine::report::Progress| {
            let flag = Arc::clone(&flag);
            if progress.tick == 1 {
                std::thread::spawn(move || {
                    let (_sender, never) = std::sync::mpsc::channel::<()>();
                    let _ = never.recv_timeout(Duration::from_millis(300));
                    flag.store(true, Ordering::Relaxed);
                });
            }
        };
        let options = RunOptions {
            stop,
            progress: Some(Box::new(progress)),
            log_dir: Some(folder.path("log")),
            ..options()
        };
        let report = folder.run(options).expect("it ends");
        (folder, report)
    };
    // A machine may stand still for so long that the tick has not begun yet: then again.
    let (folder, report) =
        (0..20).map(|_| ended()).find(|(_, report)| report.waited_for.is_some()).expect("it waits");
    assert_eq!((report.ended, report.last_tick), (Ended::Interrupted, 1));
    assert_eq!(report.waited_for.as_deref(), Some("counts"));
    // The log is whole, and the tick that waited is not in it.
    let verified = verify(&folder.path("log"), ReplayOptions::default()).expect("it verifies");
    assert_eq!((verified.divergence, verified.run.digest), (None, report.digest));
}

#[test]
fn i4_1_i4_2_a_model_that_misses_its_deadline_is_late_and_its_log_gives_the_run_again() {
    if !ready() {
        return;
    }
    // A new process takes some of the time of the request after the one that it ended for.
    for (isolation, deadline_ms) in [("thread", 100), ("process", 600)] {
        let keys = format!("deadline_ms = {deadline_ms}\nisolation = \"{isolation}\"");
        let folder = folder(&case("loop_on_request"), &keys);
        let log = folder.path("log");
        let program = Some(env!("CARGO_BIN_EXE_wasm-engine").into());
        let report = folder
            .run(RunOptions {
                log_dir: Some(log.clone()),
                model_program: program,
                ticks: Some(4),
                ..options()
            })
            .expect("it ends");
        // The replies to the requests of two ticks: those of one agent never come, those of the
        // other do, unless the machine stands still.
        assert_eq!((report.ended, report.faults), (Ended::Ticks, 0), "{isolation}");
        assert!(report.late_replies >= report.inferences / 3, "{isolation}: {report:?}");
        assert!(report.late_replies < 2 * report.inferences / 3, "{isolation}: {report:?}");
        let verified = verify(&log, ReplayOptions::default()).expect("it verifies");
        assert_eq!((verified.divergence, verified.run.digest), (None, report.digest));
        assert_eq!(verified.run.late_replies, report.late_replies);
    }
    // One that answers in time is as it is without a deadline.
    let run = |keys: &str| folder(COUNTS, keys).run(options()).expect("it ends");
    let (with, without) = (run("deadline_ms = 60000"), run(""));
    assert_eq!((with.digest, with.late_replies), (without.digest, 0));
}

#[test]
fn a_limit_that_no_request_or_reply_fits_is_refused_at_start_with_the_value_that_works() {
    if !ready() {
        return;
    }
    for (name, limit, least) in [
        ("wide_in", "inference_bytes_max", 49_216_u32),
        ("wide_in", "inference_bytes_pending_max", 49_216),
        ("wide_out", "inference_reply_bytes_pending_max", 65_600),
    ] {
        let folder = folder(&case(name), "batch = 2");
        // Whatever suits the model is the default.
        folder.run(options()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let config = fs::read_to_string(folder.path("run.toml")).expect("read");
        let with = |value: u32| {
            let limits = format!("[limits]\n{limit} = {value}\n");
            fs::write(folder.path("run.toml"), config.replace("[limits]\n", &limits))
                .expect("written");
            folder.run(options())
        };
        let error = with(4096).expect_err("too little");
        let text = error.to_string();
        assert_eq!(error.exit(), Exit::Refused, "{text}");
        let cure = format!("limits.{limit} is 4096");
        for part in ["of model counts", &cure, &format!("raise limits.{limit} to {least}")] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        let report = with(least).expect("the value that was named works");
        assert_eq!((report.ended, report.faults), (Ended::Done, 0));
    }
}

#[test]
fn a_model_that_is_refused_exits_as_refused_and_names_its_cure() {
    if !ready() {
        return;
    }
    for (name, keys, part) in [
        ("intmin_i64", "batch = 1", "divide as float"),
        ("cumsum_batch", "batch = 8", "set batch = 1"),
        ("fixed_batch1", "batch = 8", "set batch = 1"),
        ("batchnorm_training", "batch = 1", "export it without"),
        ("ort_config_meta", "", "metadata `ort_config`"),
    ] {
        let (exit, text) = not_begun(name, keys, options());
        assert_eq!(exit, Exit::Refused, "{text}");
        assert!(text.contains("model counts") && text.contains(part), "{text}");
    }
}

#[test]
fn i3_5_an_agent_whose_rows_fail_takes_no_reply_of_another_and_is_said_once() {
    if !ready() {
        return;
    }
    // -128 / (x - 3) in `int8`: the rows of one agent divide by zero, in one batch with the others.
    let folder = folder(&case("intmin_i8"), "batch = 8");
    let name = named(options(), folder.dir.path()).name.expect("a name of its own");
    let done = Command::new(env!("CARGO_BIN_EXE_wasm-engine"))
        .arg("run")
        .arg(folder.path("run.toml"))
        .arg("--log")
        .arg(folder.path("log"))
        .args(["--name", &name])
        .env("XDG_CACHE_HOME", CACHES)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("a model failed"), "{said}");
    let outputs = fs::read_to_string(folder.path("log/outputs.jsonl")).expect("read");
    // What is echoed begins with the item's header: kind 3 is a reply, then the payload's length.
    let of = |agent: &str, head: &str| {
        let from = |line: &&str| line.contains(agent) && line.contains(head);
        outputs.lines().filter(from).count() as u64
    };
    let (good, empty) = ("\"base64\":\"AwAAAAQAAAD", "\"base64\":\"AwAAAAAAAAD");
    let asked = of("counted/", good);
    assert!(asked > 2 * ROWS, "{outputs}");
    assert_eq!((of("counted/", empty), of("other/", good)), (0, 0), "{outputs}");
    assert_eq!(of("other/", empty), asked, "{outputs}");
}
