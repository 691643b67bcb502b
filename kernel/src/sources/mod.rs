//! Where inputs come from, and when they enter.

pub(crate) mod csv;
mod csv_parse;
pub(crate) mod ingest;

pub use self::csv::{BadRow, CsvSource, Due, SourceError};
