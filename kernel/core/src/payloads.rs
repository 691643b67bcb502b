//! Payload bytes as the core knows them: a location, a length, and who still refers to it.
//!
//! The bytes lie in the region; the core holds descriptors only. A payload written in one epoch
//! (an open or a microstep) can be read in the next one where it was written. Whatever outlives
//! that is copied once into the spill (C2). Placement is physical and never decides.

use wasm_engine_abi::{frame::Location, limits};

use crate::environment::{Environment, PayloadStore};

/// Handle of a payload in the table.
pub(crate) type PayloadId = u32;
/// A message without payload bytes.
pub(crate) const NO_PAYLOAD: PayloadId = u32::MAX;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload {
    pub(crate) location: Location,
    pub(crate) epoch: u64,
    pub(crate) len: u32,
    refs: u32,
    /// References by items of planned turns, which are read before the location expires.
    planned: u32,
}

/// All payloads that some item refers to.
#[derive(Debug, Default)]
pub(crate) struct Payloads {
    table: Vec<Payload>,
    free: Vec<PayloadId>,
    /// Those written in the last epoch, not yet spilled.
    fresh: Vec<PayloadId>,
}

impl Payloads {
    /// A payload of `len` bytes written at `location` in `epoch`, referred to by nobody yet.
    #[inline]
    pub(crate) fn add(&mut self, location: Location, epoch: u64, len: u32) -> PayloadId {
        let id = self.add_kept(location, epoch, len);
        if id != NO_PAYLOAD {
            self.fresh.push(id);
        }
        id
    }

    /// As [`Payloads::add`], of one that stays where it is until nobody refers to it.
    pub(crate) fn add_kept(&mut self, location: Location, epoch: u64, len: u32) -> PayloadId {
        if len == 0 {
            return NO_PAYLOAD;
        }
        let payload = Payload { location, epoch, len, refs: 0, planned: 0 };
        match self.free.pop() {
            Some(id) => {
                self.table[id as usize] = payload;
                id
            }
            None => {
                self.table.push(payload);
                (self.table.len() - 1) as PayloadId
            }
        }
    }

    /// Handles that were given so far: all are below.
    pub(crate) fn handles(&self) -> usize {
        self.table.len()
    }

    /// The payload, or none for an empty one.
    #[inline]
    pub(crate) fn get(&self, id: PayloadId) -> Option<&Payload> {
        self.table.get(id as usize)
    }

    /// One more item refers to `id`.
    #[inline]
    pub(crate) fn refer(&mut self, id: PayloadId) {
        if let Some(payload) = self.table.get_mut(id as usize) {
            payload.refs += 1;
        }
    }

    /// An item of a planned turn refers to `id`.
    #[inline]
    pub(crate) fn plan(&mut self, id: PayloadId) {
        if let Some(payload) = self.table.get_mut(id as usize) {
            payload.planned += 1;
        }
    }

    /// One item less refers to `id`; the last one frees it, at the latest when it is settled.
    #[inline]
    pub(crate) fn release(&mut self, id: PayloadId, env: &mut impl Environment) {
        let Some(payload) = self.table.get_mut(id as usize) else { return };
        payload.refs -= 1;
        if payload.refs == 0 && payload.location.area == Location::SPILL {
            env.payloads().release(payload.location, payload.len);
            self.free.push(id);
        }
    }

    /// Before the microstep of `epoch` runs: spills every fresh payload that would be needed
    /// after its location expires, and forgets those nobody needs.
    pub(crate) fn settle(&mut self, epoch: u64, env: &mut impl Environment) {
        let Self { table, free, fresh } = self;
        fresh.retain(|&id| {
            let payload = &mut table[id as usize];
            let planned = std::mem::take(&mut payload.planned);
            if payload.refs == 0 {
                free.push(id);
                return false;
            }
            if payload.refs == planned && payload.epoch + 1 == epoch {
                return true;
            }
            payload.location = env.payloads().retain(payload.location, payload.epoch, payload.len);
            false
        });
    }
}

/// Blocks a payload of `len` bytes is charged (SEMANTICS C2).
pub(crate) const fn blocks(len: u32) -> u32 {
    limits::blocks(len)
}
