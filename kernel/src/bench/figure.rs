//! Figures, and how those of two documents compare.

use std::path::Path;

use serde::{Deserialize, Serialize};
use wasm_engine_measure::measure::{median, quantile};

use crate::{bench::error::BenchError, files};

/// Changes below this are never said to be one: clocks and placement of code differ by as much.
const NOISE_MIN: f64 = 0.05;

/// One figure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// Stage, as `tick`.
    pub stage: String,
    /// What was measured, unique.
    pub case: String,
    /// `ns`, of which less is better, or `1/s` or `B/s`, of which more is.
    pub unit: String,
    /// Median over the segments.
    pub value: f64,
    /// Eight of ten segments lie this far apart, as a part of the median.
    pub spread: f64,
    /// Percentiles over single operations, where they were timed one by one.
    pub p50: Option<f64>,
    /// See `p50`.
    pub p99: Option<f64>,
    /// See `p50`.
    pub p999: Option<f64>,
    /// What the machine can do at best, in the same unit.
    pub limit: Option<f64>,
    /// What that limit is of.
    pub limit_of: Option<String>,
}

impl Figure {
    /// The median of `segments`.
    pub(super) fn of(stage: &str, case: impl Into<String>, unit: &str, segments: &[f64]) -> Self {
        let value = median(segments);
        let spread =
            (quantile(segments, 0.9) - quantile(segments, 0.1)) / value.max(f64::MIN_POSITIVE);
        Self {
            stage: stage.to_owned(),
            case: case.into(),
            unit: unit.to_owned(),
            value,
            spread,
            p50: None,
            p99: None,
            p999: None,
            limit: None,
            limit_of: None,
        }
    }

    /// With percentiles of single operations.
    pub(super) fn over(self, times: &[f64]) -> Self {
        let at = |q| Some(quantile(times, q));
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), ..self }
    }

    /// With a limit of the machine.
    pub(super) fn beside(self, limit_of: &str, limit: f64) -> Self {
        Self { limit: Some(limit), limit_of: Some(limit_of.to_owned()), ..self }
    }

    fn less_is_better(&self) -> bool {
        self.unit == "ns"
    }
}

/// What the machine itself can do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MachineLimits {
    /// Cores that this process may use.
    pub cores: u32,
    /// A cache line to another core and back, 0 with one core.
    pub line_round_trip_ns: f64,
    /// Bytes copied in a nanosecond, in blocks of 256 KiB.
    pub memcpy_bytes_per_ns: f64,
    /// The same in blocks of 4 KiB.
    pub memcpy_4k_bytes_per_ns: f64,
    /// The cheapest system call.
    pub system_call_ns: f64,
    /// From waking a thread until it runs.
    pub wake_ns: f64,
    /// 4 KiB written and forced to the disk.
    pub sync_ns: f64,
    /// One of a hundred of these takes longer.
    pub sync_p99_ns: f64,
}

/// All figures.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BenchDocument {
    /// Whether less was measured.
    pub quick: bool,
    /// What the machine itself can do.
    pub machine: MachineLimits,
    /// In a fixed order.
    pub figures: Vec<Figure>,
    /// Stages without a figure, each with its reason.
    pub skipped: Vec<String>,
    /// Against another document, if there is one.
    #[serde(default)]
    pub changes: Vec<Change>,
}

/// What became of a figure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// Better by more than the noise.
    Better,
    /// Worse by more than the noise.
    Worse,
    /// The noise is as large as the change.
    Same,
}

/// A figure beside that of another document.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// What was measured.
    pub case: String,
    /// The other document's figure.
    pub before: f64,
    /// This one's.
    pub now: f64,
    /// Their unit.
    pub unit: String,
    /// `now / before - 1`.
    pub change: f64,
    /// Changes up to this part may be noise: the spreads of both, at least 5 %.
    pub noise: f64,
    /// What follows.
    pub trend: Trend,
}

/// The changes of all figures that both documents have.
#[must_use]
pub fn compare(before: &BenchDocument, now: &BenchDocument) -> Vec<Change> {
    let change = |now: &Figure| {
        let same = |other: &&Figure| other.case == now.case && other.unit == now.unit;
        let before = before.figures.iter().find(same)?;
        let change = now.value / before.value - 1.0;
        let noise = (before.spread + now.spread).max(NOISE_MIN);
        let trend = match (change < 0.0) == now.less_is_better() {
            // Not a number: one of them is 0.
            _ if !change.is_finite() || change.abs() <= noise => Trend::Same,
            true => Trend::Better,
            false => Trend::Worse,
        };
        Some(Change {
            case: now.case.clone(),
            before: before.value,
            now: now.value,
            unit: now.unit.clone(),
            change,
            noise,
            trend,
        })
    };
    now.figures.iter().filter_map(change).collect()
}

/// Reads a document that was printed as JSON.
///
/// # Errors
/// [`BenchError::Figures`].
pub fn read(path: &Path) -> Result<BenchDocument, BenchError> {
    let failed = |problem: String| BenchError::Figures { path: path.to_owned(), problem };
    let bytes = files::read(path, files::SMALL_BYTES_MAX).map_err(|e| failed(e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(unit: &str, value: f64, spread: f64) -> BenchDocument {
        let figure = Figure { spread, ..Figure::of("s", "c", unit, &[value]) };
        let machine = MachineLimits {
            cores: 1,
            line_round_trip_ns: 0.0,
            memcpy_bytes_per_ns: 1.0,
            memcpy_4k_bytes_per_ns: 1.0,
            system_call_ns: 1.0,
            wake_ns: 1.0,
            sync_ns: 1.0,
            sync_p99_ns: 1.0,
        };
        let (figures, skipped) = (vec![figure], Vec::new());
        BenchDocument { quick: true, machine, figures, skipped, changes: Vec::new() }
    }

    #[test]
    fn a_change_counts_if_it_is_more_than_the_noise() {
        let trend = |unit: &str, before: (f64, f64), now: (f64, f64)| {
            let [before, now] = [before, now].map(|(value, spread)| document(unit, value, spread));
            compare(&before, &now)[0].trend
        };
        assert_eq!(trend("ns", (100.0, 0.01), (80.0, 0.01)), Trend::Better);
        assert_eq!(trend("ns", (100.0, 0.01), (120.0, 0.01)), Trend::Worse);
        assert_eq!(trend("1/s", (100.0, 0.01), (120.0, 0.01)), Trend::Better);
        assert_eq!(trend("ns", (100.0, 0.15), (80.0, 0.10)), Trend::Same);
        assert_eq!(trend("ns", (100.0, 0.0), (104.0, 0.0)), Trend::Same);
        assert_eq!(trend("ns", (0.0, 0.0), (1.0, 0.0)), Trend::Same);
        assert!(compare(&document("ns", 1.0, 0.0), &document("1/s", 1.0, 0.0)).is_empty());
    }

    #[test]
    fn what_is_no_document_is_named() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let path = dir.path().join("figures.json");
        for text in ["", "{}", "[1]", "{\"figures\":3}"] {
            std::fs::write(&path, text).expect("written");
            let error = read(&path).expect_err("no document").to_string();
            assert!(error.contains("figures.json holds no figures"), "{error}");
        }
        let document = document("ns", 5.0, 0.5);
        std::fs::write(&path, serde_json::to_vec(&document).expect("JSON")).expect("written");
        assert_eq!(read(&path).expect("its own"), document);
    }
}
