//! What the log holds: records, and the facts of a tick inside its `TickOpen`.
//!
//! The facts of a tick are encoded once: the same bytes are applied by the core, hashed into the
//! tick digest, written to the log and read back by replay (SEMANTICS L1, D3). How records lie on
//! disk, in blocks and segments, is in `record/block.rs`; how they are checked, in
//! `record/scan.rs`.
//!
//! ```text
//! TickOpen   0 tick u64 | 8 chosen u32 | 12 facts u32 | 16 fact ...
//! fact       0 kind u32 | 4 len u32 | 8 a u64 | 16 b u64 | 24 c u32 | 28 code i32
//!            32 payload, padded to 8
//! TickClose  0 tick u64 | 8 digest 16 | 24 fuel digest 16 | 40 microsteps u32 | 44 turns u32
//!            48 u64 per turn
//! ```

use bytemuck::{Pod, Zeroable};

use crate::codes;
use crate::ids::{AgentId, Digest};

mod block;
mod corruption;
mod crc;
mod scan;

pub use block::{
    BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, BLOCK_FOOTER_BYTES, BLOCK_HEADER_BYTES, BLOCK_MAGIC,
    BlockFooter, BlockHeader, FOOTER_MAGIC, FRAGMENT_BYTES_MAX, LOG_VERSION, RECORD_BYTES_MAX,
    RECORD_HEADER_BYTES, RecordHeader, Resumed, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC, SEGMENTS_MAX,
    SegmentHeader, flags, fragment_bytes, kind, record_bytes,
};
pub use corruption::Corruption;
pub use crc::{Crc, crc32c};
pub use scan::{Block, Chain, CorruptBlock, Scan, Tail, record_at, scan, sound_block};

/// Head of a `TickOpen` record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct TickOpen {
    /// The tick.
    pub tick: u64,
    /// 1 if its number came from a live fact (SEMANTICS T5), else 0.
    pub chosen: u32,
    /// Facts that follow.
    pub facts: u32,
}

/// Head of a fact; `len` payload bytes follow, padded with zeros to 8.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct FactHeader {
    /// One of [`fact`].
    pub kind: u32,
    /// Payload bytes.
    pub len: u32,
    /// By kind.
    pub a: u64,
    /// By kind.
    pub b: u64,
    /// By kind.
    pub c: u32,
    /// By kind.
    pub code: i32,
}

codes! {
/// Kinds of fact, in the order in which they are applied at open (SEMANTICS T3).
fact: u32 {
    /// A model was loaded, or could not be: `a` number of the load, `c` model, `code` status.
    LOAD = 1 "load",
    /// What computes a model's replies from this tick on, where another did before (SEMANTICS I5):
    /// `c` model, payload a JSON text of at most [`PROVIDER_BYTES_MAX`](super::PROVIDER_BYTES_MAX)
    /// bytes.
    PROVIDER = 3 "provider",
    /// Host command: `a` its sequence, `b` whom it is about, `c` what it does
    /// ([`action`](super::action)), payload the arguments of an agent to spawn, or the task.
    COMMAND = 2 "command",
    /// Inference reply: `a` agent, `b` request sequence, `c` model, `code` status, payload the row.
    REPLY = 4 "reply",
    /// Input: `a` source, `b` source sequence, `c` topic, payload.
    INPUT = 6 "input",
    /// How much this tick may execute: `a` turns, `b` fuel, 0 for as much as there is.
    BUDGET = 7 "budget",
}
}

codes! {
/// What a command of the host does, and whom it is about.
action: u32 {
    /// Ends an agent.
    TERMINATE = 1 "terminate",
    /// Pauses an agent.
    PAUSE = 2 "pause",
    /// Ends the pause of an agent.
    RESUME = 3 "resume",
    /// Makes an agent of a template.
    SPAWN = 4 "spawn",
    /// Gives an agent a task.
    SCHEDULE = 5 "schedule",
    /// Loads a model.
    LOAD = 16 "load",
    /// Unloads a model.
    UNLOAD = 17 "unload",
    /// Lets the name of this model, without a version, mean this version of it.
    SWAP = 18 "swap",
}
}

