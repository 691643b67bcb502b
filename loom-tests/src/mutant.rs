//! Wrong algorithms: each takes a step of a protocol away or does it too early, in the model
//! checker's memory, so that the shipping source itself is what goes wrong.
//!
//! A weakened ordering shows that a model sees orderings; a breach shows that it sees the algorithm
//! around them. Both are gated alike (`src/bin/mutants.rs`): each must turn some model red.
//!
//! A breach acts by the role in which a handle was claimed and by the word that it touches. Which
//! words are marks follows from the small sizes of the models named beside each breach.
//!
//! What this does not do: breaches inside private arithmetic (the pad of a record) cannot be made
//! here; those that are a matter of the caller (a payload replaced too early) are models of their
//! own, with tests that expect their failure.

use std::sync::atomic::{AtomicUsize, Ordering};

use wasm_engine_shm::claim::{Protocol, Side};
use wasm_engine_shm::header::MAGIC;

/// One wrong algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Breach {
    /// A bytes producer publishes one unit more than it has written.
    PublishBeforeWrite,
    /// A bytes consumer releases one unit more than it has read.
    ReleaseBeforeRead,
    /// A bytes producer counts one unit more as free than there is.
    BytesOverCapacity,
    /// A cell sender counts one cell more as free than there is.
    CellOverCapacity,
    /// A slot is not marked busy.
    SlotBusyMissing,
    /// A slot is marked finished before its payload is written.
    SlotDoneEarly,
    /// A slot is counted before it is finished.
    SlotCountEarly,
    /// A reader of a slot does not look at the sequence again.
    SlotRecheckSkipped,
    /// A row version is not marked busy.
    RowBusyMissing,
    /// A cut is published before its rows are written.
    RowCutEarly,
    /// A reader of a row does not look at the stamp again.
    RowRecheckSkipped,
    /// A counter's entry is not marked while it is replaced.
    CounterBusyMissing,
    /// A reader of an entry does not look at the generation again.
    CounterRecheckSkipped,
    /// The region's magic comes first.
    MagicEarly,
    /// A sleeper does not say that it sleeps.
    SleeperUnannounced,
    /// A ring does not change the epoch.
    EpochBumpMissing,
    /// A ring does not wake.
    WakeMissing,
    /// A claim looks at the list and enters it in two steps.
    ClaimInTwoSteps,
}

impl Breach {
    /// Every breach.
    pub const ALL: [Self; 18] = [
        Self::PublishBeforeWrite,
        Self::ReleaseBeforeRead,
        Self::BytesOverCapacity,
        Self::CellOverCapacity,
        Self::SlotBusyMissing,
        Self::SlotDoneEarly,
        Self::SlotCountEarly,
        Self::SlotRecheckSkipped,
        Self::RowBusyMissing,
        Self::RowCutEarly,
        Self::RowRecheckSkipped,
        Self::CounterBusyMissing,
        Self::CounterRecheckSkipped,
        Self::MagicEarly,
        Self::SleeperUnannounced,
        Self::EpochBumpMissing,
        Self::WakeMissing,
        Self::ClaimInTwoSteps,
    ];

    /// The models whose words it knows, by the beginning of their names.
    #[must_use]
    pub fn models(self) -> &'static [&'static str] {
        match self {
            Self::PublishBeforeWrite | Self::ReleaseBeforeRead | Self::BytesOverCapacity => {
                &["bytes"]
            }
            Self::CellOverCapacity => &["cell"],
            Self::SlotBusyMissing
            | Self::SlotDoneEarly
            | Self::SlotCountEarly
            | Self::SlotRecheckSkipped => &["broadcast", "page"],
            Self::RowBusyMissing | Self::RowCutEarly | Self::RowRecheckSkipped => &["row"],
            Self::CounterBusyMissing | Self::CounterRecheckSkipped => &["counter_reuse"],
            Self::MagicEarly => &["region"],
            Self::SleeperUnannounced | Self::EpochBumpMissing | Self::WakeMissing => &["doorbell"],
            Self::ClaimInTwoSteps => &["claim"],
        }
    }
}

/// The breach committed, as its place in [`Breach::ALL`] plus one; 0 for none.
static COMMITTED: AtomicUsize = AtomicUsize::new(0);

