//! The models of `cases/`, each with its right answer. The scan needs no library; what does is
//! skipped, aloud, where none is found; `REQUIRE_ORT=1` makes that fail.

use std::time::Duration;

use super::OnnxError;
use super::tests::{TriedModel, load_with, ready, scanned};
use crate::registry::ModelError;
use crate::scan::{self, ScanFault, Surroundings};
use crate::{BackendFailure, Interrupter};

fn case(name: &str) -> Vec<u8> {
    let path = format!("{}/cases/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn load(name: &str, batch: u32) -> Result<TriedModel, ModelError> {
    load_with(name, &case(name), batch, &Interrupter::default())
}

/// What one batch gives.
fn run(model: &mut TriedModel, rows: &[f32]) -> Result<Vec<f32>, BackendFailure> {
    model.run(rows)
}

/// The scan's reason, in words.
#[track_caller]
fn refusal(name: &str) -> String {
    match scanned(&case(name)) {
        Err(ScanFault::Refused { what, cure } | ScanFault::Ends { what, cure }) => {
            format!("{what}; {cure}")
        }
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_division_that_may_end_the_process_never_reaches_the_library() {
    // By a request, by constants when it is loaded, inside subgraphs and functions.
    for name in
        ["intmin_i64", "intmin_mod", "intmin_div", "div_folded", "div_in_if", "div_in_function"]
    {
        let text = refusal(name);
        assert!(text.contains("which ends the process"), "{name}: {text}");
        assert!(text.contains("divide as float"), "{name}: {text}");
        if ready() {
            // The process lives.
            let error = load(name, 1).expect_err(name);
            assert!(
                matches!(error, ModelError::Model(OnnxError::EndsProcess { .. })),
                "{name}: {error}"
            );
            assert!(error.to_string().contains("isolation = \"process\""), "{error}");
        }
    }
    for (name, words) in [
        ("groups_zero", "operator ConvTranspose with 0 `group`"),
        ("heads_zero", "operator Attention with 0 `kv_num_heads`"),
        ("trilu_by_request", "operator Trilu with a diagonal that may be the smallest integer"),
        ("stft_by_request", "operator STFT with a frame length that may be 0"),
    ] {
        let text = refusal(name);
        assert!(text.contains(words), "{name}: {text}");
    }
}

#[test]
fn what_may_end_a_process_is_admitted_to_one_of_its_own_and_nothing_else_is() {
    let own = |name: &str| scan::model(&case(name), Surroundings::Own);
    for name in [
        "intmin_i64",
        "intmin_mod",
        "intmin_div",
        "div_folded",
        "div_in_if",
        "div_in_function",
        "groups_zero",
        "heads_zero",
        "trilu_by_request",
        "stft_by_request",
    ] {
        assert!(matches!(scanned(&case(name)), Err(ScanFault::Ends { .. })), "{name}");
        assert!(own(name).is_ok(), "{name}: {:?}", own(name));
    }
    for name in ["batchnorm_training", "ort_config_meta"] {
        assert!(matches!(own(name), Err(ScanFault::Refused { .. })), "{name}");
    }
    assert!(own("dynamic_quantised").is_ok_and(|scanned| scanned.mixing.is_some()));
}

#[test]
fn divisions_that_cannot_overflow_are_run() {
    for name in [
        "intmin_i8",
        "div_by_input",
        "div_constant",
        "div_clipped",
        "div_shape",
        "div_in_function_float",
    ] {
        assert!(scanned(&case(name)).is_ok(), "{name}: {:?}", scanned(&case(name)));
    }
    if !ready() {
        return;
    }
    let mut small = load("intmin_i8", 1).expect("loads");
    for (x, y) in [(5.0, -64.0), (2.0, -128.0), (8.0, -25.0)] {
        assert_eq!(run(&mut small, &[x]).expect("runs"), [y]);
    }
    assert!(matches!(run(&mut small, &[3.0]), Err(BackendFailure::Failed(_))));
    // Zeros are illegal for it, so neither the first run nor padding may be zeros.
    let mut by = load("div_by_input", 3).expect("loads although zeros are illegal");
    assert_eq!(run(&mut by, &[5.0, 7.0, 3.0]).expect("runs"), [20.0, 14.0, 33.0]);
    let mut halves = load("div_in_function_float", 2).expect("loads");
    assert_eq!(run(&mut halves, &[3.0, -1.0]).expect("runs"), [1.5, -0.5]);
    let mut lower = load("trilu_constant", 1).expect("loads");
    assert_eq!(run(&mut lower, &[1.0, 2.0, 3.0, 4.0]).expect("runs"), [1.0, 2.0, 3.0, 4.0]);
    let mut constant = load("div_constant", 2).expect("loads");
    assert_eq!(run(&mut constant, &[7.0, 4.0]).expect("runs"), [1.0, 0.0]);
}

#[test]
fn i2_3_rows_that_influence_each_other_are_refused_with_more_than_one() {
    if !ready() {
        return;
    }
    for name in ["cumsum_batch", "batch_mean", "softmax_axis0", "if", "dynamic_quantised"] {
        for batch in [2, 3, 32] {
            let error = load(name, batch).expect_err(name);
            assert!(
                matches!(error, ModelError::Model(OnnxError::RowsMix { .. })),
                "{name}, {batch}: {error}"
            );
            let text = error.to_string();
            assert!(text.contains("rows influence each other; set batch = 1"), "{text}");
        }
        load(name, 1).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let mut sum = load("cumsum_batch", 1).expect("loads");
    for _ in 0..2 {
        assert_eq!(run(&mut sum, &[1.0, -2.0, 0.5, 4.0]).expect("runs"), [1.0, -2.0, 0.5, 4.0]);
    }
    // Nothing is known of a model that fails for every row that is tried.
    let error = load("index_7_to_9", 2).expect_err("nothing is known");
    assert!(error.to_string().contains("set batch = 1"), "{error}");
    let mut index = load("index_7_to_9", 1).expect("one row needs no proof");
    assert_eq!(run(&mut index, &[1001.0]).expect("runs"), [6.0]);
}

#[test]
fn what_keeps_state_is_refused_and_a_training_mode_that_is_off_is_not() {
    assert!(refusal("batchnorm_training").contains("operator BatchNormalization, which learns"));
    if !ready() {
        return;
    }
    let mut dropout = load("dropout_false_init", 2).expect("its training mode is off");
    let row = [1.0, -2.0, 0.0, 4.0, 5.0, 6.0, -7.0, 8.0];
    assert_eq!(run(&mut dropout, &row).expect("runs"), row);
}

#[test]
fn shapes_and_types_are_refused_in_words_with_the_cure() {
    if !ready() {
        return;
    }
    for (name, batch, words) in [
        ("no_batch", 4, "input `x` is 4 values without a dimension for rows; set batch = 1"),
        ("fixed_batch1", 32, "input `x` is made for one row at a time; set batch = 1"),
    ] {
        let text = load(name, batch).expect_err(name).to_string();
        assert!(text.contains(words), "{name}: {text}");
    }
    for name in ["no_batch", "fixed_batch1"] {
        let mut model = load(name, 1).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(model.lens(), (4, 4), "{name}");
        let row = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(run(&mut model, &row).expect("runs"), row, "{name}");
    }
}

#[test]
fn a_model_cannot_change_the_settings_of_the_library() {
    assert!(refusal("ort_config_meta").contains("metadata `ort_config`"));
}

#[test]
fn a_model_that_never_returns_is_stopped_while_it_is_loaded() {
    if !ready() {
        return;
    }
    let interrupter = Interrupter::default();
    let asked = interrupter.clone();
    let load = std::thread::spawn(move || {
        load_with("loop", &case("loop_forever"), 1, &interrupter).map(drop)
    });
    // However far it is: asked before it began, it does not begin.
    let (_sender, never) = std::sync::mpsc::channel::<()>();
    assert!(never.recv_timeout(Duration::from_millis(300)).is_err());
    assert!(!load.is_finished(), "it never returns");
    asked.interrupt();
    let error = load.join().expect("no panic").expect_err("it was stopped");
    assert!(
        matches!(&error, ModelError::Model(OnnxError::Interrupted { model }) if model == "loop"),
        "{error}"
    );
    assert_eq!(asked.model(), "loop");
}

#[test]
fn outputs_that_are_constants_are_given() {
    if !ready() {
        return;
    }
    for name in ["constant_out", "initializer_out"] {
        let mut model = load(name, 1).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(run(&mut model, &[1.0]).expect("runs"), [5.0], "{name}");
    }
}

#[test]
fn old_operator_sets_are_run() {
    if !ready() {
        return;
    }
    let mut model = load("opset6", 1).expect("loads");
    assert_eq!(run(&mut model, &[1.0; 4]).expect("runs").len(), 4);
}

#[test]
fn what_takes_too_long_to_load_is_refused_wherever_it_runs() {
    for (name, words) in [
        ("nested_13", "graphs inside graphs, 13 levels of them"),
        ("calls_2_to_31", "functions that unfold to 2147483647 calls"),
    ] {
        let text = refusal(name);
        assert!(text.contains(words), "{name}: {text}");
        let own = scan::model(&case(name), Surroundings::Own);
        assert!(matches!(own, Err(ScanFault::Refused { .. })), "{name}: {own:?}");
    }
    for name in ["nested_12", "calls_8191"] {
        assert!(scanned(&case(name)).is_ok(), "{name}: {:?}", scanned(&case(name)));
        if ready() {
            let mut model = load(name, 1).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(run(&mut model, &[2.0]).expect("runs"), [2.0], "{name}");
        }
    }
}

#[test]
fn no_change_of_a_byte_makes_the_scan_panic() {
    let dir = format!("{}/cases", env!("CARGO_MANIFEST_DIR"));
    let mut scans = 0;
    for entry in std::fs::read_dir(&dir).expect("the cases").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "onnx") {
            continue;
        }
        let mut bytes = std::fs::read(&path).expect("a case");
        for at in 0..bytes.len() {
            for change in [0x01, 0x02, 0x08, 0x80, 0xff] {
                bytes[at] ^= change;
                // Whatever it says, it says.
                let _ = scanned(&bytes);
                bytes[at] ^= change;
                scans += 1;
            }
            let _ = scanned(&bytes[..at]);
        }
    }
    assert!(scans > 10_000, "{scans}");
}
