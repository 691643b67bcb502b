//! Loads models during a run, on a thread of its own: a load begins when the core says so and is
//! waited for at the open of the tick in which its outcome is due (SEMANTICS A13).

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use wasm_engine_inference::{Backend, Interrupter};
use wasm_engine_log::run_header::ModelRecord;
use wasm_engine_setup::{LoadOn, ModelSetup, Setup};

use crate::{
    clock,
    model_files::{ModelBytes, read_model_files},
    resolve::ReadModel,
    run::models::load_one,
};

/// Time between two questions whether the run is to end.
const POLL: Duration = Duration::from_millis(20);
/// Time that a load gets to stop in before its thread is left alone.
const TIME_TO_STOP_NS: u64 = 700_000_000;

/// What came of a load; why not, in words.
pub(crate) type Outcome = Result<Box<dyn Backend>, String>;

/// Where a model is, and how it is to be loaded.
#[derive(Debug)]
struct ModelOrigin {
    /// As it was read, without bytes, which are read when it is loaded; a host has attached those
    /// of a model without a file.
    model: ReadModel,
    /// What its bits depended on when it was tried.
    fingerprint: String,
}

/// All that a load needs.
#[derive(Debug)]
struct Origins {
    setup: Arc<Setup>,
    models: Vec<ModelOrigin>,
    program: Option<PathBuf>,
    /// Stops the load under way.
    under_way: Mutex<Interrupter>,
}

impl Origins {
    fn under_way(&self) -> MutexGuard<'_, Interrupter> {
        // Each change is one assignment, so a panic leaves nothing half done.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that loads.
#[derive(Debug)]
struct LoadThread {
    orders: mpsc::Sender<(u64, u32)>,
    outcomes: mpsc::Receiver<(u64, Outcome)>,
    thread: JoinHandle<()>,
}

/// Loads models beside a run.
pub(crate) struct ModelLoader {
    origins: Arc<Origins>,
    /// Started by the first load.
    thread: Option<LoadThread>,
    /// What came, and was not taken yet, by the number of the load.
    done: BTreeMap<u64, Outcome>,
}

impl std::fmt::Debug for ModelLoader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelLoader({} models)", self.origins.models.len())
    }
}

/// The thread that loads cannot be had, or ended.
#[derive(Debug, thiserror::Error)]
#[error("the thread that loads models {0}; free some threads and memory and resume the run")]
pub struct LoaderError(String);

fn ended() -> LoaderError {
    LoaderError("ended".to_owned())
}

impl ModelLoader {
    /// For these models of `setup`, as the log has them.
    pub(crate) fn new(
        models: &[ReadModel],
        records: &[ModelRecord],
        setup: &Arc<Setup>,
        program: Option<PathBuf>,
    ) -> Self {
        let origin = |(model, record): (&ReadModel, &ModelRecord)| ModelOrigin {
            model: ReadModel {
                path: std::path::absolute(&model.path).unwrap_or_else(|_| model.path.clone()),
                bytes: if model.attached { model.bytes.clone() } else { Vec::new() },
                external: Vec::new(),
                name: model.name.clone(),
                notes: model.notes.clone(),
                terms: model.terms.clone(),
                ..*model
            },
            fingerprint: record.fingerprint.clone(),
        };
        let origins = Origins {
            setup: Arc::clone(setup),
            models: models.iter().zip(records).map(origin).collect(),
            program,
            under_way: Mutex::default(),
        };
        Self { origins: Arc::new(origins), thread: None, done: BTreeMap::new() }
    }

    /// Starts the thread if it is known now that it is needed: a thread, and a process that it
    /// starts, stay on the core of who started it, and the scheduler is not pinned yet.
    pub(crate) fn start_if_needed(&mut self) -> Result<(), LoaderError> {
        let Setup { models, limits, .. } = &*self.origins.setup;
        let later = |model: &ModelSetup| model.load != LoadOn::Start;
        if limits.models_bytes_max > 0 || models.iter().any(later) {
            self.thread = Some(start(Arc::clone(&self.origins))?);
        }
        Ok(())
    }

    /// Begins a load.
    pub(crate) fn begin(&mut self, number: u64, model: u32) -> Result<(), LoaderError> {
        let thread = match &mut self.thread {
            Some(thread) => thread,
            None => self.thread.insert(start(Arc::clone(&self.origins))?),
        };
        thread.orders.send((number, model)).map_err(|_| ended())
    }

