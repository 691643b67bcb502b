//! All that comes from outside the process while a run goes on: lines that threads read, and what
//! other processes send over sockets and through shared memory.
//!
//! ```text
//! lines.rs (threads)  \\
//! socket_lines.rs      > receive() -> live.rs -> a tick -> log -> durable -> acknowledge
//! feeder_port.rs      /
//! ```
//! What is in memory already is taken at each poll of the run; sockets cost a system call and are
//! looked after once a millisecond, and when the run has nothing else to do. A run that sleeps does
//! so at all sockets together, and whoever brings something wakes it there.

use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

use wasm_engine_abi::Tick;

#[cfg(unix)]
use crate::sources::{
    alarm::AlarmPost,
    feeder_port::FeederPort,
    socket_lines::SocketLines,
    sockets::{self, Rendezvous},
};
use crate::{
    clock,
    sources::{
        lines::LiveLines,
        lines_from::LiveWay,
        live::LiveQueue,
        port::{DurableSeqs, FeedCounts, FeedReport, FeedState, ListenError, Port},
    },
};

pub(crate) use crate::sources::feed_run::FeedRun;

/// Time between two looks at the sockets while ticks are executed.
const SERVE_NS: u64 = 1_000_000;
/// Sleeps while something is to become durable, which wakes nobody.
const RECHECK_MIN: Duration = Duration::from_micros(50);
const RECHECK_MAX: Duration = Duration::from_millis(1);

/// The port of a live source.
#[derive(Debug)]
struct SourcePort {
    /// Position of its queue.
    queue: usize,
    port: Box<dyn Port>,
    seqs: DurableSeqs,
}

/// All of a run.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    lines: Option<LiveLines>,
    ports: Vec<SourcePort>,
    #[cfg(unix)]
    post: Option<AlarmPost>,
    /// When the sockets were looked at.
    served_ns: u64,
    recheck: Duration,
}

impl Arrivals {
    /// Listens for those of `queues` that are fed over sockets; `name` is the kernel's, if it has
    /// one. The queues stand where the log of a resumed run ends.
    ///
    /// # Errors
    /// [`ListenError`].
    pub(crate) fn listen(
        &mut self,
        queues: &[LiveQueue],
        name: Option<&str>,
        run: FeedRun,
    ) -> Result<(), ListenError> {
        for (at, queue) in queues.iter().enumerate() {
            let Some(location) = location_of(queue, name)? else { continue };
            // What a log holds was synced when it was resumed.
            let seqs = DurableSeqs::new(if run.has_log { queue.next_seq() } else { 0 });
            let mut port = open(queue, &location, run)?;
            port.acknowledge(queue.next_seq(), seqs.durable());
            self.ports.push(SourcePort { queue: at, port, seqs });
        }
        Ok(())
    }

