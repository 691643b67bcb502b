//! S11: from exec to the end of the first tick, without models: with an empty cache of compiled
//! modules, and with a full one.
//!
//! A process of the command runs one tick of N trivial agents and one that logs a line when it
//! starts. The line is shown when the tick is closed, so its arrival on standard error ends the
//! measurement: nothing of the process is left out, not its loading either, and nobody asks the
//! process about itself. The limit is the same process that only says its version.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::measure::{Scale, clock_ns, median};
use crate::row::{Row, Unit};

/// What the goal allows, in ns.
const FIRST_TICK_NS: f64 = 50e6;
/// What the agent that speaks says.
const LINE: &str = "started";

/// An agent that does what is filled in when it starts, and nothing else.
const AGENT: &str = r#"
(module
  {import}
  (memory (export "memory") 1 1)
  (data (i32.const 0) "started")
  (func (export "agent_inbox") (result i32) (i32.const 1024))
  (func (export "agent_inbox_cap") (result i32) (i32.const 4096))
  (func (export "agent_init") (result i32) {init})
  (func (export "agent_receive") (param i32) (result i32) (i32.const 0))
  (func (export "agent_step") (param i32) (result i32) (i32.const 0))
  (func (export "agent_shutdown") (result i32) (i32.const 0))
  (@custom "wasm_engine.manifest"
    "name = \"agent\"\nversion = \"1.0.0\"\nabi = 1\ncapabilities = [\"log\"]\n"))
"#;

/// A run in a folder of its own.
struct Run {
    dir: TempDir,
    program: PathBuf,
}

/// The rows.
///
/// # Panics
/// If a run fails, or its digest depends on the cache.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    let program = match program() {
        Ok(program) => program,
        Err(reason) => {
            return vec![Row::skipped("S11", "first tick of 50 agents, warm", Unit::Ns, reason)];
        }
    };
    let version = || {
        let begin = clock_ns();
        let output = Command::new(&program).arg("--version").output().expect("it starts");
        assert!(output.status.success(), "it says its version");
        (clock_ns() - begin) as f64
    };
    let limit = median(&(0..scale.segments).map(|_| version()).collect::<Vec<_>>());
    let mut rows = Vec::new();
    for agents in [50, 1_000] {
        let run = Run::new(agents, program.clone());
        let cold: Vec<_> =
            (0..scale.segments.div_ceil(3)).map(|n| run.first_tick(&format!("cold{n}"))).collect();
        let warm: Vec<_> = (0..scale.segments * 2).map(|_| run.first_tick("cold0")).collect();
        for (case, measured) in [("no module compiled", &cold), ("all modules compiled", &warm)] {
            assert!(measured.iter().all(|(_, digest)| *digest == cold[0].1), "{agents}, {case}");
            let ns: Vec<f64> = measured.iter().map(|(ns, _)| *ns).collect();
            let case = format!("first tick of {agents} agents, {case} before");
            let row = Row::new("S11", case, Unit::Ns, median(&ns)).limit(limit);
            rows.push(row);
        }
        let warm = rows.pop().expect("it was put there");
        rows.push(warm.at_most(FIRST_TICK_NS));
    }
    rows
}

impl Run {
    /// A run of `agents` trivial agents and one that speaks.
    fn new(agents: u32, program: PathBuf) -> Self {
        let dir = tempfile::tempdir().expect("there is a temporary directory");
        let write = |name: &str, content: &[u8]| {
            std::fs::write(dir.path().join(name), content).expect("it can be written");
        };
        let module = |import: &str, init: &str| {
            let text = AGENT.replace("{import}", import).replace("{init}", init);
            wat::parse_str(text).expect("the text is a module")
        };
        write("trivial.wasm", &module("", "(i32.const 0)"));
        let log = "(import \"wasm_engine\" \"log\" (func $log (param i32 i32 i32) (result i32)))";
        let say = "(call $log (i32.const 2) (i32.const 0) (i32.const 7))";
        write("speaker.wasm", &module(log, say));
        let agent = |name: &str, count: u32| {
            format!(
                "[[agent]]\nname = \"{name}\"\nmodule = \"{name}.wasm\"\ncount = {count}\n\
                 grant = \"declared\"\n"
            )
        };
        let config = agent("trivial", agents) + &agent("speaker", 1);
        write("start.toml", config.as_bytes());
        Self { dir, program }
    }

    /// Nanoseconds from exec to the end of tick 0 with the cache `cache`, and the digest.
    fn first_tick(&self, cache: &str) -> (f64, String) {
        let begin = clock_ns();
        let mut process = Command::new(&self.program)
            .args(["run", "start.toml", "--ticks", "1", "--json", "--name"])
            .arg(format!("start-{}", std::process::id()))
            .current_dir(self.dir.path())
            .env("XDG_CACHE_HOME", self.dir.path().join(cache))
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = BufReader::new(process.stderr.take().expect("it is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it can be read");
        let ns = (clock_ns() - begin) as f64;
        assert!(line.contains(LINE), "{line}");
        said.read_to_string(&mut line).expect("it can be read");
        let output = process.wait_with_output().expect("it ends");
        let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
        assert!(output.status.success(), "{document}{line}");
        (ns, document["digest"].as_str().expect("a digest").to_owned())
    }
}

/// The command, which is built beside this program.
fn program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let name = format!("wasm-engine{}", std::env::consts::EXE_SUFFIX);
    // Test programs are one folder further down.
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder: &Path| folder.join(&name)).find(|program| program.exists());
    found.ok_or_else(|| "there is no wasm-engine beside this program, build it".to_owned())
}
