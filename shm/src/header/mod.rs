//! The first bytes of a region: what it is, whose it is, whether it is alive.
//!
//! ```text
//! byte 0    written once     words up to the checksum: magic, versions, lengths, identity
//! byte 128  status line      state, heartbeat, tick, time; written while the owner lives
//! byte 192  the namespace    written once
//! byte 256  directory        8 words per section
//! ```
//! [`word`] and [`entry`] declare the words, of which the tables in `docs/REGION.md` are made. All
//! words are atomic, so that a reader of a hostile or dying owner's region may load them at any
//! time. Readers: any process, Relaxed loads and acquire fences only.
//!
//! What this does not do: it maps nothing and trusts nothing. [`HeaderReader::read`] copies
//! every word once and checks the copy.

mod words;

pub use self::words::{entry, word};
pub use crate::attach_error::AttachError;
pub use crate::identity::Identity;
pub use crate::layout::LAYOUT_MAJOR;
use crate::layout::{
    ENTRY_LEN, HEADER_LEN, RegionPlan, SECTIONS_MAX, Section, SectionKind, directory_end,
};
use crate::lease::{Leased, Protocol, SetupError, Side};
use crate::mem::{ALIGN, Mem, Ordering, WORD};
use crate::site::Site;
pub use crate::status::{Liveness, OwnerState, OwnerStatus, Pulse, STALE_AFTER_NS};

/// The first word of a region that is ready: `WENGSHM1` in ASCII on a little-endian machine.
pub const MAGIC: u64 = u64::from_le_bytes(*b"WENGSHM1");

/// Differs when bytes are swapped.
pub const ENDIAN_MARK: u64 = 0x0102_0304_0506_0708;

/// Changed when something was appended that older readers may ignore.
pub const LAYOUT_MINOR: u32 = 1;

/// Words of the part that is written once: up to the checksum, which covers them after the magic.
const FIXED: usize = word::CHECKSUM + 1;
/// Those that the checksum covers, besides the directory.
const COVERED: core::ops::Range<usize> = word::ENDIAN..word::CHECKSUM;
const ENTRY_WORDS: usize = ENTRY_LEN as usize / WORD;
const DIRECTORY: usize = HEADER_LEN as usize / WORD;

const _: () = assert!(DIRECTORY * WORD == 256 && ENTRY_WORDS == 8 && word::NAMESPACE < DIRECTORY);

/// A checked copy of a header and its directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegionHeader {
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
    held: Leased<M>,
    heartbeat: u64,
}

impl<M: Mem> HeaderWriter<M> {
    /// Leases the header of a region: `mem` is the first [`directory_end`] bytes.
    ///
    /// # Errors
    /// [`SetupError`] if it is leased or read-only.
    pub fn new(mem: M) -> Result<Self, SetupError> {
        Ok(Self { held: Leased::new(mem, Protocol::Header, Side::Writer)?, heartbeat: 0 })
    }

