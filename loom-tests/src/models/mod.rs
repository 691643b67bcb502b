//! The models: one property each.

pub mod bell;
pub mod claim;
pub mod looks;
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
    looks::BYTES_LOOKS,
    looks::CELL_LOOKS,
    outbox::OUTBOX_RELEASE,
    outbox::STASH_REUSE,
    slots::BROADCAST_OVERRUN,
    slots::PAGE_TORN,
    slots::PAGE_FRESH,
    tables::ROW_CUT,
    tables::ERRORS_LIST,
    tables::COUNTER_READ,
    tables::COUNTER_REUSE,
    claim::CLAIM_ONCE,
    publish::REGION_READY,
    publish::OWNER_STOPPED,
    bell::DOORBELL,
    bell::DOORBELL_TWICE,
];

/// Breaches on the caller's side, each a model that must fail.
pub const RED: &[Model] =
    &[outbox::OUTBOX_TOO_EARLY, outbox::STASH_TOO_EARLY, bell::DOORBELL_UNCHECKED];
