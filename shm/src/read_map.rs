//! A region as a monitor holds it: memory that is only ever read, and never raises a signal.
//!
//! ```text
//!  sealed memory   mapped without write permission    a load is a load
//!  plain file      read through its descriptor        a load is a system call
//! ```
//! Whoever may write a plain file can truncate it, and reading a mapping behind its end raises
//! SIGBUS. So a plain file is not mapped: each load of its words is a `pread`, which returns fewer
//! bytes instead. From the first short read on the file counts as lost: every word then reads as
//! zero, which each protocol takes for memory in which nothing was published, so that nothing half
//! there is taken for whole; [`ReadMap::check`] returns the reason.
//!
//! The protocols run on both unchanged. Their payloads are validated by two loads of a sequence,
//! which works for bytes as for words; the sequences, and every word read alone, are loaded until
//! two loads agree, because nothing guarantees that a system call copies a word in one piece.
//!
//! What this does not do: it knows no layout, and it cannot keep a writer of a plain file from
//! writing nonsense into it. That is checked like everything else that is read.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use memmap2::MmapOptions;

use crate::lease::{Leases, Protocol, SetupError, Side};
use crate::map::{LEN_MAX, MapBacking, MapError, failed};
use crate::mem::{ALIGN, Mem, Ordering, RawMem, WORD};
use crate::os;
use crate::site::Site;

/// Further loads of a word that keeps changing, before the last value is taken.
const RELOADS_MAX: u32 = 4;

/// Memory of another process, for reading.
#[derive(Debug)]
pub struct ReadMap {
    mem: ReadMem,
    name: String,
}

impl ReadMap {
    /// Opens an existing region: the path of a file, or `/proc/PID/fd/N` of sealed memory. Nothing
    /// is written, ever: neither the mapping nor the file has write permission.
    ///
    /// # Errors
    /// [`MapError::NotAFile`], [`MapError::Length`] or [`MapError::Io`].
    pub fn open(path: &Path) -> Result<Self, MapError> {
        let name = path.display().to_string();
        let mut options = OpenOptions::new();
        options.read(true);
        os::harmless(&mut options);
        let file = options.open(path).map_err(failed("open", name.as_str()))?;
        Self::of(name, file)
    }

    /// As [`ReadMap::open`], for a file that is open.
    ///
    /// # Errors
    /// As [`ReadMap::open`].
    pub fn of(name: String, file: File) -> Result<Self, MapError> {
        let facts = file.metadata().map_err(failed("inspect", name.as_str()))?;
        if !facts.is_file() {
            return Err(MapError::NotAFile { name });
        }
        let len = facts.len();
        if !(ALIGN as u64..=LEN_MAX).contains(&len) {
            return Err(MapError::Length { name, len });
        }
        if os::cannot_shrink(&file) {
            let map = MmapOptions::new().map_raw_read_only(&file);
            let mem = RawMem::mapping(map.map_err(failed("map", name.as_str()))?, false);
            return Ok(Self { mem: ReadMem(ReadBacking::Mapped(mem)), name });
        }
        let Ok(whole) = usize::try_from(len / WORD as u64 * WORD as u64) else {
            return Err(MapError::Length { name, len });
        };
        let shared = SharedFile { file, lost: AtomicBool::new(false), leases: Leases::default() };
        let file = FileMem { shared: Arc::new(shared), offset: 0, len: whole };
        Ok(Self { mem: ReadMem(ReadBacking::File(file)), name })
    }

    /// A copy of a region's bytes in memory of this process; rounded up to whole blocks of 128
    /// bytes. For a region that was saved or came from somewhere else.
    ///
    /// # Panics
    /// If there are no bytes.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mem = ReadMem(ReadBacking::Mapped(RawMem::copy_of(bytes)));
        Self { mem, name: "a copy".to_owned() }
    }

    /// The whole memory.
    #[must_use]
    pub fn mem(&self) -> ReadMem {
        self.mem.clone()
    }

    /// Length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.mem.len_bytes()
    }

    /// What it is made of.
    #[must_use]
    pub fn backing(&self) -> MapBacking {
        match &self.mem.0 {
            // A copy is this process's own: it cannot shrink either.
            ReadBacking::Mapped(_) => MapBacking::SealedMemory,
            ReadBacking::File(_) => MapBacking::File,
        }
    }

    /// Whether all of it could be read so far and its file, if it is one, still has its length.
    /// Call it after reading: what was read of a lost file must not be used.
    ///
    /// # Errors
    /// [`MapError::Lost`], now and for ever.
    pub fn check(&self) -> Result<(), MapError> {
        let ReadBacking::File(file) = &self.mem.0 else { return Ok(()) };
        let expected = file.len as u64;
        let now = file.shared.file.metadata().map_or(0, |facts| facts.len());
        if now < expected {
            file.shared.lose();
        }
        if file.shared.is_lost() {
            return Err(MapError::Lost { name: self.name.clone(), expected, now });
        }
        Ok(())
    }
}

/// A range of a [`ReadMap`]. Only watching sides of protocols can be opened on it.
#[derive(Clone, Debug)]
pub struct ReadMem(ReadBacking);

#[derive(Clone, Debug)]
enum ReadBacking {
    Mapped(RawMem),
    File(FileMem),
}

/// A range of a file that is not mapped.
#[derive(Clone, Debug)]
struct FileMem {
    shared: Arc<SharedFile>,
    offset: usize,
    len: usize,
}

/// The file that all ranges share.
#[derive(Debug)]
struct SharedFile {
    file: File,
    /// Set by the first read that fails, never cleared.
    lost: AtomicBool,
    leases: Leases,
}

