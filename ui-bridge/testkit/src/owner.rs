//! An owner without a kernel: a region with rows that the tests choose.
//!
//! The writing side is the one that the kernel uses, of `telemetry`.

use std::path::Path;

use bytemuck::Zeroable;
use wasm_engine_abi::SCHEMA;
use wasm_engine_abi::counter;
use wasm_engine_abi::frame::fault;
use wasm_engine_abi::frame::{CHANNEL, NO_TOPIC};
use wasm_engine_abi::ids::AgentId;
use wasm_engine_abi::page::{
    AgentRow, KernelPage, LaneRow, ModelRow, NONE_U32, NONE_U64, RingRow, TraceEvent, agent_state,
    event, lane_state, model_state, run_state, stall,
};
use wasm_engine_shm::counters::CounterWriter;
use wasm_engine_shm::header::{HeaderWriter, Identity, OwnerState};
use wasm_engine_shm::layout::RegionPlan;
use wasm_engine_shm::locate::{self, Descriptor};
use wasm_engine_shm::map::Map;
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::region::Region;

use wasm_engine_telemetry::publisher::{Publisher, Sizes};

/// Names of the example run.
pub const NAMES: &str = r#"{"name":"weather","templates":["station","forecaster","archivist"],
"models":["temperature"],"rings":["commands 1","results 1","log"],"lanes":2,"agents_max":64}"#;

/// Sizes of the example run.
pub fn sizes() -> Sizes {
    Sizes {
        agents_max: 64,
        lanes: 2,
        models: 1,
        rings: 3,
        names_bytes: NAMES.len() as u32,
        trace_events: 64,
    }
}

/// What an owner holds.
pub struct TestOwner {
    pub name_lock: Option<locate::NameLock>,
    pub region: Region,
    pub header: HeaderWriter<RawMem>,
    pub publisher: Publisher,
    /// Counters that the log thread would keep.
    pub log: CounterWriter<RawMem>,
    /// Events told so far.
    pub events: u64,
}

impl TestOwner {
    /// An owner whose region can be found by name.
    pub fn start(directory: &Path, name: &str, generation: u64) -> Self {
        Self::start_as(directory, name, identity(generation), NAMES)
    }

    /// The same with another identity and other names.
    pub fn start_as(directory: &Path, name: &str, identity: Identity, names: &str) -> Self {
        let sizes = Sizes { names_bytes: names.len() as u32, ..sizes() };
        let mut plan = RegionPlan::new();
        sizes.plan(&mut plan).expect("a possible plan");
        let map = Map::memfd(name, plan.total_bytes()).expect("sealed memory");
        let mut owner = Self::format_named(map, identity, names, &sizes);
        let name_lock = locate::lock_in(directory, name).expect("the name is free");
        let descriptor = Descriptor::of(owner.region.map(), owner.region.identity());
        name_lock.publish(&descriptor.expect("a location")).expect("published");
        owner.name_lock = Some(name_lock);
        owner
    }

    /// An owner of this memory, ready, named, nothing published.
    pub fn format(map: Map, identity: Identity) -> Self {
        Self::format_named(map, identity, NAMES, &sizes())
    }

    /// The same with other names.
    pub fn format_named(map: Map, identity: Identity, names: &str, sizes: &Sizes) -> Self {
        let mut plan = RegionPlan::new();
        sizes.plan(&mut plan).expect("a possible plan");
        let mut region = Region::format(map, &plan, identity).expect("formatted");
        let mut publisher = Publisher::new(&region, sizes).expect("as planned");
        publisher.names(names).expect("as planned");
        let log = publisher.take_log_counters().expect("once");
        let header = region.publish_ready().expect("once");
        Self { name_lock: None, region, header, publisher, log, events: 0 }
    }

    /// Publishes the example run as of `tick` and beats.
    pub fn publish(&mut self, tick: u64) {
        let run = ExampleRun::at(tick);
        for (slot, row) in (0..).zip(&run.agents) {
            self.publisher.agent(slot, row);
        }
        (0..).zip(&run.lanes).for_each(|(at, row)| self.publisher.lane(at, row));
        self.publisher.model(0, &run.model);
        (0..).zip(&run.rings).for_each(|(at, row)| self.publisher.ring(at, row));
        self.publisher.kernel(&run.kernel);
        self.header.set_state(OwnerState::Running, run.kernel.now_ns);
        self.header.heartbeat(tick, run.kernel.now_ns);
        for index in 0..counter::LOG.len() {
            self.log.set(index, (tick + 1) * 1000 + index as u64);
        }
    }

