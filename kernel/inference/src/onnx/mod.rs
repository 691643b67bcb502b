//! Models in ONNX Runtime: find its library, start it once, hold one model per fixed-batch slot.
//!
//! What: [`locate_library`] finds and identifies the shared library without running any of its
//! code, [`init`] loads it into the process, [`OnnxModel`] is a session whose input and output
//! lie in memory of ours. Nothing but this module names `ort`; nothing is linked, so a build needs
//! no ONNX Runtime and a run without models needs none either.
//!
//! | file | what |
//! |---|---|
//! | `library.rs` | the search, the library's identity, its start |
//! | `scan.rs` | what a model may hold, classified before the library sees it |
//! | `raw.rs` | tensors over memory of ours: the unsafe code |
//!
//! ```text
//!   caller --> input_rows() [batch * input_len]  --Run-->  [batch * output_len] --> caller
//!              64-byte aligned, built once                built once, the library checks the shape
//! ```
//!
//! Why so narrow:
//! - *Same bits.* One profile ([`PROFILE`]), one batch size per slot: at a fixed batch size a row's
//!   bits depend neither on the other rows nor on its position, so callers pad (SEMANTICS I2).
//!   Equal bits are promised for an equal [`Fingerprint`] only (SEMANTICS I5).
//! - *The hash covers everything.* Models come as bytes the caller has hashed. External weight
//!   files would escape that hash and random operators would escape replay: both are refused.
//! - *Nothing phones home.* Official Linux libraries from 1.29 on carry an uploader that is on by
//!   default; the loader insists on [`TELEMETRY_ENV`] for them before it loads one.
//!
//! What not: no clock, no threads of its own, no limit on the run time of a model, no judgement of
//! NaN (it passes through, in and out). The library itself allocates in every run; this file does
//! not. Every failure is an [`OnnxError`]; none is a panic.

mod error;
mod library;
mod pinned;
#[expect(unsafe_code, reason = "tensors over caller-owned memory exist only in the raw interface")]
mod raw;
mod scan;

use std::ffi::CString;
use std::fmt;
use std::sync::PoisonError;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, TensorElementType, ValueType};

pub use error::OnnxError;
use library::{ACTIVE, ENVIRONMENT};
pub use library::{OnnxLibrary, init, locate_library};
pub use pinned::{LIBRARY_ENV, LIBRARY_FILE, LIBRARY_VERSION, TELEMETRY_ENV};

/// The settings every session is made with; part of the [`Fingerprint`].
pub const PROFILE: &str = "cpu intra=1 inter=1 sequential level2 prepack";

/// Floats of the input and of the output of one slot: 256 MiB each.
const SLOT_FLOATS_MAX: usize = 1 << 26;

/// What decides which kernels the library picks on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuClass {
    /// x86-64 with AVX-512F.
    Avx512,
    /// x86-64 with AVX2 and FMA.
    Avx2Fma,
    /// Anything else: nothing is known about its bits.
    Other,
}

impl CpuClass {
    /// The class of the processor this runs on.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2Fma;
            }
        }
        Self::Other
    }
}

impl fmt::Display for CpuClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avx512 => "avx512",
            Self::Avx2Fma => "avx2+fma",
            Self::Other => "other",
        })
    }
}

/// Under what the outputs of a slot came about. Bits are comparable between equal ones only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Version of the library.
    pub library_version: String,
    /// SHA-256 of the library file, in hexadecimal.
    pub library_sha256: String,
    /// Class of the processor.
    pub cpu: CpuClass,
    /// [`PROFILE`].
    pub profile: &'static str,
    /// Rows of the padded batch.
    pub batch: usize,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { library_version, library_sha256, cpu, profile, batch } = self;
        write!(f, "onnxruntime {library_version} {library_sha256} {cpu} {profile} batch={batch}")
    }
}

