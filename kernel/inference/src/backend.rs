//! What the inference thread asks of a model, whatever runs it.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use wasm_engine_setup::{PortSetup, ProviderUse};

use crate::interrupt::{Canceller, Interrupter};
use crate::list_buffer::ListBuffer;
use crate::stack::StackedRows;

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

/// What a model declares: its inputs and outputs, by port.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ModelPorts {
    /// Its inputs.
    pub inputs: Vec<PortSetup>,
    /// Its outputs; those not asked for are `given: false`.
    pub outputs: Vec<PortSetup>,
}

#[cfg(feature = "onnx")]
impl ModelPorts {
    /// Asks for these outputs only, if any are named.
    ///
    /// # Errors
    /// One that there is not, in words.
    pub(crate) fn choose(&mut self, outputs: Option<&[String]>) -> Result<(), String> {
        let Some(wanted) = outputs else { return Ok(()) };
        let names: Vec<&str> = self.outputs.iter().map(|port| port.name.as_str()).collect();
        if let Some(other) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
            let names: Vec<String> =
                names.iter().map(|name| format!("`{}`", name.escape_debug())).collect();
            return Err(format!(
                "it has no output `{}`; its outputs are {}",
                other.escape_debug(),
                names.join(", ")
            ));
        }
        for port in &mut self.outputs {
            port.given = wanted.contains(&port.name);
        }
        Ok(())
    }
}

/// One loaded model. It belongs to the inference thread.
///
/// What it declares never changes. A panic in any method is caught and answered like an error.
pub trait Backend: Send {
    /// What it declares.
    fn ports(&self) -> &ModelPorts;
    /// Runs it over `request`, a list of tensors that begins at a multiple of 8 and holds each
    /// input once, as it is declared, and makes `reply` the list of its outputs.
    ///
    /// # Errors
    /// [`BackendFailure`], with what went wrong in words.
    fn run(&mut self, request: &[u8], reply: &mut ListBuffer) -> Result<(), BackendFailure>;
    /// As [`Backend::run`] over rows that are stacked; `stacked` is memory for reuse.
    ///
    /// # Errors
    /// Those of [`Backend::run`].
    fn run_rows(
        &mut self,
        rows: StackedRows<'_>,
        stacked: &mut ListBuffer,
        reply: &mut ListBuffer,
    ) -> Result<(), BackendFailure> {
        let request = rows.request(stacked);
        self.run(request, reply)
    }
    /// What its bits depend on, for the log.
    fn describe(&self) -> String;
    /// With what it is computed; the processor, if nothing else is known.
    fn providers(&self) -> ProviderUse {
        ProviderUse::default()
    }
    /// With what it is computed from the last run on, if that changed in it; once.
    fn take_provider_change(&mut self) -> Option<ProviderUse> {
        None
    }
    /// What stops the run that is under way, after which it can be run again; one that stops
    /// nothing, if there is none.
    fn canceller(&self) -> Canceller {
        Canceller::default()
    }
    /// What stops it from another thread for good; one that stops nothing, if there is none.
    fn interrupter(&self) -> Interrupter {
        Interrupter::default()
    }
}
