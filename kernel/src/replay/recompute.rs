//! Computes every logged inference again and compares (SEMANTICS I5 of the requirements, I5).
//!
//! The models' files are taken from where the log says they were; their sha256 must match. Bits are
//! promised for the same library, CPU class and profile only, so with another fingerprint the
//! recomputation is refused rather than compared with a tolerance nobody chose.

use std::path::{Path, PathBuf};

use wasm_engine_abi::{
    Tick,
    calls::Status,
    page::ModelRow,
    plain::PlainText,
    record::{FactFields, Facts},
    tensor::{RequestForm, TensorList, Value},
};
use wasm_engine_shm::wait::WaitMode;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    clock,
    exit::{Exit, HasExitCode},
    files::MODEL_BYTES_MAX,
    machine::Kernel,
    model_files::{ModelFileError, read_model_files},
    report::Divergence,
};
use wasm_engine_core::Request;
use wasm_engine_inference::{
    Backend, InferenceError, InferenceHandle, InferenceMemory, InferenceOptions, Interrupter,
    ServedModel,
    registry::{self, ModelError, ModelHome, ModelTerms},
};
use wasm_engine_log::run_header::{ModelRecord, RunHeader};
use wasm_engine_setup::{CPU, ModelSetup, ProviderUse};

/// Why inferences cannot be computed again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecomputeError {
    /// The model's file cannot be read.
    #[error("model {name} cannot be computed again: {source}")]
    File {
        /// The model.
        name: String,
        /// Why.
        source: Box<ModelFileError>,
    },
    /// The model cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The inference thread.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// Another library, CPU class or profile.
    #[error(
        "model {name} ran on \"{logged}\", here it is \"{here}\": bits are promised only for the \
         same library, CPU class and profile; verify without --recompute, or there"
    )]
    Fingerprint {
        /// The model.
        name: String,
        /// The log's.
        logged: String,
        /// This one's.
        here: String,
    },
}

impl HasExitCode for RecomputeError {
    fn exit(&self) -> Exit {
        match self {
            Self::File { source, .. } => source.exit(),
            Self::Model(error) => error.exit(),
            Self::Inference(_) => Exit::Failure,
            Self::Fingerprint { .. } => Exit::Refused,
        }
    }
}

/// A model of the log, to be loaded once and again.
#[derive(Debug)]
struct LoggedModel {
    record: ModelRecord,
    setup: ModelSetup,
    /// Requests that failed or were refused when it was loaded last.
    errors: u64,
    /// The provider that computed it in the log, up to here.
    used: String,
}

impl LoggedModel {
    /// Whether it was loaded with this provider.
    fn is_own(&self, provider: &str) -> bool {
        self.record.providers.used == provider
    }

    /// Loads it from where it was; `program` serves one that had a process of its own.
    fn load(&self, program: Option<&Path>) -> Result<Box<dyn Backend>, RecomputeError> {
        let Self { record, setup, .. } = self;
        // As much as it had: what has more is another one.
        let read = read_model_files(&record.path, record.notes.bytes.max(MODEL_BYTES_MAX));
        let bytes = read.map_err(|source| RecomputeError::File {
            name: record.name.clone(),
            source: Box::new(source),
        })?;
        // What computed it; the processor may have had what that could not.
        let providers = vec![record.providers.used.clone(), CPU.to_owned()];
        let file = registry::ModelFile {
            name: &record.name,
            bytes: &bytes.model,
            external: &bytes.external,
            sha256: Some(&record.sha256),
            batch: setup.batch,
            terms: &ModelTerms { providers, ..ModelTerms::from(setup) },
            home: ModelHome::of(record.isolated, program),
        };
        let loaded = registry::load_model(&file, None, &Interrupter::default())?;
        match loaded.fingerprint == record.fingerprint {
            true => Ok(loaded.backend),
            false => Err(RecomputeError::Fingerprint {
                name: record.name.clone(),
                logged: record.fingerprint.clone(),
                here: loaded.fingerprint,
            }),
        }
    }
}

/// Compares logged replies with computed ones.
#[derive(Debug, Default)]
pub(crate) struct Recompute {
    models: Vec<LoggedModel>,
    program: Option<PathBuf>,
    due: Vec<Request>,
    compared: u64,
}

impl Recompute {
    /// Loads the log's models; `program` serves those that had a process of their own.
    pub(crate) fn start(
        header: &RunHeader,
        memory: InferenceMemory,
        program: Option<&Path>,
    ) -> Result<(Self, InferenceHandle), RecomputeError> {
        let setup = &header.run.setup;
        let logged = header.models.iter().zip(&setup.models).map(|(record, setup)| LoggedModel {
            record: record.clone(),
            setup: setup.clone(),
            errors: 0,
            used: record.providers.used.clone(),
        });
        let models: Vec<LoggedModel> = logged.collect();
        let served = models.iter().map(|model| {
            let (setup, backend) = (model.setup.clone(), model.load(program)?);
            Ok(ServedModel { setup, backend, deadline_ns: None })
        });
        let served = served.collect::<Result<_, RecomputeError>>()?;
        let options =
            InferenceOptions { wait: WaitMode::Hybrid, clock: clock::now_ns, on_start: None };
        let handle = InferenceHandle::start(served, &setup.limits, memory, options)?;
        let program = program.map(Path::to_owned);
        Ok((Self { models, program, due: Vec::new(), compared: 0 }, handle))
    }

