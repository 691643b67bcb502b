//! The same small agent in each language of `docs/LANGUAGES.md`, built with exactly the lines of
//! that document, run, made to panic, and refused by name without its flag for the memory's
//! maximum.
//!
//! A language whose compiler is missing says so on standard error and checks nothing.

use std::{
    fs,
    io::{Write, stderr},
    path::Path,
    process::Command,
};

use serde_json::json;
use tempfile::TempDir;
use wasm_engine::{config::Config, resolve::resolve};

use crate::support::run::{Folder, SOURCE, data, options};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A row of the document.
struct Language {
    name: &'static str,
    source: String,
    line: Vec<String>,
    version: String,
}

fn language(name: &'static str) -> Language {
    let path = Path::new(ROOT).join("docs/LANGUAGES.md");
    let text = fs::read_to_string(path).expect("the document is there");
    let row = text.lines().find(|line| line.starts_with(&format!("| {name} |")));
    let cells: Vec<&str> = row.expect("a row of this language").split(" | ").collect();
    let [_, source, line, _, version] = cells[..] else { panic!("{cells:?}") };
    let (_, source) = source.split_once("](../").expect("a link");
    Language {
        name,
        source: source.trim_end_matches(')').to_owned(),
        line: line.trim_matches('`').split_whitespace().map(str::to_owned).collect(),
        version: version.trim_end_matches(" |").to_owned(),
    }
}

/// What a program says with these arguments; nothing where it is missing.
fn says(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// Past the test runner, which keeps to itself what a test that succeeds prints.
fn skipped(name: &str, why: &str) {
    let _ = writeln!(stderr(), "SKIPPED: agents in {name}: {why}");
}

impl Language {
    /// The module that a line makes, with the manifest beside it, in a folder laid out like the
    /// repository's. Rust is built in the repository itself, into a target directory of its own.
    fn built(&self, line: &[String]) -> (Vec<u8>, Option<String>) {
        let source = Path::new(ROOT).join(&self.source);
        let folder = TempDir::new().expect("a folder");
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).env_remove("RUSTFLAGS");
        let made = if line[0] == "cargo" {
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("languages");
            let name = source.file_stem().expect("a name").to_string_lossy().into_owned();
            command.current_dir(ROOT).env("CARGO_TARGET_DIR", &target);
            let made = target.join("wasm32-unknown-unknown/release/examples");
            made.join(name).with_extension("wasm")
        } else {
            let (own, include) =
                (folder.path().join("examples/own"), folder.path().join("include"));
            for (from, into) in [
                (source.parent().expect("a folder"), &own),
                (&*Path::new(ROOT).join("agents/include"), &include),
            ] {
                fs::create_dir_all(into).expect("created");
                for entry in fs::read_dir(from).expect("read") {
                    let entry = entry.expect("read");
                    fs::copy(entry.path(), into.join(entry.file_name())).expect("copied");
                }
            }
            command.current_dir(&own);
            own.join("counter.wasm")
        };
        let output = command.output().expect("the compiler starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {line:?}: {said}", self.name);
        let manifest = fs::read_to_string(source.with_extension("manifest.toml")).ok();
        (fs::read(made).expect("the module was written"), manifest)
    }

    fn folder(&self, line: &[String], args: &str) -> Folder {
        let (wasm, manifest) = self.built(line);
        let source = SOURCE.replace("\"observation\"", "\"observation/{key}\"");
        let config = format!(
            "{source}
[[agent]]
name = 'counter'
module = 'counter.wasm'
grant = 'declared'
for_each = 'weather'
args = '{args}'

[[output]]
topic = 'observation/{{key}}/count'
for_each = 'weather'
"
        );
        let folder = Folder::with(&config, &data(4));
        fs::write(folder.path("counter.wasm"), wasm).expect("written");
        if let Some(manifest) = manifest {
            fs::write(folder.path("counter.manifest.toml"), manifest).expect("written");
        }
        folder
    }

    fn works(&self, function: &str) {
        let report =
            self.folder(&self.line, "observation/{key}").run(options()).expect("the agents run");
        assert_eq!((report.faults, report.inputs), (0, 12), "{}", self.name);
        for key in ["EWR", "JFK", "LGA"] {
            let count = &report.outputs[&format!("observation/{key}/count")];
            assert_eq!(*count, json!("\u{4}\0\0\0\0\0\0\0"), "{}", self.name);
        }
        self.panics(function);
        self.is_refused_without_a_maximum();
    }

    /// Each asserts that it has arguments.
    fn panics(&self, function: &str) {
        let report = self.folder(&self.line, "").run(options()).expect("the agents run");
        let fault = serde_json::to_string(&report.first_fault).expect("plain data");
        let file = Path::new(&self.source).file_name().expect("a name").to_string_lossy();
        for words in [function, "panicked", "at ", &format!("{file}:")] {
            assert!(fault.contains(words), "{}: no `{words}` in {fault}", self.name);
        }
        assert!(fault.contains("no topic") || fault.contains("len > 0"), "{}: {fault}", self.name);
    }

    fn is_refused_without_a_maximum(&self) {
        let is_maximum = |word: &&String| word.contains("--max");
        let (flags, rest): (Vec<&String>, Vec<&String>) = self.line.iter().partition(is_maximum);
        let [flag] = flags[..] else { panic!("{flags:?}") };
        let rest: Vec<String> = rest.into_iter().cloned().collect();
        let folder = self.folder(&rest, "observation/{key}");
        let config = Config::load(&folder.path("run.toml"), &[]).expect("a right configuration");
        let said = resolve(&config).expect_err("no maximum").to_string();
        let flag = &flag[flag.find("--max").expect("the flag")..];
        let (flag, _) = flag.split_once('=').expect("a flag with a value");
        assert!(said.contains("no maximum") && said.contains(flag), "{}: {said}", self.name);
    }
}

#[test]
fn agents_in_c_and_cpp_are_built_as_documented() {
    let lld = says("wasm-ld", &["--version"]).contains("LLD");
    if !lld || !says("clang", &["--print-targets"]).contains("wasm32") {
        return skipped("C and C++", "clang and wasm-ld (packages clang, lld) are not there");
    }
    language("C").works("agent_init");
    language("C++").works("agent_init");
}

#[test]
fn agents_in_rust_are_built_as_documented() {
    let folder = says("rustc", &["--print=target-libdir", "--target=wasm32-unknown-unknown"]);
    if !Path::new(folder.trim()).is_dir() {
        return skipped("Rust", "rustup target add wasm32-unknown-unknown");
    }
    for name in ["Rust, `no_std`", "Rust, `std`"] {
        language(name).works("agent_init");
    }
}

/// Their languages change between versions, so only the one that was tried must work.
#[test]
fn agents_in_zig_and_assemblyscript_are_built_as_documented() {
    for (name, program, args, function) in [
        ("Zig", "python3", &["-m", "ziglang", "version"][..], "counter.agent_init"),
        ("AssemblyScript", "asc", &["--version"], "counter/agent_init"),
    ] {
        let language = language(name);
        if says(program, args).contains(&language.version) {
            language.works(function);
        } else {
            skipped(name, &format!("version {} is not there", language.version));
        }
    }
}
