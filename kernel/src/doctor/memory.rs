//! Memory: how much, how many addresses, whether it can be shared as monitors need it.

use wasm_engine_guest::engine::{MemoryLayout, MemoryProfile, deterministic_engine};
use wasm_engine_shm::map::Map;

use crate::{
    doctor::finding::{Diagnosis, text_of},
    units,
};

/// The region of the default plan, and what a small run needs beside it.
const REGION_BYTES: u64 = 32 << 20;
/// Memory that is free should be.
const FREE_BYTES: u64 = 256 << 20;
/// Agents whose memories are laid out for speed, by default.
const GUARDED_SEATS_MAX: u32 = 256;
/// Memory of one agent by default.
const AGENT_BYTES: u64 = 1 << 20;

pub(super) fn findings() -> Vec<Diagnosis> {
    vec![free(), overcommit(), address_space(), sealed(), huge_pages()]
}

/// A number of `kB` of `/proc/meminfo`.
fn meminfo(key: &str) -> Option<u64> {
    let text = text_of("/proc/meminfo")?;
    let rest = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(rest.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
}

/// What the group of this process may take, where it is limited.
fn group_bytes() -> Option<u64> {
    let max = text_of("/sys/fs/cgroup/memory.max")?.parse::<u64>().ok()?;
    let used = text_of("/sys/fs/cgroup/memory.current")?.parse::<u64>().ok()?;
    Some(max.saturating_sub(used))
}

fn free() -> Diagnosis {
    let of_machine = meminfo("MemAvailable");
    let Some(free) = [of_machine, group_bytes()].into_iter().flatten().min() else {
        let cure = "a run that needs more than there is ends with exit code 1";
        return Diagnosis::limited("memory", "how much is free is not known", cure);
    };
    let found = format!("{} free", units::bytes(free));
    match free {
        FREE_BYTES.. => Diagnosis::fine("memory", found),
        _ => Diagnosis::limited(
            "memory",
            found,
            "a run takes some 32 MiB, each model its size twice while it is loaded: end other \
             programs or raise the limit of the container",
        ),
    }
}

fn overcommit() -> Diagnosis {
    match text_of("/proc/sys/vm/overcommit_memory").as_deref() {
        Some("2") => Diagnosis::limited(
            "overcommit",
            "vm.overcommit_memory is 2: addresses count as memory",
            "memories of agents are reserved and mostly not used: set vm.overcommit_memory to 0 \
             or 1, or kernel.memory_layout = \"dense\" with a small kernel.awake_max",
        ),
        Some(mode) => Diagnosis::fine("overcommit", format!("vm.overcommit_memory is {mode}")),
        None => Diagnosis::fine("overcommit", "no setting of this system"),
    }
}

/// Reserves what runs reserve: first the most that `auto` takes, then the least.
fn address_space() -> Diagnosis {
    let engine = |seats, layout| {
        let profile = MemoryProfile { seats, memory_bytes_max: AGENT_BYTES, layout: Some(layout) };
        deterministic_engine(profile)
    };
    let (guarded, dense) = (MemoryLayout::Guarded, MemoryLayout::Dense);
    match engine(GUARDED_SEATS_MAX, guarded).map(|engine| engine.reserved_bytes()) {
        Ok(bytes) => {
            let found =
                format!("{} can be reserved for {GUARDED_SEATS_MAX} agents", units::bytes(bytes));
            return Diagnosis::fine("address space", found);
        }
        Err(error) => tracing::debug!("{error}"),
    }
    let raise = "raise the limit of addresses (ulimit -v unlimited)";
    match engine(1, dense) {
        Ok(_) => Diagnosis::limited(
            "address space",
            format!("4 GiB for each of {GUARDED_SEATS_MAX} agents cannot be reserved"),
            format!("memories lie side by side, and agents that compute run slower; {raise}"),
        ),
        Err(error) => Diagnosis::lacking("address space", error.to_string(), raise),
    }
}

/// A region as runs have it, found again through the system as monitors do.
fn sealed() -> Diagnosis {
    if !cfg!(target_os = "linux") {
        let cure = "use region.backing = \"file\", which is weaker";
        return Diagnosis::limited("sealed memory", "only Linux has it", cure);
    }
    let map = match Map::memfd("doctor", REGION_BYTES) {
        Ok(map) => map,
        Err(error) => {
            let cure = "set region.backing = \"file\", which is weaker; else allow memfd_create \
                        and F_ADD_SEALS (Linux 5.1 or later), and enough memory";
            return Diagnosis::lacking("sealed memory", error.to_string(), cure);
        }
    };
    let path = map.fd().map(|fd| format!("/proc/self/fd/{fd}"));
    let opened = path.map(|path| wasm_engine_shm::read_map::ReadMap::open(path.as_ref()));
    match opened {
        Some(Ok(_)) => {
            let bytes = units::bytes(REGION_BYTES);
            Diagnosis::fine(
                "sealed memory",
                format!("{bytes} made, sealed and opened as monitors do"),
            )
        }
        Some(Err(error)) => Diagnosis::limited(
            "sealed memory",
            format!("it can be made, and not opened by its number: {error}"),
            "runs work, monitors do not: mount /proc, or use region.backing = \"file\"",
        ),
        None => Diagnosis::limited("sealed memory", "it has no number", "monitors cannot attach"),
    }
}

fn huge_pages() -> Diagnosis {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    match text_of(path) {
        Some(modes) => {
            let mode = modes.split('[').nth(1).and_then(|rest| rest.split(']').next());
            let mode = mode.unwrap_or("unknown");
            Diagnosis::fine("huge pages", format!("{mode}; the kernel does not ask for them"))
        }
        None => Diagnosis::fine("huge pages", "none; the kernel does not ask for them"),
    }
}
