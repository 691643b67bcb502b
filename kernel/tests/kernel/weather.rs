//! The example, with its real agents and its real model: what the README promises of it, on the
//! first months of the year.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use wasm_engine::{
    replay::{ReplayOptions, replay, verify},
    report::RunReport,
};
use wasm_engine_abi::record::kind;
use wasm_engine_inference::onnx;
use wasm_engine_log::{run_header::ModelRecord, tamper::records};

use crate::support::example::Example;

const TICKS: u64 = 800;

const WEATHER: Example =
    Example { name: "weather", modules: &["forecaster", "watcher", "scorer"], fetched: &[] };

fn year(name: &str, workers: u32, log_dir: Option<PathBuf>, sets: &[&str]) -> RunReport {
    WEATHER.run(name, workers, Some(TICKS), log_dir, sets)
}

#[test]
fn t4_3_l6_2_i5_2_i5_3_real_agents_and_model_give_one_digest_on_any_lanes_and_in_replay() {
    if !WEATHER.is_ready() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("log");
    let first = year("log", 0, Some(log.clone()), &[]);
    assert_eq!((first.ticks, first.agents, first.faults), (TICKS, 9, 0));
    assert!(first.inferences > 2_000, "every station asks once an hour: {}", first.inferences);
    for workers in [1, 2, 4] {
        let other = year("lanes", workers, None, &[]);
        assert_eq!((other.digest, other.fuel_digest), (first.digest, first.fuel_digest));
    }
    let again = replay(&log, ReplayOptions { workers: 2, ..ReplayOptions::default() })
        .expect("it replays without model");
    assert_eq!((again.digest, again.fuel_digest), (first.digest, first.fuel_digest));
    let options = ReplayOptions { recompute: true, ..ReplayOptions::default() };
    let verified = verify(&log, options).expect("it verifies with the model");
    assert_eq!(verified.divergence, None);
    assert_eq!(verified.run.digest, first.digest);
    assert!(verified.recomputed.is_some_and(|count| count > 2_000));
}

#[test]
fn t10_1_waits_for_a_reply_are_counted_by_cause_and_change_no_result() {
    if !WEATHER.is_ready() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let runs = [("waits", 0), ("waits too", 2)].map(|(name, workers)| {
        let log = dir.path().join(name);
        // Each reply is due in the tick after its request, too soon for any model.
        year("waits", workers, Some(log), &["model.temperature.latency_ticks=1"])
    });
    for report in &runs {
        let causes: Vec<&str> = report.stalls_by_cause.keys().map(String::as_str).collect();
        assert_eq!(causes, ["log", "model", "outputs"], "there is no other wait");
        assert_eq!(report.stalls, report.stalls_by_cause.values().sum::<u64>());
        assert!(report.stalls_by_cause["model"] > 100, "{:?}", report.stalls_by_cause);
    }
    let result = |run: &RunReport| (run.digest, run.fuel_digest, run.ticks, run.inferences);
    assert_eq!(result(&runs[0]), result(&runs[1]));
}

#[test]
fn l4_3_the_log_names_file_library_and_processor_class_of_each_model() {
    if !WEATHER.is_ready() {
        return;
    }
    let sha256 = |path: &Path| {
        let bytes = fs::read(path).expect("a file");
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("log");
    year("names", 0, Some(log.clone()), &[]);
    let named: Vec<ModelRecord> = records(&log)
        .iter()
        .filter(|record| record.kind == kind::MODEL)
        .map(|record| serde_json::from_slice(&record.payload).expect("JSON"))
        .collect();
    let [model] = &named[..] else { panic!("the example has one model: {named:?}") };
    assert_eq!(model.name, "temperature");
    assert_eq!(model.sha256, sha256(&WEATHER.path("model/temperature.onnx")));
    let library = onnx::locate_library(None).expect("it is there");
    for part in [sha256(library.path()), onnx::CpuClass::detect().to_string()] {
        assert!(model.fingerprint.contains(&part), "{part} is not in {}", model.fingerprint);
    }
}
