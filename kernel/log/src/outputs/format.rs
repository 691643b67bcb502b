//! Payloads as JSON values by a declared format, never by what their bytes look like.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::line::{json, write_json};

/// What the payloads of a topic are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum OutputFormat {
    /// A JSON value, embedded as it is.
    #[serde(rename = "json")]
    Json,
    /// UTF-8.
    #[serde(rename = "text")]
    Text,
    /// A number of 8 bytes, little-endian.
    #[serde(rename = "u64")]
    U64,
    /// Any number of IEEE 754 numbers of 8 bytes, little-endian; NaN becomes `null`.
    #[serde(rename = "f64[]")]
    F64s,
    /// Any bytes, as hexadecimal digits.
    #[serde(rename = "hex")]
    Hex,
}

/// Why a payload is not in its declared format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// It is no UTF-8.
    #[error("it is no UTF-8")]
    NotUtf8,
    /// It is no JSON value.
    #[error("it is no JSON value of at most 64 levels")]
    NotJson,
    /// It has another length.
    #[error("it has {len} bytes, not {wanted}")]
    Length {
        /// Its bytes.
        len: usize,
        /// What is possible.
        wanted: &'static str,
    },
    /// A number is infinite, which JSON cannot say.
    #[error("number {at} is infinite, which JSON cannot say")]
    Infinite {
        /// Which one, counted from 0.
        at: usize,
    },
}

impl OutputFormat {
    /// Its name in configurations and lines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::U64 => "u64",
            Self::F64s => "f64[]",
            Self::Hex => "hex",
        }
    }

    /// Appends `payload` to `into` as one JSON value on one line.
    ///
    /// # Errors
    /// [`Misfit`]; `into` is as it was then.
    pub fn write(self, payload: &[u8], into: &mut Vec<u8>) -> Result<(), Misfit> {
        // Writing to a vector cannot fail, and neither can a string as JSON.
        match self {
            Self::Json => {
                let text = std::str::from_utf8(payload).map_err(|_| Misfit::NotUtf8)?;
                json(text).ok_or(Misfit::NotJson)?;
                write_json(payload, into);
            }
            Self::Text => {
                let text = std::str::from_utf8(payload).map_err(|_| Misfit::NotUtf8)?;
                let _ = serde_json::to_writer(into, text);
            }
            Self::U64 => {
                let length = |_| Misfit::Length { len: payload.len(), wanted: "8" };
                let bytes: [u8; 8] = payload.try_into().map_err(length)?;
                let _ = write!(into, "{}", u64::from_le_bytes(bytes));
            }
            Self::F64s => write_numbers(payload, into)?,
            Self::Hex => {
                into.push(b'"');
                for byte in payload {
                    let _ = write!(into, "{byte:02x}");
                }
                into.push(b'"');
            }
        }
        Ok(())
    }
}

fn write_numbers(payload: &[u8], into: &mut Vec<u8>) -> Result<(), Misfit> {
    let (chunks, rest) = payload.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Misfit::Length { len: payload.len(), wanted: "a multiple of 8" });
    }
    let number = |bytes: &[u8; 8]| f64::from_le_bytes(*bytes);
    if let Some(at) = chunks.iter().position(|bytes| number(bytes).is_infinite()) {
        return Err(Misfit::Infinite { at });
    }
    into.push(b'[');
    for (at, bytes) in chunks.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        // What is not a number is `null`.
        let _ = serde_json::to_writer(&mut *into, &number(bytes));
    }
    into.push(b']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: OutputFormat, payload: &[u8]) -> Result<String, String> {
        let mut into = b"=".to_vec();
        let written = format.write(payload, &mut into);
        let text = String::from_utf8(into).expect("JSON is text");
        match written {
            Ok(()) => Ok(text[1..].to_owned()),
            Err(misfit) => {
                assert_eq!(text, "=", "nothing is left behind");
                Err(misfit.to_string())
            }
        }
    }

    #[test]
    fn the_same_bytes_are_what_their_format_says() {
        let bytes = b"12345678";
        assert_eq!(shown(OutputFormat::Json, bytes).as_deref(), Ok("12345678"));
        assert_eq!(shown(OutputFormat::Text, bytes).as_deref(), Ok("\"12345678\""));
        assert_eq!(shown(OutputFormat::Hex, bytes).as_deref(), Ok("\"3132333435363738\""));
        let number = u64::from_le_bytes(*bytes).to_string();
        assert_eq!(shown(OutputFormat::U64, bytes), Ok(number));
        let numbers: Vec<u8> =
            [1.5, f64::NAN, -0.0].iter().flat_map(|n: &f64| n.to_le_bytes()).collect();
        assert_eq!(shown(OutputFormat::F64s, &numbers).as_deref(), Ok("[1.5,null,-0.0]"));
        assert_eq!(shown(OutputFormat::F64s, b"").as_deref(), Ok("[]"));
        assert_eq!(shown(OutputFormat::Json, b"{\"a\":\n1}").as_deref(), Ok("{\"a\": 1}"));
    }

    #[test]
    fn what_does_not_fit_says_why_and_leaves_nothing() {
        let deep = [b"[".repeat(200), b"]".repeat(200)].concat();
        for (format, payload, part) in [
            (OutputFormat::Json, &b"\xff"[..], "UTF-8"),
            (OutputFormat::Json, b"{", "JSON"),
            (OutputFormat::Json, b"1} {", "JSON"),
            (OutputFormat::Json, b"", "JSON"),
            (OutputFormat::Json, &deep, "JSON"),
            (OutputFormat::Text, b"\xc3", "UTF-8"),
            (OutputFormat::U64, b"123", "3 bytes, not 8"),
            (OutputFormat::F64s, b"123456789", "multiple of 8"),
            (OutputFormat::F64s, &f64::INFINITY.to_le_bytes(), "number 0 is infinite"),
        ] {
            let error = shown(format, payload).expect_err("it does not fit");
            assert!(error.contains(part), "{format:?} {payload:?}: {error}");
        }
    }
}
