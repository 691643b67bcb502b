//! `[[source]]`: where inputs come from, and how their files are read.
//!
//! One table for all kinds of source; a key that says nothing about a source's kind is refused, so
//! that nobody believes it to be in force.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// `[[source]]`: inputs that carry their own tick, or live ones (SEMANTICS T7).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Name, unique among sources. Required.
    pub id: String,
    /// `csv` (a table), `jsonl` (an object a line), `files` (a folder), `live` (pushed by a host
    /// program, or JSON lines as they come) or `feeder` (handed over by another process through
    /// shared memory). Default: by the ending of `file`, and `files` where `folder` stands.
    #[serde(default)]
    pub kind: Option<SourceKind>,
    /// The file, relative to the configuration; one that ends with `.gz` is unpacked. In `live` a
    /// file or pipe of JSON lines, or `-` for standard input. Default: none, and a table or JSON
    /// lines need one.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// The folder of `files`, relative to the configuration. Default: none.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// Where the kernel listens, relative to the configuration: in `live` for connections that send
    /// JSON lines, in `feeder` for the feeder. Default: none in `live`; in `feeder` a place in the
    /// user's runtime directory, by the names of kernel and source.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// Topic of an input; `{key}` is the stream's name, `{copy}` its copy number. Required.
    pub topic: String,
    /// Column or member that names a row's stream; the stream's name itself for `files`. Default:
    /// one stream called like the source in `csv`, member `key` in `jsonl`, `files` in `files`.
    #[serde(default)]
    pub key: Option<String>,
    /// Column or member that holds a row's time. Default: member `time` in `jsonl`; a table needs
    /// one.
    #[serde(default)]
    pub time: Option<String>,
    /// Seconds per tick, at least 1, the same for all sources with times. Default: none, and times
    /// need one.
    #[serde(default)]
    pub period_s: Option<u64>,
    /// What a time that is a bare number counts since 1970: `s`, `ms`, `us` or `ns`. Default: none,
    /// and only 9 to 11 digits are read, as seconds.
    #[serde(default)]
    pub time_unit: Option<TimeUnit>,
    /// Form of a time, with the directives of `strftime`. Default: RFC 3339 and what is near it.
    #[serde(default)]
    pub time_format: Option<String>,
    /// Offset of times that say none, as in `+02:00`. Default: none, they are UTC.
    #[serde(default)]
    pub time_offset: Option<String>,
    /// What becomes of a row between two ticks: `refuse`, or `floor` (it enters at the earlier one;
    /// ticks then begin at whole periods since 1970). Default `refuse`.
    #[serde(default)]
    pub off_grid: OffGrid,
    /// What becomes of a row or line that cannot be used: `refuse`, or `skip` (it is counted).
    /// Default `refuse`.
    #[serde(default)]
    pub bad_rows: OnBadRow,
    /// Columns that enter, in this order. Default: all but key and time.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// What stands between two columns, one ASCII character. Default: a comma, in `.tsv` files a
    /// tab.
    #[serde(default)]
    pub delimiter: Option<String>,
    /// First character of lines that are left out. Default: none.
    #[serde(default)]
    pub comment: Option<String>,
    /// Words that stand for a missing value, as an empty field does. Default: `NaN`, `nan`, `NA`
    /// and `null`.
    #[serde(default)]
    pub missing: Option<Vec<String>>,
    /// What becomes of a further row of a key in one tick: `refuse`, or `keep` (all enter, in the
    /// file's order). Default `refuse`.
    #[serde(default)]
    pub repeats: Repeats,
    /// How often the whole set of streams enters, at least 1. Default 1.
    #[serde(default = "one")]
    pub copies: u32,
    /// Copy c sees the series rotated by c times this many time steps. Default 0.
    #[serde(default)]
    pub offset_rows: u64,
    /// What an input is made of: `text`, `json`, `hex`, `base64` or `f64` in `jsonl` and in `live`
    /// with a file or socket, `bytes` in `files`. Default: `bytes` in `files`; JSON lines need one.
    #[serde(default)]
    pub payload: Option<InputForm>,
    /// Files of which the name ends otherwise are left out. Default: none.
    #[serde(default)]
    pub suffix: Option<String>,
    /// Files that enter in one tick, at least 1. Default 1.
    #[serde(default = "one")]
    pub per_tick: u32,
    /// Bytes from the beginning of each file, in place of all of it. Default: none.
    #[serde(default)]
    pub head_bytes: Option<u32>,
    /// Bytes from the end of each file, in place of all of it. Default: none.
    #[serde(default)]
    pub tail_bytes: Option<u32>,
    /// Keys of a `live` or `feeder` source, one stream each. Default: the source's id, one stream.
    #[serde(default)]
    pub keys: Option<Vec<String>>,
    /// Bytes of the longest payload of a `live` or `feeder` source, at most 1 GiB, or 512 MiB in
    /// `feeder`. Default: 4,096 in both.
    #[serde(default)]
    pub payload_bytes_max: Option<u32>,
    /// Bytes that may wait in a `live` or `feeder` source for the next tick, in whole charge units
    /// and at least one for each input; at most 1 GiB. Default: 1 MiB in both.
    #[serde(default)]
    pub queue_bytes: Option<u32>,
}