    /// Tells the next events.
    pub fn tell(&mut self, count: u64) {
        for number in self.events..self.events + count {
            self.publisher.event(&event_of(number));
        }
        self.events += count;
    }

    /// Publishes the end of the example run.
    pub fn finish(&mut self, tick: u64, exit_code: u32) {
        let mut page = ExampleRun::at(tick).kernel;
        page.run_state = if exit_code == 0 { run_state::FINISHED } else { run_state::FAILED };
        page.exit_code = exit_code;
        self.publisher.kernel(&page);
        self.header.set_state(OwnerState::Stopped, page.now_ns);
    }
}

/// A region as a fixed owner left it.
pub fn golden() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("region");
    let identity = Identity {
        schema: SCHEMA,
        generation: 7,
        pid: 4242,
        pid_start_time: 99,
        boot_id: *b"a golden boot id",
        pid_namespace: 5,
        started_unix_ns: 1_700_000_000_000_000_000,
    };
    let map = Map::file(&path, plan().total_bytes()).expect("a file");
    let mut owner = TestOwner::format(map, identity);
    for tick in 0..6 {
        owner.publish(tick);
        // More than the ring holds.
        owner.tell(15);
    }
    std::fs::read(&path).expect("its file is there while it lives")
}

/// The plan of the example run.
pub fn plan() -> RegionPlan {
    let mut plan = RegionPlan::new();
    sizes().plan(&mut plan).expect("a possible plan");
    plan
}

/// This process as an owner.
pub fn identity(generation: u64) -> Identity {
    Identity::of_this_process(SCHEMA, generation, 1_700_000_000_000_000_000)
}

/// The event of this number: every kind in turn, and one that nobody knows.
pub fn event_of(number: u64) -> TraceEvent {
    let kinds = event::ALL.len() as u64 + 1;
    let kind = event::ALL.get((number % kinds) as usize).map_or(99, |code| code.value);
    let address = AgentId::new((number % 20) as u32, (number / 20 % 3) as u32);
    TraceEvent {
        time_ns: 1_000_000_000 + number * 1000,
        tick: number / 15,
        subject: match kind {
            event::STALL => number / kinds % 6,
            event::DELIVERED if number % 2 == 1 => AgentId::NONE.to_bits(),
            _ => address.to_bits(),
        },
        a: if kind == event::FAULTED { number / kinds % 12 } else { number * 31 },
        b: match (kind, number / kinds % 3) {
            (event::DELIVERED, 1) => u64::from(NO_TOPIC) << 32 | number,
            (event::DELIVERED, 2) => u64::from(CHANNEL) << 32 | number,
            _ => number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        },
        kind,
        microstep: (number % 7) as u32,
    }
}

/// The example run: weather stations, forecasters that ask a model, an archivist in trouble.
pub struct ExampleRun {
    pub kernel: KernelPage,
    pub agents: Vec<AgentRow>,
    pub lanes: [LaneRow; 2],
    pub model: ModelRow,
    pub rings: [RingRow; 3],
}

/// Stations of the example run.
const STATIONS: u32 = 9;
/// Forecasters of the example run.
const FORECASTERS: u32 = 4;

impl ExampleRun {
    /// Everything as of a tick: plain functions of its number, so that tests know what to expect.
    pub fn at(tick: u64) -> Self {
        let n = tick + 1;
        let mut agents: Vec<_> = (0..STATIONS)
            .map(|copy| agent(0, copy, tick, n * 2, n * 11, 310 * n))
            .chain((0..FORECASTERS).map(|copy| agent(1, copy, tick, n * 3, n * 4, 5210 * n)))
            .collect();
        agents.push(AgentRow {
            state: agent_state::BACKOFF,
            until_tick: tick + 5,
            faults: 3,
            last_fault: fault::OUT_OF_FUEL,
            last_code: (-7i32).cast_unsigned(),
            incarnation: 3,
            inbox_items: 17,
            inbox_bytes: 17 * 128,
            ..agent(2, 0, tick - tick.min(4), n, n * 2, 90 * n)
        });
        let mut slots = (0..).zip(&mut agents);
        slots.by_ref().for_each(|(slot, row)| row.address = AgentId::new(slot, 0).to_bits());
        agents[2].state = agent_state::PAUSED;
        agents[2].inbox_items = 42;
        Self { kernel: kernel(tick), agents, lanes: lanes(n), model: model(n), rings: rings(n) }
    }
}

