//! JSON lines that come while the run goes on: from standard input, a pipe with a name, or a file.
//!
//! ```text
//! reader thread: line -> key and payload --channel, bounded--> run: receive() -> live.rs -> a tick
//! ```
//! A thread for each such source, because reading may block for ever. It is left alone when the run
//! ends: a blocked read cannot be ended, and the command's process ends with the run. The channel
//! is bounded, so a run that is slower than its writers makes them wait.
//!
//! A line that cannot be used is left out and counted with its number; it does not end the run. The
//! end of standard input or of a file closes the source. The end of a pipe is that of its writer:
//! the next one is waited for.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Stdin},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    time::Duration,
};

use crate::sources::{
    error::{LeftOut, RowProblem},
    jsonl::live_line,
    lines_from::{LinesFrom, LiveWay},
    live::{LiveQueue, PushRefusal},
};

/// Lines on their way from the readers.
const CHANNEL_LINES: usize = 1024;
/// Bytes of a line beside those that its payload takes as text.
const LINE_BYTES_BESIDE: u64 = 64 << 10;
/// Text that a byte of a payload takes at most: an escape of JSON.
const TEXT_BYTES_OF_ONE: u64 = 6;

/// Bytes of the longest line whose payload can have `payload_bytes_max`.
pub(crate) fn line_bytes_max(payload_bytes_max: u32) -> u64 {
    u64::from(payload_bytes_max) * TEXT_BYTES_OF_ONE + LINE_BYTES_BESIDE
}

/// Counts a line that is left out, and says the first.
pub(crate) fn note_bad(left_out: &mut LeftOut, id: &str, line: u64, problem: &RowProblem) {
    let RowProblem { column, value, problem } = problem;
    left_out.count += 1;
    if left_out.count == 1 {
        left_out.first = format!("line {line}, `{column}`: `{value}` {problem}");
        tracing::warn!("source `{id}`: {}; such lines are left out and counted", left_out.first);
    }
}

/// Wakes a run that sleeps elsewhere than at the channel.
pub(crate) type WakeRun = Arc<dyn Fn() + Send + Sync>;

/// What a reader sends.
enum Arrived {
    Input { queue: usize, stream: u32, payload: Vec<u8> },
    Bad { queue: usize, line: u64, problem: RowProblem },
    Closed { queue: usize },
}

/// The readers of a run's live sources, seen from the run.
pub(crate) struct LiveLines {
    receiver: Receiver<Arrived>,
    /// What has arrived and has no room yet, or was waited for.
    held: Option<Arrived>,
    /// By queue.
    left_out: Vec<LeftOut>,
}

impl std::fmt::Debug for LiveLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveLines").field("left_out", &self.left_out).finish_non_exhaustive()
    }
}

impl LiveLines {
    /// Starts a reader for each of `queues` that has lines; none if none has. With an alarm they
    /// wake who sleeps elsewhere than here.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn start(queues: &[LiveQueue], alarm: Option<WakeRun>) -> io::Result<Option<Self>> {
        let (sender, receiver) = sync_channel(CHANNEL_LINES);
        let mut any = false;
        for (queue, live) in queues.iter().enumerate() {
            let shape = live.shape();
            let LiveWay::Lines(from) = shape.way.clone() else { continue };
            any = true;
            let reader = LineSource {
                queue,
                id: live.id().to_owned(),
                keys: shape.keys.clone(),
                payload_bytes_max: shape.payload_bytes_max,
                line_bytes_max: line_bytes_max(shape.payload_bytes_max),
                alarm: alarm.clone(),
                sender: sender.clone(),
                from,
                line: 0,
            };
            let builder = std::thread::Builder::new().name("we-lines".to_owned());
            builder.spawn(move || reader.run())?;
        }
        let left_out = vec![LeftOut::default(); queues.len()];
        Ok(any.then_some(Self { receiver, held: None, left_out }))
    }

    /// Takes what has arrived into `queues`, as far as there is room.
    pub(crate) fn receive(&mut self, queues: &mut [LiveQueue]) {
        loop {
            let arrived = match self.held.take() {
                Some(arrived) => arrived,
                None => match self.receiver.try_recv() {
                    Ok(arrived) => arrived,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
                },
            };
            if let Some(arrived) = self.take(arrived, queues) {
                self.held = Some(arrived);
                return;
            }
        }
    }

    /// Takes one; gives it back if it has no room.
    fn take(&mut self, arrived: Arrived, queues: &mut [LiveQueue]) -> Option<Arrived> {
        match arrived {
            Arrived::Input { queue, stream, payload } => {
                // Its stream and length were checked by its reader.
                if let Err(PushRefusal::Full { .. }) = queues[queue].push(stream, &payload) {
                    return Some(Arrived::Input { queue, stream, payload });
                }
            }
            Arrived::Bad { queue, line, problem } => {
                note_bad(&mut self.left_out[queue], queues[queue].id(), line, &problem);
            }
            Arrived::Closed { queue } => queues[queue].close(),
        }
        None
    }

    /// Waits until something arrives, at most for `time`.
    pub(crate) fn wait(&mut self, time: Duration) {
        if self.held.is_none() {
            // All readers gone is like nothing coming any more: their sources are closed.
            self.held = self.receiver.recv_timeout(time).ok();
        }
    }

    /// Whether something has arrived; takes it out of the channel.
    pub(crate) fn has_arrived(&mut self) -> bool {
        self.held = self.held.take().or_else(|| self.receiver.try_recv().ok());
        self.held.is_some()
    }

    /// Whether what has arrived waits for room.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.held.is_some()
    }

    /// Lines that were left out, of the queue at this position.
    pub(crate) fn left_out(&self, queue: usize) -> u64 {
        self.left_out.get(queue).map_or(0, |left_out| left_out.count)
    }
}

