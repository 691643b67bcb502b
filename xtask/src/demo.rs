//! `cargo xtask demo`: the set-up, then the main job on real data, then its proof.
//!
//! A year of weather runs through the agents with a log, the log is verified, and a short summary
//! is printed: the three errors on October to December, the alarms with the glitch of May at JFK
//! among them, ticks per second, digest, times. Anything that fails ends it with exit code 1.
//!
//! Without the library there is no forecast, hence no error and no alarm: then the same run is done
//! with no model configured, which shows the kernel, the log and the verification at work, and the
//! demo still ends with exit code 1. Who relies on its success relies on the forecasts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::setup;
use crate::step::{Captured, Folders, Job, Times, cargo};

const CONFIG: &str = "examples/weather/weather.toml";
const STATIONS: [&str; 3] = ["EWR", "JFK", "LGA"];
const READ_ABOVE: &str = "read its message above";

/// The task.
///
/// # Errors
/// If any step fails, the forecasts are missing or the known glitch raised no alarm.
pub(crate) fn command((): ()) -> Result<()> {
    let folders = Folders::find()?;
    let mut times = Times::default();
    let setup = setup::prepare(&folders)?;
    times.add("set-up", setup.took);
    setup.warn();
    setup.modules.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let build = cargo(&folders.root)
        .args([
            "build",
            "--workspace",
            "--locked",
            "--bin",
            "wasm-engine",
            "--bin",
            "wasm-engine-monitor",
        ])
        .run("the engine does not build: read the message above")?;
    times.add("build", build);

    let log = fresh_log(&folders)?;
    let run = run(&folders, &log, setup.inference.is_ok())?;
    let verify = engine(&folders).arg("verify").arg(&log).arg("--json").capture(READ_ABOVE)?;
    times.add("run", run.took);
    times.add("verify", verify.took);
    let (run, verify) = (document(&run)?, document(&verify)?);
    ensure!(
        verify["divergence"].is_null() && verify["digest"] == run["digest"],
        "the log does not give the run again: {verify}"
    );
    println!("{}", figures(&run));
    println!("verified: the log gives digest {} again", text(&run["digest"]));
    if setup.inference.is_err() {
        println!("{times}");
        bail!(
            "without ONNX Runtime nothing was forecast: only the observations went through the \
             kernel; run `cargo xtask setup` to see what is missing"
        );
    }
    let outputs = fs::read_to_string(log.join("outputs.jsonl"))
        .with_context(|| format!("{} holds no outputs.jsonl", log.display()))?;
    println!("{}\n{}", errors(&run["outputs"])?, alarms(&outputs)?);
    println!("log: {} ({} bytes)", log.display(), text(&run["log_bytes"]));
    println!("{times}");
    Ok(())
}

fn engine(folders: &Folders) -> Job {
    Job::new(folders.binary("wasm-engine"), &folders.root)
}

/// Runs the year; without a library, with no model configured.
fn run(folders: &Folders, log: &Path, inference: bool) -> Result<Captured> {
    let config = match inference {
        true => folders.root.join(CONFIG),
        false => {
            let text = fs::read_to_string(folders.root.join(CONFIG))
                .with_context(|| format!("{CONFIG} cannot be read"))?;
            let folder = folders.root.join(CONFIG).with_file_name("");
            let path = folders.target.join("weather-without-model.toml");
            fs::write(&path, without_model(&text, &folder))
                .with_context(|| format!("{} cannot be written", path.display()))?;
            path
        }
    };
    // A name of its own, so that no other run of the example is in the way.
    let name = format!("weather-demo-{}", std::process::id());
    engine(folders)
        .arg("run")
        .arg(config)
        .args(["--json", "--name", &name, "--log"])
        .arg(log)
        .capture(READ_ABOVE)
}

/// The configuration without its models, its paths no longer relative to its own place.
fn without_model(config: &str, folder: &Path) -> String {
    let mut out = String::new();
    let mut in_model = false;
    for line in config.lines() {
        if line.starts_with('[') {
            in_model = line.starts_with("[[model]]");
        }
        if in_model {
            continue;
        }
        let path = ["file = \"", "module = \""].iter().find_map(|key| line.strip_prefix(key));
        match path.filter(|path| !path.starts_with('/')) {
            Some(path) => {
                let key = &line[..line.len() - path.len()];
                out += &format!("{key}{}", folder.join(path).display());
            }
            None => out += line,
        }
        out.push('\n');
    }
    out
}

