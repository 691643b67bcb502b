//! The shared library: found, identified without running any of its code, loaded once.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use sha2::{Digest, Sha256};

use crate::onnx::binary::BinaryKind;
use crate::onnx::error::OnnxError;
use crate::onnx::locations::LibraryLocations;
use crate::onnx::pinned::{LIBRARY_ENV, LIBRARY_FILE, LIBRARY_VERSION, TELEMETRY_ENV};
use crate::onnx::raw::SaidVersion;
use crate::onnx::{elf, raw};

/// First minor version whose official Linux builds contain the uploader.
const UPLOADER_MINOR: u32 = 29;

/// Why a file cannot be used that is not there.
const NO_FILE: &str = "there is no such file";

/// A library file that has been read and identified, but not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxLibrary {
    path: PathBuf,
    pub(super) version: String,
    pub(super) sha256: String,
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
        if path.is_dir() {
            return Err(format!("it is a folder; name the file in it, such as {LIBRARY_FILE}"));
        }
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => NO_FILE.to_owned(),
            _ => error.to_string(),
        })?;
        let kind = BinaryKind::of(&bytes).ok_or("it is not a shared library")?;
        kind.check()?;
        if find(&bytes, b"OrtGetApiBase\0").is_none() {
            return Err("it is not ONNX Runtime".to_owned());
        }
        if cfg!(target_os = "linux") {
            refuse_truncated(&bytes)?;
        }
        let version = version_tag(&bytes);
        if let Some(version) = version.as_deref() {
            refuse_old(version)?;
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
/// one of these: [`LIBRARY_FILE`] beside the executable, in `../onnxruntime` from there, for an
/// executable that cargo built in `onnxruntime` inside the target directory or in a Python
/// environment `.venv` beside it, in the Python environment that is active, and in the user's own
/// folder, where [`LIBRARY_CURE`](crate::onnx::LIBRARY_CURE) installs it.
///
/// # Errors
/// [`OnnxError::LibraryUnusable`] for a bad named file, [`OnnxError::LibraryNotFound`] with every
/// location tried if the search ends empty.
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
        tried: format!("no location: the executable's own path is unknown, {error}"),
    })?;
    let mut tried = Vec::new();
    for path in LibraryLocations::of(exe).files() {
        match OnnxLibrary::identify(&path, "the search") {
            Ok(library) => return Ok(library),
            Err(reason) if reason == NO_FILE => tried.push(path.display().to_string()),
            Err(reason) => tried.push(format!("{}, but {reason}", path.display())),
        }
    }
    Err(OnnxError::LibraryNotFound { tried: tried.join("; ") })
}

