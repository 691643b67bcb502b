//! The bytes of a keyframe.
//!
//! ```text
//!  magic 8 | format u32 | abi u32 | run id 16 | tick u64 | digest 16
//!  | bytes of engine, core, run, agents u64 each | crc32c of each u32 | zeros 4 | crc32c u32
//!  engine (text) | core | run | agents
//! ```
//! Little-endian. The last word of the header is the crc32c of the header before it. The three axes
//! of its version are the format of this file, the ABI of what crosses to guests, and the engine;
//! one that is not known here is refused by name.
//!
//! A file is written as `keyframe.new`, synced, and renamed to `keyframe-TICK`: so one of that name
//! is whole, unless the disk lost what it had said to keep.

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
};

use bytemuck::{Pod, Zeroable, bytes_of, pod_read_unaligned};
use crc32c::crc32c;
use wasm_engine_abi::{ABI_VERSION, Digest, Tick};

use crate::storage::{Storage, StorageFile};

const MAGIC: [u8; 8] = *b"WEKEYFR\0";
/// Format of this file and of the core's and the run's part.
const FORMAT: u32 = 2;
/// Names of keyframes begin so; the tick follows, in as many digits as the longest has.
const PREFIX: &str = "keyframe-";
const DIGITS: usize = 20;
/// Name of one that is not whole yet.
#[cfg(feature = "writer")]
const NEW: &str = "keyframe.new";
const PARTS: usize = 4;
/// Bytes of the text that names an engine, at most.
const ENGINE_BYTES_MAX: u64 = 64 << 10;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct KeyframeHeader {
    magic: [u8; 8],
    format: u32,
    abi: u32,
    run_id: [u8; 16],
    tick: u64,
    digest: [u8; 16],
    bytes: [u64; PARTS],
    crcs: [u32; PARTS],
    zeros: u32,
    crc: u32,
}

const HEADER_BYTES: usize = size_of::<KeyframeHeader>();
const _: () = assert!(HEADER_BYTES == 112);

impl KeyframeHeader {
    /// The crc32c of all that stands before it.
    fn own_crc(&self) -> u32 {
        crc32c(&bytes_of(self)[..HEADER_BYTES - size_of::<u32>()])
    }
}

/// What a keyframe must be of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyframeTerms {
    /// Identifies the run, as in its log.
    pub run_id: [u8; 16],
    /// The engine, in words.
    pub engine: String,
}

/// The state of a run behind a tick.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Keyframe {
    /// The tick.
    pub tick: Tick,
    /// Its digest.
    pub digest: Digest,
    /// The state machine.
    pub core: Vec<u8>,
    /// What drives it: inputs left over, sequences, counts.
    pub run: Vec<u8>,
    /// Memory and globals of agents.
    pub agents: Vec<u8>,
}

/// Why a keyframe cannot be used or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyframeError {
    /// Another format of the file.
    #[error("{} has format {found}, this kernel reads {FORMAT}", .file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Another ABI.
    #[error("{} was written with ABI {found}, this kernel has {ABI_VERSION}", .file.display())]
    Abi {
        /// The file.
        file: PathBuf,
        /// Its ABI.
        found: u32,
    },
    /// Another engine.
    #[error("{} was written with engine \"{found}\", this is \"{here}\"", .file.display())]
    Engine {
        /// The file.
        file: PathBuf,
        /// Its engine.
        found: String,
        /// This one's.
        here: String,
    },
    /// Another run.
    #[error("{} is of another run or tick than its name and its log", .file.display())]
    Other {
        /// The file.
        file: PathBuf,
    },
    /// Its bytes are not those that were written.
    #[error("{} is damaged: {what}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// The file system.
    #[error("{} cannot be {action}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
}

fn name_of(tick: Tick) -> String {
    format!("{PREFIX}{tick:0DIGITS$}")
}

/// Ticks of the keyframes in a directory, ascending.
///
/// # Errors
/// [`KeyframeError::Io`].
pub fn ticks_of_keyframes(storage: &dyn Storage) -> Result<Vec<Tick>, KeyframeError> {
    let dir = || storage.dir().to_owned();
    let names = storage.names();
    let names =
        names.map_err(|source| KeyframeError::Io { file: dir(), action: "read", source })?;
    let tick = |name: &String| {
        let digits = name.strip_prefix(PREFIX).filter(|digits| digits.len() == DIGITS)?;
        digits.parse().ok()
    };
    let mut ticks: Vec<Tick> = names.iter().filter_map(tick).collect();
    ticks.sort_unstable();
    Ok(ticks)
}

/// Removes the keyframe of a tick.
///
/// # Errors
/// [`KeyframeError::Io`].
pub fn remove_keyframe(storage: &dyn Storage, tick: Tick) -> Result<(), KeyframeError> {
    let name = name_of(tick);
    let file = storage.dir().join(&name);
    let removed = storage.remove(&name);
    removed.map_err(|source| KeyframeError::Io { file, action: "removed", source })
}

