//! `cargo xtask setup`: what a run and the tests need beyond the crates.
//!
//! | what | where | without it |
//! |---|---|---|
//! | the wasm target of the toolchain | rustup | no modules of the examples can be built |
//! | ONNX Runtime, checked by sha256 | `onnxruntime/` in the target directory | no inference |
//! | the modules of the examples | `modules/` in the folder of each | the examples cannot run |
//! | models of two examples, checked by sha256 | `model/` in the folder of each | these two cannot run |
//! | the windows of the speech example | `examples/speech/windows.jsonl` | it cannot run |
//!
//! A part that is missing is said with its repair, and the others are done all the same: everything
//! but inference works without Python and network. When all is there, a stamp is left in the target
//! directory, and from then on a test that would be skipped for want of them is a failure.
//!
//! What is fetched, and from where, is the table in `download.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::download::{MODELS, ONNX_RUNTIME, sha256};
use crate::recordings;
use crate::step::{Folders, Job, Times, cargo};

/// Names another library; it wins.
const ORT_ENV: &str = "ORT_DYLIB_PATH";
const WASM_TARGET: &str = "wasm32-unknown-unknown";
/// The examples. The agents of each are a workspace of its own.
pub(crate) const EXAMPLES: [&str; 3] = ["filetypes", "speech", "weather"];

/// What came of the set-up: each part is there, or why it is not and what to do.
pub(crate) struct Prepared {
    /// The library file.
    pub(crate) inference: Result<PathBuf>,
    /// The modules of the examples.
    pub(crate) modules: Result<Vec<PathBuf>>,
    /// The models of the examples that do not bring their own.
    pub(crate) models: Result<Vec<PathBuf>>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Prepared {
    /// Whether everything is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.inference.is_ok() && self.modules.is_ok() && self.models.is_ok()
    }

    /// Says what is missing, on standard error.
    pub(crate) fn warn(&self) {
        if let Err(error) = &self.inference {
            eprintln!("warning: inference does not work: {error:#}");
        }
        if let Err(error) = &self.modules {
            eprintln!("warning: the examples do not work: {error:#}");
        }
        if let Err(error) = &self.models {
            eprintln!("warning: the examples filetypes and speech do not work: {error:#}");
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
    let start_models = Instant::now();
    let models = models(folders);
    times.add("models", start_models.elapsed());
    let setup = Prepared { inference, modules, models, took: start.elapsed() };
    if let (Ok(library), Ok(modules), Ok(models)) =
        (&setup.inference, &setup.modules, &setup.models)
    {
        let mut text = format!("{}\n", library.display());
        for file in modules.iter().chain(models) {
            text += &format!("{} {}\n", sha256(file)?, file.display());
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
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "there is a pinned library for x86-64 Linux only; get ONNX Runtime {} for this machine \
         as docs/MODELS.md says and name the file with {ORT_ENV}",
        ONNX_RUNTIME.version()
    );
    let instead = format!(", or name a library with {ORT_ENV}");
    let mut paths = ONNX_RUNTIME.fetch(folders, &instead)?;
    paths.pop().context("the table names no library")
}

/// Fetches the models, and cuts up what one of them listens to.
fn models(folders: &Folders) -> Result<Vec<PathBuf>> {
    let mut paths = vec![recordings::prepare(&folders.root)?];
    for package in &MODELS {
        paths.extend(package.fetch(folders, "")?);
    }
    Ok(paths)
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

/// Builds the modules of all examples.
fn build_modules(folders: &Folders) -> Result<Vec<PathBuf>> {
    let mut modules = Vec::new();
    for example in EXAMPLES {
        modules.extend(build_example(folders, example)?);
    }
    Ok(modules)
}

/// Builds an example's modules and copies those that changed to where the example looks for them.
fn build_example(folders: &Folders, example: &str) -> Result<Vec<PathBuf>> {
    let folder = folders.root.join("examples").join(example);
    let agents = folder.join("agents");
    cargo(&agents)
        .args(["build", "--locked", "--release", "--target", WASM_TARGET, "--examples"])
        .arg("--target-dir")
        .arg(&folders.target)
        .env("CARGO_ENCODED_RUSTFLAGS", remap(folders))
        .run("the modules of an example are built by it: read its message")?;
    let built = folders.target.join(WASM_TARGET).join("release/examples");
    let folder = folder.join("modules");
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
