//! What the integration tests share: a builder of guest programs, and a kernel driven by hand.
//!
//! Agents are `fixtures/script.wat`, which executes the programs it is given. A [`Scene`] is a
//! [`Setup`] in the making, a [`Rig`] a kernel over it with a sink that keeps everything. What an
//! agent received is read from what it echoed ([`Rig::seen`]).
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use wasm_engine::{
    machine::Placing,
    machine::Threads,
    machine::{Kernel, Parts, TickError, TraceOptions},
};
use wasm_engine_abi::{
    AgentId, Digest, Tick,
    frame::ItemHeader,
    record::{FactHeader, TickClose, fact},
};
use wasm_engine_core::{FactsBuilder, Output, Request, Sink};
use wasm_engine_guest::{
    admission::{Admitted, ModuleLimits, admit},
    engine::{MemoryProfile, deterministic_engine},
};
use wasm_engine_setup::{
    AgentSetup, Limits, ModelSetup, Policy, Restart, Schedule, Setup, SourceSetup, Template,
    TopicSetup,
};

pub mod run;

pub const SCRIPT: &str = include_str!("../fixtures/script.wat");

/// Everything a guest can ask for.
pub const ALL: &[&str] = &[
    "send",
    "timer",
    "lifecycle",
    "random",
    "log",
    "publish:**",
    "subscribe:**",
    "channel:**",
    "infer:**",
    "spawn:**",
];

/// Addresses that the guest replaces.
pub const FROM: u64 = 0x7f7f_7f7f_0000_0001;
pub const SELF: u64 = 0x7f7f_7f7f_0000_0002;
pub const CHILD: u64 = 0x7f7f_7f7f_0000_0003;

/// Topics of every scene; agent `i` of the scene subscribes to `CMD + i`.
pub const OUT: u32 = 0;
pub const ECHO: u32 = 1;
pub const REFUSE: u32 = 2;
pub const DROP_OLDEST: u32 = 3;
pub const DROP_NEWEST: u32 = 4;
pub const LATEST: u32 = 5;
pub const CMD: u32 = 6;

/// A program for the guest; the opcodes are those of `script.wat`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prog(Vec<u8>);

pub fn prog() -> Prog {
    Prog(b"PROG\0\0\0\0".to_vec())
}

