//! The files of a model: the one that is configured, or that of a version in a folder, and those in
//! which it has its data.
//!
//! ```text
//! models/NAME/VERSION/model.onnx     folder, the highest number or the one configured
//!                     weights.bin    data, beside the model or below it
//! ```
//! Every byte is read once: what is hashed is what is loaded. A file with data is opened step by
//! step below the model's folder, and a link on the way is an error: so no model makes the kernel
//! read what its user did not put there.
//!
//! What not: nothing is hashed or classified here.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use wasm_engine_inference::{
    ExternalFile,
    account::{FileFault, external_names},
};

use crate::exit::{Exit, HasExitCode};
use crate::files::{self, MODEL_BYTES_MAX};

/// Bytes of a model with all its data, unless `model.bytes_max` says otherwise.
pub(crate) const ALL_BYTES_MAX: u64 = 4 << 30;

/// The model in the folder of a version.
const MODEL_FILE: &str = "model.onnx";

/// Why the files of a model cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// The model's own file.
    #[error(
        "file {} cannot be read: {source}; build it or correct the path",
        file.display()
    )]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The model says of its data what no model may.
    #[error("file {} is refused: {fault}", file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// What it says.
        fault: FileFault,
    },
    /// A file with data.
    #[error(
        "file {} has data in `{}`, which cannot be read: {source}; put that file itself there, \
         links are not followed",
        file.display(),
        name.escape_debug()
    )]
    Data {
        /// The model's file.
        file: PathBuf,
        /// The file with its data.
        name: String,
        /// What the system says, or what it is instead of a file.
        source: io::Error,
    },
    /// There is more of it than the configuration allows.
    #[error(
        "file {} has {bytes} bytes with `{}`, more than {bytes_max}; raise model.bytes_max, \
         loading takes twice as much memory",
        file.display(),
        name.escape_debug()
    )]
    Bytes {
        /// The model's file.
        file: PathBuf,
        /// The file with data that is too much.
        name: String,
        /// Bytes of all up to it.
        bytes: u64,
        /// Bytes that it may have.
        bytes_max: u64,
    },
    /// A folder without the version, or without any.
    #[error("folder {} has no {what}; a version is a folder whose name is a number and holds \
        {MODEL_FILE}{there}", folder.display())]
    Version {
        /// The folder.
        folder: PathBuf,
        /// What is missing.
        what: String,
        /// The versions that there are, in words.
        there: String,
    },
}

impl HasExitCode for ModelFileError {
    fn exit(&self) -> Exit {
        match self {
            Self::File { source, .. } | Self::Data { source, .. } => Exit::of_reading(source),
            Self::Refused { .. } | Self::Bytes { .. } => Exit::Refused,
            Self::Version { .. } => Exit::Usage,
        }
    }
}

/// A model's files, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ModelBytes {
    pub(crate) model: Vec<u8>,
    pub(crate) external: Vec<ExternalFile>,
}

/// Reads the model in `file` with its data, at most `bytes_max` bytes in all.
pub(crate) fn read_model_files(file: &Path, bytes_max: u64) -> Result<ModelBytes, ModelFileError> {
    let owned = || file.to_owned();
    let model = files::read(file, MODEL_BYTES_MAX.min(bytes_max))
        .map_err(|source| ModelFileError::File { file: owned(), source })?;
    let names =
        external_names(&model).map_err(|fault| ModelFileError::Refused { file: owned(), fault })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut bytes = model.len() as u64;
    let mut external = Vec::with_capacity(names.len());
    for name in names {
        let failed = |source| ModelFileError::Data { file: owned(), name: name.clone(), source };
        let mut opened = open_below(folder, &name).map_err(failed)?;
        let metadata = opened.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(no_plain_file()));
        }
        bytes = bytes.saturating_add(metadata.len());
        if bytes > bytes_max {
            return Err(ModelFileError::Bytes { file: owned(), name, bytes, bytes_max });
        }
        let content = read_all(&mut opened, metadata.len()).map_err(failed)?;
        external.push(ExternalFile { name, bytes: content });
    }
    Ok(ModelBytes { model, external })
}

