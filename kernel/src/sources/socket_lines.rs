//! JSON lines over connections to a socket: any number of clients, and acknowledgements for those
//! who ask.
//!
//! ```text
//!  client: {"key":"a","payload":1}     an input, one a line
//!          #acknowledge                asks to be told, from here on
//!  kernel: {"accepted":2,"left_out":0,"durable":1,"next":7}
//! ```
//! `accepted`, `left_out` and `durable` count lines of this connection; `next` is the sequence that
//! the source's next input gets, so that a client that is its only one knows where to go on. Only
//! the newest numbers are sent: who does not read misses none that matter and holds nobody up.
//!
//! A line counts when its end has come. Of a client that is killed in the middle of one nothing
//! enters, not even where what is there could be read.

use std::{
    collections::VecDeque,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use crate::sources::{
    error::LeftOut,
    error::RowProblem,
    jsonl::live_line,
    lines::{line_bytes_max, note_bad},
    lines_from::LinesFrom,
    live::{LiveQueue, PushRefusal},
    port::{FeedReport, FeedState, Port},
    sockets::{Rendezvous, send_some},
};

/// The line that asks for acknowledgements; as JSON it is none.
const ACKNOWLEDGE: &[u8] = b"#acknowledge";
/// Connections at a time.
const CONNECTIONS_MAX: usize = 256;
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes read from a connection before the others have their turn.
const TURN_BYTES: usize = 1 << 20;
/// Ranges of sequences that wait to be durable; a connection with more waits too.
const SPANS_MAX: usize = 1 << 16;

/// What a client that asked was told and is to be told.
#[derive(Debug, Default)]
struct LineAcks {
    /// Sequences of its inputs that are not durable: first and number.
    spans: VecDeque<(u64, u64)>,
    durable: u64,
    /// The last numbers sent.
    said: Option<[u64; 4]>,
    /// A line on its way, of which part may be sent.
    out: Vec<u8>,
}

/// One client.
#[derive(Debug)]
struct LineConnection {
    stream: UnixStream,
    /// What has come and was not used, from `begin` on.
    buffer: Vec<u8>,
    begin: usize,
    /// An input that has no room yet.
    held: Option<(u32, Vec<u8>)>,
    /// The rest of a line that is too long is on its way.
    skipping: bool,
    gone: bool,
    accepted: u64,
    left_out: u64,
    acks: Option<LineAcks>,
}

/// What lines of a source may be.
#[derive(Debug)]
struct LineRules {
    from: LinesFrom,
    has_log: bool,
    line_bytes_max: usize,
}

/// The port of one source.
#[derive(Debug)]
pub(crate) struct SocketLines {
    rendezvous: Rendezvous,
    rules: LineRules,
    connections: Vec<LineConnection>,
    left_out: LeftOut,
    /// Lines of all connections so far.
    lines: u64,
    account: FeedReport,
}

impl SocketLines {
    pub(crate) fn new(
        rendezvous: Rendezvous,
        from: LinesFrom,
        payload_bytes_max: u32,
        has_log: bool,
    ) -> Self {
        let line_bytes_max = line_bytes_max(payload_bytes_max) as usize;
        Self {
            rendezvous,
            rules: LineRules { from, has_log, line_bytes_max },
            connections: Vec::new(),
            left_out: LeftOut::default(),
            lines: 0,
            account: FeedReport::default(),
        }
    }

    /// Uses the lines of a connection that are there.
    fn use_lines(&mut self, at: usize, queue: &mut LiveQueue) {
        let Self { connections, rules, left_out, lines, .. } = self;
        let connection = &mut connections[at];
        loop {
            match connection.next_line(rules, queue) {
                LineStep::Nothing => return,
                LineStep::Used => *lines += 1,
                LineStep::Bad(problem) => {
                    *lines += 1;
                    connection.left_out += 1;
                    note_bad(left_out, queue.id(), *lines, &problem);
                }
            }
        }
    }
}

/// What became of the next line.
enum LineStep {
    /// None is there, or none has room.
    Nothing,
    Used,
    Bad(RowProblem),
}

impl LineConnection {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            begin: 0,
            held: None,
            skipping: false,
            gone: false,
            accepted: 0,
            left_out: 0,
            acks: None,
        }
    }

    /// Whether it waits for a tick or the disk, and is not to be read.
    fn is_blocked(&self) -> bool {
        let behind = self.acks.as_ref().is_some_and(|acks| acks.spans.len() >= SPANS_MAX);
        self.held.is_some() || behind
    }

    /// Reads what has come; how many bytes.
    fn read(&mut self) -> usize {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        let old = self.buffer.len();
        self.buffer.resize(old + READ_BYTES, 0);
        let read = match (&self.stream).read(&mut self.buffer[old..]) {
            Ok(0) => {
                self.gone = true;
                0
            }
            Ok(read) => read,
            Err(error) => {
                let kind = error.kind();
                self.gone |=
                    !matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
                0
            }
        };
        self.buffer.truncate(old + read);
        read
    }

    /// Enters an input; keeps it where it has no room.
    fn enter(&mut self, rules: &LineRules, queue: &mut LiveQueue, stream: u32, payload: Vec<u8>) {
        let seq = queue.next_seq();
        match queue.push(stream, &payload) {
            Ok(_) => {
                self.accepted += 1;
                if let Some(acks) = self.acks.as_mut().filter(|_| rules.has_log) {
                    acks.note(seq);
                }
            }
            Err(PushRefusal::Full { .. }) => self.held = Some((stream, payload)),
            // The host has closed it: what comes is for nobody.
            Err(_) => self.left_out += 1,
        }
    }

    fn next_line(&mut self, rules: &LineRules, queue: &mut LiveQueue) -> LineStep {
        if let Some((stream, payload)) = self.held.take() {
            self.enter(rules, queue, stream, payload);
        }
        if self.is_blocked() {
            return LineStep::Nothing;
        }
        let rest = &self.buffer[self.begin..];
        let Some(len) = rest.iter().position(|byte| *byte == b'\n') else {
            return self.unended(rules);
        };
        let line = rest[..len].trim_ascii().to_vec();
        self.begin += len + 1;
        if std::mem::take(&mut self.skipping) || line.is_empty() {
            return LineStep::Used;
        }
        if line == ACKNOWLEDGE {
            self.acks.get_or_insert_default();
            return LineStep::Used;
        }
        let shape = queue.shape();
        let mut payload = Vec::new();
        let (id, max) = (queue.id(), shape.payload_bytes_max);
        match live_line(id, &rules.from, &shape.keys, max, &line, &mut payload) {
            Ok(stream) => {
                self.enter(rules, queue, stream, payload);
                LineStep::Used
            }
            Err(problem) => LineStep::Bad(problem),
        }
    }

    /// A line whose end has not come: it may be too long already, or its writer gone.
    fn unended(&mut self, rules: &LineRules) -> LineStep {
        let rest = &self.buffer[self.begin..];
        if self.skipping {
            self.begin = self.buffer.len();
        } else if rest.len() > rules.line_bytes_max {
            let problem = format!("is longer than {} bytes; split it", rules.line_bytes_max);
            let problem = RowProblem::new("line", rest, problem);
            (self.skipping, self.begin) = (true, self.buffer.len());
            return LineStep::Bad(problem);
        } else if self.gone && !rest.trim_ascii().is_empty() {
            let problem = RowProblem::new("line", rest, "has no end: its writer is gone");
            self.begin = self.buffer.len();
            return LineStep::Bad(problem);
        }
        LineStep::Nothing
    }

    /// Says how far it is, if that is asked and something is new.
    fn acknowledge(&mut self, durable: u64, next: u64) {
        let Some(acks) = &mut self.acks else { return };
        acks.advance(durable);
        let now = [self.accepted, self.left_out, acks.durable, next];
        if acks.out.is_empty() && acks.said != Some(now) {
            acks.said = Some(now);
            let [accepted, left_out, durable, next] = now;
            acks.out = format!(
                "{{\"accepted\":{accepted},\"left_out\":{left_out},\"durable\":{durable},\
                 \"next\":{next}}}\n"
            )
            .into_bytes();
        }
        if !acks.out.is_empty()
            && let Ok(sent) = send_some(&self.stream, &acks.out)
        {
            acks.out.drain(..sent);
        }
    }
}