fn agent(template: u32, copy: u32, tick: u64, turns: u64, items: u64, fuel: u64) -> AgentRow {
    AgentRow {
        template,
        copy,
        state: agent_state::ACTIVE,
        last_tick: tick,
        turns,
        items,
        effects: turns + items / 2,
        fuel,
        lane: copy % 2,
        inbox_items: copy % 3,
        inbox_bytes: copy % 3 * 64,
        ..AgentRow::zeroed()
    }
}

fn kernel(tick: u64) -> KernelPage {
    let n = tick + 1;
    let mut page = KernelPage {
        start_ns: 1_000_000_000,
        now_ns: 1_000_000_000 + n * 7_000_000,
        tick,
        ticks_end: 8760,
        microsteps: n * 3,
        turns: n * 31,
        items: n * 117,
        messages: n * 104,
        refused: n / 50,
        inputs: n * 9,
        outputs: n * 4,
        inferences: n * 4,
        faults: 3,
        restarts: 2,
        dead_letters: 5,
        fuel: n * 24_000,
        log_bytes: n * 1312,
        log_records: n * 2,
        durable_tick: tick - tick.min(12),
        region_bytes: 4 << 20,
        digest: [0x0123_4567_89ab_cdef ^ n, 0xfedc_ba98_7654_3210],
        fuel_digest: [n, 0x5555],
        payload_bytes_held: 1728,
        run_state: run_state::RUNNING,
        agents: STATIONS + FORECASTERS + 1,
        agents_max: 64,
        messages_held: 63,
        inferences_pending: 4,
        runnable: 2,
        ..KernelPage::zeroed()
    };
    page.count_stall(stall::LOG, 41_500_000);
    page.stalls_model = n / 9;
    page.stall_model_ns = n / 9 * 180_000;
    // Most ticks are short; one in sixteen waits, one in 200 waits long.
    page.ticks = n;
    page.tick_ns_buckets[14] = n - n / 4;
    page.tick_ns_buckets[15] = n / 4 - n / 16;
    page.tick_ns_buckets[17] = n / 16 - n / 200;
    page.tick_ns_buckets[20] = n / 200;
    page.tick_ns_last = 21_300;
    page.tick_ns_max = 1_800_000;
    page.tick_ns_sum = n * 36_000;
    page
}

fn lanes(n: u64) -> [LaneRow; 2] {
    let lane = |turns, busy_ns, core, state| LaneRow {
        turns,
        busy_ns,
        wait_ns: n * 400_000,
        commands: turns,
        results: turns,
        outbox_bytes: 4096,
        outbox_capacity: 2 << 20,
        outbox_high_bytes: 196_608,
        agents: 7,
        core,
        state,
        reserved: 0,
    };
    [
        lane(n * 17, n * 2_900_000, 0, lane_state::BUSY),
        lane(n * 14, n * 2_100_000, NONE_U32, lane_state::IDLE),
    ]
}

fn model(n: u64) -> ModelRow {
    let mut row = ModelRow {
        batch: 32,
        pending: 4,
        latency_ticks: 1,
        state: model_state::READY,
        requests: n * 4,
        batches: n,
        rows_padded: n * 28,
        run_ns_last: 150_000,
        run_ns_max: 910_000,
        run_ns_sum: n * 160_000,
        ..ModelRow::zeroed()
    };
    row.run_ns_buckets[17] = n - n / 20;
    row.run_ns_buckets[19] = n / 20;
    row
}

fn rings(n: u64) -> [RingRow; 3] {
    let ring = |used_bytes, capacity_bytes, high_bytes, records, stalls| RingRow {
        used_bytes,
        capacity_bytes,
        high_bytes,
        records,
        stalls,
    };
    [
        ring(0, 1 << 20, 40_960, n * 14, 0),
        ring(0, 1 << 20, 65_536, n * 14, 0),
        ring(98_304, 1 << 20, 1_040_384, n * 2, 3),
    ]
}

/// A page of a run that has not begun.
pub fn not_begun() -> KernelPage {
    KernelPage { tick: NONE_U64, durable_tick: NONE_U64, ..KernelPage::zeroed() }
}
