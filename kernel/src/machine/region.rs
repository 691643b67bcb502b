//! The region of one run: which sections it has, how large they are, who opens them.
//!
//! Every size follows from the logical limits, so that placement never enters a decision: what a
//! limit admits has room.
//!
//! ```text
//!  outbox n       payloads and requests written by lane n: two microsteps of the global limits
//!  outbox OPEN    inputs of two opens
//!  spill          all payloads held, and all replies
//!  ring LOG, REQUESTS, REPLIES, COMMANDS n, RESULTS n
//!  pages, rows, trace, counters    what monitors read (snapshot.rs)
//! ```

use wasm_engine_abi::{
    limits::{ARGS_BYTES_MAX, BLOCK_BYTES},
    page::section,
    record::{FactHeader, RECORD_BYTES_MAX, TickClose, TickOpen},
};
use wasm_engine_guest::worker_codec::{command_bytes, reply_bytes};
use wasm_engine_shm::{
    bytes,
    header::Identity,
    layout::{LayoutError, RegionPlan, SectionKind},
    lease::SetupError,
    locate::{self, Descriptor, LocateError, NameLock},
    map::{Map, MapError},
    mem::{Mem, RawMem},
    outbox,
    region::{Region, RegionError},
    spill, wait,
};

use crate::sources::{COMMAND_BYTES_PER_TICK_MAX, COMMANDS_PER_TICK_MAX};
use crate::{clock, machine::populating::Populating, units};
use wasm_engine_inference::{InferenceError, InferenceLayout, InferenceMemory};
use wasm_engine_setup::{Limits, Setup};
use wasm_engine_telemetry::publisher::{PublishError, Sizes};

/// Ids of rings and bells.
pub(crate) mod ring {
    pub(crate) const LOG: u32 = 1;
    pub(crate) const REQUESTS: u32 = 2;
    pub(crate) const REPLIES: u32 = 3;
    /// No ring, only the doorbell at which the scheduler waits for workers.
    pub(crate) const SCHEDULER: u32 = 4;
    /// Commands to worker n, n from 1, are `COMMANDS + 2 n`; its results follow.
    pub(crate) const COMMANDS: u32 = 16;
    pub(crate) const RESULTS: u32 = 17;
}

/// Id of the outbox of what enters at open.
const OPEN: u32 = 0x1_0000;
/// Bytes of the log's ring.
const LOG_RING_BYTES: usize = 4 << 20;
/// Least bytes of a ring to or from a worker.
const WORKER_RING_BYTES: usize = 1 << 20;

/// How a region lies in memory; physical.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Placing {
    /// Private memory that nobody else can see: replay, tests.
    Private,
    /// A sealed memfd under a name.
    Memfd(String),
    /// A file under a name.
    File(String),
}

/// Why a region could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The name is taken or no runtime directory is there.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// No memory was to be had.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The sections do not fit.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A section could not be opened.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The region could not be formatted.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// What monitors read could not be set up.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The rings of inference could not be sized.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// A thread could not be started.
    #[error("a worker thread cannot be started; lower kernel.workers")]
    Thread(#[from] std::io::Error),
    /// A tick may be longer than the log can hold.
    #[error(
        "{what} may need {need} bytes in a log, a record has at most {RECORD_BYTES_MAX}; {cure}"
    )]
    TickTooLong {
        /// What of a tick.
        what: &'static str,
        /// Bytes planned.
        need: u64,
        /// What to do.
        cure: String,
    },
    /// The limits need more than the configuration allows.
    #[error(
        "the limits of this configuration need a region of {need} bytes ({}), region.bytes_max \
         allows {max} ({}); {cure}",
        units::bytes(*need),
        units::bytes(*max)
    )]
    TooLarge {
        /// Bytes planned.
        need: u64,
        /// Bytes allowed.
        max: u64,
        /// What to do.
        cure: String,
    },
}

/// A formatted region whose sections nobody has opened yet.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) region: Region,
    pub(crate) name_lock: Option<NameLock>,
    pub(crate) bytes: u64,
    pub(crate) sizes: Sizes,
    populating: Populating,
}

/// Bytes of all replies that are delivered or may be: whole blocks, but for the last one.
fn model_reply_bytes(limits: &Limits) -> u64 {
    whole(limits.inference_reply_bytes_pending_max.into())
}

