//! Reading JSON lines: one object a line, with a tick or a time, a key and a payload.
//!
//! ```text
//! {"tick": 3, "key": "a", "payload": ...}      or "time" in place of "tick", in all lines or none
//!
//! text    the UTF-8 of a text          hex, base64   the bytes that a text stands for
//! json    the value as it is written, without spaces between its parts
//! f64     numbers, null for a missing one, behind the header of a table's rows:
//!         0 time i64, 0 where there is a tick | 8 stream u32 | 12 numbers u32 | 16 f64 per number
//! ```
//! Other members are not looked at. A line without the member `key` belongs to the stream that is
//! called like the source, unless the configuration names the member.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use wasm_engine_abi::limits::PAYLOAD_BYTES_MAX;
use wasm_engine_core::TICK_MAX;

use crate::config::InputForm;
use crate::sources::error::{DataFile, LeftOut, RowProblem, SourceError};
use crate::sources::grid::{GridReader, RowTime};
use crate::sources::lines_from::LinesFrom;
use crate::sources::list::List;
use crate::sources::payload::{MISSING, write_numbers};
use crate::sources::streams::{Keys, name_of};

/// Where in time a line is.
enum When {
    Tick(u64),
    Time(RowTime),
}

struct LineReader<'c> {
    data: DataFile<'c>,
    key: &'c str,
    time: &'c str,
    form: InputForm,
    /// None where the configuration has no length of a tick.
    grid: Option<GridReader>,
    keys: Keys,
    list: List,
    scratch: Vec<u8>,
}

/// Reads and checks the lines that `bytes` are; gives also the names of their keys.
pub(crate) fn read(
    data: DataFile<'_>,
    bytes: &[u8],
    left_out: &mut LeftOut,
) -> Result<(List, Vec<String>), SourceError> {
    let config = data.config;
    let grid = config.period_s.map(|_| GridReader::of(config)).transpose();
    let mut reader = LineReader {
        data,
        key: config.key.as_deref().unwrap_or("key"),
        time: config.time.as_deref().unwrap_or("time"),
        form: config.payload.unwrap_or(InputForm::Json),
        grid: grid.map_err(|(key, problem)| data.key(key, problem))?,
        keys: Keys::default(),
        list: List::default(),
        scratch: Vec::new(),
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if let Err(problem) = reader.line(line, number) {
            left_out.note(data, problem, || number)?;
        }
    }
    if reader.list.is_empty() {
        return Err(data.whole(match left_out.count {
            0 => "it is empty; add a line for each input".to_owned(),
            count => format!("all its {count} lines are bad; the first: {}", left_out.first),
        }));
    }
    reader.list.grid = reader.grid.as_ref().and_then(GridReader::grid);
    Ok((reader.list, reader.keys.names))
}

impl<'c> LineReader<'c> {
    /// Adds a line, or changes nothing.
    fn line(&mut self, line: &[u8], number: u64) -> Result<(), RowProblem> {
        let members = members_of(line)?;
        let when = self.when(&members, line)?;
        let key = self.key_of(&members, line)?;
        let known = self.keys.find(&key);
        let name = match known {
            Some(_) => String::new(),
            None => name_of(&key).map_err(|p| RowProblem::new(self.key, key.as_bytes(), p))?,
        };
        let stream = known.unwrap_or(self.keys.names.len() as u32);
        let time = match &when {
            When::Tick(_) => 0,
            When::Time(at) => at.seconds,
        };
        let payload = payload_of(&members, line)?;
        make_payload(self.form, payload, time, stream, &mut self.scratch)?;
        // From here on nothing is refused.
        if known.is_none() {
            self.keys.add(&key, name);
        }
        let tick = match when {
            When::Tick(tick) => tick,
            When::Time(at) => {
                if let Some(grid) = &mut self.grid {
                    grid.keep(at);
                }
                at.step + 1
            }
        };
        let file = self.data.file.display();
        self.list.push(tick, stream, &self.scratch, || format!("{file}, line {number}"));
        Ok(())
    }

