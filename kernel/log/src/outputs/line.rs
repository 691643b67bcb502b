//! The lines of the outputs file, and payloads as JSON.

use std::io::Write;

use serde::Deserialize;
use serde_json::Value;
use wasm_engine_abi::ids::{AgentId, Tick};

/// Name of the file in a run's directory.
pub const OUTPUTS_FILE: &str = "outputs.jsonl";

/// Depth of nesting up to which a payload is embedded as JSON; deeper, it is a string. A line must
/// stay readable for parsers that stop at 128.
const JSON_DEPTH_MAX: usize = 64;

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
    /// Its address: two lives of one name have two.
    pub address: AgentId,
    /// The sender's sequence number.
    pub seq: u64,
    /// The payload.
    pub payload: &'a [u8],
}

impl OutputLine<'_> {
    /// Appends the line with its line break.
    pub fn write(&self, into: &mut Vec<u8>) {
        self.write_head(into);
        let form = form(self.payload);
        let _ = write!(into, ",\"form\":\"{}\"", form.word());
        into.extend_from_slice(b",\"payload\":");
        write_payload(self.payload, &form, into);
        into.extend_from_slice(b"}\n");
    }

    /// Appends what stands before the payload, with the brace that opens the line.
    pub(super) fn write_head(&self, into: &mut Vec<u8>) {
        let Self { tick, microstep, seq, address, .. } = self;
        // Writing to a vector cannot fail, and neither can a string as JSON.
        let _ = write!(into, "{{\"tick\":{tick},\"microstep\":{microstep},\"topic\":");
        let _ = serde_json::to_writer(&mut *into, self.topic);
        into.extend_from_slice(b",\"from\":");
        let _ = serde_json::to_writer(&mut *into, self.from);
        let _ = write!(into, ",\"address\":\"{address}\",\"seq\":{seq}");
    }
}

/// The tick of a line, which is all that cutting and the end of a comparison need.
#[derive(Deserialize)]
struct LineTick {
    tick: Tick,
}

/// The tick of a line.
pub(super) fn parse_tick(line: &[u8]) -> Result<Tick, serde_json::Error> {
    serde_json::from_slice::<LineTick>(line).map(|line| line.tick)
}

/// What a payload is to a reader of JSON.
#[derive(Debug)]
enum PayloadForm<'a> {
    Json(Value),
    Text(&'a str),
    Bytes,
}

impl PayloadForm<'_> {
    /// Its name in a line: without it a text that is a number, and a number, were one.
    fn word(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Text(_) => "text",
            Self::Bytes => "base64",
        }
    }
}

fn form(payload: &[u8]) -> PayloadForm<'_> {
    let Ok(text) = std::str::from_utf8(payload) else { return PayloadForm::Bytes };
    json(text).map_or(PayloadForm::Text(text), PayloadForm::Json)
}

/// The value that `text` is, if a line can hold it.
pub(super) fn json(text: &str) -> Option<Value> {
    let value = serde_json::from_str::<Value>(text).ok()?;
    depth_within(&value, JSON_DEPTH_MAX).then_some(value)
}

/// Appends a text that is JSON, on one line: its very bytes, so that digits and order stay. A line
/// break in valid JSON is white space between tokens.
pub(super) fn write_json(text: &[u8], into: &mut Vec<u8>) {
    let blank = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
    into.extend(text.iter().map(blank));
}

fn depth_within(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| depth_within(item, depth - 1)),
        Value::Object(map) => depth > 0 && map.values().all(|item| depth_within(item, depth - 1)),
        _ => true,
    }
}

/// Appends a payload as one JSON value on one line.
fn write_payload(payload: &[u8], form: &PayloadForm<'_>, into: &mut Vec<u8>) {
    match form {
        PayloadForm::Json(_) => write_json(payload, into),
        PayloadForm::Text(text) => {
            let _ = serde_json::to_writer(into, text);
        }
        PayloadForm::Bytes => {
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
        PayloadForm::Json(value) => value,
        PayloadForm::Text(text) => Value::String(text.to_owned()),
        PayloadForm::Bytes => serde_json::json!({ "base64": base64(payload) }),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tick: Tick, payload: &[u8]) -> String {
        let mut bytes = Vec::new();
        let (topic, from) = ("score/EWR", "scorer/EWR");
        let address = AgentId::new(4, 2);
        OutputLine { tick, microstep: 3, topic, from, address, seq: 12, payload }.write(&mut bytes);
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
            let head = r#"{"tick":7,"microstep":3,"topic":"score/EWR","from":"scorer/EWR","#;
            let form = form(payload).word();
            let head = format!(r#"{head}"address":"4.2","seq":12,"form":"{form}","payload":"#);
            assert_eq!(text, format!("{head}{expected}}}\n"));
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["payload"], payload_value(payload));
        }
    }
}
