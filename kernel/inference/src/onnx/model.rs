//! A model as a session of the library.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session};
use wasm_engine_abi::plain::PlainText;
use wasm_engine_abi::tensor::{BadTensors, TensorList};
use wasm_engine_setup::ProviderUse;

use crate::backend::{Backend, BackendFailure, ModelPorts};
use crate::external_file::ExternalFile;
use crate::interrupt::{Canceller, Interrupter};
use crate::list_buffer::ListBuffer;
use crate::onnx::{
    bound::{Bound, BoundRuns, SessionCall},
    error::OnnxError,
    fingerprint::Fingerprint,
    library::ENVIRONMENT,
    port::{PortSide, ports},
    provider,
    raw::{self, PortNames},
    values::{self, AlignedMemory},
};
use crate::provider::{self as names, ProviderName};
use crate::scan::{self, Embedded, ScanFault, Surroundings};
use crate::stack::StackedRows;

/// What is loaded: a name for messages, bytes whose hash the caller has checked, and which outputs
/// are wanted, if not all.
#[derive(Clone, Copy, Debug)]
pub struct ModelSource<'a> {
    /// The name, for messages.
    pub name: &'a str,
    /// The file's content.
    pub bytes: &'a [u8],
    /// The other files in which it has data.
    pub external: &'a [ExternalFile],
    /// The outputs that replies hold, if not all.
    pub outputs: Option<&'a [String]>,
    /// What computes it, in the order in which that is tried; the processor where nothing is named.
    pub providers: &'a [String],
}

/// A model as a session of the library.
///
/// `Send`, not `Sync`: it belongs to the inference thread.
pub struct OnnxModel {
    name: String,
    session: Session,
    run_options: Arc<RunOptions>,
    interrupter: Interrupter,
    canceller: Canceller,
    ports: ModelPorts,
    input_names: PortNames,
    /// Of those outputs that are given, with their ports.
    output_names: PortNames,
    given: Vec<u32>,
    /// For inputs that do not lie as the library must have them.
    memory: AlignedMemory,
    /// For requests of shapes that come again.
    bound: BoundRuns,
    fingerprint: Fingerprint,
    providers: ProviderUse,
    /// An operator that makes rows of a batch influence each other, always.
    mixing: Option<String>,
}

impl fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ports, fingerprint, .. } = self;
        let (inputs, outputs) = (ports.inputs.len(), ports.outputs.len());
        write!(f, "OnnxModel({name}, {inputs} -> {outputs}, {fingerprint})")
    }
}

impl OnnxModel {
    /// Makes a session of a model. It was never run: [`load`](crate::onnx::load) tries it too.
    ///
    /// # Errors
    /// [`OnnxError::NotInitialised`], [`OnnxError::ModelMalformed`], [`OnnxError::ModelRefused`],
    /// [`OnnxError::EndsProcess`], [`OnnxError::NoProvider`], [`OnnxError::ModelShape`],
    /// [`OnnxError::Runtime`], [`OnnxError::Interrupted`].
    pub(crate) fn new(
        source: ModelSource<'_>,
        surroundings: Surroundings,
        interrupter: &Interrupter,
    ) -> Result<Self, OnnxError> {
        let model = || source.name.to_owned();
        let shape = |reason| OnnxError::ModelShape { model: model(), reason };
        let failed = |error: ort::Error| match interrupter.is_asked() {
            true => OnnxError::Interrupted { model: model() },
            false => OnnxError::Runtime { model: model(), action: "load", message: words(&error) },
        };
        let environment = ENVIRONMENT.get().ok_or(OnnxError::NotInitialised { model: model() })?;
        interrupter.begin(source.name);
        let refused = |fault| match fault {
            ScanFault::Malformed(reason) => OnnxError::ModelMalformed { model: model(), reason },
            ScanFault::Refused { what, cure } => {
                OnnxError::ModelRefused { model: model(), what, cure }
            }
            ScanFault::Ends { what, cure } => OnnxError::EndsProcess { model: model(), what, cure },
        };
        let embedded = scan::embed(source.bytes, source.external).map_err(refused)?;
        let scanned = scan::model(&embedded.model, surroundings).map_err(refused)?;
        let (session, provider, providers) = computed(environment, &embedded, source, interrupter)?;
        let (inputs, input_names) = ports(PortSide::Input, session.inputs()).map_err(&shape)?;
        let (outputs, output_names) = ports(PortSide::Output, session.outputs()).map_err(&shape)?;
        let mut ports = ModelPorts { inputs, outputs };
        ports.choose(source.outputs).map_err(&shape)?;
        let (given, output_names) = ports
            .outputs
            .iter()
            .zip(0..)
            .zip(output_names)
            .filter_map(|((port, number), name)| port.given.then_some((number, name)))
            .unzip();
        let run_options = Arc::new(RunOptions::new().map_err(failed)?);
        let options = Arc::clone(&run_options);
        interrupter.add(move || drop(options.terminate()));
        let options = Arc::clone(&run_options);
        let canceller = Canceller::new(move || drop(options.terminate()));
        Ok(Self {
            name: model(),
            session,
            run_options,
            interrupter: interrupter.clone(),
            canceller,
            ports,
            input_names: PortNames::new(input_names),
            output_names: PortNames::new(output_names),
            given,
            memory: AlignedMemory::new().map_err(failed)?,
            // What is bound to another provider is copied when it is bound.
            bound: BoundRuns::new(!scanned.hands_on && provider == ProviderName::Cpu),
            fingerprint: Fingerprint::here(provider),
            providers,
            mixing: scanned.mixing,
        })
    }

