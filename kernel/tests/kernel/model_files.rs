//! Models in the files that people have: data in other files, folders of versions, and what is said
//! of a model without a run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use wasm_engine::{
    config::Config,
    exit::{Exit, HasExitCode},
    model_document, model_files,
    replay::{ReplayOptions, inspect, verify},
    report::RunReport,
    resolve::resolve,
    run::RunOptions,
};
use wasm_engine_abi::frame::item;

use crate::models::{case, ready};
use crate::support::{
    CACHES, prog,
    run::{Folder, SOURCE, data, options, toml_string},
};

const BINARY: &str = env!("CARGO_BIN_EXE_wasm-engine");
/// Four values whose bytes are a text, as an agent's arguments have to be.
const ROW: &[u8] = b"BBBBBBBBBBBBBBBB";
const DATA: [&str; 2] = ["external_all.bin", "more/external_all.bin"];

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("inference/cases")
}

/// Puts `external_all.onnx` with its data into `folder`, as `name`.
fn put_external(folder: &Path, name: &str) {
    fs::create_dir_all(folder.join("more")).expect("made");
    fs::write(folder.join(name), case("external_all")).expect("written");
    for data in DATA {
        fs::copy(cases().join(data), folder.join(data)).expect("copied");
    }
}

/// An agent for each model, which asks it for a row with each input and publishes the replies.
fn folder(models: &[&str]) -> Folder {
    let agent = |at: usize| {
        let on_input = prog().infer(at as u32, ROW);
        let asking = prog().subscribe(1).on(item::INPUT, &on_input);
        let args = toml_string(&asking.on(item::REPLY, &prog().echo(0)).args());
        let module = "module = \"agent.wasm\"\ngrant = \"declared\"";
        format!("[[agent]]\nname = \"a{at}\"\n{module}\nargs = {args}\n")
    };
    let agents: String = (0..models.len()).map(agent).collect();
    let models: String = models.iter().map(|model| format!("[[model]]\n{model}\n")).collect();
    let config = format!(
        "[limits]\nagents_max = 8\nmemory_bytes_max = 131072\n[log]\nsync = \"none\"\n{SOURCE}\n\
         {agents}[[topic]]\nname = \"out\"\n[[output]]\ntopic = \"out\"\n{models}"
    );
    Folder::with(&config, &data(6))
}

fn with_program(options: RunOptions) -> RunOptions {
    RunOptions { model_program: Some(PathBuf::from(BINARY)), ..options }
}

fn logged(folder: &Folder, log: &str) -> RunReport {
    let options = RunOptions { log_dir: Some(folder.path(log)), ..options() };
    folder.run(with_program(options)).expect("it runs")
}

/// Why its configuration is no run.
fn refusal(folder: &Folder) -> String {
    match Config::load(&folder.path("run.toml"), &[]) {
        Ok(config) => resolve(&config).expect_err("refused").to_string(),
        Err(error) => error.to_string(),
    }
}

fn recomputed() -> ReplayOptions {
    let model_program = Some(PathBuf::from(BINARY));
    ReplayOptions { recompute: true, model_program, ..ReplayOptions::default() }
}

