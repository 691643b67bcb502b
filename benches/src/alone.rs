//! A kernel measured in a process of its own, so that its memory is that of it alone, and so that
//! one that the machine cannot hold is a sentence and not the end of the report.
//!
//! The process is this very program again, told by [`ALONE`] what to measure: JSON there, one line
//! of JSON back on standard output.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::measure::{apart, median, ns_each, pin};
use crate::rig::{Case, Rig};

/// Environment variable that makes a process measure one kernel.
pub const ALONE: &str = "WASM_ENGINE_BENCH_ALONE";
/// Name of the test under which a test program does.
pub const ALONE_TEST: &str = "smoke::measured_alone";
/// What the line with the answer begins with.
const ANSWER: &str = "measured ";
/// Longest time for one kernel.
const PATIENCE: Duration = Duration::from_secs(600);
/// Time after which no further segment is begun.
const ENOUGH: Duration = Duration::from_secs(15);

/// What is to be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Agents that exist.
    pub agents: u32,
    /// Groups, of which one is active in a tick.
    pub groups: u32,
    /// Whether they take turns.
    pub rotate: bool,
    /// Worker threads.
    pub workers: u32,
    /// Ticks before the first segment.
    pub warm_up: u32,
    /// Segments.
    pub segments: u32,
    /// Turns of a segment.
    pub turns: u32,
}

/// What was measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Measured {
    /// Median of the ticks of a segment, in ns.
    pub tick_ns: f64,
    /// Resident bytes of the process at the end, page tables included.
    pub resident: f64,
    /// Address space of the process at the end, in bytes.
    pub size: f64,
    /// Digest of the last tick of the warm-up.
    pub digest: String,
    /// From nothing to the end of tick 0, in ns.
    pub start_ns: f64,
    /// Segments that there was time for.
    pub segments: u64,
}

impl Wanted {
    fn to_json(self) -> Value {
        json!([
            self.agents,
            self.groups,
            self.rotate as u32,
            self.workers,
            self.warm_up,
            self.segments,
            self.turns
        ])
    }

    fn from_json(text: &str) -> Option<Self> {
        let numbers: Vec<u32> = serde_json::from_str(text).ok()?;
        let [agents, groups, rotate, workers, warm_up, segments, turns] = numbers[..] else {
            return None;
        };
        Some(Self { agents, groups, rotate: rotate != 0, workers, warm_up, segments, turns })
    }

    /// Measures it in a new process.
    ///
    /// # Errors
    /// What the machine or the kernel could not give, in words.
    pub fn ask(self) -> Result<Measured, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let child = Command::new(program)
            .args(["--exact", ALONE_TEST, "--ignored", "--nocapture"])
            .env(ALONE, self.to_json().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let output = within(PATIENCE, child)?;
        answer(&output)
    }

    /// Measures it in this process.
    fn measure(self) -> Result<Value, String> {
        let case = Case::all(self.agents)
            .of_groups(self.groups, self.rotate)
            .pinned_on(self.workers)
            .without_states();
        apart(|| {
            let start = Instant::now();
            let mut rig = Rig::open(case)?;
            let start_ns = start.elapsed().as_nanos() as f64;
            (0..self.warm_up).try_for_each(|_| rig.try_tick())?;
            let digest = format!("{:?}", rig.last().digest);
            // After the log's thread has started, which else would share the core.
            pin(0);
            let ticks = (self.turns / case.active()).max(1) as usize;
            let (mut figures, start) = (Vec::new(), Instant::now());
            for segment in 0..self.segments {
                if segment > 0 && start.elapsed() > ENOUGH {
                    break;
                }
                figures.push(ns_each(ticks, || rig.tick()));
            }
            let memory = Memory::of_this_process();
            Ok(json!({
                "tick_ns": median(&figures),
                "resident": memory.resident,
                "size": memory.size,
                "digest": digest,
                "start_ns": start_ns,
                "segments": figures.len(),
            }))
        })
    }
}

/// A number of lanes, for a row.
#[must_use]
pub fn lanes_text(lanes: u32) -> String {
    if lanes == 1 { "1 lane".to_owned() } else { format!("{lanes} lanes") }
}

/// Measures one kernel if this process was started for it. Programs that ask call this first.
#[must_use]
pub fn is_alone() -> bool {
    let Ok(what) = std::env::var(ALONE) else { return false };
    let wanted = Wanted::from_json(&what).ok_or("not understood".to_owned());
    let said = match wanted.and_then(Wanted::measure) {
        Ok(measured) => measured,
        Err(error) => json!({ "error": error }),
    };
    println!("\n{ANSWER}{said}");
    true
}

/// Waits for a child, but not for ever.
fn within(patience: Duration, mut child: Child) -> Result<Output, String> {
    let start = Instant::now();
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if start.elapsed() > patience {
            // Failing to end it means that it has just ended.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("not done after {} s", patience.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().map_err(|error| error.to_string())
}

fn answer(output: &Output) -> Result<Measured, String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix(ANSWER));
    let said: Value = line.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    if let Some(error) = said["error"].as_str() {
        return Err(error.to_owned());
    }
    let number = |key: &str| said[key].as_f64();
    match (number("tick_ns"), number("resident"), number("size"), number("start_ns")) {
        (Some(tick_ns), Some(resident), Some(size), Some(start_ns)) => Ok(Measured {
            tick_ns,
            resident,
            size,
            digest: said["digest"].as_str().unwrap_or_default().to_owned(),
            start_ns,
            segments: said["segments"].as_u64().unwrap_or_default(),
        }),
        _ => {
            let error = String::from_utf8_lossy(&output.stderr);
            let words = error.lines().last().unwrap_or_default();
            Err(format!("its process ended ({}): {words}", output.status))
        }
    }
}

/// What this process takes.
struct Memory {
    resident: u64,
    size: u64,
}

impl Memory {
    /// As Linux says; zeros elsewhere.
    fn of_this_process() -> Self {
        let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let bytes = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
            number.unwrap_or(0u64) << 10
        };
        Self { resident: bytes("VmRSS:") + bytes("VmPTE:"), size: bytes("VmSize:") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_arrives() {
        let wanted = Wanted {
            agents: 7,
            groups: 1,
            rotate: true,
            workers: 2,
            warm_up: 3,
            segments: 4,
            turns: 5,
        };
        assert_eq!(Wanted::from_json(&wanted.to_json().to_string()), Some(wanted));
        assert_eq!(Wanted::from_json("[1]"), None);
    }
}
