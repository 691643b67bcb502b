//! One model in one slot of a fixed batch size: a session and its input and output memory.

use std::ffi::CString;
use std::fmt;
use std::sync::Arc;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session};

use crate::interrupt::Interrupter;
use crate::onnx::{
    error::OnnxError,
    fingerprint::Fingerprint,
    library::ENVIRONMENT,
    port::{Port, PortSide, SLOT_FLOATS_MAX},
    raw,
    scan::{self, ScanFault, Surroundings},
};

/// One model in one slot of a fixed batch size: a session and its input and output memory.
///
/// `Send`, not `Sync`: it belongs to the inference thread.
pub struct OnnxModel {
    name: String,
    session: Session,
    run_options: Arc<RunOptions>,
    interrupter: Interrupter,
    input_name: CString,
    output_name: CString,
    input: raw::Tensor,
    output: raw::Tensor,
    input_len: usize,
    output_len: usize,
    fingerprint: Fingerprint,
}

impl fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, input_len, output_len, fingerprint, .. } = self;
        write!(f, "OnnxModel({name}, {input_len} -> {output_len}, {fingerprint})")
    }
}

impl OnnxModel {
    /// Makes a slot of `batch` rows of a model from bytes whose hash the caller has checked. It was
    /// never run: [`load`](crate::onnx::load) tries it too.
    ///
    /// # Errors
    /// [`OnnxError::NotInitialised`], [`OnnxError::ModelMalformed`], [`OnnxError::ModelRefused`],
    /// [`OnnxError::ModelShape`], [`OnnxError::RowsMix`], [`OnnxError::Runtime`],
    /// [`OnnxError::Interrupted`].
    pub(crate) fn new(
        name: &str,
        bytes: &[u8],
        batch: usize,
        surroundings: Surroundings,
        interrupter: &Interrupter,
    ) -> Result<Self, OnnxError> {
        let model = || name.to_owned();
        let shape = |reason| OnnxError::ModelShape { model: model(), batch, reason };
        let failed = |error: ort::Error| match interrupter.is_asked() {
            true => OnnxError::Interrupted { model: model() },
            false => OnnxError::Runtime {
                model: model(),
                action: "load",
                message: error.message().to_owned(),
            },
        };
        let environment = ENVIRONMENT.get().ok_or(OnnxError::NotInitialised { model: model() })?;
        interrupter.begin(name);
        if batch == 0 || batch > SLOT_FLOATS_MAX {
            return Err(shape(format!("a batch is 1 to {SLOT_FLOATS_MAX} rows")));
        }
        let scanned = scan::model(bytes, surroundings).map_err(|fault| match fault {
            ScanFault::Malformed(reason) => OnnxError::ModelMalformed { model: model(), reason },
            ScanFault::Refused { what, cure } => {
                OnnxError::ModelRefused { model: model(), what, cure }
            }
            ScanFault::Ends { what, cure } => OnnxError::EndsProcess { model: model(), what, cure },
        })?;
        if let Some(operator) = scanned.mixing.filter(|_| batch > 1) {
            let reason = format!("{operator} computes with all rows of a batch together");
            return Err(OnnxError::RowsMix { model: model(), batch, reason });
        }
        let mut builder = builder(environment).map_err(failed)?;
        let canceler = builder.canceler();
        // Both ways to stop fail only if there is nothing left to stop.
        interrupter.add(move || drop(canceler.cancel()));
        let session = builder.commit_from_memory(bytes).map_err(failed)?;
        let input = Port::of(PortSide::Input, session.inputs(), batch).map_err(&shape)?;
        let output = Port::of(PortSide::Output, session.outputs(), batch).map_err(&shape)?;
        if input.name == output.name {
            return Err(shape("its output is its input".to_owned()));
        }
        let run_options = Arc::new(RunOptions::new().map_err(failed)?);
        let options = Arc::clone(&run_options);
        interrupter.add(move || drop(options.terminate()));
        Ok(Self {
            name: model(),
            session,
            run_options,
            interrupter: interrupter.clone(),
            input: raw::Tensor::new(&input.dims, batch * input.row_len).map_err(failed)?,
            output: raw::Tensor::new(&output.dims, batch * output.row_len).map_err(failed)?,
            input_len: input.row_len,
            output_len: output.row_len,
            input_name: input.name,
            output_name: output.name,
            fingerprint: Fingerprint::of(batch),
        })
    }

    /// The name it was loaded under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Rows of every run.
    pub fn batch(&self) -> usize {
        self.fingerprint.batch
    }

    /// Floats of one input row.
    pub fn input_len(&self) -> usize {
        self.input_len
    }

    /// Floats of one output row.
    pub fn output_len(&self) -> usize {
        self.output_len
    }

    /// The input, row after row, `batch * input_len` floats. It keeps what was last written, so a
    /// caller fills unused rows itself.
    pub fn input_rows(&mut self) -> &mut [f32] {
        self.input.as_mut_slice()
    }

    /// Runs all rows; the result is `batch * output_len` floats, row after row.
    ///
    /// # Errors
    /// [`OnnxError::Runtime`], after which the slot can be used again and its output is undefined;
    /// [`OnnxError::Interrupted`], after which it cannot.
    pub fn run(&mut self) -> Result<&[f32], OnnxError> {
        let Self { session, input, output, input_name, output_name, run_options, .. } = self;
        let done = raw::run(session, run_options, input_name, input, output_name, output);
        match done {
            Ok(()) => Ok(self.output.as_slice()),
            Err(_) if self.interrupter.is_asked() => {
                Err(OnnxError::Interrupted { model: self.name.clone() })
            }
            Err(error) => {
                let message = error.message().to_owned();
                Err(OnnxError::Runtime { model: self.name.clone(), action: "run", message })
            }
        }
    }

    /// What the outputs' bits depend on beside the model and the input.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Stops it from another thread, for good.
    pub fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }
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
