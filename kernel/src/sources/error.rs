//! Why a source cannot be used: which one, which file, where in it, and what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::config::{OnBadRow, SourceConfig};
use crate::exit::{Exit, HasExitCode};

/// Characters of a bad value that are shown.
const SHOWN_CHARS: usize = 64;

/// Why a source cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file cannot be read.
    #[error(
        "source `{id}`: data file {} cannot be read: {source}; check source.{id}.{key}",
        file.display()
    )]
    Read {
        /// Id of the source.
        id: String,
        /// The key that names it.
        key: &'static str,
        /// The file or folder.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A key does not say what it should.
    #[error("source.{id}.{key} {problem}")]
    Key {
        /// Id of the source.
        id: String,
        /// The key.
        key: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The file as a whole is bad: its header, its streams, or there is nothing in it.
    #[error("source `{id}`: data file {}: {problem}", file.display())]
    Header {
        /// Id of the source.
        id: String,
        /// The file.
        file: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A row is bad.
    #[error(transparent)]
    Row(Box<BadRow>),
}

impl HasExitCode for SourceError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read { source, .. } => Exit::of_reading(source),
            _ => Exit::Usage,
        }
    }
}

/// A row that cannot enter.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "source `{id}`: data file {}, line {line}, column `{column}`: `{value}` {problem}",
    file.display()
)]
pub struct BadRow {
    /// Id of the source.
    pub id: String,
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u64,
    /// Name of the column, or of the member of an object.
    pub column: String,
    /// The field, cut after 64 characters.
    pub value: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// What is wrong with a row: the column, its value, the problem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RowProblem {
    pub(crate) column: String,
    pub(crate) value: String,
    pub(crate) problem: String,
}

impl RowProblem {
    /// A problem with a value, of which the beginning is kept, on one line.
    pub(crate) fn new(column: &str, value: &[u8], problem: impl Into<String>) -> Self {
        // A character has at most four bytes.
        let head = String::from_utf8_lossy(&value[..value.len().min(4 * SHOWN_CHARS)]);
        let line = |c: char| if c.is_control() { ' ' } else { c };
        Self {
            column: column.to_owned(),
            value: head.chars().take(SHOWN_CHARS).map(line).collect(),
            problem: problem.into(),
        }
    }
}

/// A file or folder of a source, and the errors about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataFile<'c> {
    pub(crate) config: &'c SourceConfig,
    pub(crate) file: &'c Path,
}

impl DataFile<'_> {
    pub(crate) fn whole(&self, problem: impl Into<String>) -> SourceError {
        SourceError::Header {
            id: self.config.id.clone(),
            file: self.file.to_owned(),
            problem: problem.into(),
        }
    }

    pub(crate) fn key(&self, key: &'static str, problem: impl Into<String>) -> SourceError {
        SourceError::Key { id: self.config.id.clone(), key, problem: problem.into() }
    }

    pub(crate) fn reading(&self, source: io::Error) -> SourceError {
        let key = if self.config.file.is_some() { "file" } else { "folder" };
        SourceError::Read { id: self.config.id.clone(), key, file: self.file.to_owned(), source }
    }

    pub(crate) fn row(&self, line: u64, problem: RowProblem) -> BadRow {
        let RowProblem { column, value, problem } = problem;
        BadRow {
            id: self.config.id.clone(),
            file: self.file.to_owned(),
            line,
            column,
            value,
            problem,
        }
    }
}

/// What a source left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct LeftOut {
    /// Rows, lines or files.
    pub(crate) count: u64,
    /// The first of them, in words.
    pub(crate) first: String,
}

impl LeftOut {
    /// Refuses a bad row, or counts it where the configuration says so.
    pub(crate) fn note(
        &mut self,
        data: DataFile<'_>,
        problem: RowProblem,
        line: impl FnOnce() -> u64,
    ) -> Result<(), SourceError> {
        if data.config.bad_rows == OnBadRow::Refuse {
            return Err(SourceError::Row(Box::new(data.row(line(), problem))));
        }
        if self.count == 0 {
            self.first = data.row(line(), problem).to_string();
        }
        self.count += 1;
        Ok(())
    }
}
