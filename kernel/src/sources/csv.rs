//! Reading a table: rows with columns, as programs and people write them.
//!
//! The `csv` crate finds rows and fields: quotes (RFC 4180), any one delimiter, line ends of any
//! kind, lines of a comment. Fields are trimmed, rows without content left out. Here it is checked
//! that what is wanted of a row can be used; what is not wanted is not looked at, so it may be
//! text, and need not be UTF-8.
//!
//! A bad row leaves no trace but its count, if the configuration has bad rows skipped.

use std::collections::BTreeMap;

use csv::{ByteRecord, ReaderBuilder, Trim};
use wasm_engine_abi::limits::PAYLOAD_BYTES_MAX;

use crate::config::{Repeats, SourceConfig};
use crate::sources::error::{DataFile, LeftOut, RowProblem, SourceError};
use crate::sources::grid::GridReader;
use crate::sources::payload::{INPUT_HEADER_BYTES, MISSING};
use crate::sources::streams::{Keys, name_of};
use crate::sources::table::{Table, TimeStep};

/// Words for a missing value where the configuration names none.
const MISSING_WORDS: [&str; 4] = ["NaN", "nan", "NA", "null"];

/// Characters that stand between columns somewhere.
const DELIMITERS: [(char, &str); 4] = [(',', ","), (';', ";"), ('\t', "\\t"), ('|', "|")];

/// Where the columns of a table are.
struct Columns {
    names: Vec<String>,
    /// None if all rows are one stream.
    key: Option<usize>,
    time: usize,
    values: Vec<usize>,
}

/// What is known after some rows.
#[derive(Default)]
struct Rows {
    keys: Keys,
    /// The step of each key's latest row.
    key_steps: Vec<Option<u64>>,
    steps: Vec<TimeStep>,
    row_keys: Vec<u32>,
    times: Vec<i64>,
    values: Vec<f64>,
}

struct TableReader<'c> {
    data: DataFile<'c>,
    bytes: &'c [u8],
    columns: Columns,
    grid: GridReader,
    rows: Rows,
    /// The values of the row that is being read.
    scratch: Vec<f64>,
}

/// Reads and checks the table that `bytes` are; gives also the names of its keys.
pub(crate) fn read(
    data: DataFile<'_>,
    bytes: &[u8],
    left_out: &mut LeftOut,
) -> Result<(Table, Vec<String>), SourceError> {
    let config = data.config;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(data.whole("it is UTF-16; convert it to UTF-8"));
    }
    let grid = GridReader::of(config).map_err(|(key, problem)| data.key(key, problem))?;
    let mut records = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .delimiter(config.delimiter_byte())
        .comment(config.comment.as_ref().and_then(|text| text.bytes().next()))
        .from_reader(bytes);
    let mut record = ByteRecord::new();
    let unread = |error: csv::Error| data.whole(format!("it cannot be read: {error}"));
    // Rows without content, above the header too, are none.
    let mut next = |record: &mut ByteRecord| loop {
        let begin = records.position().byte();
        if !records.read_byte_record(record).map_err(unread)? {
            return Ok(None);
        }
        if record.iter().any(|field| !field.is_empty()) {
            return Ok(Some(begin as usize..records.position().byte() as usize));
        }
    };
    if next(&mut record)?.is_none() {
        return Err(data.whole("it is empty; name the file that holds the table"));
    }
    let columns = Columns::find(data, &record)?;
    let scratch = Vec::with_capacity(columns.values.len());
    let mut reader = TableReader { data, bytes, columns, grid, rows: Rows::default(), scratch };
    while let Some(range) = next(&mut record)? {
        if record.as_slice().contains(&b'\n') && is_open(&bytes[range.clone()]) {
            let problem = "opens a quotation mark that nothing closes; close it";
            let problem = RowProblem::new(&reader.columns.names[0], &record[0], problem);
            let line = line_of(bytes, range.start, config);
            return Err(SourceError::Row(Box::new(data.row(line, problem))));
        }
        if let Err(problem) = reader.row(&record, range.clone()) {
            left_out.note(data, problem, || line_of(bytes, range.start, config))?;
        }
    }
    reader.finish(left_out)
}

/// A field without quotation marks that a space in front of them kept from being seen as such.
fn unquoted(field: &[u8]) -> &[u8] {
    match field {
        [b'"', inside @ .., b'"'] if !inside.contains(&b'"') => inside.trim_ascii(),
        field => field,
    }
}

/// Whether a row of several lines holds an odd number of quotation marks.
fn is_open(row: &[u8]) -> bool {
    row.iter().filter(|byte| **byte == b'"').count() % 2 == 1
}

