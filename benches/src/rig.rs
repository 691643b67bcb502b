//! A kernel with simple agents, driven as the runtime drives it: facts, log, tick, log, rows.
//!
//! ```text
//!  listening  one input of 64 bytes a tick, to the topic of one group of agents; each member takes
//!             one turn with one item; groups are all agents, always the same, or one after the
//!             other
//!  relaying   each agent gets and sends one message of 64 bytes in every microstep
//! ```
//! The agents do nothing or compute for a known time, so what is left is the kernel.

use std::error::Error;
use std::sync::Arc;

use tempfile::TempDir;
use wasm_engine::machine::Threads;
use wasm_engine::machine::{Kernel, Parts, TraceOptions};
use wasm_engine::machine::{Placing, ThreadError};
use wasm_engine_abi::record::{InputFact, TickClose, kind};
use wasm_engine_abi::{AgentId, Tick};
use wasm_engine_core::FactsBuilder;
use wasm_engine_core::{CommandOutcome, Load, Output, RefusedInput, Request, Sink, TaskOutcome};
use wasm_engine_guest::engine::{Engine, EngineError, MemoryProfile, deterministic_engine};
use wasm_engine_log::keyframes::{Keyframe, KeyframeJob};
use wasm_engine_log::{LogOptions, LogRing, LogWriter};
use wasm_engine_setup::{
    AgentSetup, Limits, Policy, Restart, Schedule, Setup, SourceSetup, Template, TopicSetup,
    TraceLevel, memory_defaults,
};
use wasm_engine_shm::wait::WaitMode;
use wasm_engine_telemetry::publisher::log_counter_specs;

use crate::guests::{Job, MEMORY_BYTES, PAYLOAD_BYTES};

/// Bytes of the ring between scheduler and log thread, as a run has it.
const LOG_RING_BYTES: usize = 4 << 20;
/// Ticks between state digests, as a run has them.
pub const STATE_INTERVAL: usize = 1024;
/// Effects of one turn.
const EFFECTS: u32 = 8;
/// Microsteps of a tick of listening agents: they need one.
const MICROSTEPS: u32 = 4;
/// Largest region.
const REGION_BYTES_MAX: u64 = 8 << 30;

/// What of a tick is left away, to see what it costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Without {
    /// No log.
    pub log: bool,
    /// No rows for monitors.
    pub rows: bool,
    /// No state digests but that of tick 0.
    pub states: bool,
}

/// Which kernel, and what happens in a tick of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Case {
    /// Agents that exist.
    pub agents: u32,
    /// Groups of equal size, of which one is active in a tick.
    pub groups: u32,
    /// Whether the next tick is the next group's; else it is always that of the first.
    pub rotate: bool,
    /// What the agents do.
    pub work: Job,
    /// Microsteps of a tick of relaying agents.
    pub microsteps: u32,
    /// Worker threads.
    pub workers: u32,
    /// Whether threads are pinned as those of a run are, where cores suffice.
    pub pinned: bool,
    /// What is left away.
    pub without: Without,
    /// The trace.
    pub level: TraceLevel,
}

impl Case {
    /// Trivial agents, all of them active, on the scheduler's own lane, with the default trace.
    #[must_use]
    pub fn all(agents: u32) -> Self {
        Self {
            agents,
            groups: 1,
            rotate: false,
            work: Job::Listen { rounds: 0 },
            microsteps: MICROSTEPS,
            workers: 0,
            pinned: false,
            without: Without::default(),
            level: TraceLevel::Events,
        }
    }

    /// Agents that pass messages on, in ticks of `microsteps` rounds.
    #[must_use]
    pub fn relay(agents: u32, microsteps: u32, rounds: u32) -> Self {
        Self { work: Job::Relay { rounds }, microsteps, ..Self::all(agents) }
    }

    /// The same with one of `groups` groups active: always the first, or the next each tick.
    #[must_use]
    pub fn of_groups(self, groups: u32, rotate: bool) -> Self {
        Self { groups, rotate, ..self }
    }

    /// The same with worker threads.
    #[must_use]
    pub fn on(self, workers: u32) -> Self {
        Self { workers, ..self }
    }

    /// The same with worker threads on cores of their own, as a run has them.
    #[must_use]
    pub fn pinned_on(self, workers: u32) -> Self {
        Self { workers, pinned: workers > 0, ..self }
    }

    /// The same without.
    #[must_use]
    pub fn without(self, without: Without) -> Self {
        Self { without, ..self }
    }

    /// The same with state digests of tick 0 only: their share of a turn does not depend on the
    /// number of agents, and at a large one they are too rare to be part of every segment.
    #[must_use]
    pub fn without_states(self) -> Self {
        Self { without: Without { states: true, ..self.without }, ..self }
    }

