//! The models: one property each.

pub mod bell;
pub mod outbox;
pub mod publish;
pub mod rings;
pub mod slots;
pub mod tables;

use crate::check::Model;

/// Every model.
pub const ALL: &[Model] = &[
    rings::CELL_PUBLISH,
    rings::BYTES_WRAP,
    rings::BYTES_FULL,
    rings::BYTES_BATCH,
    outbox::OUTBOX_RELEASE,
    outbox::STASH_REUSE,
    slots::BROADCAST_OVERRUN,
    slots::PAGE_TORN,
    slots::PAGE_FRESH,
    tables::ROW_CUT,
    tables::COUNTER_READ,
    publish::REGION_READY,
    bell::DOORBELL,
    bell::DOORBELL_TWICE,
];
