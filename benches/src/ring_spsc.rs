//! S1, one message at a time: how far is a ring from the bare cache line? Rivals: `benches/rivals`.

use crate::machine::line_round_trips;
use crate::measure::{Scale, median, median_ratio, quantile};
use crate::rings::{bytes_ring, cell_ring, ns_per_message, round_trips, steady};
use crate::row::{Row, Unit};

/// Bytes of a cell.
const CELL: usize = 56;

/// The rows.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    let rounds = scale.of(20_000);
    let (mut line, mut ours) = ([vec![], vec![]], [vec![], vec![]]);
    for _ in 0..scale.segments {
        let (_, times) =
            steady(|| [line_round_trips(rounds), round_trips::<CELL, _, _>(rounds, cell_ring)]);
        for (figures, times) in [&mut line, &mut ours].into_iter().zip(times) {
            for (figures, q) in figures.iter_mut().zip([0.5, 0.99]) {
                figures.push(quantile(&times, q));
            }
        }
    }
    let mut rows = Vec::new();
    for (at, (name, goal)) in [("p50", 1.0 / 1.15), ("p99", 0.5)].into_iter().enumerate() {
        // Both goals are multiples of the bare line's median.
        let (limit, ours) = (&line[0], &ours[at]);
        rows.push(
            Row::new(
                "S1",
                format!("cell ring, round trip of 56 bytes, {name}"),
                Unit::Ns,
                median(ours),
            )
            .against("bare cache line, p50", median(limit), Some(median_ratio(limit, ours)))
            .limit(median(&line[at]))
            .goal(goal),
        );
    }
    rows.push(one_at_a_time::<64>(scale));
    rows.push(one_at_a_time::<1024>(scale));
    rows
}

fn one_at_a_time<const N: usize>(scale: Scale) -> Row {
    let figures: Vec<f64> = (0..scale.segments)
        .map(|_| ns_per_message::<N, _, _>(scale.of(200), 1, bytes_ring::<N>))
        .collect();
    let case = format!("bytes ring, {N} bytes, one at a time");
    Row::new("S1", case, Unit::MillionPerS, 1e3 / median(&figures))
}
