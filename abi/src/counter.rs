//! Names and units of the numbers that describe a kernel: [`counters!`](crate::counters!) is the
//! only list, for every output.
//!
//! A counter of [`KERNEL`] is a `u64` of [`KernelPage`], one of [`LOG`] is the log thread's.
//! A name never changes its meaning and says its unit (`_ns`, `_bytes`); what has none is a plain
//! count. Text, JSON and exporters for other systems walk these lists, so a new counter shows
//! everywhere at once. The region's counter section carries all of it in words, with [`id`] as
//! number.
//!
//! What this is not: it holds no values and knows no exporter's spelling.

use core::mem::offset_of;

use crate::page::KernelPage;

/// What a value may do between two snapshots of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CounterKind {
    /// It only grows; a rate may be made of it.
    Total,
    /// It goes up and down.
    Gauge,
}

impl CounterKind {
    /// As OpenTelemetry and Prometheus call it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Total => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// What a value is measured in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Nothing: it counts.
    Count,
    /// Nanoseconds.
    Ns,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// As UCUM writes it.
    #[must_use]
    pub const fn ucum(self) -> &'static str {
        match self {
            Self::Count => "1",
            Self::Ns => "ns",
            Self::Bytes => "By",
        }
    }
}

/// Number of the counter with this name: FNV-1a of its bytes, 32 bits.
#[must_use]
pub const fn id(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let (mut hash, mut i) = (0x811c_9dc5_u32, 0);
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash
}

/// One number of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counter {
    /// Name and id.
    pub name: &'static str,
    /// What it may do.
    pub kind: CounterKind,
    /// What it is measured in.
    pub unit: Unit,
    /// What it counts, for people.
    pub help: &'static str,
    /// First byte within [`KernelPage`].
    pub offset: usize,
}

impl Counter {
    /// Its value in a page.
    #[must_use]
    pub fn read(&self, page: &KernelPage) -> u64 {
        let bytes = &bytemuck::bytes_of(page)[self.offset..self.offset + 8];
        bytemuck::pod_read_unaligned(bytes)
    }

    /// What it says of itself.
    #[must_use]
    pub const fn description(&self) -> CounterDescription {
        CounterDescription { name: self.name, kind: self.kind, unit: self.unit, help: self.help }
    }

    /// The counter with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KERNEL.iter().find(|counter| counter.name == name)
    }
}

/// Every counter, in the order in which outputs show them: `$then!` gets the table.
///
/// - `core` is counted by the state machine and equal in every execution of a run: its `Stats`, and
///   a field of the report, by another name where `as` says one;
/// - `machine` by the kernel around it; both are fields of [`KernelPage`](crate::page::KernelPage);
/// - `log` by the log thread, with the constant that names the counter there.
///
/// A line: name, [`CounterKind`](crate::counter::CounterKind), [`Unit`](crate::counter::Unit), and
/// what it counts.
#[macro_export]
macro_rules! counters {
    ($then:ident) => { $then! {
        core {
            ticks: Total Count, "Ticks executed.";
            microsteps: Total Count, "Microsteps executed.";
            turns: Total Count, "Turns taken by agents.";
            items: Total Count, "Items received by agents, of every kind.";
            messages: Total Count, "Messages and inputs accepted, per receiver.";
            refused: Total Count, "Messages and inputs refused at a limit, per receiver.";
            dropped: Total Count, "Messages dropped by their topic's policy, per receiver.";
            dead_letters: Total Count, "Items that ended unreceived or with a fault.";
            inputs: Total Count, "Inputs admitted.";
            outputs as output_messages: Total Count, "Messages on output topics.";
            inferences: Total Count, "Inference requests accepted.";
            late_replies: Total Count, "Replies that a model did not give before its deadline.";
            inferences_refused: Total Count, "Requests refused: model not loaded, or a limit.";
            model_loads: Total Count, "Loads of models that began.";
            model_loads_failed: Total Count, "Loads of models that failed.";
            model_unloads: Total Count, "Models unloaded, by a command or to make room.";
            model_evictions: Total Count, "Models unloaded to make room for another.";
            faults: Total Count, "Turns that faulted.";
            own_codes: Total Count, "Turns whose last code other than 0 is an agent's own.";
            restarts: Total Count, "Incarnations begun after a fault.";
            fuel: Total Count, "Fuel used.";
            tasks: Total Count, "Tasks accepted.";
            tasks_done: Total Count, "Tasks that succeeded.";
            tasks_failed: Total Count, "Tasks whose attempts were used up or whose agent was gone.";
            tasks_skipped: Total Count, "Tasks left out because another one did not succeed.";
            tasks_cancelled: Total Count, "Tasks that will not run.";
            tasks_blocked: Gauge Count, "Tasks that wait for others.";
            tasks_ready: Gauge Count, "Tasks that wait for their agent.";
        }
        machine {
            log_records: Total Count, "Records handed to the log.";
            log_bytes: Total Bytes, "Bytes handed to the log.";
            stalls_model: Total Count, "Waits for a due inference reply.";
            stalls_log: Total Count, "Waits for room in the log ring.";
            stall_model_ns: Total Ns, "Time waited for due inference replies.";
            stall_log_ns: Total Ns, "Time waited for room in the log ring.";
            model_fallbacks: Total Count, "Times a model got another provider than asked.";
            tick_ns_sum: Total Ns, "Time spent in ticks, open to close.";
            tick_ns_max: Gauge Ns, "Longest tick.";
            tick_ns_last: Gauge Ns, "Last tick.";
            payload_bytes_held: Gauge Bytes, "Payload bytes in all inboxes, in whole blocks of 64.";
            region_bytes: Gauge Bytes, "Bytes of the shared region.";
            feeds_connected: Gauge Count, "Sources over sockets that somebody feeds.";
            feeds_lagging: Gauge Count, "Those of them that hand over more than ticks take.";
            feeds_gone: Gauge Count, "Sources over sockets whose feeders are gone.";
            feeds_refused: Total Count, "Feeders and clients refused or disconnected.";
            feed_gap_inputs: Total Count, "Inputs that feeders said are lost.";
        }
        log {
            DURABLE_TICKS log_durable_ticks: Total Count, "Ticks durable, as last tick + 1.";
            BLOCKS log_blocks: Total Count, "Blocks written to the log.";
            WRITTEN_BYTES log_written_bytes: Total Bytes, "Bytes written to segment files.";
            WRITE_NS log_write_ns: Total Ns, "Time spent writing the log.";
            SYNCS log_syncs: Total Count, "Times the log was forced to the disk.";
            SYNC_NS log_sync_ns: Total Ns, "Time spent forcing the log to the disk.";
            SYNC_NS_MAX log_sync_ns_max: Gauge Ns, "Longest time of that kind.";
        }
    } };
}

