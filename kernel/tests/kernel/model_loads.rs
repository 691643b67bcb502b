//! Models that come and go during a run, and commands of the host, in whole runs.
//!
//! Needs the ONNX Runtime library where models are asked; see `models.rs`.

use std::fs;

use wasm_engine::{
    config::Config,
    exit::HasExitCode,
    replay::{ReplayOptions, verify},
    report::{Ended, RunModelReport, RunReport},
    resolve::resolve,
    run::RunOptions,
};
use wasm_engine_abi::frame::item;

use crate::{
    models::ready,
    support::{
        prog,
        run::{Folder, SOURCE, data, options, toml_string},
    },
};

/// `y = x`, as long as no row is 0x42424242.
const MODEL: &[u8] = include_bytes!("fixtures/counts.onnx");
const OUT: u32 = 0;
const OBSERVATION: u32 = 1;
const ROWS: u64 = 16;

/// One agent that asks these handles with each input and publishes the replies' heads.
fn folder(handles: &[u32], rest: &str) -> Folder {
    let row = 3.0_f32.to_le_bytes();
    let on_input = handles.iter().fold(prog(), |prog, handle| prog.infer(*handle, &row));
    let init =
        prog().subscribe(OBSERVATION).on(item::INPUT, &on_input).on(item::REPLY, &prog().echo(OUT));
    let args = toml_string(&init.args());
    let config = format!(
        "[limits]\nagents_max = 8\nanswers_max = 64\nmemory_bytes_max = 131072\n\
         models_bytes_max = 100\n[log]\nsync = \"none\"\n{SOURCE}\n\
         [[agent]]\nname = \"asker\"\nmodule = \"agent.wasm\"\ngrant = \"declared\"\n\
         args = {args}\n[[topic]]\nname = \"out\"\n[[output]]\ntopic = \"out\"\n{rest}"
    );
    let folder = Folder::with(&config, &data(ROWS));
    fs::write(folder.path("model.onnx"), MODEL).expect("written");
    fs::write(folder.path("other.onnx"), MODEL).expect("written");
    folder
}

fn model(name: &str, keys: &str) -> String {
    format!("[[model]]\nname = \"{name}\"\nmemory_bytes = 40\n{keys}\n")
}

fn command(tick: u64, action: &str, keys: &str) -> String {
    format!("[[command]]\ntick = {tick}\naction = \"{action}\"\n{keys}\n")
}

fn outputs(folder: &Folder, log: &str) -> String {
    fs::read_to_string(folder.path(log).join("outputs.jsonl")).expect("read")
}

fn confirmed(folder: &Folder, log: &str, run: &RunReport) {
    let options = ReplayOptions { recompute: true, ..ReplayOptions::default() };
    let verified = verify(&folder.path(log), options).expect("verifies");
    assert_eq!(verified.divergence, None);
    assert_eq!((verified.run.digest, &verified.run.models), (run.digest, &run.models));
    assert_eq!(verified.run.commands, run.commands);
}

/// Models of every kind, whose room is less than all of them need, and every command about them.
fn busy() -> Folder {
    let models = [
        model("m", "file = \"model.onnx\"\nversion = 1\npinned = true\nlatency_ticks = 3"),
        model(
            "m",
            "file = \"other.onnx\"\nversion = 2\npinned = true\nload = \"command\"\nload_ticks = 2",
        ),
        model("late", "file = \"model.onnx\"\nload = \"request\""),
        model("often", "file = \"model.onnx\"\nload = \"request\"\nload_ticks = 3"),
    ];
    let commands = [
        // Out of order in the file.
        command(10, "swap", "model = \"m@2\""),
        command(2, "swap", "model = \"m@1\""),
        command(5, "swap", "model = \"m@2\""),
        command(6, "unload", "model = \"m@1\""),
        command(7, "load", "model = \"m@2\""),
        command(12, "unload", "model = \"late\""),
        command(14, "spawn", "agent = \"asker\""),
        command(15, "pause", "agent = \"asker/0\""),
    ];
    folder(&[4, 2, 4, 3], &(models.concat() + &commands.concat()))
}

