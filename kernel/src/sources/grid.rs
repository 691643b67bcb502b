//! From times to ticks: tick 1 is the first time of all sources (SEMANTICS T7.7).
//!
//! ```text
//! tick = 1 + lead + step        lead  periods from the origin of all to the source's first time
//!                               step  periods from there to the row
//! ```
//! Strict, a time is a whole number of periods after the first. With `off_grid = "floor"` periods
//! begin at whole multiples since 1970 and a time belongs to the one that it lies in.

use wasm_engine_abi::ids::Tick;

use crate::config::{OffGrid, SourceConfig};
use crate::sources::times::{Moment, TimeRule};

/// The periods of a source with times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grid {
    /// Seconds since 1970 at which its first period begins.
    pub first_time: i64,
    /// Seconds of a period.
    pub period_s: i64,
    /// Periods from the origin of all sources to its first.
    pub(crate) lead: u64,
}

impl Grid {
    pub(crate) fn new(first_time: i64, period_s: i64) -> Self {
        Self { first_time, period_s, lead: 0 }
    }

    /// Sets the time of tick 1, the same for all sources; false, and nothing is changed, if the
    /// first time is not a whole number of periods later.
    pub(crate) fn begin_at(&mut self, origin: i64) -> bool {
        let late = self.first_time - origin;
        match u64::try_from(late / self.period_s) {
            Ok(lead) if late % self.period_s == 0 => {
                self.lead = lead;
                true
            }
            _ => false,
        }
    }

    /// A tick of the run as one of the source alone, 0 before its first.
    pub(crate) fn own(&self, tick: Tick) -> Tick {
        tick.saturating_sub(self.lead)
    }
}

/// Where a row lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RowTime {
    /// Periods since the first row's.
    pub(crate) step: u64,
    /// Seconds since 1970.
    pub(crate) seconds: i64,
    first: i64,
}

/// Finds the steps of rows, one after the other.
pub(crate) struct GridReader {
    rule: TimeRule,
    id: String,
    period_s: i64,
    floor: bool,
    first: Option<i64>,
    last: u64,
}

impl GridReader {
    /// For the times of a source; the error is a key and what is wrong with it.
    pub(crate) fn of(config: &SourceConfig) -> Result<Self, (&'static str, String)> {
        let period = config.period_s.and_then(|period| i64::try_from(period).ok());
        let missing = || "is missing, and its times need it; name the seconds of a tick".to_owned();
        Ok(Self {
            rule: TimeRule::of(config)?,
            id: config.id.clone(),
            period_s: period.filter(|period| *period > 0).ok_or_else(|| ("period_s", missing()))?,
            floor: config.off_grid == OffGrid::Floor,
            first: None,
            last: 0,
        })
    }

    /// Where a row of this time lies; it is not before the last one that was [kept](Self::keep).
    pub(crate) fn find(&self, text: &str) -> Result<RowTime, String> {
        let Moment { seconds, nanos } = self.rule.parse(text)?;
        let period = self.period_s;
        let cure =
            || format!("with source.{}.off_grid = \"floor\" it enters at the tick before", self.id);
        if !self.floor && nanos != 0 {
            return Err(format!("is between two seconds; {}", cure()));
        }
        let begin = if self.floor { seconds - seconds.rem_euclid(period) } else { seconds };
        let first = self.first.unwrap_or(begin);
        let late = begin - first;
        if late % period != 0 {
            return Err(format!(
                "is {late} s after the first row, no multiple of source.{}.period_s ({period}); \
                 {}",
                self.id,
                cure()
            ));
        }
        let step = u64::try_from(late / period).ok().filter(|step| *step >= self.last);
        let step =
            step.ok_or_else(|| "is before the row above; sort the file by time".to_owned())?;
        Ok(RowTime { step, seconds, first })
    }

    /// The row enters.
    pub(crate) fn keep(&mut self, row: RowTime) {
        self.first = Some(row.first);
        self.last = row.step;
    }

    /// The periods, once there is a row.
    pub(crate) fn grid(&self) -> Option<Grid> {
        self.first.map(|first| Grid::new(first, self.period_s))
    }
}
