//! Configurations, good and bad: what is read, what is refused and with which words, what a data
//! file becomes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use tempfile::TempDir;
use wasm_engine::{
    config::Config,
    exit::{Exit, HasExitCode},
    resolve::{ResolveError, Resolved, resolve},
    sources::{Due, Source, SourceError},
};
use wasm_engine_abi::AgentId;
use wasm_engine_log::outputs::{LastOutputs, OUTPUTS_FILE, OutputError, OutputFile, OutputLine};
use wasm_engine_setup::{Policy, Restart, Schedule, SyncPolicy};

/// A folder with a configuration, a module, a model and a data file.
struct Folder {
    dir: TempDir,
}

const CONFIG: &str = r#"
[kernel]
seed = 7
schedule = "priority"

[log]
sync = "16MiB"

[[source]]
id = "weather"
kind = "csv"
file = "data.csv"
topic = "observation/{key}"
key = "station"
time = "time_utc"
period_s = 3600

[[agent]]
name = "forecaster"
module = "agent.wasm"
for_each = "weather"
grant = "declared"
args = '{"topic": "observation/{key}", "copy": {copy}}'
restart = { kind = "fresh", backoff_ticks = 1, restarts_max = 3, window_ticks = 24 }

[[agent]]
name = "idle"
module = "agent.wasm"
count = 2
args = "{copy}"
grant = ["subscribe:observation/EWR", "publish:**", "infer:other"]

[[model]]
name = "temperature"
file = "model.onnx"

[[topic]]
name = "forecast/{key}"
for_each = "weather"
policy = "latest_only"

[[output]]
topic = "forecast/*"

[[output]]
topic = "alarm"
"#;

const DATA: &str = "station,time_utc,temp,wind\n\
    EWR,2013-01-01T06:00:00Z,1.5,\n\
    JFK,2013-01-01T06:00:00Z,2,20\n\
    JFK,2013-01-01T07:00:00Z,3,1e1\n\
    EWR,2013-01-01T07:00:00Z,4,30\n\
    EWR,2013-01-01T10:00:00Z,5,40\n";

const AGENT: &str = r#"(module
    (memory (export "memory") 1 1)
    (func (export "agent_init") (result i32) i32.const 0)
    (func (export "agent_receive") (param i32) (result i32) i32.const 0)
    (func (export "agent_step") (param i32) (result i32) i32.const 0)
    (func (export "agent_shutdown") (result i32) i32.const 0)
    (func (export "agent_inbox") (result i32) i32.const 0)
    (func (export "agent_inbox_cap") (result i32) i32.const 4096)
    (@custom "wasm_engine.manifest"
        "name = \"agent\"\nversion = \"1\"\nabi = 1\ncapabilities = ["
        "\"subscribe:observation/**\", \"publish:forecast/**\", \"infer:temperature\"]\n"
        "fuel_per_call = 1000\n")
)"#;

impl Folder {
    fn new() -> Self {
        let folder = Self { dir: TempDir::new().expect("a temporary folder") };
        folder.write("weather.toml", CONFIG);
        folder.write("data.csv", DATA);
        folder.write("model.onnx", "weights");
        folder.write_bytes("agent.wasm", &wat::parse_str(AGENT).expect("valid text"));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        self.write_bytes(name, text.as_bytes());
    }

    fn write_bytes(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a writable folder");
    }

    fn load(&self, sets: &[&str]) -> Result<Config, (Exit, String)> {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        Config::load(&self.path("weather.toml"), &sets)
            .map_err(|error| (error.exit(), error.to_string()))
    }

    fn resolve(&self, sets: &[&str]) -> Result<Resolved, (Exit, String)> {
        let config = self.load(sets)?;
        resolve(&config).map_err(|error| (error.exit(), error.to_string()))
    }

    /// The error of `sets` has this exit code and names all of these.
    #[track_caller]
    fn refuses(&self, sets: &[&str], exit: Exit, parts: &[&str]) {
        let (found, message) = self.resolve(sets).expect_err("a refusal");
        assert_eq!(found, exit, "{message}");
        for part in parts {
            assert!(message.contains(part), "{message:?} does not name {part:?}");
        }
        assert!(!message.contains('\n'), "{message:?} has one line");
    }
}