impl Prog {
    fn op(mut self, op: u32, a: u64, b: u64, data: &[u8]) -> Self {
        let n = data.len();
        assert!(n < 1 << 14, "a program's data is short");
        self.0.extend_from_slice(&op.to_le_bytes());
        self.0.extend_from_slice(&[(n & 0x7f) as u8, (n >> 7) as u8, 0, 0]);
        self.0.extend_from_slice(&a.to_le_bytes());
        self.0.extend_from_slice(&b.to_le_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        self
    }
    pub fn send(self, to: u64, data: &[u8]) -> Self {
        self.op(1, to, 0, data)
    }
    /// `len` bytes without giving them.
    pub fn send_len(self, to: u64, len: u64) -> Self {
        self.op(1, to, len, b"")
    }
    pub fn send_prog(self, to: u64, program: Prog) -> Self {
        self.op(1, to, 0, &program.0)
    }
    pub fn publish(self, topic: u32, data: &[u8]) -> Self {
        self.op(2, topic.into(), 0, data)
    }
    pub fn publish_len(self, topic: u32, len: u64) -> Self {
        self.op(2, topic.into(), len, b"")
    }
    pub fn subscribe(self, topic: u32) -> Self {
        self.op(3, topic.into(), 0, b"")
    }
    pub fn unsubscribe(self, topic: u32) -> Self {
        self.op(4, topic.into(), 0, b"")
    }
    pub fn join(self, channel: &str) -> Self {
        self.op(5, 0, 0, channel.as_bytes())
    }
    pub fn leave(self, channel: &str) -> Self {
        self.op(6, 0, 0, channel.as_bytes())
    }
    pub fn cast(self, channel: &str, data: &[u8]) -> Self {
        let bytes = [channel.as_bytes(), data].concat();
        self.op(7, 0, channel.len() as u64, &bytes)
    }
    pub fn infer(self, model: u32, row: &[u8]) -> Self {
        self.op(8, model.into(), 0, row)
    }
    pub fn timer(self, delay: u64, tag: u64) -> Self {
        self.op(9, delay, tag, b"")
    }
    pub fn spawn(self, template: &str, init: &Prog) -> Self {
        let bytes = [template.as_bytes(), &init.0].concat();
        self.op(10, 0, template.len() as u64, &bytes)
    }
    pub fn terminate(self, agent: u64) -> Self {
        self.op(11, agent, 0, b"")
    }
    pub fn pause(self, agent: u64) -> Self {
        self.op(12, agent, 0, b"")
    }
    pub fn resume(self, agent: u64) -> Self {
        self.op(13, agent, 0, b"")
    }
    pub fn log(self, level: u32, text: &str) -> Self {
        self.op(14, level.into(), 0, text.as_bytes())
    }
    pub fn random(self, topic: u32) -> Self {
        self.op(15, topic.into(), 0, b"")
    }
    pub fn trap(self) -> Self {
        self.op(16, 0, 0, b"")
    }
    pub fn forever(self) -> Self {
        self.op(17, 0, 0, b"")
    }
    pub fn recurse(self) -> Self {
        self.op(18, 0, 0, b"")
    }
    pub fn grow(self) -> Self {
        self.op(19, 0, 0, b"")
    }
    pub fn code(self, code: i32) -> Self {
        self.op(20, u64::from(code as u32), 0, b"")
    }
    pub fn echo(self, topic: u32) -> Self {
        self.op(21, topic.into(), 0, b"")
    }
    pub fn flood(self, topic: u32, times: u64, data: &[u8]) -> Self {
        self.op(22, topic.into(), times, data)
    }
    pub fn publish_from(self, at: u32, len: u32) -> Self {
        self.op(23, at.into(), len.into(), b"")
    }
    pub fn step_code(self, code: i32) -> Self {
        self.op(24, u64::from(code as u32), 0, b"")
    }
    pub fn count(self, topic: u32) -> Self {
        self.op(25, topic.into(), 0, b"")
    }
    pub fn farewell(self, topic: u32) -> Self {
        self.op(26, topic.into(), 0, b"")
    }
    /// Items of `kind` that are no programs run `program`.
    pub fn on(self, kind: u32, program: &Prog) -> Self {
        assert!(program.0.len() <= 1016, "a handler has 1,016 bytes");
        self.op(27, kind.into(), 0, &program.0)
    }
    pub fn result(self, topic: u32) -> Self {
        self.op(28, topic.into(), 0, b"")
    }
    pub fn topic(self, name: &str) -> Self {
        self.op(29, 0, 0, name.as_bytes())
    }
    pub fn model(self, name: &str) -> Self {
        self.op(29, 0, 1, name.as_bytes())
    }
    pub fn then(mut self, more: &Prog) -> Self {
        self.0.extend_from_slice(&more.0[8..]);
        self
    }
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
    /// As the arguments of an agent, which are text.
    pub fn args(&self) -> String {
        String::from_utf8(self.0.clone()).expect("a program of arguments holds small numbers only")
    }
}

/// The wasm of a fixture with a manifest that declares `capabilities`.
pub fn wasm(wat: &str, capabilities: &[&str]) -> Vec<u8> {
    let list: Vec<String> = capabilities.iter().map(|c| format!("'{c}'")).collect();
    manifest(wat, &format!("abi = 1\ncapabilities = [{}]", list.join(", ")))
}

/// The wasm of a fixture with `rest` in its manifest.
pub fn manifest(wat: &str, rest: &str) -> Vec<u8> {
    let manifest = format!("name = 'script'\nversion = '1.0.0'\n{rest}\n");
    let mut text = String::new();
    for byte in manifest.bytes() {
        let _ = write!(text, "\\{byte:02x}");
    }
    let at = wat.rfind(')').expect("a module ends");
    let text = format!("{} (@custom \"wasm_engine.manifest\" \"{text}\"))", &wat[..at]);
    wat::parse_str(text).expect("the fixture is well-formed")
}

fn admitted(wat: &str) -> Arc<Admitted> {
    let limits = ModuleLimits::default();
    Arc::new(admit("script", &wasm(wat, ALL), &limits).expect("the fixture is admitted"))
}

pub static MODULE: LazyLock<Arc<Admitted>> = LazyLock::new(|| admitted(SCRIPT));

/// A setup in the making.
#[derive(Clone, Debug)]
pub struct Scene {
    pub setup: Setup,
    pub modules: Vec<Arc<Admitted>>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Scene {
    /// `agents` agents of one template, each of which echoes and takes programs on its own topic.
    pub fn of(agents: u32) -> Self {
        let mut scene = Self::empty();
        scene.template("worker", Restart::Never);
        for _ in 0..agents {
            scene.agent(0, prog());
        }
        scene
    }

    pub fn empty() -> Self {
        let limits = Limits {
            agents_max: 64,
            answers_max: 64,
            effects_max: 128,
            payload_bytes_max: 16 << 10,
            memory_bytes_max: 128 << 10,
            ..Limits::default()
        };
        let mut scene = Self {
            setup: Setup {
                seed: 7,
                schedule: Schedule::Fifo,
                aging_ticks: 4,
                state_digest_ticks: 3,
                limits,
                topics: Vec::new(),
                sources: vec![SourceSetup { id: "host".to_owned() }],
                templates: Vec::new(),
                groups: Vec::new(),
                agents: Vec::new(),
                models: Vec::new(),
            },
            modules: Vec::new(),
        };
        for (name, policy, output) in [
            ("out", Policy::Refuse, true),
            ("echo", Policy::Refuse, true),
            ("refuse", Policy::Refuse, false),
            ("drop/oldest", Policy::DropOldest, false),
            ("drop/newest", Policy::DropNewest, false),
            ("latest", Policy::LatestOnly, false),
        ] {
            scene.setup.topics.push(TopicSetup { name: name.to_owned(), policy, output });
        }
        scene
    }

    pub fn template(&mut self, name: &str, restart: Restart) -> u32 {
        self.template_of(name, restart, &MODULE)
    }

    pub fn template_of(&mut self, name: &str, restart: Restart, module: &Arc<Admitted>) -> u32 {
        self.modules.push(Arc::clone(module));
        self.setup.templates.push(Template {
            name: name.to_owned(),
            module: hex(&module.hash),
            capabilities: ALL.iter().map(|c| (*c).to_owned()).collect(),
            fuel_per_call: 1_000_000,
            priority: 0,
            restart,
        });
        self.setup.templates.len() as u32 - 1
    }

    /// A variant of the fixture under its own name.
    pub fn template_wat(&mut self, name: &str, restart: Restart, wat: &str) -> u32 {
        let module = admitted(wat);
        self.template_of(name, restart, &module)
    }

    /// An agent that echoes, subscribes to its own topic and then does `init`.
    pub fn agent(&mut self, template: u32, init: Prog) -> u32 {
        let number = self.setup.agents.len() as u32;
        let topic = CMD + number;
        let first = prog().echo(ECHO).subscribe(topic);
        let name = format!("cmd/{number}");
        self.setup.topics.push(TopicSetup { name, policy: Policy::Refuse, output: false });
        self.raw_agent(template, &first.then(&init))
    }

    pub fn raw_agent(&mut self, template: u32, init: &Prog) -> u32 {
        let of = |agent: &&AgentSetup| agent.template == template;
        let copy = self.setup.agents.iter().filter(of).count() as u32;
        let number = self.setup.agents.len() as u32;
        let (name, args) = (format!("agent/{number}"), init.args());
        self.setup.agents.push(AgentSetup { name, template, copy, group: None, args });
        number
    }

    /// Puts agents into one restart group.
    pub fn group(&mut self, name: &str, members: &[u32]) {
        let group = self.setup.groups.len() as u32;
        self.setup.groups.push(name.to_owned());
        for &member in members {
            self.setup.agents[member as usize].group = Some(group);
        }
    }

    /// A model of one `f32` in and one out.
    pub fn model(&mut self, name: &str, latency_ticks: u64) -> u32 {
        self.setup.models.push(ModelSetup {
            name: name.to_owned(),
            sha256: "00".repeat(32),
            latency_ticks,
            batch: 4,
            input_len: 1,
            output_len: 1,
        });
        self.setup.models.len() as u32 - 1
    }

    pub fn limits(&mut self) -> &mut Limits {
        &mut self.setup.limits
    }
}

/// A message on an output topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Out {
    pub tick: Tick,
    pub microstep: u32,
    pub topic: u32,
    pub from: AgentId,
    pub seq: u64,
    pub payload: Vec<u8>,
}

/// Keeps everything that leaves a kernel.
#[derive(Debug, Default)]
pub struct Recorder {
    pub outputs: Vec<Out>,
    pub requests: Vec<(Request, Vec<u8>)>,
    pub lines: Vec<(AgentId, Tick, u64, Vec<u8>)>,
}

impl Sink for Recorder {
    fn output(&mut self, output: &Output<'_>) {
        self.outputs.push(Out {
            tick: output.tick,
            microstep: output.microstep,
            topic: output.topic,
            from: output.from,
            seq: output.from_seq,
            payload: output.payload.to_vec(),
        });
    }

