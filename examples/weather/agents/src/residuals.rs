//! When a residual (observed less forecast) is unusual: the watcher's rule.
//!
//! A residual is unusual if it is larger than 8 °F **and** than 6 times what is usual at this
//! station. Usual is the exponentially weighted mean of |residual| with a memory of a week: a
//! plain mean over the first 168 residuals, during which nothing is unusual, afterwards
//! `usual += (|residual| - usual) / 168`. There |residual| counts as at most 6 times `usual`, so
//! that a glitch does not make the watcher deaf.
//!
//! Why so: temperatures change by more than 8 °F in an hour a few times a year, with cold fronts
//! and thunderstorms; a broken sensor does it too and is what the operator wants to hear of. The
//! second bound keeps a badly forecast station from alarming every day.

/// Residuals of a week: the warm-up and the memory.
pub const WEEK: u32 = 168;
/// Below this many °F nothing is unusual.
pub const FLOOR_F: f64 = 8.0;
/// So many times the usual is unusual.
pub const FACTOR: f64 = 6.0;

/// What is usual at one station.
#[derive(Clone, Copy, Debug, Default)]
pub struct Residuals {
    seen: u32,
    usual_f: f64,
}

impl Residuals {
    /// Nothing seen.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: 0, usual_f: 0.0 }
    }

    /// Whether this residual in °F is unusual by those before it; then learns from it.
    pub fn is_anomaly(&mut self, residual_f: f64) -> bool {
        let size = residual_f.abs();
        let bound = FACTOR * self.usual_f;
        if self.seen < WEEK {
            self.seen += 1;
            self.usual_f += (size - self.usual_f) / f64::from(self.seen);
            return false;
        }
        self.usual_f += (size.min(bound) - self.usual_f) / f64::from(WEEK);
        size > bound.max(FLOOR_F)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warm(size: f64) -> Residuals {
        let mut residuals = Residuals::new();
        for hour in 0..WEEK {
            let sign = if hour % 2 == 0 { 1.0 } else { -1.0 };
            assert!(!residuals.is_anomaly(sign * size));
        }
        residuals
    }

    #[test]
    fn nothing_is_unusual_in_the_first_week() {
        let mut residuals = Residuals::new();
        for _ in 0..WEEK {
            assert!(!residuals.is_anomaly(99.0));
        }
        assert!(!residuals.is_anomaly(100.0));
    }

    #[test]
    fn both_bounds_hold() {
        assert!(!warm(1.0).is_anomaly(8.0));
        assert!(warm(1.0).is_anomaly(-8.01));
        assert!(!warm(2.0).is_anomaly(11.9));
        assert!(warm(2.0).is_anomaly(12.1));
    }

    #[test]
    fn a_glitch_does_not_make_it_deaf() {
        let mut residuals = warm(1.0);
        assert!(residuals.is_anomaly(-1000.0));
        assert!(residuals.is_anomaly(9.0));
        assert!(residuals.usual_f < 1.1);
    }
}