/// Sequence of the first command of a live host; those below are of the configuration, with ticks.
pub const LIVE_COMMAND: u64 = 1 << 63;

/// What came of loading a model: [`fact::LOAD`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadFact {
    /// Number of the load over the run.
    pub load: u64,
    /// The model.
    pub model: u32,
    /// `Status::Ok` or `Status::ModelFailed`, as a code.
    pub code: i32,
}

/// Longest text of a [`fact::PROVIDER`], in bytes.
pub const PROVIDER_BYTES_MAX: u32 = 16 << 10;

/// Another provider computes a model: [`fact::PROVIDER`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProviderFact {
    /// The model.
    pub model: u32,
}

/// A command of the host: [`fact::COMMAND`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandFact {
    /// The host's sequence number of it.
    pub seq: u64,
    /// One of [`action`].
    pub action: u32,
    /// Address of an agent, or position of a template or model in the setup.
    pub subject: u64,
}

impl CommandFact {
    /// Whether it came from a live host.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.seq >= LIVE_COMMAND
    }
}

/// An inference reply: [`fact::REPLY`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyFact {
    /// Who asked.
    pub agent: AgentId,
    /// Its sequence number of the request.
    pub request: u64,
    /// The model that was asked.
    pub model: u32,
    /// Status of the reply.
    pub code: i32,
}

/// An input: [`fact::INPUT`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InputFact {
    /// Number of the source.
    pub source: u64,
    /// The source's sequence number.
    pub seq: u64,
    /// The topic that it enters by.
    pub topic: u32,
}

/// How much a tick may execute, where a live host says so: [`fact::BUDGET`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BudgetFact {
    /// Turns at most; 0 for any number.
    pub turns: u64,
    /// Fuel after which no microstep begins; 0 for any amount.
    pub fuel: u64,
}

/// The fields of a fact by their names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FactFields {
    /// Of a load.
    Load(LoadFact),
    /// Of a change of provider.
    Provider(ProviderFact),
    /// Of a command.
    Command(CommandFact),
    /// Of an inference reply.
    Reply(ReplyFact),
    /// Of an input.
    Input(InputFact),
    /// Of a budget.
    Budget(BudgetFact),
}

impl From<LoadFact> for FactHeader {
    fn from(loaded: LoadFact) -> Self {
        let LoadFact { load, model, code } = loaded;
        Self { kind: fact::LOAD, len: 0, a: load, b: 0, c: model, code }
    }
}

impl From<ProviderFact> for FactHeader {
    fn from(changed: ProviderFact) -> Self {
        let ProviderFact { model } = changed;
        Self { kind: fact::PROVIDER, len: 0, a: 0, b: 0, c: model, code: 0 }
    }
}

impl From<CommandFact> for FactHeader {
    fn from(command: CommandFact) -> Self {
        let CommandFact { seq, action, subject } = command;
        Self { kind: fact::COMMAND, len: 0, a: seq, b: subject, c: action, code: 0 }
    }
}

impl From<ReplyFact> for FactHeader {
    fn from(reply: ReplyFact) -> Self {
        let ReplyFact { agent, request, model, code } = reply;
        Self { kind: fact::REPLY, len: 0, a: agent.to_bits(), b: request, c: model, code }
    }
}

impl From<InputFact> for FactHeader {
    fn from(input: InputFact) -> Self {
        let InputFact { source, seq, topic } = input;
        Self { kind: fact::INPUT, len: 0, a: source, b: seq, c: topic, code: 0 }
    }
}

impl From<BudgetFact> for FactHeader {
    fn from(budget: BudgetFact) -> Self {
        let BudgetFact { turns, fuel } = budget;
        Self { kind: fact::BUDGET, len: 0, a: turns, b: fuel, c: 0, code: 0 }
    }
}

