//! A model loaded and tried, before any agent asks it.

use crate::backend::{Backend, BackendFailure};
use crate::interrupt::Interrupter;
use crate::onnx::{
    error::OnnxError,
    model::OnnxModel,
    probe::{Probed, probe},
    scan::Surroundings,
};

/// Loads a model into this process from bytes whose hash the caller has checked, for `batch` rows,
/// and tries it: a shape that only a run reveals shows here, rows that influence each other, and
/// the library's first, dearest run is over. `interrupter` stops it from another thread.
///
/// # Errors
/// [`OnnxError`], any that concerns a model.
pub fn load(
    name: &str,
    bytes: &[u8],
    batch: usize,
    interrupter: &Interrupter,
) -> Result<OnnxModel, OnnxError> {
    let mut model = OnnxModel::new(name, bytes, batch, Surroundings::Kernel, interrupter)?;
    tried(name, &mut model)?;
    Ok(model)
}

/// Tries a model, wherever it runs.
///
/// # Errors
/// [`OnnxError`], for what only a run shows.
pub(crate) fn tried(name: &str, model: &mut dyn Backend) -> Result<(), OnnxError> {
    let batch = model.batch();
    let failed = |failure: BackendFailure, model: &dyn Backend| match model.interrupter().is_asked()
    {
        true => OnnxError::Interrupted { model: name.to_owned() },
        false => {
            let message = failure.to_string();
            OnnxError::Runtime { model: name.to_owned(), action: "run", message }
        }
    };
    let probed = probe(model).map_err(|failure| failed(failure, model))?;
    let mixed = |reason| OnnxError::RowsMix { model: name.to_owned(), batch, reason };
    match probed {
        Probed::Apart => Ok(()),
        Probed::Stateful => Err(OnnxError::ModelRefused {
            model: name.to_owned(),
            what: "something that keeps state: the same row has another reply later".to_owned(),
            cure: "export it for inference",
        }),
        Probed::Mixed(what) => Err(mixed(format!("the reply to a row depends on {what}"))),
        Probed::Misshapen(message) => Err(OnnxError::ModelShape {
            model: name.to_owned(),
            batch,
            reason: format!("its output has not the dimensions that it declares: {message}"),
        }),
        // One row at a time needs no proof that rows are kept apart.
        Probed::Untried(_) if batch == 1 => Ok(()),
        Probed::Untried(error) => Err(mixed(format!(
            "it fails for every row that it was tried with, so whether its rows influence each \
             other is not known ({error})"
        ))),
    }
}
