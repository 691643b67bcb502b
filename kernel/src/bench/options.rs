//! How much to measure, and where.

use std::path::PathBuf;

use crate::clock;

/// Repetitions without which there is no spread.
const SEGMENTS_MIN: usize = 3;

/// How to measure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BenchOptions {
    /// Less of everything: some seconds instead of a minute, and more noise.
    pub quick: bool,
    /// A folder on the disk whose speed is of interest; what is made there is removed.
    pub dir: PathBuf,
}

impl BenchOptions {
    /// Most repetitions of each figure.
    pub(super) fn segments_max(&self) -> usize {
        if self.quick { 9 } else { 15 }
    }

    /// Numbers of the repetitions of a figure: at least three, and no more once its time is over,
    /// so that a busy machine gets figures too.
    pub(super) fn segments(&self) -> impl Iterator<Item = usize> {
        let budget_ns = if self.quick { 1_000_000_000 } else { 6_000_000_000 };
        let begin_ns = clock::now_ns();
        let goes_on =
            move |number: &usize| *number < SEGMENTS_MIN || clock::now_ns() - begin_ns < budget_ns;
        (0..self.segments_max()).take_while(goes_on)
    }

    /// `full` units of work, or a part of them.
    pub(super) fn of(&self, full: usize) -> usize {
        if self.quick { full / 4 } else { full }
    }
}
