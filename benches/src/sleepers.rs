//! S9: cost follows the agents that are active, not those that exist.
//!
//! ```text
//!  50 of 100,000      the same 50 active, against 50 of 50, in one process in turn
//!  50 of 50 ... 10^6  a curve of the same, each in a process of its own
//!  1 % of 10^6        always the same ones; then in rotation, so that every agent wakes each 100
//!                     ticks; ticks a second, and bytes an agent beside a kernel of 50
//! ```

use crate::alone::{Measured, Wanted, lanes_text};
use crate::growth::{TURNS, WARM_UP, in_turn};
use crate::measure::{Scale, median, median_ratio};
use crate::rig::{Case, check};
use crate::row::{Point, Row, Unit};

/// Agents that are active among any number.
const ACTIVE: u32 = 50;
/// How much dearer they may be among many.
const AMONG_MAX: f64 = 1.2;
/// One part in so many is active.
const PARTS: u32 = 100;
/// Least ticks a second with 1 % of a million active.
const TICKS_MIN: f64 = 50.0;
/// Most bytes of an agent that sleeps.
const SLEEPER_MAX: f64 = 4096.0;

/// The rows.
///
/// # Panics
/// If a digest depends on the lanes.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    let few = scale.of(4_000).next_multiple_of(PARTS as usize) as u32;
    check(Case::all(few).of_groups(PARTS, false), scale.of(500));
    check(Case::all(few).of_groups(PARTS, true), scale.of(500));
    let mut rows = vec![among(scale)];
    rows.extend(curve(scale));
    rows.extend(resident(scale));
    for rotate in [false, true] {
        rows.extend(million(scale, rotate));
    }
    rows
}

/// The same few among many, against the few alone.
fn among(scale: Scale) -> Row {
    let many = (scale.of(100_000) as u32).next_multiple_of(ACTIVE);
    let name = format!("turn of {ACTIVE} active agents among {many}");
    let alone = Case::all(ACTIVE).without_states();
    let among = Case::all(many).of_groups(many / ACTIVE, false).without_states();
    let figures = in_turn(scale, &[alone, among], scale.of(TURNS as usize));
    match &figures[..] {
        [Ok(alone), Ok(among)] => Row::new("S9", name, Unit::Ns, median(among))
            .against("50 of 50", median(alone), Some(median_ratio(alone, among)))
            .goal(1.0 / AMONG_MAX),
        _ => {
            let reason = figures.into_iter().find_map(Result::err).unwrap_or_default();
            Row::skipped("S9", name, Unit::Ns, reason)
        }
    }
}

fn wanted(scale: Scale, agents: u32, groups: u32) -> Wanted {
    Wanted {
        agents,
        groups,
        rotate: false,
        workers: 0,
        warm_up: WARM_UP,
        segments: 2 * scale.segments as u32,
        turns: scale.of(TURNS as usize) as u32,
    }
}

/// Ticks of the same few among ever more.
fn curve(scale: Scale) -> Vec<Row> {
    let sizes = [50, 500, 5_000, 50_000, 100_000, 1_000_000];
    let sizes = sizes.into_iter().filter(|agents| scale == Scale::FULL || *agents <= 500);
    let row = |agents: u32| {
        eprintln!("  {ACTIVE} of {agents} agents");
        let case = format!("tick of {ACTIVE} active agents among {agents}");
        let row = match wanted(scale, agents, agents / ACTIVE).ask() {
            Ok(measured) => Row::new("S9", case, Unit::Ns, measured.tick_ns),
            Err(reason) => Row::skipped("S9", case, Unit::Ns, reason),
        };
        row.point(Point { agents, active: ACTIVE, lanes: 1 })
    };
    sizes.map(row).collect()
}

/// Memory of kernels whose agents are all active.
fn resident(scale: Scale) -> Vec<Row> {
    let sizes = [50, 4_096, 65_536, 1_000_000];
    let sizes = sizes.into_iter().filter(|agents| scale == Scale::FULL || *agents <= 50);
    let row = |agents: u32| {
        eprintln!("  memory of {agents} agents");
        let case = format!("resident, {agents} agents, all active");
        match (Wanted { segments: 1, ..wanted(scale, agents, 1) }).ask() {
            Err(reason) => Row::skipped("S9", case, Unit::Bytes, reason),
            Ok(measured) => Row::new("S9", case, Unit::Bytes, measured.resident).note(format!(
                "{:.2} GiB of address space; started in {:.2} s",
                measured.size / f64::from(1 << 30),
                measured.start_ns / 1e9
            )),
        }
    };
    sizes.map(row).collect()
}

/// One in a hundred of very many active.
fn million(scale: Scale, rotate: bool) -> Vec<Row> {
    let agents = if scale == Scale::FULL { 1_000_000 } else { 1_000 };
    // In rotation everybody has woken before anything is measured.
    let warm_up = if rotate { PARTS + WARM_UP } else { WARM_UP };
    let who = if rotate { "in rotation" } else { "the same" };
    let base = Wanted { segments: 1, ..wanted(scale, PARTS, 1) }.ask();
    let lanes = [0, 1].map(|workers| {
        eprintln!("  1 % of {agents} agents, {who}, {}", lanes_text(workers + 1));
        Wanted { rotate, workers, warm_up, ..wanted(scale, agents, PARTS) }.ask()
    });
    if let [Ok(one), Ok(two)] = &lanes {
        assert_eq!(one.digest, two.digest, "{agents} agents: the digest depends on the lanes");
    }
    let mut rows = vec![sleeper(agents, who, &base, &lanes[0])];
    for (lanes, measured) in (1..).zip(&lanes) {
        let case = format!("ticks, 1 % of {agents} agents active, {who}, {}", lanes_text(lanes));
        let row = match measured {
            Err(reason) => Row::skipped("S9", case, Unit::PerS, reason),
            Ok(measured) => {
                Row::new("S9", case, Unit::PerS, 1e9 / measured.tick_ns).at_least(TICKS_MIN)
            }
        };
        rows.push(row.point(Point { agents, active: agents / PARTS, lanes }));
    }
    rows
}

/// What an agent of very many takes beyond what a kernel of few takes.
fn sleeper(
    agents: u32,
    who: &str,
    base: &Result<Measured, String>,
    many: &Result<Measured, String>,
) -> Row {
    let case = format!("memory an agent, {agents} agents, 1 % active, {who}");
    match (base, many) {
        (Ok(base), Ok(many)) => {
            let each = (many.resident - base.resident) / f64::from(agents);
            Row::new("S9", case, Unit::Bytes, each).at_most(SLEEPER_MAX).note(format!(
                "{:.2} GiB resident, page tables included; started in {:.1} s",
                many.resident / f64::from(1 << 30),
                many.start_ns / 1e9
            ))
        }
        (Err(reason), _) | (_, Err(reason)) => Row::skipped("S9", case, Unit::Bytes, reason),
    }
}
