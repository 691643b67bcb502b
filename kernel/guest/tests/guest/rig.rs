//! A lane over memory of this process, and what its tests ask of the probe module.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::frame::{
    Effect, ItemFrame, ItemHeader, Location, TurnCommand, TurnResult, fault, item, turn,
};
use wasm_engine_abi::{AgentId, Digest};
use wasm_engine_guest::admission::{ModuleLimits, admit};
use wasm_engine_guest::engine::{Footprint, MemoryLayout, MemoryProfile, engine_in};
use wasm_engine_guest::lane::Lane;
use wasm_engine_guest::worker_codec::read_result;
use wasm_engine_guest::{Areas, LaneShared, LoadError, LoadedModule};
use wasm_engine_setup::{
    Limits, ModelSetup, Policy, Restart, Schedule, Setup, Template, TopicSetup,
};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::outbox::{self, OutboxReader, OutboxWriter};
use wasm_engine_shm::spill::{self, Spill, SpillReader};

/// Nanoseconds since the first call.
#[expect(clippy::disallowed_methods, reason = "figures only")]
pub(crate) fn now_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

pub(crate) const PROBE: &str = include_str!("fixtures/probe.wat");
pub(crate) const TRIVIAL: &str = include_str!("fixtures/trivial.wat");
/// Everything the probe imports.
pub(crate) const MANIFEST: &str = r#"
name = "probe"
version = "1.0.0"
abi = 1
capabilities = ["send", "timer", "lifecycle", "random", "log", "publish:**", "subscribe:**",
                "channel:**", "infer:**", "spawn:**"]
"#;
pub(crate) const FUEL: u64 = 1_000_000;
pub(crate) const SEED: u64 = 42;
/// Where the bytes of an item lie in the probe.
pub(crate) const BYTES_AT: u64 = 1128;

/// Templates: 0 with rights to some things, 1 with none; both over the same module.
pub(crate) fn setup() -> Setup {
    let template = |name: &str, capabilities: &[&str]| Template {
        name: name.to_owned(),
        module: "m".to_owned(),
        capabilities: capabilities.iter().map(|c| (*c).to_owned()).collect(),
        fuel_per_call: FUEL,
        priority: 0,
        restart: Restart::Never,
    };
    let topic = |name: &str| TopicSetup::new(name, Policy::Refuse, false);
    let models = vec![ModelSetup::of_rows("m", 2, 1), ModelSetup::of_rows("n", 2, 1)];
    let mut limits = Limits { agents_max: 8, memory_bytes_max: 4 << 16, ..Limits::default() };
    limits.suit(&models);
    let some = [
        "send",
        "timer",
        "lifecycle",
        "random",
        "log",
        "publish:a",
        "subscribe:b",
        "channel:room/*",
        "infer:m",
        "spawn:none",
    ];
    Setup {
        seed: SEED,
        schedule: Schedule::Fifo,
        aging_ticks: 8,
        state_digest_ticks: 64,
        limits,
        topics: vec![topic("a"), topic("b"), topic("c")],
        sources: Vec::new(),
        templates: vec![template("some", &some), template("none", &[])],
        groups: Vec::new(),
        agents: Vec::new(),
        models,
    }
}

/// The module of `wat`, with the manifest in it.
pub(crate) fn wasm(wat: &str) -> Vec<u8> {
    let manifest = MANIFEST.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    });
    let at = wat.rfind(')').expect("a module ends");
    let text = format!("{} (@custom \"wasm_engine.manifest\" \"{manifest}\"))", &wat[..at]);
    wat::parse_str(text).expect("fixture parses")
}

pub(crate) fn compile(wat: &str, setup: &Setup) -> Result<LaneShared, LoadError> {
    load(&wasm(wat), setup)
}

fn load(wasm: &[u8], setup: &Setup) -> Result<LaneShared, LoadError> {
    seated(wasm, setup, setup.limits.agents_max, None)
}