/// Whatever a tick is within the limits, the log has a record for it (SEMANTICS L1).
fn check_tick(setup: &Setup) -> Result<(), BuildError> {
    let limits = &setup.limits;
    let facts = u64::from(limits.inputs_per_tick_max) + u64::from(limits.inferences_pending_max);
    // Commands of the configuration and as many of a live host; an outcome for each model.
    let facts = facts + 2 * COMMANDS_PER_TICK_MAX as u64 + setup.models.len() as u64;
    let entering = u64::from(limits.input_bytes_per_tick_max)
        + model_reply_bytes(limits)
        + 2 * COMMAND_BYTES_PER_TICK_MAX as u64;
    let facts = facts * size_of::<FactHeader>() as u64 + entering;
    let turns = limits.turns_per_microstep_max.min(limits.agents_max);
    let turns = u64::from(limits.microsteps_max) * u64::from(turns) * size_of::<u64>() as u64;
    let heads = (size_of::<TickOpen>() + size_of::<TickClose>()) as u64;
    for (what, need, limits) in [
        (
            "the inputs and replies of one tick",
            facts,
            "limits.inputs_per_tick_max, limits.input_bytes_per_tick_max or \
             limits.inferences_pending_max or limits.inference_reply_bytes_pending_max",
        ),
        (
            "the turns of one tick",
            turns,
            "limits.microsteps_max, limits.turns_per_microstep_max or limits.agents_max",
        ),
    ] {
        if need.saturating_add(heads) > RECORD_BYTES_MAX as u64 {
            return Err(BuildError::TickTooLong { what, need, cure: format!("lower {limits}") });
        }
    }
    Ok(())
}

fn whole(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES.into())
}

/// Bytes of a ring to or from a worker. The scheduler drains one while it fills the other, so it
/// need not hold a whole microstep, but the largest command and the largest result of one turn: a
/// ring takes records of nearly half its length.
fn worker_ring_bytes(limits: &Limits) -> usize {
    // A task is one item more.
    let command = command_bytes(limits.receive_max as usize + 1, ARGS_BYTES_MAX as usize);
    let record = command.max(reply_bytes(limits.effects_max as usize)) + bytes::UNIT;
    (2 * record.next_multiple_of(bytes::UNIT)).next_power_of_two().max(WORKER_RING_BYTES)
}

fn add_ring(plan: &mut RegionPlan, id: u32, capacity: usize) -> Result<(), BuildError> {
    let shape = bytes::layout(capacity)?;
    plan.add(SectionKind::BYTES_PRODUCER, id, shape.producer_len as u64)?;
    plan.add(SectionKind::BYTES_CONSUMER, id, shape.consumer_len as u64)?;
    plan.add(SectionKind::BELL, id, wait::LEN as u64)?;
    Ok(())
}

fn plan(
    setup: &Setup,
    lanes: u32,
    names_bytes: u32,
    trace_events: u32,
) -> Result<(RegionPlan, Sizes), BuildError> {
    let limits = &setup.limits;
    check_tick(setup)?;
    let mut plan = RegionPlan::new();
    let half = whole(limits.payload_bytes_per_microstep_max.into())
        + whole(limits.inference_bytes_per_microstep_max.into());
    let half = usize::try_from(half).unwrap_or(usize::MAX);
    for lane in 0..lanes {
        plan.add(SectionKind::OUTBOX, lane, outbox::layout(half)? as u64)?;
    }
    // An input shorter than a block is charged a whole one here as everywhere.
    let open = limits.input_bytes_per_tick_max as usize;
    plan.add(SectionKind::OUTBOX, OPEN, outbox::layout(open)? as u64)?;
    let held = limits.payload_bytes_held_max.div_ceil(BLOCK_BYTES) as usize;
    // Replies wait in inboxes too, reserved beside the held limit.
    let replies = (model_reply_bytes(limits) / u64::from(BLOCK_BYTES)) as usize;
    plan.add(SectionKind::SPILL, 0, spill::layout(held + replies)? as u64)?;
    add_ring(&mut plan, ring::LOG, LOG_RING_BYTES)?;
    if !setup.models.is_empty() {
        let shape = InferenceLayout::of(limits, &setup.models)?;
        add_ring(&mut plan, ring::REQUESTS, shape.requests_capacity)?;
        add_ring(&mut plan, ring::REPLIES, shape.replies_capacity)?;
    }
    plan.add(SectionKind::BELL, ring::SCHEDULER, wait::LEN as u64)?;
    for worker in 1..lanes {
        add_ring(&mut plan, ring::COMMANDS + 2 * worker, worker_ring_bytes(limits))?;
        add_ring(&mut plan, ring::RESULTS + 2 * worker, worker_ring_bytes(limits))?;
    }
    let rings = rings(setup, lanes).len() as u32;
    let models = setup.models.len() as u32;
    let agents_max = limits.agents_max;
    let sizes = Sizes { agents_max, lanes, models, rings, names_bytes, trace_events };
    sizes.plan(&mut plan)?;
    Ok((plan, sizes))
}

