//! A kernel: core, lanes and region put together, driven one tick at a time.
//!
//! The runtime gives it the facts of a live tick, the replayer those of a logged one; it knows no
//! difference. What leaves it goes to a [`Sink`].

mod changed_slots;
pub(crate) mod checkpoint;
mod code;
mod kept_states;
mod lane_costs;
mod lane_pool;
mod names;
mod payload_store;
mod populating;
mod publication;
pub(crate) mod region;
mod round;
mod sections;
pub(crate) mod stages;
mod threads;

use std::sync::Arc;

use bytemuck::Zeroable;
use wasm_engine_abi::{
    AgentId, Tick,
    page::{KernelPage, ModelRow, NONE_U64, TraceEvent, event, run_state},
    record::TickClose,
};
use wasm_engine_shm::{
    counters::CounterWriter,
    header::{HeaderWriter, OwnerState},
    mem::RawMem,
};

use self::{
    changed_slots::ChangedSlots,
    kept_states::KeptStates,
    names::names,
    sections::{Watched, open_lanes, watch_rings},
    stages::{StageClock, TickStage},
};
use crate::{
    clock,
    machine::lane_pool::LanePool,
    machine::payload_store::{PayloadAreas, TickEnvironment},
    machine::region::Built,
};
use wasm_engine_core::{Core, OpenError, Sink};
use wasm_engine_guest::{
    FaultAccount, LaneShared, LaneUse, LoadError, MachineError, admission::Admitted,
    code_cache::CodeCache, engine::Engine,
};
use wasm_engine_setup::{Setup, TraceLevel};
use wasm_engine_telemetry::publisher::Publisher;

pub use self::{
    checkpoint::RestoreError,
    region::{BuildError, Placing},
    stages::StageTimes,
    threads::{ThreadError, Threads},
};

/// What a kernel is built from; only `setup` and `modules` decide results.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The resolved run, with the models' row lengths.
    pub setup: Arc<Setup>,
    /// The module of each template.
    pub modules: &'a [Arc<Admitted>],
    /// Name of the kernel.
    pub name: String,
    /// The engine.
    pub engine: Engine,
    /// Where compiled modules are kept; without it they are compiled.
    pub code_cache: Option<&'a CodeCache>,
    /// Worker threads and how they wait.
    pub threads: Threads,
    /// Where the region lies.
    pub placing: Placing,
    /// What monitors see event by event, once [`Kernel::announce`] lets them attach.
    pub trace: TraceOptions,
    /// Largest region allowed, in bytes.
    pub region_bytes_max: u64,
}

/// What monitors see event by event, and how much of it they can be behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceOptions {
    /// Which events.
    pub level: TraceLevel,
    /// Events that their ring holds, a power of two; with 0 there is no trace.
    pub events: u32,
}

/// Why a kernel could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The region.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A module.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Why a tick could not be executed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TickError {
    /// The facts cannot be those of this tick.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The machine failed; the last closed tick stands (SEMANTICS T10).
    #[error("the machine failed in tick {tick}; free memory and go on from the log with --resume")]
    Machine {
        /// The tick.
        tick: Tick,
        /// What failed.
        #[source]
        source: MachineError,
    },
}

/// Accounts of faults that are kept of one tick.
const FAULTS_MAX: usize = 64;

/// A run between two ticks.
#[derive(Debug)]
pub struct Kernel {
    core: Core,
    lanes: LanePool,
    payloads: PayloadAreas,
    publisher: Publisher,
    /// What enters the trace once monitors may attach: a resumed run does not repeat its past.
    trace: TraceOptions,
    header: Option<HeaderWriter<RawMem>>,
    built: Built,
    agents: Vec<AgentId>,
    dirty: Vec<u32>,
    /// Of the last tick, as many as are kept.
    faults: Vec<FaultAccount>,
    /// By slot: whether an agent lives there, as monitors were told.
    alive: Vec<bool>,
    /// By lane: how many do.
    lane_agents: Vec<u32>,
    changed: ChangedSlots,
    engine: Engine,
    page: KernelPage,
    /// In the order of their rows.
    rings: Vec<Watched>,
    /// Where the time of a tick goes, where somebody asks.
    pub(crate) stages: StageClock,
    /// When the last tick was closed.
    closed_ns: u64,
    /// When the last publication was.
    published_ns: u64,
    /// When the next is due, if ticks run back to back.
    publish_due_ns: u64,
}

