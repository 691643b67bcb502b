//! Models of a live run: loaded on a thread of their own, for loading may take for ever, and
//! checked against the limits of the run.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use wasm_engine_abi::limits::{BLOCK_BYTES, PAYLOAD_BYTES_MAX, blocks};
use wasm_engine_inference::{
    Interrupter,
    registry::{self, LoadedModel, ModelError, ModelHome},
};
use wasm_engine_setup::{ModelSetup, Setup};

use crate::{
    config::Isolation,
    exit::{Exit, HasExitCode},
    report::Ended,
    resolve::ReadModel,
    run::halt::Halt,
};

/// Time between two questions whether the run is to end.
const POLL: Duration = Duration::from_millis(20);
/// Time that loading gets to stop in before its thread is left alone.
const TIME_TO_STOP: Duration = Duration::from_secs(2);

/// Why the models of a configuration cannot serve a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelsError {
    /// A model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The run was ended from outside.
    #[error("{} while model {model} was loading and tried; no tick was executed", words(*.ended))]
    Halted {
        /// The model.
        model: String,
        /// Why.
        ended: Ended,
    },
    /// A row that no agent could ever ask.
    #[error(
        "a row of model {model} has {bytes} bytes, and {limit} is {max}, so no agent could ever \
         ask it; {}",
        cure(limit, *.needed)
    )]
    Row {
        /// The model.
        model: String,
        /// Bytes of one row.
        bytes: u64,
        /// Key of the limit.
        limit: &'static str,
        /// Its value.
        max: u64,
        /// The least that suits.
        needed: u64,
    },
    /// The thread that loads.
    #[error("the thread that loads models {0}; free some threads and memory and try again")]
    Thread(String),
}

fn cure(limit: &str, needed: u64) -> String {
    match needed <= PAYLOAD_BYTES_MAX.into() {
        true => format!("raise {limit} to {needed}"),
        false => format!("at most {PAYLOAD_BYTES_MAX} is possible, use a model with smaller rows"),
    }
}

fn words(ended: Ended) -> &'static str {
    match ended {
        Ended::Timeout => "the timeout ended the run",
        _ => "interrupted",
    }
}

impl HasExitCode for ModelsError {
    fn exit(&self) -> Exit {
        match self {
            Self::Model(error) => error.exit(),
            Self::Halted { ended, .. } => ended.exit(),
            Self::Row { .. } => Exit::Refused,
            Self::Thread(_) => Exit::Failure,
        }
    }
}

/// Loads the models and completes the setup with their row lengths; `program` serves those that
/// have a process of their own.
pub(crate) fn load(
    files: &Arc<Vec<ReadModel>>,
    setup: &mut Setup,
    program: Option<&Path>,
    halt: Halt<'_>,
) -> Result<Vec<LoadedModel>, ModelsError> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let interrupter = Interrupter::default();
    let loaded = wait_for(start(files, &setup.models, program, &interrupter)?, &interrupter, halt)?;
    for (model, loaded) in setup.models.iter_mut().zip(&loaded) {
        (model.input_len, model.output_len) = (loaded.input_len, loaded.output_len);
    }
    Ok(loaded)
}

type Loaded = Result<Vec<LoadedModel>, ModelError>;

fn start(
    files: &Arc<Vec<ReadModel>>,
    setups: &[ModelSetup],
    program: Option<&Path>,
    interrupter: &Interrupter,
) -> Result<mpsc::Receiver<Loaded>, ModelsError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let (files, setups) = (Arc::clone(files), setups.to_vec());
    let (program, interrupter) = (program.map(Path::to_owned), interrupter.clone());
    std::thread::Builder::new()
        .name("we-load".to_owned())
        .spawn(move || {
            let wanted: Vec<_> = files
                .iter()
                .zip(&setups)
                .map(|(file, model)| registry::ModelFile {
                    name: &file.name,
                    bytes: &file.bytes,
                    sha256: Some(&model.sha256),
                    batch: model.batch,
                    home: match file.isolation {
                        Isolation::Thread => ModelHome::Here,
                        Isolation::Process => ModelHome::Process(program.as_deref()),
                    },
                })
                .collect();
            // Nobody waits any more if the run was ended meanwhile.
            let _ = sender.send(registry::load_models(&wanted, None, &interrupter));
        })
        .map_err(|error| ModelsError::Thread(format!("cannot be started: {error}")))?;
    Ok(receiver)
}

/// Waits for the models, unless the run is to end.
fn wait_for(
    loading: mpsc::Receiver<Loaded>,
    interrupter: &Interrupter,
    halt: Halt<'_>,
) -> Result<Vec<LoadedModel>, ModelsError> {
    loop {
        match loading.recv_timeout(POLL) {
            Ok(loaded) => return Ok(loaded?),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(ModelsError::Thread("panicked".to_owned()));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if let Some(ended) = halt.asked() {
            interrupter.interrupt();
            if let Err(mpsc::RecvTimeoutError::Timeout) = loading.recv_timeout(TIME_TO_STOP) {
                interrupter.leave();
            }
            return Err(ModelsError::Halted { model: interrupter.model(), ended });
        }
    }
}

/// An agent can ask each model: its row fits a turn, and the pending inferences.
pub(crate) fn check_limits(setup: &Setup) -> Result<(), ModelsError> {
    let limits = &setup.limits;
    for model in &setup.models {
        let bytes = u64::from(model.input_len) * size_of::<f32>() as u64;
        let charged =
            u64::from(blocks(u32::try_from(bytes).unwrap_or(u32::MAX))) * u64::from(BLOCK_BYTES);
        for (limit, max, needed) in [
            ("limits.payload_bytes_max", limits.payload_bytes_max, charged),
            ("limits.inference_bytes_pending_max", limits.inference_bytes_pending_max, bytes),
        ] {
            if needed > u64::from(max) {
                let (model, max) = (model.name.clone(), max.into());
                return Err(ModelsError::Row { model, bytes, limit, max, needed });
            }
        }
    }
    Ok(())
}
