//! Feeds a source of a running kernel from another process: through shared memory, numbered, and
//! acknowledged when it is on the disk.
//!
//! ```text
//! Feeder::connect("kernel", "source") -> next_seq(): where to go on in your data
//!   stream("key") -> push(stream, payload) -> sequence    durable(), wait_durable(sequence, ..)
//!   skip(n): n inputs are lost                             finish(..): no input comes any more
//! ```
//! What is not durable is kept here, up to [`FeederOptions::window_bytes`], and sent again to a
//! kernel that was killed and goes on from its log: nothing is lost or doubled. A feeder that was
//! killed itself learns from [`Feeder::next_seq`] which inputs the kernel has. A kernel without a
//! log makes nothing durable; then an input is kept until it was accepted.
//!
//! What this does not do: it starts no thread, and it cannot outlive its process. Unix only, and
//! kernels that share memory run on Linux.
#![cfg(unix)]

mod error;
mod link;
mod window;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use wasm_engine_abi::feed::{FEED_END, FEED_SEQ_MAX};
use wasm_engine_shm::{bytes::ReserveError, rendezvous::feed_socket};

pub use self::error::FeedError;
use self::{
    link::{FeedKernel, Link},
    window::ResendWindow,
};

/// Longest wait at the socket before the time is looked at.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// Pauses between attempts to connect again.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// How a feeder behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FeederOptions {
    /// Bytes of inputs that are kept until they are durable; a push waits where there are more.
    /// Default 64 MiB.
    pub window_bytes: usize,
    /// How long a kernel is waited for, at first and whenever it is gone. Default 30 s.
    pub patience: Duration,
}

impl Default for FeederOptions {
    fn default() -> Self {
        Self { window_bytes: 64 << 20, patience: Duration::from_secs(30) }
    }
}

/// A feeder of one source.
#[derive(Debug)]
pub struct Feeder {
    path: PathBuf,
    options: FeederOptions,
    link: Option<Link>,
    kernel: FeedKernel,
    window: ResendWindow,
    /// Sequence of the first record that is not in the ring.
    sent: u64,
    durable: u64,
    accepted: u64,
    /// The end was pushed.
    ending: bool,
}

/// The time, which decides only how long is waited.
#[expect(clippy::disallowed_methods, reason = "a feeder's patience is measured in time")]
fn now() -> Instant {
    Instant::now()
}

impl Feeder {
    /// Connects to source `source` of the kernel called `kernel`, with the default options.
    ///
    /// # Errors
    /// [`FeedError`].
    pub fn connect(kernel: &str, source: &str) -> Result<Self, FeedError> {
        Self::connect_at(&feed_socket(kernel, source)?, FeederOptions::default())
    }

    /// Connects at a path: `source.socket` of the kernel's configuration.
    ///
    /// # Errors
    /// [`FeedError`].
    pub fn connect_at(path: &Path, options: FeederOptions) -> Result<Self, FeedError> {
        let mut feeder = Self {
            path: path.to_owned(),
            options,
            link: None,
            kernel: FeedKernel::default(),
            window: ResendWindow::default(),
            sent: 0,
            durable: 0,
            accepted: 0,
            ending: false,
        };
        let (link, kernel) = feeder.open(now() + options.patience)?;
        feeder.window = ResendWindow::new(kernel.next_seq);
        feeder.sent = kernel.next_seq;
        (feeder.durable, feeder.accepted) = (kernel.durable_seq, kernel.next_seq);
        (feeder.link, feeder.kernel) = (Some(link), kernel);
        Ok(feeder)
    }

