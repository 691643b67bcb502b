//! One view as plain text, for a person or a file: no control codes, no colours.
//!
//! What this does not do: it is not meant to be parsed; [`crate::json`] is.

use std::fmt::Write as _;

use crate::units::{bytes, count, duration, percent, short, short_count};
use crate::view::View;
use wasm_engine_telemetry::Liveness;

/// Agents listed at most, those with the most turns; JSON has all.
pub const AGENTS_SHOWN: usize = 20;

/// The summary, several lines, each ended.
#[must_use]
pub fn summary(view: &View) -> String {
    let mut out = String::new();
    head(&mut out, view);
    kernel(&mut out, view);
    agents(&mut out, view);
    lanes(&mut out, view);
    models(&mut out, view);
    rings(&mut out, view);
    out
}

/// Appends a line. Writing to a `String` cannot fail.
macro_rules! line {
    ($out:expr, $($arg:tt)*) => { let _ = writeln!($out, $($arg)*); };
}

fn tick_text(tick: Option<u64>) -> String {
    tick.map_or("none".to_owned(), count)
}

fn head(out: &mut String, view: &View) {
    let state = match view.liveness {
        Liveness::Live => format!("live, {}", view.activity),
        Liveness::Stale => format!("stale: no heartbeat for {}", duration(view.idle_ns)),
        Liveness::Dead => "dead: the process is gone".to_owned(),
        Liveness::Finished => match view.kernel.exit_code {
            Some(code) => format!("finished, exit {code}"),
            None => "finished".to_owned(),
        },
    };
    let up = duration(view.kernel.uptime_ns);
    line!(out, "{} (pid {}): {state}, up {up}", view.name, view.pid);
}

fn kernel(out: &mut String, view: &View) {
    let (k, r) = (&view.kernel, &view.rates);
    let end = k.ticks_end.map_or(String::new(), |end| {
        let done = k.tick.map_or(0, |t| t.saturating_add(1));
        format!(" ({} of {})", percent(done as f64, end as f64), count(end))
    });
    line!(out, "  tick       {}{end}, durable {}", tick_text(k.tick), tick_text(k.durable_tick));
    let t = &k.tick_time;
    line!(
        out,
        "  tick time  p50 {}, p99 {}, max {}, mean {}",
        duration(t.p50_ns),
        duration(t.p99_ns),
        duration(t.max_ns),
        duration(t.mean_ns)
    );
    line!(
        out,
        "  average/s  {} ticks, {} turns, {} messages, {} inputs, {} inferences, {} fuel",
        short(r.ticks),
        short(r.turns),
        short(r.messages),
        short(r.inputs),
        short(r.inferences),
        short(r.fuel)
    );
    let trouble = ["faults", "restarts", "refused", "dropped", "dead_letters"];
    let trouble: Vec<_> = trouble
        .iter()
        .map(|name| format!("{} {}", name.replace('_', " "), count(view.counter(name))))
        .collect();
    line!(out, "  trouble    {}", trouble.join(", "));
    let waits: Vec<_> = k
        .stalls
        .iter()
        .map(|s| match s.count {
            0 => format!("{} 0", s.cause),
            n => format!("{} {} ({})", s.cause, count(n), duration(s.ns)),
        })
        .collect();
    line!(out, "  waits      {}", waits.join(", "));
    line!(
        out,
        "  held       {} messages, {}; inferences pending {}; log {}; region {}",
        count(k.messages_held.into()),
        bytes(view.counter("payload_bytes_held")),
        k.inferences_pending,
        bytes(view.counter("log_bytes")),
        bytes(view.counter("region_bytes"))
    );
    line!(out, "  digest     {}", k.digest);
}

fn agents(out: &mut String, view: &View) {
    line!(out, "agents       {} of {}", count(view.kernel.agents.into()), view.kernel.agents_max);
    let mut list: Vec<_> = view.agents.iter().collect();
    list.sort_by_key(|a| std::cmp::Reverse(a.turns));
    if !list.is_empty() {
        line!(
            out,
            "  {:<24} {:>8} {:>12} {:>8} {:>8} {:>6} {:>7} {:>6} {:>10}",
            "agent",
            "address",
            "state",
            "turns",
            "items",
            "inbox",
            "fuel",
            "faults",
            "last tick"
        );
    }
    for a in list.iter().take(AGENTS_SHOWN) {
        line!(
            out,
            "  {:<24} {:>8} {:>12} {:>8} {:>8} {:>6} {:>7} {:>6} {:>10}",
            a.name,
            a.address,
            a.state,
            short_count(a.turns),
            short_count(a.items),
            a.inbox_items,
            short_count(a.fuel),
            a.faults,
            tick_text(a.last_tick)
        );
    }
    if let Some(more) = list.len().checked_sub(AGENTS_SHOWN).filter(|n| *n > 0) {
        line!(out, "  and {} more; --json lists all", count(more as u64));
    }
}

fn lanes(out: &mut String, view: &View) {
    for l in &view.lanes {
        line!(
            out,
            "lane {:<7} {}, {} turns, busy {}, outbox max {} of {}",
            l.lane,
            l.state,
            count(l.turns),
            percent(l.busy, 1.0),
            bytes(l.outbox_high_bytes),
            bytes(l.outbox_capacity)
        );
    }
}

fn models(out: &mut String, view: &View) {
    for m in &view.models {
        line!(
            out,
            "model {:<6} {}, {} requests in {} batches, errors {}, batch p50 {}, p99 {}",
            m.name,
            m.state,
            count(m.requests),
            count(m.batches),
            count(m.errors),
            duration(m.run_time.p50_ns),
            duration(m.run_time.p99_ns)
        );
    }
}

fn rings(out: &mut String, view: &View) {
    for r in &view.rings {
        line!(
            out,
            "ring {:<7} {} of {} used, max {}, {} records, full {} times",
            r.name,
            bytes(r.used_bytes),
            bytes(r.capacity_bytes),
            bytes(r.high_bytes),
            count(r.records),
            count(r.stalls)
        );
    }
}
