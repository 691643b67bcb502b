//! What a monitor reads: anything that yields snapshots.
//!
//! A running kernel's region is one such thing ([`crate::reader`]); a finished log can be another.
//! What they give is the same [`Snapshot`] of plain rows, so that every output works with both.
//!
//! What this does not do: it interprets no number.

use wasm_engine_abi::page::{AgentRow, KernelPage, LaneRow, ModelRow, RingRow};
pub use wasm_engine_shm::header::Liveness;

use crate::error::MonitorError;
use crate::names::Names;

/// What gives snapshots again and again.
pub trait SnapshotSource {
    /// Takes a snapshot. Never blocks on the kernel, never writes anything.
    ///
    /// # Errors
    /// [`MonitorError`]; a kernel that has died or finished is not one, it is a [`Liveness`].
    fn poll(&mut self) -> Result<Snapshot, MonitorError>;
}

/// The process that owns what is read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Owner {
    /// Process id; 0 for a log.
    pub pid: u32,
    /// Which life of the name this is.
    pub generation: u64,
    /// Wall clock at its start, in nanoseconds since 1970.
    pub started_unix_ns: u64,
}

/// Everything published, as of one poll.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    /// Names.
    pub names: Names,
    /// Owner.
    pub owner: Owner,
    /// What may be said about its process.
    pub liveness: Liveness,
    /// What it said it was activity, in words.
    pub activity: &'static str,
    /// Time for which it has shown no sign of life, as far as this monitor saw, in ns.
    pub idle_ns: u64,
    /// The kernel.
    pub kernel: KernelPage,
    /// Whether the agents are all of the same moment. If the kernel changes rows faster than they
    /// are copied, each row is whole, but some are a few ticks younger than others.
    pub agents_one_version: bool,
    /// Slots that are not empty, by index.
    pub agents: Vec<(u32, AgentRow)>,
    /// Lanes.
    pub lanes: Vec<LaneRow>,
    /// Models.
    pub models: Vec<ModelRow>,
    /// Rings.
    pub rings: Vec<RingRow>,
}
