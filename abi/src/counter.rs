//! Names and units of the numbers that describe a kernel: the only list, for every output.
//!
//! A counter of [`KERNEL`] is a `u64` of [`KernelPage`], one of [`LOG`] is kept by the log thread.
//! A name never changes its meaning and says its unit (`_ns`, `_bytes`); what has none is a plain
//! count. Text, JSON and exporters for other systems walk these lists, so a new counter shows
//! everywhere at once. The region's counter section carries all of it in words, with [`id`] as
//! number.
//!
//! What this is not: it holds no values and knows no exporter's spelling.

use core::mem::offset_of;

use crate::page::{KernelPage, mix, mix_text};

/// What a value may do between two snapshots of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It only grows; a rate may be made of it.
    Total,
    /// It goes up and down.
    Gauge,
}

impl Kind {
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
    pub kind: Kind,
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
    pub const fn about(&self) -> About {
        About { name: self.name, kind: self.kind, unit: self.unit, help: self.help }
    }

    /// The counter with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KERNEL.iter().find(|counter| counter.name == name)
    }
}

/// One line of the list: the field is the name.
macro_rules! counters {
    ($($field:ident $([$at:literal] $name:literal)?: $kind:ident $unit:ident, $help:literal;)*) => {
        &[$(Counter {
            name: counters!(@name $field $($name)?),
            kind: Kind::$kind,
            unit: Unit::$unit,
            help: $help,
            offset: offset_of!(KernelPage, $field) $(+ 8 * $at)?,
        },)*]
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
}

/// Every counter, in the order in which outputs show them.
pub const KERNEL: &[Counter] = counters! {
    ticks: Total Count, "ticks executed";
    microsteps: Total Count, "microsteps executed";
    turns: Total Count, "turns taken by agents";
    items: Total Count, "items received by agents";
    messages: Total Count, "messages accepted, per receiver";
    refused: Total Count, "deliveries refused at a limit";
    dropped: Total Count, "messages dropped by their topic's policy";
    dead_letters: Total Count, "items that nobody received";
    inputs: Total Count, "inputs admitted";
    outputs: Total Count, "messages handed to the host";
    inferences: Total Count, "inference requests accepted";
    faults: Total Count, "turns that faulted";
    restarts: Total Count, "incarnations begun after a fault";
    fuel: Total Count, "fuel used";
    log_records: Total Count, "records handed to the log";
    log_bytes: Total Bytes, "bytes handed to the log";
    stalls[0] "stalls_source": Total Count, "waits for a due source; none yet, sources are files";
    stalls[1] "stalls_model": Total Count, "waits for a due inference reply";
    stalls[2] "stalls_load": Total Count, "waits for configured modules and models; not counted yet";
    stalls[3] "stalls_log": Total Count, "waits for room in the log ring";
    stall_ns[0] "stall_source_ns": Total Ns, "time waited for due sources; none yet";
    stall_ns[1] "stall_model_ns": Total Ns, "time waited for due inference replies";
    stall_ns[2] "stall_load_ns": Total Ns, "time waited for configured modules and models; not yet";
    stall_ns[3] "stall_log_ns": Total Ns, "time waited for room in the log ring";
    tick_ns_sum: Total Ns, "time spent in ticks";
    tick_ns_max: Gauge Ns, "longest tick";
    tick_ns_last: Gauge Ns, "last tick";
    payload_bytes_held: Gauge Bytes, "payload bytes in all inboxes";
    region_bytes: Gauge Bytes, "bytes of the shared region";
};

/// What a counter says of itself, whoever keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct About {
    /// Name.
    pub name: &'static str,
    /// What it may do.
    pub kind: Kind,
    /// What it is measured in.
    pub unit: Unit,
    /// What it counts, for people.
    pub help: &'static str,
}

/// The thread that keeps a counter. Its number is its group in the region's section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeper {
    /// The scheduler: counters of [`KERNEL`].
    Scheduler = 0,
    /// The log thread: counters of [`LOG`].
    Log = 1,
}

/// Every counter that a kernel publishes, in the order of the region's section.
pub fn all() -> impl Iterator<Item = (Keeper, About)> {
    let kernel = KERNEL.iter().map(|counter| (Keeper::Scheduler, counter.about()));
    kernel.chain(LOG.iter().map(|about| (Keeper::Log, *about)))
}

