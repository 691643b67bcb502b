//! A due source: a file of comma-separated rows, each an input that carries its own tick.
//!
//! The file is read once, whole, and every row is checked before tick 0; after that the source is
//! a pure function of the tick, complete through every tick (SEMANTICS T7), so a run can begin or
//! resume anywhere.
//!
//! ```text
//! stream  = copy * keys + key         keys in the order in which the file first names them
//! tick    = 1 + (time - origin) / period_s    the first time of all sources is the origin
//! copy c at tick t sees the step  (t - 1 + c * offset_rows) mod steps
//!
//! payload   0 time i64, seconds since 1970 | 8 stream u32 | 12 columns u32 | 16 f64 per column
//! ```
//! Columns are all but key and time, in the file's order; an empty field is the quiet NaN
//! `0x7ff8_0000_0000_0000`; an hour that is missing enters as nothing. A rotated row keeps its true
//! time. Memory is proportional to the file, not to the copies.
//!
//! Not here: quoting (a `"` anywhere is refused), other separators, live inputs, waiting.

use std::{collections::BTreeMap, io, path::PathBuf};

use wasm_engine_abi::ids::Tick;

use crate::exit::{Exit, HasExitCode};

/// Bytes of a payload in front of its columns.
pub(crate) const INPUT_HEADER_BYTES: usize = 16;

/// Why a source cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file cannot be read.
    #[error(
        "source `{id}`: data file {} cannot be read: {source}; check source.{id}.file",
        file.display()
    )]
    Read {
        /// Id of the source.
        id: String,
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The header does not have the columns it must have, or there is nothing below it.
    #[error("source `{id}`: data file {}: {problem}", file.display())]
    Header {
        /// Id of the source.
        id: String,
        /// The file.
        file: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A row is bad.
    #[error(transparent)]
    Row(Box<BadRow>),
}

impl HasExitCode for SourceError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read { source, .. } => Exit::of_reading(source),
            _ => Exit::Usage,
        }
    }
}

/// A row that cannot enter.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "source `{id}`: data file {}, line {line}, column `{column}`: `{value}` {problem}",
    file.display()
)]
pub struct BadRow {
    /// Id of the source.
    pub id: String,
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u64,
    /// Name of the column.
    pub column: String,
    /// The field, cut after 64 characters.
    pub value: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// Rows of one time step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeStep {
    /// Time steps since the first row.
    pub(crate) step: u64,
    /// The step's first row; its last is before the next step's first.
    pub(crate) first_row: u32,
}

/// An input that is due.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Due<'a> {
    /// Handle of its topic (see [`CsvSource::bind_topics`]).
    pub topic: u32,
    /// Its stream.
    pub stream: u32,
    /// Running number of the source's inputs in (tick, stream) order, from 0.
    pub seq: u64,
    /// The payload, as the module's documentation draws it.
    pub payload: &'a [u8],
}

/// A file's rows, ready to enter.
#[derive(Clone, Debug)]
pub struct CsvSource {
    pub(crate) id: String,
    pub(crate) hash: [u8; 32],
    pub(crate) keys: Vec<String>,
    pub(crate) columns: Vec<String>,
    pub(crate) copies: u32,
    pub(crate) offset_rows: u64,
    pub(crate) first_time: i64,
    /// Ticks from the origin to the first row's time.
    pub(crate) lead: u64,
    pub(crate) period_s: i64,
    /// Time steps from the first row to the last, both counted: the tick of the last.
    pub(crate) length: u64,
    pub(crate) steps: Vec<TimeStep>,
    /// By row: in time order, within a step in the order of the keys.
    pub(crate) row_keys: Vec<u32>,
    /// By row, `columns` values each.
    pub(crate) values: Vec<f64>,
    /// Different rotations and how many copies have each.
    pub(crate) rotations: BTreeMap<u64, u64>,
    pub(crate) topics: Vec<u32>,
}

impl CsvSource {
    /// Id of the source.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// blake3 of the file, to tell whether a run is resumed with the same data.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Number of streams: keys times copies.
    #[must_use]
    pub fn streams(&self) -> u32 {
        self.keys.len() as u32 * self.copies
    }

    /// Names of the columns of a payload, in order.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Bytes of every payload.
    #[must_use]
    pub fn payload_bytes(&self) -> u32 {
        (INPUT_HEADER_BYTES + 8 * self.columns.len()) as u32
    }

    /// The copy that a stream belongs to.
    #[must_use]
    pub fn stream_copy(&self, stream: u32) -> u32 {
        stream / self.keys.len() as u32
    }