/// The same with so many agents awake at once, and memories laid out like this.
fn seated(
    wasm: &[u8],
    setup: &Setup,
    seats: u32,
    layout: Option<MemoryLayout>,
) -> Result<LaneShared, LoadError> {
    let memory_bytes_max = setup.limits.memory_bytes_max;
    let profile = MemoryProfile { seats, memory_bytes_max, layout };
    // Dense memories are those of a process that has no signal handlers.
    let footprint = match layout {
        Some(MemoryLayout::Dense) => Footprint::NONE,
        _ => Footprint::WHOLE,
    };
    let engine = engine_in(profile, footprint).expect("engine starts");
    let limits =
        ModuleLimits { memory_bytes_max: setup.limits.memory_bytes_max, ..ModuleLimits::default() };
    let admitted = admit("probe", wasm, &limits).expect("fixture is admitted");
    let loaded = LoadedModule::compile(&engine, &admitted)?;
    LaneShared::new(setup, &BTreeMap::from([("m".to_owned(), loaded)]), engine, seats)
}

/// A lane, and the scheduler's side of the bytes it reads.
pub(crate) struct Rig {
    pub(crate) lane: Lane,
    pub(crate) open: OutboxWriter<RawMem>,
    pub(crate) own: OutboxReader<RawMem>,
    pub(crate) spill: Spill<RawMem>,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
}

/// What one turn gave.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Turn {
    pub(crate) result: TurnResult,
    pub(crate) effects: Vec<Effect>,
}

impl Turn {
    /// What the probe's last call returned.
    pub(crate) fn answer(&self) -> i32 {
        assert_eq!(self.result.fault, fault::NONE, "{}", fault::text(self.result.fault));
        self.result.code - 1000
    }

    pub(crate) fn status(&self) -> Status {
        Status::from_code(self.answer()).expect("a status")
    }
}

/// An order for the probe: op, arguments, bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) op: u32,
    pub(crate) args: [u64; 4],
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn order<const N: usize>(op: u32, args: [u64; N], bytes: &[u8]) -> Order {
    let mut all = [0; 4];
    all[..N].copy_from_slice(&args);
    Order { op, args: all, bytes: bytes.to_vec() }
}

/// An order whose bytes are the call's name or payload: pointer and length follow the arguments.
pub(crate) fn naming(op: u32, bytes: &[u8]) -> Order {
    order(op, [BYTES_AT, bytes.len() as u64], bytes)
}

pub(crate) fn publishing(topic: u64, bytes: &[u8]) -> Order {
    order(2, [topic, BYTES_AT, bytes.len() as u64], bytes)
}

impl Order {
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut payload = u64::from(self.op).to_le_bytes().to_vec();
        self.args.iter().for_each(|arg| payload.extend_from_slice(&arg.to_le_bytes()));
        payload.extend_from_slice(&self.bytes);
        payload
    }
}

pub(crate) fn areas() -> (Areas, OutboxWriter<RawMem>, OutboxReader<RawMem>, Spill<RawMem>) {
    let outbox = || RawMem::heap(outbox::layout(1 << 20).expect("fits"));
    let (own, open) = (outbox(), outbox());
    let kept = RawMem::heap(spill::layout(4096).expect("fits"));
    let writer = Spill::new(kept.clone()).expect("fresh");
    let areas = Areas {
        outbox: OutboxWriter::new(own.clone()).expect("fresh"),
        lanes: vec![OutboxReader::new(own.clone()).expect("sized")],
        open: OutboxReader::new(open.clone()).expect("sized"),
        spill: SpillReader::new(kept).expect("sized"),
    };
    let reader = OutboxReader::new(own).expect("sized");
    (areas, OutboxWriter::new(open).expect("fresh"), reader, writer)
}

impl Rig {
    pub(crate) fn of(wat: &str, setup: &Setup) -> Self {
        Self::of_wasm(&wasm(wat), setup)
    }

    pub(crate) fn of_wasm(wasm: &[u8], setup: &Setup) -> Self {
        Self::over(load(wasm, setup).expect("loads"))
    }

    /// A lane where so many agents are awake at once, with memories that lie like this.
    pub(crate) fn seated(wasm: &[u8], setup: &Setup, seats: u32, layout: MemoryLayout) -> Self {
        Self::over(seated(wasm, setup, seats, Some(layout)).expect("loads"))
    }

