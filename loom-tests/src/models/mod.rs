//! The models: one property each.

pub mod acks;
pub mod bell;
pub mod lease;
pub mod payloads;
pub mod polls;
pub mod publish;
pub mod rings;
pub mod slots;
pub mod tables;

use crate::check::LoomModel;

/// Every model.
pub const ALL: &[LoomModel] = &[
    rings::CELL_PUBLISH,
    rings::BYTES_WRAP,
    rings::BYTES_FULL,
    rings::BYTES_BATCH,
    polls::BYTES_POLL,
    polls::CELL_POLL,
    payloads::OUTBOX_RELEASE,
    payloads::SPILL_REUSE,
    slots::BROADCAST_OVERRUN,
    slots::PAGE_TORN,
    slots::PAGE_FRESH,
    tables::ROW_VERSION,
    tables::ERRORS_LIST,
    tables::COUNTER_READ,
    tables::COUNTER_REUSE,
    lease::LEASE_ONCE,
    publish::REGION_READY,
    publish::OWNER_STOPPED,
    bell::DOORBELL,
    bell::DOORBELL_TWICE,
    bell::DOORBELL_ELSEWHERE,
    acks::ACKS_ORDER,
];

/// Bugs of the caller, each a model that must fail.
pub const RED: &[LoomModel] =
    &[payloads::OUTBOX_TOO_EARLY, payloads::SPILL_TOO_EARLY, bell::DOORBELL_UNCHECKED];
