//! What commands say of a run, from outside: words before figures, outputs in declared formats,
//! configurations tried, sizes with units, names of files as they come.
#![cfg(feature = "cli")]

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{
    CACHES,
    run::{Folder, config, data},
};

/// What a command printed, and its exit code.
struct Printed {
    code: i32,
    out: String,
    err: String,
}

impl Printed {
    /// The document on standard output.
    #[track_caller]
    fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }
}

fn command(args: &[&dyn AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasm-engine"));
    command.args(args.iter().map(|arg| arg.as_ref()));
    command.env_remove("RUST_LOG").env("XDG_CACHE_HOME", CACHES);
    command
}

#[track_caller]
fn engine(args: &[&dyn AsRef<OsStr>]) -> Printed {
    let output = command(args).output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let code = output.status.code().unwrap_or(-1);
    Printed { code, out: text(output.stdout), err: text(output.stderr) }
}

/// A name for a run that nobody else has.
fn name(folder: &Folder) -> String {
    let unique = folder.dir.path().file_name().expect("a name");
    format!("n{}", unique.to_string_lossy().replace('.', ""))
}

/// A folder whose output declares its format.
fn formatted(format: &str) -> Folder {
    Folder::with(&format!("{}format = \"{format}\"\n", config("")), &data(5))
}

#[test]
fn a_result_begins_with_words_and_a_log_is_verified() {
    let folder = Folder::new(30);
    let (config, log) = (folder.path("run.toml"), folder.path("my log"));
    let ran = engine(&[&"run", &config, &"--log", &log, &"--name", &name(&folder)]);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(lines[0].starts_with("done: after tick "), "{}", ran.out);
    // The clumsy agent faults; the words say so, and what to do.
    assert!(lines[2].contains("turns faulted, first clumsy/0 in tick"), "{}", ran.out);
    assert!(ran.out.contains(&format!("`wasm-engine verify '{}'`", log.display())), "{}", ran.out);
    let figures = lines.iter().position(|line| line.is_empty()).expect("figures stand behind");
    assert!(lines[figures + 1].starts_with("agents "), "{}", ran.out);

    let verified = engine(&[&"verify", &log]);
    let document = engine(&[&"verify", &log, &"--json"]).document();
    let digest = document["digest"].as_str().expect("a digest");
    assert!(verified.out.starts_with(&format!("verified: digest {digest}\n")), "{}", verified.out);
    let ticks = document["ticks"].as_u64().expect("a count");
    assert!(verified.out.contains(&format!("digests of {ticks} ticks")), "{}", verified.out);
    assert!(engine(&[&"replay", &log]).out.starts_with("replayed: "), "the same log");
}

#[test]
fn outputs_are_written_in_their_declared_format_and_what_does_not_fit_is_counted() {
    let folder = formatted("u64");
    let (config, out) = (folder.path("run.toml"), folder.path("out.jsonl"));
    let name = name(&folder);
    let ran = engine(&[&"run", &config, &"--output", &out, &"--name", &name, &"--json"]);
    let document = ran.document();
    let text = fs::read_to_string(&out).expect("it was written");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert_eq!(document["output_messages"].as_u64(), Some(lines.len() as u64));
    let (fit, misfit): (Vec<&Value>, Vec<&Value>) =
        lines.iter().partition(|line| line["format"] == "u64");
    assert!(fit.iter().all(|line| line["payload"].is_u64()) && !fit.is_empty());
    assert!(misfit.iter().all(|line| line["misfit"] == "it has 16 bytes, not 8"));
    assert_eq!(document["misfits"]["out"].as_u64(), Some(misfit.len() as u64));
    assert!(!misfit.is_empty(), "agents publish 16 bytes too");
    // How a run is shown decides nothing.
    let plain = engine(&[&"run", &config, &"--name", &name, &"--json"]).document();
    assert_eq!(
        (&plain["digest"], &plain["misfits"]),
        (&document["digest"], &serde_json::json!({}))
    );
}

#[test]
fn outputs_on_standard_output_leave_the_result_to_standard_error() {
    let folder = formatted("hex");
    let config = folder.path("run.toml");
    let name = name(&folder);
    let ran = engine(&[&"run", &config, &"--output", &"-", &"--name", &name, &"--json"]);
    let result = ran.err.lines().find(|line| line.starts_with('{')).expect("the result");
    let result: Value = serde_json::from_str(result).expect("one document");
    assert_eq!(result["$type"], "wasm-engine/run/1");
    assert_eq!(result["output_messages"].as_u64(), Some(ran.out.lines().count() as u64));
    assert!(ran.out.lines().all(|line| line.contains("\"format\":\"hex\"")), "{}", ran.out);
    // A reader that leaves is no failure.
    let mut child = command(&[&"run", &config, &"--output", &"-", &"--name", &name])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    for (target, code) in [("/nowhere/at/all", 2), ("/dev/full", 1)] {
        let log = folder.path("unused");
        let failed =
            engine(&[&"run", &config, &"--output", &target, &"--log", &log, &"--name", &name]);
        assert_eq!(failed.code, code, "{}", failed.err);
        assert!(failed.err.contains(target), "{}", failed.err);
        // What cannot be opened is said before a log is made.
        assert_eq!(log.exists(), code == 1, "{target}");
    }
}

#[test]
fn a_configuration_is_tried_without_a_trace() {
    let folder = Folder::new(5);
    let config = folder.path("run.toml");
    let entries = || fs::read_dir(folder.dir.path()).expect("the folder").count();
    let before = entries();
    let checked = engine(&[&"check", &config, &"--json"]).document();
    assert_eq!((checked["agents"].as_u64(), checked["inputs"].as_u64()), (Some(4), Some(15)));
    assert_eq!(checked["last_tick"].as_u64(), Some(5));
    assert!(checked["region_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20));
    assert_eq!(checked["modules"][0]["copies"].as_u64(), Some(3));
    assert_eq!(entries(), before, "nothing was written");
    assert!(engine(&[&"check", &config]).out.starts_with("ok: `run` would run"));
    // What a run refuses, it refuses in the same words.
    for set in ["agent.station.module=none.wasm", "region.bytes_max=1 MiB", "kernel.sede=1"] {
        let name = name(&folder);
        let checked = engine(&[&"check", &config, &"--set", &set]);
        let ran = engine(&[&"run", &config, &"--set", &set, &"--name", &name]);
        assert_eq!((checked.code, &checked.err), (ran.code, &ran.err), "{set}");
        assert_ne!(checked.code, 0, "{set}");
    }
    let set = "agent.station.grant=[\"subscribe:observation\"]";
    let silent = engine(&[&"check", &config, &"--set", &set, &"--set", &"agent.clumsy.grant=[]"]);
    assert!(silent.out.contains("warning: output out: no agent may publish"), "{}", silent.out);
}

#[test]
fn sizes_have_units_in_files_and_overrides() {
    let folder = Folder::new(3);
    let config = folder.path("run.toml");
    let name = name(&folder);
    let digest = |args: &[&dyn AsRef<OsStr>]| {
        let mut all: Vec<&dyn AsRef<OsStr>> = vec![&"run", &config, &"--json", &"--name", &name];
        all.extend(args);
        engine(&all).document()["digest"].clone()
    };
    let plain = digest(&[]);
    assert_eq!(digest(&[&"--set", &"limits.memory_bytes_max=128 KiB"]), plain);
    assert_ne!(digest(&[&"--set", &"limits.memory_bytes_max=256 KiB"]), plain);
    let text = fs::read_to_string(&config).expect("readable");
    let with_unit = text.replace("memory_bytes_max = 131072", "memory_bytes_max = \"128 KiB\"");
    assert_ne!(with_unit, text, "the text has it");
    fs::write(&config, &with_unit).expect("writable");
    assert_eq!(digest(&[]), plain);
    fs::write(&config, with_unit.replace("128 KiB", "128 kib")).expect("writable");
    let refused = engine(&[&"check", &config]);
    assert_eq!(refused.code, 2);
    for part in ["run.toml, line ", "memory_bytes_max", "did you mean KiB?"] {
        assert!(refused.err.contains(part), "{}", refused.err);
    }
}

#[test]
fn a_configuration_may_come_from_standard_input() {
    let folder = Folder::new(3);
    let text = fs::read_to_string(folder.path("run.toml")).expect("readable");
    let from_stdin = |text: &str| {
        let mut child = command(&[&"check", &"-", &"--json"])
            .current_dir(folder.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(text.as_bytes()).expect("it is read");
        drop(input);
        let mut out = String::new();
        child.stdout.take().expect("a pipe").read_to_string(&mut out).expect("text");
        (child.wait().expect("it ends").code(), serde_json::from_str::<Value>(&out).expect(&out))
    };
    let (code, document) = from_stdin(&text);
    assert_eq!((code, document["name"].as_str()), (Some(0), Some("stdin")));
    let (code, document) = from_stdin("[kernel]\nsede = 1\n");
    let error = document["error"].as_str().expect("an error");
    assert!(code == Some(2) && error.contains("stdin, line 2"), "{error}");
}

#[cfg(unix)]
#[test]
fn names_of_files_may_be_any_bytes() {
    use std::os::unix::ffi::OsStrExt;

    let folder = Folder::new(3);
    let strange = folder.dir.path().join(OsStr::from_bytes(b"a b\xff'\".toml"));
    fs::copy(folder.path("run.toml"), &strange).expect("copied");
    let log = folder.dir.path().join(OsStr::from_bytes(b"log \xfe"));
    let name = name(&folder);
    let ran = engine(&[&"run", &strange, &"--log", &log, &"--name", &name, &"--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(engine(&[&"verify", &log, &"--json"]).code, 0);
    assert_eq!(engine(&[&"check", &Path::new("a b\u{fffd}")]).code, 2);
}

#[test]
fn unknown_words_are_answered_with_the_nearest() {
    let folder = Folder::new(3);
    let config = folder.path("run.toml");
    for (set, near) in [
        ("kernel.sede=1", "`seed`"),
        ("kernle.seed=1", "`kernel`"),
        ("kernel.schedule=fiffo", "`fifo`"),
        ("agent.sttaion.count=1", "`station`"),
        ("agent.station.for_each=whether", "`weather`"),
    ] {
        let refused = engine(&[&"check", &config, &"--set", &set]);
        let expected = format!("(did you mean {near}?)");
        assert!(refused.code == 2 && refused.err.contains(&expected), "{set}: {}", refused.err);
    }
    assert!(engine(&[&"vrify"]).err.contains("'verify'"));
}

#[test]
fn every_command_has_examples_exit_codes_and_a_page() {
    for command in ["run", "check", "replay", "verify", "inspect", "model", "doctor", "bench"] {
        let help = engine(&[&command, &"--help"]).out;
        let example = format!("\n  wasm-engine {command}");
        assert!(help.contains(&example) && help.contains("Exit codes: "), "{help}");
        let page = engine(&[&"man", &command]);
        assert!(page.code == 0 && page.out.contains(".SH SYNOPSIS"), "{}", page.out);
        let completions = engine(&[&"completions", &"bash"]);
        assert!(completions.out.contains(command), "{command}");
    }
    let unknown = engine(&[&"man", &"vrify"]);
    assert!(unknown.code == 2 && unknown.err.contains("(did you mean `verify`?)"));
    let version = engine(&[&"--version"]).out;
    for part in
        ["wasm-engine ", "\nengine      wasmtime ", "\nguest ABI", "\nlog format", "\ncommit"]
    {
        assert!(version.contains(part), "{version}");
    }
    assert_eq!(engine(&[&"-V"]).out.lines().count(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn the_doctor_finds_what_is_taken_away() {
    let folder = Folder::new(1);
    let conditions = |prepare: &str, dir: &Path| {
        // A shell takes away, then becomes the program.
        let script = format!("{prepare}; exec \"$0\" doctor --json --dir \"$1\"");
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_wasm-engine")])
            .arg(dir)
            .env_remove("ORT_DYLIB_PATH")
            .env("XDG_CACHE_HOME", CACHES)
            .output()
            .expect("a shell starts");
        let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
        let findings = document["findings"].as_array().expect("findings").clone();
        let condition = move |name: &str| {
            let found = findings.iter().find(|finding| finding["name"] == name);
            found.and_then(|finding| finding["condition"].as_str()).unwrap_or("none").to_owned()
        };
        (output.status.code(), condition)
    };
    let here = folder.dir.path();
    let (code, condition) = conditions("true", here);
    assert_eq!(code, Some(0));
    assert_eq!(condition("sealed memory"), "fine");
    // No library, no address space for guarded memories, no disk: a kernel runs all the same.
    let less = "export ORT_DYLIB_PATH=/nowhere/lib.so; ulimit -v 2000000";
    let (code, condition) = conditions(less, Path::new("/nowhere"));
    let found = ["ONNX Runtime", "address space", "disk"].map(condition);
    assert_eq!((code, found), (Some(0), ["limited"; 3].map(str::to_owned)));
    // Neither sealed memory nor a folder of its own: none runs.
    let none =
        format!("ulimit -f 8; export XDG_RUNTIME_DIR='{}'", here.join("none/at all").display());
    let (code, condition) = conditions(&none, here);
    let found = ["sealed memory", "runtime folder"].map(condition);
    assert_eq!((code, found), (Some(1), ["lacking"; 2].map(str::to_owned)));
}

#[cfg(target_os = "linux")]
#[test]
fn the_doctor_says_which_library_to_install_and_finds_it_where_it_is_installed() {
    let folder = Folder::new(1);
    let here = folder.dir.path();
    // Beside this program there is no library.
    let program = here.join("bin/wasm-engine");
    fs::create_dir(here.join("bin")).expect("made");
    if fs::hard_link(env!("CARGO_BIN_EXE_wasm-engine"), &program).is_err() {
        fs::copy(env!("CARGO_BIN_EXE_wasm-engine"), &program).expect("copied");
    }
    let doctor = |vars: &[(&str, &Path)]| {
        let mut command = Command::new(&program);
        command.args(["doctor", "--json", "--dir"]).arg(here).env("XDG_CACHE_HOME", CACHES);
        for name in ["ORT_DYLIB_PATH", "VIRTUAL_ENV", "XDG_DATA_HOME"] {
            command.env_remove(name);
        }
        let output = command
            .env("HOME", here)
            .envs(vars.iter().copied())
            .output()
            .expect("the program starts");
        let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
        let findings = document["findings"].as_array().expect("findings");
        let found = findings.iter().find(|finding| finding["name"] == "ONNX Runtime");
        let text = |key| found.and_then(|found| found[key].as_str()).unwrap_or("").to_owned();
        (text("condition"), text("found"))
    };
    let text_file = here.join("text.so");
    fs::write(&text_file, "text").expect("written");
    let cases = [
        (None, "no ONNX Runtime library found (tried "),
        (Some(here.join("none.so")), "there is no such file"),
        (Some(here.to_owned()), "it is a folder; name the file in it"),
        (Some(text_file), "it is not a shared library"),
    ];
    for (path, words) in cases {
        let named = path.as_deref().map(|path| ("ORT_DYLIB_PATH", path));
        let (condition, found) = doctor(named.as_slice());
        assert_eq!(condition, "limited");
        assert!(found.contains(words), "{found}");
        assert!(found.contains("1.28.0") && found.contains("ORT_DYLIB_PATH"), "{found}");
        if cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
            let line = "`python3 -m pip install --no-deps --only-binary=:all: --python-version \
                        3.11 --upgrade --target ~/.local/share/wasm-engine onnxruntime==1.28.0`";
            assert!(found.contains(line), "{found}");
        }
    }
    // Where that line puts it, in a Python environment, and in another folder for data.
    let Ok(library) = wasm_engine_inference::onnx::locate_library(None) else { return };
    let data = here.join(".local/share");
    let inside = "onnxruntime/capi";
    for (folder, vars) in [
        (data.join("wasm-engine").join(inside), vec![]),
        (here.join("env/lib/python3.11/site-packages").join(inside), vec!["VIRTUAL_ENV"]),
        (here.join("env/wasm-engine").join(inside), vec!["XDG_DATA_HOME"]),
    ] {
        fs::create_dir_all(&folder).expect("made");
        let link = folder.join(wasm_engine_inference::onnx::LIBRARY_FILE);
        std::os::unix::fs::symlink(library.path(), &link).expect("linked");
        let env = here.join("env");
        let vars: Vec<(&str, &Path)> = vars.into_iter().map(|name| (name, &*env)).collect();
        let (condition, found) = doctor(&vars);
        assert!(found.ends_with(&link.display().to_string()), "{condition}: {found}");
        fs::remove_file(&link).expect("just made");
    }
}

#[test]
fn the_bench_measures_every_stage_and_compares() {
    let folder = Folder::new(1);
    let dir = folder.dir.path().join("disk");
    fs::create_dir(&dir).expect("made");
    // As if a tick had taken an hour before.
    let before = folder.path("before.json");
    let hour = r#"{"quick":true,"skipped":[],"machine":{"cores":1,"line_round_trip_ns":1,
        "memcpy_bytes_per_ns":1,"memcpy_4k_bytes_per_ns":1,"system_call_ns":1,"wake_ns":1,
        "sync_ns":1,"sync_p99_ns":1},"figures":[{"stage":"tick","case":"tick: 50 agents",
        "unit":"ns","value":3.6e12,"spread":0.1}]}"#;
    fs::write(&before, hour).expect("written");
    let measured =
        engine(&[&"bench", &"--quick", &"--json", &"--against", &before, &"--dir", &dir]);
    assert_eq!(measured.code, 0, "{}{}", measured.out, measured.err);
    let document = measured.document();
    let figures = document["figures"].as_array().expect("figures");
    assert!(figures.iter().all(|figure| figure["value"].as_f64().is_some_and(|it| it > 0.0)));
    for stage in ["page", "turn", "message", "tick", "log", "replay"] {
        assert!(figures.iter().any(|figure| figure["stage"] == stage), "{stage}");
    }
    // Without the library there is a reason in place of its figure.
    let inference = figures.iter().any(|figure| figure["stage"] == "inference");
    assert_ne!(inference, document["skipped"].as_array().is_some_and(|it| !it.is_empty()));
    assert_eq!(fs::read_dir(&dir).expect("readable").count(), 0, "nothing is left");
    let change = &document["changes"][0];
    assert_eq!((&change["case"], &change["trend"]), (&"tick: 50 agents".into(), &"better".into()));
    for wrong in ["run.toml", "nowhere.json"] {
        let refused = engine(&[&"bench", &"--against", &folder.path(wrong)]);
        assert!(refused.code == 2 && refused.err.contains(wrong), "{}", refused.err);
    }
    let nowhere = engine(&[&"bench", &"--quick", &"--dir", &"/nowhere/at/all"]);
    assert!(nowhere.code == 2 && nowhere.err.contains("/nowhere/at/all"), "{}", nowhere.err);
}
