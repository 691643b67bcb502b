//! The numbers as every output shows them: named, with words for codes, and with rates.
//!
//! A [`View`] is made from one snapshot and, for rates, an earlier one of the same run. Without an
//! earlier one the rates are averages since the start. Text, terminal and JSON render a `View` and
//! compute nothing themselves.
//!
//! What this does not do: it reads no memory and knows no terminal.

use serde::{Serialize, Serializer};
use wasm_engine_abi::counter::{self, Counter};
use wasm_engine_abi::frame::fault;
use wasm_engine_abi::ids::{AgentId, Digest};
use wasm_engine_abi::page::{
    AgentRow, KernelPage, LaneRow, ModelRow, NONE_U32, NONE_U64, RingRow, agent_state, lane_state,
    model_state, run_state, stall,
};

use crate::durations::{Durations, durations};
use wasm_engine_telemetry::{Liveness, Names, Snapshot};

/// One snapshot of one kernel.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct View {
    /// Name of the kernel.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// Which life of the name this is, 16 hexadecimal digits.
    pub generation: String,
    /// Wall clock at its start, in nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// What may be said about its process.
    #[serde(serialize_with = "as_word")]
    pub liveness: Liveness,
    /// What it says it is doing.
    pub activity: &'static str,
    /// Time for which it has shown no sign of life, in ns.
    pub idle_ns: u64,
    /// The run as a whole.
    pub kernel: Kernel,
    /// Totals and gauges by name: see `wasm_engine_abi::counter`.
    #[serde(serialize_with = "as_map")]
    pub counters: Vec<(&'static Counter, u64)>,
    /// What happened per second.
    pub rates: Rates,
    /// Whether all agents are shown as of the same moment: one version of their table.
    pub agents_one_version: bool,
    /// Agents, by slot.
    pub agents: Vec<Agent>,
    /// Lanes.
    pub lanes: Vec<Lane>,
    /// Models.
    pub models: Vec<Model>,
    /// Rings.
    pub rings: Vec<Ring>,
}

/// The run as a whole.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Kernel {
    /// `starting`, `running`, `finished`, `failed`.
    pub run: &'static str,
    /// Exit status; `None` until it has ended.
    pub exit_code: Option<u32>,
    /// Last closed tick.
    pub tick: Option<u64>,
    /// First tick that will not be executed.
    pub ticks_end: Option<u64>,
    /// Last tick whose facts are on disk.
    pub durable_tick: Option<u64>,
    /// Time since the start, in ns.
    pub uptime_ns: u64,
    /// Tick digest, 32 hexadecimal digits.
    pub digest: String,
    /// Fuel chain, 32 hexadecimal digits.
    pub fuel_digest: String,
    /// Agents that exist.
    pub agents: u32,
    /// Agent slots.
    pub agents_max: u32,
    /// Agents runnable at the close.
    pub runnable: u32,
    /// Messages and inputs in all inboxes.
    pub messages_held: u32,
    /// Inference requests without a reply yet.
    pub inferences_pending: u32,
    /// Due inputs that did not fit into the last tick.
    pub inputs_left: u32,
    /// Duration of ticks since the earlier snapshot, or since the start if there were none.
    pub tick_time: Durations,
    /// Ticks by duration since the start: entry `i` counts those of `2^i` to `2^(i+1)` ns.
    pub tick_ns_buckets: Vec<u64>,
    /// Waits of a tick, by cause.
    pub stalls: Vec<Stall>,
}

/// Waits for one cause.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Stall {
    /// `model`, `log`.
    pub cause: &'static str,
    /// How many.
    pub count: u64,
    /// Time waited, in ns.
    pub ns: u64,
}

/// What happened per second.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Rates {
    /// Time between the two snapshots, in ns of the kernel's clock.
    pub window_ns: u64,
    /// Ticks.
    pub ticks: f64,
    /// Turns.
    pub turns: f64,
    /// Messages accepted.
    pub messages: f64,
    /// Items received.
    pub items: f64,
    /// Inputs.
    pub inputs: f64,
    /// Inference replies.
    pub inferences: f64,
    /// Fuel.
    pub fuel: f64,
    /// Log bytes.
    pub log_bytes: f64,
}

