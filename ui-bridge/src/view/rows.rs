//! The lines of the tables: agents, lanes, models, rings.

use serde::Serialize;
use wasm_engine_abi::frame::fault;
use wasm_engine_abi::ids::AgentId;
use wasm_engine_abi::page::{
    AgentRow, LaneRow, ModelRow, NONE_U32, RingRow, agent_state, lane_state, model_state,
};
use wasm_engine_telemetry::{Names, Snapshot};

use super::window::{Window, round, some};
use crate::durations::{Durations, durations};

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
    /// The last code other than 0 that its last turn returned.
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

fn name_of(list: &[String], at: usize, what: &str) -> String {
    list.get(at).cloned().unwrap_or_else(|| format!("{what} {at}"))
}

pub(super) fn agents(now: &Snapshot, before: Option<&Snapshot>, window: Window) -> Vec<Agent> {
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

pub(super) fn lanes(now: &Snapshot, before: Option<&Snapshot>, window: Window) -> Vec<Lane> {
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

pub(super) fn models(now: &Snapshot, before: Option<&Snapshot>, window: Window) -> Vec<Model> {
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

pub(super) fn rings(now: &Snapshot, before: Option<&Snapshot>, window: Window) -> Vec<Ring> {
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
