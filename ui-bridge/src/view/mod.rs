//! The numbers as every output shows them: named, with words for codes, and with rates.
//!
//! A [`View`] is made from one snapshot and, for rates, an earlier one of the same run. Without an
//! earlier one the rates are averages since the start. Text, terminal and JSON render a `View` and
//! compute nothing themselves.
//!
//! What this does not do: it reads no memory and knows no terminal.

mod kernel;
mod rows;
mod window;

use serde::{Serialize, Serializer};
use wasm_engine_abi::counter::Counter;
use wasm_engine_telemetry::{Liveness, Snapshot};

pub use kernel::{Kernel, Rates, Stall};
pub use rows::{Agent, Lane, Model, Ring};

use kernel::{counters, kernel, rates};
use rows::{agents, lanes, models, rings};
use window::Window;

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

fn as_word<S: Serializer>(liveness: &Liveness, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match liveness {
        Liveness::Live => "live",
        Liveness::Stale => "stale",
        Liveness::Dead => "dead",
        Liveness::Finished => "finished",
    })
}

/// Counters as one object, in their own order.
fn as_map<S: Serializer>(counters: &[(&Counter, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counters.iter().map(|(c, value)| (c.name, value)))
}