#[test]
fn a_configuration_becomes_a_setup() {
    let folder = Folder::new();
    let run = folder.resolve(&[]).expect("a good configuration");
    let setup = &run.setup;
    assert_eq!((setup.seed, setup.schedule, setup.aging_ticks), (7, Schedule::Priority, 16));
    let topics: Vec<_> =
        setup.topics.iter().map(|t| (t.name.as_str(), t.policy, t.output)).collect();
    assert_eq!(
        topics,
        [
            ("forecast/EWR", Policy::LatestOnly, true),
            ("forecast/JFK", Policy::LatestOnly, true),
            ("observation/EWR", Policy::Refuse, false),
            ("observation/JFK", Policy::Refuse, false),
            ("alarm", Policy::Refuse, true),
        ]
    );
    let names: Vec<_> = run.setup.agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["forecaster/EWR", "forecaster/JFK", "idle/0", "idle/1"]);
    let agents: Vec<_> =
        setup.agents.iter().map(|a| (a.template, a.copy, a.args.as_str())).collect();
    assert_eq!(
        agents,
        [
            (0, 0, "{\"topic\": \"observation/EWR\", \"copy\": 0}"),
            (0, 1, "{\"topic\": \"observation/JFK\", \"copy\": 0}"),
            (1, 0, "0"),
            (1, 1, "1"),
        ]
    );
    let restart = Restart::Fresh { backoff_ticks: 1, restarts_max: 3, window_ticks: 24 };
    assert_eq!((setup.templates[0].restart, setup.templates[0].fuel_per_call), (restart, 1000));
    assert_eq!(
        setup.templates[0].capabilities,
        ["infer:temperature", "publish:forecast/**", "subscribe:observation/**"]
    );
    // In force is what is declared and granted.
    assert_eq!(
        setup.templates[1].capabilities,
        ["publish:forecast/**", "subscribe:observation/EWR"]
    );
    assert!(std::sync::Arc::ptr_eq(&run.modules[0], &run.modules[1]));
    assert_eq!(
        setup.models[0].sha256,
        "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    );
}

#[test]
fn d3_4_what_is_physical_stays_out_of_the_setup() {
    // SEMANTICS D3: lanes, waiting, pinning, pace, log policy, paths and the name are excluded.
    let folder = Folder::new();
    let plain = folder.resolve(&[]).expect("good");
    let sets = [
        "kernel.workers=2",
        "kernel.wait=park",
        "kernel.pin=false",
        "kernel.pace=10",
        "kernel.name=other",
        "kernel.ticks=5",
        "log.sync=none",
        "region.backing=file",
    ];
    let other = folder.resolve(&sets).expect("good");
    assert_eq!(plain.setup, other.setup);
    assert_ne!(plain.physical, other.physical);
    assert_eq!((plain.physical.name.as_str(), other.physical.name.as_str()), ("weather", "other"));
    assert_eq!(
        (plain.physical.log.sync, other.physical.log.sync),
        (SyncPolicy::EveryBytes(16 << 20), SyncPolicy::None)
    );
    assert_ne!(plain.setup, folder.resolve(&["kernel.seed=8"]).expect("good").setup);
}

#[test]
fn broken_files_are_refused_with_their_line() {
    let folder = Folder::new();
    for (text, parts) in [
        ("[kernel]\nsede = 1\n", &["line 2", "sede", "seed"][..]),
        ("[kernel]\n\nseed = \"x\"\n", &["line 3", "invalid type"]),
        ("[kernel]\nseed = -1\n", &["line 2", "-1"]),
        ("[kernel]\nseed = 1\nseed = 2\n", &["line 3", "duplicate"]),
        ("[kernel\n", &["line 1"]),
        ("[kernels]\n", &["line 1", "kernels"]),
        ("[kernel]\nschedule = \"random\"\n", &["line 2", "random", "round_robin"]),
        ("[log]\nsync = \"5 parsecs\"\n", &["line 2", "5 parsecs", "16MiB"]),
        ("[log]\nlevel = \"full\"\n", &["log.level", "not built yet"]),
        ("[[agent]]\nname = \"a\"\n", &["line 1", "module"]),
        (
            "[[agent]]\nname = \"a\"\nmodule = \"m\"\nrestart = \"often\"\n",
            &["line 4", "often", "never"],
        ),
        (
            "[[agent]]\nname = \"a\"\nmodule = \"m\"\nrestart = { kind = \"fresh\" }\n",
            &["line 4", "backoff_ticks"],
        ),
        ("[limits]\nagents_max = 0\n", &["limits.agents_max", "at least 1"]),
        ("[limits]\npayload_bytes_max = 2000000\n", &["limits.payload_bytes_max", "1048576"]),
    ] {
        folder.write("weather.toml", text);
        let (exit, message) = folder.load(&[]).expect_err(text);
        assert_eq!(exit, Exit::Usage);
        assert!(message.contains("weather.toml"), "{message}");
        for part in parts {
            assert!(message.contains(part), "{message:?} does not name {part:?}");
        }
    }
    fs::remove_file(folder.path("weather.toml")).expect("it was there");
    folder.refuses(&[], Exit::Usage, &["weather.toml", "cannot be read"]);
}

