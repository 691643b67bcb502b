//! Events of a running kernel, one by one, with what was lost between them.
//!
//! A [`Follower`] goes through the trace ring of one run. It begins with what the ring still holds,
//! never waits for the kernel and never holds it up; the kernel overwrites what was not read in
//! time, and the follower learns how much that was. Each poll is bounded; a damaged ring can make a
//! follower lose for ever, so who loops counts losses without an event between.
//!
//! What this does not do: it follows no second run of the name, and it does not sleep: the caller
//! polls again when it likes.

use bytemuck::Zeroable;
use wasm_engine_abi::page::TraceEvent;
use wasm_engine_shm::broadcast::{BroadcastReader, Next, Overtaken};
use wasm_engine_shm::mem::ReadMem;

/// What a follower finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// An event.
    Event {
        /// Its number, from 0.
        number: u64,
        /// The event.
        event: TraceEvent,
    },
    /// Events that were overwritten before they were read.
    Lost {
        /// How many.
        events: u64,
        /// Why.
        why: Why,
    },
}

/// Why events were not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// They were gone when the follower began.
    Earlier,
    /// The follower came too late: look more often, or make the ring larger.
    Polling,
    /// The kernel overtook the follower while it copied.
    Reading,
}

impl Why {
    /// In one word.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Earlier => "earlier",
            Self::Polling => "polling",
            Self::Reading => "reading",
        }
    }
}

/// Goes through the events of one run.
#[derive(Debug)]
pub struct Follower {
    reader: BroadcastReader<ReadMem>,
    /// Events that were gone when it began, until that is said.
    earlier: u64,
}

/// Of the oldest events in the ring, the part that is left to a writer that runs.
const SPARE_PARTS: u64 = 16;

impl Follower {
    /// Begins with the oldest event that is there; of a run that goes on, a little behind it, for
    /// the oldest is the next to be overwritten.
    pub(crate) fn new(mut reader: BroadcastReader<ReadMem>, goes_on: bool) -> Self {
        reader.skip_to_oldest(if goes_on { reader.slots() / SPARE_PARTS } else { 0 });
        Self { earlier: reader.position(), reader }
    }

    /// Events that the ring holds.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.reader.slots()
    }

    /// Events sent so far; [`Follower::passed`] of them are behind this follower.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.reader.sent()
    }

    /// Events read or lost.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.reader.position() - self.earlier
    }

    /// The next event or loss; `None` if there is nothing new.
    pub fn look(&mut self) -> Option<Seen> {
        match std::mem::take(&mut self.earlier) {
            0 => {}
            events => return Some(Seen::Lost { events, why: Why::Earlier }),
        }
        let mut event = TraceEvent::zeroed();
        match self.reader.next(bytemuck::bytes_of_mut(&mut event)) {
            Next::Empty => None,
            Next::Message { number, .. } => Some(Seen::Event { number, event }),
            Next::Overrun { lost, during, .. } => {
                let why = match during {
                    Overtaken::Polling => Why::Polling,
                    Overtaken::Reading => Why::Reading,
                };
                Some(Seen::Lost { events: lost, why })
            }
        }
    }
}
