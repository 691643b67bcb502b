//! What stands for a model that is not loaded: nothing asks it, for the core refuses such requests.

use wasm_engine_setup::ProviderUse;

use crate::backend::{Backend, BackendFailure, ModelPorts};
use crate::list_buffer::ListBuffer;

/// A model that is not loaded.
#[derive(Debug, Default)]
pub struct AbsentModel {
    ports: ModelPorts,
    providers: ProviderUse,
}

impl AbsentModel {
    /// In place of `model`, which was tried and is let go.
    #[must_use]
    pub fn of(model: &dyn Backend) -> Self {
        Self { ports: model.ports().clone(), providers: model.providers() }
    }
}

impl Backend for AbsentModel {
    fn ports(&self) -> &ModelPorts {
        &self.ports
    }

    fn run(&mut self, _request: &[u8], _reply: &mut ListBuffer) -> Result<(), BackendFailure> {
        Err(BackendFailure::Failed("it is not loaded".to_owned()))
    }

    fn describe(&self) -> String {
        "absent".to_owned()
    }

    fn providers(&self) -> ProviderUse {
        self.providers.clone()
    }
}