#[test]
fn overrides_are_applied_or_refused_by_name() {
    let folder = Folder::new();
    let config = folder
        .load(&[
            "source.0.copies=444",
            "agent.idle.count=3",
            "agent.forecaster.restart=never",
            "limits.effects_max=64",
            "kernel.schedule=fifo",
            "kernel.seed=1",
            "kernel.seed=2",
        ])
        .expect("good overrides");
    assert_eq!((config.source[0].copies, config.agent[1].count), (444, 3));
    assert_eq!((config.agent[0].restart, config.limits.effects_max), (Restart::Never, 64));
    assert_eq!((config.kernel.schedule, config.kernel.seed), (Schedule::Fifo, 2));
    for (set, part) in [
        ("kernel.sede=1", "unknown field"),
        ("kernle.seed=1", "unknown field"),
        ("kernel.seed=x", "invalid type"),
        ("kernel.seed", "no `=`"),
        ("agent.nobody.count=1", "nobody"),
        ("agent.idle.count=-1", "invalid value"),
    ] {
        folder.refuses(&["kernel.pin=false", set], Exit::Usage, &["--set", set, part]);
    }
    // An override may complete a file that alone is incomplete.
    folder.write("weather.toml", "[[agent]]\nname = \"a\"\n");
    let config = folder.load(&["agent.a.module=agent.wasm"]).expect("complete by the override");
    assert_eq!(config.agent[0].module, Path::new("agent.wasm"));
    folder.refuses(&["kernel.pin=false"], Exit::Usage, &["line 1", "module"]);
}

#[test]
fn t3_5_q3_3_values_that_do_not_fit_are_refused() {
    let folder = Folder::new();
    folder.write_bytes("bad.wasm", b"\0asm\x01\0\0\0\x63");
    for (sets, exit, parts) in [
        (
            &["agent.1.name=forecaster"][..],
            Exit::Usage,
            &["agent.1.name", "forecaster", "twice"][..],
        ),
        (&["agent.0.for_each=nowhere"], Exit::Usage, &["agent.forecaster.for_each", "nowhere"]),
        (&["agent.0.count=2"], Exit::Usage, &["agent.forecaster.count", "for_each"]),
        (&["agent.1.group={key}"], Exit::Usage, &["agent.idle.group", "for_each"]),
        (&["agent.0.group={who}"], Exit::Usage, &["agent.forecaster.group", "{key}"]),
        (&["agent.0.group="], Exit::Usage, &["agent.forecaster.group", "1 to"]),
        (&["agent.1.group=g", "agent.1.count=0"], Exit::Usage, &["agent.idle.group", "count"]),
        (
            &["agent.0.group=g", "agent.1.group=g"],
            Exit::Usage,
            &["agent.idle.group", "forecaster", "restart"],
        ),
        (&["agent.1.args={key}"], Exit::Usage, &["agent.idle.args", "{key}"]),
        (&["agent.0.module=none.wasm"], Exit::Usage, &["agent.forecaster.module", "none.wasm"]),
        (&["agent.0.module=bad.wasm"], Exit::Refused, &["forecaster", "invalid WebAssembly"]),
        (&["agent.1.grant=[\"fly\"]"], Exit::Usage, &["agent.idle.grant", "fly"]),
        (&["agent.1.grant=all"], Exit::Usage, &["grant", "\"all\"", "\"declared\""]),
        (
            &["agent.0.restart.backoff_ticks=0"],
            Exit::Usage,
            &["restart.backoff_ticks", "at least 1"],
        ),
        (&["model.0.file=none.onnx"], Exit::Usage, &["model.temperature.file", "none.onnx"]),
        (&["model.0.latency_ticks=0"], Exit::Usage, &["model.temperature.latency_ticks"]),
        (&["model.0.sha256=abc"], Exit::Usage, &["model.temperature.sha256", "64"]),
        (&["source.0.file=none.csv"], Exit::Usage, &["weather", "none.csv"]),
        (&["source.0.period_s=0"], Exit::Usage, &["source.weather.period_s"]),
        (&["source.0.topic=obs//{key}"], Exit::Usage, &["source.weather.topic", "obs//EWR"]),
        (&["source.0.topic=obs/{station}"], Exit::Usage, &["source.weather.topic", "{station}"]),
        (&["topic.0.name=forecast"], Exit::Usage, &["topic.forecast.name", "second time"]),
        (&["topic.0.messages_held_max=0"], Exit::Usage, &["messages_held_max", "at least 1"]),
        (
            &["topic.0.payload_bytes_held_max=63 B"],
            Exit::Usage,
            &["payload_bytes_held_max", "at least 64"],
        ),
        (
            &["output.0.topic=nothing/*"],
            Exit::Usage,
            &["output.nothing/*.topic", "matches no topic"],
        ),
        (&["kernel.pace=0"], Exit::Usage, &["kernel.pace"]),
        (&["kernel.pace=nan"], Exit::Usage, &["kernel.pace"]),
        (&["kernel.name=a/b"], Exit::Usage, &["kernel.name", "a/b"]),
    ] {
        folder.refuses(sets, exit, parts);
    }
    let expected = "0".repeat(64);
    folder.refuses(
        &[&format!("model.0.sha256=\"{expected}\"")],
        Exit::Usage,
        &["model.temperature.sha256", &expected, "model.onnx"],
    );
}

