//! Payload bytes for the core: the scheduler's own writing areas and a look into every lane's.
//!
//! The scheduler writes what enters at open and the spill; it reads outboxes between microsteps,
//! when nobody writes them. Sizes follow from the limits (`region.rs`), so nothing here can be
//! full: if it is, that is a mistake in the kernel, and it stops rather than go on with other bits.

use wasm_engine_abi::frame::Location;
use wasm_engine_shm::{
    lease::SetupError,
    mem::RawMem,
    outbox::{OutboxReader, OutboxWriter},
    spill::Spill,
};

use wasm_engine_core::{Environment, PayloadStore, Sink};

/// The scheduler's view of all payload memory.
#[derive(Debug)]
pub(crate) struct PayloadAreas {
    open: OutboxWriter<RawMem>,
    open_reader: OutboxReader<RawMem>,
    lanes: Vec<OutboxReader<RawMem>>,
    spill: Spill<RawMem>,
}

impl PayloadAreas {
    pub(crate) fn new(open: RawMem, spill: RawMem, lanes: &[RawMem]) -> Result<Self, SetupError> {
        Ok(Self {
            open: OutboxWriter::new(open.clone())?,
            open_reader: OutboxReader::new(open)?,
            lanes: lanes.iter().cloned().map(OutboxReader::new).collect::<Result<_, _>>()?,
            spill: Spill::new(spill)?,
        })
    }

    fn outbox(&self, area: u32) -> &OutboxReader<RawMem> {
        if area == Location::OPEN { &self.open_reader } else { &self.lanes[area as usize] }
    }
}

/// [`PayloadAreas`] and a [`Sink`], as the core wants them.
pub(crate) struct TickEnvironment<'a, S: Sink + ?Sized> {
    pub(crate) payloads: &'a mut PayloadAreas,
    pub(crate) sink: &'a mut S,
}

impl<S: Sink + ?Sized> Environment for TickEnvironment<'_, S> {
    type Payloads = PayloadAreas;
    type Sink = S;

    fn payloads(&mut self) -> &mut PayloadAreas {
        self.payloads
    }

    fn sink(&mut self) -> &mut S {
        self.sink
    }
}

/// What a limit admits has room, see the module's documentation.
const SIZED: &str = "the area is sized for all that the limits admit";

impl PayloadStore for PayloadAreas {
    fn read(&mut self, location: Location, _epoch: u64, len: u32, into: &mut Vec<u8>) {
        let start = into.len();
        into.resize(start + len as usize, 0);
        let bytes = &mut into[start..];
        if location.area == Location::SPILL {
            self.spill.copy_to(location.block, bytes).expect(SIZED);
        } else {
            self.outbox(location.area).copy_to(location.block, bytes).expect(SIZED);
        }
    }

    fn begin_open(&mut self, epoch: u64) {
        self.open.begin(epoch);
    }

    fn enter(&mut self, bytes: &[u8]) -> Location {
        Location { area: Location::OPEN, block: self.open.write(bytes).expect(SIZED) }
    }

    fn keep(&mut self, bytes: &[u8]) -> Location {
        Location { area: Location::SPILL, block: self.spill.retain(bytes).expect(SIZED) }
    }

    fn retain(&mut self, location: Location, _epoch: u64, len: u32) -> Location {
        let Self { open_reader, lanes, spill, .. } = self;
        let outbox = if location.area == Location::OPEN {
            open_reader
        } else {
            &lanes[location.area as usize]
        };
        let first =
            spill.retain_from(outbox, location.block, len as usize).expect(SIZED).expect(SIZED);
        Location { area: Location::SPILL, block: first }
    }

    fn release(&mut self, location: Location, len: u32) {
        self.spill.release(location.block, len as usize).expect(SIZED);
    }
}
