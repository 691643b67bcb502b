//! The machine's own limits, in the same minute as the figures that they stand beside.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::measure::{Scale, Spin, cores, median, ns_each, on_core, pin, quantile};

/// A value alone on its pair of cache lines.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Line(AtomicU64);

/// Times of `rounds` round trips of a bare value between two pinned threads: what no ring can beat.
#[must_use]
pub fn line_round_trips(rounds: usize) -> Vec<f64> {
    let (there, back, stop) = (Line::default(), Line::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            let (mut seen, mut spin) = (0, Spin::default());
            while !stop.load(Ordering::Relaxed) {
                let value = there.0.load(Ordering::Acquire);
                if value == seen {
                    spin.once();
                    continue;
                }
                seen = value;
                back.0.store(value, Ordering::Release);
            }
        });
        scope
            .spawn(|| {
                pin(0);
                let mut times = Vec::with_capacity(rounds);
                let mut last = Instant::now();
                for round in 1..=rounds as u64 {
                    there.0.store(round, Ordering::Release);
                    let mut spin = Spin::default();
                    while back.0.load(Ordering::Acquire) != round {
                        spin.once();
                    }
                    let now = Instant::now();
                    times.push((now - last).as_nanos() as f64);
                    last = now;
                }
                stop.store(true, Ordering::Relaxed);
                times
            })
            .join()
            .unwrap_or_default()
    })
}

/// Round trips of two threads that only park and unpark each other, in ns: what the system takes to
/// wake a thread, which no ring can shorten.
#[must_use]
pub fn unparked(rounds: usize) -> Vec<f64> {
    let turn = AtomicU64::new(0);
    // Relaxed: a number is passed to and fro, and nothing is read because of it.
    let wait = |for_turn: u64| {
        while turn.load(Ordering::Relaxed) != for_turn {
            std::thread::park();
        }
    };
    let rounds = rounds as u64;
    let asking = std::thread::current();
    std::thread::scope(|scope| {
        let answering = scope.spawn(|| {
            pin(1);
            for round in 0..rounds {
                wait(2 * round + 1);
                turn.store(2 * round + 2, Ordering::Relaxed);
                asking.unpark();
            }
        });
        let mut times = Vec::with_capacity(rounds as usize);
        let mut last = Instant::now();
        for round in 0..rounds {
            turn.store(2 * round + 1, Ordering::Relaxed);
            answering.thread().unpark();
            wait(2 * round + 2);
            let now = Instant::now();
            times.push((now - last).as_nanos() as f64);
            last = now;
        }
        times
    })
}

/// GB/s at which this core copies blocks of `bytes`.
#[must_use]
pub fn memcpy_gb_per_s(bytes: usize, scale: Scale) -> f64 {
    let (from, mut to) = (vec![1u8; bytes], vec![0u8; bytes]);
    let count = scale.of((64 << 20) / bytes).max(4);
    let segments: Vec<f64> = (0..scale.segments)
        .map(|_| {
            bytes as f64
                / ns_each(count, || {
                    std::hint::black_box(&mut to).copy_from_slice(std::hint::black_box(&from));
                })
        })
        .collect();
    median(&segments)
}

/// What the figures were taken on.
#[must_use]
pub fn banner(scale: Scale) -> Value {
    let times = line_round_trips(scale.of(20_000));
    let copies = [16 << 10, 256 << 10, 8 << 20].map(|bytes: usize| {
        let speed = on_core(0, || memcpy_gb_per_s(bytes, scale));
        json!({ "bytes": bytes, "gb_per_s": (speed * 10.0).round() / 10.0 })
    });
    let clock = on_core(0, || {
        ns_each(scale.of(100_000), || {
            std::hint::black_box(Instant::now());
        })
    });
    json!({
        "cpu": cpu(),
        "cores": cores(),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "kernel": text("/proc/sys/kernel/osrelease"),
        "load_average": text("/proc/loadavg"),
        "line_round_trip_ns": { "p50": quantile(&times, 0.5), "p99": quantile(&times, 0.99) },
        "memcpy": copies,
        "clock_ns": clock.round(),
        "profile": if cfg!(debug_assertions) { "with debug assertions" } else { "optimised" },
    })
}

fn cpu() -> Value {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or(Value::Null, |(_, name)| json!(name.trim()))
}

fn text(path: &str) -> Value {
    std::fs::read_to_string(path).map_or(Value::Null, |text| json!(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_names_the_round_trip() {
        let banner = banner(Scale::TINY);
        assert!(banner["line_round_trip_ns"]["p50"].as_f64().is_some_and(|ns| ns > 0.0));
    }
}
