//! The shared library: found, identified without running any of its code, loaded once.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use sha2::{Digest, Sha256};

use crate::onnx::error::OnnxError;
use crate::onnx::pinned::{LIBRARY_ENV, LIBRARY_FILE, TELEMETRY_ENV};
use crate::onnx::{elf, raw};

/// First minor version whose official Linux builds contain the uploader.
const UPLOADER_MINOR: u32 = 29;

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
        let bytes = fs::read(&path).map_err(|error| error.to_string())?;
        if cfg!(target_os = "linux") && !bytes.starts_with(b"\x7fELF") {
            return Err("it is not a shared library".to_owned());
        }
        if find(&bytes, b"OrtGetApiBase\0").is_none() {
            return Err("it is not ONNX Runtime".to_owned());
        }
        if cfg!(target_os = "linux") {
            refuse_truncated(&bytes)?;
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
    for path in candidates(&exe) {
        match OnnxLibrary::identify(&path, "the search") {
            Ok(library) => return Ok(library),
            Err(reason) => tried.push(format!("{}: {reason}", path.display())),
        }
    }
    Err(OnnxError::LibraryNotFound { tried: tried.join(", ") })
}

/// The locations of the search, in order. Only cargo's own target directory, known by a file that
/// cargo writes into it, extends the search upwards: no code is picked up from a stray parent
/// folder.
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

fn too_old(minor: u32) -> String {
    format!("it is version 1.{minor}, and 1.{} or later is needed", ort::MINOR_VERSION)
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
    let version =
        raw::version_of(&lib.path, ort::MINOR_VERSION).map_err(|reason| lib.unusable(reason))?;
    let minor = minor_of(&version)
        .ok_or_else(|| lib.unusable(format!("it is version {}", version.escape_debug())))?;
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
    // As of a session: what fails comes back as an error, and is not said again for each request.
    environment.set_log_level(LogLevel::Fatal);
    let _ = ENVIRONMENT.set(environment);
    tracing::info!(path = %lib.path.display(), version = lib.version, sha256 = lib.sha256,
        "ONNX Runtime loaded");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_goes_up_to_cargos_target_directory_only() {
        let project = tempfile::tempdir().expect("a directory");
        let target = project.path().join("target");
        let exe = target.join("debug/deps/test");
        fs::create_dir_all(exe.parent().expect("it has one")).expect("writable");
        let wanted = target.join("onnxruntime").join(LIBRARY_FILE);
        assert!(!candidates(&exe).contains(&wanted), "nothing marks it as cargo's");
        for file in ["CACHEDIR.TAG", ".rustc_info.json"] {
            fs::write(target.join(file), "").expect("writable");
            assert!(candidates(&exe).contains(&wanted), "{file}");
            fs::remove_file(target.join(file)).expect("just written");
        }
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
        fs::write(&path, b"\x7fELF\0OrtGetApiBase\0VERS_1.28.0\0").expect("writes");
        assert!(reason(&path).contains("truncated"));
        // Libraries that say what ONNX Runtime would say and are none: they are loaded, and asked.
        for (code, words) in [
            ("void *OrtGetApiBase(void) { return 0; }", "gives no API"),
            ("static void *b[2]; void *OrtGetApiBase(void) { return b; }", "gives no API"),
            (
                "static const void *g(unsigned v) { return 0; } \
                 static const char *s(void) { return \"1.28.0\"; } \
                 static void *b[2] = {g, s}; void *OrtGetApiBase(void) { return b; }",
                "gives no API of version 1.24",
            ),
            (
                "static const void *g(unsigned v) { return 0; } \
                 static const char *s(void) { return 0; } \
                 static void *b[2] = {g, s}; void *OrtGetApiBase(void) { return b; }",
                "gives no version",
            ),
        ] {
            let Some(fake) = compiled(&dir, code) else { return };
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
        let Some(cut) = compiled(&dir, code) else { return };
        let whole = fs::read(&cut).expect("reads");
        fs::write(&cut, &whole[..whole.len() - 1]).expect("writes");
        assert!(reason(&cut).contains("it is truncated"));
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
    /// A shared library of `code` that names the pinned version; `None`, aloud, without a compiler.
    fn compiled(dir: &tempfile::TempDir, code: &str) -> Option<PathBuf> {
        let source = dir.path().join("fake.c");
        let library = dir.path().join(format!("fake-{:x}.so", Sha256::digest(code)));
        fs::write(&source, format!("{code} const char v[] = \"\\0VERS_1.28.0\";\n"))
            .expect("writes");
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
