//! Whole runs, as a user starts them: a configuration, modules and inputs in a folder that is
//! removed afterwards.
//!
//! A run is repeated for each segment, and all repetitions must end with one digest, without a
//! fault and with the turns that the work has.

use std::{cell::RefCell, fs::File, io::Write as _, path::Path, rc::Rc};

use tempfile::TempDir;
use wasm_engine_measure::{
    guests::{Job, MEMORY_BYTES},
    measure::{median, on_core},
};

use crate::{
    bench::{
        error::BenchError,
        figure::{Figure, MachineLimits},
        options::BenchOptions,
    },
    clock,
    config::Config,
    replay::{self, ReplayOptions},
    report::RunReport,
    resolve::resolve,
    run::{self, RunOptions},
};

/// Ticks whose times are not taken: agents begin, memory is used for the first time.
const WARM_TICKS: usize = 8;
/// Agents of the runs with messages and with a log.
const AGENTS: u32 = 50;
/// Microsteps of a tick in which agents pass messages on.
const MICROSTEPS: u32 = 64;
/// What each input holds.
const PAYLOAD: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A run that can be repeated.
struct Workload {
    stage: &'static str,
    folder: TempDir,
    config: Config,
    turns: u64,
}

/// What a repetition gave.
struct Repetition {
    report: RunReport,
    /// Times of its ticks in ns, without the first ones.
    ticks: Vec<f64>,
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> BenchError {
    let path = path.to_owned();
    move |source| BenchError::File { path, source }
}

impl Workload {
    /// `agents` agents that do `job` for `ticks` ticks after the first.
    fn new(
        stage: &'static str,
        dir: &Path,
        job: Job,
        agents: u32,
        ticks: u32,
    ) -> Result<Self, BenchError> {
        let folder = tempfile::Builder::new().prefix("wasm-engine-bench-").tempdir_in(dir);
        let folder = folder.map_err(file_error(dir))?;
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).map_err(file_error(&path))
        };
        write("agent.wasm", &job.module(agents, 1))?;
        let listens = matches!(job, Job::Listen { .. });
        let inputs: String = (1..=if listens { ticks } else { 0 })
            .map(|tick| format!("{{\"tick\":{tick},\"payload\":\"{PAYLOAD}\"}}\n"))
            .collect();
        write("inputs.jsonl", inputs.as_bytes())?;
        let source = "[[source]]\nid = \"inputs\"\nfile = \"inputs.jsonl\"\npayload = \"text\"\n\
                      topic = \"input\"\n";
        let text = format!(
            "[kernel]\nname = \"bench-{}\"\n[limits]\nagents_max = {agents}\nmicrosteps_max = \
             {MICROSTEPS}\nmemory_bytes_max = {MEMORY_BYTES}\nfuel_per_call = {}\neffects_max = 8\n\
             [[topic]]\nname = \"input\"\n{}[[agent]]\nname = \"agent\"\nmodule = \"agent.wasm\"\n\
             count = {agents}\ngrant = \"declared\"\n",
            std::process::id(),
            job.fuel(),
            if listens { source } else { "" }
        );
        let mut config = Config::parse(&folder.path().join("bench.toml"), &text, &[])?;
        // Tick 0 is one of them.
        config.kernel.ticks = Some(u64::from(ticks) + 1);
        // Tick 0 has the inits alone.
        let microsteps = if listens { 1 } else { MICROSTEPS };
        let turns = u64::from(agents) * (1 + u64::from(ticks) * u64::from(microsteps));
        Ok(Self { stage, folder, config, turns })
    }

    /// Runs it, with a log in the folder `log` of its own if one is named.
    fn run(&self, log: Option<&str>) -> Result<Repetition, BenchError> {
        let resolved = resolve(&self.config)?;
        let log_dir = log.map(|log| self.folder.path().join(log));
        let repetition = on_core(0, move || -> Result<Repetition, BenchError> {
            let ends = Rc::new(RefCell::new(Vec::new()));
            let seen = Rc::clone(&ends);
            let options = RunOptions {
                log_dir,
                progress: Some(Box::new(move |progress| {
                    seen.borrow_mut().push(progress.elapsed_ns as f64);
                })),
                ..RunOptions::default()
            };
            let report = run::run(resolved, options)?;
            let ends = ends.borrow();
            let ticks = ends.windows(2).skip(WARM_TICKS).map(|pair| pair[1] - pair[0]).collect();
            Ok(Repetition { report, ticks })
        })?;
        let RunReport { faults, turns, .. } = repetition.report;
        if faults != 0 || turns != self.turns {
            let what = format!("{faults} faults, {turns} turns instead of {}", self.turns);
            return Err(BenchError::Wrong { stage: self.stage, what });
        }
        Ok(repetition)
    }

    /// Runs it once for each segment; all must end with one digest.
    fn repeat(&self, options: &BenchOptions) -> Result<Vec<Repetition>, BenchError> {
        let all: Result<Vec<_>, _> = options.segments().map(|_| self.run(None)).collect();
        let all = all?;
        if all.iter().any(|one| one.report.digest != all[0].report.digest) {
            let what = "two runs of the same ended with two digests".to_owned();
            return Err(BenchError::Wrong { stage: self.stage, what });
        }
        Ok(all)
    }
}