/// Bytes of the region of a run.
pub(crate) fn planned_bytes(
    setup: &Setup,
    lanes: u32,
    names_bytes: u32,
    trace_events: u32,
) -> Result<u64, BuildError> {
    Ok(plan(setup, lanes, names_bytes, trace_events)?.0.total_bytes())
}

/// What a run with a region of `need` bytes is refused for, if `max` is less.
pub(crate) fn check_bytes(setup: &Setup, need: u64, max: u64) -> Result<(), BuildError> {
    let too_large = || BuildError::TooLarge { need, max, cure: lower(setup) };
    if need > max { Err(too_large()) } else { Ok(()) }
}

/// Ids and names of the rings, in the order of their rows.
pub(crate) fn rings(setup: &Setup, lanes: u32) -> Vec<(u32, String)> {
    let mut rings = vec![(ring::LOG, "log".to_owned())];
    if !setup.models.is_empty() {
        rings.push((ring::REQUESTS, "requests".to_owned()));
        rings.push((ring::REPLIES, "replies".to_owned()));
    }
    for worker in 1..lanes {
        rings.push((ring::COMMANDS + 2 * worker, format!("commands {worker}")));
        rings.push((ring::RESULTS + 2 * worker, format!("results {worker}")));
    }
    rings
}

/// What to do about a region that is too large.
fn lower(setup: &Setup) -> String {
    let limits = &setup.limits;
    let (requests, replies) =
        (limits.inference_bytes_per_microstep_max, limits.inference_reply_bytes_pending_max);
    // Whatever takes most is named first.
    let inference = match setup.models.is_empty() {
        true => String::new(),
        false => format!(
            "limits.inference_reply_bytes_pending_max ({replies}), \
             limits.inference_bytes_per_microstep_max ({requests}, twice for each lane), "
        ),
    };
    format!(
        "raise it or lower {inference}limits.payload_bytes_per_microstep_max, \
         limits.payload_bytes_held_max, limits.receive_max, limits.effects_max, \
         region.trace_events or workers"
    )
}

/// Plans, maps and formats the region of a run. A name is locked first. Only with `helpers` a
/// thread gives it all of its memory later.
pub(crate) fn build(
    setup: &Setup,
    lanes: u32,
    names_bytes: u32,
    trace_events: u32,
    placing: &Placing,
    bytes_max: u64,
    helpers: bool,
) -> Result<Built, BuildError> {
    let name_lock = match placing {
        Placing::Private => None,
        Placing::Memfd(name) | Placing::File(name) => Some(locate::lock(name)?),
    };
    let (plan, sizes) = plan(setup, lanes, names_bytes, trace_events)?;
    let need = plan.total_bytes();
    check_bytes(setup, need, bytes_max)?;
    let map = match (placing, &name_lock) {
        (Placing::File(_), Some(name_lock)) => Map::file(&name_lock.file_path(), need)?,
        (Placing::Memfd(name), _) => Map::memfd_unpopulated(name, need)?,
        _ => Map::try_heap(need)?,
    };
    let started = clock::unix_ns();
    // The start time tells one run under a name from the next.
    let identity = Identity::of_this_process(wasm_engine_abi::SCHEMA, started, started);
    let region = Region::format(map, &plan, identity)?;
    let populating = Populating::start(region.map(), helpers);
    Ok(Built { region, name_lock, bytes: need, sizes, populating })
}

impl Built {
    /// Says to monitors where the region is; to be called when it is ready.
    pub(crate) fn announce(&self) -> Result<(), LocateError> {
        match (&self.name_lock, Descriptor::of(self.region.map(), self.region.identity())) {
            (Some(name_lock), Some(descriptor)) => name_lock.publish(&descriptor),
            _ => Ok(()),
        }
    }