impl Kernel {
    /// Maps and formats the region, compiles the modules, starts the lanes.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn new(parts: Parts<'_>) -> Result<Self, KernelError> {
        let Parts {
            setup, modules, name, engine, threads, placing, trace, region_bytes_max, ..
        } = parts;
        let lanes = threads.workers + 1;
        let names = names(&setup, &name, lanes);
        let trace_events = if trace.level == TraceLevel::Off { 0 } else { trace.events };
        let names_bytes = names.len() as u32;
        let built = region::build(
            &setup,
            lanes,
            names_bytes,
            trace_events,
            &placing,
            region_bytes_max,
            threads.helpers,
        )?;
        let seats_max = engine.seats() / lanes;
        let code = code::load(&setup, modules, &engine, parts.code_cache, threads.helpers)?;
        let shared = Arc::new(LaneShared::new(&setup, &code, engine.clone(), seats_max)?);
        let (payloads, lanes) = open_lanes(&built, &threads, shared)?;
        let mut publisher =
            Publisher::new(&built.region, &built.sizes).map_err(BuildError::from)?;
        publisher.names(&names).map_err(BuildError::from)?;
        let page = KernelPage {
            start_ns: clock::now_ns(),
            tick: NONE_U64,
            ticks_end: NONE_U64,
            durable_tick: NONE_U64,
            region_bytes: built.bytes,
            agents_max: setup.limits.agents_max,
            run_state: run_state::STARTING,
            ..KernelPage::zeroed()
        };
        let (agents, dirty) = (Vec::new(), Vec::new());
        let rings = watch_rings(&built, &setup, threads.workers + 1)?;
        let (core_slots, lanes_count) = (setup.limits.agents_max as usize, lanes.uses().len());
        let core = Core::new(setup);
        Ok(Self {
            core,
            lanes,
            payloads,
            publisher,
            trace: TraceOptions { events: trace_events, ..trace },
            header: None,
            built,
            agents,
            dirty,
            faults: Vec::new(),
            alive: vec![false; core_slots],
            lane_agents: vec![0; lanes_count],
            changed: ChangedSlots::default(),
            engine,
            page,
            rings,
            stages: StageClock::default(),
            closed_ns: 0,
            published_ns: 0,
            publish_due_ns: 0,
        })
    }

    /// Bytes of the region that a kernel of these parts has.
    ///
    /// # Errors
    /// If no region can be as the limits want it.
    pub(crate) fn region_bytes(
        setup: &Setup,
        name: &str,
        workers: u32,
        trace: TraceOptions,
    ) -> Result<u64, BuildError> {
        let names_bytes = names(setup, name, workers + 1).len() as u32;
        let events = if trace.level == TraceLevel::Off { 0 } else { trace.events };
        region::planned_bytes(setup, workers + 1, names_bytes, events)
    }

    /// The state machine.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The engine, which knows how the memories of agents lie.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Agents that lanes hold, awake and asleep: as of the last microstep.
    #[must_use]
    pub fn agents_held(&self) -> (u32, u32) {
        let uses = self.lanes.uses();
        let sum = |count: fn(&LaneUse) -> u32| uses.iter().map(count).sum();
        (sum(|used| used.awake), sum(|used| used.asleep))
    }

    /// The state machine, to ask for its next tick.
    pub fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    pub(crate) fn built(&self) -> &Built {
        &self.built
    }

    /// The page that the next [`Kernel::publish`] shows, for what only the driver knows.
    pub(crate) fn page(&mut self) -> &mut KernelPage {
        &mut self.page
    }

    /// Lets monitors attach; from now on the trace is written.
    ///
    /// # Errors
    /// If the descriptor cannot be written.
    pub fn announce(&mut self) -> Result<(), BuildError> {
        self.page.run_state = run_state::RUNNING;
        self.core.set_trace(self.trace.level, self.trace.events as usize);
        self.publish();
        self.header = self.built.region.publish_ready();
        self.set_state(OwnerState::Running);
        Ok(self.built.announce()?)
    }

    /// Tells monitors what the owner is doing; to be said before every wait.
    pub(crate) fn set_state(&mut self, state: OwnerState) {
        self.closed().1(state);
    }

    /// Turn digests of the last tick, and what tells monitors what the owner does with them.
    pub(crate) fn closed(&mut self) -> (&[u64], impl FnMut(OwnerState)) {
        let Self { core, header, .. } = self;
        let tell = move |state| {
            if let Some(header) = header {
                header.set_state(state, clock::now_ns());
            }
        };
        (core.turn_digests(), tell)
    }

    /// Executes one tick on `facts`, a `TickOpen` record.
    ///
    /// # Errors
    /// [`TickError`]; the kernel must not be used again.
    pub fn tick(
        &mut self,
        facts: &[u8],
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<TickClose, TickError> {
        let begin = clock::now_ns();
        self.faults.clear();
        let mut env = TickEnvironment { payloads: &mut self.payloads, sink };
        self.core.open(facts, &mut env)?;
        self.stages.lap(TickStage::Open);
        publish_trace(&mut self.core, &mut self.publisher, begin);
        let tick = self.core.tick();
        let machine = |source| TickError::Machine { tick, source };
        let mut kept = KeptStates {
            core: &mut self.core,
            lanes: &mut self.lanes,
            changed: &mut self.changed,
            agents: &mut self.agents,
        };
        kept.go_back().map_err(machine)?;
        kept.forget();
        while self.core.plan(&mut env) > 0 {
            self.stages.lap(TickStage::Plan);
            if self.trace.level == TraceLevel::Full {
                publish_trace(&mut self.core, &mut self.publisher, clock::now_ns());
            }
            let results = self.lanes.step(&self.core).map_err(machine)?;
            self.stages.lap(TickStage::Step);
            let faults = self.core.stats().faults;
            self.core.commit(results, &mut env);
            if self.core.stats().faults > faults {
                let room = FAULTS_MAX - self.faults.len();
                self.faults.extend(self.lanes.faults().into_iter().take(room));
            }
            publish_trace(&mut self.core, &mut self.publisher, self.lanes.stepped_ns());
            self.core.drain_group_stopped(&mut self.agents);
            if !self.agents.is_empty() {
                self.changed.mark_all(&self.agents);
                self.lanes.drop_states(&self.agents).map_err(machine)?;
            }
            let Self { core, lanes, changed, agents, .. } = self;
            KeptStates { core, lanes, changed, agents }.forget();
            self.stages.lap(TickStage::Commit);
        }
        self.stages.lap(TickStage::Plan);
        let state = if self.core.state_due() {
            self.core.state_agents(&mut self.agents);
            Some(self.lanes.state_digest(&self.agents).map_err(machine)?)
        } else {
            None
        };
        let close = self.core.close(state, &mut env);
        if self.changed.is_on() {
            self.core.turn_agents().iter().for_each(|slot| self.changed.mark(*slot));
        }
        self.closed_ns = clock::now_ns();
        publish_trace(&mut self.core, &mut self.publisher, self.closed_ns);
        self.page.count_tick(self.closed_ns - begin);
        self.stages.lap(TickStage::Close);
        Ok(close)
    }

    /// What is known of the faults of the last tick, in their order: the first 64.
    pub(crate) fn faults(&self) -> &[FaultAccount] {
        &self.faults
    }

    /// Counts a wait of `ns` for `cause`, one of `stall`, and tells of it; it was at the edge of
    /// `tick`, not in one of its microsteps.
    pub(crate) fn count_stall(&mut self, cause: usize, tick: Tick, ns: u64) {
        self.page.count_stall(cause, ns);
        self.publisher.event(&TraceEvent {
            time_ns: clock::now_ns(),
            tick,
            subject: cause as u64,
            a: ns,
            b: 0,
            kind: event::STALL,
            microstep: 0,
        });
    }

    /// Pins the calling thread, which will execute ticks, where `threads` are pinned.
    pub(crate) fn pin_scheduler(&mut self, threads: &Threads) {
        if let Some(core) = threads.pin_scheduler() {
            self.lanes.ran_on(core);
        }
    }

    /// Counters of the log thread; once.
    pub(crate) fn take_log_counters(&mut self) -> Option<CounterWriter<RawMem>> {
        self.publisher.take_log_counters()
    }

    /// Name of the agent in slot `index`: configured, or template and copy of a spawned one.
    #[must_use]
    pub fn agent_name(&self, index: u32) -> String {
        let agent = self.core.agent(index);
        self.core.setup().agent_name(agent.id, agent.template, agent.copy).into_owned()
    }

    /// Whether the tick just closed is to be published now: not if the last publication was less
    /// than a millisecond ago and another tick follows at once. Where publications take long, for
    /// very many agents, they are as much rarer, down to four in a second.
    #[must_use]
    #[inline]
    pub fn publish_due(&self) -> bool {
        self.closed_ns >= self.publish_due_ns
    }

    /// Whether a tick was closed since the last publication: to be published before a wait.
    #[must_use]
    pub fn unpublished(&self) -> bool {
        self.closed_ns > self.published_ns
    }

    /// Publishes model `index` with the next [`Kernel::publish`].
    pub(crate) fn publish_model(&mut self, index: u32, row: &ModelRow) {
        self.publisher.model(index, row);
    }

    /// Counts of the log's ring, which its writer keeps.
    pub(crate) fn count_log(&mut self, records: u64, stalls: u64) {
        let row = &mut self.rings[0].row;
        (row.records, row.stalls) = (records, stalls);
    }

    /// Writes that the run is over, for good or with a failure.
    pub(crate) fn finish(&mut self, exit_code: u32) {
        let failed = exit_code == 1;
        self.lanes.stop();
        self.page.run_state = if failed { run_state::FAILED } else { run_state::FINISHED };
        self.page.exit_code = exit_code;
        self.publish();
        self.set_state(OwnerState::Stopped);
    }
}

/// Sends what the core told to whoever follows.
#[inline]
fn publish_trace(core: &mut Core, publisher: &mut Publisher, time_ns: u64) {
    let (lost, events) = core.drain_trace();
    if lost > 0 {
        // Then as many as the ring holds are left.
        publisher.lose(lost);
    }
    for event in events {
        publisher.event(&TraceEvent { time_ns, ..event });
    }
}
