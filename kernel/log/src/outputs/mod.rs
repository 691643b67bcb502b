//! What leaves a run: `outputs.jsonl` and the last message of each output topic.
//!
//! One line for each message on an output topic, in commit order, so the file is a function of the
//! run and can be compared byte by byte:
//!
//! ```text
//! {"tick":7,"microstep":3,"topic":"score/EWR","from":"scorer/EWR","seq":12,"payload":{"n":1}}
//! ```
//! The payload is embedded as it is where it is JSON, else it is a string where it is UTF-8, else
//! `{"base64":"..."}`. Lines are no log: after a crash the file may lag behind the log or lead it,
//! so a resumed run cuts it to earlier ticks (SEMANTICS L5), compares what is left with what it
//! executes again, and writes what is missing.
//!
//! Lines are written by a thread of their own (`writer.rs`), so that a slow disk does not hold up
//! the tick; a full ring to it is a counted stall.
//!
//! Not here: holding outputs until their tick is durable.

mod writer;

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use self::writer::OutputWriter;
use serde::Deserialize;
use serde_json::Value;
use wasm_engine_abi::ids::Tick;

/// Name of the file in a run's directory.
pub const OUTPUTS_FILE: &str = "outputs.jsonl";

/// Depth of nesting up to which a payload is embedded as JSON; deeper, it is a string. A line must
/// stay readable for parsers that stop at 128.
const JSON_DEPTH_MAX: usize = 64;

/// Why outputs cannot be written or are not what the run produced.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file system refused.
    #[error("outputs {} cannot be {action}: {source}; check the disk and the rights", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What was attempted, as a participle.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A line is not of the documented form.
    #[error("outputs {}, line {line}: {problem}; the file was changed or damaged", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A line is not what the run produced.
    #[error(
        "outputs {}, line {line}: the run's tick {tick} gives another line; the file was changed \
         or damaged",
        file.display()
    )]
    Mismatch {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Tick of the run's own line.
        tick: Tick,
    },
    /// The file ends before the run's outputs do, or goes on behind them.
    #[error("outputs {}: it has {found} lines, the run gives {expected}; the file was cut or added to", file.display())]
    Length {
        /// The file.
        file: PathBuf,
        /// Lines of the file, as far as they were compared.
        found: u64,
        /// Lines of the run.
        expected: u64,
    },
}

/// One message on an output topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutputLine<'a> {
    /// Tick in which it was committed.
    pub tick: Tick,
    /// Microstep in which it was committed.
    pub microstep: u32,
    /// Name of the topic.
    pub topic: &'a str,
    /// Name of the sender, see [`Setup::agent_name`](wasm_engine_setup::Setup::agent_name).
    pub from: &'a str,
    /// The sender's sequence number.
    pub seq: u64,
    /// The payload.
    pub payload: &'a [u8],
}

impl OutputLine<'_> {
    /// Appends the line with its line break.
    pub fn write(&self, into: &mut Vec<u8>) {
        let Self { tick, microstep, seq, .. } = self;
        // Writing to a vector cannot fail, and neither can a string as JSON.
        let _ = write!(into, "{{\"tick\":{tick},\"microstep\":{microstep},\"topic\":");
        let _ = serde_json::to_writer(&mut *into, self.topic);
        into.extend_from_slice(b",\"from\":");
        let _ = serde_json::to_writer(&mut *into, self.from);
        let _ = write!(into, ",\"seq\":{seq},\"payload\":");
        write_payload(self.payload, into);
        into.extend_from_slice(b"}\n");
    }
}

/// What a payload is to a reader of JSON.
#[derive(Debug)]
enum Form<'a> {
    Json(Value),
    Text(&'a str),
    Bytes,
}

fn form(payload: &[u8]) -> Form<'_> {
    let Ok(text) = std::str::from_utf8(payload) else { return Form::Bytes };
    match serde_json::from_str::<Value>(text) {
        Ok(value) if depth_within(&value, JSON_DEPTH_MAX) => Form::Json(value),
        _ => Form::Text(text),
    }
}

fn depth_within(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| depth_within(item, depth - 1)),
        Value::Object(map) => depth > 0 && map.values().all(|item| depth_within(item, depth - 1)),
        _ => true,
    }
}

/// Appends a payload as one JSON value on one line.
fn write_payload(payload: &[u8], into: &mut Vec<u8>) {
    match form(payload) {
        // The bytes themselves, so that digits and order stay; a line break in valid JSON is white
        // space between tokens.
        Form::Json(_) => {
            let blank = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
            into.extend(payload.iter().map(blank));
        }
        Form::Text(text) => {
            let _ = serde_json::to_writer(into, text);
        }
        Form::Bytes => {
            into.extend_from_slice(b"{\"base64\":\"");
            into.extend_from_slice(base64(payload).as_bytes());
            into.extend_from_slice(b"\"}");
        }
    }
}

