//! Models in ONNX Runtime: find its library, start it once, hold one model per fixed-batch slot.
//!
//! What: [`locate_library`] finds and identifies the shared library without running any of its
//! code, [`init`] loads it into the process, [`OnnxModel`] is a session whose input and output
//! lie in memory of ours. This is the only file that names `ort`; nothing is linked, so a build
//! needs no ONNX Runtime and a run without models needs none either.
//!
//! ```text
//!   caller --> input_rows() [batch * input_len]  --Run-->  [batch * output_len] --> caller
//!              64-byte aligned, built once                 built once, shape checked by the library
//! ```
//!
//! Why so narrow:
//! - *Same bits.* One profile ([`PROFILE`]), one batch size per slot: at a fixed batch size a row's
//!   bits depend neither on the other rows nor on its place, so callers pad (SEMANTICS I2). Equal
//!   bits are promised for an equal [`Fingerprint`] only (SEMANTICS I5).
//! - *The hash covers everything.* Models come as bytes the caller has hashed. External weight
//!   files would escape that hash and random operators would escape replay: both are refused.
//! - *Nothing phones home.* Official Linux libraries from 1.29 on carry an uploader that is on by
//!   default; the loader insists on [`TELEMETRY_ENV`] for them before it loads one.
//!
//! What not: no clock, no threads of its own, no limit on the run time of a model, no judgement of
//! NaN (it passes through, in and out). The library itself allocates in every run; this file does
//! not. Every failure is an [`OnnxError`]; none is a panic.

use std::env;
use std::ffi::CString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, TensorElementType, ValueType};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The library version the project is tested with: the last one without an uploader.
pub const LIBRARY_VERSION: &str = "1.28.0";

/// File name of [`LIBRARY_VERSION`] as the search expects it.
pub const LIBRARY_FILE: &str = "libonnxruntime.so.1.28.0";

/// Names the library file to use, before any other place. Set and bad is an error.
pub const LIBRARY_ENV: &str = "ORT_DYLIB_PATH";

/// Set to `1` by the user, it silences the uploader of libraries from 1.29 on.
pub const TELEMETRY_ENV: &str = "ORT_DISABLE_TELEMETRY";

/// The settings every session is made with; part of the [`Fingerprint`].
pub const PROFILE: &str = "cpu intra=1 inter=1 sequential level2 prepack";

/// First minor version whose official Linux builds contain the uploader.
const UPLOADER_MINOR: u32 = 29;

/// Floats of the input and of the output of one slot: 256 MiB each.
const SLOT_FLOATS_MAX: usize = 1 << 26;

/// What can go wrong with the library or a model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// No place held a usable library.
    #[error(
        "no ONNX Runtime library found (tried {tried}); run `cargo xtask setup` or set \
         {LIBRARY_ENV} to the file"
    )]
    LibraryNotFound {
        /// Every place looked at, with what was wrong there.
        tried: String,
    },
    /// A library that was asked for by name cannot serve.
    #[error(
        "ONNX Runtime library {} (from {origin}) cannot be used: {reason}; name the file of \
         version {LIBRARY_VERSION} or unset it and run `cargo xtask setup`",
        path.display()
    )]
    LibraryUnusable {
        /// The file.
        path: PathBuf,
        /// Who named it.
        origin: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The library contains an uploader and nothing has silenced it.
    #[error(
        "ONNX Runtime library {} is version {version}, which sends telemetry unless told not to; \
         set {TELEMETRY_ENV}=1 before starting, or use version {LIBRARY_VERSION}",
        path.display()
    )]
    LibraryTelemetry {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// The process already runs another library, and can run only one.
    #[error(
        "ONNX Runtime library {} is already active in this process, so {} cannot be; start another \
         process for it",
        active.display(),
        wanted.display()
    )]
    LibraryActive {
        /// The library in use.
        active: PathBuf,
        /// The library asked for.
        wanted: PathBuf,
    },
    /// [`OnnxModel::load`] came before a successful [`init`].
    #[error("model {model} cannot be loaded: ONNX Runtime is not initialised; call init first")]
    NotInitialised {
        /// The model.
        model: String,
    },
    /// The bytes are no ONNX model, or one this kernel cannot look through.
    #[error("model {model} is not a readable ONNX file: {reason}; export it again")]
    ModelMalformed {
        /// The model.
        model: String,
        /// What the reader met.
        reason: &'static str,
    },
    /// The model contains something that cannot be replayed or is not covered by its hash.
    #[error("model {model} is refused: it contains {what}; export it without")]
    ModelRefused {
        /// The model.
        model: String,
        /// What it contains.
        what: String,
    },
    /// Inputs, outputs or the batch size do not fit a slot.
    #[error(
        "model {model} does not fit a slot of batch {batch}: {reason}; a model needs one f32 input \
         and one f32 output with fixed dimensions after the first"
    )]
    ModelShape {
        /// The model.
        model: String,
        /// Rows of the slot.
        batch: usize,
        /// What does not fit.
        reason: String,
    },
    /// ONNX Runtime refused the model or failed in it.
    #[error("ONNX Runtime failed to {action} model {model}: {message}; check the model file")]
    Runtime {
        /// The model.
        model: String,
        /// `load` or `run`.
        action: &'static str,
        /// The library's own words.
        message: String,
    },
}