#[test]
fn nothing_is_in_force_that_nobody_granted() {
    let folder = Folder::new();
    folder.write("weather.toml", &CONFIG.replace("grant = \"declared\"\n", ""));
    let line = "grant = [\"infer:temperature\", \"publish:forecast/**\", \
                \"subscribe:observation/**\"]";
    let parts = ["agent.forecaster.grant", line, "grant = \"declared\""];
    folder.refuses(&[], Exit::Usage, &parts);
    // An empty list is an answer, and who declares nothing needs none.
    let run = folder.resolve(&["agent.0.grant=[]"]).expect("nothing granted");
    assert_eq!(run.setup.templates[0].capabilities, [""; 0]);
    let lines = AGENT.lines().filter(|line| !line.contains("infer:temperature"));
    let meek: String =
        lines.map(|line| line.replace("capabilities = [", "capabilities = []\\n") + "\n").collect();
    folder.write_bytes("agent.wasm", &wat::parse_str(meek).expect("valid text"));
    folder.resolve(&[]).expect("it wants nothing");
}

#[test]
fn q3_3_limits_that_no_run_can_have_are_refused() {
    let folder = Folder::new();
    for (sets, exit, parts) in [
        (
            &["limits.agents_max=3"][..],
            Exit::Refused,
            &["idle", "needs 4", "limits.agents_max is 3"][..],
        ),
        (
            &["limits.fuel_per_call=999"],
            Exit::Refused,
            &["forecaster", "1000", "fuel_per_call is 999"],
        ),
        (
            &["limits.payload_bytes_per_microstep_max=4294967233"],
            Exit::Usage,
            &["limits.payload_bytes_per_microstep_max", "4294967233", "at most 2147483648"],
        ),
        (&["limits.answers_max=0"], Exit::Usage, &["limits.answers_max", "at least 1"]),
        (&["limits.payload_bytes_max=63"], Exit::Usage, &["is 63, at least 64"]),
        (
            &["limits.receive_max=1", "limits.fuel_per_microstep_max=3999999"],
            Exit::Refused,
            &["4000000", "3999999"],
        ),
        (&["limits.memory_bytes_max=1024"], Exit::Refused, &["forecaster", "65536"]),
        // SEMANTICS Q3: one agent alone fits every limit of a microstep.
        (
            &["limits.effects_per_microstep_max=31"],
            Exit::Refused,
            &["effects", "needs 32", "is 31"],
        ),
        (&["limits.payload_bytes_per_microstep_max=4095"], Exit::Refused, &["4096", "4095"]),
        (&["limits.fuel_per_microstep_max=32999999"], Exit::Refused, &["33000000", "32999999"]),
        (&["limits.inbox_bytes_max=32"], Exit::Refused, &["weather", "inbox_bytes_max"]),
    ] {
        folder.refuses(sets, exit, parts);
    }
}