/// A directory for this demo's log; those of earlier ones make room.
fn fresh_log(folders: &Folders) -> Result<PathBuf> {
    const PREFIX: &str = "demo-log-";
    let entries =
        fs::read_dir(&folders.target).context("cargo's target directory cannot be read")?;
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("{} cannot be removed", entry.path().display()))?;
        }
    }
    Ok(folders.target.join(format!("{PREFIX}{}", std::process::id())))
}

/// The document that a command printed, if it succeeded.
fn document(captured: &Captured) -> Result<Value> {
    let Captured { stdout, code, text: command, .. } = captured;
    let document: Option<Value> = serde_json::from_str(stdout).ok();
    match (code, document) {
        (Some(0), Some(document)) => Ok(document),
        (Some(0), None) => bail!("`{command}` printed no JSON document but: {stdout}"),
        (_, document) => {
            let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
            let document = document.unwrap_or_default();
            let error = match (&document["error"], &document["divergence"]) {
                (Value::Null, Value::Null) => stdout.clone(),
                (Value::Null, divergence) => format!("divergence {divergence}"),
                (error, _) => text(error),
            };
            bail!("`{command}` ended with {code}: {}", error.trim())
        }
    }
}

/// What the run did, in numbers.
fn figures(run: &Value) -> String {
    let count = |key: &str| run[key].as_u64().unwrap_or(0);
    let elapsed_s = count("elapsed_ns") as f64 / 1e9;
    let rate = |what: u64| grouped((what as f64 / elapsed_s.max(1e-9)) as u64);
    format!(
        "a year of weather: {} ticks in {elapsed_s:.2} s ({} ticks/s), {} agents, {} turns, \
         {} messages ({}/s), {} inferences, {} faults, {} stalls",
        grouped(count("ticks")),
        rate(count("ticks")),
        count("agents"),
        grouped(count("turns")),
        grouped(count("messages")),
        rate(count("messages")),
        grouped(count("inferences")),
        count("faults"),
        count("stalls"),
    )
}

/// Per station, the errors over October to December from the last message of its scorer.
fn errors(outputs: &Value) -> Result<String> {
    let mut lines = vec![
        String::new(),
        "mean absolute error of the forecast one hour ahead, October to December 2013, in °F"
            .into(),
        format!(
            "{:<8}{:>7}{:>9}{:>9}{:>9}   model against naive",
            "station", "hours", "model", "naive", "trend"
        ),
    ];
    let mut all = Score::default();
    for station in STATIONS {
        let score = Score::of(&outputs[format!("score/{station}")]).with_context(|| {
            format!("the run gave no scores for {station}; is a fault reported?")
        })?;
        lines.push(score.line(station));
        all.add(&score);
    }
    lines.push(all.mean().line("all"));
    Ok(lines.join("\n"))
}

/// Hours scored and the errors of model, naive and trend.
#[derive(Clone, Copy, Default)]
struct Score {
    hours: f64,
    errors: [f64; 3],
}

impl Score {
    fn of(payload: &Value) -> Option<Self> {
        let hours = payload["scored"].as_f64().filter(|hours| *hours > 0.0)?;
        let mut errors = [0.0; 3];
        for (error, key) in errors.iter_mut().zip(["model", "naive", "trend"]) {
            *error = payload[key].as_f64()?;
        }
        Some(Self { hours, errors })
    }

    /// Adds the sum of another's errors.
    fn add(&mut self, other: &Self) {
        self.hours += other.hours;
        for (sum, error) in self.errors.iter_mut().zip(other.errors) {
            *sum += error * other.hours;
        }
    }

    fn mean(self) -> Self {
        Self { errors: self.errors.map(|sum| sum / self.hours), ..self }
    }

    fn line(&self, name: &str) -> String {
        let [model, naive, trend] = self.errors;
        format!(
            "{name:<8}{:>7}{model:>9.3}{naive:>9.3}{trend:>9.3}   {:+.1} %",
            grouped(self.hours as u64),
            (model / naive - 1.0) * 100.0
        )
    }
}

