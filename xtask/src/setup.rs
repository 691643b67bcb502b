//! `cargo xtask setup`: what a run and the tests need beyond the crates.
//!
//! | what | where | without it |
//! |---|---|---|
//! | the wasm target of the toolchain | rustup | no modules of the example can be built |
//! | ONNX Runtime, checked by sha256 | `onnxruntime/` in the target directory | no inference |
//! | the modules of the weather example | `examples/weather/modules/` | the example cannot run |
//!
//! A part that is missing is said with its repair, and the others are done all the same: everything
//! but inference works without Python and network. When all is there, a stamp is left in the target
//! directory, and from then on a test that would be skipped for want of them is a failure.
//!
//! The library comes from the wheel on PyPI because there it has a fixed name and hash; `pip` only
//! downloads, nothing is installed. It is version 1.28.0: the last official build without an
//! uploader for telemetry.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::step::{Folders, Job, Times, cargo};

/// Version of ONNX Runtime; the kernel looks for this file name.
const ORT_VERSION: &str = "1.28.0";
/// The library in the wheel for CPython 3.11 on x86-64 Linux.
const ORT_SHA256: &str = "aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083";
/// Names another library; it wins.
const ORT_ENV: &str = "ORT_DYLIB_PATH";
const WASM_TARGET: &str = "wasm32-unknown-unknown";
/// Folder of the agents of the example, a workspace of its own.
const AGENTS: &str = "examples/weather/agents";
const MODULES: &str = "examples/weather/modules";

/// What came of the set-up: each part is there, or why it is not and what to do.
pub(crate) struct Prepared {
    /// The library file.
    pub(crate) inference: Result<PathBuf>,
    /// The modules of the example.
    pub(crate) modules: Result<Vec<PathBuf>>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Prepared {
    /// Whether everything is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.inference.is_ok() && self.modules.is_ok()
    }

    /// Says what is missing, on standard error.
    pub(crate) fn warn(&self) {
        if let Err(error) = &self.inference {
            eprintln!("warning: inference does not work: {error:#}");
        }
        if let Err(error) = &self.modules {
            eprintln!("warning: the weather example does not work: {error:#}");
        }
    }
}

/// The task.
///
/// # Errors
/// If any part is missing.
pub(crate) fn command((): ()) -> Result<()> {
    let setup = prepare(&Folders::find()?)?;
    setup.warn();
    if !setup.is_complete() {
        bail!("the set-up is not complete; repair what the warnings name and run it again");
    }
    println!("set-up complete in {:.1} s", setup.took.as_secs_f64());
    Ok(())
}

/// Does all parts and keeps the stamp.
///
/// # Errors
/// If the stamp cannot be written or removed; missing parts are in the result.
pub(crate) fn prepare(folders: &Folders) -> Result<Prepared> {
    let start = Instant::now();
    let mut times = Times::default();
    let stamp = folders.target.join("setup-ok");
    let inference = library(folders);
    times.add("ONNX Runtime", start.elapsed());
    let start_modules = Instant::now();
    let modules = wasm_target(folders).and_then(|()| build_modules(folders));
    times.add("modules", start_modules.elapsed());
    let setup = Prepared { inference, modules, took: start.elapsed() };
    if let (Ok(library), Ok(modules)) = (&setup.inference, &setup.modules) {
        let mut text = format!("{}\n", library.display());
        for module in modules {
            text += &format!("{} {}\n", sha256(module)?, module.display());
        }
        fs::write(&stamp, text)
            .with_context(|| format!("{} cannot be written", stamp.display()))?;
    } else if stamp.exists() {
        fs::remove_file(&stamp)
            .with_context(|| format!("{} cannot be removed", stamp.display()))?;
    }
    eprintln!("set-up: {times}");
    Ok(setup)
}