    /// Keys of the source, by stream.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.kernel.keys
    }

    /// The stream of a key; of a source without keys that is the source's id.
    ///
    /// # Errors
    /// [`FeedError::UnknownKey`].
    pub fn stream(&self, key: &str) -> Result<u32, FeedError> {
        let at = self.kernel.keys.iter().position(|known| known == key);
        let stream = at.and_then(|at| u32::try_from(at).ok());
        stream.ok_or_else(|| FeedError::UnknownKey { key: key.to_owned() })
    }

    /// Whether the kernel writes a log: without one nothing becomes durable.
    #[must_use]
    pub fn has_log(&self) -> bool {
        self.kernel.has_log
    }

    /// Sequence that the next push gets; right after connecting, how many inputs the source has
    /// from those who fed it before.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.window.end()
    }

    /// How many inputs of the source the kernel has taken, as far as this feeder knows.
    pub fn accepted(&mut self) -> u64 {
        self.hear();
        self.accepted
    }

    /// How many are durable: those with smaller sequences.
    pub fn durable(&mut self) -> u64 {
        self.hear();
        self.durable
    }

    /// Hands an input over; gives its sequence. Waits where the window or the kernel's ring is
    /// full, and for a kernel that is gone.
    ///
    /// # Errors
    /// [`FeedError`]; the input is not pushed then, or with [`FeedError::Gone`] kept for the kernel
    /// that comes.
    #[inline]
    pub fn push(&mut self, stream: u32, payload: &[u8]) -> Result<u64, FeedError> {
        if self.ending || self.next_seq() >= FEED_SEQ_MAX {
            return Err(FeedError::Finished);
        }
        let (streams, max) = (self.kernel.keys.len(), self.kernel.payload_bytes_max);
        if stream as usize >= streams {
            return Err(FeedError::UnknownKey { key: format!("of stream {stream}") });
        }
        if payload.len() > max as usize {
            return Err(FeedError::TooLarge { bytes: payload.len(), max });
        }
        if self.window.bytes() + payload.len() > self.options.window_bytes {
            self.wait_for_window(payload.len())?;
        }
        let seq = self.window.push(stream, payload);
        self.flush(None)?;
        Ok(seq)
    }

    /// The next `count` inputs are lost: their sequences are passed over, and the run
    /// says at its end that it is incomplete.
    pub fn skip(&mut self, count: u64) {
        self.window.skip(count.min(FEED_SEQ_MAX - self.next_seq().min(FEED_SEQ_MAX)));
    }

    /// Waits until the input of this sequence is durable.
    ///
    /// # Errors
    /// [`FeedError::Timeout`]; [`FeedError::NoLog`] where nothing ever is.
    pub fn wait_durable(&mut self, seq: u64, timeout: Duration) -> Result<(), FeedError> {
        let until = now() + timeout;
        while self.durable() <= seq {
            if !self.kernel.has_log {
                return Err(FeedError::NoLog);
            }
            self.send_and_wait(Some(until))?;
        }
        Ok(())
    }

    /// Announces that no input comes any more, which closes the source, and waits until all are
    /// durable, or taken by a kernel without a log.
    ///
    /// # Errors
    /// [`FeedError::Timeout`] and all else that can happen while it waits; it may be called again.
    pub fn finish(&mut self, timeout: Duration) -> Result<(), FeedError> {
        let until = now() + timeout;
        if !std::mem::replace(&mut self.ending, true) {
            self.window.end_with(FEED_END);
        }
        loop {
            let known = if self.kernel.has_log { self.durable() } else { self.accepted() };
            if known >= self.next_seq() && self.sent > self.next_seq() {
                return Ok(());
            }
            self.send_and_wait(Some(until))?;
        }
    }

    /// Sends what is not sent, then waits for news until `until` at most.
    fn send_and_wait(&mut self, until: Option<Instant>) -> Result<(), FeedError> {
        self.flush(until)?;
        if until.is_some_and(|until| now() >= until) {
            return Err(FeedError::Timeout);
        }
        self.wait(until)
    }

    fn wait_for_window(&mut self, need: usize) -> Result<(), FeedError> {
        if need > self.options.window_bytes {
            let max = u32::try_from(self.options.window_bytes).unwrap_or(u32::MAX);
            return Err(FeedError::TooLarge { bytes: need, max });
        }
        loop {
            self.hear();
            if self.window.bytes() + need <= self.options.window_bytes {
                return Ok(());
            }
            self.send_and_wait(None)?;
        }
    }

    /// Reads the acknowledgements, and forgets what nobody will ask for again.
    fn hear(&mut self) {
        let Some(link) = &self.link else { return };
        let (durable, accepted) = link.read();
        // What a kernel says beyond what it was given is not believed.
        self.durable = self.durable.max(durable.min(self.next_seq()));
        self.accepted = self.accepted.max(accepted.min(self.next_seq()));
        let kept = if self.kernel.has_log { self.durable } else { self.accepted };
        self.window.forget(kept);
    }

    /// Puts all records that are not there yet into the ring; waits for room.
    fn flush(&mut self, until: Option<Instant>) -> Result<(), FeedError> {
        loop {
            if self.link.is_none() {
                self.connect_again(until)?;
            }
            let Some(link) = &mut self.link else { continue };
            let mut full = false;
            let mut any = false;
            while let Some((tag, seq, payload)) = self.window.record(self.sent) {
                match link.memory.ring.push(tag, seq, payload) {
                    Ok(()) => (self.sent, any) = (seq + 1, true),
                    Err(ReserveError::Full { .. }) => {
                        full = true;
                        break;
                    }
                    Err(ReserveError::TooBig { len, max }) => {
                        let max = u32::try_from(max).unwrap_or(u32::MAX);
                        return Err(FeedError::TooLarge { bytes: len, max });
                    }
                }
            }
            if any {
                link.publish();
            }
            if !full {
                return Ok(());
            }
            self.hear();
            if until.is_some_and(|until| now() >= until) {
                return Err(FeedError::Timeout);
            }
            self.wait(until)?;
        }
    }

    /// Waits for news of the kernel; a link that is over is left.
    fn wait(&mut self, until: Option<Instant>) -> Result<(), FeedError> {
        let known = (self.durable, self.accepted);
        let left = until.map_or(WAIT_MAX, |until| until.saturating_duration_since(now()));
        let Some(link) = &mut self.link else { return Ok(()) };
        let is_open = link.wait(left.min(WAIT_MAX), known);
        self.hear();
        let Some(link) = self.link.as_ref().filter(|_| !is_open) else { return Ok(()) };
        let ended = link.has_ended();
        self.hear();
        self.link = None;
        let all = if self.kernel.has_log { self.durable } else { self.accepted };
        if ended && all < self.next_seq() {
            return Err(FeedError::Ended { durable: self.durable });
        }
        Ok(())
    }

    /// Connects to the kernel that comes after the one that is gone, and goes on where it stands.
    fn connect_again(&mut self, until: Option<Instant>) -> Result<(), FeedError> {
        let patience = now() + self.options.patience;
        let (link, kernel) = self.open(until.map_or(patience, |until| until.min(patience)))?;
        if kernel.run_id != self.kernel.run_id {
            return Err(FeedError::OtherRun);
        }
        if kernel.keys != self.kernel.keys {
            return Err(FeedError::OtherKeys);
        }
        let (next, end) = (kernel.next_seq, self.next_seq());
        if next > end {
            return Err(FeedError::Ahead { next, end });
        }
        self.sent = next;
        (self.link, self.kernel) = (Some(link), kernel);
        self.hear();
        Ok(())
    }

    /// Connects, as often as it takes.
    fn open(&self, until: Instant) -> Result<(Link, FeedKernel), FeedError> {
        let mut pause = PAUSE_MIN;
        loop {
            let error = match Link::open(&self.path) {
                Ok(opened) => return Ok(opened),
                Err(error) if error.may_pass() => error,
                Err(error) => return Err(error),
            };
            let left = until.saturating_duration_since(now());
            if left.is_zero() {
                return Err(error);
            }
            std::thread::park_timeout(pause.min(left));
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