    /// A model that the run loaded at this tick was a new one there: what failed before had left
    /// nothing behind in it. So it is here, where anything failed.
    fn reload(
        &mut self,
        facts: Facts<'_>,
        inference: &mut InferenceHandle,
    ) -> Result<(), RecomputeError> {
        for fact in facts.iter() {
            let Some(FactFields::Load(load)) = fact.header.fields() else { continue };
            // A fact that names none is found when it is applied.
            let Some(model) = self.models.get_mut(load.model as usize) else { continue };
            let ModelRow { errors, pending, .. } = inference.rows()[load.model as usize];
            // What is not answered yet may fail.
            let failed = errors != model.errors || pending > 0;
            if load.code != Status::Ok as i32 || !failed {
                continue;
            }
            model.errors = errors;
            inference.install(load.model, model.load(self.program.as_deref())?)?;
        }
        Ok(())
    }

    /// What computes the replies from this tick on.
    fn note_providers(&mut self, facts: Facts<'_>) {
        for fact in facts.iter() {
            let Some(FactFields::Provider(changed)) = fact.header.fields() else { continue };
            // One that names no model, or cannot be read, is found when it is applied.
            let providers = serde_json::from_slice::<ProviderUse>(fact.payload).ok();
            if let Some(model) = self.models.get_mut(changed.model as usize) {
                model.used = providers.map_or_else(String::new, |providers| providers.used);
            }
        }
    }

    /// Replies compared.
    pub(crate) fn compared(&self) -> u64 {
        self.compared
    }

    /// Compares the replies among the facts of `tick` with computed ones.
    pub(crate) fn compare(
        &mut self,
        tick: Tick,
        facts: &[u8],
        kernel: &Kernel,
        inference: &mut InferenceHandle,
    ) -> Result<Option<Divergence>, RecomputeError> {
        // Facts that cannot be read are found when they are applied.
        let Ok(facts) = Facts::parse(facts) else { return Ok(None) };
        self.reload(facts, inference)?;
        self.note_providers(facts);
        kernel.core().requests_due(tick, &mut self.due);
        let replies = facts.iter().filter_map(|fact| match fact.header.fields() {
            Some(FactFields::Reply(reply)) => Some((reply, fact.payload)),
            _ => None,
        });
        for (request, (logged, bytes)) in self.due.iter().zip(replies) {
            // That a deadline passed is no value of the model (SEMANTICS I4.1).
            if logged.code == Status::Late as i32 {
                continue;
            }
            let model = &self.models[request.model as usize];
            inference.wait_ready(request.number, &mut || false)?;
            let here = inference.providers_of(request.number).map(|here| here.used.as_str());
            // Bits are of the provider that the model was loaded with (SEMANTICS I5.5).
            let comparable =
                model.is_own(&model.used) && here.is_none_or(|here| model.is_own(here));
            let reply = inference.wait_for(request.number)?;
            if !comparable {
                continue;
            }
            self.compared += 1;
            if (reply.code, reply.bytes) == (logged.code, bytes) {
                continue;
            }
            let agent = logged.agent;
            let known = agent.index() < kernel.core().slots();
            let agent = known.then(|| kernel.agent_name(agent.index()));
            let what = format!(
                "the reply to request {} was {}, computed again it is {}",
                logged.request,
                words(request.form, logged.code, bytes),
                words(request.form, reply.code, reply.bytes),
            );
            return Ok(Some(Divergence { tick, agent, message: None, what }));
        }
        Ok(None)
    }
}

/// A reply for an operator: the beginning of its values, or its status.
fn words(form: RequestForm, code: i32, bytes: &[u8]) -> String {
    const SHOWN: usize = 8;
    if code != 0 {
        let text = String::from_utf8_lossy(bytes);
        let status = Status::from_code(code).map_or("unknown", Status::text);
        return format!("status {code} ({status}) {}", PlainText(&text)).trim_end().to_owned();
    }
    let list = match form {
        RequestForm::Row => {
            let values = bytes.as_chunks().0.iter().take(SHOWN);
            let values: Vec<_> = values.map(|v| f32::from_le_bytes(*v).to_string()).collect();
            return format!("[{}]", values.join(", "));
        }
        RequestForm::Tensors => TensorList::parse(bytes),
    };
    let Ok(list) = list else { return format!("{} bytes", bytes.len()) };
    let value = |value: Value<'_>| {
        let dims: Vec<_> = value.dims().map(|dim| dim.to_string()).collect();
        let shape = format!("{}[{}]", value.kind().text(), dims.join(", "));
        match value.as_slice::<f32>() {
            Some(floats) => {
                let floats: Vec<_> = floats.iter().take(SHOWN).map(f32::to_string).collect();
                format!("{shape} {}", floats.join(", "))
            }
            None => format!("{shape} xxh3 {:016x}", xxh3_64(value.bytes())),
        }
    };
    list.iter().map(value).collect::<Vec<_>>().join("; ")
}
