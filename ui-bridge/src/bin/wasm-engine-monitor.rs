//! `wasm-engine-monitor`: shows a running kernel, on a terminal, as text or as JSON.
//!
//! Exit status: 0 ok, 1 failure, 2 usage, 4 damaged region, 5 region of another version.
//!
//! What this does not do: it starts, stops and changes nothing.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use wasm_engine_shm::locate;
use wasm_engine_telemetry::trace::{Follower, Seen, Why};
use wasm_engine_ui_bridge::tui::{self, TuiError};
use wasm_engine_ui_bridge::view::Lookback;
use wasm_engine_ui_bridge::{Live, MonitorError, Source, View, counters, json, text, trace};

/// Shows a running Wasm-Engine kernel. Only reads: it cannot slow or change the kernel.
#[derive(Parser)]
#[command(version, about, after_help = AFTER)]
struct Args {
    /// Name of the kernel; without it the only one that runs
    name: Option<String>,
    /// Print once and exit
    #[arg(long)]
    once: bool,
    /// Follow what happens, one line per event, until the run ends; with --once only what the
    /// kernel still holds
    #[arg(long, conflicts_with = "counters")]
    trace: bool,
    /// Print the kernel's counters once, with what they are; also of a kernel of another build
    #[arg(long)]
    counters: bool,
    /// Print JSON: one document with --once, else one line per look; per event with --trace
    #[arg(long)]
    json: bool,
    /// Milliseconds between two looks, 50 to 10000 [default: 500, with --trace at most 16]
    #[arg(long, value_name = "MS", conflicts_with = "counters",
          value_parser = clap::value_parser!(u64).range(50..=10_000))]
    interval: Option<u64>,
    /// Stop after this many seconds
    #[arg(long, value_name = "S", value_parser = seconds, conflicts_with = "counters")]
    duration: Option<Duration>,
}

const AFTER: &str = "Without a terminal and without --json one text summary is printed.\n\
    Exit status: 0 ok, 1 failure, 2 usage, 4 damaged region, 5 region of another version.";

fn seconds(text: &str) -> Result<Duration, String> {
    let bad = |_| "give seconds, for example 10 or 0.5".to_owned();
    let value: f64 = text.parse().map_err(|e: std::num::ParseFloatError| bad(e.to_string()))?;
    Duration::try_from_secs_f64(value).map_err(|e| bad(e.to_string()))
}

/// Time between two looks, unless `--interval` says.
const INTERVAL: Duration = Duration::from_millis(500);

/// Why the command ends.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    #[error(transparent)]
    Tui(#[from] TuiError),
    #[error("cannot find kernels: {0}")]
    Directory(#[from] locate::LocateError),
    #[error("this kernel has no trace: set region.trace to \"events\" or \"full\"")]
    NoTrace,
    #[error(
        "the trace was overtaken at every look, without an event between: the region is damaged, or \
         region.trace_events is far too small"
    )]
    Overtaken,
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            // Whoever read us has read enough.
            Self::Print(e) if e.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Monitor(e) | Self::Tui(TuiError::Monitor(e)) => e.exit_code(),
            _ => 1,
        }
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failure.exit_code();
            if code != 0 {
                eprintln!("error: {failure}");
            }
            ExitCode::from(code)
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let directory = locate::runtime_directory()?;
    if args.counters {
        let counted = wasm_engine_telemetry::counters::look(&directory, args.name.as_deref())?;
        let out = if args.json {
            counters::document(&counted)? + "\n"
        } else {
            counters::table(&counted)
        };
        io::stdout().write_all(out.as_bytes())?;
        return Ok(());
    }
    let mut live = Live::open(&directory, args.name.as_deref())?;
    if args.trace {
        return follow(&live, args);
    }
    let interval = args.interval.map_or(INTERVAL, Duration::from_millis);
    if args.once || !(args.json || io::stdout().is_terminal()) {
        live.settle();
        let view = View::new(&live.look()?, None);
        let out = if args.json { json::document(&view)? + "\n" } else { text::summary(&view) };
        io::stdout().write_all(out.as_bytes())?;
        return Ok(());
    }
    if args.json {
        return json_lines(&mut live, interval, args.duration);
    }
    let ended = Arc::new(AtomicBool::new(false));
    // A terminal that is taken over must be given back, so that the signal ends the loop instead.
    // SIGHUP keeps its default: then there is no terminal to give back, and to wait for a key from
    // one that is gone would never end.
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&ended))?;
    tui::run(&mut live, interval, args.duration, &|| ended.load(Ordering::Relaxed))?;
    Ok(())
}