    /// Name of a stream: its key, and behind a dot its copy unless that is 0 (`EWR`, `EWR.1`).
    #[must_use]
    pub fn stream_name(&self, stream: u32) -> String {
        let key = &self.keys[stream as usize % self.keys.len()];
        match self.stream_copy(stream) {
            0 => key.clone(),
            copy => format!("{key}.{copy}"),
        }
    }

    /// `template` with `{key}` and `{copy}` of a stream filled in.
    #[must_use]
    pub fn expand(&self, template: &str, stream: u32) -> String {
        let copy = self.stream_copy(stream).to_string();
        template.replace("{key}", &self.stream_name(stream)).replace("{copy}", &copy)
    }

    /// Topic names by stream, from the configured template.
    #[must_use]
    pub fn stream_topics(&self, template: &str) -> Vec<String> {
        (0..self.streams()).map(|stream| self.expand(template, stream)).collect()
    }

    /// Sets the topic handles that inputs are given, by stream.
    ///
    /// # Panics
    /// If there is not one for each stream.
    pub fn bind_topics(&mut self, handles: Vec<u32>) {
        assert_eq!(handles.len(), self.streams() as usize, "one topic for each stream");
        self.topics = handles;
    }

    /// The last tick at which an input is due; the source is closed after it.
    #[must_use]
    pub fn last_tick(&self) -> Tick {
        // Every copy sees every step once in the ticks 1..=length, so the last tick with an input
        // is the last at which some rotation meets a row. Step 0 has one, so there is one before.
        let from_end = |rotation: &u64| {
            let at = (self.length - 1 + rotation) % self.length;
            at - self.steps[self.steps.partition_point(|step| step.step <= at) - 1].step
        };
        self.lead + self.length - self.rotations.keys().map(from_end).min().unwrap_or(0)
    }

    /// The time at which its first row is due.
    #[must_use]
    pub fn first_time(&self) -> i64 {
        self.first_time
    }

    /// Sets the time of tick 1, the same for all sources; false, and nothing is changed, if the
    /// first row's time is not a whole number of periods later.
    pub fn begin_at(&mut self, origin: i64) -> bool {
        let late = self.first_time - origin;
        match u64::try_from(late / self.period_s) {
            Ok(lead) if late % self.period_s == 0 => {
                self.lead = lead;
                true
            }
            _ => false,
        }
    }

    /// The first tick after `after` at which an input is due.
    #[must_use]
    pub fn next_due(&self, after: Tick) -> Option<Tick> {
        let after = after.saturating_sub(self.lead);
        if after >= self.length {
            return None;
        }
        let mut best = u64::MAX;
        for rotation in self.rotations.keys() {
            let at = (after + rotation) % self.length;
            // The last step of the series has a row, so there is one at or behind `at`.
            let distance = self.steps[self.steps.partition_point(|step| step.step < at)].step - at;
            if distance == 0 {
                return Some(self.lead + after + 1);
            }
            best = best.min(distance);
        }
        let next = Some(after + 1 + best).filter(|tick| *tick <= self.length);
        next.map(|tick| self.lead + tick)
    }

    /// Gives the inputs of `tick` to `enter`, in stream order; `scratch` holds each payload.
    pub fn inputs_at(&self, tick: Tick, scratch: &mut Vec<u8>, mut enter: impl FnMut(Due<'_>)) {
        let mut seq = self.first_seq(tick);
        let tick = tick.saturating_sub(self.lead);
        if tick == 0 || tick > self.length {
            return;
        }
        for copy in 0..self.copies {
            let at = (tick - 1 + self.rotation(copy)) % self.length;
            let Ok(index) = self.steps.binary_search_by_key(&at, |step| step.step) else {
                continue;
            };
            for row in self.rows_of(index) {
                let stream = copy * self.keys.len() as u32 + self.row_keys[row];
                self.write_payload(row, at, stream, scratch);
                let topic = self.topics.get(stream as usize).copied().unwrap_or(0);
                enter(Due { topic, stream, seq, payload: scratch });
                seq += 1;
            }
        }
    }

    /// Sequence number of the first input at or after `tick`: how many enter before it.
    #[must_use]
    pub fn first_seq(&self, tick: Tick) -> u64 {
        let ticks = tick.saturating_sub(self.lead).saturating_sub(1).min(self.length);
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

    fn write_payload(&self, row: usize, step: u64, stream: u32, into: &mut Vec<u8>) {
        let columns = self.columns.len();
        let time = self.first_time + step as i64 * self.period_s;
        into.clear();
        into.extend_from_slice(&time.to_le_bytes());
        into.extend_from_slice(&stream.to_le_bytes());
        into.extend_from_slice(&(columns as u32).to_le_bytes());
        for value in &self.values[row * columns..][..columns] {
            into.extend_from_slice(&value.to_le_bytes());
        }
    }
}
