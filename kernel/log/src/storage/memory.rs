//! Files in memory, with the effects of crashes and failing disks.
//!
//! For tests: any operation fails when told to, every operation is a moment at which the machine
//! can crash, and what a crash leaves is chosen within what `storage/mod.rs` allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::storage::{Lock, Storage, StorageFile};

/// The system's number for a full disk.
pub const ENOSPC: i32 = 28;
/// The system's number for a failing disk.
pub const EIO: i32 = 5;

/// What a storage is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// [`Storage::create_dir`].
    CreateDir,
    /// [`Storage::sync_parent`].
    SyncParent,
    /// [`Storage::lock`].
    Lock,
    /// [`Storage::names`].
    Names,
    /// [`Storage::open`].
    Open,
    /// [`Storage::open_append`].
    OpenAppend,
    /// [`Storage::create`].
    Create,
    /// [`Storage::remove`].
    Remove,
    /// [`Storage::rename`].
    Rename,
    /// [`Storage::sync_dir`].
    SyncDir,
    /// [`StorageFile::bytes`].
    Bytes,
    /// [`StorageFile::read_at`].
    ReadAt,
    /// [`StorageFile::append`]; if it fails, the first half of its bytes is written.
    Append,
    /// [`StorageFile::truncate`].
    Truncate,
    /// [`StorageFile::sync`].
    Sync,
}

/// One operation that fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Its kind; `None` counts all kinds.
    pub operation: Option<Operation>,
    /// How many of the kind succeed before it, from now on.
    pub after: u64,
    /// Number of the system's error.
    pub code: i32,
}

/// What a crash leaves of what was not durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Survival {
    /// Whether names created or removed since the directory's last sync stay so; the directory too.
    pub names: bool,
    /// How many bytes of each file's unsynced end are there. With 0 a truncation is undone.
    pub unsynced_bytes: usize,
    /// Whether zeros take the place of the other unsynced bytes; else the file ends before them.
    pub zeros: bool,
}

impl Survival {
    /// Everything written, as after the end of the process alone.
    pub const ALL: Self = Self { names: true, unsynced_bytes: usize::MAX, zeros: false };
    /// Nothing but what was synced.
    pub const SYNCED: Self = Self { names: false, unsynced_bytes: 0, zeros: false };
}

/// A moment at which the machine can crash: the start of an operation.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The operation that was about to begin.
    pub operation: Operation,
    /// What [`Memory::record`]'s function returned then.
    pub note: Option<u64>,
    dir: PathBuf,
    files: Files,
}

impl Moment {
    /// The storage as it is found after a crash at this moment.
    #[must_use]
    pub fn crash(&self, survival: Survival) -> Memory {
        Memory::holding(&self.dir, self.files.crash(survival))
    }

    /// The most unsynced bytes that a file has.
    #[must_use]
    pub fn unsynced_bytes(&self) -> usize {
        self.files.open.iter().map(File::unsynced_bytes).max().unwrap_or(0)
    }
}

/// A directory in memory. Clones are the same directory.
#[derive(Clone, Debug)]
pub struct Memory {
    dir: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Memory {
    /// A directory that does not exist yet; errors call it `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self::holding(&dir.into(), Files::default())
    }

    fn holding(dir: &Path, files: Files) -> Self {
        let state = State { files, ..State::default() };
        Self { dir: dir.to_owned(), state: Arc::new(Mutex::new(state)) }
    }