    fn over(shared: LaneShared) -> Self {
        let shared = Arc::new(shared);
        let (areas, open, own, spill) = areas();
        let lane = Lane::new(shared, 0, areas);
        Self { lane, open, own, spill, epoch: 0, seq: 0 }
    }

    pub(crate) fn new() -> Self {
        let mut rig = Self::of(PROBE, &setup());
        assert_eq!(rig.init(0, b"").result.fault, fault::NONE);
        rig
    }

    pub(crate) fn command(&self, kind: u32) -> TurnCommand {
        TurnCommand {
            agent: AgentId::new(3, 1).to_bits(),
            key: 0x1234,
            tick: 9,
            seq: self.seq,
            microstep: 2,
            position: 5,
            incarnation: 1,
            kind,
            answers_free: 16,
            ..TurnCommand::default()
        }
    }

    pub(crate) fn run(&mut self, command: &TurnCommand, items: &[ItemFrame], args: &[u8]) -> Turn {
        let mut out = Vec::new();
        self.lane.execute(command, items, args, &mut out).expect("the machine works");
        let (result, effects) = read_result(bytemuck::cast_slice(&out)).expect("sound");
        let effects = effects.chunks_exact(64).map(bytemuck::pod_read_unaligned).collect();
        self.seq = result.seq;
        assert_eq!((result.position, result.incarnation), (command.position, command.incarnation));
        Turn { result, effects }
    }

    pub(crate) fn init(&mut self, template: u32, args: &[u8]) -> Turn {
        let args_len = args.len() as u32;
        let command = TurnCommand { template, args_len, ..self.command(turn::INIT) };
        self.run(&command, &[], args)
    }

    /// Items that lie in the open-outbox.
    pub(crate) fn items(&mut self, orders: &[Order]) -> Vec<ItemFrame> {
        self.open.begin(self.epoch);
        let frames = orders.iter().zip(0..).map(|(order, number)| {
            let payload = order.payload();
            let block = self.open.write(&payload).expect("room");
            ItemFrame {
                header: header(payload.len() as u32, number),
                location: Location { area: Location::OPEN, block },
                epoch: self.epoch,
            }
        });
        let frames = frames.collect();
        self.epoch += 1;
        self.lane.begin(self.epoch);
        frames
    }

    pub(crate) fn step_with(
        &mut self,
        orders: &[Order],
        change: impl Fn(&mut TurnCommand),
    ) -> Turn {
        let items = self.items(orders);
        let items_len = items.len() as u32;
        let mut command = TurnCommand { items: items_len, ..self.command(turn::STEP) };
        change(&mut command);
        self.run(&command, &items, &[])
    }

    pub(crate) fn step(&mut self, orders: &[Order]) -> Turn {
        self.step_with(orders, |_| {})
    }

    pub(crate) fn one(&mut self, order: Order) -> Turn {
        self.step(&[order])
    }

    /// Runs an order that must fault, then starts the agent again.
    pub(crate) fn fault(&mut self, order: Order) -> u32 {
        let seq = self.seq;
        let turn = self.step(&[publishing(0, b"x"), order, publishing(0, b"y")]);
        assert_eq!((turn.result.effects, turn.result.seq), (0, seq), "A8: discarded");
        assert_eq!((turn.result.answers, turn.result.blocks), (0, 0));
        assert_eq!(turn.result.items, 2, "A8: up to and including the faulting call's");
        assert_eq!(turn.result.fuel, 2 * FUEL, "A8: full budgets");
        assert!(turn.effects.is_empty());
        self.init(0, b"");
        turn.result.fault
    }

    pub(crate) fn payload(&self, effect: &Effect) -> Vec<u8> {
        let mut bytes = vec![0; effect.len as usize];
        self.own.copy_to(effect.block, &mut bytes).expect("inside");
        bytes
    }

    pub(crate) fn state(&mut self) -> Digest {
        self.run(&self.command(turn::HASH), &[], &[]).result.digest
    }
}

pub(crate) fn header(len: u32, number: u64) -> ItemHeader {
    ItemHeader {
        kind: item::MESSAGE,
        len,
        from: 77,
        from_seq: number,
        tick: 9,
        trace: 1000 + number,
        ..ItemHeader::default()
    }
}
