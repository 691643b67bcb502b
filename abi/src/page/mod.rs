//! What a running kernel shows to other processes: one page, four tables of rows, one text.
//!
//! ```text
//!  section      kind in shm   id  holds                        written
//!  kernel       page          1   KernelPage                   each time
//!  agents       rows          2   AgentRow  x agents_max       for agents that changed
//!  lanes        rows          3   LaneRow   x lanes            each time
//!  models       rows          4   ModelRow  x models           each time
//!  rings        rows          5   RingRow   x rings            each time
//!  names        page          6   UTF-8 JSON, see below        once, before the region is ready
//!  trace        broadcast     7   TraceEvent, one to a slot    as things happen
//!  counters     counters      8   the numbers of `counter`     each time, or by their own threads
//! ```
//! Pages and rows are published at the close of a tick, at most once a millisecond while ticks
//! follow each other, and always before a wait and at the end of the run.
//!
//! Everything is a plain number: counters that only grow, gauges, and codes with a table of words.
//! There are no rates: a reader makes them from two snapshots and their `now_ns`. Each struct is
//! `Pod`, little-endian, 8-aligned and without padding, so a reader in any language needs the
//! offset table of `docs/REGION.md` and nothing else. Any bit pattern is a value: a code without a
//! word is shown as `unknown`.
//!
//! A struct is declared once, by `layout!`, which also lists its fields with their documentation:
//! the tables in `docs/REGION.md` and the readers in other languages are made of that list.
//! [`SCHEMA`](crate::SCHEMA) is computed from those lists and from the counters' names, so a
//! changed layout has another fingerprint by construction, and a monitor of another build is
//! refused instead of showing wrong numbers.
//!
//! The names are what the numbers point to, by position; a reader ignores keys that it does not
//! know, and what a list is too short for goes without a name:
//! ```text
//! {"name": "weather", "templates": ["station", "forecaster"], "models": ["temperature"],
//!  "rings": ["commands 1", "results 1", "log"], "lanes": 2, "agents_max": 4096,
//!  "topics": ["observation", "prediction"], "sources": ["weather"],
//!  "agents": ["station/EWR", "forecaster/EWR"]}
//! ```
//!
//! What this is not: no state of the run. Nothing here is read back by the kernel, hashed or
//! logged.

mod codes;

use core::mem::offset_of;

use bytemuck::{Pod, Zeroable};

use crate::ids::AgentId;
use crate::{codes, counters};

pub use codes::{agent_state, lane_state, model_state, run_state, stall};

codes! {
/// Ids of the sections, the same numbers for pages and rows.
section: u32 {
    /// Page: [`KernelPage`](super::KernelPage).
    KERNEL = 1 "kernel",
    /// Rows: [`AgentRow`](super::AgentRow), one per agent slot.
    AGENTS = 2 "agents",
    /// Rows: [`LaneRow`](super::LaneRow), one per lane.
    LANES = 3 "lanes",
    /// Rows: [`ModelRow`](super::ModelRow), one per configured model.
    MODELS = 4 "models",
    /// Rows: [`RingRow`](super::RingRow), one per ring between threads.
    RINGS = 5 "rings",
    /// Page: the names, JSON text written once.
    NAMES = 6 "names",
    /// Broadcast: [`TraceEvent`](super::TraceEvent), one to a slot.
    TRACE = 7 "trace",
    /// Counters, which say themselves what they are.
    COUNTERS = 8 "counters",
}
}

/// Longest text of the names page, in bytes.
pub const NAMES_BYTES_MAX: u32 = 1 << 20;

/// A number that means "none": no core pinned, no end of the run, no fault yet.
pub const NONE_U32: u32 = u32::MAX;
/// As [`NONE_U32`], of 64 bits.
pub const NONE_U64: u64 = u64::MAX;

/// Buckets of a histogram of durations.
pub const BUCKETS: usize = 32;

/// The bucket that counts a duration: bucket `i` holds `2^i <= ns < 2^(i+1)`, bucket 0 also 0 ns,
/// the last one everything longer.
#[must_use]
pub const fn bucket(ns: u64) -> usize {
    let log = (u64::BITS - 1 - (ns | 1).leading_zeros()) as usize;
    if log < BUCKETS { log } else { BUCKETS - 1 }
}