/// A file that is shorter than its tables say would end the process when it is mapped.
fn refuse_truncated(bytes: &[u8]) -> Result<(), String> {
    match elf::whole_len(bytes) {
        Some(len) if len <= bytes.len() as u64 => Ok(()),
        Some(len) => Err(format!("it is truncated, {} bytes of at least {len}", bytes.len())),
        None => Err("it is truncated or no library for this machine".to_owned()),
    }
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

/// The numbers of a version.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

/// Whether a version is later than the one that this is tested with.
fn is_later(version: &str) -> bool {
    numbers(version) > numbers(LIBRARY_VERSION)
}

/// Refuses a version that has not the interface that is needed.
fn refuse_old(version: &str) -> Result<(), String> {
    let numbers = numbers(version);
    match !numbers.is_empty() && numbers < vec![1, ort::MINOR_VERSION] {
        true => Err(format!(
            "it is version {}, which is too old: 1.{} or later is needed",
            version.escape_debug(),
            ort::MINOR_VERSION
        )),
        false => Ok(()),
    }
}

/// The minor version of a library that says this of itself; the error says why it cannot serve.
fn suitable(said: &SaidVersion) -> Result<u32, String> {
    let SaidVersion { version, gives_api } = said;
    refuse_old(version)?;
    let shown = version.escape_debug();
    let needed = ort::MINOR_VERSION;
    match minor_of(version) {
        Some(minor) if *gives_api => Ok(minor),
        _ if is_later(version) => Err(format!(
            "it is version {shown}, which is too new: it does not give the interface of version \
             1.{needed}"
        )),
        _ => Err(format!("it says to be version {shown} and gives no API of version 1.{needed}")),
    }
}

/// The library `ort` has loaded; it keeps the first one for the life of the process.
pub(super) static ACTIVE: Mutex<Option<OnnxLibrary>> = Mutex::new(None);

/// The one environment of the process. Never dropped: a second one could not be built.
pub(super) static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

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
    let said =
        raw::version_of(&lib.path, ort::MINOR_VERSION).map_err(|reason| lib.unusable(reason))?;
    let minor = suitable(&said).map_err(|reason| lib.unusable(reason))?;
    lib.refuse_uploader(minor)?;
    // Only some files say it before they are loaded.
    let lib = &OnnxLibrary { version: said.version, ..lib.clone() };
    let builder = ort::init_from(&lib.path).map_err(|error| lib.unusable(error.to_string()))?;
    *active = Some(lib.clone());
    let environment = builder
        .with_name("wasm-engine")
        .with_telemetry(false)
        .build()
        .map_err(|error| lib.unusable(error.to_string()))?;
    // As of a session: what fails comes back as an error, and is not said again for each request.
    environment.set_log_level(LogLevel::Fatal);
    let _ = ENVIRONMENT.set(environment);
    tracing::info!(path = %lib.path.display(), version = lib.version, sha256 = lib.sha256,
        tested = LIBRARY_VERSION, "ONNX Runtime loaded");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_comes_from_the_file() {
        assert_eq!(version_tag(b"..\0VERS_x\0VERS_1.28.0\0..").as_deref(), Some("1.28.0"));
        assert_eq!(version_tag(b"..\0VERS_1.28\0"), None);
        assert_eq!((minor_of("1.28.0"), minor_of("2.1.0")), (Some(28), None));
    }

    fn reason(path: &Path) -> String {
        OnnxLibrary::identify(path, "a test").expect_err("is no library")
    }

    /// A library that says to be `version`, gives no API and names `tag` in its file.
    fn old_or_new(dir: &tempfile::TempDir, version: &str, tag: &str) -> Option<PathBuf> {
        let code = format!(
            "static const void *g(unsigned v) {{ return 0; }} \
             static const char *s(void) {{ return \"{version}\"; }} \
             static void *b[2] = {{g, s}}; void *OrtGetApiBase(void) {{ return b; }} \
             const char v[] = \"\\0{tag}\";"
        );
        compiled(dir, &code)
    }

    #[test]
    fn wrong_files_are_typed_errors() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join(LIBRARY_FILE);
        assert_eq!(reason(&path), "there is no such file");
        assert!(reason(dir.path()).contains("it is a folder; name the file in it"));
        fs::write(&path, b"text").expect("writes");
        assert!(reason(&path).contains("not a shared library"));
        let exe = fs::read(env::current_exe().expect("it has a path")).expect("readable");
        fs::write(&path, &exe[..64]).expect("writes");
        assert!(reason(&path).contains("not ONNX Runtime"));
        let library = b"\0OrtGetApiBase\0VERS_1.28.0\0";
        fs::write(&path, [&exe[..64], library].concat()).expect("writes");
        assert!(!cfg!(target_os = "linux") || reason(&path).contains("truncated"));
        // One for Windows; its machine is none that this program may be for.
        let mut other = b"MZ".to_vec();
        other.resize(60, 0);
        other.extend(b"\x40\0\0\0PE\0\0\x4c\x01\0OrtGetApiBase\0");
        fs::write(&path, &other).expect("writes");
        assert!(reason(&path).contains("a library for Windows on 32-bit x86, and this is "));
    }

    #[test]
    fn libraries_that_are_too_old_or_too_new_say_so_and_what_to_install() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // Most name their version in the file, and nothing of them is run.
        let Some(old) = old_or_new(&dir, "1.17.3", "VERS_1.17.3") else { return };
        assert!(reason(&old).contains("version 1.17.3, which is too old: 1.24 or later is needed"));
        for (version, words) in [
            ("1.17.3", "which is too old: 1.24 or later is needed"),
            ("0.5.0", "which is too old"),
            ("1.99.0", "which is too new: it does not give the interface of version 1.24"),
            ("2.0.1", "which is too new"),
            ("1.28.0", "says to be version 1.28.0 and gives no API of version 1.24"),
            ("no number", "says to be version no number and gives no API"),
        ] {
            let Some(path) = old_or_new(&dir, version, "none") else { return };
            let library = OnnxLibrary::identify(&path, "a test").expect("its file does not say");
            let said = raw::version_of(&path, ort::MINOR_VERSION).expect("it answers");
            let error = suitable(&said).expect_err("it does not suit");
            assert!(error.contains(words) && error.contains(version), "{error}");
            let text = library.unusable(error).to_string();
            assert!(text.contains("(from a test)") && text.contains("version 1.28.0"), "{text}");
        }
        assert!(is_later("1.28.1") && is_later("2.0") && !is_later("1.28.0") && !is_later("1.9"));
    }

    #[test]
    fn wrong_libraries_are_typed_errors() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // Libraries that say what ONNX Runtime would say and are none: they are loaded, and asked.
        for (code, words) in [
            ("void *OrtGetApiBase(void) { return 0; }", "gives no API"),
            ("static void *b[2]; void *OrtGetApiBase(void) { return b; }", "gives no API"),
            (
                "static const void *g(unsigned v) { return 0; } \
                 static const char *s(void) { return 0; } \
                 static void *b[2] = {g, s}; void *OrtGetApiBase(void) { return b; }",
                "gives no version",
            ),
        ] {
            let Some(fake) = compiled(&dir, &pinned(code)) else { return };
            let fake = OnnxLibrary::identify(&fake, "a test").expect("it looks like one");
            let error = raw::version_of(fake.path(), ort::MINOR_VERSION).expect_err("is none");
            assert!(error.contains(words), "{error}");
            // Another test may have started the real one meanwhile.
            assert!(matches!(
                init(&fake),
                Err(OnnxError::LibraryUnusable { .. } | OnnxError::LibraryActive { .. })
            ));
        }
        let code = "void *OrtGetApiBase(void) { return 0; }";
        let Some(cut) = compiled(&dir, &pinned(code)) else { return };
        let whole = fs::read(&cut).expect("reads");
        fs::write(&cut, &whole[..whole.len() - 1]).expect("writes");
        assert!(!cfg!(target_os = "linux") || reason(&cut).contains("it is truncated"));
        let fake = OnnxLibrary {
            path: cut,
            version: "1.28.0".to_owned(),
            sha256: String::new(),
            origin: "a test",
        };
        if env::var_os(TELEMETRY_ENV).is_none() {
            let library = OnnxLibrary { version: "1.29.0".to_owned(), ..fake };
            let error = library.refuse_uploader(29).expect_err("is not silenced");
            assert!(error.to_string().contains("ORT_DISABLE_TELEMETRY=1"));
        }
    }

    /// The code of a library whose file names the pinned version.
    fn pinned(code: &str) -> String {
        format!("{code} const char v[] = \"\\0VERS_1.28.0\";")
    }

    /// A shared library of `code`; `None`, aloud, without a compiler.
    fn compiled(dir: &tempfile::TempDir, code: &str) -> Option<PathBuf> {
        let source = dir.path().join("fake.c");
        let library = dir.path().join(format!("fake-{:x}.so", Sha256::digest(code)));
        fs::write(&source, format!("{code}\n")).expect("writes");
        let made = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-w", "-o"])
            .args([&library, &source])
            .status();
        match made {
            Ok(status) => assert!(status.success(), "the compiler fails: {code}"),
            Err(error) => {
                eprintln!("SKIPPED: no C compiler: {error}");
                return None;
            }
        }
        Some(library)
    }
}
