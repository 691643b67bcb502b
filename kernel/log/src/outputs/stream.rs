//! Outputs for whoever watches a run: a file, a pipe or standard output, each payload in the format
//! that its topic declares.
//!
//! ```text
//! {"tick":7,"microstep":3,"topic":"n","from":"a","address":"4.0","seq":12,
//!  "format":"u64","payload":5}
//! ```
//! A payload that is not in its format does not end the run: it is shown as hexadecimal digits with
//! the reason as `misfit`, and counted. This is no part of a log, and nothing is compared with it.

use std::{
    fs::File,
    io::{self, Stdout, Write},
    path::{Path, PathBuf},
};

use super::error::{OutputError, io_error};
use super::format::OutputFormat;
use super::line::OutputLine;
use super::writer::OutputWriter;
use crate::storage::StorageFile;

/// Where outputs go besides the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OutputTarget {
    /// Standard output.
    Standard,
    /// A file, which is made or emptied.
    File(PathBuf),
}

/// Writes outputs, on a thread of its own.
#[derive(Debug)]
pub struct OutputStream {
    path: PathBuf,
    writer: OutputWriter,
    line: Vec<u8>,
    /// By handle of the topic; what has none is shown as hexadecimal digits.
    formats: Vec<Option<OutputFormat>>,
    /// By handle of the topic: payloads that were not in their format.
    misfits: Vec<u64>,
}

impl OutputStream {
    /// Opens `target`; `formats` are by handle of the topic.
    ///
    /// # Errors
    /// [`OutputError::Stream`].
    pub fn open(
        target: &OutputTarget,
        formats: Vec<Option<OutputFormat>>,
    ) -> Result<Self, OutputError> {
        let (path, sink) = match target {
            OutputTarget::Standard => (PathBuf::from("-"), Destination::Standard(io::stdout())),
            OutputTarget::File(path) => {
                let file = File::create(path);
                (
                    path.clone(),
                    Destination::File(file.map_err(|e| stream_error(path, "created", e))?),
                )
            }
        };
        let writer = OutputWriter::start(Box::new(StreamFile { sink, left: false }));
        let writer = writer.map_err(|(action, source)| stream_error(&path, action, source))?;
        let misfits = vec![0; formats.len()];
        Ok(Self { path, writer, line: Vec::new(), formats, misfits })
    }

    /// Takes the next message, which is on the topic with this handle.
    ///
    /// # Errors
    /// [`OutputError::Stream`], also for what was taken before.
    pub fn line(&mut self, topic: u32, line: &OutputLine<'_>) -> Result<(), OutputError> {
        let format = self.formats.get(topic as usize).copied().flatten();
        self.line.clear();
        line.write_head(&mut self.line);
        if !write_payload(format.unwrap_or(OutputFormat::Hex), line.payload, &mut self.line)
            && let Some(misfits) = self.misfits.get_mut(topic as usize)
        {
            *misfits += 1;
        }
        self.line.extend_from_slice(b"}\n");
        let written = self.writer.write(&self.line, &mut || ());
        written.map_err(|(action, source)| stream_error(&self.path, action, source))
    }

    /// By handle of the topic: payloads that were not in their format.
    #[must_use]
    pub fn misfits(&self) -> &[u64] {
        &self.misfits
    }

    /// Waits until everything is written. Nothing can follow.
    ///
    /// # Errors
    /// [`OutputError::Stream`].
    pub fn close(&mut self) -> Result<(), OutputError> {
        let closed = self.writer.close();
        closed.map_err(|(action, source)| stream_error(&self.path, action, source))
    }
}

/// Appends the members that say what a payload is; false if it is not in its format.
fn write_payload(format: OutputFormat, payload: &[u8], into: &mut Vec<u8>) -> bool {
    let before = into.len();
    let _ = write!(into, ",\"format\":\"{}\",\"payload\":", format.word());
    let Err(misfit) = format.write(payload, into) else { return true };
    into.truncate(before);
    let _ = write!(into, ",\"format\":\"hex\",\"misfit\":\"{misfit}\",\"payload\":");
    // Any bytes are hexadecimal digits.
    let _ = OutputFormat::Hex.write(payload, into);
    false
}

fn stream_error(file: &Path, action: &'static str, source: io::Error) -> OutputError {
    match io_error(file, action, source) {
        OutputError::Io { file, action, source } => OutputError::Stream { file, action, source },
        other => other,
    }
}

#[derive(Debug)]
enum Destination {
    Standard(Stdout),
    File(File),
}

/// What can only be written to.
#[derive(Debug)]
struct StreamFile {
    sink: Destination,
    /// Whether its reader has left.
    left: bool,
}

impl StorageFile for StreamFile {
    fn bytes(&self) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.left {
            return Ok(());
        }
        let written = match &mut self.sink {
            Destination::Standard(out) => out.write_all(bytes).and_then(|()| out.flush()),
            Destination::File(file) => file.write_all(bytes),
        };
        match written {
            // A reader that has seen enough is no failure; the run goes on.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.left = true;
                Ok(())
            }
            other => other,
        }
    }

    fn truncate(&mut self, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Destination::Standard(out) if !self.left => out.flush(),
            // Nobody relies on this file after a crash of the machine: the log has what it held.
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_engine_abi::ids::AgentId;

    use super::*;

    #[test]
    fn each_topic_has_its_format_and_misfits_are_counted() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let path = dir.path().join("out.jsonl");
        let formats = vec![Some(OutputFormat::U64), None];
        let target = OutputTarget::File(path.clone());
        let mut stream = OutputStream::open(&target, formats).expect("it opens");
        for (topic, payload) in [(0, &5u64.to_le_bytes()[..]), (0, b"abc"), (1, b"{}")] {
            let name = if topic == 0 { "n" } else { "raw" };
            let line = OutputLine {
                tick: 7,
                microstep: 3,
                topic: name,
                from: "a",
                address: AgentId::new(4, 0),
                seq: 12,
                payload,
            };
            stream.line(topic, &line).expect("it is taken");
        }
        stream.close().expect("it is written");
        assert_eq!(stream.misfits(), [1, 0]);
        let text = std::fs::read_to_string(&path).expect("a file");
        let head = r#"{"tick":7,"microstep":3,"topic":"n","from":"a","address":"4.0","seq":12,"#;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("{head}\"format\":\"u64\",\"payload\":5}}"));
        assert!(
            lines[1].ends_with(
                r#""format":"hex","misfit":"it has 3 bytes, not 8","payload":"616263"}"#
            )
        );
        assert!(lines[2].ends_with(
            r#""topic":"raw","from":"a","address":"4.0","seq":12,"format":"hex","payload":"7b7d"}"#
        ));
        for line in lines {
            serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON");
        }
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let target = OutputTarget::File("/nowhere/at/all".into());
        let error = OutputStream::open(&target, Vec::new()).expect_err("there is no such folder");
        assert!(error.to_string().contains("/nowhere/at/all cannot be created"), "{error}");
    }
}
