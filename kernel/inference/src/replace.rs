//! Models that come and go while the inference thread runs.

use wasm_engine_abi::page::model_state;

use crate::absent::AbsentModel;
use crate::backend::Backend;
use crate::error::InferenceError;
use crate::handle::InferenceHandle;
use crate::interrupt::Interrupter;
use crate::protocol::REPLACE;

impl InferenceHandle {
    /// Puts `backend` where `model` is, behind what was asked of that one before: a model that was
    /// loaded.
    ///
    /// # Errors
    /// [`InferenceError::Misuse`] for an unknown model, [`InferenceError::Full`],
    /// [`InferenceError::Died`].
    pub fn install(&mut self, model: u32, backend: Box<dyn Backend>) -> Result<(), InferenceError> {
        self.replace(model, backend, model_state::READY)
    }

    /// Lets a model go once what was asked of it before is answered.
    ///
    /// # Errors
    /// Those of [`InferenceHandle::install`].
    pub fn remove(&mut self, model: u32) -> Result<(), InferenceError> {
        self.replace(model, Box::new(AbsentModel::default()), model_state::UNLOADED)
    }

    fn replace(
        &mut self,
        model: u32,
        backend: Box<dyn Backend>,
        state: u32,
    ) -> Result<(), InferenceError> {
        let Some(row) = self.rows.get_mut(model as usize) else {
            return Err(InferenceError::Misuse { number: 0, model, reason: "names no model" });
        };
        row.state = state;
        // What was here before may still run.
        self.interrupters.retain(Interrupter::is_shared);
        self.interrupters.push(backend.interrupter());
        self.deadlines.replace(model, backend.canceller());
        let gone = |_| InferenceError::Died { message: "it left no message".to_owned() };
        self.models.send(backend).map_err(gone)?;
        self.requests.push(REPLACE, model.into(), &[])?;
        self.requests.publish();
        Ok(())
    }
}
