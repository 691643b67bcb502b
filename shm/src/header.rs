//! The first bytes of a region: what it is, whose it is, whether it is alive.
//!
//! ```text
//! word  0  magic; stored last, so a region is ready or it is nothing
//!       1  endian mark 0x0102030405060708 as the owner's machine stores it
//!       2  layout version: major << 32 | minor
//!       3  first byte after the directory
//!       4  length of the region in bytes
//!       5  schema: what the bytes of the sections mean, opaque here
//!       6  generation: which life of the owner's name this is
//!       7  number of sections
//!       8  bytes of a directory entry
//!       9  page size of the owner in bytes
//!      10  pid of the owner
//!      11  start time of that process, clock ticks since boot
//!   12-13  boot id
//!      14  wall clock at the start, nanoseconds since 1970
//!      15  checksum of words 1-14 and of the directory
//! ---- written above by the owner before ready, never again; below by the owner all its life ----
//!      16  owner state
//!      17  heartbeat: grows while the owner runs
//!      18  last tick closed
//!      19  time of the last change of 16-18, nanoseconds on the owner's clock
//!      24  since layout 1.1: number of the owner's pid namespace, 0 if unknown; written before ready
//! ---- 256 bytes; then the directory, 8 words per section ----
//!       0  version << 32 | kind
//!       1  id
//!       2  offset in bytes
//!       3  length in bytes
//!     4-5  parameters
//!     6-7  zero
//! ```
//! All words are atomic, so that a reader of a hostile or dying owner's region may look at any time.
//! Readers: any process, Relaxed loads and acquire fences only.
//!
//! What this does not do: it maps nothing, and it believes nothing. [`HeaderReader::read`] copies
//! every word once and checks the copy.

pub use crate::attach_error::AttachError;
use crate::claim::{Held, Protocol, SetupError, Side};
use crate::layout::{
    ENTRY_LEN, HEADER_LEN, RegionPlan, SECTIONS_MAX, Section, SectionKind, directory_end,
};
use crate::mem::{ALIGN, Mem, Ordering, WORD};
use crate::site::Site;
pub use crate::status::{Liveness, OwnerState, Pulse, STALE_AFTER_NS, Status};

/// The first word of a region that is ready: `WENGSHM1` in ASCII on a little-endian machine.
pub const MAGIC: u64 = u64::from_le_bytes(*b"WENGSHM1");

/// Differs when bytes are swapped.
pub const ENDIAN_MARK: u64 = 0x0102_0304_0506_0708;

/// Changed when a reader of the previous layout would misread this one.
pub const LAYOUT_MAJOR: u32 = 1;

/// Changed when something was appended that older readers may ignore.
pub const LAYOUT_MINOR: u32 = 1;

/// Words of the immutable part that the checksum covers, after the magic.
const FIXED: usize = 16;
const W_STATE: usize = 16;
const W_HEARTBEAT: usize = 17;
const W_TICK: usize = 18;
const W_SINCE: usize = 19;
/// Not covered by the checksum, whose words are those of 1.0: a wrong one makes the owner's process
/// unknown, no more.
const W_NAMESPACE: usize = 24;
const ENTRY_WORDS: usize = ENTRY_LEN as usize / WORD;
const DIRECTORY: usize = HEADER_LEN as usize / WORD;

const _: () = assert!(DIRECTORY * WORD == 256 && ENTRY_WORDS == 8 && W_NAMESPACE < DIRECTORY);

/// Who formats a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// What the bytes of the sections mean; compared by readers, never interpreted here.
    pub schema: u64,
    /// Which life of the owner's name this is; differs from that of every earlier region.
    pub generation: u64,
    /// Process id of the owner.
    pub pid: u32,
    /// Start time of that process in clock ticks since boot.
    pub pid_start_time: u64,
    /// Identity of the boot.
    pub boot_id: [u8; 16],
    /// Number of its pid namespace, in which alone its pid means something; 0 if unknown.
    pub pid_namespace: u64,
    /// Wall clock at the start in nanoseconds since 1970; for people only.
    pub started_unix_ns: u64,
}

impl Identity {
    /// This process in this boot.
    #[must_use]
    pub fn of_this_process(schema: u64, generation: u64, started_unix_ns: u64) -> Self {
        let pid = crate::os::pid();
        Self {
            schema,
            generation,
            pid,
            pid_start_time: crate::os::pid_start_time(pid).unwrap_or(0),
            boot_id: crate::os::boot_id(),
            pid_namespace: crate::os::pid_namespace(),
            started_unix_ns,
        }
    }
}

/// A checked copy of a header and its directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Layout version, major and minor.
    pub version: (u32, u32),
    /// Length of the region in bytes.
    pub total_len: u64,
    /// Page size of the owner in bytes.
    pub page_size: u64,
    /// Who formatted it.
    pub identity: Identity,
    /// The sections, in the order added.
    pub sections: Vec<Section>,
}

/// The owner's handle to the header: writes it once, then keeps the status line.
#[derive(Debug)]
pub struct HeaderWriter<M: Mem> {
    held: Held<M>,
    heartbeat: u64,
}