/// One agent.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Agent {
    /// Slot and generation: `7.0`.
    pub address: String,
    /// Template and copy: `station#3`.
    pub name: String,
    /// `initialising`, `active`, `paused`, `backoff`, `stopping`.
    pub state: &'static str,
    /// Incarnation.
    pub incarnation: u32,
    /// Lane.
    pub lane: u32,
    /// Turns.
    pub turns: u64,
    /// Turns per second.
    pub turns_per_s: f64,
    /// Items received.
    pub items: u64,
    /// Effects.
    pub effects: u64,
    /// Fuel.
    pub fuel: u64,
    /// Items in its inbox.
    pub inbox_items: u32,
    /// Payload bytes in its inbox.
    pub inbox_bytes: u32,
    /// Faults.
    pub faults: u32,
    /// The last one in words, if any.
    pub last_fault: Option<&'static str>,
    /// Code that its last call returned.
    pub last_code: i32,
    /// Tick of its last turn.
    pub last_tick: Option<u64>,
    /// Tick at which its backoff ends.
    pub until_tick: Option<u64>,
}

/// One lane.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Lane {
    /// Number; 0 is the scheduler's own.
    pub lane: u32,
    /// `idle`, `busy`, `stopped`.
    pub state: &'static str,
    /// Core that it is pinned to.
    pub core: Option<u32>,
    /// Agents that live here.
    pub agents: u32,
    /// Turns.
    pub turns: u64,
    /// Turns per second.
    pub turns_per_s: f64,
    /// Part of the time spent executing turns, 0 to 1.
    pub busy: f64,
    /// Commands received.
    pub commands: u64,
    /// Results sent.
    pub results: u64,
    /// Outbox bytes in use.
    pub outbox_bytes: u64,
    /// Most ever in use.
    pub outbox_high_bytes: u64,
    /// Bytes of the outbox.
    pub outbox_capacity: u64,
}

/// One model.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Model {
    /// Name.
    pub name: String,
    /// `ready`, `failed`.
    pub state: &'static str,
    /// Rows of a batch.
    pub batch: u32,
    /// Ticks from a request to its reply.
    pub latency_ticks: u64,
    /// Requests computed.
    pub requests: u64,
    /// Requests per second.
    pub requests_per_s: f64,
    /// Batches run.
    pub batches: u64,
    /// Rows that only filled batches up.
    pub rows_padded: u64,
    /// Error replies.
    pub errors: u64,
    /// Requests without a reply yet.
    pub pending: u32,
    /// Duration of batches.
    pub run_time: Durations,
}

/// One ring.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Ring {
    /// Name.
    pub name: String,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Bytes of the ring.
    pub capacity_bytes: u64,
    /// Most bytes ever in use.
    pub high_bytes: u64,
    /// Records published.
    pub records: u64,
    /// Records per second.
    pub records_per_s: f64,
    /// Times it was full.
    pub stalls: u64,
}

impl View {
    /// The view of `now`, with rates since `before` if that is an earlier snapshot of the same run;
    /// all of them are 0 if nothing was published since then.
    #[must_use]
    pub fn new(now: &Snapshot, before: Option<&Snapshot>) -> Self {
        let before = before.filter(|b| {
            b.owner.generation == now.owner.generation && b.kernel.now_ns <= now.kernel.now_ns
        });
        let since = before.map_or(now.kernel.start_ns, |b| b.kernel.now_ns);
        let window = Window { ns: now.kernel.now_ns.saturating_sub(since) };
        Self {
            name: now.names.name.clone(),
            pid: now.owner.pid,
            generation: format!("{:016x}", now.owner.generation),
            started_unix_ns: now.owner.started_unix_ns,
            liveness: now.liveness,
            activity: now.activity,
            idle_ns: now.idle_ns,
            kernel: kernel(&now.kernel, before.map(|b| &b.kernel)),
            counters: counters(&now.kernel),
            rates: rates(&now.kernel, before.map(|b| &b.kernel), window),
            agents_one_version: now.agents_one_version,
            agents: agents(now, before, window),
            lanes: lanes(now, before, window),
            models: models(now, before, window),
            rings: rings(now, before, window),
        }
    }

    /// A total or gauge by its name in `wasm_engine_abi::counter`; 0 if there is none.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.iter().find(|(c, _)| c.name == name).map_or(0, |(_, value)| *value)
    }
}

/// A kernel that publishes nothing for this long does nothing per second.
const RESTING_NS: u64 = 2_000_000_000;

/// Poll after poll: remembers what rates are made from.
///
/// A kernel may publish less often than it is looked at. Its rates then stay those of the last two
/// publications, until it has rested for two seconds, hangs or has ended.
#[derive(Debug, Default)]
pub struct Lookback {
    before: Option<Snapshot>,
    last: Option<Snapshot>,
}

