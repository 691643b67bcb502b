//! Agents in C and C++, built as the header says: where clang and its linker for WebAssembly are
//! missing these tests say so and check nothing.

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;

use wasm_engine_abi::frame::{effect, fault};

use crate::rig::{Rig, setup};

const HEADER: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../agents/include/wasm_engine_agent.h");
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guest/fixtures");

fn header() -> String {
    std::fs::read_to_string(HEADER).expect("the header is there")
}

/// The words of the header's build line.
fn build_line() -> Vec<String> {
    let text = header();
    let lines = text.lines().skip_while(|line| !line.contains("clang --target=wasm32"));
    let mut words = Vec::new();
    for line in lines {
        words.extend(line.trim_start_matches(" *").split_whitespace().map(str::to_owned));
        if words.pop_if(|last| last == "\\").is_none() {
            break;
        }
    }
    assert_eq!(words[words.len() - 3..], ["-o", "agent.wasm", "agent.c"], "{words:?}");
    words
}

/// The module in the header's comment.
fn example() -> String {
    let text = header();
    let lines = text.lines().skip_while(|line| !line.contains("#include \"wasm_engine_agent.h\""));
    let code = lines.take_while(|line| line.len() > 2);
    code.map(|line| format!("{}\n", line.trim_start_matches(" *"))).collect()
}

fn can_build() -> bool {
    let says = |program: &str, option: &str, word: &str| {
        let output = Command::new(program).arg(option).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(word))
    };
    let can = says("clang", "--print-targets", "wasm32") && says("wasm-ld", "--version", "LLD");
    if !can {
        // Past the test runner, which keeps to itself what a test that succeeds prints.
        let what = "agents in C: clang and wasm-ld (packages clang, lld) are not there";
        let _ = writeln!(stderr(), "SKIPPED: {what}");
    }
    can
}

/// Builds a source with the header's line.
fn build(source: &Path) -> Vec<u8> {
    let name = source.file_name().expect("a file").to_string_lossy().into_owned();
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.wasm"));
    let line = build_line();
    let mut command = Command::new("clang");
    command.args(&line[1..line.len() - 3]).arg("-I").arg(Path::new(HEADER).with_file_name(""));
    if name.ends_with(".cpp") {
        command.args(["-fno-exceptions", "-fno-rtti", "-fno-c++-static-destructors"]);
    }
    let output = command.arg("-Wall").arg("-o").arg(&out).arg(source).output().expect("clang runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    std::fs::read(out).expect("the module was written")
}

#[test]
fn the_example_of_the_header_is_built_and_admitted() {
    if !can_build() {
        return;
    }
    let source = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("echo.c");
    std::fs::write(&source, example()).expect("a file can be written");
    let mut rig = Rig::of_wasm(&build(&source), &setup());
    // There is no topic `in`.
    assert_eq!(rig.init(0, b"").result.fault, fault::NEGATIVE_CODE);
}

#[test]
fn a1_6_constructors_in_cpp_run_once() {
    if !can_build() {
        return;
    }
    let wasm = build(&Path::new(FIXTURES).join("ctor.cpp"));
    let mut rig = Rig::of_wasm(&wasm, &setup());
    let init = rig.init(0, b"");
    assert_eq!((init.result.fault, init.result.code), (fault::NONE, 1));
    let [logged] = init.effects[..] else { panic!("{init:?}") };
    assert_eq!(logged.kind, effect::LOG);
    for count in 2..5 {
        let turn = rig.step(&[]);
        assert_eq!((turn.result.code, turn.effects.len()), (count, 0));
    }
}

#[test]
fn a_c_stack_that_is_too_deep_is_an_access_out_of_bounds() {
    if !can_build() {
        return;
    }
    let wasm = build(&Path::new(FIXTURES).join("deep.c"));
    let mut rig = Rig::of_wasm(&wasm, &setup());
    assert_eq!(rig.init(0, b"").result.fault, fault::NONE);
    assert_eq!(rig.step(&[]).result.fault, fault::OUT_OF_BOUNDS);
}
