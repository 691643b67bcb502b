//! How long things took, from histograms of powers of two.
//!
//! The kernel counts durations in buckets; a difference of two snapshots' buckets is the histogram
//! of the time between them.
//!
//! What this does not do: no exact quantiles; a bucket is a factor of two wide.

use serde::Serialize;
use wasm_engine_abi::page::BUCKETS;

/// Durations of one kind. Quantiles are estimates: exact to the bucket, a factor of two.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Durations {
    /// How many were measured.
    pub count: u64,
    /// Mean, in ns.
    pub mean_ns: u64,
    /// Median, in ns.
    pub p50_ns: u64,
    /// 99 of 100 took less, in ns.
    pub p99_ns: u64,
    /// Longest since the start, in ns.
    pub max_ns: u64,
}

/// Durations counted since an earlier histogram, or since the start without one.
pub(crate) fn durations(
    buckets: &[u64; BUCKETS],
    sum_ns: u64,
    max_ns: u64,
    before: Option<(&[u64; BUCKETS], u64)>,
) -> Durations {
    let (old, old_sum) = before.unwrap_or((&[0; BUCKETS], 0));
    let grown: [u64; BUCKETS] = std::array::from_fn(|i| buckets[i].saturating_sub(old[i]));
    // Sums of numbers from outside: they may be anything.
    let count = grown.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    Durations {
        count,
        mean_ns: sum_ns.saturating_sub(old_sum).checked_div(count).unwrap_or(0),
        p50_ns: quantile(&grown, count, 0.50).min(max_ns),
        p99_ns: quantile(&grown, count, 0.99).min(max_ns),
        max_ns,
    }
}

/// The duration below which a part `q` of a histogram lies, evenly spread within its bucket.
fn quantile(buckets: &[u64; BUCKETS], count: u64, q: f64) -> u64 {
    let mut rank = count as f64 * q;
    for (at, n) in buckets.iter().enumerate() {
        let n = *n as f64;
        if n > 0.0 && rank <= n {
            let low = (1u64 << at) as f64;
            return (low + low * (rank / n)) as u64;
        }
        rank -= n;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let mut buckets = [0; BUCKETS];
        buckets[10] = 90;
        buckets[20] = 10;
        let times = durations(&buckets, 1_000_000, 2_000_000, None);
        assert!((1024..2048).contains(&times.p50_ns), "{times:?}");
        assert!((1 << 20..1 << 21).contains(&times.p99_ns), "{times:?}");
        assert_eq!((times.count, times.mean_ns), (100, 10_000));
        assert_eq!(durations(&[0; BUCKETS], 0, 0, None), Durations::default());
        // Numbers of a hostile region do not overflow.
        let wild = durations(&[u64::MAX; BUCKETS], u64::MAX, u64::MAX, Some((&[1; BUCKETS], 5)));
        assert_eq!(wild.count, u64::MAX);
    }
}
