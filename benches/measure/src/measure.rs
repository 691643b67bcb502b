//! How figures are taken: pinned threads, segments in turn, medians, ratios of the same second.
//!
//! A virtual machine drifts between placements of its cores and is interrupted at any time, so
//! nothing here averages: every candidate runs for a short segment, all candidates take turns, and
//! figures and ratios are medians over the segments.

use std::sync::OnceLock;
use std::time::Instant;

use core_affinity::CoreId;

/// How much to do. [`Scale::FULL`] keeps a question below some ten seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scale {
    /// Segments of each candidate.
    pub segments: usize,
    /// What the work of one segment is divided by.
    pub divisor: usize,
}

impl Scale {
    /// For figures.
    pub const FULL: Self = Self { segments: 15, divisor: 1 };
    /// For tests of the benchmarks themselves: results are checked, figures mean nothing.
    pub const TINY: Self = Self { segments: 2, divisor: 100 };

    /// `full` units of work, or what this scale leaves of them.
    #[must_use]
    pub fn of(self, full: usize) -> usize {
        (full / self.divisor).max(2)
    }
}

/// Median; 0 of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which the fraction `q` lies; 0 of nothing.
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * q).round() as usize).copied().unwrap_or(0.0)
}

/// Median of the quotients of two series measured in turn.
#[must_use]
pub fn median_ratio(upper: &[f64], lower: &[f64]) -> f64 {
    let ratios: Vec<f64> = upper.iter().zip(lower).map(|(u, l)| u / l).collect();
    median(&ratios)
}

/// Nanoseconds of each of `count` runs of `work`, divided by `count`.
pub fn ns_each(count: usize, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        work();
    }
    start.elapsed().as_nanos() as f64 / count as f64
}

/// The cores that this process may use, asked before the first thread is pinned: a pinned thread,
/// and every thread that it starts, sees one core only.
fn core_ids() -> &'static [CoreId] {
    static CORES: OnceLock<Vec<CoreId>> = OnceLock::new();
    CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default())
}

/// Number of cores that this process may use.
#[must_use]
pub fn cores() -> usize {
    core_ids().len().max(1)
}

/// Pins the calling thread to the core with this number among those allowed, if it exists. Threads
/// that it starts afterwards inherit the core.
pub fn pin(number: usize) {
    if let Some(core) = core_ids().get(number) {
        core_affinity::set_for_current(*core);
    }
}

/// Runs `work` on a thread pinned to core `number` and gives its result.
///
/// # Panics
/// As `work` does.
pub fn on_core<T: Send>(number: usize, work: impl FnOnce() -> T + Send) -> T {
    apart(move || {
        pin(number);
        work()
    })
}

/// Runs `work` on a thread of its own, which may pin itself when its helpers have started.
///
/// # Panics
/// As `work` does.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Waits a moment between two polls at what another thread writes. A spinning thread whose
/// counterpart is not running gives its core up once in a while.
#[derive(Debug, Default)]
pub struct Spin(u32);

impl Spin {
    /// One look was in vain.
    #[inline]
    pub fn once(&mut self) {
        self.0 += 1;
        if self.0.is_multiple_of(1 << 14) {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Nanoseconds since the first call: the clock that the kernel's parts are handed.
#[must_use]
pub fn clock_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 100.0], 0.99), 100.0);
        assert_eq!(median_ratio(&[2.0, 9.0, 4.0], &[1.0, 1.0, 1.0]), 4.0);
        assert_eq!(median(&[]), 0.0);
    }
}