#[test]
fn a13_3_i3_8_t7_8_models_come_and_go_and_the_run_is_the_same_resumed_anywhere() {
    if !ready() {
        return;
    }
    let folder = busy();
    let whole = folder.logged("whole", None);
    assert_eq!((whole.ended, whole.faults, whole.commands), (Ended::Done, 0, 8));
    let moved = |model: &RunModelReport| model.requests > 0 && model.loads + model.unloads > 0;
    assert!(whole.models.iter().all(moved), "{:?}", whole.models);
    let refused: u64 = whole.models.iter().map(|model| model.refused).sum();
    assert!(refused > 0 && outputs(&folder, "whole").contains('\n'));
    let sum = |count: fn(&RunModelReport) -> u64| whole.models.iter().map(count).sum::<u64>();
    assert_eq!(whole.inferences_refused, refused);
    assert_eq!((whole.model_loads, whole.model_loads_failed), (sum(|model| model.loads), 0));
    assert_eq!(whole.model_unloads, sum(|model| model.unloads));
    assert_eq!(whole.model_evictions, sum(|model| model.evictions));
    assert!(whole.model_evictions > 0 && whole.model_evictions < whole.model_unloads);
    assert!(sum(|model| model.not_loaded) > 0);
    confirmed(&folder, "whole", &whole);
    for cut in [2, 3, 6, 7, 8, 10, 13] {
        assert_eq!(folder.logged("part", Some(cut)).ended, Ended::Ticks);
        let resumed = folder.resumed("part", None).expect("it goes on");
        assert_eq!((resumed.digest, &resumed.models), (whole.digest, &whole.models), "at {cut}");
        assert!(outputs(&folder, "part") == outputs(&folder, "whole"), "cut at {cut}");
        confirmed(&folder, "part", &resumed);
        fs::remove_dir_all(folder.path("part")).expect("removed");
    }
    // Three agents would make another run, two workers do not.
    let two = RunOptions { workers: Some(2), log_dir: Some(folder.path("two")), ..options() };
    assert_eq!(folder.run(two).expect("it runs").digest, whole.digest);
}

#[test]
fn a13_3_a_file_that_changed_since_is_not_loaded_and_the_run_goes_on() {
    if !ready() {
        return;
    }
    let models = [model("m", "file = \"model.onnx\"\nload = \"request\"\nload_ticks = 2")];
    let folder = folder(&[0], &models.concat());
    let path = folder.path("model.onnx");
    let change = Box::new({
        let path = path.clone();
        move |progress: &wasm_engine::report::Progress| match progress.tick {
            0 => fs::write(&path, b"no model").expect("written"),
            6 => fs::write(&path, MODEL).expect("written"),
            _ => {}
        }
    });
    let log_dir = Some(folder.path("log"));
    let run = folder.run(RunOptions { log_dir, progress: Some(change), ..options() });
    let run = run.expect("it goes on");
    let one = &run.models[0];
    assert!(one.loads_failed >= 1 && one.loads == one.loads_failed + 1, "{one:?}");
    assert!(one.loaded && one.requests > 0 && one.refused > 0, "{one:?}");
    confirmed(&folder, "log", &run);
    // What the run had loaded is there no more: it cannot go on, and says why.
    let cut = folder.logged("cut", Some(8));
    assert!(cut.models[0].loaded);
    let resumed = {
        let resolved = folder.resolved();
        fs::remove_file(&path).expect("removed");
        let options = RunOptions { resume: Some(folder.path("cut")), ..options() };
        wasm_engine::run::run(resolved, crate::support::run::named(options, folder.dir.path()))
    };
    let error = resumed.expect_err("its file is gone");
    let text = error.to_string();
    assert!(text.contains("model m") && text.contains("model.onnx"), "{text}");
}