    /// Agents that take a turn in one microstep.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.agents / self.groups
    }

    /// Turns of `tick`: in tick 0 the inits.
    #[must_use]
    pub fn turns(&self, tick: Tick) -> u32 {
        match self.work {
            _ if tick == 0 => self.agents,
            Job::Listen { .. } | Job::Fill => self.active(),
            Job::Relay { .. } => self.agents * self.microsteps,
        }
    }

    /// Default limits, raised to what the case needs; the quotas of a turn are lowered, so that a
    /// microstep of very many has a region of moderate size.
    fn limits(&self) -> Limits {
        let base = Limits::default();
        let turns = self.active().max(base.turns_per_microstep_max);
        let payload_bytes = turns * PAYLOAD_BYTES as u32;
        Limits {
            agents_max: self.agents,
            microsteps_max: self.microsteps,
            memory_bytes_max: MEMORY_BYTES,
            fuel_per_call: self.work.fuel(),
            effects_max: EFFECTS,
            answers_max: EFFECTS,
            payload_bytes_max: PAYLOAD_BYTES as u32,
            turns_per_microstep_max: turns,
            effects_per_microstep_max: base.effects_per_microstep_max.max(turns * EFFECTS),
            payload_bytes_per_microstep_max: base
                .payload_bytes_per_microstep_max
                .max(payload_bytes),
            fuel_per_microstep_max: i64::MAX as u64,
            deliveries_per_microstep_max: base.deliveries_per_microstep_max.max(turns),
            messages_held_max: base.messages_held_max.max(2 * turns),
            payload_bytes_held_max: base.payload_bytes_held_max.max(2 * payload_bytes),
            ..base
        }
    }

    fn setup(&self) -> Setup {
        let template = Template {
            name: "bench".to_owned(),
            module: "bench".to_owned(),
            capabilities: vec![self.work.capability().to_owned()],
            fuel_per_call: self.work.fuel(),
            priority: 0,
            restart: Restart::Never,
        };
        let agent = |copy| AgentSetup {
            name: format!("bench.{copy}"),
            template: 0,
            copy,
            group: None,
            args: String::new(),
        };
        let topic = |group| TopicSetup::new(format!("t{group}"), Policy::Refuse, false);
        let states = if self.without.states { u64::MAX >> 1 } else { STATE_INTERVAL as u64 };
        Setup {
            seed: 1,
            schedule: Schedule::Fifo,
            aging_ticks: 16,
            state_digest_ticks: states,
            limits: self.limits(),
            topics: (0..self.groups).map(topic).collect(),
            sources: vec![SourceSetup { id: "bench".to_owned(), live: false }],
            templates: vec![template],
            groups: Vec::new(),
            agents: (0..self.agents).map(agent).collect(),
            models: Vec::new(),
        }
    }

    fn threads(&self) -> Result<Threads, ThreadError> {
        match self.pinned {
            true => Threads::plan(self.workers, self.workers + 1, WaitMode::Hybrid, true),
            false => Ok(Threads::unpinned(self.workers)),
        }
    }

    fn kernel(&self) -> Result<Kernel, String> {
        let modules = [Arc::new(self.work.admitted(self.agents, self.groups))];
        let (setup, lanes) = (self.setup(), self.workers + 1);
        let profile = MemoryProfile::of(&setup, &modules, lanes, memory_defaults::AWAKE_MAX, None);
        let engine = deterministic_engine(profile).map_err(said)?;
        let mut kernel = Kernel::new(Parts {
            setup: Arc::new(setup),
            modules: &modules,
            name: "bench".to_owned(),
            engine,
            code_cache: None,
            threads: self.threads().map_err(said)?,
            placing: Placing::Private,
            trace: TraceOptions { level: self.level, events: 16 << 10 },
            region_bytes_max: REGION_BYTES_MAX,
        })
        .map_err(said)?;
        kernel.announce().map_err(said)?;
        Ok(kernel)
    }
}