    fn request(&mut self, request: &Request, input: &[u8]) {
        self.requests.push((*request, input.to_vec()));
    }

    fn log_line(&mut self, agent: AgentId, tick: Tick, level: u64, text: &[u8]) {
        self.lines.push((agent, tick, level, text.to_vec()));
    }
}

/// An item as its receiver saw it; of the payload the first 64 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    pub tick: Tick,
    pub microstep: u32,
    pub header: ItemHeader,
    pub payload: Vec<u8>,
}

/// A kernel, driven tick by tick.
#[derive(Debug)]
pub struct Rig {
    pub engine: wasm_engine_guest::engine::Engine,
    pub kernel: Kernel,
    pub sink: Recorder,
    pub facts: FactsBuilder,
    pub closes: Vec<TickClose>,
    /// Every record of facts so far, to be executed again.
    pub log: Vec<Vec<u8>>,
    pending: Vec<(u32, Vec<u8>)>,
    input_seq: u64,
}

/// The address of configured agent `index`.
pub fn at(index: u32) -> AgentId {
    AgentId::new(index, 0)
}

/// Its wire form.
pub fn to(index: u32) -> u64 {
    at(index).to_bits()
}

/// Header of a reply fact.
pub fn reply_to(request: &Request) -> FactHeader {
    FactHeader {
        kind: fact::REPLY,
        a: request.agent.to_bits(),
        b: request.seq,
        c: request.model,
        ..FactHeader::default()
    }
}

