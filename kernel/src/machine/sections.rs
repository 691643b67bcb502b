//! Opens the sections of a formatted region: rings to watch, payload areas, lanes.

use std::sync::Arc;

use bytemuck::Zeroable;
use wasm_engine_abi::page::RingRow;
use wasm_engine_shm::{
    bytes::{Consumer, Gauge, Producer},
    mem::RawMem,
    outbox::{OutboxReader, OutboxWriter},
    spill::SpillReader,
    wait::{Ringer, Waiter},
};

use crate::{
    clock,
    machine::lane_pool::{LanePool, WorkerHandle},
    machine::payload_store::PayloadAreas,
    machine::region::{self, BuildError, Built, ring},
    machine::threads::Threads,
};
use wasm_engine_guest::{
    Areas, LaneShared,
    lane::Lane,
    worker::{SharedLane, Worker},
};
use wasm_engine_setup::Setup;

/// A ring and what monitors see of it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) gauge: Gauge<RawMem>,
    pub(super) row: RingRow,
}

/// The rings in the order of their rows.
pub(super) fn watch_rings(
    built: &Built,
    setup: &Setup,
    lanes: u32,
) -> Result<Vec<Watched>, BuildError> {
    let watch = |(id, _)| {
        let (producer, consumer) = built.ring(id)?;
        let row = RingRow { capacity_bytes: built.ring_capacity(id)?, ..RingRow::zeroed() };
        Ok(Watched { gauge: Gauge::new(producer, consumer)?, row })
    };
    region::rings(setup, lanes).into_iter().map(watch).collect()
}

/// Opens outboxes, spill and lanes over the region and starts the workers.
pub(super) fn open_lanes(
    built: &Built,
    threads: &Threads,
    shared: Arc<LaneShared>,
) -> Result<(PayloadAreas, LanePool), BuildError> {
    let lanes = threads.workers + 1;
    let outboxes = (0..lanes).map(|lane| built.outbox(lane)).collect::<Result<Vec<_>, _>>()?;
    let memory = PayloadAreas::new(built.open_outbox()?, built.spill()?, &outboxes)?;
    let areas = |lane: u32| -> Result<Areas, BuildError> {
        Ok(Areas {
            outbox: OutboxWriter::new(outboxes[lane as usize].clone())?,
            lanes: outboxes.iter().cloned().map(OutboxReader::new).collect::<Result<_, _>>()?,
            open: OutboxReader::new(built.open_outbox()?)?,
            spill: SpillReader::new(built.spill()?)?,
        })
    };
    let mut remotes = Vec::with_capacity(threads.workers as usize);
    for number in 1..lanes {
        let commands = built.ring(ring::COMMANDS + 2 * number)?;
        let replies = built.ring(ring::RESULTS + 2 * number)?;
        let bell = built.bell(ring::COMMANDS + 2 * number)?;
        let worker = Worker {
            lane: SharedLane::new(Lane::new(Arc::clone(&shared), number, areas(number)?)),
            commands: Consumer::new(commands.0.clone(), commands.1.clone())?,
            replies: Producer::new(replies.0.clone(), replies.1.clone())?,
            bell: Waiter::new(bell.clone())?,
            scheduler: Ringer::new(built.bell(ring::SCHEDULER)?)?,
            wait: threads.wait,
            clock: clock::now_ns,
        };
        remotes.push(WorkerHandle::start(
            worker,
            Producer::new(commands.0, commands.1)?,
            Consumer::new(replies.0, replies.1)?,
            Ringer::new(bell)?,
            threads.core(number),
        )?);
    }
    let bell = Waiter::new(built.bell(ring::SCHEDULER)?)?;
    let lanes = LanePool::new(shared, areas(0)?, remotes, bell, threads.wait);
    Ok((memory, lanes))
}