    /// Writes everything but the magic.
    pub fn write(&mut self, plan: &RegionPlan, total_len: u64, identity: &Identity) {
        let boot = identity.boot_id;
        let half = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&boot[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let words: [u64; FIXED] = core::array::from_fn(|at| match at {
            word::ENDIAN => ENDIAN_MARK,
            word::VERSION => u64::from(LAYOUT_MAJOR) << 32 | u64::from(LAYOUT_MINOR),
            word::DIRECTORY_END => directory_end(plan.sections().len()),
            word::TOTAL_LEN => total_len,
            word::SCHEMA => identity.schema,
            word::GENERATION => identity.generation,
            word::SECTIONS => plan.sections().len() as u64,
            word::ENTRY_LEN => ENTRY_LEN,
            word::PAGE_SIZE => crate::os::page_size() as u64,
            word::PID => u64::from(identity.pid),
            word::PID_START_TIME => identity.pid_start_time,
            word::BOOT_ID => half(0),
            word::BOOT_ID_END => half(8),
            word::STARTED => identity.started_unix_ns,
            // The magic comes last, the checksum when it is known.
            _ => 0,
        });
        let mut sum = Checksum::new();
        // Relaxed, all of them: `publish_ready` publishes them.
        for at in COVERED {
            sum.add(words[at]);
            self.held.store(at, words[at], Ordering::Relaxed);
        }
        for (index, section) in plan.sections().enumerate() {
            for (at, word) in entry_words(&section).into_iter().enumerate() {
                sum.add(word);
                self.held.store(DIRECTORY + index * ENTRY_WORDS + at, word, Ordering::Relaxed);
            }
        }
        self.held.store(word::CHECKSUM, sum.value(), Ordering::Relaxed);
        self.held.store(word::NAMESPACE, identity.pid_namespace, Ordering::Relaxed);
    }

    /// Makes the region ready: stores the magic, last.
    pub fn publish_ready(&mut self) {
        // Release: pairs with the acquire fence in `read`. Publishes header, directory and whatever
        // the owner formatted in the sections.
        self.held.store(word::MAGIC, MAGIC, M::ord(Site::ReadyPublish, Ordering::Release));
    }

    /// Publishes the owner's state. Call it before every wait and after it.
    #[inline]
    pub fn set_state(&mut self, state: OwnerState, now_ns: u64) {
        // Release: pairs with the acquire fence in `status`. Whoever sees the state sees what was
        // published before it: of an owner that stopped, everything.
        let publish = M::ord(Site::StatePublish, Ordering::Release);
        self.held.store(word::STATE, state.to_word(), publish);
        // Relaxed, here and in `heartbeat`: nothing is published with these words.
        self.held.store(word::SINCE, now_ns, Ordering::Relaxed);
    }

    /// Publishes a sign of life: `tick` is the last one closed.
    #[inline]
    pub fn heartbeat(&mut self, tick: u64, now_ns: u64) {
        self.heartbeat += 1;
        self.held.store(word::HEARTBEAT, self.heartbeat, Ordering::Relaxed);
        self.held.store(word::TICK, tick, Ordering::Relaxed);
        self.held.store(word::SINCE, now_ns, Ordering::Relaxed);
    }
}

/// A monitor's handle to the header: checked copy and live status.
#[derive(Debug)]
pub struct HeaderReader<M: Mem> {
    /// The whole region, to lease the directory once its length is known.
    mem: M,
    held: Leased<M>,
}

impl<M: Mem> HeaderReader<M> {
    /// Opens the header of a region; `mem` is the whole region.
    ///
    /// # Errors
    /// [`AttachError::TooShort`] or [`AttachError::Setup`].
    pub fn open(mem: M) -> Result<Self, AttachError> {
        let have = mem.len_bytes() as u64;
        let fixed = mem.slice(0, DIRECTORY * WORD).ok_or(AttachError::TooShort { have })?;
        let held = Leased::new(fixed, Protocol::Header, Side::Watcher)?;
        Ok(Self { mem, held })
    }

    /// Copies and checks header and directory. `mapped` is the length of the region in bytes.
    ///
    /// # Errors
    /// [`AttachError`], naming the first thing that is wrong.
    pub fn read(&self, mapped: u64) -> Result<RegionHeader, AttachError> {
        let magic = self.held.load(word::MAGIC, Ordering::Relaxed);
        // Acquire fence: pairs with the release store in `publish_ready`; after it every word of
        // header and directory is what the owner wrote before.
        Leased::<M>::fence(Site::ReadyPoll, Ordering::Acquire);
        match magic {
            MAGIC => {}
            0 => return Err(AttachError::NotReady),
            found => return Err(AttachError::Magic { found }),
        }
        let words: [u64; FIXED] = core::array::from_fn(|at| self.held.load(at, Ordering::Relaxed));
        let count = check_fixed(&words, mapped)?;
        let mut sum = Checksum::new();
        words[COVERED].iter().for_each(|word| sum.add(*word));
        let too_short = AttachError::TooShort { have: self.mem.len_bytes() as u64 };
        let with_directory = self.mem.slice(0, DIRECTORY * WORD + count * ENTRY_LEN as usize);
        let held = Leased::new(with_directory.ok_or(too_short)?, Protocol::Header, Side::Watcher)?;
        let mut sections = Vec::with_capacity(count);
        for index in 0..count {
            let entry: [u64; ENTRY_WORDS] = core::array::from_fn(|at| {
                held.load(DIRECTORY + index * ENTRY_WORDS + at, Ordering::Relaxed)
            });
            entry.iter().for_each(|word| sum.add(*word));
            sections.push(entry_section(&entry));
        }
        if words[word::CHECKSUM] != sum.value() {
            return Err(AttachError::Checksum {
                found: words[word::CHECKSUM],
                computed: sum.value(),
            });
        }
        check_sections(&sections, words[word::DIRECTORY_END], mapped)?;
        // Layout 1.0 left the word zero: unknown.
        let pid_namespace = self.held.load(word::NAMESPACE, Ordering::Relaxed);
        Ok(header_of(&words, pid_namespace, sections))
    }

