//! Reading a file of comma-separated rows: every field checked, errors with line and column.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use wasm_engine_abi::limits::{AGENTS_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX};

use crate::config::SourceConfig;
use crate::files::{self, DATA_BYTES_MAX};
use crate::sources::csv::{BadRow, CsvSource, INPUT_HEADER_BYTES, SourceError, TimeStep};

/// The canonical quiet NaN: an empty field. `f64::NAN` has these bits today, but promises none.
const EMPTY: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// Where the columns of a file are.
struct Header<'t> {
    names: Vec<&'t str>,
    key: usize,
    time: usize,
}

struct Reader<'c> {
    config: &'c SourceConfig,
    file: &'c Path,
}

impl CsvSource {
    /// Reads and checks `file`, the resolved path of `config.file`.
    ///
    /// # Errors
    /// [`SourceError`], naming line, column and value of the first bad row.
    pub fn read(config: &SourceConfig, file: &Path) -> Result<Self, SourceError> {
        let bytes = files::read(file, DATA_BYTES_MAX).map_err(|source| SourceError::Read {
            id: config.id.clone(),
            file: file.to_owned(),
            source,
        })?;
        Reader { config, file }.read(&bytes)
    }
}

/// What is known after some rows.
#[derive(Default)]
struct Rows<'t> {
    key_index: BTreeMap<&'t str, u32>,
    keys: Vec<String>,
    /// The step of each key's latest row.
    key_steps: Vec<Option<u64>>,
    first_time: Option<i64>,
    steps: Vec<TimeStep>,
    row_keys: Vec<u32>,
    values: Vec<f64>,
}

impl Reader<'_> {
    fn read(&self, bytes: &[u8]) -> Result<CsvSource, SourceError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line =
                bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            self.header_error(format!("line {line} is not UTF-8; convert the file"))
        })?;
        let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
        let header = self.header(lines.next().unwrap_or_default())?;
        let mut rows = Rows::default();
        for (line, row) in (2..).zip(lines) {
            self.row(&header, line, row, &mut rows)?;
        }
        let Some(last) = rows.steps.last() else {
            return Err(self.header_error("it has no rows below its header; add some".to_owned()));
        };
        let length = last.step + 1;
        sort_rows(&mut rows, header.names.len() - 2);
        let mut source = CsvSource {
            id: self.config.id.clone(),
            hash: *blake3::hash(bytes).as_bytes(),
            keys: rows.keys,
            columns: header.value_columns().map(|(_, name)| name.to_owned()).collect(),
            copies: self.config.copies,
            offset_rows: self.config.offset_rows,
            first_time: rows.first_time.unwrap_or(0),
            lead: 0,
            period_s: self.config.period_s as i64,
            length,
            steps: rows.steps,
            row_keys: rows.row_keys,
            values: rows.values,
            rotations: BTreeMap::new(),
            topics: Vec::new(),
        };
        // First, so that what follows is bounded by it.
        self.check_streams(&source)?;
        for copy in 0..source.copies {
            *source.rotations.entry(source.rotation(copy)).or_default() += 1;
        }
        Ok(source)
    }

    fn header<'t>(&self, line: &'t str) -> Result<Header<'t>, SourceError> {
        if line.contains('"') {
            return Err(self.header_error(NO_QUOTES.to_owned()));
        }
        let names: Vec<&str> = line.split(',').collect();
        let find = |key: &str, name: &str| {
            names.iter().position(|own| *own == name).ok_or_else(|| {
                self.header_error(format!(
                    "it has no column `{name}` (source.{}.{key}); its columns are {}",
                    self.config.id,
                    names.join(", ")
                ))
            })
        };
        let (key, time) = (find("key", &self.config.key)?, find("time", &self.config.time)?);
        let different: BTreeSet<&str> = names.iter().copied().collect();
        if different.len() != names.len() || different.contains("") {
            let problem = "a column of the header has no name or the name of another; rename it";
            return Err(self.header_error(problem.to_owned()));
        }
        let payload_bytes = INPUT_HEADER_BYTES + 8 * (names.len() - 2);
        if payload_bytes > PAYLOAD_BYTES_MAX as usize {
            return Err(self.header_error(format!("its {} columns are too many", names.len())));
        }
        Ok(Header { names, key, time })
    }

    fn row<'t>(
        &self,
        header: &Header<'t>,
        line: u64,
        row: &'t str,
        rows: &mut Rows<'t>,
    ) -> Result<(), SourceError> {
        let bad = |column: usize, value: &str, problem: &str| {
            self.row_error(line, header.names[column], value, problem)
        };
        if row.contains('"') {
            return Err(bad(0, row, NO_QUOTES));
        }
        let fields: Vec<&str> = row.split(',').collect();
        if fields.len() != header.names.len() {
            let problem = format!(
                "is a row of {} fields, the header has {}; complete or remove the row",
                fields.len(),
                header.names.len()
            );
            return Err(bad(0, row, &problem));
        }
        let step = self.step(fields[header.time], rows).map_err(|problem| {
            self.row_error(line, header.names[header.time], fields[header.time], &problem)
        })?;
        let key =
            key_of(fields[header.key], rows).map_err(|p| bad(header.key, fields[header.key], p))?;
        let first_row = u32::try_from(rows.row_keys.len())
            .map_err(|_| self.header_error("it has more than 2^32 rows; split it".to_owned()))?;
        if rows.steps.last().is_none_or(|last| last.step < step) {
            rows.steps.push(TimeStep { step, first_row });
        }
        if rows.key_steps[key as usize].replace(step) == Some(step) {
            let problem = "has a row of the same time already; remove one";
            return Err(bad(header.key, fields[header.key], problem));
        }
        rows.row_keys.push(key);
        for (column, _) in header.value_columns() {
            let value = number(fields[column]).map_err(|p| bad(column, fields[column], p))?;
            rows.values.push(value);
        }
        Ok(())
    }

    /// The time step of a row, which is not before the last row's.
    fn step(&self, text: &str, rows: &mut Rows<'_>) -> Result<u64, String> {
        let time = parse_time(text).ok_or_else(|| {
            "is no time; write it as 2013-01-01T06:00:00Z, in UTC, whole seconds".to_owned()
        })?;
        let first = *rows.first_time.get_or_insert(time);
        let period = self.config.period_s as i64;
        let seconds = time - first;
        if seconds % period != 0 {
            return Err(format!(
                "is {seconds} s after the first row, no multiple of source.{}.period_s ({period})",
                self.config.id
            ));
        }
        let step = u64::try_from(seconds / period).ok();
        let last = rows.steps.last().map_or(0, |last| last.step);
        step.filter(|step| *step >= last)
            .ok_or_else(|| "is before the row above; sort the file by time".to_owned())
    }

    /// Streams can be counted and told apart.
    fn check_streams(&self, source: &CsvSource) -> Result<(), SourceError> {
        let (keys, copies) = (source.keys.len() as u64, u64::from(source.copies));
        if keys * copies > u64::from(AGENTS_MAX) {
            return Err(self.header_error(format!(
                "{keys} keys times {copies} copies are too many streams; lower source.{}.copies",
                source.id
            )));
        }
        let mut names = BTreeSet::new();
        match (0..source.streams())
            .map(|s| source.stream_name(s))
            .find(|n| !names.insert(n.clone()))
        {
            None => Ok(()),
            Some(name) => Err(self.header_error(format!(
                "two streams are called `{name}`, a key and a copy of another; rename the key"
            ))),
        }
    }

    fn header_error(&self, problem: String) -> SourceError {
        SourceError::Header { id: self.config.id.clone(), file: self.file.to_owned(), problem }
    }

    fn row_error(&self, line: u64, column: &str, value: &str, problem: &str) -> SourceError {
        SourceError::Row(Box::new(BadRow {
            id: self.config.id.clone(),
            file: self.file.to_owned(),
            line,
            column: column.to_owned(),
            value: value.chars().take(64).collect(),
            problem: problem.to_owned(),
        }))
    }
}