    /// Lets one operation fail.
    pub fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// Operations so far, failed ones included.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Whether the fault set last has happened.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.state().failed
    }

    /// Keeps the moment before each operation from now on, with what `note` returns then.
    pub fn record(&self, note: impl Fn() -> Option<u64> + Send + 'static) {
        self.state().note = Some(Note(Box::new(note)));
    }

    /// The moments kept.
    #[must_use]
    pub fn moments(&self) -> Vec<Moment> {
        self.state().moments.clone()
    }

    /// A copy of the storage as it is found after a crash now.
    #[must_use]
    pub fn crash(&self, survival: Survival) -> Self {
        Self::holding(&self.dir, self.state().files.crash(survival))
    }

    /// A copy of the storage as the next process finds it when this one has ended: all is there,
    /// and what was not synced is still not.
    #[must_use]
    pub fn process_ended(&self) -> Self {
        let files = self.state().files.clone();
        Self::holding(&self.dir, files)
    }

    /// A copy of the storage as it is found after a crash now: for each name and each file `below`
    /// gives a number under the one it gets, and so chooses what survives.
    #[must_use]
    pub fn crash_by(&self, below: &mut dyn FnMut(u64) -> u64) -> Self {
        Self::holding(&self.dir, self.state().files.crash_by(below))
    }

    /// After so many more operations the machine stops: from then on every operation fails without
    /// effect, but that of an append the first half is written.
    pub fn stop_after(&self, operations: u64) {
        let mut state = self.state();
        state.stops_at = Some(state.operations + operations);
    }

    /// Whether the machine has stopped.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        let state = self.state();
        state.stops_at.is_some_and(|at| state.operations > at)
    }

    /// Files that the directory names.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state().files.names.len()
    }

    /// Changes one bit of a file, as a failing disk does; false if there is no such byte.
    pub fn damage(&self, name: &str, byte: usize, bit: u32) -> bool {
        let state = &mut *self.state();
        let Some(file) = state.files.names.get(name) else { return false };
        let file = &mut state.files.open[*file];
        let there = file.bytes.get_mut(byte);
        let found = there.map(|byte| *byte ^= 1 << (bit % 8)).is_some();
        file.synced = file.bytes.clone();
        found
    }

    /// Syncs that come from now on do nothing, as on a disk that lies; for tests of tests.
    pub fn ignore(&self, operation: Option<Operation>) {
        self.state().ignored = operation;
    }

    /// The content of a file.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.files.names.get(name).map(|file| state.files.open[*file].bytes.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an operation: keeps the moment, fails if this one is to.
    fn begin(&self, operation: Operation) -> (MutexGuard<'_, State>, io::Result<()>) {
        let mut state = self.state();
        state.operations += 1;
        if let Some(note) = &state.note {
            let (note, dir, files) = ((note.0)(), self.dir.clone(), state.files.clone());
            state.moments.push(Moment { operation, note, dir, files });
        }
        let stopped = state.stops_at.is_some_and(|at| state.operations > at);
        if stopped {
            return (state, Err(io::Error::from_raw_os_error(EIO)));
        }
        let result = match &mut state.fault {
            Some(fault) if fault.operation.is_none_or(|kind| kind == operation) => {
                match fault.after.checked_sub(1) {
                    Some(after) => {
                        fault.after = after;
                        Ok(())
                    }
                    None => Err(io::Error::from_raw_os_error(fault.code)),
                }
            }
            _ => Ok(()),
        };
        if result.is_err() {
            (state.fault, state.failed) = (None, true);
        }
        (state, result)
    }

    /// As `begin`, for an operation without effect if it fails.
    fn enter(&self, operation: Operation) -> io::Result<MutexGuard<'_, State>> {
        let (state, result) = self.begin(operation);
        result.map(|()| state)
    }

    fn file(&self, index: usize) -> Box<dyn StorageFile> {
        Box::new(MemoryFile { storage: self.clone(), index })
    }

    fn find(&self, operation: Operation, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let state = self.enter(operation)?;
        match state.files.names.get(name) {
            Some(index) => Ok(self.file(*index)),
            None => Err(ErrorKind::NotFound.into()),
        }
    }
}

impl Storage for Memory {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn create_dir(&self) -> io::Result<()> {
        self.enter(Operation::CreateDir)?.files.exists = true;
        Ok(())
    }

    fn sync_parent(&self) -> Result<(), (PathBuf, io::Error)> {
        let parent = |error| (self.dir.parent().unwrap_or(&self.dir).to_owned(), error);
        let mut state = self.enter(Operation::SyncParent).map_err(parent)?;
        state.files.exists_synced = state.files.exists;
        Ok(())
    }

    fn lock(&self) -> io::Result<Option<Lock>> {
        let mut state = self.enter(Operation::Lock)?;
        if !state.files.exists {
            return Err(ErrorKind::NotFound.into());
        }
        if std::mem::replace(&mut state.locked, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(MemoryLock(self.clone()))))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let state = self.enter(Operation::Names)?;
        if state.files.exists {
            Ok(state.files.names.keys().cloned().collect())
        } else {
            Err(ErrorKind::NotFound.into())
        }
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.find(Operation::Open, name)
    }

    fn open_append(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.find(Operation::OpenAppend, name)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.enter(Operation::Create)?;
        if !state.files.exists {
            return Err(ErrorKind::NotFound.into());
        }
        if state.files.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let index = state.files.open.len();
        state.files.open.push(File::default());
        state.files.names.insert(name.to_owned(), index);
        Ok(self.file(index))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.enter(Operation::Remove)?.files.names.remove(name);
        removed.map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.enter(Operation::Rename)?;
        let file = state.files.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.files.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.enter(Operation::SyncDir)?;
        if state.ignored == Some(Operation::SyncDir) {
            return Ok(());
        }
        state.files.names_synced = state.files.names.clone();
        Ok(())
    }
}

