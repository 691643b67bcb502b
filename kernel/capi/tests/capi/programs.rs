//! Programs in C and Python over the shared library, also under valgrind.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// What the smallest host prints, in each language.
fn expected() -> String {
    let module = fs::read(root().join("../tests/kernel/fixtures/as_count.wasm")).expect("a module");
    let config = "[[source]]\nid = \"readings\"\nkind = \"live\"\ntopic = \"reading\"\n\
                  [[agent]]\nname = \"counter\"\nmodule = \"counter.wasm\"\n\
                  grant = [\"subscribe:reading\", \"publish:stats\"]\nargs = \"reading\"\n\
                  [[output]]\ntopic = \"stats\"\n";
    let builder = wasm_engine::Host::builder().config_text(config).attach("counter.wasm", module);
    let mut host = builder.start().expect("it starts");
    let mut text = String::new();
    for celsius in [18.5_f64, 19.0, 21.25] {
        host.push("readings", "readings", &celsius.to_le_bytes()).expect("room");
        host.run_until_idle(100).expect("it runs");
        for output in host.outputs() {
            text += &format!("tick {}: {}\n", output.tick, String::from_utf8_lossy(output.payload));
        }
    }
    text + &format!("digest {}\n", host.close().expect("it ends").digest)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo puts the shared library beside this test.
fn library() -> PathBuf {
    let folder = env::current_exe().expect("this test").parent().expect("a folder").to_owned();
    let library = folder.join("libwasm_engine_c.so");
    assert!(library.exists(), "{} is built with this test", library.display());
    library
}

/// A folder with the module, in which programs run.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let module = root().join("../tests/kernel/fixtures/as_count.wasm");
    fs::copy(module, folder.path().join("counter.wasm")).expect("room");
    folder
}

fn compile(folder: &TempDir, source: &str, library: &[PathBuf]) -> PathBuf {
    let program = folder.path().join("program");
    let output = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-pthread", "-I"])
        .arg(root().join("include"))
        .arg("-I")
        .arg(root().join("../../ui-bridge/include"))
        .arg(root().join(source))
        .args(library)
        .arg("-o")
        .arg(&program)
        .arg("-ldl")
        .output()
        .expect("a C compiler is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

fn run(command: &mut Command, folder: &TempDir) -> Output {
    let here = library().parent().expect("a folder").to_owned();
    command.env("LD_LIBRARY_PATH", here).current_dir(folder.path()).output().expect("it runs")
}

/// What a program printed, which succeeded.
fn printed(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    text
}

/// Says past the test runner that something is not there.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Valgrind: an error, or memory that is lost for good, is a failure.
fn valgrind(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--error-exitcode=99", "--leak-check=full", "--smc-check=all-non-file"])
        .args(["--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"])
        .arg(program);
    command
}

/// What the program of wrong uses prints.
const WRONG: &str = "garbage\nbuilders\npushes\nstructs: poll 3 ended 0\ntasks\ncommands\n\
                     callbacks and threads: 2 outputs\nforked\nclosed\n0 wrong\n";

#[test]
fn the_smallest_host_in_c_says_what_the_one_in_rust_says() {
    let folder = folder();
    let program = compile(&folder, "examples/host.c", &[library()]);
    assert_eq!(printed(run(&mut Command::new(&program), &folder)), expected());
    if !has("valgrind") {
        return skipped("the host in C under valgrind, which is not there");
    }
    assert_eq!(printed(run(&mut valgrind(&program), &folder)), expected());
}

#[test]
fn wrong_use_of_each_call_is_a_result_and_never_a_crash() {
    let folder = folder();
    let program = compile(&folder, "tests/programs/wrong.c", &[library()]);
    assert_eq!(printed(run(&mut Command::new(&program), &folder)), WRONG);
    if !has("valgrind") {
        return skipped("wrong use in C under valgrind, which is not there");
    }
    assert_eq!(printed(run(&mut valgrind(&program), &folder)), WRONG);
}

#[test]
fn a_kernel_with_threads_outlives_the_unloading_of_its_library() {
    let folder = folder();
    let program = compile(&folder, "tests/programs/unload.c", &[]);
    let output = run(Command::new(&program).arg(library()), &folder);
    assert_eq!(printed(output), "unloaded, and closed\n");
}

/// Every function of the header has been used wrongly.
#[test]
fn the_program_of_wrong_uses_knows_each_function() {
    let read = |file: &str| fs::read_to_string(root().join(file)).expect("it is there");
    let wrong = read("tests/programs/wrong.c");
    for function in crate::python_tables::functions(&read("include/wasm_engine.h")) {
        assert!(wrong.contains(&function.name), "{} is not used wrongly", function.name);
    }
}

#[test]
fn nothing_but_the_functions_of_the_header_is_exported() {
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(library()).output();
    let Ok(output) = output else { return skipped("exported names: nm is not there") };
    let names = printed(output);
    let header = fs::read_to_string(root().join("include/wasm_engine.h")).expect("the header");
    let mut declared: Vec<String> =
        crate::python_tables::functions(&header).into_iter().map(|one| one.name).collect();
    declared.sort();
    let names = names.lines().filter_map(|line| line.split(' ').nth(2));
    let mut ours: Vec<&str> = names.filter(|name| name.starts_with("we_")).collect();
    ours.sort_unstable();
    assert_eq!(ours, declared);
}

fn python(folder: &TempDir, script: &Path) -> Command {
    let mut command = Command::new("python3");
    command.args(["-B", "-W", "error"]).arg(script);
    command.env("PYTHONPATH", root().join("python")).env("WASM_ENGINE_LIBRARY", library());
    command.current_dir(folder.path());
    command
}

#[test]
fn the_smallest_host_in_python_says_what_the_one_in_rust_says() {
    if !has("python3") {
        return skipped("the host in Python, which is not there");
    }
    let folder = folder();
    let script = root().join("examples/host.py");
    assert_eq!(printed(run(&mut python(&folder, &script), &folder)), expected());
}

#[test]
fn python_hosts_have_their_errors_callbacks_and_views() {
    if !has("python3") {
        return skipped("hosts in Python, which is not there");
    }
    let folder = folder();
    let script = root().join("tests/programs/hosts.py");
    let text = printed(run(&mut python(&folder, &script), &folder));
    assert_eq!(text.lines().last(), Some("all held"), "{text}");
    if text.contains("without numpy") {
        skipped("payloads as numpy arrays: numpy is not there");
    }
}

/// What the README shows is what is compiled here.
#[test]
fn the_hosts_of_the_readme_are_the_ones_that_run() {
    let read = |file: &str| fs::read_to_string(root().join(file)).expect("it is there");
    let readme = read("../../README.md");
    for (file, begin) in [("examples/host.c", "int main"), ("examples/host.py", "def main")] {
        let text = read(file);
        let at = text.find(begin).expect("its main");
        assert!(readme.contains(text[at..].trim_end()), "the README shows {file} as it is");
        assert!(text[at..].lines().count() <= 30, "{file} is short");
    }
}