#[test]
fn bad_rows_are_refused_with_line_and_column() {
    let folder = Folder::new();
    let row = "EWR,2013-01-01T06:00:00Z,1,2\n";
    for (text, parts) in [
        ("", &["is empty"][..]),
        ("station,time_utc,temp\n", &["no rows"]),
        ("stations,time_utc\n", &["no column `station`", "stations, time_utc"]),
        ("station,time_utc,a,a\n", &["name of another"]),
        ("station;time_utc;a\n", &["no column `station`", "delimiter = \";\""]),
        (&format!("H{row}EWR,2013-01-01T07:00:00Z,x1,2\n"), &["line 3", "`temp`", "`x1`"]),
        (&format!("H{row}EWR,2013-01-01T07:00:00Z,inf,2\n"), &["line 3", "`temp`", "`inf`"]),
        (
            &format!("H{row}EWR,01.01.2013 07:00,1,2\n"),
            &["line 3", "`time_utc`", "`01.01.2013 07:00`", "source.weather.time_format"],
        ),
        (&format!("H{row}EWR,2013-01-01T07:30:00Z,1,2\n"), &["line 3", "5400 s", "period_s"]),
        (&format!("H{row}EWR,2013-01-01T05:00:00Z,1,2\n"), &["line 3", "before the row above"]),
        (&format!("H{row}{row}"), &["line 3", "`station`", "same time"]),
        (&format!("H{row}EWR,2013-01-01T07:00:00Z,1\n"), &["line 3", "3 fields", "4"]),
        (&format!("H{row}\n{row}"), &["line 4", "same time", "source.weather.repeats"]),
        (&format!("H{row},2013-01-01T07:00:00Z,1,2\n"), &["line 3", "`station`", "no key"]),
        (&format!("H{row}EWR,2013-01-01T07:00:00Z,1,\"2\n{row}"), &["line 3", "quotation mark"]),
        (&format!("H{row}EWR,2013-01-01T07:00:00Z,1,a b\n"), &["`a b`", "source.weather.columns"]),
    ] {
        folder.write("data.csv", &text.replace('H', "station,time_utc,temp,wind\n"));
        let mut all = vec!["weather", "data.csv"];
        all.extend_from_slice(parts);
        folder.refuses(&[], Exit::Usage, &all);
    }
    folder.write_bytes("data.csv", b"station,time_utc\nEWR,\xff\n");
    folder.refuses(&[], Exit::Usage, &["data.csv", "line 2", "UTF-8"]);
    // A byte order mark and other line ends are no reason to refuse.
    folder.write("data.csv", &format!("\u{feff}{}", DATA.replace('\n', "\r\n")));
    assert!(folder.resolve(&[]).is_ok());
}

/// (tick, stream, seq, time, values) of every input, in order, found through `next_due`.
fn inputs(source: &Source) -> Vec<(u64, u32, u64, i64, Vec<f64>)> {
    let mut all = Vec::new();
    let mut scratch = Vec::new();
    let mut tick = 0;
    while let Some(next) = source.next_due(tick) {
        assert!(next > tick, "ticks rise");
        let before = all.len();
        assert_eq!(source.first_seq(next), before as u64);
        source.inputs_at(next, &mut scratch, |due: Due<'_>| {
            assert_eq!(due.payload.len(), source.payload_bytes() as usize);
            let time = i64::from_le_bytes(due.payload[..8].try_into().unwrap());
            assert_eq!(due.payload[8..12], due.stream.to_le_bytes());
            assert_eq!(due.payload[12..16], (source.columns().len() as u32).to_le_bytes());
            let values =
                due.payload[16..].chunks(8).map(|c| f64::from_le_bytes(c.try_into().unwrap()));
            all.push((next, due.stream, due.seq, time, values.collect()));
        });
        assert!(all.len() > before, "a due tick has inputs");
        tick = next;
    }
    assert_eq!(source.last_tick(), tick);
    all
}

