//! How much to measure, and where.

use std::path::PathBuf;

/// How to measure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BenchOptions {
    /// Less of everything: some seconds instead of a minute, and more noise.
    pub quick: bool,
    /// A folder on the disk whose speed is of interest; what is made there is removed.
    pub dir: PathBuf,
}

impl BenchOptions {
    /// Repetitions of each figure.
    pub(super) fn segments(&self) -> usize {
        if self.quick { 9 } else { 15 }
    }

    /// `full` units of work, or a part of them.
    pub(super) fn of(&self, full: usize) -> usize {
        if self.quick { full / 4 } else { full }
    }
}
