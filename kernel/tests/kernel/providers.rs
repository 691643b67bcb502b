//! A provider that fails in the middle of a run: the processor takes over, no reply is lost, and
//! the log says so.
//!
//! No test machine has a device to lose. So a program stands between the kernel and the one that
//! serves its models, and reports that a device computes its model; what runs is the real path of
//! a model in a process of its own. Needs the ONNX Runtime library and Python 3.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use wasm_engine::replay::{ReplayOptions, verify};
use wasm_engine::report::{Ended, RunModelReport, RunReport};
use wasm_engine::run::RunOptions;

use crate::isolation::{BINARY, FIVE, PROCESS, folder, replies, with_program};
use crate::models::{case, ready};
use crate::support::run::{Folder, options};

const LOST_DEVICE: &str = include_str!("fixtures/lost_device.py");
/// Requests of the marked row that the device answers in the life of a process.
const ANSWERED: u64 = 3;
const ROWS: u64 = 12;

/// Agents that ask a model of a device which is lost after some requests, and the program.
fn with_device() -> (Folder, PathBuf) {
    let keys = format!("batch = 1\n{PROCESS}\nproviders = [\"cuda\", \"cpu\"]");
    let folder = folder(&case("div_by_input"), &keys, ROWS, &[("a", FIVE), ("b", 3.0)]);
    let program = folder.path("lost_device.py");
    fs::write(&program, LOST_DEVICE.replace("@BINARY@", BINARY)).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it may be run");
    (folder, program)
}

fn run(folder: &Folder, program: &Path, log: RunOptions) -> RunReport {
    folder.run(RunOptions { model_program: Some(program.to_path_buf()), ..log }).expect("it runs")
}

/// The one model has lost its device.
#[track_caller]
fn is_lost(models: &[RunModelReport]) {
    let model = &models[0].model;
    assert_eq!(model.provider, "cpu", "{model:?}");
    assert!(model.providers_refused["cuda"].contains("the device is lost"), "{model:?}");
}

#[test]
fn i5_5_a_provider_that_fails_in_a_run_costs_no_reply_and_the_log_has_it() {
    if !ready() {
        return;
    }
    let keys = format!("batch = 1\n{PROCESS}");
    let plain = folder(&case("div_by_input"), &keys, ROWS, &[("a", FIVE), ("b", 3.0)]);
    let log = RunOptions { log_dir: Some(plain.path("log")), ..options() };
    let on_processor = plain.run(with_program(log)).expect("it runs");

    let (folder, program) = with_device();
    let log = RunOptions { log_dir: Some(folder.path("log")), ..options() };
    let report = run(&folder, &program, log);
    is_lost(&report.models);
    assert_eq!((report.ended, report.faults), (Ended::Done, 0));
    // Same ticks and order, and here the same values.
    let counts = |report: &RunReport| (report.ticks, report.turns, report.inferences, report.fuel);
    assert_eq!(counts(&report), counts(&on_processor));
    assert_eq!(replies(&folder, "log"), replies(&plain, "log"));
    assert_ne!(report.digest, on_processor.digest, "it is a fact of a tick");

    let verified = verify(&folder.path("log"), ReplayOptions::default()).expect("it verifies");
    assert_eq!((verified.divergence, &verified.run.digest), (None, &report.digest));
    is_lost(&verified.run.models);
    // Computed again where the device still was, as far as this goes.
    let again =
        ReplayOptions { recompute: true, model_program: Some(program), ..ReplayOptions::default() };
    let verified = verify(&folder.path("log"), again).expect("it verifies");
    assert_eq!((verified.divergence, &verified.run.digest), (None, &report.digest));
    let compared = verified.recomputed.expect("some");
    assert!((ANSWERED..=2 * ANSWERED + 1).contains(&compared), "{compared}");
}

#[test]
fn i5_5_l5_4_a_resumed_run_tries_its_provider_again_and_says_so() {
    if !ready() {
        return;
    }
    let (whole, program) = with_device();
    let log = RunOptions { log_dir: Some(whole.path("log")), ..options() };
    let to_the_end = run(&whole, &program, log);

    let (folder, program) = with_device();
    let part = RunOptions { log_dir: Some(folder.path("log")), ticks: Some(8), ..options() };
    is_lost(&run(&folder, &program, part).models);
    // While the device is there again; then it is lost again.
    for ticks in [Some(9), None] {
        let resume = RunOptions { resume: Some(folder.path("log")), ticks, ..options() };
        let report = run(&folder, &program, resume);
        match ticks {
            Some(_) => assert_eq!(report.models[0].model.provider, "cuda"),
            None => is_lost(&report.models),
        }
        let verified = verify(&folder.path("log"), ReplayOptions::default()).expect("it verifies");
        assert_eq!((verified.divergence, &verified.run.digest), (None, &report.digest));
        assert_eq!(verified.run.models[0].model.provider, report.models[0].model.provider);
        if ticks.is_none() {
            assert_eq!((report.ticks, report.turns), (to_the_end.ticks, to_the_end.turns));
        }
    }
    assert_eq!(replies(&folder, "log"), replies(&whole, "log"));
}
