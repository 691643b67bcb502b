//! How numbers are spread, in fixed memory: counts in buckets that are a thirty-second of a power
//! of two wide, and sums for mean and variance.

use serde::{Serialize, Serializer};

/// Buckets of a power of two, as a power of two.
const FINE: u32 = 5;
/// Numbers below two of these have a bucket each.
const FINE_COUNT: usize = 1 << FINE;
/// Buckets for all numbers of 64 bits.
const BUCKETS: usize = (65 - FINE as usize) * FINE_COUNT;

/// How numbers are spread. A quantile is at most 3.2 % above the number that it stands for.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Box<[u64]>,
    count: u64,
    max: u64,
    sum: f64,
    /// Sum of the squared distances from the first number, so that large numbers close to each
    /// other do not cancel.
    squares: f64,
    first: u64,
}

/// What a histogram says: of nothing all is 0.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Spread {
    /// How many numbers there were.
    pub count: u64,
    /// The number that half of them are not above; at most 3.2 % too large.
    pub p50: u64,
    /// The number that 99 of 100 are not above; at most 3.2 % too large.
    pub p99: u64,
    /// The largest.
    pub max: u64,
    /// Their mean.
    #[serde(serialize_with = "thousandths")]
    pub mean: f64,
    /// Their variance, in the unit's square.
    #[serde(serialize_with = "thousandths")]
    pub variance: f64,
}

/// More digits say nothing in a document.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn thousandths<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((number * 1000.0).round() / 1000.0)
}

impl Default for Histogram {
    fn default() -> Self {
        let counts = vec![0; BUCKETS].into();
        Self { counts, count: 0, max: 0, sum: 0.0, squares: 0.0, first: 0 }
    }
}

impl Histogram {
    /// Counts a number.
    pub(crate) fn add(&mut self, number: u64) {
        if self.count == 0 {
            self.first = number;
        }
        self.counts[bucket(number)] += 1;
        self.count += 1;
        self.max = self.max.max(number);
        let distance = number as f64 - self.first as f64;
        self.sum += distance;
        self.squares += distance * distance;
    }

    /// What it says so far.
    pub(crate) fn spread(&self) -> Spread {
        if self.count == 0 {
            return Spread::default();
        }
        let count = self.count as f64;
        let mean = self.sum / count;
        Spread {
            count: self.count,
            p50: self.quantile(50),
            p99: self.quantile(99),
            max: self.max,
            mean: self.first as f64 + mean,
            variance: (self.squares / count - mean * mean).max(0.0),
        }
    }

    /// The largest number in the bucket of the one that `percent` of 100 are not above.
    fn quantile(&self, percent: u64) -> u64 {
        let rank = (u128::from(self.count) * u128::from(percent)).div_ceil(100);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += u128::from(*count);
            seen >= rank
        });
        at.map_or(self.max, |at| last(at).min(self.max))
    }
}

/// The bucket of a number.
fn bucket(number: u64) -> usize {
    let bits = u64::BITS - number.leading_zeros();
    let shift = bits.saturating_sub(FINE + 1);
    // The leading bits, of which the first is set unless the number is small.
    shift as usize * FINE_COUNT + (number >> shift) as usize
}

/// The largest number in a bucket.
fn last(bucket: usize) -> u64 {
    let shift = (bucket / FINE_COUNT).saturating_sub(1);
    let leading = (bucket - shift * FINE_COUNT) as u64;
    leading << shift | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_lies_in_a_bucket_that_is_hardly_wider_than_it() {
        let near = |power: u32| (0..64).map(move |low| (1_u64 << power) + low);
        let numbers = (0..2_048).chain((11..64).flat_map(near)).chain([u64::MAX - 1, u64::MAX]);
        let mut before = 0;
        for number in numbers {
            let bucket = bucket(number);
            assert!(bucket < BUCKETS && bucket >= before, "{number}");
            before = bucket;
            let last = last(bucket);
            assert!(last >= number && (last - number) as f64 <= number as f64 / 31.0, "{number}");
            assert!(last == u64::MAX || super::bucket(last + 1) == bucket + 1, "{number}");
        }
    }

    #[test]
    fn spreads_are_those_of_the_numbers() {
        assert_eq!(Histogram::default().spread(), Spread::default());
        let mut histogram = Histogram::default();
        // Far from 0, where squares of the numbers themselves would cancel.
        let numbers: Vec<u64> = (0..1_000).map(|at| (1 << 40) + at * 7919 % 1_000).collect();
        numbers.iter().for_each(|number| histogram.add(*number));
        let Spread { count, p50, p99, max, mean, variance } = histogram.spread();
        assert_eq!((count, max), (1_000, (1 << 40) + 999));
        assert!(p50 >= (1 << 40) + 499 && p50 <= max && p99 <= max);
        assert!((mean - ((1_u64 << 40) as f64 + 499.5)).abs() < 1e-3, "{mean}");
        assert!((variance - 83_333.25).abs() < 1.0, "{variance}");
        let mut small = Histogram::default();
        (1..=100).for_each(|number| small.add(number));
        let Spread { p50, p99, .. } = small.spread();
        assert_eq!((p50, p99), (50, 99));
        small.add(u64::MAX);
        assert_eq!(small.spread().max, u64::MAX);
    }
}