impl<M: Mem> HeaderWriter<M> {
    /// Claims the header of a region: `mem` is the first [`directory_end`] bytes.
    ///
    /// # Errors
    /// [`SetupError`] if it is claimed or read-only.
    pub fn claim(mem: M) -> Result<Self, SetupError> {
        Ok(Self { held: Held::claim(mem, Protocol::Header, Side::Writer)?, heartbeat: 0 })
    }

    /// Writes everything but the magic.
    pub fn write(&mut self, plan: &RegionPlan, total_len: u64, identity: &Identity) {
        let boot = identity.boot_id;
        let half = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&boot[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let words = [
            ENDIAN_MARK,
            u64::from(LAYOUT_MAJOR) << 32 | u64::from(LAYOUT_MINOR),
            directory_end(plan.sections().len()),
            total_len,
            identity.schema,
            identity.generation,
            plan.sections().len() as u64,
            ENTRY_LEN,
            crate::os::page_size() as u64,
            u64::from(identity.pid),
            identity.pid_start_time,
            half(0),
            half(8),
            identity.started_unix_ns,
        ];
        let mut sum = Checksum::new();
        for (at, word) in words.into_iter().enumerate() {
            sum.add(word);
            self.held.store(1 + at, word, Ordering::Relaxed);
        }
        for (index, section) in plan.sections().enumerate() {
            for (at, word) in entry_words(&section).into_iter().enumerate() {
                sum.add(word);
                self.held.store(DIRECTORY + index * ENTRY_WORDS + at, word, Ordering::Relaxed);
            }
        }
        self.held.store(FIXED - 1, sum.value(), Ordering::Relaxed);
        self.held.store(W_NAMESPACE, identity.pid_namespace, Ordering::Relaxed);
    }

    /// Makes the region ready: stores the magic, last.
    pub fn publish_ready(&mut self) {
        // Release: pairs with the acquire fence in `read`. Publishes header, directory and whatever
        // the owner formatted in the sections.
        self.held.store(0, MAGIC, M::ord(Site::ReadyPublish, Ordering::Release));
    }

    /// Says what the owner is doing. Call it before every wait and after it.
    #[inline]
    pub fn set_state(&mut self, state: OwnerState, now_ns: u64) {
        // Relaxed, here and in `beat`: each word speaks for itself, nothing is published with it.
        self.held.store(W_STATE, state.to_word(), Ordering::Relaxed);
        self.held.store(W_SINCE, now_ns, Ordering::Relaxed);
    }

    /// Shows that the owner runs: `tick` is the last one closed.
    #[inline]
    pub fn beat(&mut self, tick: u64, now_ns: u64) {
        self.heartbeat += 1;
        self.held.store(W_HEARTBEAT, self.heartbeat, Ordering::Relaxed);
        self.held.store(W_TICK, tick, Ordering::Relaxed);
        self.held.store(W_SINCE, now_ns, Ordering::Relaxed);
    }
}

/// A monitor's handle to the header: checked copy and live status.
#[derive(Debug)]
pub struct HeaderReader<M: Mem> {
    /// The whole region, to claim the directory once its length is known.
    mem: M,
    held: Held<M>,
}

impl<M: Mem> HeaderReader<M> {
    /// Opens the header of a region; `mem` is the whole region.
    ///
    /// # Errors
    /// [`AttachError::TooShort`] or [`AttachError::Setup`].
    pub fn open(mem: M) -> Result<Self, AttachError> {
        let have = mem.len_bytes() as u64;
        let fixed = mem.slice(0, DIRECTORY * WORD).ok_or(AttachError::TooShort { have })?;
        let held = Held::claim(fixed, Protocol::Header, Side::Watcher)?;
        Ok(Self { mem, held })
    }

    /// Copies and checks header and directory. `mapped` is the length of the region in bytes.
    ///
    /// # Errors
    /// [`AttachError`], naming the first thing that is wrong.
    pub fn read(&self, mapped: u64) -> Result<Header, AttachError> {
        let magic = self.held.load(0, Ordering::Relaxed);
        // Acquire fence: pairs with the release store in `publish_ready`; after it every word of
        // header and directory is what the owner wrote before.
        Held::<M>::fence(Site::ReadyLook, Ordering::Acquire);
        match magic {
            MAGIC => {}
            0 => return Err(AttachError::NotReady),
            found => return Err(AttachError::Magic { found }),
        }
        let words: [u64; FIXED] =
            core::array::from_fn(|word| self.held.load(word, Ordering::Relaxed));
        let count = check_fixed(&words, mapped)?;
        let mut sum = Checksum::new();
        words[1..FIXED - 1].iter().for_each(|word| sum.add(*word));
        let too_short = AttachError::TooShort { have: self.mem.len_bytes() as u64 };
        let with_directory = self.mem.slice(0, DIRECTORY * WORD + count * ENTRY_LEN as usize);
        let held = Held::claim(with_directory.ok_or(too_short)?, Protocol::Header, Side::Watcher)?;
        let mut sections = Vec::with_capacity(count);
        for index in 0..count {
            let entry: [u64; ENTRY_WORDS] = core::array::from_fn(|at| {
                held.load(DIRECTORY + index * ENTRY_WORDS + at, Ordering::Relaxed)
            });
            entry.iter().for_each(|word| sum.add(*word));
            sections.push(entry_section(&entry));
        }
        if words[FIXED - 1] != sum.value() {
            return Err(AttachError::Checksum { found: words[FIXED - 1], computed: sum.value() });
        }
        check_sections(&sections, words[3], mapped)?;
        // Layout 1.0 left the word zero: unknown.
        let pid_namespace = self.held.load(W_NAMESPACE, Ordering::Relaxed);
        Ok(header_of(&words, pid_namespace, sections))
    }

