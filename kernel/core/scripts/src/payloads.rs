//! Payload bytes in plain memory, with the lifetimes that the core counts on.

use wasm_engine_abi::frame::Location;
use wasm_engine_core::PayloadStore;

/// What was written in one of the last two epochs; an older epoch is gone.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    halves: [(u64, Vec<Vec<u8>>); 2],
    writing: usize,
}

impl Outbox {
    /// What was written two epochs ago is gone.
    pub(crate) fn begin(&mut self, epoch: u64) {
        self.writing = (epoch % 2) as usize;
        self.halves[self.writing] = (epoch, Vec::new());
    }

    /// Keeps `bytes`; gives their number.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> u32 {
        let half = &mut self.halves[self.writing].1;
        half.push(bytes.to_vec());
        half.len() as u32 - 1
    }

    fn read(&self, block: u32, epoch: u64) -> &[u8] {
        let (written, half) = &self.halves[(epoch % 2) as usize];
        assert_eq!(*written, epoch, "a payload is read after its epoch");
        &half[block as usize]
    }
}

/// All payload bytes of a run.
#[derive(Debug)]
pub(crate) struct PlainPayloads {
    pub(crate) lanes: Vec<Outbox>,
    open: Outbox,
    spill: Vec<Option<Vec<u8>>>,
}

impl PlainPayloads {
    pub(crate) fn new(lanes: u32) -> Self {
        let lanes = (0..lanes).map(|_| Outbox::default()).collect();
        Self { lanes, open: Outbox::default(), spill: Vec::new() }
    }

    /// The payload of an item.
    pub(crate) fn at(&self, location: Location, epoch: u64) -> &[u8] {
        match location.area {
            Location::SPILL => self.spill[location.block as usize].as_deref().expect("it is kept"),
            Location::OPEN => self.open.read(location.block, epoch),
            lane => self.lanes[lane as usize].read(location.block, epoch),
        }
    }
}

impl PayloadStore for PlainPayloads {
    fn read(&mut self, location: Location, epoch: u64, len: u32, into: &mut Vec<u8>) {
        let bytes = self.at(location, epoch);
        assert_eq!(bytes.len(), len as usize);
        into.extend_from_slice(bytes);
    }

    fn begin_open(&mut self, epoch: u64) {
        self.open.begin(epoch);
    }

    fn enter(&mut self, bytes: &[u8]) -> Location {
        Location { area: Location::OPEN, block: self.open.write(bytes) }
    }

    fn retain(&mut self, location: Location, epoch: u64, len: u32) -> Location {
        assert_ne!(location.area, Location::SPILL, "it is retained already");
        let bytes = self.at(location, epoch).to_vec();
        assert_eq!(bytes.len(), len as usize);
        self.keep(&bytes)
    }

    fn keep(&mut self, bytes: &[u8]) -> Location {
        let bytes = bytes.to_vec();
        let free = self.spill.iter().position(Option::is_none);
        let block = free.unwrap_or_else(|| {
            self.spill.push(None);
            self.spill.len() - 1
        });
        self.spill[block] = Some(bytes);
        Location { area: Location::SPILL, block: block as u32 }
    }

    fn release(&mut self, location: Location, len: u32) {
        assert_eq!(location.area, Location::SPILL, "only what was retained is released");
        let bytes = self.spill[location.block as usize].take().expect("it is released once");
        assert_eq!(bytes.len(), len as usize);
    }
}