/// One field of a published struct.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Name.
    pub name: &'static str,
    /// First byte within the struct.
    pub offset: usize,
    /// Bytes in all.
    pub bytes: usize,
    /// Bytes of one number: 4 or 8; an array has more than one.
    pub word: usize,
    /// What it holds: its documentation, which the table in `docs/REGION.md` shows.
    pub doc: &'static str,
}

/// Declares a published struct together with the list of its fields.
macro_rules! layout {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
        #[repr(C)]
        pub struct $name { $($(#[doc = $doc])* pub $field: $type,)* }

        impl $name {
            /// Its fields, in order.
            pub const FIELDS: &'static [Field] = &[$(Field {
                name: stringify!($field),
                offset: offset_of!($name, $field),
                bytes: size_of::<$type>(),
                word: align_of::<$type>(),
                doc: concat!($($doc),*).trim_ascii(),
            },)*];
        }
    };
}

mod trace;

pub use trace::{TraceEvent, event};

/// The kernel's page around the counters of the table.
macro_rules! kernel_page {
    (
        core { $($core:ident $(as $report:ident)?: $k:ident $u:ident, $core_help:literal;)* }
        machine { $($machine:ident: $kind:ident $unit:ident, $help:literal;)* }
        $($rest:tt)*
    ) => {
        layout! {
            /// The kernel as of one moment, usually the close of a tick.
            KernelPage {
                /// The owner's monotonic clock when this was published, in ns.
                now_ns: u64,
                /// The same clock at the start of the run.
                start_ns: u64,
                /// Last closed tick; [`NONE_U64`] before tick 0 has closed.
                tick: u64,
                /// First tick that will not be executed; [`NONE_U64`] if the run has no such end.
                ticks_end: u64,
                /// Last tick whose `TickOpen` is on disk (SEMANTICS L2); [`NONE_U64`] if none
                /// is, or no log.
                durable_tick: u64,
                /// Tick digest (SEMANTICS D3), low half first.
                digest: [u64; 2],
                /// Fuel chain (SEMANTICS D4), low half first.
                fuel_digest: [u64; 2],
                $(#[doc = $core_help] $core: u64,)*
                $(#[doc = $help] $machine: u64,)*
                /// Ticks by duration: [`bucket`].
                tick_ns_buckets: [u64; BUCKETS],
                /// One of [`run_state`].
                run_state: u32,
                /// Exit status of the run; 0 until it has ended.
                exit_code: u32,
                /// Agents that exist.
                agents: u32,
                /// Agent slots.
                agents_max: u32,
                /// Messages and inputs held by all inboxes.
                messages_held: u32,
                /// Inference requests whose reply is outstanding.
                inferences_pending: u32,
                /// Inputs that were due and did not fit into the last tick.
                inputs_left: u32,
                /// Agents that were runnable at the close and carry over.
                runnable: u32,
            }
        }
    };
}
counters!(kernel_page);

layout! {
/// One agent slot.
AgentRow {
    /// Address: generation << 32 | slot (SEMANTICS A7).
    address: u64,
    /// Tick of its last turn; [`NONE_U64`] before its first.
    last_tick: u64,
    /// Tick at which its backoff ends; 0 in any other state.
    until_tick: u64,
    /// Turns taken at this address.
    turns: u64,
    /// Items received.
    items: u64,
    /// Effects accepted.
    effects: u64,
    /// Fuel used.
    fuel: u64,
    /// One of [`agent_state`].
    state: u32,
    /// Which template, by position in the names.
    template: u32,
    /// Copy number within the template.
    copy: u32,
    /// Incarnation, raised by each restart.
    incarnation: u32,
    /// Items in its inbox.
    inbox_items: u32,
    /// Payload bytes in its inbox, in whole blocks of 64.
    inbox_bytes: u32,
    /// Turns that faulted.
    faults: u32,
    /// Last fault, one of [`crate::frame::fault`].
    last_fault: u32,
    /// Lane that it lives on.
    lane: u32,
    /// Bits of the last code other than 0 that its last turn returned, 0 if there was none.
    last_code: u32,
}
}

layout! {
/// One lane: the scheduler's own (0) or a worker's.
LaneRow {
    /// Turns executed.
    turns: u64,
    /// Time spent executing turns, in ns.
    busy_ns: u64,
    /// Time spent waiting for turns, in ns.
    wait_ns: u64,
    /// Commands received.
    commands: u64,
    /// Results sent.
    results: u64,
    /// Outbox bytes in use after the last microstep.
    outbox_bytes: u64,
    /// Outbox bytes that a microstep may use: half of the outbox.
    outbox_capacity: u64,
    /// Most outbox bytes ever in use.
    outbox_high_bytes: u64,
    /// Agents that live here.
    agents: u32,
    /// Core that its thread is pinned to; [`NONE_U32`] if it is not.
    core: u32,
    /// One of [`lane_state`].
    state: u32,
    /// Zero.
    reserved: u32,
}
}

layout! {
/// One model.
ModelRow {
    /// Requests computed, errors among them.
    requests: u64,
    /// Batches run.
    batches: u64,
    /// Rows of those batches that only filled them up (SEMANTICS I2).
    rows_padded: u64,
    /// Replies that carried an error (SEMANTICS I3).
    errors: u64,
    /// Duration of the last batch, in ns.
    run_ns_last: u64,
    /// Longest batch, in ns.
    run_ns_max: u64,
    /// All batches, in ns.
    run_ns_sum: u64,
    /// Batches by duration: [`bucket`].
    run_ns_buckets: [u64; BUCKETS],
    /// Requests whose reply is outstanding.
    pending: u32,
    /// Rows of a batch.
    batch: u32,
    /// Ticks from a request to its reply (SEMANTICS I1).
    latency_ticks: u64,
    /// One of [`model_state`].
    state: u32,
    /// Zero.
    reserved: u32,
}
}

layout! {
/// One ring between two threads, as its scheduler side sees it.
RingRow {
    /// Bytes written and not yet released.
    used_bytes: u64,
    /// Bytes of the ring.
    capacity_bytes: u64,
    /// Most bytes ever in use.
    high_bytes: u64,
    /// Records published.
    records: u64,
    /// Times that its writer found it full.
    stalls: u64,
}
}

impl KernelPage {
    /// Counts a tick that took `ns`.
    pub fn count_tick(&mut self, ns: u64) {
        self.ticks += 1;
        self.tick_ns_last = ns;
        self.tick_ns_max = self.tick_ns_max.max(ns);
        self.tick_ns_sum = self.tick_ns_sum.saturating_add(ns);
        self.tick_ns_buckets[bucket(ns)] += 1;
    }

    /// Counts a wait of `ns` for `cause`, one of [`stall`].
    ///
    /// # Panics
    /// If `cause` is none of them.
    pub fn count_stall(&mut self, cause: usize, ns: u64) {
        let (count, sum) = match cause {
            stall::MODEL => (&mut self.stalls_model, &mut self.stall_model_ns),
            stall::LOG => (&mut self.stalls_log, &mut self.stall_log_ns),
            _ => panic!("{cause} is no cause of a wait"),
        };
        *count += 1;
        *sum = sum.saturating_add(ns);
    }
}

impl AgentRow {
    /// The address as an id.
    #[must_use]
    pub const fn id(&self) -> AgentId {
        AgentId::from_bits(self.address)
    }
}

impl ModelRow {
    /// Counts a batch of `rows` requests that took `ns`.
    pub fn count_batch(&mut self, rows: u32, ns: u64) {
        self.requests += u64::from(rows);
        self.batches += 1;
        self.rows_padded += u64::from(self.batch.saturating_sub(rows));
        self.run_ns_last = ns;
        self.run_ns_max = self.run_ns_max.max(ns);
        self.run_ns_sum = self.run_ns_sum.saturating_add(ns);
        self.run_ns_buckets[bucket(ns)] += 1;
    }
}

const _: () = assert!(bucket(0) == 0 && bucket(1) == 0 && bucket(2) == 1 && bucket(3) == 1);
const _: () = assert!(bucket(1 << 31) == 31 && bucket(u64::MAX) == 31);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_batches_are_counted() {
        let mut page = KernelPage::zeroed();
        page.count_tick(1000);
        page.count_tick(3000);
        page.count_stall(stall::LOG, 7);
        assert_eq!((page.ticks, page.tick_ns_last, page.tick_ns_max), (2, 3000, 3000));
        assert_eq!((page.tick_ns_buckets[9], page.tick_ns_buckets[11]), (1, 1));
        assert_eq!((page.stalls_model, page.stalls_log, page.stall_log_ns), (0, 1, 7));
        let mut model = ModelRow { batch: 8, ..ModelRow::zeroed() };
        model.count_batch(5, 100);
        assert_eq!((model.requests, model.rows_padded, model.run_ns_sum), (5, 3, 100));
    }
}