    /// What the owner says right now.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            state: OwnerState::from_word(self.held.load(W_STATE, Ordering::Relaxed)),
            heartbeat: self.held.load(W_HEARTBEAT, Ordering::Relaxed),
            tick: self.held.load(W_TICK, Ordering::Relaxed),
            since_ns: self.held.load(W_SINCE, Ordering::Relaxed),
        }
    }
}

/// Checks the fixed words; gives the number of sections.
fn check_fixed(words: &[u64; FIXED], mapped: u64) -> Result<usize, AttachError> {
    let field = |field, at: usize| AttachError::Field { field, found: words[at] };
    if words[1] != ENDIAN_MARK {
        return Err(AttachError::Endian { found: words[1] });
    }
    let (major, minor) = halves(words[2]);
    if major != LAYOUT_MAJOR {
        return Err(AttachError::Version { major, minor });
    }
    if words[4] != mapped {
        return Err(AttachError::TotalLength { said: words[4], mapped });
    }
    let count = usize::try_from(words[7]).ok().filter(|n| *n <= SECTIONS_MAX);
    let count = count.ok_or(field("section count", 7))?;
    if words[8] != ENTRY_LEN {
        return Err(field("entry length", 8));
    }
    if words[3] != directory_end(count) || words[3] > mapped {
        return Err(field("header length", 3));
    }
    if !words[9].is_power_of_two() {
        return Err(field("page size", 9));
    }
    if u32::try_from(words[10]).is_err() {
        return Err(field("pid", 10));
    }
    Ok(count)
}

/// Checks that sections lie inside, aligned, apart, and are named once.
fn check_sections(sections: &[Section], start: u64, mapped: u64) -> Result<(), AttachError> {
    let mut order: Vec<usize> = (0..sections.len()).collect();
    order.sort_by_key(|index| sections[*index].offset);
    let mut free = start;
    for index in order {
        let s = &sections[index];
        let bad = |problem| AttachError::Section { index, kind: s.kind.0, id: s.id, problem };
        let end = s.offset.checked_add(s.len).ok_or(bad("has an impossible length"))?;
        if s.len == 0 || end > mapped {
            return Err(bad("does not lie inside the region"));
        }
        if !s.offset.is_multiple_of(ALIGN as u64) || !s.len.is_multiple_of(ALIGN as u64) {
            return Err(bad("is not aligned"));
        }
        if s.offset < free {
            return Err(bad("overlaps another or the header"));
        }
        free = end;
    }
    let mut names: Vec<_> = sections.iter().enumerate().map(|(i, s)| (s.kind, s.id, i)).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        if (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1) {
            let (kind, id, index) = pair[1];
            return Err(AttachError::Section { index, kind: kind.0, id, problem: "appears twice" });
        }
    }
    Ok(())
}

fn header_of(words: &[u64; FIXED], pid_namespace: u64, sections: Vec<Section>) -> Header {
    let mut boot_id = [0; 16];
    boot_id[..8].copy_from_slice(&words[12].to_le_bytes());
    boot_id[8..].copy_from_slice(&words[13].to_le_bytes());
    Header {
        version: halves(words[2]),
        total_len: words[4],
        page_size: words[9],
        identity: Identity {
            schema: words[5],
            generation: words[6],
            pid: halves(words[10]).1,
            pid_start_time: words[11],
            boot_id,
            pid_namespace,
            started_unix_ns: words[14],
        },
        sections,
    }
}

/// High and low half of a word.
fn halves(word: u64) -> (u32, u32) {
    let bytes = word.to_be_bytes();
    let [a, b, c, d, e, f, g, h] = bytes;
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

fn entry_words(s: &Section) -> [u64; ENTRY_WORDS] {
    let kind = u64::from(s.version) << 32 | u64::from(s.kind.0);
    [kind, u64::from(s.id), s.offset, s.len, s.params[0], s.params[1], 0, 0]
}

fn entry_section(words: &[u64; ENTRY_WORDS]) -> Section {
    let (version, kind) = halves(words[0]);
    Section {
        kind: SectionKind(kind),
        version,
        id: halves(words[1]).1,
        offset: words[2],
        len: words[3],
        params: [words[4], words[5]],
    }
}

/// FNV-1a over words: finds damage, resists nobody. A writer who lies is caught by the checks above.
struct Checksum(u64);

impl Checksum {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    fn value(&self) -> u64 {
        self.0
    }
}
