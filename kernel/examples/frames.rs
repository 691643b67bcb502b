//! A host with a deadline: each frame it pushes an input, executes one tick and reads the answer.
//!
//! ```text
//! cargo run -p wasm-engine --example frames -- 60 10      60 frames a second for 10 seconds
//! cargo run -p wasm-engine --example frames -- 10000 2    10,000 a second for 2
//! ```
//! It does so alone, then with a hostile neighbour in the same kernel: an agent that hears each
//! input too, loops for ever, and is begun anew when that has ended it. What protects the frame is
//! counted and not timed, so the run replays: `limits.fuel_per_call` ends the loop, and with
//! `set_tick_budget` no further microstep begins in a tick that has used its fuel; what is left
//! waits for the next frame. Here a tick has a fifth of a frame, at a nanosecond each unit of fuel,
//! and a call half of that.
//!
//! It prints, for both, the time from push to output as p50, p99, p99.9 and the longest, and how
//! many frames were overrun: not over when the next one was due.
#![expect(clippy::disallowed_methods, reason = "a host has a clock of its own")]

use std::{
    error::Error,
    num::NonZeroU64,
    process::ExitCode,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use wasm_engine::{
    host::{Host, HostBuilder, TickBudget, TickPoll},
    report::RunReport,
};

/// Answers each command with itself.
const CONTROLLER: &str = r#"
(module
  (import "wasm_engine" "subscribe" (func $subscribe (param i32) (result i64)))
  (import "wasm_engine" "publish" (func $publish (param i32 i32 i32) (result i64)))
  (memory (export "memory") 1 1)
  (func (export "agent_inbox") (result i32) (i32.const 1024))
  (func (export "agent_inbox_cap") (result i32) (i32.const 4096))
  (func (export "agent_init") (result i32) (drop (call $subscribe (i32.const 0))) (i32.const 0))
  (func (export "agent_receive") (param $at i32) (result i32)
    (drop (call $publish (i32.const 1) (i32.add (local.get $at) (i32.const 64))
      (i32.load offset=4 (local.get $at))))
    (i32.const 0))
  (func (export "agent_step") (param i32) (result i32) (i32.const 0))
  (func (export "agent_shutdown") (result i32) (i32.const 0))
  (@custom "wasm_engine.manifest"
    "name = \"controller\"\nversion = \"1.0.0\"\nabi = 1\n"
    "capabilities = [\"subscribe:command\", \"publish:answer\"]\n"))
"#;

/// Loops for ever at each command.
const NEIGHBOUR: &str = r#"
(module
  (import "wasm_engine" "subscribe" (func $subscribe (param i32) (result i64)))
  (memory (export "memory") 1 1)
  (func (export "agent_inbox") (result i32) (i32.const 1024))
  (func (export "agent_inbox_cap") (result i32) (i32.const 4096))
  (func (export "agent_init") (result i32) (drop (call $subscribe (i32.const 0))) (i32.const 0))
  (func (export "agent_receive") (param i32) (result i32) (loop $for_ever (br $for_ever))
    (unreachable))
  (func (export "agent_step") (param i32) (result i32) (i32.const 0))
  (func (export "agent_shutdown") (result i32) (i32.const 0))
  (@custom "wasm_engine.manifest"
    "name = \"neighbour\"\nversion = \"1.0.0\"\nabi = 1\n"
    "capabilities = [\"subscribe:command\"]\n"))
"#;

const CONFIG: &str = r#"
[[source]]
id = "commands"
kind = "live"
topic = "command"

[[agent]]
name = "controller"
module = "controller.wasm"
grant = "declared"

[[output]]
topic = "answer"
"#;

/// Whom a fault ends, and who is there again in the next tick.
const WITH_NEIGHBOUR: &str = r#"
[[agent]]
name = "neighbour"
module = "neighbour.wasm"
grant = "declared"
restart = { kind = "fresh", backoff_ticks = 1, restarts_max = 9, window_ticks = 1 }
"#;

/// How the frames went.
pub(crate) struct Frames {
    /// From push to output, in ns.
    pub(crate) ways: Histogram<u64>,
    /// Frames that were not over when the next one was due.
    pub(crate) overruns: u64,
    /// What the run came to.
    pub(crate) report: RunReport,
}

/// A kernel for ticks of `fuel`, half of which is a call's at most.
pub(crate) fn builder(fuel: u64, hostile: bool) -> Result<HostBuilder, Box<dyn Error>> {
    let limits = format!("[limits]\nfuel_per_call = {}\n", fuel / 2);
    let text = limits + CONFIG + if hostile { WITH_NEIGHBOUR } else { "" };
    let builder = Host::builder().config_text(&text);
    let builder = builder.attach("controller.wasm", wat::parse_str(CONTROLLER)?);
    Ok(builder.attach("neighbour.wasm", wat::parse_str(NEIGHBOUR)?))
}

/// Executes `count` frames, one each `frame`.
pub(crate) fn frames(
    builder: HostBuilder,
    frame: Duration,
    fuel: u64,
    count: u64,
) -> Result<Frames, Box<dyn Error>> {
    let mut host = builder.start()?;
    let stream = host.stream("commands", "commands")?;
    host.tick()?;
    host.set_tick_budget(TickBudget { fuel: NonZeroU64::new(fuel), ..TickBudget::default() });
    let mut ways = Histogram::new(3)?;
    let mut overruns = 0;
    let mut due = Instant::now();
    for number in 0..count {
        wait_until(due);
        let begin = Instant::now();
        host.push_to(stream, &number.to_le_bytes())?;
        let polled = host.poll_tick()?;
        let answer = host.outputs().last().map(|output| output.payload.to_vec());
        ways.record(begin.elapsed().as_nanos() as u64)?;
        // A tick answers its own command, whatever else was left for it.
        if !matches!(polled, TickPoll::Done(_)) || answer.as_deref() != Some(&number.to_le_bytes())
        {
            return Err(format!("frame {number} has no answer: {polled:?}").into());
        }
        due += frame;
        if Instant::now() > due {
            overruns += 1;
            // Frames that were missed are not made up for.
            due = Instant::now();
        }
    }
    Ok(Frames { ways, overruns, report: host.close()? })
}

/// Sleeps while that is precise enough, then spins.
fn wait_until(due: Instant) {
    const PRECISION: Duration = Duration::from_micros(200);
    loop {
        let left = due.saturating_duration_since(Instant::now());
        match left.checked_sub(PRECISION) {
            _ if left.is_zero() => return,
            Some(sleep) => std::thread::sleep(sleep),
            None => std::hint::spin_loop(),
        }
    }
}

fn show(what: &str, frames: &Frames) {
    let Frames { ways, overruns, report } = frames;
    let quantile = |q| ways.value_at_quantile(q) as f64 / 1e3;
    println!(
        "{what:<18} {:>7} {overruns:>8} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8}",
        ways.len(),
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        ways.max() as f64 / 1e3,
        report.faults,
    );
}

fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, or: u64| args.get(at).map_or(Ok(or), |arg| arg.parse());
    let (rate_hz, seconds) = (number(0, 60)?, number(1, 5)?);
    if args.len() > 2 || !(1..=100_000).contains(&rate_hz) || !(1..=3600).contains(&seconds) {
        return Err("usage: frames [RATE_HZ 1 to 100000] [SECONDS 1 to 3600]".into());
    }
    let frame = Duration::from_nanos(1_000_000_000 / rate_hz);
    let fuel = frame.as_nanos() as u64 / 5;
    println!("{rate_hz} frames a second, {seconds} s, {fuel} of fuel a frame; times in µs");
    println!(
        "{:<18} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "frames", "overruns", "p50", "p99", "p99.9", "longest", "faults"
    );
    for (what, hostile) in [("alone", false), ("beside a neighbour", true)] {
        let builder = builder(fuel, hostile)?;
        show(what, &frames(builder, frame, fuel, rate_hz * seconds)?);
    }
    Ok(())
}

/// Both, as the arguments say.
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
