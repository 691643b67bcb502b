//! A kernel with trivial agents, driven as the runtime drives it: facts, log, tick, log, rows.
//!
//! Every agent subscribes to one topic; one input of 64 bytes a tick gives each of them one turn
//! with one item. The agents do nothing, so what is left is the kernel.

use std::fmt::Write as _;
use std::sync::Arc;

use tempfile::TempDir;
use wasm_engine::machine::Placing;
use wasm_engine::machine::Threads;
use wasm_engine::machine::{Kernel, Parts, TraceOptions};
use wasm_engine_abi::record::{InputFact, TickClose, kind};
use wasm_engine_abi::{AgentId, Tick};
use wasm_engine_core::FactsBuilder;
use wasm_engine_core::{Output, RefusedInput, Request, Sink};
use wasm_engine_guest::admission::{Admitted, ModuleLimits, admit};
use wasm_engine_guest::engine::{MemoryProfile, deterministic_engine};
use wasm_engine_log::{LogOptions, LogRing, LogWriter};
use wasm_engine_setup::{
    AgentSetup, Limits, Policy, Restart, Schedule, Setup, SourceSetup, Template, TopicSetup,
    TraceLevel,
};
use wasm_engine_telemetry::publisher::log_counter_specs;
use wasmtime::Engine;

/// Fuel of one call.
pub const FUEL: u64 = 100_000;
/// Linear memory of an agent.
const MEMORY_BYTES: u64 = 64 << 10;
/// Bytes of the ring between scheduler and log thread, as a run has it.
const LOG_RING_BYTES: usize = 4 << 20;
/// Ticks between state digests, as a run has them.
pub const STATE_INTERVAL: usize = 1024;
/// Payload of the input.
pub const PAYLOAD_BYTES: usize = 64;

/// Subscribes to topic 0 at the start, then returns 0 for everything.
const AGENT: &str = r#"
(module
  (import "wasm_engine" "subscribe" (func $subscribe (param i32) (result i64)))
  (memory (export "memory") 1 1)
  (func (export "agent_inbox") (result i32) (i32.const 1024))
  (func (export "agent_inbox_cap") (result i32) (i32.const 4096))
  (func (export "agent_init") (result i32) (drop (call $subscribe (i32.const 0))) (i32.const 0))
  (func (export "agent_receive") (param i32) (result i32) (i32.const 0))
  (func (export "agent_step") (param i32) (result i32) (i32.const 0))
  (func (export "agent_shutdown") (result i32) (i32.const 0))
  (@custom "wasm_engine.manifest" "MANIFEST"))
"#;

const MANIFEST: &str = r#"
name = "trivial"
version = "1.0.0"
abi = 1
capabilities = ["subscribe:**"]
"#;

/// The trivial agent's module.
///
/// # Panics
/// Never: its text is fixed.
#[must_use]
pub fn module() -> Vec<u8> {
    let mut manifest = String::new();
    for byte in MANIFEST.bytes() {
        write!(manifest, "\\{byte:02x}").expect("a string takes all text");
    }
    wat::parse_str(AGENT.replace("MANIFEST", &manifest)).expect("the text is a module")
}

/// The module as admitted.
///
/// # Panics
/// Never: it is a plain module.
#[must_use]
pub fn admitted() -> Admitted {
    let limits = ModuleLimits { memory_bytes_max: MEMORY_BYTES, ..ModuleLimits::default() };
    admit("trivial", &module(), &limits).expect("the module is admitted")
}

/// The engine of a kernel of `agents` agents.
///
/// # Panics
/// If there is no address space.
#[must_use]
pub fn engine(agents: u32) -> Engine {
    let profile = MemoryProfile { agents_max: agents, memory_bytes_max: MEMORY_BYTES };
    deterministic_engine(profile).expect("there is address space")
}

fn setup(agents: u32) -> Setup {
    let template = Template {
        name: "trivial".to_owned(),
        module: "trivial".to_owned(),
        capabilities: vec!["subscribe:**".to_owned()],
        fuel_per_call: FUEL,
        priority: 0,
        restart: Restart::Never,
    };
    let agent = |copy| AgentSetup {
        name: format!("trivial.{copy}"),
        template: 0,
        copy,
        group: None,
        args: String::new(),
    };
    Setup {
        seed: 1,
        schedule: Schedule::Fifo,
        aging_ticks: 16,
        state_digest_ticks: STATE_INTERVAL as u64,
        limits: Limits { agents_max: agents, memory_bytes_max: MEMORY_BYTES, ..Limits::default() },
        topics: vec![TopicSetup { name: "t".to_owned(), policy: Policy::Refuse, output: false }],
        sources: vec![SourceSetup { id: "bench".to_owned() }],
        templates: vec![template],
        groups: Vec::new(),
        agents: (0..agents).map(agent).collect(),
        models: Vec::new(),
    }
}