/// The line, from 1, of a row that begins at or behind `at`: blank lines and comments come first.
fn line_of(bytes: &[u8], mut at: usize, config: &SourceConfig) -> u64 {
    let comment = config.comment.as_ref().and_then(|text| text.bytes().next());
    while let Some(byte) = bytes.get(at) {
        if Some(*byte) == comment {
            at += bytes[at..].iter().take_while(|byte| **byte != b'\n').count();
        } else if !matches!(byte, b'\r' | b'\n') {
            break;
        } else {
            at += 1;
        }
    }
    let before = &bytes[..at.min(bytes.len())];
    before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1
}

impl Columns {
    fn find(data: DataFile<'_>, header: &ByteRecord) -> Result<Self, SourceError> {
        let config = data.config;
        let names: Vec<String> = header
            .iter()
            .map(|name| String::from_utf8_lossy(unquoted(name)).into_owned())
            .collect();
        let find = |key: &str, name: &str| {
            let mut found = names.iter().enumerate().filter(|(_, own)| *own == name);
            match (found.next(), found.next()) {
                (Some((index, _)), None) => Ok(index),
                (Some(_), Some(_)) => Err(data.whole(format!(
                    "it has two columns `{name}` (source.{}.{key}); rename one",
                    config.id
                ))),
                (None, _) => Err(data.whole(format!(
                    "it has no column `{name}` (source.{}.{key}); its columns are {}{}",
                    config.id,
                    names.join(", "),
                    other_delimiter(config, &names)
                ))),
            }
        };
        let key = config.key.as_ref().map(|name| find("key", name)).transpose()?;
        let time = find("time", config.time.as_deref().unwrap_or_default())?;
        let values = match &config.columns {
            Some(wanted) => {
                wanted.iter().map(|name| find("columns", name)).collect::<Result<_, _>>()?
            }
            None => {
                let all = (0..names.len()).filter(|at| Some(*at) != key && *at != time).collect();
                check_names(data, &names)?;
                all
            }
        };
        let columns = Self { names, key, time, values };
        let payload_bytes = INPUT_HEADER_BYTES + 8 * columns.values.len();
        if payload_bytes > PAYLOAD_BYTES_MAX as usize {
            return Err(data.whole(format!(
                "its {} columns are too many; name those wanted in source.{}.columns",
                columns.values.len(),
                config.id
            )));
        }
        Ok(columns)
    }
}

/// Where all columns enter, each has a name of its own.
fn check_names(data: DataFile<'_>, names: &[String]) -> Result<(), SourceError> {
    let mut seen = std::collections::BTreeSet::from([""]);
    if names.iter().all(|name| seen.insert(name)) {
        return Ok(());
    }
    Err(data.whole(format!(
        "a column of the header has no name or the name of another; rename it, or name the columns \
         wanted in source.{}.columns",
        data.config.id
    )))
}

/// A hint where the columns of a header are one.
fn other_delimiter(config: &SourceConfig, names: &[String]) -> String {
    let [one] = names else { return String::new() };
    let own = char::from(config.delimiter_byte());
    match DELIMITERS.into_iter().find(|(c, _)| *c != own && one.contains(*c)) {
        Some((_, written)) => {
            format!(
                "; if `{written}` stands between them, say source.{}.delimiter = \"{written}\"",
                config.id
            )
        }
        None => String::new(),
    }
}

