//! What this machine does with the kernel: figures for each stage, each beside a limit of the
//! machine that was measured in the same minute.
//!
//! ```text
//! figure.rs   a figure, the document of all, and how two documents compare
//! parts.rs    ring, page, inference: parts alone
//! runs.rs     turn, message, tick, log, replay: whole runs through the doors that users take
//! ```
//! Every stage checks its result before its figure counts. The benchmarks of the repository ask
//! more questions, beside rivals; these are for any machine, with the program alone.

mod error;
mod figure;
mod options;
mod parts;
mod runs;

use wasm_engine_measure::{
    machine::{line_round_trips, memcpy_gb_per_s, unparked},
    measure::{Scale, cores, median, ns_each, on_core, quantile},
};

pub use self::{
    error::BenchError,
    figure::{BenchDocument, Change, Figure, MachineLimits, Trend, compare, read},
    options::BenchOptions,
};

/// Measures everything; `say` is called with the name of each stage before it.
///
/// # Errors
/// [`BenchError`]: a stage gave a wrong result, or the machine did not give what it needs.
///
/// # Panics
/// If a ring loses or changes a message.
pub fn measure(options: &BenchOptions, say: &dyn Fn(&str)) -> Result<BenchDocument, BenchError> {
    say("machine");
    let machine = limits(options)?;
    let mut figures = Vec::new();
    say("ring");
    figures.extend(parts::ring(options, &machine));
    say("page");
    figures.extend(parts::page(options, &machine)?);
    for agents in if options.quick { &[1, 50, 1000][..] } else { &[1, 50, 1000, 4096] } {
        say("tick");
        figures.extend(runs::tick(options, *agents, &machine)?);
    }
    say("message");
    figures.push(runs::message(options, &machine)?);
    say("inference");
    let (inference, skipped) = match parts::inference(options, &machine)? {
        Ok(figure) => (Some(figure), Vec::new()),
        Err(reason) => (None, vec![format!("inference: {reason}")]),
    };
    figures.extend(inference);
    say("log and replay");
    figures.extend(runs::log_and_replay(options, &machine)?);
    Ok(BenchDocument { quick: options.quick, machine, figures, skipped, changes: Vec::new() })
}

fn limits(options: &BenchOptions) -> Result<MachineLimits, BenchError> {
    let scale = Scale { segments: options.segments_max(), divisor: 1 };
    let lines = match cores() {
        1 => Vec::new(),
        _ => line_round_trips(options.of(40_000)),
    };
    let wakes = on_core(0, || unparked(options.of(2_000)));
    let call = on_core(0, || {
        ns_each(options.of(400_000), || {
            std::hint::black_box(std::process::id());
        })
    });
    let syncs = runs::syncs(&options.dir, options.of(80))?;
    Ok(MachineLimits {
        cores: cores() as u32,
        line_round_trip_ns: quantile(&lines, 0.5),
        memcpy_bytes_per_ns: on_core(0, || memcpy_gb_per_s(256 << 10, scale)),
        memcpy_4k_bytes_per_ns: on_core(0, || memcpy_gb_per_s(4 << 10, scale)),
        system_call_ns: call,
        wake_ns: median(&wakes) / 2.0,
        sync_ns: median(&syncs),
        sync_p99_ns: quantile(&syncs, 0.99),
    })
}