/// The model whose bytes are here and not in a file; `name` is what it is called.
pub(crate) fn attached_model(
    name: &Path,
    bytes: &[u8],
    bytes_max: u64,
) -> Result<ModelBytes, ModelFileError> {
    let file = || name.to_owned();
    let len = bytes.len() as u64;
    if len > MODEL_BYTES_MAX.min(bytes_max) {
        let problem = format!("it has {len} bytes, more than model.bytes_max");
        let source = io::Error::new(ErrorKind::FileTooLarge, problem);
        return Err(ModelFileError::File { file: file(), source });
    }
    let names =
        external_names(bytes).map_err(|fault| ModelFileError::Refused { file: file(), fault })?;
    if let Some(name) = names.into_iter().next() {
        let source = io::Error::other("only the model itself was given, as bytes");
        return Err(ModelFileError::Data { file: file(), name, source });
    }
    Ok(ModelBytes { model: bytes.to_vec(), external: Vec::new() })
}

/// The whole file, of which `len` bytes are expected.
fn read_all(file: &mut File, len: u64) -> io::Result<Arc<[u8]>> {
    let len = usize::try_from(len).map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
    // Asked for first where it can be refused.
    Vec::<u8>::new().try_reserve_exact(len)?;
    let mut content: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
    let Some(bytes) = Arc::get_mut(&mut content) else { unreachable!("nobody else has it") };
    file.read_exact(bytes)?;
    match file.read(&mut [0])? {
        0 => Ok(content),
        _ => Err(io::Error::other("it grows while it is read")),
    }
}

fn no_plain_file() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "it is a link or no plain file, or lies behind a link")
}

/// Opens a file below a folder, without following a link below it.
#[cfg(unix)]
fn open_below(folder: &Path, name: &str) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use rustix::io::Errno;

    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let below = flags | OFlags::NOFOLLOW;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let opened = || -> Result<File, Errno> {
        let mut at = openat(CWD, folder, flags | OFlags::DIRECTORY, Mode::empty())?;
        let (parents, last) = name.rsplit_once('/').unwrap_or(("", name));
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            at = openat(&at, part, below | OFlags::DIRECTORY, Mode::empty())?;
        }
        // A pipe is opened without waiting for who writes to it.
        let last = openat(&at, last, below | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
        Ok(last.into())
    };
    opened().map_err(|error| match error {
        Errno::LOOP | Errno::NOTDIR | Errno::NXIO => no_plain_file(),
        other => other.into(),
    })
}

#[cfg(not(unix))]
fn open_below(folder: &Path, name: &str) -> io::Result<File> {
    let mut path = folder.to_owned();
    for part in Path::new(name).components() {
        let std::path::Component::Normal(part) = part else { return Err(no_plain_file()) };
        path.push(part);
        if path.symlink_metadata()?.is_symlink() {
            return Err(no_plain_file());
        }
    }
    File::open(path)
}

/// The model of a version in a folder, the highest without one, and its number.
pub(crate) fn of_version(
    folder: &Path,
    version: Option<u64>,
) -> Result<(PathBuf, u64), ModelFileError> {
    let failed = |source| ModelFileError::File { file: folder.to_owned(), source };
    let mut versions = Vec::new();
    for entry in folder.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(number);
        let model = entry.path().join(MODEL_FILE);
        if let Some(number) = number.filter(|_| model.is_file()) {
            versions.push((number, model));
        } else if name == "config.pbtxt" {
            tracing::info!("{}: config.pbtxt is not read", folder.display());
        }
    }
    versions.sort();
    let wanted = |(number, _): &(u64, PathBuf)| version.is_none_or(|version| version == *number);
    let found = versions.iter().rfind(|one| wanted(one)).cloned();
    found.map(|(number, model)| (model, number)).ok_or_else(|| {
        let there: Vec<String> = versions.iter().map(|(number, _)| number.to_string()).collect();
        ModelFileError::Version {
            folder: folder.to_owned(),
            what: version.map_or("version".to_owned(), |version| format!("version {version}")),
            there: match &there[..] {
                [] => String::new(),
                _ => format!("; there are {}", there.join(", ")),
            },
        }
    })
}

/// A version's number, in its one spelling.
fn number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| number.to_string() == name)
}