    /// Waits for the outcome of a load that has begun; false if it did not come before `stop` was
    /// true, which is asked from time to time.
    pub(crate) fn wait_for(
        &mut self,
        number: u64,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<bool, LoaderError> {
        while !self.is_done(number)? {
            let Some(thread) = &self.thread else { return Err(ended()) };
            match thread.outcomes.recv_timeout(POLL) {
                Ok((number, outcome)) => drop(self.done.insert(number, outcome)),
                Err(mpsc::RecvTimeoutError::Timeout) if stop() => return Ok(false),
                Err(_) => {}
            }
        }
        Ok(true)
    }

    /// Takes the outcome of a load that is there.
    pub(crate) fn take(&mut self, number: u64) -> Outcome {
        self.done.remove(&number).unwrap_or_else(|| Err("its load has no outcome".to_owned()))
    }

    /// Whether the outcome of a load is there.
    pub(crate) fn is_done(&mut self, number: u64) -> Result<bool, LoaderError> {
        while !self.done.contains_key(&number) {
            let Some(thread) = &self.thread else { return Err(ended()) };
            match thread.outcomes.try_recv() {
                Ok((number, outcome)) => drop(self.done.insert(number, outcome)),
                Err(mpsc::TryRecvError::Empty) => return Ok(false),
                Err(mpsc::TryRecvError::Disconnected) => return Err(ended()),
            }
        }
        Ok(true)
    }
}

impl Drop for ModelLoader {
    /// A load under way is interrupted; a model that does not stop keeps its thread.
    fn drop(&mut self) {
        let Some(LoadThread { orders, outcomes, thread }) = self.thread.take() else { return };
        drop(orders);
        let under_way = self.origins.under_way().clone();
        under_way.interrupt();
        // Nobody wants what it has loaded.
        drop(outcomes);
        let until_ns = clock::now_ns().saturating_add(TIME_TO_STOP_NS);
        while !thread.is_finished() {
            if clock::now_ns() >= until_ns {
                return under_way.leave();
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        // It catches its panics itself.
        let _ = thread.join();
    }
}

fn start(origins: Arc<Origins>) -> Result<LoadThread, LoaderError> {
    let (orders, ordered) = mpsc::channel::<(u64, u32)>();
    let (done, outcomes) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("we-load".to_owned())
        .spawn(move || {
            for (number, model) in ordered {
                let outcome = catch_unwind(AssertUnwindSafe(|| load(&origins, model)));
                let outcome = outcome.unwrap_or_else(|_| Err("loading it panicked".to_owned()));
                if done.send((number, outcome)).is_err() {
                    return;
                }
            }
        })
        .map_err(|error| LoaderError(format!("cannot be started: {error}")))?;
    Ok(LoadThread { orders, outcomes, thread })
}

/// Reads and loads a model, which is the one that the run began with.
fn load(origins: &Origins, model: u32) -> Outcome {
    let ModelOrigin { model: file, fingerprint } = &origins.models[model as usize];
    // What a host has attached was checked when the run was resolved, and is here.
    let read = match file.attached {
        true => None,
        false => {
            let read = read_model_files(&file.path, file.bytes_max);
            Some(read.map_err(|error| error.to_string())?)
        }
    };
    let (bytes, external) = match &read {
        Some(ModelBytes { model, external }) => (&model[..], &external[..]),
        None => (&file.bytes[..], &[][..]),
    };
    // One of its own, which is gone with the model.
    let interrupter = Interrupter::default();
    origins.under_way().clone_from(&interrupter);
    let (setup, program) = (&origins.setup.models[model as usize], origins.program.as_deref());
    let loaded = load_one(file, bytes, external, setup, program, &interrupter);
    let loaded = loaded.map_err(|error| error.to_string())?;
    // Bits are promised for one library, class of processor and provider (SEMANTICS I5).
    if loaded.fingerprint != *fingerprint {
        return Err(format!(
            "it ran on \"{fingerprint}\" when it was tried before tick 0, and now runs on \"{}\"",
            loaded.fingerprint
        ));
    }
    Ok(loaded.backend)
}