/// One model in one slot of a fixed batch size: a session and its input and output memory.
///
/// `Send`, not `Sync`: it belongs to the inference thread.
pub struct OnnxModel {
    name: String,
    session: Session,
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
    /// Loads a model from bytes whose hash the caller has checked, for `batch` rows, and runs it
    /// once over zeros: a shape that only a run reveals shows here, and so does the library's
    /// first, dearest run.
    ///
    /// # Errors
    /// [`OnnxError::NotInitialised`], [`OnnxError::ModelMalformed`], [`OnnxError::ModelRefused`],
    /// [`OnnxError::ModelShape`], [`OnnxError::Runtime`].
    pub fn load(name: &str, bytes: &[u8], batch: usize) -> Result<Self, OnnxError> {
        let model = || name.to_owned();
        let shape = |reason| OnnxError::ModelShape { model: model(), batch, reason };
        let failed = |error: ort::Error| OnnxError::Runtime {
            model: model(),
            action: "load",
            message: error.message().to_owned(),
        };
        let environment = ENVIRONMENT.get().ok_or(OnnxError::NotInitialised { model: model() })?;
        if batch == 0 || batch > SLOT_FLOATS_MAX {
            return Err(shape(format!("a batch is 1 to {SLOT_FLOATS_MAX} rows")));
        }
        scan::model(bytes).map_err(|fault| match fault {
            scan::Fault::Malformed(reason) => OnnxError::ModelMalformed { model: model(), reason },
            scan::Fault::Refused(what) => OnnxError::ModelRefused { model: model(), what },
        })?;
        let session = builder(environment)
            .and_then(|mut builder| builder.commit_from_memory(bytes))
            .map_err(failed)?;
        let input = Port::of("input", session.inputs(), batch).map_err(&shape)?;
        let output = Port::of("output", session.outputs(), batch).map_err(&shape)?;
        let mut this = Self {
            name: model(),
            session,
            input: raw::Tensor::new(&input.dims, batch * input.row_len).map_err(failed)?,
            output: raw::Tensor::new(&output.dims, batch * output.row_len).map_err(failed)?,
            input_len: input.row_len,
            output_len: output.row_len,
            input_name: input.name,
            output_name: output.name,
            fingerprint: fingerprint(batch),
        };
        this.run()?;
        Ok(this)
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
    /// [`OnnxError::Runtime`], after which the slot can be used again and its output is undefined.
    pub fn run(&mut self) -> Result<&[f32], OnnxError> {
        let Self { session, input, output, input_name, output_name, .. } = self;
        raw::run(session, input_name, input, output_name, output).map_err(|error| {
            let message = error.message().to_owned();
            OnnxError::Runtime { model: self.name.clone(), action: "run", message }
        })?;
        Ok(self.output.as_slice())
    }

    /// What the outputs' bits depend on beside the model and the input.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

/// The settings that [`PROFILE`] names.
fn builder(environment: &Environment) -> Result<SessionBuilder, ort::Error> {
    Ok(Session::builder(environment)?
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_optimization_level(GraphOptimizationLevel::Level2)?
        .with_prepacking(true)?
        .with_intra_op_spinning(false)?
        .with_log_level(LogLevel::Warning)?
        // Never guess the other format, which `scan` could not look through.
        .with_config_entry("session.load_model_format", "ONNX")?)
}

fn fingerprint(batch: usize) -> Fingerprint {
    let active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
    let (library_version, library_sha256) = match active.as_ref() {
        Some(library) => (library.version.clone(), library.sha256.clone()),
        None => Default::default(),
    };
    let cpu = CpuClass::detect();
    Fingerprint { library_version, library_sha256, cpu, profile: PROFILE, batch }
}

/// The one input or output of a model, with its first dimension fixed to the batch.
struct Port {
    name: CString,
    dims: Vec<i64>,
    row_len: usize,
}

impl Port {
    /// Checks the declared ports of one side; the error completes "does not fit a slot: ...".
    fn of(side: &str, outlets: &[Outlet], batch: usize) -> Result<Self, String> {
        let [outlet] = outlets else {
            return Err(format!("it has {} {side}s", outlets.len()));
        };
        let name = outlet.name();
        let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = outlet.dtype() else {
            return Err(format!("{side} `{name}` is {:?}", outlet.dtype()));
        };
        let mut dims = shape.to_vec();
        let Some((first, rest)) = dims.split_first_mut() else {
            return Err(format!("{side} `{name}` has no dimensions"));
        };
        let rows = i64::try_from(batch).map_err(|error| error.to_string())?;
        if *first != -1 && *first != rows {
            return Err(format!("{side} `{name}` has a first dimension of {first}"));
        }
        *first = rows;
        let row_len = rest
            .iter()
            .try_fold(1usize, |product, dim| {
                product.checked_mul(usize::try_from(*dim).ok().filter(|dim| *dim > 0)?)
            })
            .filter(|len| len.checked_mul(batch).is_some_and(|all| all <= SLOT_FLOATS_MAX))
            .ok_or_else(|| {
                format!(
                    "{side} `{name}` has dimensions {rest:?} after the first, which are not all \
                     fixed or exceed {SLOT_FLOATS_MAX} floats per batch"
                )
            })?;
        let name = CString::new(name).map_err(|_| format!("a zero byte in the name of {side}"))?;
        Ok(Self { name, dims, row_len })
    }
}

/// What needs the library is skipped, aloud, where none is found; `REQUIRE_ORT=1` makes that fail.
#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::*;

    /// A protobuf field with bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        assert!(number < 16 && bytes.len() < 1 << 14, "the test writer knows short fields only");
        let mut out = vec![number << 3 | 2];
        out.extend([bytes.len() as u8 & 0x7f | 0x80, (bytes.len() >> 7) as u8]);
        out.extend(bytes);
        out
    }

