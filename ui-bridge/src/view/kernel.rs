//! The numbers of the run as a whole, and how fast they grow.

use serde::Serialize;
use wasm_engine_abi::counter::{self, Counter};
use wasm_engine_abi::ids::Digest;
use wasm_engine_abi::page::{KernelPage, run_state, stall};

use super::window::{Window, some};
use crate::durations::{Durations, durations};

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

pub(super) fn kernel(page: &KernelPage, before: Option<&KernelPage>) -> Kernel {
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

pub(super) fn counters(page: &KernelPage) -> Vec<(&'static Counter, u64)> {
    counter::KERNEL.iter().map(|c| (c, c.read(page))).collect()
}

pub(super) fn rates(page: &KernelPage, before: Option<&KernelPage>, window: Window) -> Rates {
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
