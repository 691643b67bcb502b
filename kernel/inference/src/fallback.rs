//! A model that the processor takes over where what computes it fails in the middle of a run.
//!
//! ```text
//!  request -> provider  ok: its reply
//!                       fails -> processor  ok: its reply, and it computes the model from now on
//!                                           fails: the request is at fault, nothing changes
//! ```

use wasm_engine_setup::{CPU, ProviderUse};

use crate::backend::{Backend, BackendFailure, ModelPorts};
use crate::interrupt::{Canceller, Interrupter};
use crate::list_buffer::ListBuffer;
use crate::stack::StackedRows;

/// Makes the model of the processor.
pub(crate) type MakeModel = Box<dyn FnOnce() -> Result<Box<dyn Backend>, String> + Send>;

/// A model of a provider that may fail, and how that of the processor is made.
pub(crate) struct FallbackModel {
    /// What computes it.
    first: Box<dyn Backend>,
    /// None once it was tried: it is not tried again.
    make: Option<MakeModel>,
    /// That of the processor, once there was need of it and it could be made.
    processor: Option<Box<dyn Backend>>,
    /// The processor took over, and why.
    taken_over: Option<String>,
    /// That was not told yet.
    untold: bool,
    /// The last run ended its process.
    ended: bool,
}

impl FallbackModel {
    /// `first` until it fails, then what `make` makes.
    pub(crate) fn new(first: Box<dyn Backend>, make: MakeModel) -> Self {
        Self {
            first,
            make: Some(make),
            processor: None,
            taken_over: None,
            untold: false,
            ended: false,
        }
    }

    /// Runs it on the processor because the provider failed with `failure`; that one stays where
    /// this fails too.
    fn instead(
        &mut self,
        rows: StackedRows<'_>,
        stacked: &mut ListBuffer,
        reply: &mut ListBuffer,
        failure: BackendFailure,
    ) -> Result<(), BackendFailure> {
        if let Some(make) = self.make.take() {
            match make().and_then(|processor| self.suits(processor)) {
                Ok(processor) => self.processor = Some(processor),
                Err(why) => tracing::warn!(why, "the processor cannot take a model over"),
            }
        }
        let Some(processor) = &mut self.processor else { return Err(failure) };
        if self.first.canceller().is_asked() || processor.run_rows(rows, stacked, reply).is_err() {
            return Err(failure);
        }
        self.taken_over = Some(failure.to_string());
        self.untold = true;
        Ok(())
    }

    /// That of the processor if it is the same model, stopped as the first is.
    fn suits(&self, processor: Box<dyn Backend>) -> Result<Box<dyn Backend>, String> {
        if processor.ports() != self.first.ports() {
            return Err("it declares other inputs or outputs there".to_owned());
        }
        let canceller = processor.canceller();
        self.first.canceller().add(move || canceller.cancel());
        Ok(processor)
    }
}

impl Backend for FallbackModel {
    fn ports(&self) -> &ModelPorts {
        self.first.ports()
    }

    fn run(&mut self, request: &[u8], reply: &mut ListBuffer) -> Result<(), BackendFailure> {
        self.run_rows(StackedRows::alone(request), &mut ListBuffer::default(), reply)
    }

    fn run_rows(
        &mut self,
        rows: StackedRows<'_>,
        stacked: &mut ListBuffer,
        reply: &mut ListBuffer,
    ) -> Result<(), BackendFailure> {
        if let Some(processor) =
            self.processor.as_ref().filter(|_| !self.first.canceller().is_asked())
        {
            // A run before this one may have been asked to stop.
            processor.canceller().renew();
        }
        if let (Some(_), Some(processor)) = (&self.taken_over, &mut self.processor) {
            return processor.run_rows(rows, stacked, reply);
        }
        let failure = match self.first.run_rows(rows, stacked, reply) {
            Ok(()) => {
                self.ended = false;
                return Ok(());
            }
            Err(failure) => failure,
        };
        // Whoever killed a process once has shown nothing about its provider (SEMANTICS I3.6).
        let first_end = matches!(failure, BackendFailure::Ended(_))
            && !std::mem::replace(&mut self.ended, true);
        let stopped = self.first.canceller().is_asked() || self.first.interrupter().is_asked();
        if first_end || stopped {
            return Err(failure);
        }
        self.instead(rows, stacked, reply, failure)
    }

    /// As it was loaded.
    fn describe(&self) -> String {
        self.first.describe()
    }

    fn providers(&self) -> ProviderUse {
        let mut providers = self.first.providers();
        if let Some(why) = &self.taken_over {
            let failed = std::mem::replace(&mut providers.used, CPU.to_owned());
            providers.refused.insert(failed, format!("it failed in the run: {why}"));
        }
        providers
    }

    fn take_provider_change(&mut self) -> Option<ProviderUse> {
        std::mem::take(&mut self.untold).then(|| self.providers())
    }

    fn canceller(&self) -> Canceller {
        self.first.canceller()
    }

    fn interrupter(&self) -> Interrupter {
        self.first.interrupter()
    }
}