impl Rig {
    pub fn new(scene: &Scene) -> Self {
        Self::with_workers(scene, 0)
    }

    pub fn with_workers(scene: &Scene, workers: u32) -> Self {
        Self::placed(scene, workers, Placing::Private, TraceOptions::default())
    }

    /// A kernel that monitors can find under a name and whose trace they can follow.
    pub fn told(scene: &Scene, workers: u32, name: String, trace: TraceOptions) -> Self {
        let mut rig = Self::placed(scene, workers, Placing::Memfd(name), trace);
        rig.kernel.announce().expect("the name is free");
        rig
    }

    fn placed(scene: &Scene, workers: u32, placing: Placing, trace: TraceOptions) -> Self {
        let setup = scene.setup.clone();
        let engine = deterministic_engine(MemoryProfile {
            agents_max: setup.limits.agents_max,
            memory_bytes_max: setup.limits.memory_bytes_max,
        })
        .expect("the engine starts");
        let kernel = Kernel::new(Parts {
            setup: Arc::new(setup),
            modules: &scene.modules,
            name: "test".to_owned(),
            engine: engine.clone(),
            threads: Threads::unpinned(workers),
            placing,
            trace,
            region_bytes_max: u64::MAX,
        })
        .expect("the kernel starts");
        Self {
            engine,
            kernel,
            sink: Recorder::default(),
            facts: FactsBuilder::default(),
            closes: Vec::new(),
            log: Vec::new(),
            pending: Vec::new(),
            input_seq: 0,
        }
    }

