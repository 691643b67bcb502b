//! The outputs file of a run: new, or continued after a crash.

use std::{
    io::{self, BufRead, BufReader, ErrorKind},
    path::Path,
};

use wasm_engine_abi::ids::Tick;

use super::compare::OutputComparison;
use super::error::{OutputError, io_error};
use super::line::{OUTPUTS_FILE, OutputLine, parse_tick};
use super::writer::OutputWriter;
use crate::storage::{FileReader, Storage, StorageFile, disk::Disk};

/// What [`OutputFile::resume`] kept and removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Truncation {
    /// Lines of earlier ticks, kept.
    pub lines_kept: u64,
    /// Bytes removed behind them.
    pub bytes_dropped: u64,
}

/// `outputs.jsonl`, written, or compared with what a run executes again.
///
/// Lines are given in the run's order with [`OutputFile::line`], from tick 0 on; while the file
/// has lines they are compared, behind its end they are appended, or counted when verifying.
#[derive(Debug)]
pub struct OutputFile {
    comparison: OutputComparison,
    /// `None` when verifying: nothing is written.
    writer: Option<OutputWriter>,
}

impl OutputFile {
    /// A new file in `dir`.
    ///
    /// # Errors
    /// [`OutputError::Io`], also if there is one already.
    pub fn create(dir: &Path) -> Result<Self, OutputError> {
        Self::create_in(&Disk::new(dir))
    }

    /// As [`OutputFile::create`], in any storage.
    ///
    /// # Errors
    /// As [`OutputFile::create`].
    pub fn create_in(storage: &dyn Storage) -> Result<Self, OutputError> {
        let path = storage.dir().join(OUTPUTS_FILE);
        let file = storage.create(OUTPUTS_FILE);
        let file = file.map_err(|source| io_error(&path, "created", source))?;
        Self::writing(OutputComparison::new(path, None), file)
    }

    /// The file in `dir`, truncated to ticks before `before`; a missing one counts as empty.
    ///
    /// # Errors
    /// [`OutputError::Malformed`] if a complete line to be kept is invalid, or [`OutputError::Io`].
    pub fn resume(dir: &Path, before: Tick) -> Result<(Self, Truncation), OutputError> {
        Self::resume_in(&Disk::new(dir), before)
    }

    /// As [`OutputFile::resume`], in any storage.
    ///
    /// # Errors
    /// As [`OutputFile::resume`].
    pub fn resume_in(
        storage: &dyn Storage,
        before: Tick,
    ) -> Result<(Self, Truncation), OutputError> {
        let path = storage.dir().join(OUTPUTS_FILE);
        let fail = |action| {
            let path = &path;
            move |source| io_error(path, action, source)
        };
        let mut file = open_or_create(storage).map_err(fail("opened"))?;
        let (end, lines_kept) = find_end(&path, &*file, before)?;
        let bytes = file.bytes().map_err(fail("measured"))?;
        file.truncate(end).map_err(fail("cut"))?;
        let existing = storage.open(OUTPUTS_FILE).map_err(fail("opened"))?;
        let truncation = Truncation { lines_kept, bytes_dropped: bytes - end };
        let comparison = OutputComparison::new(path, Some(existing));
        Ok((Self::writing(comparison, file)?, truncation))
    }

    /// The file in `dir`, to be compared only; a missing one counts as empty.
    ///
    /// # Errors
    /// [`OutputError::Io`].
    pub fn verify(dir: &Path) -> Result<Self, OutputError> {
        Ok(Self { comparison: OutputComparison::open(dir)?, writer: None })
    }

    /// The run goes on from a keyframe: its `lines` lines of ticks before `before` are taken as
    /// they stand in the file in `dir`, and the next one given is the first behind them. False, and
    /// nothing changes, if the file has another number of them: a crash may have taken some away,
    /// which only a run from further back makes again.
    ///
    /// # Errors
    /// [`OutputError::Malformed`] if one of these lines is invalid, or [`OutputError::Io`].
    pub fn begin_at(&mut self, dir: &Path, before: Tick, lines: u64) -> Result<bool, OutputError> {
        let storage = Disk::new(dir);
        let path = storage.dir().join(OUTPUTS_FILE);
        let existing = match storage.open(OUTPUTS_FILE) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(lines == 0),
            opened => opened.map_err(|source| io_error(&path, "opened", source))?,
        };
        let (offset, found) = find_end(&path, &*existing, before)?;
        if found == lines {
            self.comparison = OutputComparison::behind(path, existing, offset, lines);
        }
        Ok(found == lines)
    }

    fn writing(
        comparison: OutputComparison,
        file: Box<dyn StorageFile>,
    ) -> Result<Self, OutputError> {
        let writer = OutputWriter::start(file);
        let writer =
            writer.map_err(|(action, source)| io_error(comparison.path(), action, source))?;
        Ok(Self { comparison, writer: Some(writer) })
    }

    /// Takes the run's next line.
    ///
    /// # Errors
    /// [`OutputError::Mismatch`] where the file has another line, or [`OutputError::Io`].
    pub fn line(&mut self, line: &OutputLine<'_>) -> Result<(), OutputError> {
        if self.comparison.line(line)? {
            return Ok(());
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let written = writer.write(self.comparison.last_line(), &mut || ());
        written.map_err(|(action, source)| io_error(self.comparison.path(), action, source))
    }

    /// How often a line had to wait because the disk was slow.
    #[must_use]
    pub fn stalls(&self) -> u64 {
        self.writer.as_ref().map_or(0, OutputWriter::stalls)
    }

    /// Waits until all lines are durable. No line can follow.
    ///
    /// # Errors
    /// [`OutputError::Io`].
    pub fn sync(&mut self) -> Result<(), OutputError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let closed = writer.close();
        closed.map_err(|(action, source)| io_error(self.comparison.path(), action, source))
    }

    /// Ends behind the run's last line. With a `torn_tail` the file may lack lines, or have more
    /// of ticks behind the one named, as it does after a crash; else it must have exactly the
    /// run's lines.
    ///
    /// # Errors
    /// [`OutputError::Length`], or [`OutputError::Io`].
    pub fn finish(mut self, torn_tail: Option<Tick>) -> Result<(), OutputError> {
        self.sync()?;
        match self.writer {
            Some(_) => self.comparison.end(torn_tail, false),
            None => self.comparison.finish(torn_tail),
        }
    }
}

fn open_or_create(storage: &dyn Storage) -> io::Result<Box<dyn StorageFile>> {
    match storage.open_append(OUTPUTS_FILE) {
        Err(error) if error.kind() == ErrorKind::NotFound => storage.create(OUTPUTS_FILE),
        opened => opened,
    }
}

/// Offset behind the lines with ticks before `before`, and their number; a last line without its
/// line break is not one of them.
fn find_end(
    path: &Path,
    file: &(dyn StorageFile + 'static),
    before: Tick,
) -> Result<(u64, u64), OutputError> {
    let mut reader = BufReader::new(FileReader::new(file));
    let (mut end, mut lines) = (0_u64, 0_u64);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        let read = read.map_err(|source| io_error(path, "read", source))?;
        if line.last() != Some(&b'\n') {
            return Ok((end, lines));
        }
        let tick = parse_tick(&line).map_err(|error| OutputError::Malformed {
            file: path.to_owned(),
            line: lines + 1,
            problem: error.to_string(),
        })?;
        if tick >= before {
            return Ok((end, lines));
        }
        end += read as u64;
        lines += 1;
    }
}
