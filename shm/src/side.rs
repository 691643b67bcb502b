//! Protocols and their sides, and why a side cannot be opened.

/// The protocol that a range of memory is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Protocol {
    /// Head and data of a ring of variable-size records.
    BytesProducer,
    /// Tail of a ring of variable-size records.
    BytesConsumer,
    /// Slots of a ring of fixed cells.
    CellSender,
    /// Tail of a ring of fixed cells.
    CellReceiver,
    /// Payloads of a lane.
    Outbox,
    /// Blocks that outlive a microstep.
    Spill,
    /// A lossy broadcast.
    Broadcast,
    /// A snapshot page.
    Page,
    /// A table of rows with snapshots.
    Rows,
    /// Labelled counters: the directory or one group of values.
    Counters,
    /// A doorbell.
    Bell,
    /// Acknowledgements.
    Acks,
    /// The header of a region.
    Header,
}

/// The part that one handle plays in a protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Writes; exists once per range.
    Writer,
    /// Reads plain bytes in turns agreed with the writer; exists once per range.
    Peer,
    /// Reads atomic words only, at any time; exists any number of times and never writes.
    Watcher,
    /// Reads atomic words and adds to doorbell words; exists any number of times.
    Ringer,
}

impl Side {
    /// Whether the side may exist beside any other of its protocol.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Side::Watcher | Side::Ringer)
    }
}

/// Why a side of a protocol could not be opened on a piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The side was opened before, or the range overlaps memory in use for something else.
    #[error(
        "{side:?} of {protocol:?} cannot use bytes {offset}..{end}: {held_side:?} of \
         {held_protocol:?} holds them; open each side once and give each its own section"
    )]
    Taken {
        /// Protocol asked for.
        protocol: Protocol,
        /// Side asked for.
        side: Side,
        /// First byte of the range, from the start of the backing.
        offset: usize,
        /// End of the range, exclusive.
        end: usize,
        /// Protocol of the lease in the way.
        held_protocol: Protocol,
        /// Side of the lease in the way.
        held_side: Side,
    },
    /// A side that writes or takes turns with a writer was asked for on a read-only mapping.
    #[error(
        "{protocol:?} cannot be written through a read-only mapping, nor take turns; only its \
         owner writes"
    )]
    ReadOnly {
        /// Protocol asked for.
        protocol: Protocol,
    },
    /// The memory does not have the size that the protocol's `layout` gives.
    #[error(
        "{protocol:?} needs {need} bytes but the memory has {have}; size it with the layout \
         function"
    )]
    Size {
        /// Protocol asked for.
        protocol: Protocol,
        /// Bytes needed (the nearest valid size).
        need: usize,
        /// Bytes given.
        have: usize,
    },
    /// A parameter is outside its range.
    #[error("{protocol:?}: {what} is {value}, allowed is {min}..={max}")]
    Parameter {
        /// Protocol asked for.
        protocol: Protocol,
        /// Name of the parameter.
        what: &'static str,
        /// Value given.
        value: u64,
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed.
        max: u64,
    },
}