impl SharedFile {
    fn is_lost(&self) -> bool {
        // Relaxed: the flag publishes nothing; a thread sees its own failed reads at once.
        self.lost.load(Ordering::Relaxed)
    }

    fn lose(&self) {
        // Relaxed: as above.
        self.lost.store(true, Ordering::Relaxed);
    }
}

impl FileMem {
    /// Copies bytes; zeros once the file is lost.
    fn read(&self, byte: usize, dst: &mut [u8]) {
        let inside = byte <= self.len && dst.len() <= self.len - byte;
        assert!(inside, "bytes out of range of the file");
        if self.shared.is_lost() || !self.fill(byte, dst) {
            self.shared.lose();
            dst.fill(0);
        }
    }

    /// Fills `dst`; false if the file is shorter or cannot be read.
    fn fill(&self, byte: usize, dst: &mut [u8]) -> bool {
        let start = (self.offset + byte) as u64;
        let mut done = 0;
        while done < dst.len() {
            match os::read_at(&self.shared.file, &mut dst[done..], start + done as u64) {
                Ok(0) => return false,
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn load_once(&self, word: usize) -> u64 {
        let mut bytes = [0; WORD];
        self.read(word.saturating_mul(WORD), &mut bytes);
        u64::from_ne_bytes(bytes)
    }

    /// A word on which two loads agree.
    fn load(&self, word: usize) -> u64 {
        let mut value = self.load_once(word);
        for _ in 0..RELOADS_MAX {
            let again = self.load_once(word);
            if again == value {
                break;
            }
            value = again;
        }
        value
    }

    fn slice(&self, offset: usize, len: usize) -> Option<Self> {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        let aligned = offset.is_multiple_of(WORD) && len.is_multiple_of(WORD);
        let shared = Arc::clone(&self.shared);
        (inside && aligned).then(|| Self { shared, offset: self.offset + offset, len })
    }
}

/// For what only a side that writes or takes turns does.
#[cold]
fn no_such_side() -> ! {
    panic!("memory that is only read admits watchers alone, and they do not do this");
}

// SAFETY: words are those of a mapping, whose handle keeps the promises, or those of the file, read
// under the same offsets; requests are checked against the length. Nobody can write or take turns
// through it: `lease` refuses all sides but watchers, so the plain accesses and the doorbells have
// no caller.
unsafe impl Mem for ReadMem {
    type Window<'a> = &'a [u8];
    type WindowMut<'a> = &'a mut [u8];

    #[inline]
    fn len_bytes(&self) -> usize {
        match &self.0 {
            ReadBacking::Mapped(mem) => mem.len_bytes(),
            ReadBacking::File(file) => file.len,
        }
    }

    fn slice(&self, offset_bytes: usize, len_bytes: usize) -> Option<Self> {
        match &self.0 {
            ReadBacking::Mapped(mem) => {
                mem.slice(offset_bytes, len_bytes).map(ReadBacking::Mapped).map(Self)
            }
            ReadBacking::File(file) => {
                file.slice(offset_bytes, len_bytes).map(ReadBacking::File).map(Self)
            }
        }
    }

    fn lease(&self, protocol: Protocol, side: Side) -> Result<(), SetupError> {
        if side != Side::Watcher {
            return Err(SetupError::ReadOnly { protocol });
        }
        match &self.0 {
            ReadBacking::Mapped(mem) => mem.lease(protocol, side),
            ReadBacking::File(f) => {
                f.shared.leases.enter(protocol, side, f.offset, f.offset + f.len)
            }
        }
    }

    #[inline(always)]
    fn fence(site: Site, order: Ordering) {
        RawMem::fence(site, order);
    }

    #[inline(always)]
    fn spin() {
        RawMem::spin();
    }

    fn yield_now() {
        RawMem::yield_now();
    }

    #[inline]
    unsafe fn load(&self, word: usize, order: Ordering) -> u64 {
        match &self.0 {
            // SAFETY: the caller's promise.
            ReadBacking::Mapped(mem) => unsafe { mem.load(word, order) },
            ReadBacking::File(file) => file.load(word),
        }
    }

    unsafe fn store(&self, word: usize, value: u64, order: Ordering) {
        match &self.0 {
            // SAFETY: the caller's promise, which nobody can keep: the hardware refuses.
            ReadBacking::Mapped(mem) => unsafe { mem.store(word, value, order) },
            ReadBacking::File(_) => no_such_side(),
        }
    }

    #[inline]
    unsafe fn copy_out(&self, word: usize, dst: &mut [u8]) {
        match &self.0 {
            // SAFETY: the caller's promise.
            ReadBacking::Mapped(mem) => unsafe { mem.copy_out(word, dst) },
            ReadBacking::File(file) => file.read(word.saturating_mul(WORD), dst),
        }
    }

    unsafe fn get(&self, _word: usize) -> u64 {
        no_such_side()
    }

    unsafe fn put(&self, _word: usize, _value: u64) {
        no_such_side()
    }

    unsafe fn window(&self, _byte: usize, _len: usize) -> &[u8] {
        no_such_side()
    }

    unsafe fn window_mut(&self, _byte: usize, _len: usize) -> &mut [u8] {
        no_such_side()
    }

    unsafe fn bell_load(&self, _word: usize, _order: Ordering) -> u32 {
        no_such_side()
    }

    unsafe fn bell_bump(&self, _word: usize, _order: Ordering) {
        no_such_side()
    }

    unsafe fn futex_wait(&self, _word: usize, _expected: u32, _timeout: Option<Duration>) {
        no_such_side()
    }

    unsafe fn futex_wake(&self, _word: usize) {
        no_such_side()
    }
}