/// Longest time between two looks at the trace while nothing happens, unless `--interval` says.
const TRACE_NAP_MAX: Duration = Duration::from_millis(16);
/// Bytes of lines that are collected before they are printed.
const TRACE_LINES_BYTES: usize = 64 << 10;

/// One line per event, until the run ends, the time is over or nobody reads.
fn follow(live: &Live, args: &Args) -> Result<(), Failure> {
    let Some(mut follower) = live.follow()? else { return Err(Failure::NoTrace) };
    let nap_max = args.interval.map_or(TRACE_NAP_MAX, Duration::from_millis);
    let (started, mut nap) = (Instant::now(), Duration::from_millis(1));
    // Where this ends, once that is known. What the kernel told before it ended is still read; what
    // it tells from then on is not waited for.
    let mut end = None;
    loop {
        let over = args.once
            || live.has_ended()
            || args.duration.is_some_and(|duration| started.elapsed() >= duration);
        if over && end.is_none() {
            end = Some(follower.sent());
        }
        let batch = Batch::take(&mut follower, live, args.json, end);
        live.check_whole()?;
        if batch.lines.is_empty() {
            if over {
                return Ok(());
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(nap_max);
        } else {
            nap = Duration::from_millis(1);
            let mut out = io::stdout().lock();
            out.write_all(batch.lines.as_bytes())?;
            out.flush()?;
        }
        if batch.overtaken {
            return Err(Failure::Overtaken);
        }
    }
}

/// What is printed at once.
#[derive(Default)]
struct Batch {
    lines: String,
    /// Whether there were more losses without an event between than a sound ring can have.
    overtaken: bool,
}

impl Batch {
    /// Takes what there is up to event `end`, in bounded time whatever the ring holds.
    fn take(follower: &mut Follower, live: &Live, json: bool, end: Option<u64>) -> Self {
        let print = |seen: &Seen| {
            let line = if json { trace::document } else { trace::line };
            line(seen, live.names()) + "\n"
        };
        let mut batch = Self::default();
        // Losses in a row are one line.
        let mut lost: Option<(u64, Why, u64)> = None;
        while batch.lines.len() < TRACE_LINES_BYTES
            && !batch.overtaken
            && end.is_none_or(|end| follower.passed() < end)
            && let Some(seen) = follower.look()
        {
            match seen {
                Seen::Lost { events, why } => {
                    let (before, why, looks) = lost.unwrap_or((0, why, 0));
                    lost = Some((before.saturating_add(events), why, looks + 1));
                    batch.overtaken = looks > 2 * follower.room();
                }
                Seen::Event { .. } => {
                    if let Some((events, why, _)) = lost.take() {
                        batch.lines += &print(&Seen::Lost { events, why });
                    }
                    batch.lines += &print(&seen);
                }
            }
        }
        if let Some((events, why, _)) = lost {
            batch.lines += &print(&Seen::Lost { events, why });
        }
        batch
    }
}

/// One document per look, until the time is over or nobody reads.
fn json_lines(
    live: &mut Live,
    interval: Duration,
    duration: Option<Duration>,
) -> Result<(), Failure> {
    let started = Instant::now();
    let mut lookback = Lookback::default();
    loop {
        match live.look() {
            Ok(now) => {
                let line = json::document(&lookback.view(now))? + "\n";
                let mut out = io::stdout().lock();
                out.write_all(line.as_bytes())?;
                out.flush()?;
            }
            Err(error) if error.is_passing() => {}
            Err(error) => return Err(error.into()),
        }
        let left = duration.map(|d| d.saturating_sub(started.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(());
        }
        std::thread::sleep(left.map_or(interval, |left| left.min(interval)));
    }
}