    /// An input of the next tick.
    pub fn input(&mut self, topic: u32, payload: &[u8]) {
        self.pending.push((topic, payload.to_vec()));
    }

    /// A program for configured agent `index`, in the next tick.
    pub fn tell(&mut self, index: u32, program: Prog) {
        self.input(CMD + index, program.bytes());
    }

    /// The next tick by SEMANTICS T5, with the pending inputs due at once.
    pub fn next_tick(&mut self) -> Option<Tick> {
        if self.closes.is_empty() {
            return Some(0);
        }
        if !self.pending.is_empty() {
            return Some(self.kernel.core().tick() + 1);
        }
        self.kernel.core_mut().next_tick()
    }

    /// The tick after the last one.
    pub fn tick(&mut self) -> TickClose {
        let next = if self.closes.is_empty() { 0 } else { self.kernel.core().tick() + 1 };
        self.tick_at(next)
    }

    pub fn tick_at(&mut self, tick: Tick) -> TickClose {
        self.facts.begin(tick);
        let mut due = Vec::new();
        self.kernel.core().requests_due(tick, &mut due);
        for request in &due {
            // The row asked for, turned over, is the answer.
            let asked = self.sink.requests.iter().find(|(asked, _)| asked.number == request.number);
            let row: Vec<u8> = asked.expect("it was seen").1.iter().rev().copied().collect();
            self.facts.push(reply_to(request), &row);
        }
        if tick > 0 {
            for (topic, payload) in self.pending.drain(..) {
                let header = FactHeader {
                    kind: fact::INPUT,
                    b: self.input_seq,
                    c: topic,
                    ..FactHeader::default()
                };
                self.facts.push(header, &payload);
                self.input_seq += 1;
            }
        }
        let facts = self.facts.finish().to_vec();
        self.feed(&facts).expect("the tick runs")
    }

    /// One tick on a record of facts.
    pub fn feed(&mut self, facts: &[u8]) -> Result<TickClose, TickError> {
        let close = self.kernel.tick(facts, &mut self.sink)?;
        self.log.push(facts.to_vec());
        self.closes.push(close);
        Ok(close)
    }

    /// Ticks as T5 says until it says nothing, at most `max`.
    pub fn settle(&mut self, max: u64) {
        for _ in 0..max {
            let Some(tick) = self.next_tick() else { return };
            self.tick_at(tick);
        }
    }

    /// Payloads agent `from` published on an output topic.
    pub fn published(&self, from: AgentId, topic: u32) -> Vec<Vec<u8>> {
        let of = |out: &&Out| out.from == from && out.topic == topic;
        self.sink.outputs.iter().filter(of).map(|out| out.payload.clone()).collect()
    }

    /// The items that `agent` received, as it saw them.
    pub fn seen(&self, agent: AgentId) -> Vec<Seen> {
        let of = |out: &&Out| out.from == agent && out.topic == ECHO;
        let seen = |out: &Out| Seen {
            tick: out.tick,
            microstep: out.microstep,
            header: bytemuck::pod_read_unaligned(&out.payload[..64]),
            payload: out.payload[64..].to_vec(),
        };
        self.sink.outputs.iter().filter(of).map(seen).collect()
    }

    /// Items of one kind that `agent` received.
    pub fn seen_kind(&self, agent: AgentId, kind: u32) -> Vec<Seen> {
        self.seen(agent).into_iter().filter(|seen| seen.header.kind == kind).collect()
    }

    /// The positive status of the last refused call in the agent's last turn, else 0.
    pub fn code(&self, index: u32) -> i32 {
        self.kernel.core().agent(index).activity.last_code
    }