/// A payload as a JSON value, in the form in which lines embed it.
#[must_use]
pub fn payload_value(payload: &[u8]) -> Value {
    match form(payload) {
        Form::Json(value) => value,
        Form::Text(text) => Value::String(text.to_owned()),
        Form::Bytes => serde_json::json!({ "base64": base64(payload) }),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[index]) } else { '=' });
        }
    }
    text
}

/// The last message of each output topic, for the result document.
#[derive(Clone, Debug, Default)]
pub struct LastOutputs {
    by_topic: BTreeMap<u32, Vec<u8>>,
}

impl LastOutputs {
    /// Remembers a message on the topic of this handle.
    pub fn note(&mut self, topic: u32, payload: &[u8]) {
        let last = self.by_topic.entry(topic).or_default();
        last.clear();
        last.extend_from_slice(payload);
    }

    /// By topic name; `name` gives the name of a handle.
    #[must_use]
    pub fn by_name<'n>(&self, name: impl Fn(u32) -> &'n str) -> BTreeMap<String, Value> {
        let named =
            |(topic, payload): (&u32, &Vec<u8>)| (name(*topic).to_owned(), payload_value(payload));
        self.by_topic.iter().map(named).collect()
    }
}

/// The tick of a line, which is all that cutting needs.
#[derive(Deserialize)]
struct LineTick {
    tick: Tick,
}

/// What [`OutputFile::resume`] left and removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cut {
    /// Lines of earlier ticks, kept.
    pub lines_kept: u64,
    /// Bytes removed behind them.
    pub bytes_dropped: u64,
}

/// `outputs.jsonl`, written, or compared with what a run executes again.
///
/// Lines are given in the run's order with [`OutputFile::line`], from tick 0 on; while the file
/// has lines they are compared, behind its end they are appended, or counted when verifying.
#[derive(Debug)]
pub struct OutputFile {
    file: PathBuf,
    existing: Option<BufReader<File>>,
    /// `None` when verifying: nothing is written.
    writer: Option<OutputWriter>,
    /// Lines given.
    lines: u64,
    /// Lines found equal.
    equal: u64,
    expected: Vec<u8>,
    found: Vec<u8>,
}

impl OutputFile {
    /// A new file in `dir`.
    ///
    /// # Errors
    /// [`OutputError::Io`], also when there is one.
    pub fn create(dir: &Path) -> Result<Self, OutputError> {
        let file = dir.join(OUTPUTS_FILE);
        let opened = OpenOptions::new().write(true).create_new(true).open(&file);
        let writer = opened.map_err(|source| io_error(&file, "created", source))?;
        Self::new(file, None, Some(writer))
    }

    /// The file in `dir`, cut to ticks before `before`; a missing one counts as empty.
    ///
    /// # Errors
    /// [`OutputError::Malformed`] if a whole line in front of the cut is none, or [`OutputError::Io`].
    pub fn resume(dir: &Path, before: Tick) -> Result<(Self, Cut), OutputError> {
        let file = dir.join(OUTPUTS_FILE);
        let fail = |action| {
            let file = file.clone();
            move |source| OutputError::Io { file, action, source }
        };
        let mut writer = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(fail("opened"))?;
        let (end, lines_kept) = scan_until(&file, &writer, before)?;
        let len = writer.metadata().map_err(fail("measured"))?.len();
        writer.set_len(end).map_err(fail("cut"))?;
        writer.seek(SeekFrom::Start(end)).map_err(fail("cut"))?;
        let existing = BufReader::new(File::open(&file).map_err(fail("opened"))?);
        let cut = Cut { lines_kept, bytes_dropped: len - end };
        Ok((Self::new(file, Some(existing), Some(writer))?, cut))
    }

