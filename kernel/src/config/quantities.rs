//! Sizes and times with units: `"64 MiB"` where a key counts bytes, `"2 s"` where it counts
//! milliseconds.
//!
//! A text with a unit is replaced by the number that it stands for, in the text of the file, before
//! anything else reads it: so lines stay what they are, and no table of the configuration knows of
//! units. What a key counts is said by its name: a word `bytes`, the ending `_ms` or `_s`.

use std::ops::Range;

use toml::de::{DeTable, DeValue};
use wasm_engine_setup::SyncPolicy;

use crate::units;

/// The number that `text` stands for as the value of `key`, if the key counts bytes or time.
fn number_of(key: &str, text: &str) -> Option<Result<u64, String>> {
    if key.split('_').any(|word| word == "bytes") {
        return Some(units::parse_bytes(text));
    }
    let unit_ns = match key.rsplit_once('_')?.1 {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return None,
    };
    Some(units::parse_ns(text, unit_ns).and_then(|ns| {
        let whole = (ns % unit_ns == 0).then_some(ns / unit_ns);
        let unit = units::duration(unit_ns);
        whole.ok_or_else(|| format!("{text:?} is no whole number of {unit}"))
    }))
}

/// As [`number_of`], for TOML, which has no larger numbers.
///
/// # Errors
/// What is wrong with it.
pub(super) fn quantity(key: &str, text: &str) -> Result<Option<i64>, String> {
    let Some(number) = number_of(key, text) else { return Ok(None) };
    let number = i64::try_from(number?);
    number.map(Some).map_err(|_| format!("{text:?} is more than {}", i64::MAX))
}

/// `log.sync` without the blank between number and unit; it has units of its own.
pub(super) fn sync_rule(text: &str) -> String {
    let short: String = text.split_whitespace().collect();
    // An invalid one is named as it was written.
    let valid = SyncPolicy::try_from(short.clone()).is_ok();
    if valid { short } else { text.to_owned() }
}

/// A value that stands for another: where it is, and what stands for it.
type Replacement = (Range<usize>, String);

/// `text` with numbers in place of sizes and times.
///
/// # Errors
/// The bytes of the first invalid one, and what is wrong with it. What is no TOML is left to who
/// reads it.
pub(super) fn spelled_out(text: &str) -> Result<String, (Range<usize>, String)> {
    let Ok(table) = DeTable::parse(text) else { return Ok(text.to_owned()) };
    let mut found = Vec::new();
    in_table(table.get_ref(), "", &mut found)?;
    found.sort_by_key(|(range, _)| range.start);
    let mut out = text.to_owned();
    for (range, number) in found.into_iter().rev() {
        // As long as it was, if it can be, so that columns stay what they are too.
        let width = range.len();
        out.replace_range(range, &format!("{number:width$}"));
    }
    Ok(out)
}

fn in_table(
    table: &DeTable<'_>,
    section: &str,
    found: &mut Vec<Replacement>,
) -> Result<(), Replacement> {
    for (key, value) in table {
        let range = value.span();
        let key = key.get_ref().as_ref();
        match value.get_ref() {
            // Names of dimensions are the user's own.
            DeValue::Table(_) if key == "dims" => {}
            DeValue::Table(inner) => in_table(inner, key, found)?,
            DeValue::Array(entries) => {
                for entry in entries.iter() {
                    if let DeValue::Table(inner) = entry.get_ref() {
                        in_table(inner, key, found)?;
                    }
                }
            }
            DeValue::String(text) if section == "log" && key == "sync" => {
                found.push((range, toml::Value::from(sync_rule(text)).to_string()));
            }
            DeValue::String(text) => match quantity(key, text) {
                Ok(Some(number)) => found.push((range, number.to_string())),
                Ok(None) => {}
                Err(problem) => return Err((range, format!("{key}: {problem}"))),
            },
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_texts_of_other_keys_too() {
        let text = "[limits]\nmemory_bytes_max = \"64 MiB\" # large\n[log]\nsync = \"100 ms\"\n\
                    segment_bytes = '1 GiB'\n[[model]]\nname = \"64 MiB\"\ndeadline_ms = \"2 s\"\n\
                    dims = { \"x_bytes\" = 3 }\n[[source]]\nperiod_s = \"1 h\"\n";
        let out = spelled_out(text).expect("all of it is right");
        let table: toml::Table = toml::from_str(&out).expect("TOML");
        assert_eq!(table["limits"]["memory_bytes_max"].as_integer(), Some(64 << 20));
        assert_eq!(table["log"]["sync"].as_str(), Some("100ms"));
        assert_eq!(table["log"]["segment_bytes"].as_integer(), Some(1 << 30));
        assert_eq!(table["model"][0]["deadline_ms"].as_integer(), Some(2000));
        assert_eq!(table["model"][0]["name"].as_str(), Some("64 MiB"));
        assert_eq!(table["source"][0]["period_s"].as_integer(), Some(3600));
        assert_eq!(out.lines().count(), text.lines().count());
        assert!(out.contains("memory_bytes_max = 67108864 # large"), "{out}");
    }

    #[test]
    fn what_is_no_quantity_is_named_and_found() {
        let text = "[limits]\nmemory_bytes_max = \"64 mib\"\n";
        let (range, problem) = spelled_out(text).expect_err("no unit");
        assert_eq!(&text[range], "\"64 mib\"");
        assert!(problem.starts_with("memory_bytes_max: ") && problem.contains("MiB"), "{problem}");
        for (key, text) in [("deadline_ms", "1 µs"), ("period_s", "0.5 s"), ("bytes_max", "9 EB")]
        {
            assert!(quantity(key, text).is_err(), "{key} {text}");
        }
        assert_eq!(spelled_out("no toml [").as_deref(), Ok("no toml ["));
    }
}
