//! The example, with its real agents and its real model: what the README promises of it, on the
//! first months of the year.
//!
//! Needs the built modules and the ONNX Runtime library, which `cargo xtask setup` provides.
//! Without them it says so and skips; where the set-up succeeded (`REQUIRE_ORT`,
//! `REQUIRE_MODULES`), a skip is a failure.

use std::{
    env,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use wasm_engine::{
    config::Config,
    replay::{ReplayOptions, replay, verify},
    report::RunReport,
    resolve::resolve,
    run::{RunOptions, run},
};
use wasm_engine_inference::onnx;

const TICKS: u64 = 800;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/weather")
}

/// Whether modules and library are there.
fn ready() -> bool {
    let modules = ["forecaster", "watcher", "scorer"]
        .iter()
        .all(|name| example().join("modules").join(name).with_extension("wasm").exists());
    let library = onnx::locate_library(None);
    for (there, required, what) in [
        (modules, "REQUIRE_MODULES", "the modules of the example".to_owned()),
        (
            library.is_ok(),
            "REQUIRE_ORT",
            library.as_ref().err().map(ToString::to_string).unwrap_or_default(),
        ),
    ] {
        if !there {
            assert!(env::var_os(required).is_none(), "{required} is set, but not there: {what}");
            eprintln!("SKIPPED: not there: {what}; run `cargo xtask setup`");
            return false;
        }
    }
    true
}

fn year(name: &str, workers: u32, log_dir: Option<PathBuf>) -> RunReport {
    let config = Config::load(&example().join("weather.toml"), &[]).expect("the example's own");
    let resolved = resolve(&config).expect("the example resolves");
    let options = RunOptions {
        workers: Some(workers),
        ticks: Some(TICKS),
        pace: None,
        log_dir,
        resume: None,
        name: Some(format!("weather-test-{name}-{}", std::process::id())),
        timeout: None,
        stop: Arc::new(AtomicBool::new(false)),
        progress: None,
    };
    run(resolved, options).expect("the example runs")
}

#[test]
fn t4_3_l6_2_i5_2_i5_3_real_agents_and_model_give_one_digest_on_any_lanes_and_in_replay() {
    if !ready() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("log");
    let first = year("log", 0, Some(log.clone()));
    assert_eq!((first.ticks, first.agents, first.faults), (TICKS, 9, 0));
    assert!(first.inferences > 2_000, "every station asks once an hour: {}", first.inferences);
    for workers in [1, 2, 4] {
        let other = year("lanes", workers, None);
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