impl LineAcks {
    /// An input has this sequence.
    fn note(&mut self, seq: u64) {
        match self.spans.back_mut() {
            Some((first, count)) if *first + *count == seq => *count += 1,
            _ => self.spans.push_back((seq, 1)),
        }
    }

    /// Inputs before this sequence are durable.
    fn advance(&mut self, durable: u64) {
        while let Some((first, count)) = self.spans.front_mut() {
            let now = durable.saturating_sub(*first).min(*count);
            self.durable += now;
            (*first, *count) = (*first + now, *count - now);
            if *count > 0 {
                return;
            }
            self.spans.pop_front();
        }
    }
}

impl Port for SocketLines {
    fn take(&mut self, queue: &mut LiveQueue) {
        for at in 0..self.connections.len() {
            if self.connections[at].held.is_some() {
                self.use_lines(at, queue);
            }
        }
    }

    fn serve(&mut self, queue: &mut LiveQueue) {
        for stream in self.rendezvous.accept() {
            if self.connections.len() < CONNECTIONS_MAX && !queue.is_closed() {
                self.account.connections += 1;
                self.connections.push(LineConnection::new(stream));
            } else {
                self.account.refused += 1;
            }
        }
        for at in 0..self.connections.len() {
            let mut bytes = 0;
            self.use_lines(at, queue);
            while bytes < TURN_BYTES && !self.connections[at].is_blocked() {
                let read = self.connections[at].read();
                self.use_lines(at, queue);
                if read == 0 {
                    break;
                }
                bytes += read;
            }
        }
        self.connections.retain(|connection| !connection.gone || connection.is_blocked());
    }

    fn acknowledge(&mut self, accepted: u64, durable: u64) {
        self.connections.iter_mut().for_each(|one| one.acknowledge(durable, accepted));
    }

    fn end(&mut self, accepted: u64, durable: u64) {
        self.acknowledge(accepted, durable);
        self.connections.clear();
    }

    fn begin_sleep(&mut self) -> bool {
        // Sockets wake by themselves.
        false
    }

    fn end_sleep(&mut self) {}

    fn sockets<'p>(&'p self, into: &mut Vec<BorrowedFd<'p>>) {
        into.push(self.rendezvous.as_fd());
        let read = self.connections.iter().filter(|connection| !connection.is_blocked());
        into.extend(read.map(|connection| connection.stream.as_fd()));
    }

    fn state(&self) -> FeedState {
        match self.connections.as_slice() {
            [] if self.account.connections > 0 => FeedState::Gone,
            [] => FeedState::Awaited,
            some if some.iter().any(LineConnection::is_blocked) => FeedState::Lagging,
            _ => FeedState::Connected,
        }
    }

    fn account(&self) -> &FeedReport {
        &self.account
    }

    fn left_out(&self) -> u64 {
        self.left_out.count
    }
}