/// Finds or fetches the library.
///
/// # Errors
/// If it is neither there nor to be had.
pub(crate) fn library(folders: &Folders) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(ORT_ENV).filter(|path| !path.is_empty()) {
        let path = std::path::absolute(&path)?;
        ensure!(path.is_file(), "{ORT_ENV} names {}, which is no file; unset it", path.display());
        eprintln!("ONNX Runtime: {} as {ORT_ENV} says", path.display());
        return Ok(path);
    }
    let file = format!("libonnxruntime.so.{ORT_VERSION}");
    let folder = folders.target.join("onnxruntime");
    let path = folder.join(&file);
    if path.is_file() && sha256(&path)? == ORT_SHA256 {
        return Ok(path);
    }
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "there is a pinned library for x86-64 Linux only; get ONNX Runtime {ORT_VERSION} for this \
         machine and name the file with {ORT_ENV}"
    );
    let repair = format!(
        "it fetches ONNX Runtime {ORT_VERSION} and needs Python 3 with pip and network; repair \
         that and run `cargo xtask setup`, or name a library with {ORT_ENV}"
    );
    let work = folder.join("download");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work).with_context(|| format!("{} cannot be made", work.display()))?;
    download(&work, &repair)?;
    let found = work.join("onnxruntime/capi").join(&file);
    let hash = sha256(&found)?;
    ensure!(
        hash == ORT_SHA256,
        "{} has sha256 {hash} and should have {ORT_SHA256}; it is not used, look where pip \
         downloads from",
        found.display()
    );
    fs::rename(&found, &path).with_context(|| format!("{} cannot be written", path.display()))?;
    fs::remove_dir_all(&work)?;
    eprintln!("ONNX Runtime: {}", path.display());
    Ok(path)
}

/// Downloads the wheel into `work` and unpacks it there.
fn download(work: &Path, repair: &str) -> Result<()> {
    let wheel = format!("onnxruntime=={ORT_VERSION}");
    // Downloads are notes on standard error like all steps: pip prints to standard output.
    let pip = Job::new("python3", work)
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:"])
        .args(["--python-version", "3.11", "--abi", "cp311", "--implementation", "cp"])
        .args(["--platform", "manylinux_2_28_x86_64", "--disable-pip-version-check"])
        .args(["--retries", "2", "--timeout", "30", "--quiet", &wheel]);
    ensure_ok(pip, repair)?;
    let wheel = fs::read_dir(work)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip left no wheel behind; run `cargo xtask setup` again")?;
    let unzip = Job::new("python3", work).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(".");
    ensure_ok(unzip, repair)
}

/// Runs a step whose standard output is of no interest.
fn ensure_ok(step: Job, advice: &str) -> Result<()> {
    let captured = step.capture(advice)?;
    eprint!("{}", captured.stdout);
    ensure!(captured.code == Some(0), "`{}` failed; {advice}", captured.text);
    Ok(())
}

/// Adds the wasm target to the repository's toolchain where it is missing.
fn wasm_target(folders: &Folders) -> Result<()> {
    let sysroot = Job::new("rustc", &folders.root)
        .args(["--print", "sysroot"])
        .output("install Rust with rustup")?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(WASM_TARGET).is_dir() {
        return Ok(());
    }
    Job::new("rustup", &folders.root)
        .args(["target", "add", WASM_TARGET])
        .run("modules need this target: check rustup and the network, then run `cargo xtask setup`")
        .map(|_| ())
}

/// Builds the example's modules and copies those that changed to where the example looks for them.
fn build_modules(folders: &Folders) -> Result<Vec<PathBuf>> {
    let agents = folders.root.join(AGENTS);
    cargo(&agents)
        .args(["build", "--locked", "--release", "--target", WASM_TARGET, "--examples"])
        .arg("--target-dir")
        .arg(&folders.target)
        .env("CARGO_ENCODED_RUSTFLAGS", remap(folders))
        .run("the modules of examples/weather are built by it: read its message")?;
    let built = folders.target.join(WASM_TARGET).join("release/examples");
    let folder = folders.root.join(MODULES);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let mut names: Vec<String> = fs::read_dir(agents.join("modules"))
        .with_context(|| format!("{} cannot be read", agents.join("modules").display()))?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    let mut modules = Vec::new();
    for name in names {
        let (from, to) = (built.join(&name), folder.join(&name));
        let (from, to) = (from.with_extension("wasm"), to.with_extension("wasm"));
        let bytes = fs::read(&from).with_context(|| format!("{} was not built", from.display()))?;
        if !fs::read(&to).is_ok_and(|old| old == bytes) {
            fs::write(&to, &bytes)
                .with_context(|| format!("{} cannot be written", to.display()))?;
        }
        modules.push(to);
    }
    Ok(modules)
}

/// Flags that keep the paths of this machine out of the modules: the same source gives the same
/// bytes in any folder.
fn remap(folders: &Folders) -> String {
    let home = |name: &str, folder: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(folder)))
    };
    let mut from = vec![(folders.root.clone(), "/wasm-engine")];
    from.extend(home("CARGO_HOME", ".cargo").map(|path| (path, "/cargo")));
    from.extend(home("RUSTUP_HOME", ".rustup").map(|path| (path, "/rustup")));
    let flags: Vec<String> = from
        .iter()
        .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()))
        .collect();
    flags.join("\x1f")
}

/// Of a file, in lower-case hexadecimal.
fn sha256(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(format!("{:x}", Sha256::digest(bytes)))
}