    /// The owner's status right now. What the owner published before that state can be read after
    /// this.
    #[must_use]
    pub fn status(&self) -> OwnerStatus {
        let state = self.held.load(word::STATE, Ordering::Relaxed);
        // Acquire fence: pairs with the release store of the state in `set_state`.
        Leased::<M>::fence(Site::StatePoll, Ordering::Acquire);
        OwnerStatus {
            state: OwnerState::from_word(state),
            heartbeat: self.held.load(word::HEARTBEAT, Ordering::Relaxed),
            tick: self.held.load(word::TICK, Ordering::Relaxed),
            since_ns: self.held.load(word::SINCE, Ordering::Relaxed),
        }
    }
}

/// Checks the fixed words; returns the number of sections.
fn check_fixed(words: &[u64; FIXED], mapped: u64) -> Result<usize, AttachError> {
    let field = |field, at: usize| AttachError::Field { field, found: words[at] };
    if words[word::ENDIAN] != ENDIAN_MARK {
        return Err(AttachError::Endian { found: words[word::ENDIAN] });
    }
    let (major, minor) = halves(words[word::VERSION]);
    if major != LAYOUT_MAJOR {
        return Err(AttachError::Version { major, minor });
    }
    if words[word::TOTAL_LEN] != mapped {
        return Err(AttachError::TotalLength { found: words[word::TOTAL_LEN], mapped });
    }
    let count = usize::try_from(words[word::SECTIONS]).ok().filter(|n| *n <= SECTIONS_MAX);
    let count = count.ok_or(field("section count", word::SECTIONS))?;
    if words[word::ENTRY_LEN] != ENTRY_LEN {
        return Err(field("entry length", word::ENTRY_LEN));
    }
    if words[word::DIRECTORY_END] != directory_end(count) || words[word::DIRECTORY_END] > mapped {
        return Err(field("header length", word::DIRECTORY_END));
    }
    if !words[word::PAGE_SIZE].is_power_of_two() {
        return Err(field("page size", word::PAGE_SIZE));
    }
    if u32::try_from(words[word::PID]).is_err() {
        return Err(field("pid", word::PID));
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
        let invalid = |problem| AttachError::Section { index, kind: s.kind.0, id: s.id, problem };
        let end = s.offset.checked_add(s.len).ok_or(invalid("has an invalid length"))?;
        if s.len == 0 || end > mapped {
            return Err(invalid("does not lie inside the region"));
        }
        if !s.offset.is_multiple_of(ALIGN as u64) || !s.len.is_multiple_of(ALIGN as u64) {
            return Err(invalid("is not aligned"));
        }
        if s.offset < free {
            return Err(invalid("overlaps another or the header"));
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

fn header_of(words: &[u64; FIXED], pid_namespace: u64, sections: Vec<Section>) -> RegionHeader {
    let mut boot_id = [0; 16];
    boot_id[..8].copy_from_slice(&words[word::BOOT_ID].to_le_bytes());
    boot_id[8..].copy_from_slice(&words[word::BOOT_ID_END].to_le_bytes());
    RegionHeader {
        version: halves(words[word::VERSION]),
        total_len: words[word::TOTAL_LEN],
        page_size: words[word::PAGE_SIZE],
        identity: Identity {
            schema: words[word::SCHEMA],
            generation: words[word::GENERATION],
            pid: halves(words[word::PID]).1,
            pid_start_time: words[word::PID_START_TIME],
            boot_id,
            pid_namespace,
            started_unix_ns: words[word::STARTED],
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
    core::array::from_fn(|at| match at {
        entry::KIND => u64::from(s.version) << 32 | u64::from(s.kind.0),
        entry::ID => u64::from(s.id),
        entry::OFFSET => s.offset,
        entry::LEN => s.len,
        entry::PARAM => s.params[0],
        entry::PARAM_2 => s.params[1],
        _ => 0,
    })
}

fn entry_section(words: &[u64; ENTRY_WORDS]) -> Section {
    let (version, kind) = halves(words[entry::KIND]);
    Section {
        kind: SectionKind(kind),
        version,
        id: halves(words[entry::ID]).1,
        offset: words[entry::OFFSET],
        len: words[entry::LEN],
        params: [words[entry::PARAM], words[entry::PARAM_2]],
    }
}

/// FNV-1a over words: finds damage, stops no forger. False entries are found by the checks above.
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