    /// An operator that makes rows of a batch influence each other, always.
    pub(crate) fn mixing(&self) -> Option<&str> {
        self.mixing.as_deref()
    }

    /// Shapes of requests that are bound.
    #[cfg(test)]
    pub(super) fn bound_shapes(&self) -> usize {
        self.bound.count()
    }

    /// What the outputs' bits depend on beside the model and the input.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Gives `measure` the library's bare run over `request`, with tensors that are there already
    /// on both sides: what a request through the kernel is measured against.
    ///
    /// # Errors
    /// [`OnnxError::Runtime`], if the first run fails; a later one that does is not noticed.
    pub fn bare<T>(
        &mut self,
        request: &[u8],
        measure: impl FnOnce(&mut dyn FnMut()) -> T,
    ) -> Result<T, OnnxError> {
        let Self { session, run_options, input_names, output_names, ports, name, memory, .. } =
            self;
        let failed =
            |message: String| OnnxError::Runtime { model: name.clone(), action: "run", message };
        let list = TensorList::parse(request).map_err(|error| failed(error.to_string()))?;
        let failed = |error: ort::Error| failed(words(&error));
        memory.fill(&list);
        let inputs = values::inputs(&list, memory, ports.inputs.len()).map_err(failed)?;
        let asked = (&*input_names, &inputs[..]);
        let mut outputs = raw::run(session, run_options, asked, output_names).map_err(failed)?;
        Ok(measure(&mut || {
            // It succeeded for the same tensors.
            let _ = raw::run_into(session, run_options, asked, (output_names, &mut outputs));
        }))
    }

    fn ask(
        &mut self,
        rows: StackedRows<'_>,
        stacked: &mut ListBuffer,
        reply: &mut ListBuffer,
    ) -> Result<(), OnnxError> {
        let Self { session, run_options, input_names, output_names, ports, given, .. } = self;
        let malformed = |error: BadTensors| OnnxError::Runtime {
            model: self.name.clone(),
            action: "run",
            message: error.to_string(),
        };
        let first = TensorList::parse(rows.first()).map_err(malformed)?;
        let mut asked = SessionCall { session, options: run_options, input_names, output_names };
        let bound = self.bound.run(&rows, &first, &mut asked, reply);
        if bound == Bound::Done {
            return Ok(());
        }
        let list = TensorList::parse(rows.request(stacked)).map_err(malformed)?;
        let memory = &mut self.memory;
        memory.fill(&list);
        let mut run = || {
            let SessionCall { session, options, .. } = &mut asked;
            let inputs = values::inputs(&list, memory, ports.inputs.len())?;
            let outputs = raw::run(session, options, (input_names, &inputs), output_names)?;
            values::outputs(given.iter().copied().zip(&outputs), reply)
        };
        match run() {
            Ok(()) => {
                self.bound.learn(&rows, &list, bound, &mut asked, reply);
                Ok(())
            }
            Err(_) if self.interrupter.is_asked() => {
                Err(OnnxError::Interrupted { model: self.name.clone() })
            }
            Err(error) => {
                let message = words(&error);
                Err(OnnxError::Runtime { model: self.name.clone(), action: "run", message })
            }
        }
    }
}

