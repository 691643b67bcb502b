//! The seam behind which all kinds of source stand: what is read, and what is due at a tick.
//!
//! ```text
//! csv.rs   -> table.rs (rows by time and stream, with copies)  \
//! jsonl.rs -> list.rs  (inputs one after the other)             > Source -> ingest.rs
//! files.rs -> list.rs                                          /
//! a host, arrivals.rs -> live.rs  (inputs that wait) ------------------------/
//! ```
//! A source of data is read once, whole, and checked before tick 0; after that it is a pure
//! function of the tick, complete through every tick (SEMANTICS T7), so a run can begin or resume
//! anywhere. Of a live source only its streams are known.

use std::path::Path;

use wasm_engine_abi::ids::Tick;

use crate::config::{SourceConfig, SourceKind};
use crate::files::{self, DATA_BYTES_MAX, UNPACKED_BYTES_MAX};
use crate::sources::error::{DataFile, LeftOut, SourceError};
use crate::sources::grid::Grid;
use crate::sources::lines_from::LiveWay;
use crate::sources::list::List;
use crate::sources::live::{LiveShape, STANDARD_INPUT};
use crate::sources::payload::{Due, INPUT_HEADER_BYTES};
use crate::sources::streams::Streams;
use crate::sources::table::Table;
use crate::sources::{csv, files as folder, jsonl};

/// What a source gives.
#[derive(Clone, Debug)]
enum Series {
    Table(Table),
    List(List),
    /// Nothing was read: what it gives is pushed.
    Live(LiveShape),
}

/// A source, ready to give its inputs.
#[derive(Clone, Debug)]
pub struct Source {
    streams: Streams,
    series: Series,
    hash: [u8; 32],
    left_out: LeftOut,
}