/// Commits a breach for the rest of the process.
pub fn commit(breach: Breach) {
    let place = Breach::ALL.iter().position(|b| *b == breach).map_or(0, |at| at + 1);
    COMMITTED.store(place, Ordering::Relaxed);
}

/// The breach being committed.
pub(crate) fn committed() -> Option<Breach> {
    Breach::ALL.get(COMMITTED.load(Ordering::Relaxed).wrapping_sub(1)).copied()
}

/// The part that a handle plays, once claimed.
pub(crate) type Role = Option<(Protocol, Side)>;

/// One unit of a bytes ring.
const UNIT: u64 = 16;

/// What becomes of a store.
pub(crate) enum Store {
    /// This value is stored.
    As(u64),
    /// Nothing is.
    Dropped,
    /// Another word is stored before.
    After(usize, u64),
}

/// Sequence words of the slots in the models: two words of payload, a stride of sixteen in a page
/// and of eight in a broadcast.
fn is_slot_mark(protocol: Protocol, word: usize) -> bool {
    let stride = if protocol == Protocol::Broadcast { 8 } else { 16 };
    word >= 16 && word.is_multiple_of(stride)
}

/// Stamps of the rows in the models: two words a version, a stride of eight.
fn is_row_mark(word: usize) -> bool {
    word >= 16 && matches!(word % 8, 0 | 3)
}

/// The odd generation of a counter's entry, in whose model nothing else is odd and that large.
const COUNTER_MARK: u64 = 3;
/// Generation of the entry in that model.
const COUNTER_ENTRY: usize = 16;

/// A store to an atomic word as the breach wants it.
pub(crate) fn stored(role: Role, word: usize, value: u64) -> Store {
    use Protocol::{Bell, Broadcast, BytesConsumer, BytesProducer, Counters, Header, Page, Rows};
    let (Some(breach), Some((protocol, Side::Writer))) = (committed(), role) else {
        return Store::As(value);
    };
    match (breach, protocol) {
        (Breach::PublishBeforeWrite, BytesProducer) => Store::As(value + UNIT),
        (Breach::ReleaseBeforeRead, BytesConsumer) => Store::As(value + UNIT),
        (_, Page | Broadcast) if is_slot_mark(protocol, word) && value % 2 == 1 => match breach {
            Breach::SlotBusyMissing => Store::Dropped,
            Breach::SlotDoneEarly => Store::As(value + 1),
            Breach::SlotCountEarly => Store::After(0, value / 2 + 1),
            _ => Store::As(value),
        },
        (_, Rows) if is_row_mark(word) && value.is_multiple_of(2) => match breach {
            Breach::RowBusyMissing => Store::Dropped,
            Breach::RowCutEarly => Store::After(0, value / 2),
            _ => Store::As(value),
        },
        (Breach::CounterBusyMissing, Counters) if value == COUNTER_MARK => Store::Dropped,
        (Breach::MagicEarly, Header) if word == 1 => Store::After(0, MAGIC),
        (Breach::SleeperUnannounced, Bell) if value == 1 => Store::Dropped,
        _ => Store::As(value),
    }
}

/// What a load from an atomic word gives under the breach.
pub(crate) fn loaded(role: Role, value: u64) -> u64 {
    use Protocol::{BytesConsumer, CellReceiver};
    match (committed(), role) {
        (Some(Breach::BytesOverCapacity), Some((BytesConsumer, Side::Peer))) => value + UNIT,
        (Some(Breach::CellOverCapacity), Some((CellReceiver, Side::Peer))) => value + 1,
        _ => value,
    }
}

/// Whether a second look at this word is left out.
pub(crate) fn looks_once(role: Role, word: usize) -> bool {
    match (committed(), role) {
        (Some(Breach::SlotRecheckSkipped), Some((protocol, side))) => {
            side == Side::Watcher
                && matches!(protocol, Protocol::Page | Protocol::Broadcast)
                && is_slot_mark(protocol, word)
        }
        (Some(Breach::CounterRecheckSkipped), Some((Protocol::Counters, side))) => {
            side == Side::Watcher && word == COUNTER_ENTRY
        }
        (Some(Breach::RowRecheckSkipped), Some((Protocol::Rows, side))) => {
            side == Side::Watcher && is_row_mark(word)
        }
        _ => false,
    }
}