#[test]
fn l5_4_a_run_is_not_resumed_with_other_commands() {
    if !ready() {
        return;
    }
    let folder = busy();
    folder.logged("log", Some(5));
    let config = fs::read_to_string(folder.path("run.toml")).expect("read");
    let other = config.replace("tick = 15", "tick = 16");
    assert_ne!(config, other);
    fs::write(folder.path("run.toml"), other).expect("written");
    let error = folder.resumed("log", None).expect_err("other commands");
    assert!(error.to_string().contains("the commands of the configuration"), "{error}");
    assert_eq!(error.exit().code(), 2);
}

#[test]
fn t7_8_commands_about_agents_need_no_model() {
    let spawned = toml_string(&prog().publish(OUT, b"made by the host").args());
    let commands = [
        command(1, "pause", "agent = \"asker/0\""),
        command(2, "spawn", &format!("agent = \"asker\"\nargs = {spawned}")),
        command(40, "terminate", "agent = \"asker/0\""),
        command(41, "resume", "agent = \"asker/0\""),
    ];
    let folder = folder(&[], &commands.concat());
    let run = folder.logged("log", None);
    assert_eq!((run.ended, run.last_tick), (Ended::Done, 41), "a command names its tick");
    assert_eq!((run.commands, run.commands_refused, run.agents), (4, 1, 1));
    let made = outputs(&folder, "log");
    assert_eq!(made.lines().count(), 1, "{made}");
    assert!(made.contains("made by the host"), "{made}");
    confirmed(&folder, "log", &run);
}

#[test]
fn a_command_that_cannot_be_is_refused_by_its_key() {
    let models = [
        model("m", "file = \"model.onnx\"\nversion = 1"),
        model("m", "file = \"model.onnx\"\nversion = 2"),
        model("one", "file = \"model.onnx\"\nload = \"request\""),
    ];
    for (commands, expected) in [
        (command(0, "load", "model = \"one\""), "command.0.tick is 0"),
        (command(1, "load", ""), "command.0.model is missing"),
        (command(1, "load", "model = \"one\"\nagent = \"a\""), "command.0.agent stands beside"),
        (command(1, "load", "model = \"one\"\nargs = \"a\""), "command.0.args is for spawn"),
        (command(1, "load", "model = \"on\""), "`m@1`, `m@2`, `one`"),
        (command(1, "load", "model = \"m\""), "name one: `m@1`, `m@2`"),
        (command(1, "swap", "model = \"m\""), "name one: `m@1`, `m@2`"),
        (command(1, "swap", "model = \"m@3\""), "is no model of the run"),
        (command(1, "swap", "model = \"one\""), "is the only version"),
        (command(1, "pause", "agent = \"asker\""), "such as `asker/0`"),
        (command(1, "spawn", "agent = \"asker/0\""), "is the name of no [[agent]]"),
        (command(1, "explode", "agent = \"asker\""), "unknown variant `explode`"),
        (command(1 << 62, "pause", "agent = \"asker/0\"").repeat(4097), "more than 4096"),
        ("[[model]]\nname = \"x\"\nfile = \"model.onnx\"\nmemory_bytes = 101\nload = \"request\""
            .to_owned(), "never loaded"),
        ("[[model]]\nname = \"x\"\nfile = \"model.onnx\"\nmemory_bytes = 30".to_owned(),
            "with the models before it 110"),
        ("[[model]]\nname = \"x\"\nfile = \"model.onnx\"\nload_ticks = 0".to_owned(),
            "model.x.load_ticks is 0"),
    ] {
        let folder = folder(&[], &(models.concat() + &commands));
        let path = folder.path("run.toml");
        let error = match Config::load(&path, &[]) {
            Err(error) => error.to_string(),
            Ok(config) => resolve(&config).expect_err("it cannot be").to_string(),
        };
        assert!(error.contains(expected), "{error} does not say {expected}");
    }
}