const NO_QUOTES: &str = "holds a quotation mark; quoted fields are not read, write them without";

impl Header<'_> {
    /// Columns that enter, with their indices.
    fn value_columns(&self) -> impl Iterator<Item = (usize, &str)> {
        let used = [self.key, self.time];
        self.names.iter().copied().enumerate().filter(move |(index, _)| !used.contains(index))
    }
}

fn key_of<'t>(text: &'t str, rows: &mut Rows<'t>) -> Result<u32, &'static str> {
    if let Some(key) = rows.key_index.get(text) {
        return Ok(*key);
    }
    let strange = |c: char| c.is_whitespace() || c.is_control() || "/*{}".contains(c);
    if text.is_empty() || text.len() > NAME_BYTES_MAX as usize || text.chars().any(strange) {
        return Err("is no key; use 1 to 128 bytes without spaces, `/`, `*`, `{` and `}`");
    }
    let key = rows.keys.len() as u32;
    rows.keys.push(text.to_owned());
    rows.key_steps.push(None);
    rows.key_index.insert(text, key);
    Ok(key)
}

fn number(text: &str) -> Result<f64, &'static str> {
    if text.is_empty() {
        return Ok(EMPTY);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("is no number; write a decimal number or leave the field empty"),
    }
}

/// Puts the rows of each step into the order of their keys.
fn sort_rows(rows: &mut Rows<'_>, columns: usize) {
    let ends = rows.steps.iter().skip(1).map(|step| step.first_row as usize);
    let ends: Vec<usize> = ends.chain([rows.row_keys.len()]).collect();
    let mut order: Vec<usize> = (0..rows.row_keys.len()).collect();
    for (step, end) in rows.steps.iter().zip(ends) {
        order[step.first_row as usize..end].sort_by_key(|row| rows.row_keys[*row]);
    }
    let values = order.iter().flat_map(|row| &rows.values[row * columns..][..columns]).copied();
    rows.values = values.collect();
    rows.row_keys = order.iter().map(|row| rows.row_keys[*row]).collect();
}

/// Seconds since 1970 of `YYYY-MM-DDThh:mm:ssZ`, a subset of RFC 3339.
fn parse_time(text: &str) -> Option<i64> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    for (index, expected) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')]
    {
        if bytes[index] != expected {
            return None;
        }
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0_i64, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let month_days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=month_days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970: years begin in March, so that the leap day is a year's last.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years.div_euclid(4) - years.div_euclid(100)
        + years.div_euclid(400)
        + (months * 153 + 2) / 5
        + day
        - 719_469;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-02T00:00:01Z", 86_401),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2013-01-01T06:00:00Z", 1_357_020_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(parse_time(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "2013-01-01",
            "2013-01-01T06:00:00",
            "2013-01-01T06:00:00+00:00",
            "2013-02-29T06:00:00Z",
            "2013-13-01T06:00:00Z",
            "2013-01-01T24:00:00Z",
            "2013-01-01T06:60:00Z",
            "2013-01-01 06:00:00Z",
            "+013-01-01T06:00:00Z",
            "2013-01-0\u{661}T6:00:00Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_finite_or_empty() {
        assert_eq!(number("").map(f64::to_bits), Ok(0x7ff8_0000_0000_0000));
        assert_eq!(number("1e3"), Ok(1000.0));
        for text in ["nan", "inf", "-inf", "1,0", "abc", " 1", "1e999"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