    fn when(&self, members: &ObjectMembers<'_>, line: &[u8]) -> Result<When, RowProblem> {
        let (tick, time) = (members.one("tick")?, members.one(self.time)?);
        let with_times = self.grid.as_ref().is_some_and(|grid| grid.grid().is_some());
        match (tick, time) {
            (Some(tick), None) if !with_times => {
                let bad = |problem| RowProblem::new("tick", tick.get().as_bytes(), problem);
                let tick: u64 = tick
                    .get()
                    .parse()
                    .ok()
                    .filter(|at| (1..=TICK_MAX).contains(at))
                    .ok_or_else(|| bad("is no tick; write a whole number from 1 to 2^62"))?;
                if tick < self.list.last() {
                    return Err(bad("is before the line above; sort the file by tick"));
                }
                Ok(When::Tick(tick))
            }
            (None, Some(time)) if with_times || self.list.is_empty() => {
                let bad = |problem| RowProblem::new(self.time, time.get().as_bytes(), problem);
                let Some(grid) = &self.grid else {
                    return Err(bad(format!(
                        "is a time, and source.{}.period_s, the seconds of a tick, is missing; \
                         add it",
                        self.data.config.id
                    )));
                };
                let text = scalar(time)
                    .ok_or_else(|| bad("is no time; write a text or a number".to_owned()))?;
                grid.find(&text).map(When::Time).map_err(bad)
            }
            _ => {
                let problem = format!(
                    "does not have one of `tick` and `{}`, the same in all lines; correct it",
                    self.time
                );
                Err(RowProblem::new("tick", line, problem))
            }
        }
    }

    /// The key of a line, as it is written.
    fn key_of<'l>(
        &self,
        members: &ObjectMembers<'l>,
        line: &[u8],
    ) -> Result<Cow<'l, str>, RowProblem>
    where
        'c: 'l,
    {
        let config = self.data.config;
        match members.one(self.key)? {
            Some(key) => scalar(key).ok_or_else(|| {
                let problem = "is no key; write a text or a number";
                RowProblem::new(self.key, key.get().as_bytes(), problem)
            }),
            None if config.key.is_none() => Ok(Cow::Borrowed(config.id.as_str())),
            None => {
                let problem = format!("has no member of that name (source.{}.key)", config.id);
                Err(RowProblem::new(self.key, line, problem))
            }
        }
    }
}

/// Makes `into` the payload that `value` stands for, of a line of this time and stream.
fn make_payload(
    form: InputForm,
    value: &str,
    time: i64,
    stream: u32,
    into: &mut Vec<u8>,
) -> Result<(), RowProblem> {
    let bad = |problem: String| RowProblem::new("payload", value.as_bytes(), problem);
    let text = |what: &str| {
        serde_json::from_str::<String>(value)
            .map_err(|_| bad(format!("is no text; write {what} between quotation marks")))
    };
    into.clear();
    match form {
        InputForm::Text => into.extend_from_slice(text("it")?.as_bytes()),
        InputForm::Json | InputForm::Bytes => compact(value, into),
        InputForm::Hex => {
            let bytes = unhex(&text("hexadecimal digits")?).ok_or_else(|| {
                bad("is not hexadecimal; write two digits for each byte".to_owned())
            })?;
            into.extend_from_slice(&bytes);
        }
        InputForm::Base64 => {
            STANDARD.decode_vec(text("base 64")?, into).map_err(|error| {
                bad(format!("is not base 64 ({error}); write it with its padding"))
            })?;
        }
        InputForm::F64 => {
            let values: Vec<Option<f64>> = serde_json::from_str(value)
                .map_err(|_| bad("is no list of numbers; write as in [1, 2.5, null]".to_owned()))?;
            let values: Vec<f64> =
                values.into_iter().map(|value| value.unwrap_or(MISSING)).collect();
            write_numbers(time, stream, &values, into);
        }
    }
    if into.len() > PAYLOAD_BYTES_MAX as usize {
        return Err(bad(format!(
            "becomes {} bytes, an input has at most {PAYLOAD_BYTES_MAX}; split it",
            into.len()
        )));
    }
    Ok(())
}

