//! S10: two lanes against one, for agents that compute for a while in each turn.
//!
//! Both kernels live in one process and take turns in short segments; the one of two lanes has a
//! worker pinned to the second core, as a run has it. Digests for 0, 1 and 2 workers must be equal.

use crate::bare_loop::rounds_of;
use crate::brokered::{NEVER_SLOWER, two_lanes};
use crate::guests::Job;
use crate::measure::Scale;
use crate::rig::Case;
use crate::row::Row;

const AGENTS: u32 = 50;
/// Time of arithmetic in a turn, in us, and what two lanes must be better by.
const SPINS: [(f64, f64); 6] = [
    (0.0, NEVER_SLOWER),
    (1.0, NEVER_SLOWER),
    (2.0, NEVER_SLOWER),
    (5.0, 1.7),
    (20.0, 1.7),
    (100.0, 1.7),
];

/// The rows.
///
/// # Panics
/// If a tick fails or a digest depends on the lanes.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    let row = |(us, goal): (f64, f64)| {
        let work = Job::Listen { rounds: rounds_of(us * 1e3) };
        let case = Case { work, ..Case::all(AGENTS) };
        let name = format!("turn with {us} us of arithmetic, {AGENTS} in a tick, 2 lanes");
        two_lanes("S10", name, scale, case, us * 1e3, goal)
    };
    SPINS.map(row).to_vec()
}