impl FactHeader {
    /// Its fields by name; none of a kind that does not exist.
    #[must_use]
    pub const fn fields(&self) -> Option<FactFields> {
        let Self { a, b, c, code, .. } = *self;
        match self.kind {
            fact::LOAD => Some(FactFields::Load(LoadFact { load: a, model: c, code })),
            fact::PROVIDER => Some(FactFields::Provider(ProviderFact { model: c })),
            fact::COMMAND => {
                Some(FactFields::Command(CommandFact { seq: a, action: c, subject: b }))
            }
            fact::REPLY => Some(FactFields::Reply(ReplyFact {
                agent: AgentId::from_bits(a),
                request: b,
                model: c,
                code,
            })),
            fact::INPUT => Some(FactFields::Input(InputFact { source: a, seq: b, topic: c })),
            fact::BUDGET => Some(FactFields::Budget(BudgetFact { turns: a, fuel: b })),
            _ => None,
        }
    }
}

/// Head of a `TickClose` record; the low halves of the turn digests follow, in schedule order
/// over all microsteps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct TickClose {
    /// The tick.
    pub tick: u64,
    /// Tick digest (SEMANTICS D3).
    pub digest: Digest,
    /// Fuel chain (SEMANTICS D4).
    pub fuel: Digest,
    /// Microsteps executed.
    pub microsteps: u32,
    /// Turns, and so `u64`s that follow.
    pub turns: u32,
}

/// A fact and its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fact<'a> {
    /// Head.
    pub header: FactHeader,
    /// Payload, without padding.
    pub payload: &'a [u8],
}

/// The bytes are no `TickOpen`: at this offset something is cut short or not as promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadFacts {
    /// Offset of the part that does not fit.
    pub offset: usize,
}

impl core::fmt::Display for BadFacts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the facts of a tick are malformed at byte {}", self.offset)
    }
}

impl core::error::Error for BadFacts {}

/// Bytes that a fact with `len` payload bytes takes.
#[must_use]
pub const fn fact_bytes(len: usize) -> usize {
    size_of::<FactHeader>() + len.next_multiple_of(8)
}

/// A checked `TickOpen` record.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    open: TickOpen,
    body: &'a [u8],
}

impl<'a> Facts<'a> {
    /// Checks `bytes` whole: head, count, and each fact within its place.
    ///
    /// # Errors
    /// [`BadFacts`] at the first part that does not fit.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadFacts> {
        let head = bytes.get(..size_of::<TickOpen>()).ok_or(BadFacts { offset: 0 })?;
        let open: TickOpen = bytemuck::pod_read_unaligned(head);
        let body = &bytes[size_of::<TickOpen>()..];
        let facts = Self { open, body };
        let (mut rest, mut count) = (body, 0u32);
        while !rest.is_empty() {
            let offset = bytes.len() - rest.len();
            let (_, after) = split_fact(rest).ok_or(BadFacts { offset })?;
            rest = after;
            count = count.checked_add(1).ok_or(BadFacts { offset })?;
        }
        if count != open.facts {
            return Err(BadFacts { offset: 12 });
        }
        Ok(facts)
    }

    /// Head of the record.
    #[must_use]
    pub fn open(&self) -> TickOpen {
        self.open
    }

    /// The facts, in order.
    pub fn iter(&self) -> impl Iterator<Item = Fact<'a>> + use<'a> {
        let mut rest = self.body;
        core::iter::from_fn(move || {
            let (fact, after) = split_fact(rest)?;
            rest = after;
            Some(fact)
        })
    }
}

fn split_fact(bytes: &[u8]) -> Option<(Fact<'_>, &[u8])> {
    let head = bytes.get(..size_of::<FactHeader>())?;
    let header: FactHeader = bytemuck::pod_read_unaligned(head);
    let end = fact_bytes(header.len as usize);
    let payload = bytes.get(size_of::<FactHeader>()..end)?.get(..header.len as usize)?;
    Some((Fact { header, payload }, &bytes[end..]))
}

const _: () = assert!(size_of::<TickOpen>() == 16);
const _: () = assert!(size_of::<FactHeader>() == 32);
const _: () = assert!(size_of::<TickClose>() == 48);