/// Takes nothing, because nothing is given.
struct Nobody;

impl Sink for Nobody {
    fn output(&mut self, _: &Output<'_>) {}
    fn request(&mut self, _: &Request, _: &[u8]) {}
    fn input_refused(&mut self, _: &RefusedInput) {}
    fn log_line(&mut self, _: AgentId, _: Tick, _: u64, _: &[u8]) {}
}

/// What of a tick is left away, to see what it costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Without {
    /// No log.
    pub log: bool,
    /// No rows for monitors.
    pub rows: bool,
}

/// The kernel and what surrounds it.
#[derive(Debug)]
pub struct Rig {
    kernel: Kernel,
    facts: FactsBuilder,
    log: Option<LogWriter>,
    tick: Tick,
    agents: u32,
    rows: bool,
    last: TickClose,
    /// Where the log lies; it goes with the rig.
    _dir: TempDir,
}

impl Rig {
    /// A kernel after tick 0, with `workers` worker threads.
    ///
    /// # Panics
    /// If the machine cannot give what the kernel needs.
    #[must_use]
    pub fn new(agents: u32, workers: u32, without: Without) -> Self {
        Self::traced(agents, workers, without, TraceLevel::Events)
    }

    /// The same with another trace than the default one.
    ///
    /// # Panics
    /// As [`Rig::new`].
    #[must_use]
    pub fn traced(agents: u32, workers: u32, without: Without, level: TraceLevel) -> Self {
        let module = Arc::new(admitted());
        let mut kernel = Kernel::new(Parts {
            setup: Arc::new(setup(agents)),
            modules: &[module],
            name: "bench".to_owned(),
            engine: engine(agents),
            code_cache: None,
            threads: Threads::unpinned(workers),
            placing: Placing::Private,
            trace: TraceOptions { level, events: 16 << 10 },
            region_bytes_max: 1 << 30,
        })
        .expect("the kernel is built");
        kernel.announce().expect("nobody looks for it");
        let dir = tempfile::tempdir().expect("there is a temporary directory");
        let ring = LogRing::heap(LOG_RING_BYTES, &log_counter_specs(), crate::measure::clock_ns)
            .expect("a power of two");
        let options = LogOptions::new(dir.path().join("log"));
        let log = LogWriter::create(&options, [0; 16], ring).expect("the log can be written");
        let mut rig = Self {
            kernel,
            facts: FactsBuilder::default(),
            log: (!without.log).then_some(log),
            tick: 0,
            agents,
            rows: !without.rows,
            last: TickClose::default(),
            _dir: dir,
        };
        rig.tick();
        rig
    }

    /// Executes one tick as `wasm_engine::run` does.
    ///
    /// # Panics
    /// If a tick fails or not every agent took its turn.
    #[inline]
    pub fn tick(&mut self) {
        let (tick, turns) = (self.tick, self.agents);
        self.facts.begin(tick);
        if tick > 0 {
            let input = InputFact { source: 0, seq: tick, topic: 0 };
            self.facts.push(input, &[tick as u8; PAYLOAD_BYTES]);
        }
        let facts = self.facts.finish();
        if let Some(log) = &mut self.log {
            log.check().expect("the log is written");
            log.append(kind::TICK_OPEN, tick, &[facts]).expect("the log is written");
        }
        let close = self.kernel.tick(facts, &mut Nobody).expect("the tick is executed");
        if let Some(log) = &mut self.log {
            let turns = self.kernel.core().turn_digests();
            let parts = [close_bytes(&close), words(turns)];
            log.append(kind::TICK_CLOSE, tick, &parts).expect("the log is written");
        }
        if self.rows && self.kernel.publish_due() {
            self.kernel.publish();
        }
        assert_eq!(close.turns, turns, "every agent takes one turn a tick");
        self.last = close;
        self.tick += 1;
    }

    /// The last tick's close: digest, fuel, counts.
    #[must_use]
    pub fn last(&self) -> TickClose {
        self.last
    }
}

fn close_bytes(close: &TickClose) -> &[u8] {
    bytemuck::bytes_of(close)
}

fn words(words: &[u64]) -> &[u8] {
    bytemuck::cast_slice(words)
}

/// Runs two kernels for `ticks` ticks and checks that they end with one digest, whatever their
/// lanes.
///
/// # Panics
/// If they differ.
pub fn check(agents: u32, ticks: usize) {
    let last = [0, 1].map(|workers| {
        let mut rig = Rig::new(agents, workers, Without::default());
        (0..ticks).for_each(|_| rig.tick());
        rig.last()
    });
    assert_eq!(last[0], last[1], "the digest depends on the lanes");
}