/// A library file that has been read and identified, but not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxLibrary {
    path: PathBuf,
    version: String,
    sha256: String,
    origin: &'static str,
}

impl OnnxLibrary {
    /// The file, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, `major.minor.patch`; `unknown` for a build without a version tag.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    fn unusable(&self, reason: String) -> OnnxError {
        OnnxError::LibraryUnusable { path: self.path.clone(), origin: self.origin, reason }
    }

    /// Reads and identifies a file; the error says what is wrong with it.
    fn identify(path: &Path, origin: &'static str) -> Result<Self, String> {
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        let bytes = fs::read(&path).map_err(|error| error.to_string())?;
        if cfg!(target_os = "linux") && !bytes.starts_with(b"\x7fELF") {
            return Err("it is not a shared library".to_owned());
        }
        if find(&bytes, b"OrtGetApiBase\0").is_none() {
            return Err("it is not ONNX Runtime".to_owned());
        }
        let version = version_tag(&bytes);
        if let Some(minor) = version.as_deref().and_then(minor_of)
            && minor < ort::MINOR_VERSION
        {
            return Err(too_old(minor));
        }
        Ok(Self {
            path,
            version: version.unwrap_or_else(|| "unknown".to_owned()),
            sha256: format!("{:x}", Sha256::digest(&bytes)),
            origin,
        })
    }

    /// Refuses a version with an uploader that the user has not silenced.
    fn refuse_uploader(&self, minor: u32) -> Result<(), OnnxError> {
        if minor < UPLOADER_MINOR || env::var_os(TELEMETRY_ENV).is_some_and(|value| value == "1") {
            return Ok(());
        }
        let version = match self.version.as_str() {
            "unknown" => format!("1.{minor}"),
            known => known.to_owned(),
        };
        Err(OnnxError::LibraryTelemetry { path: self.path.clone(), version })
    }
}

/// Finds the library and identifies it, without running any of its code.
///
/// [`LIBRARY_ENV`] wins over `explicit`; either, if given, must be good. Otherwise the first good
/// one of these: [`LIBRARY_FILE`] beside the executable, in `../onnxruntime` from there, and, for
/// an executable that cargo built, in `onnxruntime` inside the target directory or in a Python
/// environment `.venv` beside it.
///
/// # Errors
/// [`OnnxError::LibraryUnusable`] for a bad named file, [`OnnxError::LibraryNotFound`] with every
/// place tried if the search ends empty.
pub fn locate_library(explicit: Option<&Path>) -> Result<OnnxLibrary, OnnxError> {
    let from_env = env::var_os(LIBRARY_ENV).filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = match from_env {
        Some(path) => Some((path, LIBRARY_ENV)),
        None => explicit.map(|path| (path.to_owned(), "the configuration")),
    };
    if let Some((path, origin)) = named {
        return OnnxLibrary::identify(&path, origin).map_err(|reason| OnnxError::LibraryUnusable {
            path,
            origin,
            reason,
        });
    }
    let exe = env::current_exe().map_err(|error| OnnxError::LibraryNotFound {
        tried: format!("no place: the executable's own path is unknown, {error}"),
    })?;
    let mut tried = Vec::new();
    for path in candidates(&exe) {
        match OnnxLibrary::identify(&path, "the search") {
            Ok(library) => return Ok(library),
            Err(reason) => tried.push(format!("{}: {reason}", path.display())),
        }
    }
    Err(OnnxError::LibraryNotFound { tried: tried.join(", ") })
}

