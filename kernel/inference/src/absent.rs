//! What stands for a model that is not loaded: nothing asks it, for the core refuses such requests.

use crate::backend::{Backend, BackendFailure, ModelPorts};
use crate::list_buffer::ListBuffer;

/// A model that is not loaded.
#[derive(Debug, Default)]
pub struct AbsentModel {
    ports: ModelPorts,
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
}