struct MemoryLock(Memory);

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}

#[derive(Debug)]
struct MemoryFile {
    storage: Memory,
    index: usize,
}

impl StorageFile for MemoryFile {
    fn bytes(&self) -> io::Result<u64> {
        let state = self.storage.enter(Operation::Bytes)?;
        Ok(state.files.open[self.index].bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.storage.enter(Operation::ReadAt)?;
        let bytes = state.files.open[self.index].bytes.get(offset as usize..).unwrap_or(&[]);
        let len = bytes.len().min(buffer.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut state, result) = self.storage.begin(Operation::Append);
        // Only the first operation after which the machine stands still has an effect.
        let late = state.stops_at.is_some_and(|at| state.operations > at + 1);
        let written = match &result {
            Ok(()) => bytes,
            Err(_) if late => &[],
            Err(_) => &bytes[..bytes.len() / 2],
        };
        state.files.open[self.index].bytes.extend_from_slice(written);
        result
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.storage.enter(Operation::Truncate)?;
        state.files.open[self.index].bytes.truncate(bytes as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.storage.enter(Operation::Sync)?;
        if state.ignored == Some(Operation::Sync) {
            return Ok(());
        }
        let file = &mut state.files.open[self.index];
        file.synced = file.bytes.clone();
        Ok(())
    }
}

#[derive(Debug, Default)]
struct State {
    files: Files,
    locked: bool,
    operations: u64,
    fault: Option<Fault>,
    failed: bool,
    /// Operations after which the machine stands still.
    stops_at: Option<u64>,
    /// What is said to be done and is not.
    ignored: Option<Operation>,
    note: Option<Note>,
    moments: Vec<Moment>,
}

struct Note(Box<dyn Fn() -> Option<u64> + Send>);

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Note")
    }
}

/// The directory and its files, as they are and as they are durable.
#[derive(Clone, Debug, Default)]
struct Files {
    exists: bool,
    exists_synced: bool,
    /// Index in `open` by name.
    names: BTreeMap<String, usize>,
    names_synced: BTreeMap<String, usize>,
    /// All files ever created, removed ones too.
    open: Vec<File>,
}

impl Files {
    fn crash(&self, survival: Survival) -> Self {
        let (exists, names) = match survival.names {
            true => (self.exists, &self.names),
            false => (self.exists_synced, &self.names_synced),
        };
        if !exists {
            return Self::default();
        }
        let open = self.open.iter().map(|file| file.crash(survival)).collect();
        let (names, names_synced) = (names.clone(), names.clone());
        Self { exists, exists_synced: exists, names, names_synced, open }
    }

    /// As `crash`, each name and each file for itself.
    fn crash_by(&self, below: &mut dyn FnMut(u64) -> u64) -> Self {
        let exists = self.exists_synced || (self.exists && below(2) == 0);
        if !exists {
            return Self::default();
        }
        let mut names = BTreeMap::new();
        let all: BTreeSet<&String> = self.names.keys().chain(self.names_synced.keys()).collect();
        for name in all {
            let (now, synced) = (self.names.get(name), self.names_synced.get(name));
            let kept = if now == synced || below(2) == 0 { now } else { synced };
            names.extend(kept.map(|file| (name.clone(), *file)));
        }
        let open = self.open.iter().map(|file| {
            let most = file.unsynced_bytes() as u64;
            let unsynced_bytes = match below(4) {
                0 => 0,
                1 => usize::MAX,
                // No boundary of sectors, behind which there are zeros, cuts 8 aligned bytes.
                _ => (below(most + 1) as usize).next_multiple_of(8),
            };
            file.crash(Survival { names: true, unsynced_bytes, zeros: below(4) == 0 })
        });
        let open = open.collect();
        Self { exists, exists_synced: exists, names: names.clone(), names_synced: names, open }
    }
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// Its content when it was synced last.
    synced: Vec<u8>,
}

impl File {
    fn unsynced_bytes(&self) -> usize {
        self.bytes.len().saturating_sub(self.synced.len())
    }

    fn crash(&self, survival: Survival) -> Self {
        let mut bytes = self.bytes.clone();
        if bytes.starts_with(&self.synced) {
            bytes.truncate(self.synced.len().saturating_add(survival.unsynced_bytes));
            if survival.zeros {
                bytes.resize(self.bytes.len(), 0);
            }
        } else if survival.unsynced_bytes == 0 {
            bytes = self.synced.clone();
        }
        Self { synced: bytes.clone(), bytes }
    }
}