/// The engine of a kernel of `agents` agents.
///
/// # Errors
/// If there is no address space.
pub fn engine(agents: u32) -> Result<Engine, EngineError> {
    let memory_bytes_max = MEMORY_BYTES;
    deterministic_engine(MemoryProfile { seats: agents, memory_bytes_max, layout: None })
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Takes nothing, because nothing is given.
struct Nobody;

impl Sink for Nobody {
    fn output(&mut self, _: &Output<'_>) {}
    fn request(&mut self, _: &Request, _: &[u8]) {}
    fn load_model(&mut self, _: &Load) {}
    fn unload_model(&mut self, _: u32) {}
    fn provider_changed(&mut self, _: u32, _: &[u8]) {}
    fn commanded(&mut self, _: &CommandOutcome) {}
    fn task_ended(&mut self, _: &TaskOutcome) {}
    fn input_refused(&mut self, _: &RefusedInput) {}
    fn log_line(&mut self, _: AgentId, _: Tick, _: u64, _: &[u8]) {}
}

/// The kernel and what surrounds it.
#[derive(Debug)]
pub struct Rig {
    kernel: Kernel,
    facts: FactsBuilder,
    log: Option<LogWriter>,
    tick: Tick,
    case: Case,
    last: TickClose,
    /// Where the log lies; it goes with the rig.
    _dir: TempDir,
}

impl Rig {
    /// A kernel after tick 0.
    ///
    /// # Errors
    /// What the machine or the kernel cannot give, in words.
    pub fn open(case: Case) -> Result<Self, String> {
        assert!(case.agents.is_multiple_of(case.groups), "groups have equal sizes");
        let kernel = case.kernel()?;
        let dir = tempfile::tempdir().map_err(said)?;
        let ring = LogRing::heap(LOG_RING_BYTES, &log_counter_specs(), crate::measure::clock_ns)
            .map_err(said)?;
        let options = LogOptions::new(dir.path().join("log"));
        let log = LogWriter::create(&options, [0; 16], ring).map_err(said)?;
        let mut rig = Self {
            kernel,
            facts: FactsBuilder::default(),
            log: (!case.without.log).then_some(log),
            tick: 0,
            case,
            last: TickClose::default(),
            _dir: dir,
        };
        rig.try_tick()?;
        Ok(rig)
    }

    /// The same where it cannot fail.
    ///
    /// # Panics
    /// If the machine cannot give what the kernel needs.
    #[must_use]
    pub fn new(case: Case) -> Self {
        Self::open(case).unwrap_or_else(|error| panic!("{case:?}: {error}"))
    }

    /// Executes one tick.
    ///
    /// # Panics
    /// As [`Rig::try_tick`] fails.
    #[inline]
    pub fn tick(&mut self) {
        self.try_tick().unwrap_or_else(|error| panic!("tick {}: {error}", self.tick));
    }

    /// Executes one tick as `wasm_engine::run` does.
    ///
    /// # Errors
    /// If a tick fails or not every active agent took its turns.
    #[inline]
    pub fn try_tick(&mut self) -> Result<(), String> {
        let tick = self.tick;
        self.facts.begin(tick);
        if tick > 0 && matches!(self.case.work, Job::Listen { .. } | Job::Fill) {
            let group = if self.case.rotate { tick as u32 % self.case.groups } else { 0 };
            let input = InputFact { source: 0, seq: tick, topic: group };
            self.facts.push(input, &[tick as u8; PAYLOAD_BYTES]);
        }
        let facts = self.facts.finish();
        if let Some(log) = &mut self.log {
            log.check().map_err(said)?;
            log.append(kind::TICK_OPEN, tick, &[facts]).map_err(said)?;
        }
        let close = self.kernel.tick(facts, &mut Nobody).map_err(said)?;
        if let Some(log) = &mut self.log {
            let turns = self.kernel.core().turn_digests();
            let parts = [bytemuck::bytes_of(&close), bytemuck::cast_slice(turns)];
            log.append(kind::TICK_CLOSE, tick, &parts).map_err(said)?;
        }
        if !self.case.without.rows && self.kernel.publish_due() {
            self.kernel.publish();
        }
        if close.turns != self.case.turns(tick) {
            return Err(format!("{} turns instead of {}", close.turns, self.case.turns(tick)));
        }
        self.last = close;
        self.tick += 1;
        Ok(())
    }

    /// Goes on where a checkpoint of the same case has it.
    ///
    /// # Panics
    /// If it is not one of this case.
    pub fn restore(&mut self, job: &KeyframeJob) {
        let Keyframe { tick, core, agents, .. } = &job.keyframe;
        self.kernel.restore(core, agents).expect("a checkpoint of this case");
        self.tick = tick + 1;
        // What this kernel logged so far is another run's.
        self.log = None;
    }

    /// The kernel, to copy its state.
    pub fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// The last tick's close: digest, fuel, counts.
    #[must_use]
    pub fn last(&self) -> TickClose {
        self.last
    }

    /// What it is a rig of.
    #[must_use]
    pub fn case(&self) -> &Case {
        &self.case
    }

    /// Calls of agents that ended in a fault so far.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.kernel.core().stats().faults
    }
}

/// What happened, in words.
#[cold]
fn said(error: impl Error) -> String {
    chain(&error)
}

/// Runs kernels with 0, 1 and 2 workers for `ticks` ticks and checks that they end with one digest
/// and without a fault.
///
/// # Panics
/// If they differ.
pub fn check(case: Case, ticks: usize) {
    let last = [0, 1, 2].map(|workers| {
        let mut rig = Rig::new(case.on(workers));
        (0..ticks).for_each(|_| rig.tick());
        assert_eq!(rig.faults(), 0, "an agent found a wrong message");
        rig.last()
    });
    assert!(last.iter().all(|close| *close == last[0]), "the digest depends on the lanes");
}