    /// Starts the threads that read lines.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn read_lines(&mut self, queues: &[LiveQueue]) -> io::Result<()> {
        #[cfg(unix)]
        {
            let mut alarm = None;
            if !self.ports.is_empty() {
                let (post, wake) = AlarmPost::new()?;
                (self.post, alarm) = (Some(post), Some(wake));
            }
            self.lines = LiveLines::start(queues, alarm)?;
        }
        #[cfg(not(unix))]
        {
            self.lines = LiveLines::start(queues, None)?;
        }
        Ok(())
    }

    /// Takes what has arrived into `queues`, as far as there is room; ticks up to `durable` are on
    /// disk.
    pub(crate) fn receive(&mut self, queues: &mut [LiveQueue], durable: Option<Tick>) {
        if let Some(lines) = &mut self.lines {
            lines.receive(queues);
        }
        if self.ports.is_empty() {
            return;
        }
        let now_ns = clock::now_ns();
        let serve = now_ns >= self.served_ns + SERVE_NS;
        if serve {
            self.served_ns = now_ns;
        }
        for SourcePort { queue, port, seqs } in &mut self.ports {
            let queue = &mut queues[*queue];
            if serve {
                port.serve(queue)
            } else {
                port.take(queue)
            }
            let before = seqs.durable();
            port.acknowledge(queue.next_seq(), seqs.advance(durable));
            if seqs.durable() > before {
                self.recheck = RECHECK_MIN;
            }
        }
    }

    /// Inputs of `queues` have entered `tick`.
    pub(crate) fn entered(&mut self, tick: Tick, queues: &[LiveQueue]) {
        for SourcePort { queue, seqs, .. } in &mut self.ports {
            seqs.note(tick, queues[*queue].entered());
        }
    }

    /// Whether something may still come into `queues`.
    pub(crate) fn is_awaited(&self, queues: &[LiveQueue]) -> bool {
        let any = self.lines.is_some() || !self.ports.is_empty();
        any && queues.iter().any(|queue| !queue.is_closed() && !queue.shape().is_pushed())
    }

    /// Waits until something arrives, at most for `time`; `has_log` where inputs become durable.
    pub(crate) fn wait(&mut self, time: Duration, has_log: bool) {
        if self.ports.is_empty() {
            if let Some(lines) = &mut self.lines {
                lines.wait(time);
            }
            return;
        }
        // The next look at the sockets is due when it wakes.
        self.served_ns = 0;
        let behind = has_log && self.ports.iter().any(|port| port.seqs.is_behind());
        if behind {
            self.recheck = self.recheck.clamp(RECHECK_MIN, RECHECK_MAX / 2) * 2;
        }
        let time = if behind { time.min(self.recheck) } else { time };
        #[cfg(unix)]
        self.sleep(time);
        #[cfg(not(unix))]
        let _ = time;
    }

    #[cfg(unix)]
    fn sleep(&mut self, time: Duration) {
        let Self { lines, ports, post, .. } = self;
        let mut found = false;
        for one in ports.iter_mut() {
            found |= one.port.begin_sleep();
        }
        let full = lines.as_ref().is_some_and(LiveLines::waits_for_room);
        if let (Some(lines), Some(post), false) = (lines, post.as_mut(), full) {
            found |= post.begin_sleep(|| lines.has_arrived());
        }
        if !found {
            let mut all = Vec::new();
            ports.iter().for_each(|one| one.port.sockets(&mut all));
            all.extend(post.as_ref().map(std::os::fd::AsFd::as_fd));
            sockets::wait(&all, time);
        }
        ports.iter_mut().for_each(|one| one.port.end_sleep());
        if let Some(post) = post {
            post.end_sleep();
        }
    }

    /// Tells all who feed that the run has ended, and how much of theirs is durable.
    pub(crate) fn end(&mut self, queues: &[LiveQueue], durable: Option<Tick>) {
        for SourcePort { queue, port, seqs } in &mut self.ports {
            port.end(queues[*queue].next_seq(), seqs.advance(durable));
        }
    }

    /// How the sources stand that are fed over sockets.
    pub(crate) fn reports(&self, queues: &[LiveQueue]) -> BTreeMap<String, FeedReport> {
        let report = |one: &SourcePort| {
            let queue = &queues[one.queue];
            let account = one.port.account().clone();
            let report = FeedReport {
                state: if queue.is_closed() { FeedState::Closed } else { one.port.state() },
                accepted: queue.next_seq(),
                durable: one.seqs.durable(),
                gap: queue.gap(),
                ..account
            };
            (queue.id().to_owned(), report)
        };
        self.ports.iter().map(report).collect()
    }

    /// The same in numbers, without the gaps.
    pub(crate) fn counts(&self) -> FeedCounts {
        let mut counts = FeedCounts::default();
        for one in &self.ports {
            counts.add(one.port.state(), one.port.account().refused);
        }
        counts
    }

    /// Lines that were left out, of the queue at this position.
    pub(crate) fn left_out(&self, queue: usize) -> u64 {
        let port = self.ports.iter().find(|one| one.queue == queue);
        port.map_or(0, |one| one.port.left_out())
            + self.lines.as_ref().map_or(0, |lines| lines.left_out(queue))
    }
}

/// Where a source listens; none if it does not.
fn location_of(queue: &LiveQueue, name: Option<&str>) -> Result<Option<PathBuf>, ListenError> {
    let id = || queue.id().to_owned();
    match &queue.shape().way {
        LiveWay::Pushed | LiveWay::Lines(_) => Ok(None),
        LiveWay::Socket(path, _) | LiveWay::Feeder(Some(path)) => Ok(Some(path.clone())),
        LiveWay::Feeder(None) => {
            let name = name.ok_or_else(|| ListenError::Nameless { id: id() })?;
            let location = wasm_engine_shm::rendezvous::feed_socket(name, queue.id());
            location.map(Some).map_err(|source| ListenError::Location { id: id(), source })
        }
    }
}

#[cfg(unix)]
fn open(
    queue: &LiveQueue,
    location: &std::path::Path,
    run: FeedRun,
) -> Result<Box<dyn Port>, ListenError> {
    let rendezvous = Rendezvous::open(queue.id(), location)?;
    Ok(match &queue.shape().way {
        LiveWay::Socket(_, from) => {
            let max = queue.shape().payload_bytes_max;
            Box::new(SocketLines::new(rendezvous, from.clone(), max, run.has_log))
        }
        _ => Box::new(FeederPort::new(rendezvous, queue, run)),
    })
}

#[cfg(not(unix))]
fn open(
    queue: &LiveQueue,
    location: &std::path::Path,
    _: FeedRun,
) -> Result<Box<dyn Port>, ListenError> {
    Err(ListenError::socket(queue.id(), location)(io::ErrorKind::Unsupported.into()))
}
