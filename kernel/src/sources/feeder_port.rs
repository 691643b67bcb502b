//! A source fed by another process through shared memory: one feeder at a time, every byte of it
//! distrusted.
//!
//! ```text
//!  socket: FeedRequest -> FeedHello and memory    (abi/src/feed.rs)
//!  memory: ring of records -> take() -> live.rs   (shm/src/feed.rs)
//!          acknowledgements <- acknowledge()
//! ```
//! A feeder that ends leaves what it has published in the ring, and that is taken before the next
//! one is let in: so the next one hears the sequence that really is next. What is invalid ends
//! the connection with its reason, and nothing else.

use std::{
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use bytemuck::{bytes_of, bytes_of_mut};
use wasm_engine_abi::feed::{
    FEED_END, FEED_MAGIC, FEED_SEQ_MAX, FEED_VERSION, FeedHello, FeedRefusal, FeedRequest,
};
use wasm_engine_shm::{
    bytes::{CAPACITY_MAX, CorruptRing, UNIT},
    feed::FeedOwner,
};

use crate::{
    clock,
    sources::{
        feed_run::FeedRun,
        live::{LiveQueue, PushRefusal},
        port::{FeedReport, FeedState, Port},
        sockets::{Rendezvous, send_file, send_some, wake},
    },
};

/// Bytes of a feeder's ring where payloads do not ask for more.
const RING_BYTES_MIN: usize = 64 << 10;
const RING_BYTES: usize = 4 << 20;
/// Connections that have not said what they want.
const PENDING_MAX: usize = 8;
/// How long they may take.
const PENDING_NS: u64 = 5_000_000_000;
/// Reads from the socket of a feeder at a time, which are there to wake and nothing else.
const READS_MAX: u32 = 4;

/// What a feeder did wrong.
#[derive(Debug, thiserror::Error)]
enum FeederFault {
    #[error("{0}")]
    Ring(#[from] CorruptRing),
    #[error("a record names stream {0}, which the source does not have")]
    Stream(u32),
    #[error("a record has sequence {0}, which is beyond all there can be")]
    Sequence(u64),
    #[error("a record has {0} bytes, more than source.payload_bytes_max")]
    TooLarge(usize),
    #[error("it speaks version {0} of the protocol, and this kernel {FEED_VERSION}")]
    Version(u32),
    #[error("it did not begin as a feeder does")]
    Request,
    #[error("memory for it cannot be made or handed over: {0}")]
    Memory(String),
}

/// A connection whose request has not come whole.
#[derive(Debug)]
struct PendingFeeder {
    stream: UnixStream,
    request: FeedRequest,
    have: usize,
    since_ns: u64,
}

/// The feeder that is connected.
#[derive(Debug)]
struct FeederLink {
    stream: UnixStream,
    memory: FeedOwner,
    /// A record that has no room yet.
    held: Option<(u32, u64, Vec<u8>)>,
    /// Its end of the socket is closed.
    gone: bool,
}

/// The port of one source.
#[derive(Debug)]
pub(crate) struct FeederPort {
    rendezvous: Rendezvous,
    pending: Vec<PendingFeeder>,
    link: Option<FeederLink>,
    run: FeedRun,
    /// Each key and a line end, in the order of the streams.
    keys: Vec<u8>,
    streams: u32,
    payload_bytes_max: u32,
    ring_bytes: usize,
    durable: u64,
    account: FeedReport,
}

impl FeederPort {
    pub(crate) fn new(rendezvous: Rendezvous, queue: &LiveQueue, run: FeedRun) -> Self {
        let shape = queue.shape();
        let mut keys: Vec<_> = shape.keys.iter().collect();
        keys.sort_by_key(|(_, stream)| **stream);
        let text = keys.iter().flat_map(|(key, _)| [key.as_bytes(), b"\n"].concat()).collect();
        // A record takes half a ring at most.
        let least = 2 * (shape.payload_bytes_max as usize + 2 * UNIT);
        let wanted = (shape.queue_bytes as usize).clamp(RING_BYTES_MIN, RING_BYTES);
        Self {
            rendezvous,
            pending: Vec::new(),
            link: None,
            run,
            keys: text,
            streams: keys.len() as u32,
            payload_bytes_max: shape.payload_bytes_max,
            ring_bytes: wanted.max(least).next_power_of_two().min(CAPACITY_MAX),
            durable: 0,
            account: FeedReport::default(),
        }
    }

    /// What one connection did wrong is said once, and counted always.
    fn fault(&mut self, queue: &LiveQueue, fault: &FeederFault) {
        self.account.refused += 1;
        if self.account.problem.is_none() {
            let problem = fault.to_string();
            tracing::warn!(
                "source `{}`: its feeder is disconnected: {problem}; such are counted",
                queue.id()
            );
            self.account.problem = Some(problem);
        }
    }

    /// Reads what a connection has sent of its request.
    fn hear(&mut self) {
        let now_ns = clock::now_ns();
        self.pending.retain_mut(|pending| {
            let rest = &mut bytes_of_mut(&mut pending.request)[pending.have..];
            if rest.is_empty() {
                return true;
            }
            match (&pending.stream).read(rest) {
                Ok(0) => false,
                Ok(read) => {
                    pending.have += read;
                    true
                }
                Err(error) if would_wait(&error) => now_ns < pending.since_ns + PENDING_NS,
                Err(_) => false,
            }
        });
    }

    /// Lets in or refuses whose request is there.
    fn answer(&mut self, queue: &LiveQueue) {
        let mut at = 0;
        while let Some(pending) = self.pending.get(at) {
            let draining = self.link.as_ref().is_some_and(|link| link.gone);
            if pending.have < size_of::<FeedRequest>() || draining {
                at += 1;
                continue;
            }
            let PendingFeeder { stream, request, .. } = self.pending.swap_remove(at);
            if request.magic != FEED_MAGIC {
                self.fault(queue, &FeederFault::Request);
            } else if request.version != FEED_VERSION {
                refuse(&stream, FeedRefusal::Version);
                self.fault(queue, &FeederFault::Version(request.version));
            } else if queue.is_closed() {
                refuse(&stream, FeedRefusal::Closed);
            } else if self.link.is_some() {
                refuse(&stream, FeedRefusal::Busy);
                self.account.refused += 1;
            } else {
                self.welcome(queue, stream);
            }
        }
    }

    fn welcome(&mut self, queue: &LiveQueue, stream: UnixStream) {
        let mut memory = match FeedOwner::create(queue.id(), self.ring_bytes, &self.keys) {
            Ok(memory) => memory,
            Err(error) => {
                refuse(&stream, FeedRefusal::Memory);
                return self.fault(queue, &FeederFault::Memory(error.to_string()));
            }
        };
        memory.acks.publish(queue.next_seq(), self.durable);
        let hello = FeedHello {
            magic: FEED_MAGIC,
            version: FEED_VERSION,
            code: 0,
            run_id: self.run.run_id,
            ring_bytes: self.ring_bytes as u64,
            keys_bytes: self.keys.len() as u64,
            next_seq: queue.next_seq(),
            durable_seq: self.durable,
            payload_bytes_max: self.payload_bytes_max,
            has_log: u32::from(self.run.has_log),
        };
        let handed = match memory.file() {
            Some(file) => send_file(&stream, bytes_of(&hello), file),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        match handed {
            Ok(()) => {
                self.account.connections += 1;
                self.link = Some(FeederLink { stream, memory, held: None, gone: false });
            }
            // It went before it was let in.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => self.fault(queue, &FeederFault::Memory(error.to_string())),
        }
    }

    /// Takes records until there is none or no room; whether the link goes on.
    fn drain(&mut self, queue: &mut LiveQueue) -> Result<(), FeederFault> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let bounds = (self.streams, self.payload_bytes_max);
        let repeated = &mut self.account.repeated;
        if let Some((tag, seq, payload)) = link.held.take()
            && !enter(queue, bounds, repeated, (tag, seq, &payload))?
        {
            link.held = Some((tag, seq, payload));
            return Ok(());
        }
        let mut held = None;
        let mut any = false;
        while held.is_none()
            && let Some(record) = link.memory.ring.next()?
        {
            any = true;
            if !enter(queue, bounds, repeated, (record.tag, record.aux, &record))? {
                held = Some((record.tag, record.aux, record.to_vec()));
            }
        }
        link.held = held;
        if any {
            link.memory.ring.release();
            if link.memory.wake.finds_sleeper() {
                wake(&link.stream);
            }
        }
        Ok(())
    }
}

/// Takes one record; false if it has no room.
fn enter(
    queue: &mut LiveQueue,
    (streams, payload_bytes_max): (u32, u32),
    repeated: &mut u64,
    (tag, seq, payload): (u32, u64, &[u8]),
) -> Result<bool, FeederFault> {
    if seq >= FEED_SEQ_MAX {
        return Err(FeederFault::Sequence(seq));
    }
    if tag == FEED_END {
        queue.skip_to(seq);
        queue.close();
        return Ok(true);
    }
    if tag >= streams {
        return Err(FeederFault::Stream(tag));
    }
    if payload.len() > payload_bytes_max as usize {
        return Err(FeederFault::TooLarge(payload.len()));
    }
    if seq < queue.next_seq() {
        *repeated += 1;
        return Ok(true);
    }
    queue.skip_to(seq);
    // Its stream and length were checked; behind the end nothing enters.
    Ok(!matches!(queue.push(tag, payload), Err(PushRefusal::Full { .. })))
}

fn refuse(stream: &UnixStream, refusal: FeedRefusal) {
    // Who does not hear it sees the end.
    let _ = send_some(stream, bytes_of(&FeedHello::refusing(refusal)));
}

fn would_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Reads what woke us; whether the other end is open.
fn is_open(mut stream: &UnixStream) -> bool {
    let mut bytes = [0; 64];
    for _ in 0..READS_MAX {
        match stream.read(&mut bytes) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return would_wait(&error),
        }
    }
    true
}

impl Port for FeederPort {
    fn take(&mut self, queue: &mut LiveQueue) {
        if let Err(fault) = self.drain(queue) {
            self.link = None;
            self.fault(queue, &fault);
        }
        let drained = |link: &FeederLink| link.held.is_none() && !link.memory.ring.has_next();
        if self.link.as_ref().is_some_and(|link| link.gone && drained(link)) {
            self.link = None;
            self.answer(queue);
        }
    }

    fn serve(&mut self, queue: &mut LiveQueue) {
        if let Some(link) = &mut self.link {
            link.gone |= !is_open(&link.stream);
        }
        self.take(queue);
        for stream in self.rendezvous.accept() {
            // One that has no place is turned away, and counted like one that is refused.
            if self.pending.len() < PENDING_MAX {
                let (request, since_ns) = (bytemuck::Zeroable::zeroed(), clock::now_ns());
                self.pending.push(PendingFeeder { stream, request, have: 0, since_ns });
            } else {
                self.account.refused += 1;
            }
        }
        self.hear();
        self.answer(queue);
    }

    fn acknowledge(&mut self, accepted: u64, durable: u64) {
        self.durable = durable;
        if let Some(link) = &mut self.link
            && link.memory.acks.publish(accepted, durable)
            && link.memory.wake.finds_sleeper()
        {
            wake(&link.stream);
        }
    }

    fn end(&mut self, accepted: u64, durable: u64) {
        if let Some(mut link) = self.link.take() {
            link.memory.acks.publish(accepted, durable);
            link.memory.acks.end();
        }
        self.pending.clear();
    }

    fn begin_sleep(&mut self) -> bool {
        let Some(link) = &mut self.link else { return false };
        let FeedOwner { ring, sleep, .. } = &mut link.memory;
        // What waits for room waits for a tick.
        link.held.is_none() && sleep.begin_sleep(|| ring.has_next())
    }

    fn end_sleep(&mut self) {
        if let Some(link) = &mut self.link {
            link.memory.sleep.end_sleep();
        }
    }

    fn sockets<'p>(&'p self, into: &mut Vec<BorrowedFd<'p>>) {
        into.push(self.rendezvous.as_fd());
        let asks = |pending: &&PendingFeeder| pending.have < size_of::<FeedRequest>();
        into.extend(self.pending.iter().filter(asks).map(|pending| pending.stream.as_fd()));
        let link = self.link.iter().filter(|link| !link.gone);
        into.extend(link.map(|link| link.stream.as_fd()));
    }

    fn state(&self) -> FeedState {
        match &self.link {
            Some(link) if link.held.is_some() => FeedState::Lagging,
            Some(_) => FeedState::Connected,
            None if self.account.connections > 0 => FeedState::Gone,
            None => FeedState::Awaited,
        }
    }

    fn account(&self) -> &FeedReport {
        &self.account
    }
}