/// Bytes that a live source may hold.
const LIVE_BYTES_MAX: u32 = 1 << 30;
/// Bytes of a payload that passes through a feeder's ring.
const FEEDER_BYTES_MAX: u32 = 1 << 29;

const fn one() -> u32 {
    1
}

/// Kinds of source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A file of rows with columns.
    Csv,
    /// A file of JSON objects, one a line.
    Jsonl,
    /// A folder of files.
    Files,
    /// Inputs that come while the run goes on: pushed by a host, or JSON lines.
    Live,
    /// Inputs that another process hands over through shared memory.
    Feeder,
}

/// What a number that stands for a time counts since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

/// What becomes of a row whose time lies between two ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffGrid {
    /// It is a bad row.
    #[default]
    Refuse,
    /// It enters at the earlier of the two.
    Floor,
}

/// What becomes of a row or line that cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRow {
    /// The configuration is refused.
    #[default]
    Refuse,
    /// It is left out and counted.
    Skip,
}

/// What becomes of a further row of a key in one tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeats {
    /// It is a bad row.
    #[default]
    Refuse,
    /// It enters too.
    Keep,
}

/// What an input is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputForm {
    /// A text's UTF-8.
    Text,
    /// The value as it is written, without spaces.
    Json,
    /// The bytes that hexadecimal digits stand for.
    Hex,
    /// The bytes that base 64 stands for.
    Base64,
    /// Numbers, behind the header that rows of tables have.
    F64,
    /// A file, whole.
    Bytes,
}

