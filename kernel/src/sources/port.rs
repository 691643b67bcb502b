//! What brings the inputs of one live source from other processes, without a thread.

use std::{
    collections::VecDeque,
    fmt::Debug,
    io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use wasm_engine_abi::Tick;
use wasm_engine_shm::locate::LocateError;

use crate::{
    exit::{Exit, HasExitCode},
    sources::live::LiveQueue,
};

/// Ticks whose sequences are kept apart until they are durable; then several become durable as one.
const NOTES_MAX: usize = 4096;

/// Why nobody can be listened to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The kernel has no name from which the location follows.
    #[error(
        "source `{id}` is for a feeder, which finds the kernel by its name, and it has none; name \
         the kernel, or the location as source.{id}.socket"
    )]
    Nameless {
        /// Id of the source.
        id: String,
    },
    /// The location cannot be had.
    #[error("source `{id}` has no location to listen: {source}; name one as source.{id}.socket")]
    Location {
        /// Id of the source.
        id: String,
        /// Why not.
        source: LocateError,
    },
    /// The system refuses.
    #[error(
        "source `{id}` cannot listen at {}: {source}; name another path as source.{id}.socket",
        path.display()
    )]
    Socket {
        /// Id of the source.
        id: String,
        /// The location.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl HasExitCode for ListenError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl ListenError {
    pub(crate) fn socket(id: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Socket { id: id.to_owned(), path: path.to_owned(), source }
    }
}

/// How a live source stands with those who feed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedState {
    /// Nobody has connected yet.
    #[default]
    Awaited,
    /// Somebody is connected.
    Connected,
    /// Somebody is connected and hands over more than the ticks take.
    Lagging,
    /// Whoever was connected is gone.
    Gone,
    /// It takes no more inputs.
    Closed,
}

/// A live source that other processes feed over a socket.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct FeedReport {
    /// How it stood at the end.
    pub state: FeedState,
    /// Connections that were taken.
    pub connections: u64,
    /// Connections that were refused or ended because of what they sent.
    pub refused: u64,
    /// Inputs that were handed over again, and passed over.
    pub repeated: u64,
    /// How many inputs were taken, counted over the whole run: the next sequence.
    pub accepted: u64,
    /// How many of them are durable.
    pub durable: u64,
    /// Inputs that are lost: the run is incomplete.
    pub gap: u64,
    /// Why a connection was refused or ended, the first.
    pub problem: Option<String>,
}

/// How all sources stand that are fed over sockets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FeedCounts {
    pub(crate) connected: u64,
    pub(crate) lagging: u64,
    pub(crate) gone: u64,
    pub(crate) refused: u64,
    pub(crate) gap: u64,
}

impl FeedCounts {
    /// Counts one more.
    pub(crate) fn add(&mut self, state: FeedState, refused: u64) {
        let is = |states: &[FeedState]| u64::from(states.contains(&state));
        self.connected += is(&[FeedState::Connected, FeedState::Lagging]);
        self.lagging += is(&[FeedState::Lagging]);
        self.gone += is(&[FeedState::Gone]);
        self.refused += refused;
    }
}

/// What brings the inputs of one live source. Nothing in it waits.
pub(crate) trait Port: Debug + Send {
    /// Takes what is there already into `queue`, as far as it has room. It makes no system call
    /// where nothing is there.
    fn take(&mut self, queue: &mut LiveQueue);
    /// Looks after the sockets: who comes, who goes, what they send.
    fn serve(&mut self, queue: &mut LiveQueue);
    /// Says how many inputs were accepted and how many are durable, to all who listen.
    fn acknowledge(&mut self, accepted: u64, durable: u64);
    /// Says so for the last time, and that nothing comes any more; ends all connections.
    fn end(&mut self, accepted: u64, durable: u64);
    /// Announces that the run sleeps; returns whether something is there already.
    fn begin_sleep(&mut self) -> bool;
    /// Takes that back.
    fn end_sleep(&mut self);
    /// The sockets that wake it.
    #[cfg(unix)]
    fn sockets<'p>(&'p self, into: &mut Vec<std::os::fd::BorrowedFd<'p>>);
    /// How it stands.
    fn state(&self) -> FeedState;
    /// What happened: connections and what was wrong.
    fn account(&self) -> &FeedReport;
    /// Lines that were left out.
    fn left_out(&self) -> u64 {
        0
    }
}

/// Which sequences are durable once a tick is.
#[derive(Debug, Default)]
pub(crate) struct DurableSeqs {
    /// Ticks in which inputs entered, and the sequence behind them.
    notes: VecDeque<(Tick, u64)>,
    durable: u64,
}

impl DurableSeqs {
    /// Of a source of whose inputs so many are durable already.
    pub(crate) fn new(durable: u64) -> Self {
        Self { notes: VecDeque::new(), durable }
    }

    /// The inputs before `entered` are in the facts of `tick` and of those before it.
    pub(crate) fn note(&mut self, tick: Tick, entered: u64) {
        if entered <= self.notes.back().map_or(self.durable, |(_, seq)| *seq) {
            return;
        }
        if self.notes.len() >= NOTES_MAX {
            // Those of an earlier tick become durable with this one.
            self.notes.pop_back();
        }
        self.notes.push_back((tick, entered));
    }

    /// Ticks up to this one are durable; gives how many inputs are.
    pub(crate) fn advance(&mut self, tick: Option<Tick>) -> u64 {
        while let Some(&(noted, entered)) = self.notes.front()
            && tick.is_some_and(|tick| noted <= tick)
        {
            self.durable = entered;
            self.notes.pop_front();
        }
        self.durable
    }

    /// Whether something is not durable yet.
    pub(crate) fn is_behind(&self) -> bool {
        !self.notes.is_empty()
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l2_1_sequences_are_durable_with_their_tick_and_never_before() {
        let mut seqs = DurableSeqs::new(3);
        seqs.note(7, 3);
        assert!(!seqs.is_behind(), "nothing entered");
        seqs.note(8, 5);
        seqs.note(9, 5);
        seqs.note(12, 6);
        assert_eq!((seqs.advance(None), seqs.advance(Some(7))), (3, 3));
        assert_eq!(seqs.advance(Some(11)), 5);
        assert!(seqs.is_behind());
        assert_eq!((seqs.advance(Some(12)), seqs.is_behind()), (6, false));
    }

    #[test]
    fn what_is_kept_has_a_bound_and_comes_late_rather_than_early() {
        let mut seqs = DurableSeqs::default();
        let ticks = NOTES_MAX as u64 + 1000;
        (1..=ticks).for_each(|tick| seqs.note(tick, tick));
        assert_eq!(seqs.notes.len(), NOTES_MAX);
        let last = NOTES_MAX as u64;
        assert_eq!(seqs.advance(Some(last)), last - 1);
        assert_eq!(seqs.advance(Some(ticks - 1)), last - 1);
        assert_eq!(seqs.advance(Some(ticks)), ticks);
    }
}
