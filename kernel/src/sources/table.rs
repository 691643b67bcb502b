//! The series of a table: rows by time and stream, a pure function of the tick.
//!
//! Every row was checked before tick 0; the source is complete through every tick (SEMANTICS T7),
//! so a run can begin or resume anywhere.
//!
//! ```text
//! stream  = copy * keys + key         keys in the order in which the file first names them
//! tick    = 1 + periods from the first time of all sources (see grid.rs)
//! copy c at tick t sees the step  (t - 1 + c * offset_rows) mod steps
//!
//! payload   0 time i64, seconds since 1970 | 8 stream u32 | 12 columns u32 | 16 f64 per column
//! ```
//! A time step without a row enters as nothing; a rotated row keeps its true time. Memory is
//! proportional to the file, not to the copies.
//!
//! Not here: reading files, live inputs, waiting.

use std::collections::BTreeMap;

use wasm_engine_abi::ids::Tick;

use crate::sources::grid::Grid;
use crate::sources::payload::{self, Due};
use crate::sources::streams::Streams;

/// Rows of one time step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeStep {
    /// Time steps since the first row.
    pub(crate) step: u64,
    /// The step's first row; its last is before the next step's first.
    pub(crate) first_row: u32,
}

/// A table's rows, ready to enter.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) grid: Grid,
    pub(crate) keys: u32,
    pub(crate) copies: u32,
    pub(crate) offset_rows: u64,
    pub(crate) columns: Vec<String>,
    /// Time steps from the first row to the last, both counted: the tick of the last.
    pub(crate) length: u64,
    pub(crate) steps: Vec<TimeStep>,
    /// By row: in time order, within a step in the order of the keys.
    pub(crate) row_keys: Vec<u32>,
    /// By row, seconds since 1970.
    pub(crate) times: Vec<i64>,
    /// By row, `columns` values each.
    pub(crate) values: Vec<f64>,
    /// Different rotations and how many copies have each.
    pub(crate) rotations: BTreeMap<u64, u64>,
}

impl Table {
    /// Counts the rotations, once everything else is there.
    pub(crate) fn rotate(mut self) -> Self {
        for copy in 0..self.copies {
            *self.rotations.entry(self.rotation(copy)).or_default() += 1;
        }
        self
    }

    /// The last tick at which an input is due; the source is closed after it.
    pub(crate) fn last_tick(&self) -> Tick {
        // Every copy sees every step once in the ticks 1..=length, so the last tick with an input
        // is the last at which some rotation meets a row. Step 0 has one, so there is one before.
        let from_end = |rotation: &u64| {
            let at = (self.length - 1 + rotation) % self.length;
            at - self.steps[self.steps.partition_point(|step| step.step <= at) - 1].step
        };
        self.grid.lead + self.length - self.rotations.keys().map(from_end).min().unwrap_or(0)
    }

    /// The first tick after `after` at which an input is due.
    pub(crate) fn next_due(&self, after: Tick) -> Option<Tick> {
        let after = self.grid.own(after);
        if after >= self.length {
            return None;
        }
        let mut best = u64::MAX;
        for rotation in self.rotations.keys() {
            let at = (after + rotation) % self.length;
            // The last step of the series has a row, so there is one at or behind `at`.
            let distance = self.steps[self.steps.partition_point(|step| step.step < at)].step - at;
            if distance == 0 {
                return Some(self.grid.lead + after + 1);
            }
            best = best.min(distance);
        }
        let next = Some(after + 1 + best).filter(|tick| *tick <= self.length);
        next.map(|tick| self.grid.lead + tick)
    }

    /// Gives the inputs of `tick` to `enter`, in stream order; `scratch` holds each payload.
    pub(crate) fn inputs_at(
        &self,
        tick: Tick,
        streams: &Streams,
        scratch: &mut Vec<u8>,
        mut enter: impl FnMut(Due<'_>),
    ) {
        let mut seq = self.first_seq(tick);
        let tick = self.grid.own(tick);
        if tick == 0 || tick > self.length {
            return;
        }
        for copy in 0..self.copies {
            let at = (tick - 1 + self.rotation(copy)) % self.length;
            let Ok(index) = self.steps.binary_search_by_key(&at, |step| step.step) else {
                continue;
            };
            for row in self.rows_of(index) {
                let stream = copy * self.keys + self.row_keys[row];
                let columns = self.columns.len();
                let values = &self.values[row * columns..][..columns];
                payload::write_numbers(self.times[row], stream, values, scratch);
                enter(Due { topic: streams.topic_of(stream), stream, seq, payload: scratch });
                seq += 1;
            }
        }
    }

    /// Sequence number of the first input at or after `tick`: how many enter before it.
    pub(crate) fn first_seq(&self, tick: Tick) -> u64 {
        let ticks = self.grid.own(tick).saturating_sub(1).min(self.length);
        let rows = self.row_keys.len() as u64;
        let before = |step: u64| {
            let index = self.steps.partition_point(|group| group.step < step);
            self.steps.get(index).map_or(rows, |group| group.first_row.into())
        };
        let window = |rotation: u64| {
            let end = rotation + ticks;
            match end.checked_sub(self.length) {
                None => before(end) - before(rotation),
                Some(wrapped) => rows - before(rotation) + before(wrapped),
            }
        };
        self.rotations.iter().map(|(rotation, copies)| window(*rotation) * copies).sum()
    }

    pub(crate) fn rotation(&self, copy: u32) -> u64 {
        let product = u128::from(copy) * u128::from(self.offset_rows);
        (product % u128::from(self.length)) as u64
    }

    fn rows_of(&self, index: usize) -> std::ops::Range<usize> {
        let next = self.steps.get(index + 1).map_or(self.row_keys.len(), |s| s.first_row as usize);
        self.steps[index].first_row as usize..next
    }
}
