//! S3b and S14: what a turn and a tick cost in kernels of one to a million trivial agents.
//!
//! For S3b three kernels live in one process and take turns in short segments, so that a ratio is
//! one of the same second. For S14 each kernel has a process of its own, where its memory is
//! measured too, and those of one and of two lanes must have one digest at every size. State
//! digests are left out, because a segment of very many agents is shorter than their interval;
//! their share of a turn does not depend on the number of agents.

use crate::alone::{Measured, Wanted, lanes_text};
use crate::measure::{Scale, apart, median, median_ratio, ns_each, pin};
use crate::rig::{Case, Rig, check};
use crate::row::{Point, Row, Unit};

/// Turns of a segment.
pub const TURNS: u32 = 1 << 16;
/// Ticks before the first segment: what is touched first, and what grows.
pub const WARM_UP: u32 = 2;
/// Agents of the curve.
const SIZES: [u32; 10] = [1, 10, 50, 500, 4_096, 16_384, 65_536, 100_000, 262_144, 1_000_000];
/// Those over which the power is taken.
const RANGE: std::ops::RangeInclusive<u32> = 50..=100_000;
/// The largest power.
const POWER_MAX: f64 = 1.1;

/// A kernel among others in one process, and its figures.
#[derive(Debug)]
pub struct Candidate {
    rig: Rig,
    /// Of each segment, a turn in ns.
    pub turn_ns: Vec<f64>,
}

impl Candidate {
    /// A kernel that has run its first ticks.
    ///
    /// # Errors
    /// What the machine or the kernel cannot give.
    pub fn open(case: Case) -> Result<Self, String> {
        let mut rig = Rig::open(case)?;
        (0..WARM_UP).try_for_each(|_| rig.try_tick())?;
        Ok(Self { rig, turn_ns: Vec::new() })
    }

    /// Takes some `turns` turns.
    pub fn segment(&mut self, turns: usize) {
        let each = self.rig.case().turns(1);
        let ticks = (turns / each as usize).max(1);
        self.turn_ns.push(ns_each(ticks, || self.rig.tick()) / f64::from(each));
    }
}

/// Measures kernels in turn, in segments of some `turns` turns; those that cannot be opened say
/// why.
///
/// # Panics
/// If a tick fails.
#[must_use]
pub fn in_turn(scale: Scale, cases: &[Case], turns: usize) -> Vec<Result<Vec<f64>, String>> {
    apart(|| {
        let mut all: Vec<_> = cases.iter().map(|case| Candidate::open(*case)).collect();
        // After the logs' threads have started, which else would share the core.
        pin(0);
        for _ in 0..scale.segments * 2 {
            for candidate in all.iter_mut().flatten() {
                candidate.segment(turns);
            }
        }
        let figures = |candidate: Candidate| {
            assert_eq!(candidate.rig.faults(), 0, "an agent found a wrong message");
            candidate.turn_ns
        };
        all.into_iter().map(|candidate| candidate.map(figures)).collect()
    })
}

/// S3b.
///
/// # Panics
/// If a tick fails or a digest depends on the lanes.
#[must_use]
pub fn turns(scale: Scale) -> Vec<Row> {
    let goals = [None, Some(1.5), Some(2.5)];
    let sizes = [50, 4_096, 65_536].map(|agents| scale.of(agents).max(50) as u32);
    check(Case::all(sizes[1]), scale.of(200));
    let cases = sizes.map(|agents| Case::all(agents).without_states());
    let figures = in_turn(scale, &cases, scale.of(TURNS as usize));
    let base = figures[0].clone().unwrap_or_default();
    let row = |(at, figures): (usize, Result<Vec<f64>, String>)| {
        let case = format!("turn of a trivial agent, {} in a tick", sizes[at]);
        let turn_ns = match figures {
            Ok(turn_ns) => turn_ns,
            Err(reason) => return Row::skipped("S3b", case, Unit::Ns, reason),
        };
        let row = Row::new("S3b", case, Unit::Ns, median(&turn_ns));
        match goals[at] {
            None => row,
            Some(goal) => row
                .against("50 in a tick", median(&base), Some(median_ratio(&base, &turn_ns)))
                .goal(1.0 / goal),
        }
    };
    figures.into_iter().enumerate().map(row).collect()
}