impl Source {
    /// Reads and checks `file`, the resolved path of the file or folder of `config`, which has been
    /// checked.
    ///
    /// # Errors
    /// [`SourceError`], naming line, column and value of the first bad row.
    pub fn read(config: &SourceConfig, file: &Path) -> Result<Self, SourceError> {
        let data = DataFile { config, file };
        let mut left_out = LeftOut::default();
        let (series, keys, hash) = match config.kind() {
            Some(SourceKind::Live | SourceKind::Feeder) => {
                if config.file.as_ref().is_some_and(|name| name.as_os_str() != STANDARD_INPUT) {
                    std::fs::metadata(file).map_err(|error| data.reading(error))?;
                }
                let (shape, keys) = LiveShape::of(config, file).map_err(|problem| {
                    let (key, problem) = problem;
                    data.key(key, problem)
                })?;
                (Series::Live(shape), keys, [0; 32])
            }
            Some(SourceKind::Files) => {
                let (list, keys, hash) = folder::read(data, &mut left_out)?;
                (Series::List(list), keys, hash)
            }
            kind => {
                let bytes = files::read_unpacked(file, DATA_BYTES_MAX, UNPACKED_BYTES_MAX);
                let bytes = bytes.map_err(|error| data.reading(error))?;
                let hash = *blake3::hash(&bytes).as_bytes();
                if kind == Some(SourceKind::Jsonl) {
                    let (list, keys) = jsonl::read(data, &bytes, &mut left_out)?;
                    (Series::List(list), keys, hash)
                } else {
                    let (table, keys) = csv::read(data, &bytes, &mut left_out)?;
                    (Series::Table(table), keys, hash)
                }
            }
        };
        let streams = Streams::new(data, keys)?;
        let hash = config.reading().map_or(hash, |reading| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&hash).update(reading.as_bytes());
            *hasher.finalize().as_bytes()
        });
        let series = match series {
            // Streams were checked first, so that what follows is bounded by them.
            Series::Table(table) => Series::Table(table.rotate()),
            other => other,
        };
        Ok(Self { streams, series, hash, left_out })
    }

    /// Id of the source.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.streams.id
    }

    /// blake3 of the data and of how it is read where that is not the plain form of a table, to
    /// tell whether a run is resumed with the same inputs.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Rows, lines or files that were left out.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out.count
    }

    /// What was left out, in words; none if nothing was.
    pub(crate) fn left_out_line(&self) -> Option<String> {
        let LeftOut { count, first } = &self.left_out;
        let id = self.id();
        let what = match self.series {
            Series::Table(_) => "rows",
            Series::List(_) | Series::Live(_) => "lines or files",
        };
        (*count > 0).then(|| format!("source `{id}`: {count} {what} left out, the first: {first}"))
    }

    /// Number of streams: keys times copies.
    #[must_use]
    pub fn streams(&self) -> u32 {
        self.streams.count()
    }

    /// Names of the columns of a table's payload, in order; none of other kinds.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        match &self.series {
            Series::Table(table) => &table.columns,
            Series::List(_) | Series::Live(_) => &[],
        }
    }

    /// Bytes of the longest payload.
    #[must_use]
    pub fn payload_bytes(&self) -> u32 {
        match &self.series {
            Series::Table(table) => (INPUT_HEADER_BYTES + 8 * table.columns.len()) as u32,
            Series::List(list) => list.longest.bytes,
            Series::Live(shape) => shape.payload_bytes_max,
        }
    }

    /// What a live source is; none of others.
    pub(crate) fn live(&self) -> Option<&LiveShape> {
        match &self.series {
            Series::Live(shape) => Some(shape),
            _ => None,
        }
    }

    /// Whether its inputs come while the run goes on.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live().is_some()
    }

    /// Whether it is a host that pushes them.
    #[must_use]
    pub fn is_pushed(&self) -> bool {
        self.live().is_some_and(LiveShape::is_pushed)
    }

    /// Whether a thread reads their lines.
    #[must_use]
    pub fn has_reader(&self) -> bool {
        self.live().is_some_and(|shape| matches!(shape.way, LiveWay::Lines(_)))
    }

    /// Handles of its topics, by stream.
    pub(crate) fn topics(&self) -> &[u32] {
        &self.streams.topics
    }

    /// The longest input, in words.
    pub(crate) fn longest(&self) -> String {
        match &self.series {
            Series::Table(_) => format!("an input of source `{}`", self.id()),
            Series::Live(_) => format!("source.{}.payload_bytes_max", self.id()),
            Series::List(list) => {
                format!("the input of source `{}` in data file {}", self.id(), list.longest.from)
            }
        }
    }

    /// The copy that a stream belongs to.
    #[must_use]
    pub fn stream_copy(&self, stream: u32) -> u32 {
        self.streams.copy_of(stream)
    }

    /// Name of a stream: that of its key, and behind a dot its copy unless that is 0 (`EWR`,
    /// `EWR.1`).
    #[must_use]
    pub fn stream_name(&self, stream: u32) -> String {
        self.streams.name(stream)
    }

    /// `template` with `{key}` and `{copy}` of a stream filled in.
    #[must_use]
    pub fn expand(&self, template: &str, stream: u32) -> String {
        self.streams.expand(template, stream)
    }

    /// Names by stream, from a template.
    #[must_use]
    pub fn stream_topics(&self, template: &str) -> Vec<String> {
        (0..self.streams()).map(|stream| self.expand(template, stream)).collect()
    }

    /// The template of its own topics.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.streams.topic
    }

    /// Sets the topic handles that inputs are given, by stream.
    ///
    /// # Panics
    /// If there is not one for each stream.
    pub fn bind_topics(&mut self, handles: Vec<u32>) {
        assert_eq!(handles.len(), self.streams() as usize, "one topic for each stream");
        self.streams.topics = handles;
    }

    /// The periods that its ticks are; none of a source without times.
    #[must_use]
    pub fn grid(&self) -> Option<Grid> {
        match &self.series {
            Series::Table(table) => Some(table.grid),
            Series::List(list) => list.grid,
            Series::Live(_) => None,
        }
    }

    /// Sets the time of tick 1, the same for all sources; false, and nothing is changed, if the
    /// first row's time is not a whole number of periods later.
    pub fn begin_at(&mut self, origin: i64) -> bool {
        match &mut self.series {
            Series::Table(table) => table.grid.begin_at(origin),
            Series::List(list) => list.grid.as_mut().is_none_or(|grid| grid.begin_at(origin)),
            Series::Live(_) => true,
        }
    }

    /// The last tick at which an input is due; the source is closed after it. 0 of a live one.
    #[must_use]
    pub fn last_tick(&self) -> Tick {
        match &self.series {
            Series::Table(table) => table.last_tick(),
            Series::List(list) => list.last_tick(),
            Series::Live(_) => 0,
        }
    }

    /// The first tick after `after` at which an input is due.
    #[must_use]
    pub fn next_due(&self, after: Tick) -> Option<Tick> {
        match &self.series {
            Series::Table(table) => table.next_due(after),
            Series::List(list) => list.next_due(after),
            Series::Live(_) => None,
        }
    }

    /// Gives the inputs of `tick` to `enter`, in the order of their sequence; `scratch` may hold
    /// each payload.
    pub fn inputs_at(&self, tick: Tick, scratch: &mut Vec<u8>, enter: impl FnMut(Due<'_>)) {
        match &self.series {
            Series::Table(table) => table.inputs_at(tick, &self.streams, scratch, enter),
            Series::List(list) => list.inputs_at(tick, &self.streams, enter),
            Series::Live(_) => {}
        }
    }

    /// Sequence number of the first input at or after `tick`: how many enter before it. 0 of a live
    /// source.
    #[must_use]
    pub fn first_seq(&self, tick: Tick) -> u64 {
        match &self.series {
            Series::Table(table) => table.first_seq(tick),
            Series::List(list) => list.first_seq(tick),
            Series::Live(_) => 0,
        }
    }
}