#[test]
fn t7_1_rows_enter_at_their_tick_in_stream_order() {
    let folder = Folder::new();
    let run = folder.resolve(&[]).expect("good");
    let source = &run.sources[0];
    let at = |hours: i64| 1_357_020_000 + hours * 3600;
    let all = inputs(source);
    let heads: Vec<_> =
        all.iter().map(|(t, stream, seq, time, _)| (*t, *stream, *seq, *time)).collect();
    // The streams of 07:00 are the other way round in the file.
    assert_eq!(
        heads,
        [(1, 0, 0, at(0)), (1, 1, 1, at(0)), (2, 0, 2, at(1)), (2, 1, 3, at(1)), (5, 0, 4, at(4))]
    );
    assert_eq!(all[1].4, [2.0, 20.0]);
    assert_eq!((all[2].4.as_slice(), all[3].4.as_slice()), (&[4.0, 30.0][..], &[3.0, 10.0][..]));
    assert_eq!(all[0].4[1].to_bits(), 0x7ff8_0000_0000_0000, "an empty field");
    assert_eq!(source.columns(), ["temp", "wind"]);
    let mut topics = Vec::new();
    source.inputs_at(1, &mut Vec::new(), |due| topics.push(due.topic));
    let names: Vec<_> =
        topics.iter().map(|t| run.setup.topics[*t as usize].name.as_str()).collect();
    assert_eq!(names, ["observation/EWR", "observation/JFK"]);
}

/// A second table whose rows begin two hours before those of the first.
const EARLY: &str = r#"
[[source]]
id = "early"
kind = "csv"
file = "early.csv"
topic = "early"
key = "k"
time = "t"
period_s = 3600
"#;

#[test]
fn t3_2_t7_4_t7_7_rows_of_one_time_enter_together_by_the_ids_of_their_sources() {
    let folder = Folder::new();
    folder.write("weather.toml", &format!("{CONFIG}{EARLY}"));
    let rows = |times: [&str; 2]| times.map(|time| format!("x,2013-01-01T{time}Z,1\n")).concat();
    folder.write("early.csv", &format!("k,t,v\n{}", rows(["04:00:00", "06:00:00"])));
    let run = folder.resolve(&[]).expect("good");
    let ids: Vec<_> = run.setup.sources.iter().map(|source| source.id.as_str()).collect();
    assert_eq!(ids, ["early", "weather"], "in the configuration it is the other way round");
    let ticks = |at: usize| {
        let all = inputs(&run.sources[at]);
        all.iter().map(|(tick, _, seq, ..)| (*tick, *seq)).collect::<Vec<_>>()
    };
    assert_eq!(ticks(0), [(1, 0), (3, 1)]);
    assert_eq!(ticks(1), [(3, 0), (3, 1), (4, 2), (4, 3), (7, 4)]);
    // What would shift one table against the other is refused.
    let period = "source.1.period_s=1800";
    folder.refuses(&[period], Exit::Usage, &["source.weather.period_s", "3600", "`early`", "1800"]);
    folder.write("early.csv", &format!("k,t,v\n{}", rows(["04:30:00", "06:30:00"])));
    let parts = ["source.weather.period_s", "5400 s after", "`early`"];
    folder.refuses(&[], Exit::Usage, &parts);
    let halves = ["source.0.period_s=1800", "source.1.period_s=1800"];
    let run = folder.resolve(&halves).expect("half an hour divides all times");
    assert_eq!(inputs(&run.sources[1])[0].0, 4);
}

#[test]
fn d3_5_groups_are_one_name_or_one_for_each_stream_or_copy() {
    let folder = Folder::new();
    let groups = |sets: &[&str]| {
        let setup = folder.resolve(sets).expect("good").setup;
        let members: Vec<_> = setup.agents.iter().map(|agent| agent.group).collect();
        (setup.groups, members)
    };
    let (names, members) = groups(&[]);
    assert!(names.is_empty() && members.iter().all(Option::is_none));
    let (names, members) = groups(&["agent.0.group=all"]);
    assert_eq!((names, members), (vec!["all".to_owned()], vec![Some(0), Some(0), None, None]));
    let sets = ["agent.0.group=at/{key}", "agent.1.group=n{copy}"];
    let (names, members) = groups(&sets);
    assert_eq!(names, ["at/EWR", "at/JFK", "n0", "n1"]);
    assert_eq!(members, [Some(0), Some(1), Some(2), Some(3)]);
    let first =
        |sets: &[&str]| wasm_engine_core::first_digest(&folder.resolve(sets).unwrap().setup);
    assert_ne!(first(&[]), first(&["agent.0.group=all"]), "D3: groups are semantic");
}

