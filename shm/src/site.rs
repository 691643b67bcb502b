//! The names of all accesses and fences whose memory ordering matters.
//!
//! Every ordering and every fence of the protocols is written at the call together with its site:
//! `M::ord(Site::BytesPublish, Ordering::Release)`. On the real memory a site is nothing: it is
//! compiled away. The model checker's memory looks the site up and can weaken exactly one of them,
//! so that a test can demand that some model then fails. Relaxed accesses have no site: there is
//! nothing to weaken.
//!
//! The text of each variant names the partner. A site without a partner is a mistake.

/// One access or fence in the source whose ordering carries an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Site {
    /// Release store of the head by the bytes producer. Partner: [`Site::BytesPeek`].
    BytesPublish,
    /// Acquire load of the head by the bytes consumer. Partner: [`Site::BytesPublish`].
    BytesPeek,
    /// Release store of the tail by the bytes consumer. Partner: [`Site::BytesReclaim`].
    BytesRelease,
    /// Acquire load of the tail by the bytes producer. Partner: [`Site::BytesRelease`].
    BytesReclaim,
    /// Release store of a slot's sequence by the cell sender. Partner: [`Site::CellPeek`].
    CellFill,
    /// Acquire load of a slot's sequence by the cell receiver. Partner: [`Site::CellFill`].
    CellPeek,
    /// Release store of the tail by the cell receiver. Partner: [`Site::CellReclaim`].
    CellEmpty,
    /// Acquire load of the tail by the cell sender. Partner: [`Site::CellEmpty`].
    CellReclaim,
    /// Release fence after the busy mark of a slot. Partner: [`Site::SlotCheck`].
    SlotBusy,
    /// Release store of a slot's finished sequence. Partner: [`Site::SlotOpen`].
    SlotDone,
    /// Acquire fence after the reader's first load of the sequence. Partner: [`Site::SlotDone`].
    SlotOpen,
    /// Acquire fence before the reader's second load. Partner: [`Site::SlotBusy`].
    SlotCheck,
    /// Release store of the count of finished slots. Partner: [`Site::SlotLatest`].
    SlotCount,
    /// Acquire fence after loading that count. Partner: [`Site::SlotCount`].
    SlotLatest,
    /// Release fence after the busy mark of a row's copy. Partner: [`Site::RowCheck`].
    RowBusy,
    /// Acquire fence before the second load of a copy's sequence. Partner: [`Site::RowBusy`].
    RowCheck,
    /// Release store of the published version. Partner: [`Site::RowVersion`].
    RowPublish,
    /// Acquire fence after loading the published version. Partner: [`Site::RowPublish`].
    RowVersion,
    /// Release store of the number of counters. Partner: [`Site::CounterCount`].
    CounterPublish,
    /// Acquire fence after loading that number. Partner: [`Site::CounterPublish`].
    CounterCount,
    /// Release fence after the odd mark of a counter's entry. Partner: [`Site::CounterCheck`].
    CounterBusy,
    /// Release store of an entry's next generation. Partner: [`Site::CounterOpen`].
    CounterDone,
    /// Acquire fence after the reader's first load of the generation. Partner:
    /// [`Site::CounterDone`].
    CounterOpen,
    /// Acquire fence before the reader's second load. Partner: [`Site::CounterBusy`].
    CounterCheck,
    /// Sequentially consistent fence between publishing and checking for a sleeper.
    /// Partner: [`Site::BellSleep`].
    BellRing,
    /// Sequentially consistent fence between announcing sleep and checking for work.
    /// Partner: [`Site::BellRing`].
    BellSleep,
    /// Release increment of the doorbell's epoch. Partner: [`Site::BellEpoch`].
    BellBump,
    /// Acquire load of the epoch before announcing sleep. Partner: [`Site::BellBump`].
    BellEpoch,
    /// Release store of the region's magic. Partner: [`Site::ReadyPoll`].
    ReadyPublish,
    /// Acquire fence after loading the region's magic. Partner: [`Site::ReadyPublish`].
    ReadyPoll,
    /// Release store of the owner's state. Partner: [`Site::StatePoll`].
    StatePublish,
    /// Acquire fence after loading that state. Partner: [`Site::StatePublish`].
    StatePoll,
    /// Release store of the durable sequence, or of the end, by the writer of acknowledgements.
    /// Partner: [`Site::AckPeek`].
    AckPublish,
    /// Acquire load of either by their reader. Partner: [`Site::AckPublish`].
    AckPeek,
}

impl Site {
    /// Every site, in the order of the enum: the mutation gate walks this list.
    pub const ALL: [Site; 34] = [
        Site::BytesPublish,
        Site::BytesPeek,
        Site::BytesRelease,
        Site::BytesReclaim,
        Site::CellFill,
        Site::CellPeek,
        Site::CellEmpty,
        Site::CellReclaim,
        Site::SlotBusy,
        Site::SlotDone,
        Site::SlotOpen,
        Site::SlotCheck,
        Site::SlotCount,
        Site::SlotLatest,
        Site::RowBusy,
        Site::RowCheck,
        Site::RowPublish,
        Site::RowVersion,
        Site::CounterPublish,
        Site::CounterCount,
        Site::CounterBusy,
        Site::CounterDone,
        Site::CounterOpen,
        Site::CounterCheck,
        Site::BellRing,
        Site::BellSleep,
        Site::BellBump,
        Site::BellEpoch,
        Site::ReadyPublish,
        Site::ReadyPoll,
        Site::StatePublish,
        Site::StatePoll,
        Site::AckPublish,
        Site::AckPeek,
    ];
}
