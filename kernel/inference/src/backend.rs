//! What the inference thread asks of a model, whatever runs it.

use thiserror::Error;

use crate::interrupt::Interrupter;

/// Why a run has no result.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BackendFailure {
    /// It failed; the model can be run again.
    #[error("{0}")]
    Failed(String),
    /// The process of the model ended in it; the next run has a new one.
    #[error("{0}")]
    Ended(String),
    /// The model cannot be run any more.
    #[error("{0}")]
    Gone(String),
}

/// One loaded model: `batch` rows in, `batch` rows out. It belongs to the inference thread.
///
/// Lengths and batch never change. A panic in any method is caught and answered like an error.
pub trait Backend: Send {
    /// `f32` values of one input row.
    fn input_len(&self) -> usize;
    /// `f32` values of one output row.
    fn output_len(&self) -> usize;
    /// Rows of every run.
    fn batch(&self) -> usize;
    /// The input, row after row, `batch * input_len` values; it keeps what was last written.
    fn rows(&mut self) -> &mut [f32];
    /// Runs all rows and gives `batch * output_len` values, row after row.
    ///
    /// # Errors
    /// [`BackendFailure`], with what went wrong in words.
    fn run(&mut self) -> Result<&[f32], BackendFailure>;
    /// What its bits depend on, for the log.
    fn describe(&self) -> String;
    /// What stops a run from another thread; one that stops nothing, if there is none.
    fn interrupter(&self) -> Interrupter {
        Interrupter::default()
    }
}
