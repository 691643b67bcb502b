//! Whole runs in a folder of their own: configuration, module, data, log.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use wasm_engine::{
    config::Config,
    report::RunReport,
    resolve::{Resolved, resolve},
    run::{RunError, RunOptions, run},
};
use wasm_engine_abi::frame::item;

use super::{ALL, Prog, SCRIPT, prog, wasm};

/// A folder with `run.toml`, `agent.wasm` and `data.csv`.
#[derive(Debug)]
pub struct Folder {
    pub dir: TempDir,
}

/// A text as a TOML string, byte by byte.
pub fn toml_string(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for character in text.chars() {
        let _ = write!(quoted, "\\u{:04X}", character as u32);
    }
    quoted + "\""
}

/// Three streams of `rows` hours.
pub fn data(rows: u64) -> String {
    let mut text = "station,time,value\n".to_owned();
    for row in 0..rows {
        for station in ["EWR", "JFK", "LGA"] {
            let (day, hour) = (1 + row / 24, row % 24);
            let value = (row * 7 + u64::from(station.as_bytes()[0])) % 31;
            let _ = writeln!(text, "{station},2013-01-{day:02}T{hour:02}:00:00Z,{value}");
        }
    }
    text
}

/// Topics of a run, in the order of [`config`].
const OUT: u32 = 0;
const BETWEEN: u32 = 1;
const OBSERVATION: u32 = 2;

/// What every station does: publishes with each input, sets timers, tells its neighbours.
pub fn behaviour() -> Prog {
    let on_input = prog().publish_len(BETWEEN, 100).publish_len(OUT, 16).random(OUT).timer(2, 5);
    let on_timer = prog().count(OUT).cast("all", b"tick");
    prog()
        .subscribe(BETWEEN)
        .subscribe(OBSERVATION)
        .join("all")
        .on(item::INPUT, &on_input)
        .on(item::TIMER, &on_timer)
}

/// Faults with every input until its restarts are used up.
fn clumsy() -> Prog {
    prog().subscribe(OBSERVATION).on(item::INPUT, &prog().publish(OUT, b"lost").trap())
}

/// The table of a source over [`data`], for each station on one topic.
pub const SOURCE: &str = r#"
[[source]]
id = "weather"
kind = "csv"
file = "data.csv"
topic = "observation"
key = "station"
time = "time"
period_s = 3600
"#;

/// The configuration of a run on `data.csv`.
pub fn config(extra: &str) -> String {
    let init = behaviour();
    let (args, clumsy) = (toml_string(&init.args()), toml_string(&clumsy().args()));
    format!(
        r#"
[limits]
agents_max = 64
memory_bytes_max = 131072
{extra}

[log]
sync = "none"
block_bytes = 4096
segment_bytes = 65536

{SOURCE}
[[agent]]
name = "station"
module = "agent.wasm"
grant = "declared"
for_each = "weather"
args = {args}
restart = {{ kind = "fresh", backoff_ticks = 1, restarts_max = 3, window_ticks = 24 }}

[[agent]]
name = "clumsy"
module = "agent.wasm"
grant = "declared"
args = {clumsy}
restart = {{ kind = "fresh", backoff_ticks = 2, restarts_max = 3, window_ticks = 24 }}

[[topic]]
name = "out"

[[topic]]
name = "between"

[[output]]
topic = "out"
"#
    )
}

impl Folder {
    pub fn new(rows: u64) -> Self {
        Self::with(&config(""), &data(rows))
    }

    pub fn with(config: &str, data: &str) -> Self {
        let dir = TempDir::new().expect("a folder");
        fs::write(dir.path().join("run.toml"), config).expect("written");
        fs::write(dir.path().join("agent.wasm"), wasm(SCRIPT, ALL)).expect("written");
        fs::write(dir.path().join("data.csv"), data).expect("written");
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn resolved(&self) -> Resolved {
        resolved(&self.path("run.toml"))
    }

    /// Runs to the end of `options`, under a name of its own.
    pub fn run(&self, options: RunOptions) -> Result<RunReport, RunError> {
        run(self.resolved(), named(options, self.dir.path()))
    }

    /// Runs with a log in `log`.
    pub fn logged(&self, log: &str, ticks: Option<u64>) -> RunReport {
        let options = RunOptions { log_dir: Some(self.path(log)), ticks, ..options() };
        self.run(options).expect("the run succeeds")
    }

    pub fn resumed(&self, log: &str, ticks: Option<u64>) -> Result<RunReport, RunError> {
        self.run(RunOptions { resume: Some(self.path(log)), ticks, ..options() })
    }

    /// A copy of a log's folder.
    pub fn copy(&self, from: &str, into: &str) -> PathBuf {
        let into = self.path(into);
        let _ = fs::remove_dir_all(&into);
        fs::create_dir(&into).expect("created");
        for entry in fs::read_dir(self.path(from)).expect("read") {
            let entry = entry.expect("read");
            fs::copy(entry.path(), into.join(entry.file_name())).expect("copied");
        }
        into
    }
}

pub fn resolved(config: &Path) -> Resolved {
    let config = Config::load(config, &[]).expect("the configuration is right");
    resolve(&config).expect("the run resolves")
}

/// A name nobody else uses.
pub fn named(options: RunOptions, dir: &Path) -> RunOptions {
    let unique = dir.file_name().expect("a name").to_string_lossy().replace('.', "t");
    let name = options.name.unwrap_or_else(|| format!("{unique}-{}", std::process::id()));
    RunOptions { name: Some(name), ..options }
}

pub fn options() -> RunOptions {
    RunOptions::default()
}

pub fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |byte: u8| DIGITS.iter().position(|one| *one == byte).expect("a digit") as u32;
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        (held, bits) = (held << 6 | digit(byte), bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    bytes
}
