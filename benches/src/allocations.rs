//! S13: allocations of a running tick, counted by the allocator. Reports; the test is the kernel's.

use crate::counting::allocations;
use crate::measure::Scale;
use crate::rig::{Case, Rig};
use crate::row::{Row, Unit};

/// The rows.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    let ticks = scale.of(10_000);
    let mut rig = Rig::new(Case::all(50));
    // Warm-up: buffers grow to what one state interval needs.
    (0..scale.of(2_000)).for_each(|_| rig.tick());
    let before = allocations();
    (0..ticks).for_each(|_| rig.tick());
    let after = allocations();
    let row = |who, count: u64| {
        let case = format!("allocations a tick of 50 agents, {who}");
        Row::new("S13", case, Unit::Count, count as f64 / ticks as f64)
            .at_most(0.0)
            .note(format!("{count} in {ticks} ticks"))
    };
    vec![
        row("scheduler's thread", after.0 - before.0),
        row("all threads, log included", after.1 - before.1),
    ]
}