/// Reads the keyframe of `tick` and checks every byte; no memory is taken for what is only
/// announced.
///
/// # Errors
/// [`KeyframeError`].
pub fn read_keyframe(
    storage: &dyn Storage,
    tick: Tick,
    terms: &KeyframeTerms,
) -> Result<Keyframe, KeyframeError> {
    let name = name_of(tick);
    let path = storage.dir().join(&name);
    let failed = |source| KeyframeError::Io { file: path.clone(), action: "read", source };
    let damaged = |what| KeyframeError::Damaged { file: path.clone(), what };
    let opened = storage.open(&name).map_err(failed)?;
    let bytes = opened.bytes().map_err(failed)?;
    let short = || damaged("it is too short");
    let head = read(&*opened, 0, HEADER_BYTES as u64, bytes).map_err(failed)?.ok_or_else(short)?;
    let header: KeyframeHeader = pod_read_unaligned(&head);
    if header.magic != MAGIC {
        return Err(damaged("it does not begin as a keyframe"));
    }
    // Before the checksum: of another format nobody knows where that lies.
    if header.format != FORMAT {
        return Err(KeyframeError::Format { file: path, found: header.format });
    }
    if header.crc != header.own_crc() {
        return Err(damaged("its header is not the one that was written"));
    }
    if header.abi != ABI_VERSION {
        return Err(KeyframeError::Abi { file: path, found: header.abi });
    }
    let announced = header.bytes.iter().try_fold(HEADER_BYTES as u64, |sum, n| sum.checked_add(*n));
    if announced != Some(bytes) || header.bytes[0] > ENGINE_BYTES_MAX {
        return Err(damaged("it is not as long as it says"));
    }
    let mut parts: [Vec<u8>; PARTS] = Default::default();
    let mut at = HEADER_BYTES as u64;
    for (part, (len, crc)) in parts.iter_mut().zip(header.bytes.into_iter().zip(header.crcs)) {
        *part = read(&*opened, at, len, bytes).map_err(failed)?.ok_or_else(short)?;
        if crc32c(part) != crc {
            return Err(damaged("a part is not the one that was written"));
        }
        at += len;
    }
    let [engine, core, run, agents] = parts;
    let found = String::from_utf8_lossy(&engine).into_owned();
    if found != terms.engine {
        return Err(KeyframeError::Engine { file: path, found, here: terms.engine.clone() });
    }
    if (header.run_id, header.tick) != (terms.run_id, tick) {
        return Err(KeyframeError::Other { file: path });
    }
    let digest = Digest::from_bytes(header.digest);
    Ok(Keyframe { tick, digest, core, run, agents })
}

/// `len` bytes from `at` on, of a file of `end` bytes; none if it has fewer.
fn read(file: &dyn StorageFile, at: u64, len: u64, end: u64) -> io::Result<Option<Vec<u8>>> {
    let there = at.checked_add(len).is_some_and(|last| last <= end);
    let Some(len) = usize::try_from(len).ok().filter(|_| there) else { return Ok(None) };
    let mut bytes = vec![0; len];
    let mut have = 0;
    while have < len {
        match file.read_at(&mut bytes[have..], at + have as u64) {
            Ok(0) => return Ok(None),
            Ok(more) => have += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(bytes))
}

/// Writes a keyframe under another name, syncs and renames it; gives its bytes.
///
/// # Errors
/// [`KeyframeError::Io`]; what was there before is still there.
#[cfg(feature = "writer")]
pub fn write_keyframe(
    storage: &dyn Storage,
    terms: &KeyframeTerms,
    keyframe: &Keyframe,
) -> Result<u64, KeyframeError> {
    let Keyframe { tick, digest, core, run, agents } = keyframe;
    let parts = [terms.engine.as_bytes(), core, run, agents];
    let mut header = KeyframeHeader {
        magic: MAGIC,
        format: FORMAT,
        abi: ABI_VERSION,
        run_id: terms.run_id,
        tick: *tick,
        digest: digest.to_bytes(),
        bytes: parts.map(|part| part.len() as u64),
        crcs: parts.map(crc32c),
        zeros: 0,
        crc: 0,
    };
    header.crc = header.own_crc();
    let name = name_of(*tick);
    let path = storage.dir().join(&name);
    let failed = |action| {
        let file = path.clone();
        move |source| KeyframeError::Io { file, action, source }
    };
    match storage.remove(NEW) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(failed("written")(error));
        }
        _ => {}
    }
    let mut file = storage.create(NEW).map_err(failed("created"))?;
    for part in [bytes_of(&header)].into_iter().chain(parts) {
        file.append(part).map_err(failed("written"))?;
    }
    file.sync().map_err(failed("synced"))?;
    drop(file);
    storage.rename(NEW, &name).map_err(failed("renamed"))?;
    storage.sync_dir().map_err(failed("synced"))?;
    Ok(HEADER_BYTES as u64 + header.bytes.iter().sum::<u64>())
}