/// Places in [`LOG`].
pub mod log {
    /// Ticks whose facts are on disk, as last tick + 1.
    pub const DURABLE_TICKS: usize = 0;
    /// Blocks written.
    pub const BLOCKS: usize = 1;
    /// Bytes written to segment files.
    pub const WRITTEN_BYTES: usize = 2;
    /// Time in writes.
    pub const WRITE_NS: usize = 3;
    /// Syncs.
    pub const SYNCS: usize = 4;
    /// Time in syncs.
    pub const SYNC_NS: usize = 5;
    /// Longest sync.
    pub const SYNC_NS_MAX: usize = 6;
}

/// Every counter of the log thread, by its place.
pub const LOG: &[About] = {
    const fn of(name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> About {
        About { name, kind, unit, help }
    }
    &[
        of("log_durable_ticks", Kind::Total, Unit::Count, "ticks durable, as last tick + 1"),
        of("log_blocks", Kind::Total, Unit::Count, "blocks written to the log"),
        of("log_written_bytes", Kind::Total, Unit::Bytes, "bytes written to segment files"),
        of("log_write_ns", Kind::Total, Unit::Ns, "time spent writing the log"),
        of("log_syncs", Kind::Total, Unit::Count, "times the log was forced to the disk"),
        of("log_sync_ns", Kind::Total, Unit::Ns, "time spent forcing the log to the disk"),
        of("log_sync_ns_max", Kind::Gauge, Unit::Ns, "longest time of that kind"),
    ]
};

/// Mixes the list into the fingerprint of the published layout.
pub(crate) const fn fingerprint(hash: u64) -> u64 {
    let (mut hash, mut i) = (hash, 0);
    while i < KERNEL.len() {
        hash = mix(mix_text(hash, KERNEL[i].name), KERNEL[i].offset as u64);
        i += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::stall;
    extern crate std;
    use std::vec::Vec;

    #[test]
    fn each_counter_reads_its_own_field() {
        let mut page = KernelPage { ticks: 5, region_bytes: 6, ..KernelPage::default() };
        page.stalls[stall::LOAD] = 7;
        page.stall_ns[stall::LOG] = 8;
        let value = |name| Counter::named(name).expect("listed").read(&page);
        assert_eq!((value("ticks"), value("region_bytes")), (5, 6));
        assert_eq!((value("stalls_load"), value("stall_log_ns")), (7, 8));
    }

    #[test]
    fn places_of_the_log_are_those_of_the_list() {
        let name = |at: usize| LOG[at].name;
        let places = [log::DURABLE_TICKS, log::BLOCKS, log::WRITTEN_BYTES, log::WRITE_NS];
        let names = ["log_durable_ticks", "log_blocks", "log_written_bytes", "log_write_ns"];
        assert_eq!(places.map(name), names);
        let places = [log::SYNCS, log::SYNC_NS, log::SYNC_NS_MAX];
        assert_eq!(places.map(name), ["log_syncs", "log_sync_ns", "log_sync_ns_max"]);
        // FNV-1a as others compute it.
        assert_eq!((id(""), id("a"), id("foobar")), (0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968));
    }

    #[test]
    fn names_numbers_and_offsets_are_unique_and_names_say_units() {
        for (i, a) in KERNEL.iter().enumerate() {
            assert!(KERNEL[i + 1..].iter().all(|b| a.offset != b.offset));
        }
        let all: Vec<_> = all().map(|(_, about)| (about.name, about.unit)).collect();
        for (i, (name, unit)) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|(b, _)| name != b && id(name) != id(b)), "{name}");
            assert_eq!(*unit == Unit::Ns, name.contains("_ns"), "{name}");
            assert_eq!(*unit == Unit::Bytes, name.contains("bytes"), "{name}");
        }
        for (cause, text) in stall::TEXT.iter().enumerate() {
            let offset = offset_of!(KernelPage, stalls) + 8 * cause;
            let counter = KERNEL.iter().find(|c| c.offset == offset).expect("listed");
            assert_eq!(counter.name.strip_prefix("stalls_"), Some(*text));
        }
    }
}
