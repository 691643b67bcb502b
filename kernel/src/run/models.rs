//! Models of a live run: loaded on a thread of their own, for loading may take for ever, and
//! checked against the limits of the run.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use wasm_engine_abi::limits::BLOCK_BYTES;
use wasm_engine_inference::{
    AbsentModel, ExternalFile, Interrupter,
    registry::{self, LoadedModel, ModelError, ModelHome},
};
use wasm_engine_setup::{LoadOn, ModelSetup, Setup};

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
    /// A request that no agent could ever make, or a reply that no agent could ever get.
    #[error(
        "a {what} of model {model} may have {bytes} bytes, and {limit} is {max}, so no agent could \
         ever ask it so; raise {limit} to {needed}, leave it out, or bound the model with dims"
    )]
    Bytes {
        /// The model.
        model: String,
        /// `request` or `reply`.
        what: &'static str,
        /// Bytes of the longest.
        bytes: u64,
        /// Key of the limit.
        limit: &'static str,
        /// Its value.
        max: u64,
        /// The least that suits.
        needed: u64,
    },
    /// One agent's quota is more than a microstep's.
    #[error(
        "limits.inference_bytes_max is {quota}, and limits.inference_bytes_per_microstep_max is \
         {max}, so no agent that may ask a model could ever take a turn; raise the latter to \
         {quota} or leave it out"
    )]
    Quota {
        /// The quota.
        quota: u32,
        /// The limit.
        max: u32,
    },
    /// The thread that loads.
    #[error("the thread that loads models {0}; free some threads and memory and try again")]
    Thread(String),
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
            Self::Bytes { .. } | Self::Quota { .. } => Exit::Refused,
            Self::Thread(_) => Exit::Failure,
        }
    }
}

/// Loads the models and completes the setup with what they take and give; `program` serves those
/// that have a process of their own.
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
        // What the model itself says; all else is configured.
        let ModelSetup { batch, inputs, outputs, request_bytes_max, reply_bytes_max, .. } =
            loaded.setup.clone();
        let configured = std::mem::take(model);
        *model =
            ModelSetup { batch, inputs, outputs, request_bytes_max, reply_bytes_max, ..configured };
    }
    setup.limits.suit(&setup.models);
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
            // One after the other: those that are loaded later are let go before the next one.
            let all = files.iter().zip(&setups).map(|(file, model)| {
                let one = load_one(
                    file,
                    &file.bytes,
                    &file.external,
                    model,
                    program.as_deref(),
                    &interrupter,
                )?;
                Ok(match model.load {
                    LoadOn::Start => one,
                    LoadOn::Request | LoadOn::Command => {
                        let backend = Box::new(AbsentModel::of(one.backend.as_ref()));
                        LoadedModel { backend, ..one }
                    }
                })
            });
            // Nobody waits any more if the run was ended meanwhile.
            let _ = sender.send(all.collect());
        })
        .map_err(|error| ModelsError::Thread(format!("cannot be started: {error}")))?;
    Ok(receiver)
}

/// Loads a model whose bytes are these, and tries it.
pub(super) fn load_one(
    file: &ReadModel,
    bytes: &[u8],
    external: &[ExternalFile],
    model: &ModelSetup,
    program: Option<&Path>,
    interrupter: &Interrupter,
) -> Result<LoadedModel, ModelError> {
    let wanted = registry::ModelFile {
        name: &file.name,
        bytes,
        external,
        sha256: Some(&model.sha256),
        batch: model.batch,
        terms: &file.terms,
        home: ModelHome::of(file.isolation == Isolation::Process, program),
    };
    registry::load_model(&wanted, None, interrupter)
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

/// An agent can ask each model: its longest request fits a turn and the pending ones, and so does
/// its longest reply.
pub(crate) fn check_limits(setup: &Setup) -> Result<(), ModelsError> {
    let limits = &setup.limits;
    for model in &setup.models {
        let (request, reply) = (model.request_bytes_max, model.reply_bytes_max);
        for (what, bytes, limit, max) in [
            ("request", request, "limits.inference_bytes_max", limits.inference_bytes_max),
            (
                "request",
                request,
                "limits.inference_bytes_pending_max",
                limits.inference_bytes_pending_max,
            ),
            (
                "reply",
                reply,
                "limits.inference_reply_bytes_pending_max",
                limits.inference_reply_bytes_pending_max,
            ),
        ] {
            let needed = bytes.next_multiple_of(BLOCK_BYTES);
            if needed > max {
                let (model, bytes, needed) = (model.full_name(), bytes.into(), needed.into());
                return Err(ModelsError::Bytes {
                    model,
                    what,
                    bytes,
                    limit,
                    max: max.into(),
                    needed,
                });
            }
        }
    }
    let (quota, max) = (limits.inference_bytes_max, limits.inference_bytes_per_microstep_max);
    match quota.next_multiple_of(BLOCK_BYTES) > max {
        true => Err(ModelsError::Quota { quota, max }),
        false => Ok(()),
    }
}