impl Backend for OnnxModel {
    fn ports(&self) -> &ModelPorts {
        &self.ports
    }

    fn run(&mut self, request: &[u8], reply: &mut ListBuffer) -> Result<(), BackendFailure> {
        self.run_rows(StackedRows::alone(request), &mut ListBuffer::default(), reply)
    }

    fn run_rows(
        &mut self,
        rows: StackedRows<'_>,
        stacked: &mut ListBuffer,
        reply: &mut ListBuffer,
    ) -> Result<(), BackendFailure> {
        if !self.interrupter.is_asked() {
            // A run before this one may have been asked to stop. It fails for no reason.
            let _ = self.run_options.unterminate();
        }
        self.ask(rows, stacked, reply).map_err(|error| BackendFailure::Failed(error.to_string()))
    }

    fn describe(&self) -> String {
        self.fingerprint.to_string()
    }

    fn providers(&self) -> ProviderUse {
        self.providers.clone()
    }

    fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }
}

/// What the library says, fit to be shown: it repeats what stands in a model, of any length.
fn words(error: &ort::Error) -> String {
    const LEN_MAX: usize = 1000;
    let message = error.message();
    let end = message.floor_char_boundary(LEN_MAX);
    let more = if end < message.len() { " ..." } else { "" };
    format!("{}{more}", PlainText(&message[..end]))
}

/// A session of a model, computed by the first of its providers that can be had.
fn computed(
    environment: &Environment,
    embedded: &Embedded<'_>,
    source: ModelSource<'_>,
    interrupter: &Interrupter,
) -> Result<(Session, ProviderName, ProviderUse), OnnxError> {
    let model = || source.name.to_owned();
    let asked = names::asked(source.providers);
    let with_cpu = asked.contains(&ProviderName::Cpu);
    let mut refused = BTreeMap::new();
    for provider in asked {
        let error = match session(environment, embedded, (provider, with_cpu), interrupter) {
            Ok(session) => {
                let used = provider.text().to_owned();
                for (asked, why) in &refused {
                    let model = source.name;
                    tracing::warn!(model, asked, used, why, "a model has another provider");
                }
                return Ok((session, provider, ProviderUse { used, refused }));
            }
            Err(error) => error,
        };
        if interrupter.is_asked() {
            return Err(OnnxError::Interrupted { model: model() });
        }
        // The processor is always there: what fails on it is the model.
        if provider == ProviderName::Cpu {
            let message = words(&error);
            return Err(OnnxError::Runtime { model: model(), action: "load", message });
        }
        refused.insert(provider.text().to_owned(), words(&error));
    }
    let reasons = refused.iter().map(|(name, why)| format!("{name} is not there ({why})"));
    let reasons = reasons.collect::<Vec<_>>().join(", ");
    Err(OnnxError::NoProvider { model: model(), reasons })
}

/// A session of a model, computed by this provider and, where that cannot, by the processor if it
/// may.
fn session(
    environment: &Environment,
    embedded: &Embedded<'_>,
    (provider, with_cpu): (ProviderName, bool),
    interrupter: &Interrupter,
) -> Result<Session, ort::Error> {
    let mut builder = provider::register(builder(environment)?, provider, with_cpu)?;
    for (name, bytes) in &embedded.large {
        builder = builder.with_external_initializer_file_in_memory(name, Arc::clone(bytes))?;
    }
    let canceler = builder.canceler();
    // It fails only if there is nothing left to stop.
    interrupter.add(move || drop(canceler.cancel()));
    builder.commit_from_memory(&embedded.model)
}

/// The settings that [`PROFILE`](crate::onnx::PROFILE) names.
fn builder(environment: &Environment) -> Result<SessionBuilder, ort::Error> {
    Ok(Session::builder(environment)?
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_optimization_level(GraphOptimizationLevel::Level2)?
        .with_prepacking(true)?
        .with_intra_op_spinning(false)?
        // Warnings are about optimisations that were not possible, one a node; errors come back.
        .with_log_level(LogLevel::Fatal)?
        // Never guess the other format, which `scan` could not look through.
        .with_config_entry("session.load_model_format", "ONNX")?)
}