fn all_ticks(repetitions: &[Repetition]) -> Vec<f64> {
    repetitions.iter().flat_map(|one| &one.ticks).copied().collect()
}

/// A tick in which each of `agents` agents receives an input of 64 bytes; from 1,000 agents on the
/// turn alone too.
pub(super) fn tick(
    options: &BenchOptions,
    agents: u32,
    machine: &MachineLimits,
) -> Result<Vec<Figure>, BenchError> {
    let ticks = (options.of(400_000) as u32 / agents.max(50)).clamp(64, 4_000);
    let job = Job::Listen { rounds: 0 };
    let workload = Workload::new("tick", &options.dir, job, agents, ticks)?;
    let repetitions = workload.repeat(options)?;
    let medians: Vec<f64> = repetitions.iter().map(|one| median(&one.ticks)).collect();
    let what = format!("tick: {}", crate::units::of(agents.into(), "agent"));
    let mut figures = vec![
        Figure::of("tick", what, "ns", &medians)
            .over(&all_ticks(&repetitions))
            .beside("a system call", machine.system_call_ns),
    ];
    if agents == 1000 {
        let turns: Vec<f64> = medians.iter().map(|tick| tick / f64::from(agents)).collect();
        let turn = Figure::of("turn", "turn: one of 1,000 in a tick", "ns", &turns);
        figures.push(turn.beside("a system call", machine.system_call_ns));
    }
    Ok(figures)
}

/// A message of 64 bytes from one agent to another, with the turns of both.
pub(super) fn message(
    options: &BenchOptions,
    machine: &MachineLimits,
) -> Result<Figure, BenchError> {
    let ticks = options.of(160) as u32;
    let job = Job::Relay { rounds: 0 };
    let workload = Workload::new("message", &options.dir, job, AGENTS, ticks)?;
    let repetitions = workload.repeat(options)?;
    let each = f64::from(AGENTS * MICROSTEPS);
    let medians: Vec<f64> = repetitions.iter().map(|one| median(&one.ticks) / each).collect();
    let figure = Figure::of("message", "message: sent, received, with its turn", "ns", &medians);
    Ok(figure.beside("a bare cache line there and back", machine.line_round_trip_ns))
}

/// The same run without a log, with one, and from the log again.
pub(super) fn log_and_replay(
    options: &BenchOptions,
    machine: &MachineLimits,
) -> Result<Vec<Figure>, BenchError> {
    let ticks = options.of(16_000) as u32;
    let job = Job::Listen { rounds: 0 };
    let workload = Workload::new("log", &options.dir, job, AGENTS, ticks)?;
    let (mut live, mut bare) = (Vec::new(), Vec::new());
    let (mut logged, mut bytes, mut again) = (Vec::new(), Vec::new(), Vec::new());
    let mut times = Vec::new();
    let per_s =
        |report: &RunReport, count: u64| count as f64 * 1e9 / report.elapsed_ns.max(1) as f64;
    for segment in options.segments() {
        let without = workload.run(None)?;
        let log = format!("log{segment}");
        let with = workload.run(Some(&log))?;
        let dir = workload.folder.path().join(&log);
        let verified = on_core(0, || replay::verify(&dir, ReplayOptions::default()))?;
        let digests = [&without.report, &with.report, &verified.run].map(|report| report.digest);
        if verified.divergence.is_some() || digests.iter().any(|digest| *digest != digests[0]) {
            let what = "the log does not give the run again".to_owned();
            return Err(BenchError::Wrong { stage: "replay", what });
        }
        live.push(per_s(&without.report, without.report.ticks));
        bare.push(median(&without.ticks));
        bytes.push(per_s(&with.report, with.report.log_bytes));
        again.push(per_s(&verified.run, verified.run.ticks));
        logged.push(median(&with.ticks));
        times.extend(with.ticks);
        // Room for the next one.
        std::fs::remove_dir_all(&dir).map_err(file_error(&dir))?;
    }
    Ok(vec![
        Figure::of("log", "log: a tick of 50 agents with one", "ns", &logged)
            .over(&times)
            .beside("the same tick without", median(&bare)),
        Figure::of("log", "log: written", "B/s", &bytes)
            .beside("copying", machine.memcpy_bytes_per_ns * 1e9),
        Figure::of("replay", "replay: ticks of 50 agents", "1/s", &again)
            .beside("the live run without a log", median(&live)),
    ])
}

/// Times of `count` writes of 4 KiB that are forced to the disk of `dir`, in ns.
pub(super) fn syncs(dir: &Path, count: usize) -> Result<Vec<f64>, BenchError> {
    let path = dir.join(format!("wasm-engine-bench-{}", std::process::id()));
    let mut file = File::create_new(&path).map_err(file_error(&path))?;
    let mut time = || -> std::io::Result<f64> {
        let begin_ns = clock::now_ns();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        Ok((clock::now_ns() - begin_ns) as f64)
    };
    let times: std::io::Result<Vec<f64>> = (0..count.max(1)).map(|_| time()).collect();
    let removed = std::fs::remove_file(&path);
    let times = times.map_err(file_error(&path))?;
    removed.map_err(file_error(&path))?;
    Ok(times)
}
