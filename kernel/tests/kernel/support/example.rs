//! The examples of the repository, as tests run them.
//!
//! They need built modules, the ONNX Runtime library and some of them a model, which `cargo xtask
//! setup` provides. Without these a test says so and skips; where the set-up succeeded
//! (`REQUIRE_MODULES`, `REQUIRE_ORT`, `REQUIRE_MODELS`), a skip is a failure.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use serde_json::Value;
use wasm_engine::{
    config::Config,
    replay::{ReplayOptions, replay, verify},
    report::RunReport,
    resolve::resolve,
    run::{RunOptions, run},
};
use wasm_engine_inference::onnx;

/// An example.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    pub name: &'static str,
    pub modules: &'static [&'static str],
    /// What the set-up fetches or makes beside modules.
    pub fetched: &'static [&'static str],
}

impl Example {
    pub fn path(&self, file: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(self.name).join(file)
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).expect("a file of the example")
    }

    /// Whether all that it needs is there.
    pub fn is_ready(&self) -> bool {
        let library = onnx::locate_library(None);
        let lacks = |files: &[String]| files.iter().find(|file| !self.path(file).exists()).cloned();
        let modules: Vec<_> = self.modules.iter().map(|it| format!("modules/{it}.wasm")).collect();
        let fetched: Vec<_> = self.fetched.iter().map(|it| (*it).to_owned()).collect();
        let missing = [
            (lacks(&modules), "REQUIRE_MODULES"),
            (lacks(&fetched), "REQUIRE_MODELS"),
            (library.err().map(|error| error.to_string()), "REQUIRE_ORT"),
        ];
        for (what, required) in missing {
            let Some(what) = what else { continue };
            assert!(env::var_os(required).is_none(), "{required} is set, but not there: {what}");
            eprintln!("SKIPPED: {}: not there: {what}; run `cargo xtask setup`", self.name);
            return false;
        }
        true
    }

    /// Runs it; `name` tells runs of one process apart.
    pub fn run(
        &self,
        name: &str,
        workers: u32,
        ticks: Option<u64>,
        log_dir: Option<PathBuf>,
        sets: &[&str],
    ) -> RunReport {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let config = self.path(&format!("{}.toml", self.name));
        let config = Config::load(&config, &sets).expect("the example's own");
        let resolved = resolve(&config).expect("the example resolves");
        let options = RunOptions {
            workers: Some(workers),
            ticks,
            pace: None,
            log_dir,
            resume: None,
            name: Some(format!("{}-test-{name}-{}", self.name, std::process::id())),
            timeout: None,
            loading: None,
            model_program: None,
            code_cache: None,
            pin_scheduler: false,
            stop: Arc::new(AtomicBool::new(false)),
            progress: None,
        };
        run(resolved, options).expect("the example runs")
    }

    /// Runs it with a log, on the scheduler's own lane and with two workers; executes the log again
    /// without the model and verifies it with the model. All of them have one digest. Gives the
    /// run and its outputs, topic and payload of each.
    pub fn run_and_verify(&self) -> (RunReport, Vec<(String, Value)>) {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("log");
        let first = self.run("log", 0, None, Some(log.clone()), &[]);
        let digests = (first.digest, first.fuel_digest);
        let other = self.run("lanes", 2, None, None, &[]);
        assert_eq!((other.digest, other.fuel_digest), digests, "with two workers");
        let again = replay(&log, ReplayOptions { workers: 2, ..ReplayOptions::default() })
            .expect("it replays without the model");
        assert_eq!((again.digest, again.fuel_digest), digests, "executed again");
        let options = ReplayOptions { recompute: true, ..ReplayOptions::default() };
        let verified = verify(&log, options).expect("it verifies with the model");
        assert_eq!((verified.divergence, verified.run.digest), (None, first.digest));
        assert_eq!(verified.recomputed, Some(first.inferences));
        let outputs = fs::read_to_string(log.join("outputs.jsonl")).expect("outputs");
        let output = |line: &str| {
            let mut line: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["form"], "json", "{line}");
            (line["topic"].as_str().expect("a topic").to_owned(), line["payload"].take())
        };
        (first, outputs.lines().map(output).collect())
    }
}

/// The bits of a number that was written as an `f32`.
pub fn f32_bits(value: &Value) -> Option<u32> {
    value.as_f64().map(|value| (value as f32).to_bits())
}
