//! A request that was handed over, and its reply until it is taken.

use std::sync::Arc;

use wasm_engine_setup::ProviderUse;

use crate::deadline::Late;

/// Where the reply to a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    Outstanding,
    Arrived(i32),
    Taken,
}

/// One submitted request, from submission until its reply was taken.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) number: u64,
    pub(crate) model: u32,
    pub(crate) arrival: Arrival,
    pub(crate) late: Late,
    /// When it was submitted.
    pub(crate) asked_ns: u64,
    pub(crate) reply: Vec<u8>,
    /// What computed it, once it was.
    pub(crate) providers: Option<Arc<ProviderUse>>,
}
