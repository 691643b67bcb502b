//! A backend behind a panic boundary, and what it last said.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wasm_engine_setup::ProviderUse;

use crate::backend::{Backend, BackendFailure};
use crate::interrupt::Canceller;
use crate::list_buffer::ListBuffer;
use crate::protocol::panic_text;
use crate::stack::StackedRows;

/// Requests in a row, none answered between them, that may end the process of a model before it is
/// given up: what ends it always would else cost a start or two for each request of a run.
pub(crate) const LOST_ROWS_MAX: u32 = 16;

/// A backend and what it last said.
pub(crate) struct GuardedModel {
    backend: Box<dyn Backend>,
    canceller: Canceller,
    /// Why the last run that failed did so.
    failure: Option<String>,
    /// It panicked or cannot be had any more, and is not run again.
    gone: bool,
    /// Rows that ended its process, since the last answer.
    lost_rows: u32,
}

impl GuardedModel {
    pub(crate) fn new(backend: Box<dyn Backend>) -> Self {
        let canceller = backend.canceller();
        Self { backend, canceller, failure: None, gone: false, lost_rows: 0 }
    }

    /// A chunk begins to run, which nobody has asked to stop.
    pub(crate) fn begin(&mut self) {
        self.canceller.renew();
    }

    /// Whether the chunk that runs was asked to stop, for its deadline has passed.
    pub(crate) fn is_late(&self) -> bool {
        self.canceller.is_asked()
    }

    /// Whether it is not run again.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// With what it is computed, if that changed in the last run; once.
    pub(crate) fn take_provider_change(&mut self) -> Option<ProviderUse> {
        self.backend.take_provider_change()
    }

    /// With what it is computed.
    pub(crate) fn providers(&self) -> ProviderUse {
        self.backend.providers()
    }

    /// Why the last run that failed did so, once.
    pub(crate) fn take_failure(&mut self) -> Option<String> {
        self.failure.take()
    }

    /// Notes a failure that shows in what it gave.
    pub(crate) fn fail(&mut self, why: String) -> BackendFailure {
        self.failure = Some(why.clone());
        BackendFailure::Failed(why)
    }

    /// Notes that a row alone ended its process twice; gives it up after too many of them.
    pub(crate) fn lost_row(&mut self, how: &str) {
        self.lost_rows += 1;
        if self.lost_rows == LOST_ROWS_MAX {
            self.gone = true;
            self.failure = Some(format!("{how}, and so with {LOST_ROWS_MAX} requests in a row"));
        }
    }

    /// Runs it once; `stacked` is memory for reuse.
    pub(crate) fn run(
        &mut self,
        rows: StackedRows<'_>,
        stacked: &mut ListBuffer,
        reply: &mut ListBuffer,
    ) -> Result<(), BackendFailure> {
        match self.guarded(rows, stacked, reply) {
            Ok(()) => {
                self.lost_rows = 0;
                Ok(())
            }
            Err(failure) => {
                match &failure {
                    BackendFailure::Failed(_) => self.lost_rows = 0,
                    BackendFailure::Ended(_) => {}
                    BackendFailure::Gone(_) => self.gone = true,
                }
                self.failure = Some(failure.to_string());
                Err(failure)
            }
        }
    }

    /// Behind a panic boundary (SEMANTICS I3.2): after a panic it is not run again, so nobody sees
    /// a state that is half changed.
    fn guarded(
        &mut self,
        rows: StackedRows<'_>,
        stacked: &mut ListBuffer,
        reply: &mut ListBuffer,
    ) -> Result<(), BackendFailure> {
        let backend = &mut self.backend;
        let run = AssertUnwindSafe(|| backend.run_rows(rows, stacked, reply));
        catch_unwind(run).unwrap_or_else(|panic| {
            let text = panic_text(panic.as_ref());
            Err(BackendFailure::Gone(format!("it panicked: {text}")))
        })
    }
}
