//! A model loaded and tried, before any agent asks it.

use wasm_engine_setup::ModelSetup;

use crate::backend::{Backend, BackendFailure};
use crate::interrupt::Interrupter;
use crate::onnx::{
    error::OnnxError,
    model::{ModelSource, OnnxModel},
    probe::{Probed, probe},
};
use crate::scan::Surroundings;

/// Loads a model into this process; it was not tried. `interrupter` stops it from another thread.
///
/// # Errors
/// [`OnnxError`], any that concerns a model.
pub fn load(source: ModelSource<'_>, interrupter: &Interrupter) -> Result<OnnxModel, OnnxError> {
    OnnxModel::new(source, Surroundings::Kernel, interrupter)
}

/// Tries a model, wherever it runs, as `setup` says: rows that influence each other show, and the
/// library's first, dearest run is over.
///
/// # Errors
/// [`OnnxError`], for what only a run shows.
pub(crate) fn tried(setup: &ModelSetup, model: &mut dyn Backend) -> Result<(), OnnxError> {
    let (name, batch) = (setup.name.as_str(), setup.batch);
    let failed = |failure: BackendFailure, model: &dyn Backend| match model.interrupter().is_asked()
    {
        true => OnnxError::Interrupted { model: name.to_owned() },
        false => {
            let message = failure.to_string();
            OnnxError::Runtime { model: name.to_owned(), action: "run", message }
        }
    };
    let probed = probe(setup, model).map_err(|failure| failed(failure, model))?;
    let mixed = |reason| OnnxError::RowsMix { model: name.to_owned(), batch, reason };
    match probed {
        Probed::Apart => Ok(()),
        Probed::Stateful => Err(OnnxError::ModelRefused {
            model: name.to_owned(),
            what: "something that keeps state: the same request has another reply later".to_owned(),
            cure: "export it for inference",
        }),
        Probed::Mixed(what) => Err(mixed(format!("the reply to a row depends on {what}"))),
        Probed::Rowless => Err(OnnxError::ModelShape {
            model: name.to_owned(),
            reason: format!("its reply has not a row for each of {batch} rows; set batch = 1"),
        }),
        // One row at a time needs no proof that rows are kept apart.
        Probed::Untried(_) if batch == 1 => Ok(()),
        Probed::Untried(error) => Err(mixed(format!(
            "it fails for every row that it was tried with, so whether its rows influence each \
             other is not known ({error})"
        ))),
    }
}