/// The table as lists, and the log's positions in its own.
macro_rules! lists {
    (
        core { $($core:ident $(as $report:ident)?: $k:ident $u:ident, $core_help:literal;)* }
        machine { $($machine:ident: $kind:ident $unit:ident, $help:literal;)* }
        log { $($at:ident $log:ident: $log_kind:ident $log_unit:ident, $log_help:literal;)* }
    ) => {
        /// Every counter of the kernel's page, in the order in which outputs show them.
        pub const KERNEL: &[Counter] = &[
            $(lists!(@page $core $k $u $core_help),)*
            $(lists!(@page $machine $kind $unit $help),)*
        ];

        /// Every counter of the log thread, at the positions of [`log`].
        pub const LOG: &[CounterDescription] = &[$(CounterDescription {
            name: stringify!($log),
            kind: CounterKind::$log_kind,
            unit: Unit::$log_unit,
            help: $log_help,
        },)*];

        /// Positions in [`LOG`].
        pub mod log {
            lists!(@positions 0; $($at $log_help)*);
        }
    };
    (@page $name:ident $kind:ident $unit:ident $help:literal) => {
        Counter {
            name: stringify!($name),
            kind: CounterKind::$kind,
            unit: Unit::$unit,
            help: $help,
            offset: offset_of!(KernelPage, $name),
        }
    };
    (@positions $next:expr;) => {};
    (@positions $next:expr; $at:ident $help:literal $($rest:tt)*) => {
        #[doc = $help]
        pub const $at: usize = $next;
        lists!(@positions $next + 1; $($rest)*);
    };
}
counters!(lists);

/// What a counter says of itself, whoever owns it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CounterDescription {
    /// Name.
    pub name: &'static str,
    /// What it may do.
    pub kind: CounterKind,
    /// What it is measured in.
    pub unit: Unit,
    /// What it counts, for people.
    pub help: &'static str,
}

/// The thread that owns a counter: its only writer. Its number is its group in the region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CounterOwner {
    /// The scheduler: counters of [`KERNEL`].
    Scheduler = 0,
    /// The log thread: counters of [`LOG`].
    Log = 1,
}

/// Every counter that a kernel publishes, in the order of the region's section.
pub fn all() -> impl Iterator<Item = (CounterOwner, CounterDescription)> {
    let kernel = KERNEL.iter().map(|counter| (CounterOwner::Scheduler, counter.description()));
    kernel.chain(LOG.iter().map(|description| (CounterOwner::Log, *description)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::stall;
    extern crate std;
    use std::{format, vec::Vec};

    #[test]
    fn each_counter_reads_its_own_field() {
        let mut page = KernelPage { ticks: 5, region_bytes: 6, ..KernelPage::default() };
        page.count_stall(stall::LOG, 8);
        let value = |name| Counter::named(name).expect("listed").read(&page);
        assert_eq!((value("ticks"), value("region_bytes")), (5, 6));
        assert_eq!((value("stalls_log"), value("stall_log_ns")), (1, 8));
    }

    #[test]
    fn positions_of_the_log_are_those_of_the_list() {
        assert_eq!(LOG[log::DURABLE_TICKS].name, "log_durable_ticks");
        assert_eq!(LOG[log::SYNC_NS].name, "log_sync_ns");
        assert_eq!((log::SYNC_NS_MAX, LOG.len()), (6, 7));
        // FNV-1a as others compute it.
        assert_eq!((id(""), id("a"), id("foobar")), (0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968));
    }

    #[test]
    fn names_numbers_and_offsets_are_unique_and_names_say_units() {
        for (i, a) in KERNEL.iter().enumerate() {
            assert!(KERNEL[i + 1..].iter().all(|b| a.offset != b.offset));
        }
        let all: Vec<_> = all().map(|(_, described)| (described.name, described.unit)).collect();
        for (i, (name, unit)) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|(b, _)| name != b && id(name) != id(b)), "{name}");
            assert_eq!(*unit == Unit::Ns, name.contains("_ns"), "{name}");
            assert_eq!(*unit == Unit::Bytes, name.contains("bytes"), "{name}");
        }
        for cause in stall::ALL {
            for name in [format!("stalls_{}", cause.text), format!("stall_{}_ns", cause.text)] {
                let counter = Counter::named(&name).expect("a counter of the cause");
                let mut page = KernelPage::default();
                page.count_stall(cause.value, 1);
                assert_eq!(counter.read(&page), 1, "{name}");
            }
        }
    }
}