/// The places of the search, in order. Only cargo's own target directory, known by a file that cargo
/// writes into it, extends the search upwards: no code is picked up from a stray parent folder.
fn candidates(exe: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let Some(dir) = exe.parent() else { return out };
    out.push(dir.join(LIBRARY_FILE));
    if let Some(parent) = dir.parent() {
        out.push(parent.join("onnxruntime").join(LIBRARY_FILE));
    }
    // The tag is missing where somebody else made the directory, the other file where cargo may not
    // cache what the compiler says.
    let is_target = |path: &&Path| {
        ["CACHEDIR.TAG", ".rustc_info.json"].iter().any(|file| path.join(file).is_file())
    };
    let Some(target) = dir.ancestors().find(is_target) else { return out };
    out.push(target.join("onnxruntime").join(LIBRARY_FILE));
    if let Some(project) = target.parent() {
        let mut pythons: Vec<PathBuf> = fs::read_dir(project.join(".venv/lib"))
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        pythons.sort();
        for python in pythons {
            out.push(python.join("site-packages/onnxruntime/capi").join(LIBRARY_FILE));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    out.retain(|path| seen.insert(path.clone()));
    out
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The version in the symbol tag `VERS_1.28.0` of official builds, read from the file itself.
fn version_tag(bytes: &[u8]) -> Option<String> {
    const TAG: &[u8] = b"\0VERS_";
    let mut rest = bytes;
    while let Some(at) = find(rest, TAG) {
        rest = &rest[at + TAG.len()..];
        let text: Vec<u8> = rest.iter().copied().take(24).take_while(|byte| *byte != 0).collect();
        let good = text.split(|byte| *byte == b'.').count() == 3
            && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        if good && let Ok(version) = String::from_utf8(text) {
            return Some(version);
        }
    }
    None
}

fn minor_of(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.split('.').next()?.parse().ok()
}

fn too_old(minor: u32) -> String {
    format!("it is version 1.{minor}, and 1.{} or later is needed", ort::MINOR_VERSION)
}

/// The library `ort` has loaded; it keeps the first one for the life of the process.
static ACTIVE: Mutex<Option<OnnxLibrary>> = Mutex::new(None);

/// The one environment of the process. Never dropped: a second one could not be built.
static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

/// Loads the library into the process and starts it, telemetry off. Later calls with the same
/// library do nothing; a failed call may be repeated with another one.
///
/// # Errors
/// [`OnnxError::LibraryTelemetry`], [`OnnxError::LibraryUnusable`], [`OnnxError::LibraryActive`].
pub fn init(lib: &OnnxLibrary) -> Result<(), OnnxError> {
    // A panic while holding the lock leaves a consistent value: it is written in one assignment.
    let mut active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(active) = active.as_ref() {
        if active.sha256 != lib.sha256 {
            let (active, wanted) = (active.path.clone(), lib.path.clone());
            return Err(OnnxError::LibraryActive { active, wanted });
        }
        if ENVIRONMENT.get().is_some() {
            return Ok(());
        }
    }
    // By the tag first: probing already runs the library's constructors.
    if let Some(minor) = minor_of(&lib.version) {
        lib.refuse_uploader(minor)?;
    }
    let minor = ort::util::probe(&lib.path).ok_or_else(|| {
        lib.unusable("the dynamic loader refuses it, `ldd` shows what it misses".to_owned())
    })?;
    lib.refuse_uploader(minor)?;
    if minor < ort::MINOR_VERSION {
        return Err(lib.unusable(too_old(minor)));
    }
    let builder = ort::init_from(&lib.path).map_err(|error| lib.unusable(error.to_string()))?;
    *active = Some(lib.clone());
    let environment = builder
        .with_name("wasm-engine")
        .with_telemetry(false)
        .build()
        .map_err(|error| lib.unusable(error.to_string()))?;
    environment.set_log_level(LogLevel::Warning);
    let _ = ENVIRONMENT.set(environment);
    tracing::info!(path = %lib.path.display(), version = lib.version, sha256 = lib.sha256,
        "ONNX Runtime loaded");
    Ok(())
}

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
    /// caller pads unused rows with zeros itself.
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
        // Never guess the other format, which the scan below could not look through.
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

/// Tensors over memory of ours, and the run over them: all unsafe code of this file.
///
/// Invariant: `memory` and `value` are made and freed together, `value` describes exactly the
/// first `len` floats of `memory`, and nobody outside this module sees either pointer.
#[expect(unsafe_code, reason = "tensors over caller-owned memory exist only in the raw interface")]
mod raw {
    use std::ffi::CStr;
    use std::ptr::{self, NonNull};
    use std::slice;

    use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
    use ort::session::Session;
    use ort::{AsPointer, ortsys, sys};

    /// A cache line, so that every tensor begins on one.
    #[derive(Clone, Copy)]
    #[repr(C, align(64))]
    struct Line([f32; 16]);

    /// A value of the library over zeroed memory that we own.
    pub(super) struct Tensor {
        value: NonNull<sys::OrtValue>,
        memory: NonNull<[Line]>,
        len: usize,
    }

    // SAFETY: the value and the memory belong to this struct alone, the library ties neither to a
    // thread, and every access to the memory goes through `&self` or `&mut self`.
    unsafe impl Send for Tensor {}

    impl Tensor {
        /// A tensor of `len` zeros, which must be the product of `dims`; ONNX Runtime must be
        /// initialised. The library refuses a shape that needs more than `len` floats.
        pub(super) fn new(dims: &[i64], len: usize) -> Result<Self, ort::Error> {
            let info = MemoryInfo::new(
                AllocationDevice::CPU,
                0,
                AllocatorType::Device,
                MemoryType::Default,
            )?;
            let lines = vec![Line([0.0; 16]); len.div_ceil(16)].into_boxed_slice();
            let memory = NonNull::from(Box::leak(lines));
            let mut value = ptr::null_mut();
            // SAFETY: the data pointer heads at least len * 4 bytes, which outlive the value: both
            // are freed in `drop`, the value first. `info` and `dims` outlive the call, which copies
            // what it needs of them.
            let made = ortsys![@ort: unsafe CreateTensorWithDataAsOrtValue(
                info.ptr(),
                memory.cast().as_ptr(),
                len * size_of::<f32>(),
                dims.as_ptr(),
                dims.len(),
                sys::ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
                &mut value
            ) as Result];
            match (made, NonNull::new(value)) {
                (Ok(()), Some(value)) => Ok(Self { value, memory, len }),
                (made, _) => {
                    // SAFETY: leaked above, and no value was made over it.
                    drop(unsafe { Box::from_raw(memory.as_ptr()) });
                    made.and_then(|()| Err(ort::Error::new("no value was made")))
                }
            }
        }

        pub(super) fn as_slice(&self) -> &[f32] {
            // SAFETY: `memory` holds at least `len` initialised floats for the life of `self`, and
            // the library writes them only in `run`, which borrows the output mutably.
            unsafe { slice::from_raw_parts(self.memory.cast().as_ptr(), self.len) }
        }

        pub(super) fn as_mut_slice(&mut self) -> &mut [f32] {
            // SAFETY: as in `as_slice`; `&mut self` makes this the only access, and the library
            // touches the memory only in `run`, which needs a borrow of its own.
            unsafe { slice::from_raw_parts_mut(self.memory.cast().as_ptr(), self.len) }
        }
    }

    impl Drop for Tensor {
        fn drop(&mut self) {
            // SAFETY: the value was made in `new`, is released once, and no run is under way, for
            // `run` borrows the tensor.
            ortsys![unsafe ReleaseValue(self.value.as_ptr())];
            // SAFETY: leaked in `new`; the value, the only other user, is gone.
            drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
        }
    }

    /// Runs the session over the two tensors. The library checks names, types and shapes against
    /// the model, the output's before it writes, and returns an error for any that differs.
    pub(super) fn run(
        session: &mut Session,
        input_name: &CStr,
        input: &Tensor,
        output_name: &CStr,
        output: &mut Tensor,
    ) -> Result<(), ort::Error> {
        let input_names = [input_name.as_ptr()];
        let output_names = [output_name.as_ptr()];
        let inputs = [input.value.as_ptr().cast_const()];
        let mut outputs = [output.value.as_ptr()];
        // SAFETY: the session is alive and borrowed mutably, so no other run is under way; the
        // arrays hold one live pointer each and outlive the call; null options are the defaults.
        // The input is only read, the output only written, and they are different memory. The
        // output is bound, so the library leaves its pointer as it is.
        ortsys![@ort: unsafe Run(
            session.ptr_mut(),
            ptr::null(),
            input_names.as_ptr(),
            inputs.as_ptr(),
            1,
            output_names.as_ptr(),
            1,
            outputs.as_mut_ptr()
        ) as Result]
    }
}

/// Looks through a model before the library sees it, by its protobuf wire format.
///
/// Finds operators whose result is not a function of the input, and tensors whose bytes lie in
/// another file, in every graph, subgraph and function. It reads more than the library would (all
/// occurrences of a field, not the last), so it can refuse too much, never too little. Field
/// numbers are those of `onnx.proto`, which never change.
mod scan {
    /// Nested graphs and attributes beyond this are refused; real models have a handful.
    const DEPTH_MAX: u32 = 64;

    #[derive(Debug, PartialEq)]
    pub(super) enum Fault {
        Malformed(&'static str),
        Refused(String),
    }

    enum Value<'a> {
        Number(u64),
        Bytes(&'a [u8]),
        Fixed,
    }

    /// The messages of the format that lead to an operator or to a tensor.
    #[derive(Clone, Copy)]
    enum Message {
        Model,
        Graph,
        Function,
        Node,
        Attribute,
        SparseTensor,
        Tensor,
    }

    impl Message {
        fn child(self, field: u64) -> Option<Message> {
            Some(match (self, field) {
                (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
                (Self::Model, 25) => Self::Function,
                (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
                (Self::Graph, 5) | (Self::Attribute, 5 | 10) => Self::Tensor,
                (Self::SparseTensor, 1 | 2) => Self::Tensor,
                (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
                (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
                _ => return None,
            })
        }
    }

    /// Refuses a model that cannot be replayed from its bytes and inputs alone.
    pub(super) fn model(bytes: &[u8]) -> Result<(), Fault> {
        let mut graphs = 0;
        walk(Message::Model, bytes, 0, &mut graphs)?;
        if graphs == 0 {
            return Err(Fault::Malformed("it holds no graph"));
        }
        Ok(())
    }

    fn walk(kind: Message, mut rest: &[u8], depth: u32, graphs: &mut u32) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::Malformed("its graphs are nested too deep"));
        }
        let (mut operator, mut inputs) = (None, 0);
        let mut third_input_named = false;
        while !rest.is_empty() {
            let (field, value) = entry(&mut rest)?;
            match (kind, field, value) {
                (Message::Node, 1, Value::Bytes(name)) => {
                    inputs += 1;
                    third_input_named |= inputs >= 3 && !name.is_empty();
                }
                (Message::Node, 4, Value::Bytes(name)) => {
                    refuse_random(name)?;
                    operator = Some(name);
                }
                // `data_location`: 0 is inside the file, 1 another file, no other number is defined.
                (Message::Tensor, 14, Value::Number(location)) if location != 0 => {
                    let what = "weights in an external file, which its hash does not cover";
                    return Err(Fault::Refused(what.to_owned()));
                }
                (_, _, Value::Bytes(bytes)) => {
                    let Some(child) = kind.child(field) else { continue };
                    *graphs += u32::from(matches!(kind, Message::Model) && field == 7);
                    walk(child, bytes, depth + 1, graphs)?;
                }
                (_, _, _) => {}
            }
        }
        if operator == Some(b"Dropout") && third_input_named {
            // Input 3 is `training_mode`; whether it is false may be known only when it runs.
            return Err(Fault::Refused("a Dropout with a training mode".to_owned()));
        }
        Ok(())
    }

    /// Operators that draw random numbers, of any domain.
    fn refuse_random(operator: &[u8]) -> Result<(), Fault> {
        const RANDOM: [&[u8]; 6] = [
            b"Bernoulli",
            b"Multinomial",
            b"Sampling",
            b"BiasDropout",
            b"BitmaskDropout",
            b"BitmaskBiasDropout",
        ];
        if operator.starts_with(b"Random") || RANDOM.contains(&operator) {
            let name = String::from_utf8_lossy(operator);
            return Err(Fault::Refused(format!("the random operator {name}")));
        }
        Ok(())
    }

    /// The next field and its value; `rest` moves behind it.
    fn entry<'a>(rest: &mut &'a [u8]) -> Result<(u64, Value<'a>), Fault> {
        let key = varint(rest)?;
        let value = match key & 7 {
            0 => Value::Number(varint(rest)?),
            1 => take(rest, 8).map(|_| Value::Fixed)?,
            2 => {
                let len = varint(rest)?;
                Value::Bytes(take(rest, len)?)
            }
            5 => take(rest, 4).map(|_| Value::Fixed)?,
            _ => return Err(Fault::Malformed("it is not protobuf")),
        };
        if key > u64::from(u32::MAX) {
            return Err(Fault::Malformed("it is not protobuf"));
        }
        Ok((key >> 3, value))
    }

    fn take<'a>(rest: &mut &'a [u8], len: u64) -> Result<&'a [u8], Fault> {
        let split = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
        let (head, tail) = split.ok_or(Fault::Malformed("it ends within a field"))?;
        *rest = tail;
        Ok(head)
    }

    fn varint(rest: &mut &[u8]) -> Result<u64, Fault> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = take(rest, 1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault::Malformed("a number in it is longer than 64 bits"))
    }
}

/// What needs the library is skipped, aloud, where none is found; `REQUIRE_ORT=1` makes that fail.
#[cfg(test)]
mod tests {
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
            concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/weather/model/temperature.onnx");
        fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn the_search_goes_up_to_cargos_target_directory_only() {
        let project = tempfile::tempdir().expect("a directory");
        let target = project.path().join("target");
        let exe = target.join("debug/deps/test");
        fs::create_dir_all(exe.parent().expect("it has one")).expect("writable");
        let wanted = target.join("onnxruntime").join(LIBRARY_FILE);
        assert!(!candidates(&exe).contains(&wanted), "nothing says that this is cargo's");
        for file in ["CACHEDIR.TAG", ".rustc_info.json"] {
            fs::write(target.join(file), "").expect("writable");
            assert!(candidates(&exe).contains(&wanted), "{file}");
            fs::remove_file(target.join(file)).expect("just written");
        }
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
    fn version_comes_from_the_file() {
        assert_eq!(version_tag(b"..\0VERS_x\0VERS_1.28.0\0..").as_deref(), Some("1.28.0"));
        assert_eq!(version_tag(b"..\0VERS_1.28\0"), None);
        assert_eq!((minor_of("1.28.0"), minor_of("2.1.0")), (Some(28), None));
    }

    #[test]
    fn wrong_libraries_are_typed_errors() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join(LIBRARY_FILE);
        let reason =
            |path: &Path| OnnxLibrary::identify(path, "a test").expect_err("is no library");
        assert!(reason(&path).contains("No such file"));
        assert!(reason(dir.path()).contains("directory"));
        fs::write(&path, b"text").expect("writes");
        assert!(reason(&path).contains("not a shared library"));
        fs::write(&path, b"\x7fELF but nothing else").expect("writes");
        assert!(reason(&path).contains("not ONNX Runtime"));
        fs::write(&path, b"\x7fELF\0OrtGetApiBase\0VERS_1.20.1\0").expect("writes");
        assert!(reason(&path).contains("version 1.20"));
        // It says what a library would say and is none: the loader has the last word.
        fs::write(&path, b"\x7fELF\0OrtGetApiBase\0VERS_1.28.0\0").expect("writes");
        let fake = OnnxLibrary::identify(&path, "a test").expect("looks like one");
        let error = init(&fake).expect_err("cannot be loaded");
        // Another test may have started the real one meanwhile.
        assert!(matches!(
            error,
            OnnxError::LibraryUnusable { .. } | OnnxError::LibraryActive { .. }
        ));
        if env::var_os(TELEMETRY_ENV).is_none() {
            let library = OnnxLibrary { version: "1.29.0".to_owned(), ..fake };
            let error = library.refuse_uploader(29).expect_err("is not silenced");
            assert!(error.to_string().contains("ORT_DISABLE_TELEMETRY=1"));
        }
    }

    #[test]
    fn temperature_runs_and_rows_are_independent() {
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
        for place in 0..16 {
            for filler in [0.0, 1e6, f32::NAN] {
                model.input_rows().fill(filler);
                model.input_rows()[place * 149..][..149].copy_from_slice(&row);
                let y = model.run().expect("runs")[place];
                assert_eq!(first.get_or_insert(y).to_bits(), y.to_bits(), "row {place}");
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
