//! Mutants: injected bugs. Each leaves out a step of a protocol or does it too early, in the model
//! checker's memory, so that the shipping source itself is what goes wrong.
//!
//! A weakened ordering shows that a model sees orderings; a mutant shows that it sees the algorithm
//! around them. Both are gated alike (`src/bin/mutants.rs`): some model must fail for each.
//!
//! A mutant acts by the role in which a handle was leased and by the word that it touches. Which
//! words are marks follows from the small sizes of the models named beside each mutant.
//!
//! What this does not do: bugs inside private arithmetic (the pad of a record) cannot be injected
//! here; bugs of the caller (a payload replaced too early) are models of their own, with tests that
//! expect their failure.

use std::sync::atomic::{AtomicUsize, Ordering};

use wasm_engine_shm::header::MAGIC;
use wasm_engine_shm::lease::{Protocol, Side};

/// One injected bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
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
    /// A reader of a slot does not load the sequence again.
    SlotRecheckSkipped,
    /// A copy of a row is not marked busy.
    RowBusyMissing,
    /// A version is published before its rows are written.
    RowVersionEarly,
    /// A reader of a row does not load the sequence again.
    RowRecheckSkipped,
    /// A counter's entry is not marked while it is replaced.
    CounterBusyMissing,
    /// A reader of an entry does not load the generation again.
    CounterRecheckSkipped,
    /// The region's magic comes first.
    MagicEarly,
    /// A sleeper does not announce that it sleeps.
    SleeperUnannounced,
    /// A ring does not change the epoch.
    EpochBumpMissing,
    /// A ring does not wake.
    WakeMissing,
    /// A lease is checked against the list and entered in two steps.
    LeaseInTwoSteps,
}

impl Mutant {
    /// Every mutant.
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
        Self::RowVersionEarly,
        Self::RowRecheckSkipped,
        Self::CounterBusyMissing,
        Self::CounterRecheckSkipped,
        Self::MagicEarly,
        Self::SleeperUnannounced,
        Self::EpochBumpMissing,
        Self::WakeMissing,
        Self::LeaseInTwoSteps,
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
            Self::RowBusyMissing | Self::RowVersionEarly | Self::RowRecheckSkipped => &["row"],
            Self::CounterBusyMissing | Self::CounterRecheckSkipped => &["counter_reuse"],
            Self::MagicEarly => &["region"],
            Self::SleeperUnannounced | Self::EpochBumpMissing | Self::WakeMissing => &["doorbell"],
            Self::LeaseInTwoSteps => &["lease"],
        }
    }
}

/// The mutant injected, as its index in [`Mutant::ALL`] plus one; 0 for none.
static INJECTED: AtomicUsize = AtomicUsize::new(0);

/// Injects a mutant for the rest of the process.
pub fn inject(mutant: Mutant) {
    let number = Mutant::ALL.iter().position(|m| *m == mutant).map_or(0, |index| index + 1);
    INJECTED.store(number, Ordering::Relaxed);
}

/// The mutant that was injected.
pub(crate) fn injected() -> Option<Mutant> {
    Mutant::ALL.get(INJECTED.load(Ordering::Relaxed).wrapping_sub(1)).copied()
}

/// The part that a handle plays, once leased.
pub(crate) type Role = Option<(Protocol, Side)>;

/// One unit of a bytes ring.
const UNIT: u64 = 16;

/// The effect of a mutant on a store.
pub(crate) enum StoreEffect {
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

/// Sequences of the rows in the models: two words a copy, a stride of eight.
fn is_row_mark(word: usize) -> bool {
    word >= 16 && matches!(word % 8, 0 | 3)
}

/// The odd generation of a counter's entry, in whose model nothing else is odd and that large.
const COUNTER_MARK: u64 = 3;
/// Generation of the entry in that model.
const COUNTER_ENTRY: usize = 16;

/// A store to an atomic word under the mutant.
pub(crate) fn stored(role: Role, word: usize, value: u64) -> StoreEffect {
    use Protocol::{Bell, Broadcast, BytesConsumer, BytesProducer, Counters, Header, Page, Rows};
    let (Some(mutant), Some((protocol, Side::Writer))) = (injected(), role) else {
        return StoreEffect::As(value);
    };
    match (mutant, protocol) {
        (Mutant::PublishBeforeWrite, BytesProducer) => StoreEffect::As(value + UNIT),
        (Mutant::ReleaseBeforeRead, BytesConsumer) => StoreEffect::As(value + UNIT),
        (_, Page | Broadcast) if is_slot_mark(protocol, word) && value % 2 == 1 => match mutant {
            Mutant::SlotBusyMissing => StoreEffect::Dropped,
            Mutant::SlotDoneEarly => StoreEffect::As(value + 1),
            Mutant::SlotCountEarly => StoreEffect::After(0, value / 2 + 1),
            _ => StoreEffect::As(value),
        },
        (_, Rows) if is_row_mark(word) && value.is_multiple_of(2) => match mutant {
            Mutant::RowBusyMissing => StoreEffect::Dropped,
            Mutant::RowVersionEarly => StoreEffect::After(0, value / 2),
            _ => StoreEffect::As(value),
        },
        (Mutant::CounterBusyMissing, Counters) if value == COUNTER_MARK => StoreEffect::Dropped,
        (Mutant::MagicEarly, Header) if word == 1 => StoreEffect::After(0, MAGIC),
        (Mutant::SleeperUnannounced, Bell) if value == 1 => StoreEffect::Dropped,
        _ => StoreEffect::As(value),
    }
}

/// The value that a load of an atomic word returns under the mutant.
pub(crate) fn loaded(role: Role, value: u64) -> u64 {
    use Protocol::{BytesConsumer, CellReceiver};
    match (injected(), role) {
        (Some(Mutant::BytesOverCapacity), Some((BytesConsumer, Side::Peer))) => value + UNIT,
        (Some(Mutant::CellOverCapacity), Some((CellReceiver, Side::Peer))) => value + 1,
        _ => value,
    }
}

/// Whether the second load of this word is left out.
pub(crate) fn loads_once(role: Role, word: usize) -> bool {
    match (injected(), role) {
        (Some(Mutant::SlotRecheckSkipped), Some((protocol, side))) => {
            side == Side::Watcher
                && matches!(protocol, Protocol::Page | Protocol::Broadcast)
                && is_slot_mark(protocol, word)
        }
        (Some(Mutant::CounterRecheckSkipped), Some((Protocol::Counters, side))) => {
            side == Side::Watcher && word == COUNTER_ENTRY
        }
        (Some(Mutant::RowRecheckSkipped), Some((Protocol::Rows, side))) => {
            side == Side::Watcher && is_row_mark(word)
        }
        _ => false,
    }
}