    /// The file in `dir`, to be compared only; a missing one counts as empty.
    ///
    /// # Errors
    /// [`OutputError::Io`].
    pub fn verify(dir: &Path) -> Result<Self, OutputError> {
        let file = dir.join(OUTPUTS_FILE);
        let existing = match File::open(&file) {
            Ok(existing) => Some(BufReader::new(existing)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(io_error(&file, "opened", source)),
        };
        Self::new(file, existing, None)
    }

    fn new(
        file: PathBuf,
        existing: Option<BufReader<File>>,
        writer: Option<File>,
    ) -> Result<Self, OutputError> {
        let writer = writer.map(OutputWriter::start).transpose();
        let writer = writer.map_err(|(action, source)| io_error(&file, action, source))?;
        let (expected, found) = (Vec::new(), Vec::new());
        Ok(Self { file, existing, writer, lines: 0, equal: 0, expected, found })
    }

    /// Takes the run's next line.
    ///
    /// # Errors
    /// [`OutputError::Mismatch`] where the file has another line, or [`OutputError::Io`].
    pub fn line(&mut self, line: &OutputLine<'_>) -> Result<(), OutputError> {
        self.lines += 1;
        self.expected.clear();
        line.write(&mut self.expected);
        if self.read_existing()? {
            if self.found != self.expected {
                return Err(self.mismatch(line.tick));
            }
            self.equal += 1;
            return Ok(());
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let written = writer.write(&self.expected, &mut || {});
        written.map_err(|(action, source)| io_error(&self.file, action, source))
    }

    /// Reads the next line of the file; false behind its end.
    fn read_existing(&mut self) -> Result<bool, OutputError> {
        let Some(existing) = &mut self.existing else { return Ok(false) };
        self.found.clear();
        let read = existing.read_until(b'\n', &mut self.found);
        let read = read.map_err(|source| io_error(&self.file, "read", source))?;
        if read == 0 {
            self.existing = None;
        }
        Ok(read > 0)
    }

    fn mismatch(&self, tick: Tick) -> OutputError {
        OutputError::Mismatch { file: self.file.clone(), line: self.lines, tick }
    }

    /// How often a line had to wait because the disk was slow.
    #[must_use]
    pub fn stalls(&self) -> u64 {
        self.writer.as_ref().map_or(0, OutputWriter::stalls)
    }

    /// Waits until the disk has all lines. None can follow.
    ///
    /// # Errors
    /// [`OutputError::Io`].
    pub fn sync(&mut self) -> Result<(), OutputError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.close().map_err(|(action, source)| io_error(&self.file, action, source))
    }

    /// Ends a comparison behind the run's last line. With `torn_tail` the file may lag behind or
    /// lead, as it does after a crash; else it must have exactly the run's lines.
    ///
    /// # Errors
    /// [`OutputError::Length`], or [`OutputError::Io`].
    pub fn finish(mut self, torn_tail: bool) -> Result<(), OutputError> {
        self.sync()?;
        let more = self.read_existing()?;
        let short = self.writer.is_none() && self.equal < self.lines;
        if torn_tail || !(more || short) {
            return Ok(());
        }
        let found = self.equal + u64::from(more);
        Err(OutputError::Length { file: self.file, found, expected: self.lines })
    }
}

/// Offset and number of the lines with ticks before `before`; a last line without its break is cut.
fn scan_until(path: &Path, file: &File, before: Tick) -> Result<(u64, u64), OutputError> {
    let mut reader = BufReader::new(file);
    let (mut end, mut lines) = (0_u64, 0_u64);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        let read = read.map_err(|source| io_error(path, "read", source))?;
        if line.last() != Some(&b'\n') {
            return Ok((end, lines));
        }
        let parsed: LineTick =
            serde_json::from_slice(&line).map_err(|error| OutputError::Malformed {
                file: path.to_owned(),
                line: lines + 1,
                problem: error.to_string(),
            })?;
        if parsed.tick >= before {
            return Ok((end, lines));
        }
        end += read as u64;
        lines += 1;
    }
}

fn io_error(file: &Path, action: &'static str, source: io::Error) -> OutputError {
    OutputError::Io { file: file.to_owned(), action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tick: Tick, payload: &[u8]) -> String {
        let mut bytes = Vec::new();
        let (topic, from) = ("score/EWR", "scorer/EWR");
        OutputLine { tick, microstep: 3, topic, from, seq: 12, payload }.write(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn base64_is_the_standard_one() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn payloads_are_embedded_by_what_they_are() {
        let deep = format!("{}1{}", "[".repeat(65), "]".repeat(65));
        for (payload, expected) in [
            (
                &b"{\"b\": 1.50,\n \"a\": 10000000000000000000000}"[..],
                "{\"b\": 1.50,  \"a\": 10000000000000000000000}",
            ),
            (b"12", "12"),
            (b"abc\n", "\"abc\\n\""),
            (b"1},{\"x\":2", "\"1},{\\\"x\\\":2\""),
            (b"", "\"\""),
            (b"\xff\x00", "{\"base64\":\"/wA=\"}"),
            (b"NaN", "\"NaN\""),
            (b"1e999", "\"1e999\""),
            (deep.as_bytes(), &format!("\"{deep}\"")),
        ] {
            let text = line(7, payload);
            let head = "{\"tick\":7,\"microstep\":3,\"topic\":\"score/EWR\",\"from\":\"scorer/EWR\",\"seq\":12,\"payload\":";
            assert_eq!(text, format!("{head}{expected}}}\n"));
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["payload"], payload_value(payload));
        }
    }
}