impl TableReader<'_> {
    /// Adds a row, or changes nothing.
    fn row(
        &mut self,
        record: &ByteRecord,
        range: std::ops::Range<usize>,
    ) -> Result<(), RowProblem> {
        let config = self.data.config;
        self.check_length(record, range)?;
        let bad = |column: usize, problem: String| {
            RowProblem::new(&self.columns.names[column], &record[column], problem)
        };
        let text = |column: usize| {
            std::str::from_utf8(unquoted(&record[column]))
                .map_err(|_| bad(column, "is not UTF-8; convert the file".to_owned()))
        };
        let time = self.columns.time;
        let at = self.grid.find(text(time)?).map_err(|problem| bad(time, problem))?;
        let key = self.columns.key.map_or(Ok(config.id.as_str()), text)?;
        let known = self.rows.keys.find(key);
        let name = match known {
            Some(_) => String::new(),
            None => name_of(key).map_err(|p| bad(self.columns.key.unwrap_or(time), p))?,
        };
        let last = known.and_then(|key| self.rows.key_steps[key as usize]);
        if last == Some(at.step) && config.repeats == Repeats::Refuse {
            let problem = format!(
                "has a row of the same time, or tick, already; remove one, or let all enter with \
                 source.{}.repeats = \"keep\"",
                config.id
            );
            return Err(bad(self.columns.key.unwrap_or(time), problem));
        }
        let mut values = std::mem::take(&mut self.scratch);
        values.clear();
        for column in &self.columns.values {
            let value = number(config, text(*column)?).map_err(|problem| bad(*column, problem))?;
            values.push(value);
        }
        let first_row = u32::try_from(self.rows.row_keys.len())
            .map_err(|_| bad(time, "is in row 2^32 or behind it; split the file".to_owned()))?;
        // From here on nothing is refused.
        let rows = &mut self.rows;
        let key = known.unwrap_or_else(|| {
            rows.key_steps.push(None);
            rows.keys.add(key, name)
        });
        if rows.steps.last().is_none_or(|last| last.step < at.step) {
            rows.steps.push(TimeStep { step: at.step, first_row });
        }
        rows.key_steps[key as usize] = Some(at.step);
        rows.row_keys.push(key);
        rows.times.push(at.seconds);
        rows.values.extend_from_slice(&values);
        self.scratch = values;
        self.grid.keep(at);
        Ok(())
    }

    /// A row has a field for each column; further ones are empty.
    fn check_length(
        &self,
        record: &ByteRecord,
        range: std::ops::Range<usize>,
    ) -> Result<(), RowProblem> {
        let (own, all) = (record.len(), self.columns.names.len());
        if own == all || (own > all && record.iter().skip(all).all(<[u8]>::is_empty)) {
            return Ok(());
        }
        let problem =
            format!("is a row of {own} fields, the header has {all}; complete or remove the row");
        let row = self.bytes[range].trim_ascii();
        Err(RowProblem::new(&self.columns.names[0], row, problem))
    }

    fn finish(self, left_out: &LeftOut) -> Result<(Table, Vec<String>), SourceError> {
        let Self { data, columns, grid, mut rows, .. } = self;
        let (Some(last), Some(grid)) = (rows.steps.last(), grid.grid()) else {
            let problem = match left_out.count {
                0 => "it has no rows below its header; add some".to_owned(),
                count => format!("all its {count} rows are bad; the first: {}", left_out.first),
            };
            return Err(data.whole(problem));
        };
        let length = last.step + 1;
        sort_rows(&mut rows, columns.values.len());
        let names = columns.values.iter().map(|at| columns.names[*at].clone()).collect();
        let table = Table {
            grid,
            keys: rows.keys.names.len() as u32,
            copies: data.config.copies,
            offset_rows: data.config.offset_rows,
            columns: names,
            length,
            steps: rows.steps,
            row_keys: rows.row_keys,
            times: rows.times,
            values: rows.values,
            rotations: BTreeMap::new(),
        };
        Ok((table, rows.keys.names))
    }
}

/// The number that a field is; the error says what to do.
fn number(config: &SourceConfig, text: &str) -> Result<f64, String> {
    let is_missing = |text: &str| match &config.missing {
        Some(words) => words.iter().any(|word| word == text),
        None => MISSING_WORDS.contains(&text),
    };
    if text.is_empty() || is_missing(text) {
        return Ok(MISSING);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(format!(
            "is no number; write a decimal number or leave the field empty, add a word for a \
             missing value to source.{0}.missing, or name the columns wanted in \
             source.{0}.columns",
            config.id
        )),
    }
}

/// Puts the rows of each step into the order of their keys, those of one key as they were.
fn sort_rows(rows: &mut Rows, columns: usize) {
    let ends = rows.steps.iter().skip(1).map(|step| step.first_row as usize);
    let ends: Vec<usize> = ends.chain([rows.row_keys.len()]).collect();
    let mut order: Vec<usize> = (0..rows.row_keys.len()).collect();
    for (step, end) in rows.steps.iter().zip(ends) {
        order[step.first_row as usize..end].sort_by_key(|row| rows.row_keys[*row]);
    }
    let values = order.iter().flat_map(|row| &rows.values[row * columns..][..columns]).copied();
    rows.values = values.collect();
    rows.row_keys = order.iter().map(|row| rows.row_keys[*row]).collect();
    rows.times = order.iter().map(|row| rows.times[*row]).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_finite_or_missing() {
        let config = crate::config::SourceConfig::for_tests("s");
        assert_eq!(number(&config, "").map(f64::to_bits), Ok(0x7ff8_0000_0000_0000));
        assert_eq!(number(&config, "NA").map(f64::to_bits), Ok(0x7ff8_0000_0000_0000));
        assert_eq!(number(&config, "1e3"), Ok(1000.0));
        for text in ["inf", "-inf", "1,0", "abc", "-", "n/a", "1e999"] {
            assert!(number(&config, text).is_err(), "{text}");
        }
        let own = SourceConfig { missing: Some(vec!["n/a".to_owned(), "-".to_owned()]), ..config };
        for text in ["n/a", "-", ""] {
            assert!(number(&own, text).is_ok_and(f64::is_nan), "{text}");
        }
        assert!(number(&own, "NA").is_err(), "the own words are all there are");
    }
}
