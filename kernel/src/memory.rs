//! Payload bytes for the core: the scheduler's own writing areas and a look into every lane's.
//!
//! The scheduler writes what enters at open and the stash; it reads outboxes between microsteps,
//! when nobody writes them. Sizes follow from the limits (`region.rs`), so nothing here can be
//! full: if it is, that is a mistake in the kernel, and it stops rather than go on with other bits.

use wasm_engine_abi::{AgentId, Tick, frame::Place};
use wasm_engine_shm::{
    claim::SetupError,
    mem::RawMem,
    outbox::{OutboxReader, OutboxWriter},
    stash::Stash,
};

use crate::core::{Output, Outside, Request};

/// Takers of what leaves the core, other than payload copies.
pub trait Sink {
    /// A message on an output topic.
    fn output(&mut self, output: &Output<'_>);
    /// An inference request was accepted.
    fn request(&mut self, request: &Request, input: &[u8]);
    /// An agent wrote a log line.
    fn log_line(&mut self, agent: AgentId, tick: Tick, level: u64, text: &[u8]);
}

/// The scheduler's view of all payload memory.
#[derive(Debug)]
pub(crate) struct Memory {
    open: OutboxWriter<RawMem>,
    open_reader: OutboxReader<RawMem>,
    lanes: Vec<OutboxReader<RawMem>>,
    stash: Stash<RawMem>,
}

impl Memory {
    pub(crate) fn new(open: RawMem, stash: RawMem, lanes: &[RawMem]) -> Result<Self, SetupError> {
        Ok(Self {
            open: OutboxWriter::new(open.clone())?,
            open_reader: OutboxReader::new(open)?,
            lanes: lanes.iter().cloned().map(OutboxReader::new).collect::<Result<_, _>>()?,
            stash: Stash::new(stash)?,
        })
    }

    fn outbox(&self, area: u32) -> &OutboxReader<RawMem> {
        if area == Place::OPEN { &self.open_reader } else { &self.lanes[area as usize] }
    }
}

/// [`Memory`] and a [`Sink`], as the core wants them.
pub(crate) struct World<'a, S: Sink + ?Sized> {
    pub(crate) memory: &'a mut Memory,
    pub(crate) sink: &'a mut S,
}

/// What a limit admits has room, see the module's documentation.
const SIZED: &str = "the area is sized for all that the limits admit";

impl<S: Sink + ?Sized> Outside for World<'_, S> {
    fn read(&mut self, place: Place, _epoch: u64, len: u32, into: &mut Vec<u8>) {
        let start = into.len();
        into.resize(start + len as usize, 0);
        let bytes = &mut into[start..];
        if place.area == Place::STASH {
            self.memory.stash.copy_to(place.block, bytes).expect(SIZED);
        } else {
            self.memory.outbox(place.area).copy_to(place.block, bytes).expect(SIZED);
        }
    }

    fn begin_open(&mut self, epoch: u64) {
        self.memory.open.begin(epoch);
    }

    fn enter(&mut self, bytes: &[u8]) -> Place {
        Place { area: Place::OPEN, block: self.memory.open.write(bytes).expect(SIZED) }
    }

    fn stash(&mut self, place: Place, _epoch: u64, len: u32) -> Place {
        let Memory { open_reader, lanes, stash, .. } = &mut *self.memory;
        let outbox =
            if place.area == Place::OPEN { open_reader } else { &lanes[place.area as usize] };
        let first = stash.put_from(outbox, place.block, len as usize).expect(SIZED).expect(SIZED);
        Place { area: Place::STASH, block: first }
    }

    fn unstash(&mut self, place: Place, len: u32) {
        self.memory.stash.free(place.block, len as usize).expect(SIZED);
    }

    fn output(&mut self, output: &Output<'_>) {
        self.sink.output(output);
    }

    fn request(&mut self, request: &Request, input: &[u8]) {
        self.sink.request(request, input);
    }

    fn log_line(&mut self, agent: AgentId, tick: Tick, level: u64, text: &[u8]) {
        self.sink.log_line(agent, tick, level, text);
    }
}