#[test]
fn a_model_with_data_in_other_files_runs_is_resumed_and_computed_again() {
    if !ready() {
        return;
    }
    let inline = folder(&["name = \"m\"\nfile = \"model.onnx\""]);
    fs::write(inline.path("model.onnx"), case("inline_all")).expect("written");
    logged(&inline, "log");
    let outputs = |folder: &Folder, log: &str| fs::read(folder.path(log).join("outputs.jsonl"));
    let expected = outputs(&inline, "log").expect("read");
    let mut digests = Vec::new();
    for isolation in ["thread", "process"] {
        let keys = format!("name = \"m\"\nfile = \"model.onnx\"\nisolation = \"{isolation}\"");
        let folder = folder(&[&keys]);
        put_external(folder.dir.path(), "model.onnx");
        let whole = logged(&folder, "log");
        assert!(whole.inferences > 0 && whole.faults == 0);
        assert!(outputs(&folder, "log").expect("read") == expected, "{isolation}");
        digests.push(whole.digest);
        let part = RunOptions { log_dir: Some(folder.path("part")), ticks: Some(4), ..options() };
        folder.run(with_program(part)).expect("it runs");
        let on = RunOptions { resume: Some(folder.path("part")), ..options() };
        assert_eq!(folder.run(with_program(on)).expect("it goes on").digest, whole.digest);
        let verified = verify(&folder.path("log"), recomputed()).expect("it verifies");
        assert_eq!((verified.divergence, verified.recomputed), (None, Some(whole.inferences)));
        // What lies there now is another model, though its first file is the same.
        let file = folder.path(DATA[1]);
        let mut changed = fs::read(&file).expect("read");
        changed[3] ^= 1;
        fs::write(&file, changed).expect("written");
        let error = verify(&folder.path("log"), recomputed()).expect_err("another");
        assert!(error.to_string().contains("sha256"), "{error}");
        let on = RunOptions { resume: Some(folder.path("part")), ..options() };
        let error = folder.run(with_program(on)).expect_err("another");
        assert!(error.to_string().contains("models"), "{error}");
        fs::remove_file(&file).expect("removed");
        let error = verify(&folder.path("log"), recomputed()).expect_err("it is gone");
        assert_eq!(error.exit(), Exit::Usage, "{error}");
        assert!(error.to_string().contains(DATA[1]), "{error}");
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn the_hash_of_the_configuration_covers_the_data() {
    if !ready() {
        return;
    }
    let dir = tempfile::TempDir::new().expect("a folder");
    put_external(dir.path(), "model.onnx");
    let model = model_document::read(&dir.path().join("model.onnx")).expect("a model");
    let sha256 = &model.account.sha256;
    let keys = format!("name = \"m\"\nfile = \"model.onnx\"\nsha256 = \"{sha256}\"");
    let folder = folder(&[&keys]);
    put_external(folder.dir.path(), "model.onnx");
    let report = folder.run(options()).expect("it runs");
    assert_eq!(report.models[0].model.sha256, *sha256);
    let file = folder.path(DATA[0]);
    let mut changed = fs::read(&file).expect("read");
    changed.push(0);
    fs::write(&file, changed).expect("written");
    let text = refusal(&folder);
    assert!(text.contains("has SHA-256") && text.contains(sha256), "{text}");
}

/// The error of a model whose `external_all.bin` was replaced by `change`.
#[cfg(unix)]
fn refused(change: impl Fn(&Path)) -> (Exit, String) {
    let dir = tempfile::TempDir::new().expect("a folder");
    let inside = dir.path().join("in");
    put_external(&inside, "model.onnx");
    change(&inside);
    let error = model_document::read(&inside.join("model.onnx")).expect_err("refused");
    (error.exit(), error.to_string())
}

#[cfg(unix)]
#[test]
fn links_and_what_is_no_plain_file_are_refused_by_name() {
    use std::os::unix::fs::symlink;
    let aside = |inside: &Path, name: &str| {
        let target = inside.parent().expect("a folder").join("aside");
        fs::rename(inside.join(name), &target).expect("moved");
        target
    };
    let link = |inside: &Path| symlink(aside(inside, DATA[0]), inside.join(DATA[0]));
    let link_within = |inside: &Path| {
        fs::rename(inside.join(DATA[0]), inside.join("other")).expect("moved");
        symlink("other", inside.join(DATA[0]))
    };
    let link_between = |inside: &Path| symlink(aside(inside, "more"), inside.join("more"));
    let folder = |inside: &Path| {
        aside(inside, DATA[0]);
        fs::create_dir(inside.join(DATA[0]))
    };
    let pipe = |inside: &Path| {
        aside(inside, DATA[0]);
        let made = Command::new("mkfifo").arg(inside.join(DATA[0])).status();
        made.map(|status| assert!(status.success()))
    };
    let file_between = |inside: &Path| {
        aside(inside, "more");
        fs::write(inside.join("more"), b"")
    };
    type Change<'a> = &'a dyn Fn(&Path) -> std::io::Result<()>;
    let changes: [(&str, Change<'_>); 6] = [
        (DATA[0], &link),
        (DATA[0], &link_within),
        (DATA[1], &link_between),
        (DATA[0], &folder),
        (DATA[0], &pipe),
        (DATA[1], &file_between),
    ];
    for (at, (name, change)) in changes.into_iter().enumerate() {
        let (exit, text) = refused(|inside| change(inside).expect("changed"));
        assert_eq!(exit, Exit::Usage, "{at}: {text}");
        for word in [&format!("`{name}`"), "link or no plain file", "model.onnx"] {
            assert!(text.contains(word), "{at}: {word} is not in: {text}");
        }
    }
    let (exit, text) = refused(|inside| fs::remove_file(inside.join(DATA[0])).expect("removed"));
    assert_eq!(exit, Exit::Usage, "{text}");
    assert!(text.contains(&format!("`{}`", DATA[0])), "{text}");
    // A link to the model is the user's own; its data are beside the link.
    let dir = tempfile::TempDir::new().expect("a folder");
    put_external(dir.path(), "real.onnx");
    symlink("real.onnx", dir.path().join("model.onnx")).expect("made");
    assert!(model_document::read(&dir.path().join("model.onnx")).is_ok());
}

#[test]
fn names_outside_the_folder_are_refused_before_anything_is_opened() {
    let bytes = case("external_all");
    let name = DATA[0].as_bytes();
    for other in ["../external_a.bin", "/xternal_all.bin", "mo/../nal_al.bin"] {
        let other = &other.as_bytes()[..name.len()];
        let mut changed = bytes.clone();
        let at = bytes.windows(name.len()).rposition(|window| window == name).expect("named");
        changed[at..at + name.len()].copy_from_slice(other);
        let dir = tempfile::TempDir::new().expect("a folder");
        fs::write(dir.path().join("m.onnx"), changed).expect("written");
        let error = model_document::read(&dir.path().join("m.onnx")).expect_err("refused");
        assert!(matches!(error, model_files::ModelFileError::Refused { .. }), "{error}");
        assert_eq!(error.exit(), Exit::Refused);
    }
}

#[test]
fn a_model_has_as_many_bytes_as_the_configuration_allows() {
    let folder = folder(&["name = \"m\"\nfile = \"model.onnx\"\nbytes_max = 720"]);
    put_external(folder.dir.path(), "model.onnx");
    let text = refusal(&folder);
    for word in ["`external_all.bin`", "more than 720", "model.bytes_max"] {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
}

/// A folder of versions: inline as 2 and 10, with data outside as 9, and what is none.
fn put_versions(folder: &Path) {
    for version in ["2", "10"] {
        fs::create_dir_all(folder.join(version)).expect("made");
        fs::write(folder.join(version).join("model.onnx"), case("inline_all")).expect("written");
    }
    put_external(&folder.join("9"), "model.onnx");
    fs::create_dir_all(folder.join("011")).expect("made");
    fs::create_dir_all(folder.join("12")).expect("made");
    fs::write(folder.join("011/model.onnx"), b"no model").expect("written");
    fs::write(folder.join("config.pbtxt"), b"no key of ours").expect("written");
}

#[test]
fn a13_4_versions_of_a_folder_are_loaded_together_and_kept_in_the_log() {
    if !ready() {
        return;
    }
    let highest = "name = \"m\"\nfolder = \"models/m\"";
    let ninth = "name = \"m\"\nfolder = \"models/m\"\nversion = 9";
    let folder = folder(&[ninth, highest]);
    put_versions(&folder.path("models/m"));
    let report = logged(&folder, "log");
    let named: Vec<_> =
        report.models.iter().map(|one| (one.model.name.as_str(), one.model.version)).collect();
    assert_eq!(named, [("m", Some(9)), ("m", Some(10))]);
    assert_eq!(report.models[0].model.inputs["x"], "f32[N, 4]");
    assert_ne!(report.models[0].model.sha256, report.models[1].model.sha256);
    assert_eq!(report.models[0].model.provider, "cpu");
    let verified = verify(&folder.path("log"), recomputed()).expect("it verifies");
    assert_eq!((verified.divergence, verified.run.models), (None, report.models.clone()));
    let held = inspect(&folder.path("log")).expect("a log");
    assert_eq!(held.models[0].model, report.models[0].model);
    let notes = &held.models[0].notes;
    assert_eq!((notes.producer.as_str(), notes.file_version), ("cases", Some(3)));
    assert_eq!((notes.opsets["ai.onnx"], &notes.external[..]), (17, &DATA.map(str::to_owned)[..]));
    assert!(held.models[0].path.ends_with("models/m/9/model.onnx"));
}

#[test]
fn i5_4_what_computes_a_model_instead_of_what_was_asked_for_is_in_reports_and_log() {
    if !ready() {
        return;
    }
    let folder = folder(&["name = \"m\"\nfile = \"model.onnx\"\nproviders = [\"dml\", \"CPU\"]"]);
    fs::write(folder.path("model.onnx"), case("inline_all")).expect("written");
    let report = logged(&folder, "log");
    let model = &report.models[0].model;
    // A machine that has it would say so.
    assert!(model.provider == "dml" || !model.providers_refused["dml"].is_empty(), "{model:?}");
    let verified = verify(&folder.path("log"), recomputed()).expect("it verifies");
    assert_eq!((verified.divergence, &verified.run.models), (None, &report.models));
    let held = inspect(&folder.path("log")).expect("a log");
    assert_eq!(&held.models[0].model, model);
    assert!(held.models[0].fingerprint.contains(&format!(" {} intra=1", model.provider)));
}

#[test]
fn providers_that_cannot_be_are_refused_in_words() {
    for (list, words) in [
        ("[]", "is empty"),
        ("[\"gpu\"]", "holds \"gpu\", which is none of cpu, cuda, tensorrt"),
        ("[\"cuda\", \"CUDAExecutionProvider\"]", "holds cuda twice"),
        ("[\"cpu\", \"cuda\"]", "holds cuda behind cpu, which can always be had; put cpu last"),
    ] {
        let folder = folder(&[&format!("name = \"m\"\nfile = \"model.onnx\"\nproviders = {list}")]);
        fs::write(folder.path("model.onnx"), case("inline_all")).expect("written");
        let text = refusal(&folder);
        assert!(text.contains("model.m.providers") && text.contains(words), "{text}");
    }
    if !ready() {
        return;
    }
    // No machine has both.
    let keys = "name = \"m\"\nfile = \"model.onnx\"\nproviders = [\"dml\", \"coreml\"]";
    let folder = folder(&[keys]);
    fs::write(folder.path("model.onnx"), case("inline_all")).expect("written");
    if let Err(error) = folder.run(options()) {
        assert!(error.to_string().contains("dml is not there"), "{error}");
        assert_eq!(error.exit(), Exit::Failure, "{error}");
    }
}

#[test]
fn versions_that_are_not_there_and_names_that_are_are_refused() {
    for (models, words) in [
        (vec!["name = \"m\"\nfolder = \"v\"\nversion = 3"], "no version 3;"),
        (vec!["name = \"m\"\nfolder = \"v\"\nversion = 3"], "there are 2, 9, 10"),
        (vec!["name = \"m\"\nfolder = \"more\""], "no version;"),
        (vec!["name = \"m\"\nfolder = \"none\""], "none cannot be read"),
        (vec!["name = \"m\""], "model.m.file is missing"),
        (vec!["name = \"m\"\nfile = \"a\"\nfolder = \"b\""], "stands beside folder"),
        (vec!["name = \"m@1\"\nfile = \"a\""], "holds `@`"),
        (vec!["name = \"m\"\nfile = \"a\"", "name = \"m\"\nfolder = \"v\""], "is there twice"),
        (
            vec!["name = \"m\"\nfolder = \"v\"\nversion = 10", "name = \"m\"\nfolder = \"v\""],
            "a second m@10",
        ),
        (
            vec![
                "name = \"m\"\nfile = \"model.onnx\"\nversion = 10",
                "name = \"m\"\nfolder = \"v\"",
            ],
            "a second m@10",
        ),
    ] {
        let folder = folder(&models);
        put_versions(&folder.path("v"));
        put_external(folder.dir.path(), "model.onnx");
        let text = refusal(&folder);
        assert!(text.contains(words), "{models:?}: {words} is not in: {text}");
    }
}

/// What the command prints, and its exit code.
fn printed(args: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(BINARY);
    command.arg("model").args(args).env("XDG_CACHE_HOME", CACHES).env("ORT_DYLIB_PATH", "/none");
    let output = command.output().expect("it starts");
    (String::from_utf8(output.stdout).expect("text"), output.status.code())
}

#[test]
fn the_command_says_what_a_model_is_without_the_library() {
    let folder = folder(&["name = \"m\"\nfile = \"model.onnx\""]);
    put_versions(&folder.path("det"));
    let at = folder.path("det");
    let at = at.to_str().expect("text");
    let (text, code) = printed(&[at]);
    assert_eq!(code, Some(0), "{text}");
    for word in ["version", "10", "f32[N, 4]", "producer", "cases", "\n  [[model]]\n", "ai.onnx"] {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
    let file = folder.path("det/9/model.onnx");
    let (text, code) = printed(&[file.to_str().expect("text"), "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["$type"], "wasm-engine/model/1");
    assert_eq!(document["external"], serde_json::json!(DATA));
    assert_eq!(document["inputs"][0]["name"], "x");
    assert_eq!(document["refused_in_thread"], Value::Null);
    // The lines to paste are a configuration.
    let lines: Vec<&str> = document["configuration"]
        .as_array()
        .expect("lines")
        .iter()
        .flat_map(Value::as_str)
        .collect();
    let pasted = format!("[[agent]]\nname = 'a'\nmodule = 'a'\n{}\n", lines.join("\n"));
    let config = Config::parse(Path::new("a.toml"), &pasted, &[]);
    let config = config.expect("a configuration");
    assert_eq!(config.model[0].file.as_deref(), Some(file.as_path()));
    assert_eq!(config.model[0].sha256.as_deref(), document["sha256"].as_str());
    for (name, code, isolation, refused) in [
        ("intmin_i64", 0, true, "refused_in_thread"),
        ("nested_13", 5, false, "refused_in_process"),
        ("in_i64", 0, false, "file"),
    ] {
        let file = cases().join(name).with_extension("onnx");
        let (text, found) = printed(&[file.to_str().expect("text"), "--json"]);
        let document: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(found, Some(code), "{text}");
        assert!(document[refused].is_string(), "{text}");
        assert_eq!(text.contains("isolation = "), isolation, "{text}");
    }
    let (text, code) = printed(&[folder.path("data.csv").to_str().expect("text"), "--json"]);
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("not a readable ONNX file"), "{text}");
    assert_eq!(printed(&["/none.onnx"]).1, Some(2));
}
