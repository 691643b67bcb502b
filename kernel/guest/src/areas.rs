//! The payload areas of the region as one lane sees them: its outbox, and where items lie.

use wasm_engine_abi::frame::{ItemFrame, Location};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::outbox::{OutboxReader, OutboxWriter};
use wasm_engine_shm::spill::SpillReader;

/// Where a lane writes payloads and where it reads them from.
#[derive(Debug)]
pub struct Areas {
    /// The lane's own outbox.
    pub outbox: OutboxWriter<RawMem>,
    /// The outboxes of all lanes by number, its own included.
    pub lanes: Vec<OutboxReader<RawMem>>,
    /// The outbox of what enters at open.
    pub open: OutboxReader<RawMem>,
    /// The spill of what outlives a microstep.
    pub spill: SpillReader<RawMem>,
}

/// The reading half of [`Areas`].
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) lanes: Vec<OutboxReader<RawMem>>,
    pub(crate) open: OutboxReader<RawMem>,
    pub(crate) spill: SpillReader<RawMem>,
}

impl Sources {
    /// Copies an item's payload to where its guest looks for it.
    ///
    /// Outboxes are readable in the epoch after the one they were written in, and only then.
    #[inline]
    pub(crate) fn copy(
        &self,
        item: &ItemFrame,
        epoch: u64,
        payload: &mut [u8],
    ) -> Result<(), String> {
        let Location { area, block } = item.location;
        if area == Location::SPILL {
            return self.spill.copy_to(block, payload).map_err(|error| error.to_string());
        }
        let outbox = match area {
            Location::OPEN => Some(&self.open),
            lane => self.lanes.get(lane as usize),
        };
        let outbox = outbox.ok_or_else(|| format!("there is no area {area}"))?;
        if item.epoch.wrapping_add(1) != epoch {
            return Err(format!("written in epoch {}, read in {epoch}", item.epoch));
        }
        outbox.copy_to(block, payload).map_err(|error| error.to_string())
    }
}