    /// Begins to give all of the region its memory; to be called once the first tick is over, and
    /// again without effect.
    pub(crate) fn populate(&self) {
        self.populating.begin();
    }

    /// Producer and consumer block of a ring.
    pub(crate) fn ring(&self, id: u32) -> Result<(RawMem, RawMem), RegionError> {
        let producer = self.region.section(SectionKind::BYTES_PRODUCER, id)?;
        Ok((producer, self.region.section(SectionKind::BYTES_CONSUMER, id)?))
    }

    /// Bytes of data that a ring holds: what its producer block has beside its head.
    pub(crate) fn ring_capacity(&self, id: u32) -> Result<u64, RegionError> {
        let block = self.region.section(SectionKind::BYTES_PRODUCER, id)?.len_bytes();
        // A capacity is a power of two, far larger than the head.
        Ok(1 << block.ilog2())
    }

    /// The doorbell of whoever reads ring `id`.
    pub(crate) fn bell(&self, id: u32) -> Result<RawMem, RegionError> {
        self.region.section(SectionKind::BELL, id)
    }

    pub(crate) fn outbox(&self, lane: u32) -> Result<RawMem, RegionError> {
        self.region.section(SectionKind::OUTBOX, lane)
    }

    pub(crate) fn open_outbox(&self) -> Result<RawMem, RegionError> {
        self.region.section(SectionKind::OUTBOX, OPEN)
    }

    pub(crate) fn spill(&self) -> Result<RawMem, RegionError> {
        self.region.section(SectionKind::SPILL, 0)
    }

    pub(crate) fn counters(&self) -> Result<RawMem, RegionError> {
        self.region.section(SectionKind::COUNTERS, section::COUNTERS)
    }

    pub(crate) fn inference(&self) -> Result<InferenceMemory, RegionError> {
        Ok(InferenceMemory {
            requests: self.ring(ring::REQUESTS)?,
            replies: self.ring(ring::REPLIES)?,
            requests_bell: self.bell(ring::REQUESTS)?,
            replies_bell: self.bell(ring::REPLIES)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_engine_abi::tensor::ValueKind;
    use wasm_engine_setup::{Dim, ModelSetup, PortSetup, PortValue, Schedule};

    /// A model of `f32` tensors of fixed dimensions.
    fn model(input: &[u64], output: &[u64]) -> ModelSetup {
        let port = |name: &str, dims: &[u64]| PortSetup {
            name: name.to_owned(),
            value: PortValue::Tensor {
                kind: ValueKind::F32,
                dims: dims.iter().copied().map(Dim::fixed).collect(),
            },
            given: true,
        };
        let mut model = ModelSetup {
            inputs: vec![port("images", input)],
            outputs: vec![port("boxes", output)],
            batch: 1,
            latency_ticks: 1,
            ..ModelSetup::default()
        };
        model.request_bytes_max = model.request_bytes().expect("fixed");
        model.reply_bytes_max = model.reply_bytes().expect("fixed");
        model
    }

    #[test]
    fn a_detector_with_32_requests_pending_and_4096_agents_fits_256_mib() {
        // The tensors of a common detector: its image has 4.9 MB, its reply 2.8 MB.
        let model = model(&[1, 3, 640, 640], &[1, 84, 8400]);
        let (request, reply) = (model.request_bytes_max, model.reply_bytes_max);
        assert!(request > 4_900_000 && reply > 2_800_000);
        let mut limits = Limits { agents_max: 4096, ..Limits::default() };
        limits.inference_bytes_pending_max = 32 * request.next_multiple_of(BLOCK_BYTES);
        limits.inference_reply_bytes_pending_max = 32 * reply.next_multiple_of(BLOCK_BYTES);
        limits.suit(std::slice::from_ref(&model));
        let setup = Setup {
            seed: 0,
            schedule: Schedule::Fifo,
            aging_ticks: 16,
            state_digest_ticks: 1024,
            limits,
            topics: Vec::new(),
            sources: Vec::new(),
            templates: Vec::new(),
            groups: Vec::new(),
            agents: Vec::new(),
            models: vec![model],
        };
        for lanes in [1, 2] {
            let (plan, _) = plan(&setup, lanes, 1 << 16, 1 << 14).expect("it is planned");
            let mib = plan.total_bytes() >> 20;
            println!("{lanes} lanes: {mib} MiB");
            assert!(mib < 256, "{lanes} lanes: {mib} MiB");
        }
    }
}