/// The reader of one source, on its thread.
struct LineSource {
    queue: usize,
    id: String,
    keys: BTreeMap<String, u32>,
    payload_bytes_max: u32,
    line_bytes_max: u64,
    sender: SyncSender<Arrived>,
    from: LinesFrom,
    alarm: Option<WakeRun>,
    /// Number of the last line.
    line: u64,
}

/// Nobody listens any more: the run is over.
struct NobodyListens;

impl LineSource {
    fn run(mut self) {
        // Who does not listen needs no end.
        let _ = self.read_all().and_then(|()| self.send(Arrived::Closed { queue: self.queue }));
    }

    fn read_all(&mut self) -> Result<(), NobodyListens> {
        let Some(file) = self.from.file.clone() else {
            return self.read(Stdin::lock(&io::stdin()));
        };
        loop {
            // Of a pipe this waits for a writer.
            match File::open(&file) {
                Ok(opened) => self.read(BufReader::new(opened))?,
                Err(error) => return self.unreadable(&error),
            }
            if !is_pipe(&file) {
                return Ok(());
            }
        }
    }

    /// Reads lines to the end.
    fn read(&mut self, mut reader: impl BufRead) -> Result<(), NobodyListens> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let limit = self.line_bytes_max;
            match Read::take(&mut reader, limit).read_until(b'\n', &mut line) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => return self.unreadable(&error),
            }
            self.line += 1;
            if line.len() as u64 >= limit && !line.ends_with(b"\n") {
                let problem = format!("is longer than {limit} bytes; split it");
                self.bad(RowProblem::new("line", &line, problem))?;
                if let Err(error) = skip_line(&mut reader) {
                    return self.unreadable(&error);
                }
                continue;
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let mut payload = Vec::new();
            let Self { id, from, keys, payload_bytes_max, .. } = &*self;
            match live_line(id, from, keys, *payload_bytes_max, text, &mut payload) {
                Ok(stream) => self.send(Arrived::Input { queue: self.queue, stream, payload })?,
                Err(problem) => self.bad(problem)?,
            }
        }
    }

    fn bad(&self, problem: RowProblem) -> Result<(), NobodyListens> {
        self.send(Arrived::Bad { queue: self.queue, line: self.line, problem })
    }

    fn unreadable(&self, error: &io::Error) -> Result<(), NobodyListens> {
        let problem = format!("cannot be read: {error}; the source is closed");
        self.bad(RowProblem::new("file", self.name().as_bytes(), problem))
    }

    fn name(&self) -> String {
        let file = self.from.file.as_ref();
        file.map_or_else(|| "-".to_owned(), |file| file.display().to_string())
    }

    fn send(&self, arrived: Arrived) -> Result<(), NobodyListens> {
        self.sender.send(arrived).map_err(|_| NobodyListens)?;
        if let Some(alarm) = &self.alarm {
            alarm();
        }
        Ok(())
    }
}

/// Passes over the rest of a line.
fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = from.fill_buf()?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (used, over) =
            (end.map_or(bytes.len(), |at| at + 1), end.is_some() || bytes.is_empty());
        from.consume(used);
        if over {
            return Ok(());
        }
    }
}

#[cfg(unix)]
fn is_pipe(file: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}