    /// A protobuf field with a number below 128.
    fn number(number: u8, value: u8) -> Vec<u8> {
        vec![number << 3, value]
    }

    /// A graph input or output; a dimension of 0 is symbolic, `None` leaves the shape out.
    fn port(name: &str, kind: u8, dims: Option<&[u8]>) -> Vec<u8> {
        let mut tensor = number(1, kind);
        if let Some(dims) = dims {
            let dim = |dim: &u8| if *dim == 0 { field(2, b"N") } else { number(1, *dim) };
            let shape: Vec<u8> = dims.iter().flat_map(|one| field(1, &dim(one))).collect();
            tensor.extend(field(2, &shape));
        }
        [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
    }

    /// `y = operator(x, ...)`, float to float, one symbolic and one fixed dimension.
    fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> Vec<u8> {
        let mut out: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
        out.extend(outputs.iter().flat_map(|name| field(2, name.as_bytes())));
        out.extend(field(4, operator.as_bytes()));
        out
    }

    fn model(nodes: &[Vec<u8>], inputs: &[Vec<u8>], outputs: &[Vec<u8>]) -> Vec<u8> {
        let mut graph: Vec<u8> = nodes.iter().flat_map(|node| field(1, node)).collect();
        graph.extend(field(2, b"g"));
        graph.extend(inputs.iter().flat_map(|port| field(11, port)));
        graph.extend(outputs.iter().flat_map(|port| field(12, port)));
        [number(1, 8), field(7, &graph), field(8, &number(2, 17))].concat()
    }

    fn unary(operator: &str, input: &[u8], output: &[u8]) -> Vec<u8> {
        let (x, y) = (port("x", 1, Some(input)), port("y", 1, Some(output)));
        model(&[node(operator, &["x"], &["y"])], &[x], &[y])
    }

    /// True if the library runs; false, with the reason said, if there is none.
    fn ready() -> bool {
        let result = locate_library(None).and_then(|library| init(&library));
        if let Err(error) = &result {
            assert!(env::var_os("REQUIRE_ORT").is_none(), "{error}");
            eprintln!("SKIPPED: {error}");
        }
        result.is_ok()
    }

    fn temperature() -> Vec<u8> {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/weather/model/temperature.onnx");
        fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn scan_accepts_plain_models_and_every_cut_is_typed() {
        let bytes = temperature();
        assert_eq!(scan::model(&bytes), Ok(()));
        // Cut within the graph: the scan must notice, wherever it is.
        for len in (0..bytes.len() - 64).step_by(97) {
            assert!(matches!(scan::model(&bytes[..len]), Err(scan::Fault::Malformed(_))), "{len}");
        }
    }

    #[test]
    fn scan_refuses_random_operators_at_any_depth() {
        for operator in ["RandomNormalLike", "RandomUniform", "Bernoulli", "Multinomial"] {
            let plain = unary(operator, &[0, 3], &[0, 3]);
            assert!(matches!(scan::model(&plain), Err(scan::Fault::Refused(_))), "{operator}");
            // The same node as the body of an `If`: Node.attribute(5).g(6).node(1).
            let body = field(1, &node(operator, &["x"], &["y"]));
            let outer = [node("If", &["c"], &["y"]), field(5, &field(6, &body))].concat();
            let nested = model(&[outer], &[], &[]);
            assert!(matches!(scan::model(&nested), Err(scan::Fault::Refused(_))), "{operator}");
        }
        let training = model(&[node("Dropout", &["x", "", "t"], &["y"])], &[], &[]);
        assert!(matches!(scan::model(&training), Err(scan::Fault::Refused(_))));
        let inference = model(&[node("Dropout", &["x", "r", ""], &["y"])], &[], &[]);
        assert_eq!(scan::model(&inference), Ok(()));
    }

    #[test]
    fn scan_refuses_external_weights_and_deep_nesting() {
        let external = field(7, &field(5, &number(14, 1)));
        assert!(matches!(scan::model(&external), Err(scan::Fault::Refused(_))));
        assert_eq!(scan::model(&field(7, &field(5, &number(14, 0)))), Ok(()));
        let mut graph = Vec::new();
        for _ in 0..100 {
            graph = field(1, &field(5, &field(6, &graph)));
        }
        assert!(matches!(scan::model(&field(7, &graph)), Err(scan::Fault::Malformed(_))));
    }

    #[test]
    fn i5_2_temperature_runs_and_rows_are_independent() {
        if !ready() {
            return;
        }
        let bytes = temperature();
        let mut model = OnnxModel::load("temperature", &bytes, 16).expect("the model loads");
        assert_eq!((model.input_len(), model.output_len(), model.batch()), (149, 1, 16));
        // The example of temperature.json: 25 equal hours, observed at 12 h.
        let mut row = [50.0, 40.0, 70.0, 8.0, 1015.0].repeat(25);
        row.extend((0..24).map(|hour| f32::from(hour == 12)));
        let mut first = None;
        for row_index in 0..16 {
            for filler in [0.0, 1e6, f32::NAN] {
                model.input_rows().fill(filler);
                model.input_rows()[row_index * 149..][..149].copy_from_slice(&row);
                let y = model.run().expect("runs")[row_index];
                assert_eq!(first.get_or_insert(y).to_bits(), y.to_bits(), "row {row_index}");
            }
        }
        let mut single = OnnxModel::load("temperature", &bytes, 1).expect("the model loads");
        single.input_rows().copy_from_slice(&row);
        let y = single.run().expect("runs")[0];
        assert_eq!(first.map(f32::to_bits), Some(y.to_bits()));
        assert!((y - EXAMPLE_Y).abs() < 1e-3, "{y}");
        let text = model.fingerprint().to_string();
        assert!(text.starts_with("onnxruntime 1.") && text.ends_with("batch=16"), "{text}");
    }

    /// `example.y` of temperature.json.
    const EXAMPLE_Y: f32 = 50.757_977;

    #[test]
    fn unfit_models_are_typed_errors() {
        if !ready() {
            return;
        }
        let load = |bytes: &[u8], batch| OnnxModel::load("m", bytes, batch).map(|_| ());
        assert!(load(&unary("Relu", &[0, 3], &[0, 3]), 4).is_ok());
        assert!(load(&unary("Relu", &[4, 3], &[4, 3]), 4).is_ok());
        let (x, y) = (port("x", 1, Some(&[0, 3])), port("y", 1, Some(&[0, 3])));
        let z = port("z", 1, Some(&[0, 3]));
        let relu = node("Relu", &["x"], &["y"]);
        let add = node("Add", &["x", "z"], &["y"]);
        let shapes: [(&str, Vec<u8>); 7] = [
            ("another batch", unary("Relu", &[5, 3], &[5, 3])),
            ("a free second dimension", unary("Relu", &[0, 0], &[0, 0])),
            ("a scalar", unary("Relu", &[], &[])),
            ("two inputs", model(&[add], &[x.clone(), z.clone()], std::slice::from_ref(&y))),
            (
                "two outputs",
                model(&[relu, node("Relu", &["x"], &["z"])], std::slice::from_ref(&x), &[y, z]),
            ),
            ("an integer output", {
                let node = node("Shape", &["x"], &["y"]);
                model(&[node], &[x], &[port("y", 7, Some(&[2]))])
            }),
            ("another batch in the output", {
                let (x, y) = (port("x", 1, Some(&[0, 3])), port("y", 1, None));
                model(&[node("Transpose", &["x"], &["y"])], &[x], &[y])
            }),
        ];
        for (what, bytes) in shapes {
            let error = load(&bytes, 4).expect_err(what);
            assert!(matches!(error, OnnxError::ModelShape { .. }), "{what}: {error}");
        }
        let relu = unary("Relu", &[0, 3], &[0, 3]);
        assert!(matches!(load(&relu, 0), Err(OnnxError::ModelShape { .. })));
        assert!(matches!(load(&relu, usize::MAX), Err(OnnxError::ModelShape { .. })));
        assert!(matches!(load(&relu, SLOT_FLOATS_MAX / 2), Err(OnnxError::ModelShape { .. })));
        assert!(matches!(load(b"", 4), Err(OnnxError::ModelMalformed { .. })));
        assert!(matches!(load(b"garbage, not a model", 4), Err(OnnxError::ModelMalformed { .. })));
        let random = unary("RandomNormalLike", &[0, 3], &[0, 3]);
        assert!(matches!(load(&random, 4), Err(OnnxError::ModelRefused { .. })));
        let unknown = unary("NoSuchOperator", &[0, 3], &[0, 3]);
        assert!(matches!(load(&unknown, 4), Err(OnnxError::Runtime { action: "load", .. })));
    }

    #[test]
    fn a_failed_run_leaves_the_slot_usable() {
        if !ready() {
            return;
        }
        // Says [N, 3] and is [3, N]: only a run can tell, and the one in `load` does.
        let (x, y) = (port("x", 1, Some(&[0, 3])), port("y", 1, Some(&[0, 0])));
        let lying = model(&[node("Transpose", &["x"], &["y"])], &[x], &[y]);
        assert!(OnnxModel::load("lying", &lying, 4).is_err());
        let mut model =
            OnnxModel::load("relu", &unary("Relu", &[0, 3], &[0, 3]), 2).expect("loads");
        model.input_rows().copy_from_slice(&[-1.0, 2.0, f32::INFINITY, 0.5, f32::NAN, -0.0]);
        let y = model.run().expect("runs");
        assert_eq!(y[..4], [0.0, 2.0, f32::INFINITY, 0.5]);
        let moved = std::thread::spawn(move || model.run().map(|y| y[1])).join();
        assert!(matches!(moved, Ok(Ok(2.0))));
    }
}