#[test]
fn copies_see_the_series_rotated() {
    let folder = Folder::new();
    let sets = ["source.0.copies=3", "source.0.offset_rows=4", "kernel.schedule=fifo"];
    let run = folder.resolve(&sets).expect("good");
    let source = &run.sources[0];
    let names: Vec<_> = (0..source.streams()).map(|s| source.stream_name(s)).collect();
    assert_eq!(names, ["EWR", "JFK", "EWR.1", "JFK.1", "EWR.2", "JFK.2"]);
    assert_eq!(run.setup.agents[3].name, "forecaster/JFK.1");
    assert_eq!(run.setup.agents[3].args, "{\"topic\": \"observation/JFK.1\", \"copy\": 1}");
    // Copy 1 begins at step 4 of 5, copy 2 at step 8 mod 5 = 3; steps 0, 1 and 4 have rows.
    let all = inputs(source);
    let heads: Vec<_> = all
        .iter()
        .map(|(tick, stream, _, time, _)| (*tick, *stream, (time - 1_357_020_000) / 3600))
        .collect();
    assert_eq!(
        heads,
        [
            (1, 0, 0),
            (1, 1, 0),
            (1, 2, 4),
            (2, 0, 1),
            (2, 1, 1),
            (2, 2, 0),
            (2, 3, 0),
            (2, 4, 4),
            (3, 2, 1),
            (3, 3, 1),
            (3, 4, 0),
            (3, 5, 0),
            (4, 4, 1),
            (4, 5, 1),
            (5, 0, 4),
        ]
    );
    let seqs: Vec<u64> = all.iter().map(|(_, _, seq, _, _)| *seq).collect();
    assert_eq!(seqs, (0..15).collect::<Vec<u64>>());
    // Without copy 0's last row the last tick lies earlier than the series is long.
    assert_eq!(source.last_tick(), 5);
    assert_eq!((source.next_due(5), source.next_due(u64::MAX)), (None, None));
}

#[test]
fn any_rotation_gives_every_row_once_to_every_copy() {
    let folder = Folder::new();
    for offset in 0..12 {
        for copies in [1, 2, 5, 7] {
            let sets =
                [format!("source.0.copies={copies}"), format!("source.0.offset_rows={offset}")];
            let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
            let run = folder.resolve(&sets).expect("good");
            let all = inputs(&run.sources[0]);
            assert_eq!(all.len(), 5 * copies);
            for copy in 0..copies as u32 {
                let mut own: Vec<_> = all
                    .iter()
                    .filter(|(_, stream, ..)| stream / 2 == copy)
                    .map(|(tick, stream, _, time, _)| {
                        let step = (time - 1_357_020_000) as u64 / 3600;
                        assert_eq!((tick - 1 + u64::from(copy) * offset) % 5, step);
                        (step, stream % 2)
                    })
                    .collect();
                own.sort_unstable();
                assert_eq!(own, [(0, 0), (0, 1), (1, 0), (1, 1), (4, 0)]);
            }
        }
    }
}

#[test]
fn keys_that_collide_with_copies_are_refused() {
    let folder = Folder::new();
    folder.write("data.csv", &DATA.replace("JFK", "EWR.1"));
    assert!(folder.resolve(&[]).is_ok());
    folder.refuses(&["source.0.copies=2"], Exit::Usage, &["two streams", "`EWR.1`"]);
}

#[test]
fn errors_are_of_their_type() {
    let folder = Folder::new();
    folder.write("data.csv", "station,time_utc,temp,wind\nEWR,2013-01-01T06:00:00Z,?,1\n");
    let config = folder.load(&[]).expect("good");
    match resolve(&config) {
        Err(ResolveError::Source(SourceError::Row(row))) => {
            assert_eq!((row.line, row.column.as_str(), row.value.as_str()), (2, "temp", "?"));
        }
        other => panic!("{other:?} is no bad row"),
    }
}

/// Every key of the structs stands in the documentation's table with its default.
fn line<'a>(tick: u64, payload: &'a [u8]) -> OutputLine<'a> {
    let address = AgentId::new(1, 0);
    OutputLine { tick, microstep: 1, topic: "a", from: "b/0", address, seq: tick, payload }
}

