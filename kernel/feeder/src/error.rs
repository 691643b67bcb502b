//! Why a feeder cannot go on.

use std::{io, path::PathBuf};

use wasm_engine_abi::feed::FeedRefusal;
use wasm_engine_shm::{feed::FeedMemoryError, locate::LocateError};

/// Why a feeder cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The place of the kernel.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// Nobody listens.
    #[error("no kernel listens at {}: {source}; start it, or name another path", path.display())]
    Gone {
        /// The place.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The kernel says no.
    #[error("the kernel refuses this feeder: {}", .0.text())]
    Refused(FeedRefusal),
    /// What answered is no kernel of this version.
    #[error("what listens at {} does not answer as a kernel of this release does", path.display())]
    Answer {
        /// The place.
        path: PathBuf,
    },
    /// What it handed over.
    #[error(transparent)]
    Memory(#[from] FeedMemoryError),
    /// The source has no such key.
    #[error("the source has no key `{key}`; see Feeder::keys")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// The payload is longer than it may be.
    #[error("an input of {bytes} bytes is longer than {max}; split it, or raise the limit")]
    TooLarge {
        /// Bytes of the payload.
        bytes: usize,
        /// Bytes that it may have.
        max: u32,
    },
    /// The time is up.
    #[error("the time is up; what was pushed is kept, so call again to go on waiting")]
    Timeout,
    /// The kernel writes no log.
    #[error("the kernel writes no log, so nothing becomes durable; start it with one")]
    NoLog,
    /// The run is over and has not taken all.
    #[error("the run has ended; inputs before sequence {durable} are durable, the others are not")]
    Ended {
        /// How many are durable.
        durable: u64,
    },
    /// Another run is there.
    #[error("another run listens there now; connect to it anew, or resume the one from before")]
    OtherRun,
    /// The source has other keys now.
    #[error("the source has other keys now than when this feeder connected; connect anew")]
    OtherKeys,
    /// Somebody else has fed the source.
    #[error(
        "the kernel expects sequence {next}, and this feeder has pushed only those before {end}: \
         another one has fed its source; connect anew"
    )]
    Ahead {
        /// What it expects.
        next: u64,
        /// Behind the last one here.
        end: u64,
    },
    /// No input comes any more.
    #[error("the feeder has finished; nothing can be pushed any more")]
    Finished,
}

impl FeedError {
    /// Whether waiting may help.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Gone { .. } => true,
            // The one who was killed may not be known to be gone yet.
            Self::Refused(refusal) => *refusal == FeedRefusal::Busy,
            _ => false,
        }
    }
}