/// How many alarms there were per station, and the one that must be among them.
fn alarms(outputs: &str) -> Result<String> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut glitch = None;
    for line in outputs.lines() {
        let line: Value =
            serde_json::from_str(line).context("outputs.jsonl holds a line that is no JSON")?;
        let Some(station) = line["topic"].as_str().and_then(|topic| topic.strip_prefix("alarm/"))
        else {
            continue;
        };
        *counts.entry(station.to_owned()).or_default() += 1;
        let alarm = &line["payload"];
        let of_may = text(&alarm["time"]).starts_with("2013-05-09");
        // The thermometer at JFK reported 13.1 °F between two hours of 57 °F.
        if station == "JFK" && of_may && alarm["observed"].as_f64().is_some_and(|f| f < 20.0) {
            glitch = Some(format!(
                "among them the glitch at JFK: {}, observed {} °F, forecast {} °F, tick {}",
                text(&alarm["time"]),
                text(&alarm["observed"]),
                text(&alarm["forecast"]),
                text(&line["tick"])
            ));
        }
    }
    let glitch =
        glitch.context("the glitch at JFK on 9 May 2013 raised no alarm; the watcher is broken")?;
    let total: u64 = counts.values().sum();
    let parts: Vec<String> = counts.iter().map(|(station, n)| format!("{station} {n}")).collect();
    Ok(format!("\nalarms: {total} ({}), {glitch}", parts.join(", ")))
}

/// A value without the quotes of JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// With a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let grouped: Vec<String> = [0, 999, 1000, 26_115, 1_234_567].map(grouped).into();
        assert_eq!(grouped, ["0", "999", "1,000", "26,115", "1,234,567"]);
    }

    #[test]
    fn a_configuration_loses_its_models_and_keeps_its_files() {
        let text = "[kernel]\nseed = 1\n[[model]]\nfile = \"m\"\n[[source]]\nfile = \"d/h.csv\"\n";
        let kept = without_model(text, Path::new("/x/"));
        assert_eq!(kept, "[kernel]\nseed = 1\n[[source]]\nfile = \"/x/d/h.csv\"\n");
    }

    #[test]
    fn errors_are_weighted_by_hours() {
        let outputs = serde_json::json!({
            "score/EWR": {"station": "EWR", "scored": 1, "model": 1.0, "naive": 2.0, "trend": 3.0},
            "score/JFK": {"station": "JFK", "scored": 3, "model": 2.0, "naive": 2.0, "trend": 3.0},
            "score/LGA": {"station": "LGA", "scored": 4, "model": 0.25, "naive": 2.0, "trend": 3.0},
        });
        let table = errors(&outputs).expect("all there");
        assert!(table.contains("EWR           1    1.000    2.000    3.000   -50.0 %"), "{table}");
        assert!(table.ends_with("all           8    1.000    2.000    3.000   -50.0 %"), "{table}");
        assert!(errors(&serde_json::json!({})).is_err());
    }

    #[test]
    fn the_glitch_must_raise_an_alarm() {
        let line = |topic: &str, time: &str, observed: f64| {
            let payload = serde_json::json!({"time": time, "observed": observed, "forecast": 56.5});
            serde_json::json!({"tick": 3, "topic": topic, "payload": payload}).to_string() + "\n"
        };
        let other = line("alarm/EWR", "2013-05-09T02:00:00Z", 13.1) + &line("score/JFK", "", 0.0);
        assert!(alarms(&other).is_err());
        let all = other + &line("alarm/JFK", "2013-05-09T02:00:00Z", 13.1);
        let text = alarms(&all).expect("there");
        assert!(text.contains("alarms: 2 (EWR 1, JFK 1)"), "{text}");
        assert!(text.contains("observed 13.1"), "{text}");
    }

    #[test]
    fn a_failed_command_is_named_with_its_error() {
        let captured = |stdout: &str, code| Captured {
            stdout: stdout.to_owned(),
            code,
            text: "wasm-engine run".to_owned(),
            took: std::time::Duration::ZERO,
        };
        let error =
            document(&captured(r#"{"error": "no such file"}"#, Some(2))).expect_err("failed");
        assert_eq!(error.to_string(), "`wasm-engine run` ended with code 2: no such file");
        let error =
            document(&captured(r#"{"divergence": {"tick": 3}}"#, Some(3))).expect_err("differs");
        assert!(error.to_string().ends_with(r#"code 3: divergence {"tick":3}"#), "{error}");
        assert!(document(&captured("text", Some(0))).is_err());
        assert!(document(&captured("{}", Some(0))).is_ok());
    }
}