impl Lookback {
    /// The view of a new snapshot.
    pub fn view(&mut self, now: Snapshot) -> View {
        let moment = |s: &Snapshot| (s.owner.generation, s.kernel.now_ns);
        let moved = self.last.as_ref().is_none_or(|last| moment(last) != moment(&now));
        if moved {
            self.before = self.last.take();
        }
        let resting = now.liveness != Liveness::Live || now.idle_ns > RESTING_NS;
        let before = if resting && !moved { Some(&now) } else { self.before.as_ref() };
        let view = View::new(&now, before);
        self.last = Some(now);
        view
    }
}

/// The time that rates are made over.
#[derive(Clone, Copy)]
struct Window {
    ns: u64,
}

impl Window {
    /// Growth per second, to one decimal; 0 if there is no time or the number shrank.
    fn rate(self, now: u64, before: Option<u64>) -> f64 {
        let grown = now.saturating_sub(before.unwrap_or(0));
        if self.ns == 0 { 0.0 } else { round(grown as f64 * 1e9 / self.ns as f64, 10.0) }
    }
}

fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

fn some(value: u64) -> Option<u64> {
    (value != NONE_U64).then_some(value)
}

fn kernel(page: &KernelPage, before: Option<&KernelPage>) -> Kernel {
    let since = before.filter(|b| b.ticks < page.ticks);
    let ended = matches!(page.run_state, run_state::FINISHED | run_state::FAILED);
    let digest =
        |[low, high]: [u64; 2]| Digest::new(u128::from(high) << 64 | u128::from(low)).to_string();
    Kernel {
        run: run_state::text(page.run_state),
        exit_code: ended.then_some(page.exit_code),
        tick: some(page.tick),
        ticks_end: some(page.ticks_end),
        durable_tick: some(page.durable_tick),
        uptime_ns: page.now_ns.saturating_sub(page.start_ns),
        digest: digest(page.digest),
        fuel_digest: digest(page.fuel_digest),
        agents: page.agents,
        agents_max: page.agents_max,
        runnable: page.runnable,
        messages_held: page.messages_held,
        inferences_pending: page.inferences_pending,
        inputs_left: page.inputs_left,
        tick_time: durations(
            &page.tick_ns_buckets,
            page.tick_ns_sum,
            page.tick_ns_max,
            since.map(|b| (&b.tick_ns_buckets, b.tick_ns_sum)),
        ),
        tick_ns_buckets: page.tick_ns_buckets.to_vec(),
        stalls: stall::ALL.iter().map(|cause| stall_of(page, cause.text)).collect(),
    }
}

/// The waits for one cause, from the counters of its word.
fn stall_of(page: &KernelPage, cause: &'static str) -> Stall {
    let value = |name: &str| Counter::named(name).map_or(0, |counter| counter.read(page));
    Stall {
        cause,
        count: value(&format!("stalls_{cause}")),
        ns: value(&format!("stall_{cause}_ns")),
    }
}

fn counters(page: &KernelPage) -> Vec<(&'static Counter, u64)> {
    counter::KERNEL.iter().map(|c| (c, c.read(page))).collect()
}

/// Counters as one object, in their own order.
fn as_word<S: Serializer>(liveness: &Liveness, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match liveness {
        Liveness::Live => "live",
        Liveness::Stale => "stale",
        Liveness::Dead => "dead",
        Liveness::Finished => "finished",
    })
}