/// Reads a line of a live source called `id`, which carries neither tick nor time: makes `into` its
/// payload and gives its stream.
pub(crate) fn live_line(
    id: &str,
    from: &LinesFrom,
    keys: &BTreeMap<String, u32>,
    payload_bytes_max: u32,
    line: &[u8],
    into: &mut Vec<u8>,
) -> Result<u32, RowProblem> {
    let members = members_of(line)?;
    let member = from.member.as_deref().unwrap_or("key");
    let key = match members.one(member)? {
        Some(key) => scalar(key).ok_or_else(|| {
            let problem = "is no key; write a text or a number";
            RowProblem::new(member, key.get().as_bytes(), problem)
        })?,
        None => Cow::Borrowed(id),
    };
    let stream = keys.get(key.as_ref()).copied().ok_or_else(|| {
        let problem = format!("is none of source.{id}.keys; add it there");
        RowProblem::new(member, key.as_bytes(), problem)
    })?;
    let value = payload_of(&members, line)?;
    make_payload(from.form, value, 0, stream, into)?;
    if into.len() > payload_bytes_max as usize {
        let problem = format!(
            "becomes {} bytes, and source.{id}.payload_bytes_max is {payload_bytes_max}; raise it",
            into.len()
        );
        return Err(RowProblem::new("payload", value.as_bytes(), problem));
    }
    Ok(stream)
}

fn members_of(line: &[u8]) -> Result<ObjectMembers<'_>, RowProblem> {
    serde_json::from_slice(line).map_err(|error| {
        let problem = format!("is no JSON object ({error}); write one object a line");
        RowProblem::new("line", line, problem)
    })
}

fn payload_of<'l>(members: &ObjectMembers<'l>, line: &[u8]) -> Result<&'l str, RowProblem> {
    let payload = members.one("payload")?.ok_or_else(|| {
        let problem = "has no member `payload`, which is what enters; add it";
        RowProblem::new("payload", line, problem)
    })?;
    Ok(payload.get())
}

/// A text, or a number as it is written.
fn scalar(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get().as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(value.get()).ok().map(Cow::Owned),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(value.get())),
        _ => None,
    }
}

/// JSON without the spaces between its parts; it is well-formed.
fn compact(json: &str, into: &mut Vec<u8>) {
    let (mut inside, mut escaped) = (false, false);
    for byte in json.bytes() {
        if !inside && byte.is_ascii_whitespace() {
            continue;
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = inside,
            b'"' => inside = !inside,
            _ => {}
        }
        into.push(byte);
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// The members of an object, unread.
struct ObjectMembers<'l>(Vec<(Cow<'l, str>, &'l RawValue)>);

impl<'l> ObjectMembers<'l> {
    /// The member of this name; twice is an error.
    fn one(&self, name: &str) -> Result<Option<&'l RawValue>, RowProblem> {
        let mut found = self.0.iter().filter(|(own, _)| own == name);
        match (found.next(), found.next()) {
            (_, Some((_, again))) => {
                let problem = "is the second member of its name; remove one";
                Err(RowProblem::new(name, again.get().as_bytes(), problem))
            }
            (one, None) => Ok(one.map(|(_, value)| *value)),
        }
    }
}

impl<'de> serde::Deserialize<'de> for ObjectMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = ObjectMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(ObjectMembers(members))
            }
        }

        from.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_as_written_without_spaces() {
        for (json, expected) in [
            ("{ \"b\" : 1.0,\t\"a\": [ 1, 2e3 ] }", "{\"b\":1.0,\"a\":[1,2e3]}"),
            ("\" a \\\" b \\\\\"", "\" a \\\" b \\\\\""),
            ("{\"a\\\\\" : \" \"}", "{\"a\\\\\":\" \"}"),
            ("null", "null"),
        ] {
            let mut compacted = Vec::new();
            compact(json, &mut compacted);
            assert_eq!(String::from_utf8_lossy(&compacted), expected);
        }
    }

    #[test]
    fn hexadecimal_is_two_digits_a_byte() {
        assert_eq!(unhex("00fFa5"), Some(vec![0, 255, 165]));
        assert_eq!(unhex(""), Some(vec![]));
        for bad in ["0", "0g", "+1", "\u{e9}"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