    /// Instances that lanes hold.
    pub fn instances(&self) -> u64 {
        self.engine.pooling_allocator_metrics().expect("instances are pooled").core_instances()
    }

    pub fn digests(&self) -> Vec<Digest> {
        self.closes.iter().map(|close| close.digest).collect()
    }
}

/// SplitMix64: numbers for scenarios.
pub struct Mix(pub u64);

impl Mix {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A run with everything in it: fan-out, sends, timers, spawn, terminate, pause, resume, channels,
/// faults with restart, payloads of 0 to 4 KiB, items held past `receive_max` and microsteps,
/// random, inference.
pub fn everything(seed: u64, schedule: Schedule) -> Scene {
    let mut scene = Scene::empty();
    scene.setup.seed = seed;
    scene.setup.schedule = schedule;
    let restart = Restart::Fresh { backoff_ticks: 2, restarts_max: 3, window_ticks: 20 };
    scene.template("worker", restart);
    scene.template("other", Restart::Never);
    scene.setup.templates[1].priority = 3;
    scene.model("m", 2);
    *scene.limits() = Limits {
        receive_max: 3,
        microsteps_max: 5,
        inbox_items_max: 24,
        inbox_bytes_max: 16 << 10,
        turns_per_microstep_max: 13,
        fuel_per_microstep_max: 1 << 40,
        ..scene.setup.limits.clone()
    };
    for number in 0..20 {
        let beat = prog().publish(REFUSE, b"beat").timer(3, number);
        let init = prog()
            .subscribe([REFUSE, DROP_OLDEST, DROP_NEWEST, LATEST][number as usize % 4])
            .join(["red", "blue"][number as usize % 2])
            .on(5, &beat)
            .timer(1 + number % 4, number);
        scene.agent(number as u32 % 2, init);
    }
    scene.group("all or none", &[0, 2, 6]);
    scene
}

/// One random program over `agents` configured agents.
pub fn random_program(mix: &mut Mix, agents: u32) -> Prog {
    let mut program = prog();
    for _ in 0..1 + mix.below(4) {
        let agent = match mix.below(8) {
            0 => FROM,
            1 => SELF,
            2 => CHILD,
            _ => to(mix.below(u64::from(agents)) as u32),
        };
        let topic = REFUSE + mix.below(4) as u32;
        let len = [0, 1, 63, 64, 65, 500, 4096][mix.below(7) as usize];
        program = match mix.below(24) {
            0..=3 => program.publish_len(topic, len),
            4..=6 => program.send_len(agent, len),
            7 => program.send_prog(agent, prog().random(OUT).count(OUT)),
            8 => program.timer(1 + mix.below(5), mix.next()),
            9 => program.spawn("worker", &prog().echo(ECHO).subscribe(topic).farewell(OUT)),
            10 => program.send_len(CHILD, len).terminate(CHILD),
            11 => program.terminate(agent).random(OUT),
            12 => program.pause(agent),
            13 | 14 => program.resume(to(mix.below(u64::from(agents)) as u32)),
            15 => program.join("red").cast("blue", b"to all"),
            16 => program.leave("red").unsubscribe(topic),
            17 => program.subscribe(topic),
            18 => program.infer(0, &(mix.next() as u32).to_le_bytes()),
            19 => program.random(OUT),
            20 => program.trap(),
            21 => program.flood(topic, 6, b"flood"),
            22 => program.code(-1),
            _ => program.log(3, "a line").count(OUT),
        };
    }
    program
}

/// Drives `rig` through `ticks` ticks of random inputs.
pub fn drive(rig: &mut Rig, seed: u64, ticks: u64, agents: u32) {
    let mut mix = Mix(seed);
    for tick in 0..ticks {
        if tick > 0 {
            for _ in 0..mix.below(6) {
                let program = random_program(&mut mix, agents);
                rig.tell(mix.below(u64::from(agents)) as u32, program);
            }
        }
        rig.tick();
    }
}
