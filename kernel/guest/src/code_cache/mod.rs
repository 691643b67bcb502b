//! Compiled modules, kept between runs: a module is compiled once for each engine that runs it.
//!
//! Why: compiling takes 50 to 1,000 times as long as everything else before the first tick.
//!
//! ```text
//!  FOLDER/key          32 random bytes, made once          folder.rs: whose folder it is, files
//!  FOLDER/NAME         tag of 32 bytes, then the code      here: names, tags, the engine
//! ```
//! `NAME` is the hash of all that decides the code: the instrumented module, the engine's settings
//! and version, the processor's features, the version of this format. So nothing is ever out of
//! date, and two engines never share a file. The tag is a keyed hash of name and code.
//!
//! **Against whom.** The engine checks next to nothing of compiled code: of nearly all flipped bits
//! it makes other machine code. So only code is used that this user wrote:
//!
//! - Another user cannot write into the folder, else it is not used ([`CacheError`]), and cannot
//!   read the key, without which no tag can be made.
//! - A program of the same user can read the key and forge code. It could as well change this
//!   program, or the modules.
//! - Whatever else changes a file (a disk, a cut write, a file put under another's name, a folder
//!   copied from elsewhere) changes the tag: the module is compiled and the file replaced.
//!
//! What the cache decides is time, never a result: the code is what the compiler would make.
//! Nothing that goes wrong here fails a run. It does not decide where the folder is: a host that
//! names none has no cache.

mod error;
mod folder;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;

use wasm_engine_setup::EngineFingerprint;
use wasmtime::Module;

pub use self::error::CacheError;
use self::folder::Folder;
use crate::engine::{Engine, fingerprint};

/// What names are derived for; another version is another format.
const CONTEXT: &str = "wasm-engine 2025 compiled module, version 1";
const TAG_BYTES: usize = 32;
/// Largest file that is read or written; a module of the largest size has less.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// How much a folder may hold; the files that were not used for the longest time go first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bounds {
    files_max: usize,
    bytes_max: u64,
}

const BOUNDS: Bounds = Bounds { files_max: 256, bytes_max: 1 << 30 };

/// Where the code of a module came from.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Origin {
    /// It was compiled now, and nothing was to be kept.
    Compiled,
    /// It was compiled now and is kept.
    Kept,
    /// It was compiled now and is not kept, for this reason.
    NotKept(String),
    /// It was compiled earlier.
    Cache,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiled => f.write_str("compiled"),
            Self::Kept => f.write_str("compiled, and kept for the next run"),
            Self::NotKept(reason) => write!(f, "compiled, and cannot be kept: {reason}"),
            Self::Cache => f.write_str("compiled earlier"),
        }
    }
}

/// A folder with compiled modules that this user may trust.
#[derive(Debug)]
pub struct CodeCache {
    folder: Folder,
    key: [u8; 32],
    bounds: Bounds,
}

impl CodeCache {
    /// Opens the folder at `path`, which is made with its parents if missing, and its key.
    ///
    /// # Errors
    /// [`CacheError`]: what is wrong and what to do; go on without a cache.
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        let folder = Folder::open(path)?;
        let key = folder.key()?;
        Ok(Self { folder, key, bounds: BOUNDS })
    }

    /// The code of `wasm`, an admitted and instrumented module: kept, or compiled and then kept.
    pub(crate) fn module(
        &self,
        engine: &Engine,
        wasm: &[u8],
    ) -> wasmtime::Result<(Module, Origin)> {
        let name = name(&fingerprint(engine), engine.wasmtime(), wasm);
        if let Some(module) = self.kept(engine, &name) {
            return Ok((module, Origin::Cache));
        }
        let module = Module::new(engine.wasmtime(), wasm)?;
        let origin = match self.keep(&name, &module) {
            Ok(()) => Origin::Kept,
            Err(reason) => Origin::NotKept(reason),
        };
        Ok((module, origin))
    }

    /// The code under `name`, if it is there and whole.
    fn kept(&self, engine: &Engine, name: &str) -> Option<Module> {
        // All of it is read before any is checked: what the file becomes later is of no interest.
        let file = self.folder.read(name, FILE_BYTES_MAX).ok()?;
        let (tag, code) = file.split_first_chunk::<TAG_BYTES>()?;
        // Compared in constant time.
        if self.tag(name, code) != blake3::Hash::from_bytes(*tag) {
            return None;
        }
        let module = deserialize(engine.wasmtime(), code).ok()?;
        self.folder.touch(name);
        Some(module)
    }

    fn keep(&self, name: &str, module: &Module) -> Result<(), String> {
        let code = module.serialize().map_err(|error| error.to_string())?;
        if code.len() as u64 > FILE_BYTES_MAX - TAG_BYTES as u64 {
            return Err(format!("it has {} bytes", code.len()));
        }
        let tag = self.tag(name, &code);
        let write = self.folder.write(name, &[tag.as_bytes(), &code]);
        write.map_err(|error| error.to_string())?;
        self.folder.prune(self.bounds.files_max, self.bounds.bytes_max);
        Ok(())
    }

    fn tag(&self, name: &str, code: &[u8]) -> blake3::Hash {
        // A name has always the same length.
        blake3::Hasher::new_keyed(&self.key).update(name.as_bytes()).update(code).finalize()
    }
}

/// The engine's module from code that [`Module::serialize`] gave.
#[expect(unsafe_code, reason = "compiled code is trusted by whoever hands it over")]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: the bytes must be the unmodified output of `Module::serialize`, of any version. They
    // are in memory of this process, and their keyed hash was found right a moment ago, under a key
    // that only this user can read; whoever has the key makes tags in `keep` alone, of what
    // `Module::serialize` has just given. What that was made for (version, processor, settings) the
    // engine checks itself, and the tag covers the name, which is a hash of it.
    unsafe { Module::deserialize(engine, code) }
}

/// The name of the file with the code of `wasm` for `engine`, which has these `settings`.
fn name(settings: &EngineFingerprint, engine: &wasmtime::Engine, wasm: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    // Settings that decide bits, version, prices and instrumentation.
    for part in [settings.to_string().as_bytes(), &settings.cost_table_hash, wasm] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    // Whatever the compiler reads: target, features of the processor, layout of memories.
    engine.precompile_compatibility_hash().hash(&mut Feed(&mut hasher));
    hasher.finalize().to_hex().to_string()
}

/// Hands what is hashed on, instead of making 64 bits of it.
struct Feed<'a>(&'a mut blake3::Hasher);

impl Hasher for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("what feeds asks for no hash")
    }
}

#[cfg(test)]
mod tests;