fn as_map<S: Serializer>(counters: &[(&Counter, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counters.iter().map(|(c, value)| (c.name, value)))
}

fn rates(page: &KernelPage, before: Option<&KernelPage>, window: Window) -> Rates {
    let rate = |of: fn(&KernelPage) -> u64| window.rate(of(page), before.map(of));
    Rates {
        window_ns: window.ns,
        ticks: rate(|p| p.ticks),
        turns: rate(|p| p.turns),
        messages: rate(|p| p.messages),
        items: rate(|p| p.items),
        inputs: rate(|p| p.inputs),
        inferences: rate(|p| p.inferences),
        fuel: rate(|p| p.fuel),
        log_bytes: rate(|p| p.log_bytes),
    }
}

fn name_of(list: &[String], at: usize, what: &str) -> String {
    list.get(at).cloned().unwrap_or_else(|| format!("{what} {at}"))
}

fn agents(now: &Snapshot, before: Option<&Snapshot>, window: Window) -> Vec<Agent> {
    // Both lists are in slot order, so one walk finds each agent's earlier row.
    let mut earlier = before.map_or(&[][..], |b| &b.agents[..]).iter().peekable();
    now.agents
        .iter()
        .map(|(slot, row)| {
            while earlier.next_if(|(other, _)| other < slot).is_some() {}
            let same =
                |(other, old): &&(u32, AgentRow)| other == slot && old.address == row.address;
            let turns_before = earlier.peek().copied().filter(same).map(|(_, old)| old.turns);
            // A row that is new since the earlier snapshot has grown from nothing.
            agent(row, &now.names, window.rate(row.turns, turns_before))
        })
        .collect()
}

fn agent(row: &AgentRow, names: &Names, turns_per_s: f64) -> Agent {
    let address = AgentId::from_bits(row.address);
    let name = names.agent(address).map(str::to_owned).unwrap_or_else(|| {
        format!("{}#{}", name_of(&names.templates, row.template as usize, "template"), row.copy)
    });
    Agent {
        address: address.to_string(),
        name,
        state: agent_state::text(row.state),
        incarnation: row.incarnation,
        lane: row.lane,
        turns: row.turns,
        turns_per_s,
        items: row.items,
        effects: row.effects,
        fuel: row.fuel,
        inbox_items: row.inbox_items,
        inbox_bytes: row.inbox_bytes,
        faults: row.faults,
        last_fault: (row.last_fault != fault::NONE).then(|| fault::text(row.last_fault)),
        last_code: row.last_code.cast_signed(),
        last_tick: some(row.last_tick),
        until_tick: (row.state == agent_state::BACKOFF).then_some(row.until_tick),
    }
}

fn lanes(now: &Snapshot, before: Option<&Snapshot>, window: Window) -> Vec<Lane> {
    let lane = |(at, row): (usize, &LaneRow)| {
        let old = before.and_then(|b| b.lanes.get(at));
        let busy_ns = row.busy_ns.saturating_sub(old.map_or(0, |o| o.busy_ns));
        let busy = if window.ns == 0 { 0.0 } else { busy_ns as f64 / window.ns as f64 };
        Lane {
            lane: u32::try_from(at).unwrap_or(u32::MAX),
            state: lane_state::text(row.state),
            core: (row.core != NONE_U32).then_some(row.core),
            agents: row.agents,
            turns: row.turns,
            turns_per_s: window.rate(row.turns, old.map(|o| o.turns)),
            busy: round(busy.min(1.0), 1000.0),
            commands: row.commands,
            results: row.results,
            outbox_bytes: row.outbox_bytes,
            outbox_high_bytes: row.outbox_high_bytes,
            outbox_capacity: row.outbox_capacity,
        }
    };
    now.lanes.iter().enumerate().map(lane).collect()
}

fn models(now: &Snapshot, before: Option<&Snapshot>, window: Window) -> Vec<Model> {
    let model = |(at, row): (usize, &ModelRow)| {
        let old = before.and_then(|b| b.models.get(at));
        let since = old.filter(|o| o.batches < row.batches);
        Model {
            name: name_of(&now.names.models, at, "model"),
            state: model_state::text(row.state),
            batch: row.batch,
            latency_ticks: row.latency_ticks,
            requests: row.requests,
            requests_per_s: window.rate(row.requests, old.map(|o| o.requests)),
            batches: row.batches,
            rows_padded: row.rows_padded,
            errors: row.errors,
            pending: row.pending,
            run_time: durations(
                &row.run_ns_buckets,
                row.run_ns_sum,
                row.run_ns_max,
                since.map(|o| (&o.run_ns_buckets, o.run_ns_sum)),
            ),
        }
    };
    now.models.iter().enumerate().map(model).collect()
}

fn rings(now: &Snapshot, before: Option<&Snapshot>, window: Window) -> Vec<Ring> {
    let ring = |(at, row): (usize, &RingRow)| {
        let old = before.and_then(|b| b.rings.get(at));
        Ring {
            name: name_of(&now.names.rings, at, "ring"),
            used_bytes: row.used_bytes,
            capacity_bytes: row.capacity_bytes,
            high_bytes: row.high_bytes,
            records: row.records,
            records_per_s: window.rate(row.records, old.map(|o| o.records)),
            stalls: row.stalls,
        }
    };
    now.rings.iter().enumerate().map(ring).collect()
}
