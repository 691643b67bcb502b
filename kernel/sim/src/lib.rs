//! Whole runs under a seed: the state machine and the log that ship, a lane in Rust, a disk in
//! memory, a clock that is set. One thread, no time, no system: a seed gives one run.
//!
//! ```text
//!  seed -> world.rs  inputs, commands, replies, faults of agents
//!       -> life.rs   one process: begins or resumes the log, executes ticks, is killed
//!       -> run.rs    processes one behind the other, until the run is over
//!  observed.rs  what is known of it from the outside, and what a crash leaves
//!  check.rs   what must hold of all of it, told from the outside
//!  coverage.rs  what can go wrong, and how often it did; clock.rs  the time
//! ```
//! What the checks compare is kept beside the run, by none of its parts: each tick as it was
//! executed live, and the ticks that were reported durable.
//!
//! - Nothing durable is lost: a log that is found after a crash has every tick that was reported
//!   durable, by what the policy of its sync promises; a closed log has all.
//! - What is found is what happened: facts, close and outputs of each tick equal those kept.
//! - Nothing is doubled, nothing out of order: outputs and inputs by their sequences.
//! - Replay equals live, also on another number of lanes; and where inputs are data, a run that was
//!   killed again and again equals the one that never stopped.
//! - A changed bit in a log is found.

mod check;
mod clock;
mod coverage;
mod life;
mod observed;
mod run;
mod world;

pub use self::{
    coverage::{Coverage, POINTS, Point},
    observed::WrongPart,
    run::{FailedCheck, simulate},
};
