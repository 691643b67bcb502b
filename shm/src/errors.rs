//! Distinct errors: what went wrong, how often, first and last, in bounded space.
//!
//! ```text
//!  a table of rows (see [`crate::rows`]); row 0 counts the errors without a row, row i holds
//!  | key | count | first tick | last tick | text, zero-padded |
//! ```
//! An error is known by a key that the user computes (say, of its code and location). The first of
//! its kind takes a row and its text; all others only count. A full table loses no count: row 0 has
//! them.
//!
//! Published as snapshots, so that a reader never sees half an entry. Writer: one thread. Readers:
//! any process, read-only.
//!
//! What this does not do: it is not a log; order and repetition are lost on purpose.

use crate::lease::SetupError;
use crate::mem::{Mem, WORD, bytes_of};
use crate::rows::{self, RowError, RowsReader, RowsWriter};

/// Bytes of text kept of each error; longer ones are truncated at a character.
pub const TEXT_MAX: usize = 96;

const KEY: usize = 0;
const COUNT: usize = 1;
const FIRST: usize = 2;
const LAST: usize = 3;
const TEXT: usize = 4;
const ROW_WORDS: usize = TEXT + TEXT_MAX / WORD;

/// Bytes of a table for `errors` distinct errors.
///
/// # Errors
/// [`SetupError::Parameter`] if there are too many.
pub fn layout(errors: usize) -> Result<usize, SetupError> {
    rows::layout(errors.saturating_add(1), ROW_WORDS)
}

/// The writing side.
#[derive(Debug)]
pub struct ErrorsWriter<M: Mem> {
    rows: RowsWriter<M>,
    /// The rows in use, row 0 first; the region has a copy.
    entries: Vec<[u64; ROW_WORDS]>,
    errors: usize,
}

impl<M: Mem> ErrorsWriter<M> {
    /// Leases the writing side of a table for `errors` distinct errors over zeroed memory.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M, errors: usize) -> Result<Self, SetupError> {
        let rows = RowsWriter::new(mem, errors.saturating_add(1), ROW_WORDS)?;
        let mut entries = Vec::with_capacity(errors + 1);
        entries.push([0; ROW_WORDS]);
        Ok(Self { rows, entries, errors })
    }

    /// Counts an error and publishes the table. `text` is kept if it is the first of its key. Takes
    /// time in proportion to the number of distinct errors.
    pub fn record(&mut self, key: u64, tick: u64, text: &str) {
        let known = self.entries[1..].iter().position(|entry| entry[KEY] == key);
        let row = match known {
            Some(at) => at + 1,
            None if self.entries.len() <= self.errors => {
                self.entries.push(first_entry(key, tick, text));
                self.entries.len() - 1
            }
            None => 0,
        };
        let entry = &mut self.entries[row];
        entry[COUNT] += 1;
        entry[LAST] = tick;
        self.rows.write(row, entry);
        self.rows.publish();
    }
}

fn first_entry(key: u64, tick: u64, text: &str) -> [u64; ROW_WORDS] {
    let mut entry = [0; ROW_WORDS];
    entry[KEY] = key;
    entry[FIRST] = tick;
    let bytes = &text.as_bytes()[..text.floor_char_boundary(TEXT_MAX)];
    for (word, chunk) in entry[TEXT..].iter_mut().zip(bytes.chunks(WORD)) {
        let mut padded = [0; WORD];
        padded[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_ne_bytes(padded);
    }
    entry
}

/// One distinct error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorEntry {
    /// The user's key.
    pub key: u64,
    /// How often it happened.
    pub count: u64,
    /// Tick of the first time.
    pub first_tick: u64,
    /// Tick of the last time.
    pub last_tick: u64,
    /// Text of the first time; invalid UTF-8 is replaced.
    pub text: String,
}

/// A reading side: any number, any process, read-only.
#[derive(Debug)]
pub struct ErrorsReader<M: Mem>(RowsReader<M>);

impl<M: Mem> ErrorsReader<M> {
    /// Opens a reading side of a table for `errors` distinct errors.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M, errors: usize) -> Result<Self, SetupError> {
        RowsReader::new(mem, errors.saturating_add(1), ROW_WORDS).map(Self)
    }

    /// All distinct errors in the order of their first time, and the number of those without a row.
    ///
    /// # Errors
    /// [`RowError::Lapped`] if the table changed too fast; try again.
    pub fn list(&self) -> Result<(Vec<ErrorEntry>, u64), RowError> {
        let mut lapped = RowError::Lapped;
        for _ in 0..rows::ATTEMPTS {
            match self.list_of(self.0.version()) {
                Ok(list) => return Ok(list),
                Err(error) => lapped = error,
            }
        }
        Err(lapped)
    }

    fn list_of(&self, version: u64) -> Result<(Vec<ErrorEntry>, u64), RowError> {
        let mut words = [0; ROW_WORDS];
        self.0.read(version, 0, &mut words)?;
        let without_row = words[COUNT];
        let mut list = Vec::new();
        for row in 1..self.0.rows() {
            if self.0.read(version, row, &mut words)?.is_none() {
                break;
            }
            let text = bytes_of(&words[TEXT..]);
            let end = text.iter().position(|byte| *byte == 0).unwrap_or(TEXT_MAX);
            list.push(ErrorEntry {
                key: words[KEY],
                count: words[COUNT],
                first_tick: words[FIRST],
                last_tick: words[LAST],
                text: String::from_utf8_lossy(&text[..end]).into_owned(),
            });
        }
        Ok((list, without_row))
    }
}