/// What is wrong with a key of a source: its name and the problem.
type KeyProblem = (&'static str, String);

const TABLE: &[SourceKind] = &[SourceKind::Csv];
const FOLDER: &[SourceKind] = &[SourceKind::Files];
const LINES: &[SourceKind] = &[SourceKind::Csv, SourceKind::Jsonl, SourceKind::Live];
const LIVE: &[SourceKind] = &[SourceKind::Live, SourceKind::Feeder];
const ROWS: &[SourceKind] = &[SourceKind::Csv, SourceKind::Jsonl];

impl SourceConfig {
    /// Its kind, as written or by the ending of its file.
    #[must_use]
    pub fn kind(&self) -> Option<SourceKind> {
        if self.kind.is_some() {
            return self.kind;
        }
        match (&self.folder, self.ending()?.as_str()) {
            (Some(_), _) => Some(SourceKind::Files),
            (None, "csv" | "tsv") => Some(SourceKind::Csv),
            (None, "jsonl" | "ndjson") => Some(SourceKind::Jsonl),
            _ => None,
        }
    }

    /// What its file's name ends with, in small letters and without `.gz`; empty for a folder.
    fn ending(&self) -> Option<String> {
        let Some(file) = &self.file else { return self.folder.as_ref().map(|_| String::new()) };
        let name = file.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        Some(name.rsplit_once('.')?.1.to_owned())
    }

    /// Its file, folder or socket, relative to the configuration.
    #[must_use]
    pub fn location(&self) -> &Path {
        let file = self.file.as_deref().or(self.folder.as_deref());
        file.or(self.socket.as_deref()).unwrap_or(Path::new(""))
    }

    /// Whether it is lines that come while the run goes on.
    fn has_live_lines(&self) -> bool {
        self.file.is_some() || self.socket.is_some()
    }

    /// The byte between two columns.
    #[must_use]
    pub fn delimiter_byte(&self) -> u8 {
        let default = if self.ending().as_deref() == Some("tsv") { b'\t' } else { b',' };
        self.delimiter.as_ref().and_then(|text| text.bytes().next()).unwrap_or(default)
    }

    /// What else than its bytes decides its inputs, as text; none if it is read as tables are by
    /// default.
    pub(crate) fn reading(&self) -> Option<String> {
        let own = Self {
            kind: self.kind(),
            file: None,
            folder: None,
            socket: None,
            topic: String::new(),
            ..self.clone()
        };
        let by_default = Self {
            kind: Some(SourceKind::Csv),
            time_unit: None,
            time_format: None,
            time_offset: None,
            off_grid: OffGrid::Refuse,
            bad_rows: OnBadRow::Refuse,
            columns: None,
            delimiter: None,
            comment: None,
            missing: None,
            repeats: Repeats::Refuse,
            payload: None,
            ..own.clone()
        };
        (own != by_default).then(|| format!("{own:?}"))
    }

    /// Whether its values are possible and belong to its kind.
    pub(crate) fn check(&self) -> Result<(), KeyProblem> {
        let Some(kind) = self.kind() else {
            let problem = "is missing, and the name of its file says nothing; write \"csv\", \
                           \"jsonl\", \"files\", \"live\" or \"feeder\"";
            return Err(("kind", problem.to_owned()));
        };
        self.check_kind(kind)?;
        let needed: &[(&'static str, bool, &str)] = match kind {
            SourceKind::Csv => &[
                ("file", self.file.is_some(), "the table"),
                ("time", self.time.is_some(), "the column that holds each row's time"),
                ("period_s", self.period_s.is_some(), "the seconds of a tick"),
            ],
            SourceKind::Jsonl => &[
                ("file", self.file.is_some(), "the file of JSON lines"),
                ("payload", self.payload.is_some(), "text, json, hex, base64 or f64"),
            ],
            SourceKind::Files => &[("folder", self.folder.is_some(), "the folder")],
            SourceKind::Live if self.has_live_lines() => {
                &[("payload", self.payload.is_some(), "text, json, hex, base64 or f64")]
            }
            SourceKind::Live | SourceKind::Feeder => &[],
        };
        if let Some((key, _, what)) = needed.iter().find(|(_, there, _)| !there) {
            return Err((key, format!("is missing; name {what}")));
        }
        self.check_numbers()?;
        self.check_texts()
    }

    /// No key is there that says nothing about the kind.
    fn check_kind(&self, kind: SourceKind) -> Result<(), KeyProblem> {
        let given: [(&'static str, bool, &[SourceKind]); 24] = [
            ("file", self.file.is_some(), LINES),
            ("folder", self.folder.is_some(), FOLDER),
            ("socket", self.socket.is_some(), LIVE),
            ("time", self.time.is_some(), ROWS),
            ("period_s", self.period_s.is_some(), ROWS),
            ("time_unit", self.time_unit.is_some(), ROWS),
            ("time_format", self.time_format.is_some(), ROWS),
            ("time_offset", self.time_offset.is_some(), ROWS),
            ("off_grid", self.off_grid != OffGrid::Refuse, ROWS),
            ("bad_rows", self.bad_rows != OnBadRow::Refuse, ROWS),
            ("columns", self.columns.is_some(), TABLE),
            ("delimiter", self.delimiter.is_some(), TABLE),
            ("comment", self.comment.is_some(), TABLE),
            ("missing", self.missing.is_some(), TABLE),
            ("repeats", self.repeats != Repeats::Refuse, TABLE),
            ("copies", self.copies > 1, TABLE),
            ("offset_rows", self.offset_rows != 0, TABLE),
            ("suffix", self.suffix.is_some(), FOLDER),
            ("per_tick", self.per_tick > 1, FOLDER),
            ("head_bytes", self.head_bytes.is_some(), FOLDER),
            ("tail_bytes", self.tail_bytes.is_some(), FOLDER),
            ("keys", self.keys.is_some(), LIVE),
            ("payload_bytes_max", self.payload_bytes_max.is_some(), LIVE),
            ("queue_bytes", self.queue_bytes.is_some(), LIVE),
        ];
        let stray = given.iter().find(|(_, there, kinds)| *there && !kinds.contains(&kind));
        if let Some((key, _, kinds)) = stray {
            let names: Vec<_> = kinds.iter().map(|kind| kind.word()).collect();
            let problem = format!(
                "is for sources of kind {}, this one is of kind {}; remove it",
                names.join(" and "),
                kind.word()
            );
            return Err((key, problem));
        }
        let forms: &[InputForm] = match kind {
            SourceKind::Csv => &[InputForm::F64],
            SourceKind::Files => &[InputForm::Bytes],
            SourceKind::Feeder => &[],
            SourceKind::Live if !self.has_live_lines() => &[],
            SourceKind::Live | SourceKind::Jsonl => &[
                InputForm::Text,
                InputForm::Json,
                InputForm::Hex,
                InputForm::Base64,
                InputForm::F64,
            ],
        };
        if self.payload.is_some_and(|form| !forms.contains(&form)) {
            let problem = match kind {
                SourceKind::Csv => "is f64 for a table; remove it",
                SourceKind::Files => "is bytes for a folder of files; remove it",
                SourceKind::Feeder => "is whatever the feeder pushes; remove it",
                SourceKind::Live if !self.has_live_lines() => {
                    "is whatever is pushed into a live source; remove it"
                }
                SourceKind::Live | SourceKind::Jsonl => {
                    "is bytes; write text, json, hex, base64 or f64"
                }
            };
            return Err(("payload", problem.to_owned()));
        }
        let standard_input = self.file.as_ref().is_some_and(|file| file.as_os_str() == "-");
        if standard_input && kind != SourceKind::Live {
            let problem = "is standard input, which is read as it comes; write kind = \"live\"";
            return Err(("file", problem.to_owned()));
        }
        self.check_live(kind)
    }

    /// Lines come from one place, and only lines have members.
    fn check_live(&self, kind: SourceKind) -> Result<(), KeyProblem> {
        if self.file.is_some() && self.socket.is_some() {
            let problem = "stands beside file, and lines come from one place; remove one";
            return Err(("socket", problem.to_owned()));
        }
        let has_lines = kind != SourceKind::Feeder && self.has_live_lines();
        if LIVE.contains(&kind) && !has_lines && self.key.is_some() {
            let problem = "names a member of lines, and this source has none; remove it";
            return Err(("key", problem.to_owned()));
        }
        let bytes = self.payload_bytes_max.unwrap_or(0);
        if kind == SourceKind::Feeder && bytes > FEEDER_BYTES_MAX {
            let problem = format!("is above {FEEDER_BYTES_MAX}, the most of a feeder; lower it");
            return Err(("payload_bytes_max", problem));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), KeyProblem> {
        for (key, value) in [
            ("period_s", self.period_s.unwrap_or(1)),
            ("copies", self.copies.into()),
            ("per_tick", self.per_tick.into()),
            ("head_bytes", self.head_bytes.map_or(1, u64::from)),
            ("tail_bytes", self.tail_bytes.map_or(1, u64::from)),
        ] {
            if value == 0 {
                return Err((key, "is 0, it must be at least 1".to_owned()));
            }
        }
        for (key, bytes) in
            [("payload_bytes_max", self.payload_bytes_max), ("queue_bytes", self.queue_bytes)]
        {
            if bytes.is_some_and(|bytes| bytes > LIVE_BYTES_MAX) {
                return Err((key, format!("is above {LIVE_BYTES_MAX}; lower it")));
            }
        }
        if self.period_s.is_some_and(|period| i64::try_from(period).is_err()) {
            return Err(("period_s", "is more seconds than times can hold".to_owned()));
        }
        if self.payload.is_some() && (self.head_bytes.or(self.tail_bytes)).is_some() {
            let problem = "is the whole file, and head_bytes or tail_bytes stands beside it; \
                           remove one";
            return Err(("payload", problem.to_owned()));
        }
        Ok(())
    }

    fn check_texts(&self) -> Result<(), KeyProblem> {
        if self.key.is_some() && self.key == self.time {
            return Err(("key", "and time name the same column".to_owned()));
        }
        if self.time_unit.is_some() && self.time_format.is_some() {
            let problem = "stands beside time_format, and a time has one form; remove one";
            return Err(("time_unit", problem.to_owned()));
        }
        for (key, text) in [("delimiter", &self.delimiter), ("comment", &self.comment)] {
            let Some(text) = text else { continue };
            let good = match text.as_bytes() {
                [byte] => byte.is_ascii() && !b"\"\r\n".contains(byte),
                _ => false,
            };
            if !good {
                let problem = format!(
                    "is {text:?}; write one ASCII character that is no quotation mark and no \
                     line end"
                );
                return Err((key, problem));
            }
        }
        let delimiter = [self.delimiter_byte()];
        if self.comment.as_ref().is_some_and(|comment| comment.as_bytes() == delimiter) {
            return Err(("comment", "is the delimiter too; choose another".to_owned()));
        }
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) =
            self.columns.iter().flatten().find(|column| !seen.insert(column.as_str()))
        {
            return Err(("columns", format!("names `{twice}` twice; remove one")));
        }
        if self.keys.as_ref().is_some_and(Vec::is_empty) {
            return Err(("keys", "is empty; name one, or leave it out".to_owned()));
        }
        seen.clear();
        match self.keys.iter().flatten().find(|key| !seen.insert(key.as_str())) {
            Some(twice) => Err(("keys", format!("names `{twice}` twice; remove one"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
impl SourceConfig {
    /// A source with the default of every key.
    pub(crate) fn for_tests(id: &str) -> Self {
        let text = format!("id = \"{id}\"\ntopic = \"t\"");
        toml::from_str(&text).expect("all else has a default")
    }
}

impl SourceKind {
    fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Files => "files",
            Self::Live => "live",
            Self::Feeder => "feeder",
        }
    }
}
