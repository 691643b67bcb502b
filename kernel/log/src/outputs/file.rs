//! The outputs file, written, or compared with what a run executes again.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use wasm_engine_abi::ids::Tick;

use super::error::{OutputError, io_error};
use super::line::OutputLine;
use super::writer::OutputWriter;

/// Name of the file in a run's directory.
pub const OUTPUTS_FILE: &str = "outputs.jsonl";

/// The tick of a line, which is all that cutting needs.
#[derive(Deserialize)]
struct LineTick {
    tick: Tick,
}

/// What [`OutputFile::resume`] left and removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cut {
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
    file: PathBuf,
    existing: Option<BufReader<File>>,
    /// `None` when verifying: nothing is written.
    writer: Option<OutputWriter>,
    /// Lines given.
    lines: u64,
    /// Lines found equal.
    equal: u64,
    expected: Vec<u8>,
    found: Vec<u8>,
}

impl OutputFile {
    /// A new file in `dir`.
    ///
    /// # Errors
    /// [`OutputError::Io`], also when there is one.
    pub fn create(dir: &Path) -> Result<Self, OutputError> {
        let file = dir.join(OUTPUTS_FILE);
        let opened = OpenOptions::new().write(true).create_new(true).open(&file);
        let writer = opened.map_err(|source| io_error(&file, "created", source))?;
        Self::new(file, None, Some(writer))
    }

    /// The file in `dir`, cut to ticks before `before`; a missing one counts as empty.
    ///
    /// # Errors
    /// [`OutputError::Malformed`] if a whole line in front of the cut is none, or [`OutputError::Io`].
    pub fn resume(dir: &Path, before: Tick) -> Result<(Self, Cut), OutputError> {
        let file = dir.join(OUTPUTS_FILE);
        let fail = |action| {
            let file = file.clone();
            move |source| OutputError::Io { file, action, source }
        };
        let mut writer = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(fail("opened"))?;
        let (end, lines_kept) = scan_until(&file, &writer, before)?;
        let len = writer.metadata().map_err(fail("measured"))?.len();
        writer.set_len(end).map_err(fail("cut"))?;
        writer.seek(SeekFrom::Start(end)).map_err(fail("cut"))?;
        let existing = BufReader::new(File::open(&file).map_err(fail("opened"))?);
        let cut = Cut { lines_kept, bytes_dropped: len - end };
        Ok((Self::new(file, Some(existing), Some(writer))?, cut))
    }

    /// The file in `dir`, to be compared only; a missing one counts as empty.
    ///
    /// # Errors
    /// [`OutputError::Io`].
    pub fn verify(dir: &Path) -> Result<Self, OutputError> {
        let file = dir.join(OUTPUTS_FILE);
        let existing = match File::open(&file) {
            Ok(existing) => Some(BufReader::new(existing)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(io_error(&file, "opened", source)),
        };
        Self::new(file, existing, None)
    }

    fn new(
        file: PathBuf,
        existing: Option<BufReader<File>>,
        writer: Option<File>,
    ) -> Result<Self, OutputError> {
        let writer = writer.map(OutputWriter::start).transpose();
        let writer = writer.map_err(|(action, source)| io_error(&file, action, source))?;
        let (expected, found) = (Vec::new(), Vec::new());
        Ok(Self { file, existing, writer, lines: 0, equal: 0, expected, found })
    }

    /// Takes the run's next line.
    ///
    /// # Errors
    /// [`OutputError::Mismatch`] where the file has another line, or [`OutputError::Io`].
    pub fn line(&mut self, line: &OutputLine<'_>) -> Result<(), OutputError> {
        self.lines += 1;
        self.expected.clear();
        line.write(&mut self.expected);
        if self.read_existing()? {
            if self.found != self.expected {
                return Err(self.mismatch(line.tick));
            }
            self.equal += 1;
            return Ok(());
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let written = writer.write(&self.expected, &mut || {});
        written.map_err(|(action, source)| io_error(&self.file, action, source))
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

    /// How often a line had to wait because the disk was slow.
    #[must_use]
    pub fn stalls(&self) -> u64 {
        self.writer.as_ref().map_or(0, OutputWriter::stalls)
    }

    /// Waits until the disk has all lines. None can follow.
    ///
    /// # Errors
    /// [`OutputError::Io`].
    pub fn sync(&mut self) -> Result<(), OutputError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.close().map_err(|(action, source)| io_error(&self.file, action, source))
    }

    /// Ends a comparison behind the run's last line. With `torn_tail` the file may lag behind or
    /// lead, as it does after a crash; else it must have exactly the run's lines.
    ///
    /// # Errors
    /// [`OutputError::Length`], or [`OutputError::Io`].
    pub fn finish(mut self, torn_tail: bool) -> Result<(), OutputError> {
        self.sync()?;
        let more = self.read_existing()?;
        let short = self.writer.is_none() && self.equal < self.lines;
        if torn_tail || !(more || short) {
            return Ok(());
        }
        let found = self.equal + u64::from(more);
        Err(OutputError::Length { file: self.file, found, expected: self.lines })
    }
}

/// Offset and number of the lines with ticks before `before`; a last line without its break is cut.
fn scan_until(path: &Path, file: &File, before: Tick) -> Result<(u64, u64), OutputError> {
    let mut reader = BufReader::new(file);
    let (mut end, mut lines) = (0_u64, 0_u64);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        let read = read.map_err(|source| io_error(path, "read", source))?;
        if line.last() != Some(&b'\n') {
            return Ok((end, lines));
        }
        let parsed: LineTick =
            serde_json::from_slice(&line).map_err(|error| OutputError::Malformed {
                file: path.to_owned(),
                line: lines + 1,
                problem: error.to_string(),
            })?;
        if parsed.tick >= before {
            return Ok((end, lines));
        }
        end += read as u64;
        lines += 1;
    }
}
