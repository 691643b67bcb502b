//! The records between scheduler and inference thread.
//!
//! | ring | tag | aux | payload |
//! |---|---|---|---|
//! | requests | model handle, or [`ROW`] and it | number | a list of tensors, or a row |
//! | requests | [`FLUSH`], [`STOP`] | 0 | - |
//! | requests | [`REPLACE`] | model handle | -, the model itself comes beside the ring |
//! | replies | status code (≤ 0) | number | a list of tensors, a row, a text, or nothing |
//! | replies | [`BATCH`] | 0 | [`BatchDone`], before the replies of its batch |
//! | replies | [`PROVIDERS`] | model handle | -, what computes the next replies comes beside the ring |
//! | replies | [`DIED`] | 0 | last words, in UTF-8 |
//!
//! Large records need not all fit: the scheduler keeps what has no room in the ring of requests,
//! and the thread waits where the ring of replies has none.

use std::any::Any;

use bytemuck::{Pod, Zeroable};
use wasm_engine_abi::page::{ModelRow, model_state};

/// In the tag of a request record: it is a row.
pub(crate) const ROW: u32 = 1 << 30;
/// Tag of a request record: the tick closes.
pub(crate) const FLUSH: u32 = u32::MAX;
/// Tag of a request record: a model is replaced by what was sent beside the ring.
pub(crate) const REPLACE: u32 = u32::MAX - 2;
/// Tag of a request record: the thread shall end.
pub(crate) const STOP: u32 = u32::MAX - 1;
/// Tag of a reply record: a batch is done.
pub(crate) const BATCH: u32 = 1;
/// Tag of a reply record: the thread ends with a mistake of ours.
pub(crate) const DIED: u32 = 2;
/// Tag of a reply record: another provider computes a model.
pub(crate) const PROVIDERS: u32 = 3;
/// Longest text of a [`DIED`] record, in bytes.
pub(crate) const LAST_WORDS_MAX: usize = 512;

/// What the thread says about a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct BatchDone {
    /// Duration of the run, in ns of the clock that was handed in.
    pub(crate) run_ns: u64,
    /// When it began, by the same clock; 0 if nothing was run.
    pub(crate) start_ns: u64,
    /// Model handle.
    pub(crate) model: u32,
    /// Requests that were run; 0 if nothing was.
    pub(crate) rows: u32,
    /// Requests that were not what the model takes; they are not run.
    pub(crate) misfits: u32,
    /// Replies that carry an error, misfits among them.
    pub(crate) errors: u32,
    /// 1 if the model is not run again: it panicked or cannot be had any more, now or before.
    pub(crate) gone: u32,
    /// Zero.
    pub(crate) reserved: u32,
}

impl BatchDone {
    /// Counts it; one without rows held refused requests only.
    pub(crate) fn count_in(&self, row: &mut ModelRow) {
        if self.rows > 0 {
            row.count_batch(self.rows, self.run_ns);
        }
        row.requests += u64::from(self.misfits);
        row.errors += u64::from(self.errors);
        if self.gone != 0 {
            row.state = model_state::FAILED;
        }
    }
}

/// The text of a panic, if it has one.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}
