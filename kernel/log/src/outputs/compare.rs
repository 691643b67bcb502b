//! The lines of an existing outputs file, compared with those of a run that is executed again.

use std::{
    io::{BufRead, BufReader, ErrorKind},
    path::{Path, PathBuf},
};

use wasm_engine_abi::ids::Tick;

use super::error::{OutputError, io_error};
use super::line::{OUTPUTS_FILE, OutputLine, parse_tick};
use crate::storage::{FileReader, Storage, StorageFile, disk::Disk};

/// An existing outputs file, read line by line. Nothing is written.
///
/// Lines are given in the run's order with [`OutputComparison::line`], from tick 0 on.
#[derive(Debug)]
pub struct OutputComparison {
    file: PathBuf,
    /// `None` behind the end of the file.
    existing: Option<BufReader<FileReader<Box<dyn StorageFile>>>>,
    /// Lines given.
    lines: u64,
    /// Lines found equal.
    equal: u64,
    expected: Vec<u8>,
    found: Vec<u8>,
}

impl OutputComparison {
    /// Opens the file in `dir`; a missing one counts as empty.
    ///
    /// # Errors
    /// [`OutputError::Io`].
    pub fn open(dir: &Path) -> Result<Self, OutputError> {
        Self::open_in(&Disk::new(dir))
    }

    /// As [`OutputComparison::open`], in any storage.
    ///
    /// # Errors
    /// As [`OutputComparison::open`].
    pub fn open_in(storage: &dyn Storage) -> Result<Self, OutputError> {
        let file = storage.dir().join(OUTPUTS_FILE);
        match storage.open(OUTPUTS_FILE) {
            Ok(existing) => Ok(Self::new(file, Some(existing))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::new(file, None)),
            Err(source) => Err(io_error(&file, "opened", source)),
        }
    }

    /// Over a file already open, or an empty one.
    pub(super) fn new(file: PathBuf, existing: Option<Box<dyn StorageFile>>) -> Self {
        let existing = existing.map(|existing| BufReader::new(FileReader::new(existing)));
        Self { file, existing, lines: 0, equal: 0, expected: Vec::new(), found: Vec::new() }
    }

    /// Over a file already open, behind its first `lines` lines, which have `offset` bytes and
    /// count as equal.
    #[cfg(feature = "writer")]
    pub(super) fn behind(
        file: PathBuf,
        existing: Box<dyn StorageFile>,
        offset: u64,
        lines: u64,
    ) -> Self {
        let existing = Some(BufReader::new(FileReader::at(existing, offset)));
        let (expected, found) = (Vec::new(), Vec::new());
        Self { file, existing, lines, equal: lines, expected, found }
    }

    /// Compares the run's next line; false if the file has ended, be it in the middle of this line.
    ///
    /// # Errors
    /// [`OutputError::Mismatch`] where the file has another line, or [`OutputError::Io`].
    pub fn line(&mut self, line: &OutputLine<'_>) -> Result<bool, OutputError> {
        self.lines += 1;
        self.expected.clear();
        line.write(&mut self.expected);
        if !self.read_existing()? {
            return Ok(false);
        }
        if self.found != self.expected {
            // A crash may have cut its last line off: then the file ends in front of it.
            if self.found.ends_with(b"\n") || !self.expected.starts_with(&self.found) {
                return Err(self.mismatch(line.tick));
            }
            self.existing = None;
            return Ok(false);
        }
        self.equal += 1;
        Ok(true)
    }

    /// Ends behind the run's last line. With a `torn_tail` the file may lack lines, or have more
    /// of ticks behind the one named, as it does after a crash; else it must have exactly the
    /// run's lines.
    ///
    /// # Errors
    /// [`OutputError::Length`], or [`OutputError::Io`].
    pub fn finish(self, torn_tail: Option<Tick>) -> Result<(), OutputError> {
        let short = self.equal < self.lines;
        self.end(torn_tail, short)
    }

    /// As `finish`; `short` is whether the file lacks lines of the run.
    pub(super) fn end(mut self, torn_tail: Option<Tick>, short: bool) -> Result<(), OutputError> {
        let more = self.read_existing()?;
        let fine = match torn_tail {
            Some(last) => !more || parse_tick(&self.found).map_or(true, |tick| tick > last),
            None => !(more || short),
        };
        if fine {
            return Ok(());
        }
        let found = self.equal + u64::from(more);
        Err(OutputError::Length { file: self.file, found, expected: self.lines })
    }

    /// Path of the file.
    #[cfg(feature = "writer")]
    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    /// Bytes of the line given last.
    #[cfg(feature = "writer")]
    pub(super) fn last_line(&self) -> &[u8] {
        &self.expected
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
}