/// A point of the curve.
type Size = (u32, Result<Measured, String>);

/// S14: the curve of one lane and that of two, and the power of each.
///
/// # Panics
/// If a digest depends on the lanes.
#[must_use]
pub fn curve(scale: Scale) -> Vec<Row> {
    check(Case::all(scale.of(4_096) as u32), WARM_UP as usize);
    let sizes = SIZES.iter().filter(|agents| scale == Scale::FULL || **agents <= 500);
    let measured =
        sizes.map(|&agents| (agents, [0, 1].map(|workers| all_of(scale, agents, workers))));
    let mut lanes: [Vec<Size>; 2] = Default::default();
    for (agents, [one, two]) in measured {
        if let (Ok(one), Ok(two)) = (&one, &two) {
            assert_eq!(one.digest, two.digest, "{agents} agents: the digest depends on the lanes");
        }
        lanes[0].push((agents, one));
        lanes[1].push((agents, two));
    }
    let rows = lanes.iter().zip(1..).flat_map(|(sizes, lanes)| {
        let points = sizes.iter().map(move |size| point(size, lanes));
        points.chain([power(sizes, lanes)])
    });
    rows.collect()
}

/// All of `agents` agents active, in a process of their own.
fn all_of(scale: Scale, agents: u32, workers: u32) -> Result<Measured, String> {
    eprintln!("  {agents} agents, {}", lanes_text(workers + 1));
    let wanted = Wanted {
        agents,
        groups: 1,
        rotate: false,
        workers,
        warm_up: WARM_UP,
        segments: 2 * scale.segments as u32,
        turns: scale.of(TURNS as usize) as u32,
    };
    wanted.ask()
}

fn point((agents, measured): &Size, lanes: u32) -> Row {
    let case = format!("tick of {agents} trivial agents, {}", lanes_text(lanes));
    let row = match measured {
        Err(reason) => Row::skipped("S14", case, Unit::Ns, reason),
        Ok(measured) => {
            let Measured { tick_ns, resident, start_ns, segments, .. } = measured;
            Row::new("S14", case, Unit::Ns, *tick_ns).note(format!(
                "a turn {:.0} ns; resident {:.1} MiB; started in {:.2} s; {segments} segments",
                tick_ns / f64::from(*agents),
                resident / f64::from(1 << 20),
                start_ns / 1e9
            ))
        }
    };
    row.point(Point { agents: *agents, active: *agents, lanes })
}

fn power(sizes: &[Size], lanes: u32) -> Row {
    let case = format!("power of a tick over 50 to 100,000 agents, {}", lanes_text(lanes));
    let mut points = Vec::new();
    let mut missing = Vec::new();
    for (agents, measured) in sizes.iter().filter(|(agents, _)| RANGE.contains(agents)) {
        match measured {
            Ok(measured) => points.push((f64::from(*agents).ln(), measured.tick_ns.ln())),
            Err(_) => missing.push(agents.to_string()),
        }
    }
    let slope = slope(&points);
    if missing.is_empty() {
        return Row::new("S14", case, Unit::Exponent, slope).at_most(POWER_MAX);
    }
    let reason = format!("no figure for {} agents; {slope:.2} without", missing.join(", "));
    Row::skipped("S14", case, Unit::Exponent, reason)
}

/// Slope of the line with the least squares of errors.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_of_a_square_is_two() {
        let points: Vec<_> =
            (1..9).map(|n| (f64::from(n).ln(), f64::from(7 * n * n).ln())).collect();
        assert!((slope(&points) - 2.0).abs() < 1e-9);
    }
}
