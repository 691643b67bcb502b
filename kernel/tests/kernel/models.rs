//! Runs with models: how they are resumed, and what is said of a model that cannot serve.
//!
//! Needs the ONNX Runtime library, which `cargo xtask setup` provides; without it a test says so
//! and skips, with `REQUIRE_ORT` it fails.

use std::{env, fs};

use wasm_engine::{
    exit::{Exit, HasExitCode},
    replay::{ReplayOptions, verify},
    report::Ended,
};
use wasm_engine_abi::{frame::item, record::kind};
use wasm_engine_inference::onnx;
use wasm_engine_log::{run_header::ModelRecord, tamper};

use crate::support::{
    Prog, prog,
    run::{Folder, SOURCE, data, toml_string},
};

/// `y = x + how many rows of the batch are 0x42424242`, for `[N, 1]`:
/// `Equal(x, k)`, `Cast` to float, `ReduceSum` over axis 0, `Add`. Its rows influence each other as
/// no other value shows: so it passes for a good model, and tells who ran with whom.
const COUNTS: &[u8] = include_bytes!("fixtures/counts.onnx");
const COUNTED: [u8; 4] = 0x4242_4242_u32.to_le_bytes();

const ROWS: u64 = 12;
const OUT: u32 = 0;
const OBSERVATION: u32 = 1;

fn ready() -> bool {
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
    let agents = agent("counted", COUNTED) + &agent("other", 2.0_f32.to_le_bytes());
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