#[test]
fn l5_6_outputs_are_written_compared_cut_and_completed() {
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().join(OUTPUTS_FILE);
    let payload = |tick: u64| format!("{{\"n\":{tick}}}").into_bytes();
    let write_through = |file: &mut OutputFile, ticks: std::ops::Range<u64>| {
        ticks.map(|tick| file.line(&line(tick, &payload(tick)))).collect::<Result<Vec<()>, _>>()
    };
    let mut file = OutputFile::create(dir.path()).expect("a new file");
    write_through(&mut file, 0..6).expect("room");
    file.sync().expect("a disk");
    file.finish(None).expect("nothing to compare");
    assert!(OutputFile::create(dir.path()).is_err(), "an existing file is never overwritten");
    let whole = fs::read(&path).expect("the file");

    let verify = |ticks: std::ops::Range<u64>, torn| {
        let mut file = OutputFile::verify(dir.path())?;
        write_through(&mut file, ticks)?;
        file.finish(torn)
    };
    verify(0..6, None).expect("equal");
    assert!(matches!(verify(0..7, None), Err(OutputError::Length { found: 6, expected: 7, .. })));
    assert!(matches!(verify(0..5, None), Err(OutputError::Length { .. })));
    verify(0..7, Some(6)).expect("the file may lag after a crash");
    verify(0..5, Some(4)).expect("or be ahead of the log");
    let more = verify(0..5, Some(5)).expect_err("not of a tick that was executed");
    assert!(matches!(more, OutputError::Length { found: 6, expected: 5, .. }), "{more}");

    // A flipped bit anywhere is found (exit 4), and verifying writes nothing.
    for byte in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1;
        fs::write(&path, &flipped).expect("writable");
        let error = verify(0..6, None).expect_err("a flip is found");
        assert_eq!(error.exit(), Exit::Corrupt, "byte {byte}: {error}");
        assert_eq!(fs::read(&path).expect("the file"), flipped);
    }

    // Wherever a crash cut it, resuming gives the same file (SEMANTICS L5).
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).expect("writable");
        let (mut file, _) = OutputFile::resume(dir.path(), 4).expect("torn ends are normal");
        write_through(&mut file, 0..6).expect("equal as far as it goes");
        file.finish(None).expect("complete");
        assert_eq!(fs::read(&path).expect("the file"), whole, "cut at {cut}");
    }
    fs::remove_file(&path).expect("it was there");
    let (mut file, cut) = OutputFile::resume(dir.path(), 4).expect("missing is empty");
    assert_eq!((cut.lines_kept, cut.bytes_dropped), (0, 0));
    write_through(&mut file, 0..6).expect("room");
    file.finish(None).expect("complete");
    assert_eq!(fs::read(&path).expect("the file"), whole);
    fs::write(&path, b"{\"tick\":1}\nrubbish\n").expect("writable");
    let error = OutputFile::resume(dir.path(), 4).expect_err("rubbish in front of the cut");
    assert_eq!(error.exit(), Exit::Corrupt);
    assert!(error.to_string().contains("line 2"), "{error}");
}

#[test]
fn the_last_message_of_each_topic_is_kept() {
    let mut last = LastOutputs::default();
    last.note(1, b"{\"n\":1}");
    last.note(0, b"text");
    last.note(1, b"{\"n\":2}");
    let map = last.by_name(|topic| ["a", "b"][topic as usize]);
    assert_eq!(json!(map), json!({ "a": "text", "b": { "n": 2 } }));
}

/// The example's data: 26,115 rows of three stations, and 444 copies of them.
#[test]
fn the_weather_data_enters_whole() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/weather/data/hourly-2013.csv");
    let mut config = Folder::new().load(&[]).expect("good").source.remove(0);
    let source = Source::read(&config, &file).expect("the example's data");
    let ticks = source.last_tick();
    assert_eq!(
        (source.streams(), source.columns().len(), source.first_seq(ticks + 1)),
        (3, 8, 26_115)
    );
    let all = inputs(&source);
    assert_eq!(all.len(), 26_115);
    assert_eq!(all[0].4[..4], [39.02, 26.06, 59.37, 270.0]);
    let seconds = all[all.len() - 1].3 - all[0].3;
    assert_eq!(seconds, (ticks as i64 - 1) * 3600);
    (config.copies, config.offset_rows) = (444, 19);
    let source = Source::read(&config, &file).expect("the example's data");
    assert_eq!((source.streams(), source.first_seq(u64::MAX)), (1_332, 444 * 26_115));
    let mut count = 0;
    source.inputs_at(1_000, &mut Vec::new(), |due| {
        assert_eq!(due.seq, source.first_seq(1_000) + count);
        count += 1;
    });
    assert!((1_200..=1_332).contains(&count), "{count}");
}
