//! Counters: 64-bit numbers with a label, each written by one thread.
//!
//! ```text
//!  byte 0     count of entries; stored last                               (own 128 bytes)
//!  byte 128   directory, 128 bytes per entry:
//!               word 0      generation           word 1  slot << 32 | id
//!               word 2      kind, text           word 3  unit, text
//!               words 4-7   label, text          words 8-15  help, text
//!  then       values, one 128-byte block per 16 counters of a group
//! ```
//! The slot is the position of the value. Texts are UTF-8, padded with zeros, so a reader needs no
//! table to show a counter. Kinds are [`KIND_COUNTER`] and [`KIND_GAUGE`]; units are codes of UCUM
//! (<https://ucum.org>): `1`, `ns`, `By`.
//!
//! A *group* is the counters of one writing thread. Groups never share a block, so threads never
//! write to each other's cache lines; entries and values of a group stand together, in the order of
//! the groups.
//!
//! # Reuse
//! A slot may be reused for another counter of the same group, by the group's writer. The
//! generation of the entry is even while the entry is valid and odd while it is replaced; it only
//! grows. A value belongs to the label under whose generation it was read. An id means the same for
//! ever and is never reused.
//!
//! | word | written by | read by | ordering |
//! |---|---|---|---|
//! | count | formatter, once | readers | Release store; Relaxed load, acquire fence |
//! | generation | formatter before the count, then the group's writer | readers | Relaxed odd mark, release fence; Release store; Relaxed loads, acquire fences |
//! | entry | as the generation | readers | Relaxed, between two loads of the generation |
//! | value | the group's writer | readers | Relaxed, then an acquire fence and a load of the generation |
//!
//! What this does not do: numbers of different counters are not consistent with each other; what
//! must be goes into a page. No counter can be added: the plan of the region sizes the section.

use crate::lease::{Leased, Protocol, SetupError, Side, check_range};
use crate::mem::{ALIGN, Mem, Ordering, WORD, bytes_of};
use crate::site::Site;

const COUNT: usize = 0;
const DIRECTORY: usize = ALIGN / WORD;
const ENTRY_WORDS: usize = 16;
const BLOCK_WORDS: usize = ALIGN / WORD;

const GENERATION: usize = 0;
const SLOT_ID: usize = 1;
const KIND: usize = 2;
const UNIT: usize = 3;
const LABEL: usize = 4;
const HELP: usize = 8;

/// Longest name of a kind or unit in bytes. Longer texts, here and below, are truncated at a
/// character.
pub const CODE_MAX: usize = WORD;
/// Longest label in bytes.
pub const LABEL_MAX: usize = (HELP - LABEL) * WORD;
/// Longest help text in bytes.
pub const HELP_MAX: usize = (ENTRY_WORDS - HELP) * WORD;

/// Most counters of a section.
pub const COUNTERS_MAX: usize = 1 << 16;

/// Kind of a number that only grows.
pub const KIND_COUNTER: &str = "counter";
/// Kind of a number that goes up and down.
pub const KIND_GAUGE: &str = "gauge";

/// One counter to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CounterSpec<'a> {
    /// Number by which programs know it; for ever.
    pub id: u32,
    /// [`KIND_COUNTER`] or [`KIND_GAUGE`].
    pub kind: &'a str,
    /// Unit, as UCUM writes it.
    pub unit: &'a str,
    /// Which writing thread it belongs to.
    pub group: u32,
    /// Name.
    pub label: &'a str,
    /// What it counts, for people.
    pub help: &'a str,
}

/// The counters of one group: their positions in the specs and where its values begin.
struct CounterGroup {
    number: u32,
    members: Vec<usize>,
    /// In blocks.
    values: usize,
}

impl CounterGroup {
    fn blocks(&self) -> usize {
        self.members.len().div_ceil(BLOCK_WORDS)
    }
}

/// The groups in ascending order, their counters in the order of `specs`.
fn groups(specs: &[CounterSpec<'_>]) -> Vec<CounterGroup> {
    let mut order: Vec<usize> = (0..specs.len()).collect();
    order.sort_by_key(|at| specs[*at].group);
    let mut groups: Vec<CounterGroup> = Vec::new();
    for members in order.chunk_by(|a, b| specs[*a].group == specs[*b].group) {
        let values = groups.last().map_or(0, |last| last.values + last.blocks());
        let number = specs[members[0]].group;
        groups.push(CounterGroup { number, members: members.to_vec(), values });
    }
    groups
}

/// First word of the values.
fn values_at(count: usize) -> usize {
    DIRECTORY + count * ENTRY_WORDS
}

/// Bytes of a section of these counters.
///
/// # Errors
/// [`SetupError::Parameter`] if there are none or more than [`COUNTERS_MAX`].
pub fn layout(specs: &[CounterSpec<'_>]) -> Result<usize, SetupError> {
    let max = COUNTERS_MAX as u64;
    check_range(Protocol::Counters, "number of counters", specs.len() as u64, 1, max)?;
    let blocks: usize = groups(specs).iter().map(CounterGroup::blocks).sum();
    Ok(values_at(specs.len()) * WORD + blocks * ALIGN)
}

/// Writes the directory and returns one writer per group, in ascending order of the group's number.
/// The counters of a group are numbered from 0 in the order of `specs`.
///
/// # Errors
/// [`SetupError`] if the memory is smaller than [`layout`] or leased.
pub fn format<M: Mem>(
    mem: &M,
    specs: &[CounterSpec<'_>],
) -> Result<Vec<CounterWriter<M>>, SetupError> {
    let need = layout(specs)?;
    let too_small = SetupError::Size { protocol: Protocol::Counters, need, have: mem.len_bytes() };
    if mem.len_bytes() < need {
        return Err(too_small);
    }
    let lease = |word: usize, words: usize| {
        let part = mem.slice(word * WORD, words * WORD).ok_or(too_small)?;
        Leased::new(part, Protocol::Counters, Side::Writer)
    };
    let count = lease(COUNT, DIRECTORY)?;
    let (mut entry, values) = (DIRECTORY, values_at(specs.len()));
    let mut writers = Vec::new();
    for group in groups(specs) {
        let members = group.members.len();
        let writer = CounterWriter {
            entries: lease(entry, members * ENTRY_WORDS)?,
            words: lease(values + group.values * BLOCK_WORDS, group.blocks() * BLOCK_WORDS)?,
            group: group.number,
            first_slot: group.values * BLOCK_WORDS,
            values: vec![0; members],
            generations: vec![2; members],
        };
        for (index, at) in group.members.iter().enumerate() {
            writer.describe(index, &specs[*at]);
            // Relaxed: the count publishes it.
            writer.entries.store(index * ENTRY_WORDS + GENERATION, 2, Ordering::Relaxed);
        }
        entry += members * ENTRY_WORDS;
        writers.push(writer);
    }
    // Release: pairs with the acquire fence after the count in `CountersReader::list`. Publishes
    // the directory.
    let publish = M::ord(Site::CounterPublish, Ordering::Release);
    count.store(COUNT, specs.len() as u64, publish);
    Ok(writers)
}

/// The writing side of one group.
#[derive(Debug)]
pub struct CounterWriter<M: Mem> {
    entries: Leased<M>,
    words: Leased<M>,
    group: u32,
    /// Slot of the group's first value.
    first_slot: usize,
    /// Values and generations; what lies in the region is a copy.
    values: Vec<u64>,
    generations: Vec<u64>,
}

impl<M: Mem> CounterWriter<M> {
    /// The group it writes.
    #[must_use]
    pub fn group(&self) -> u32 {
        self.group
    }

    /// Sets a counter of the group.
    ///
    /// # Panics
    /// If the group has no such counter.
    #[inline]
    pub fn set(&mut self, index: usize, value: u64) {
        self.values[index] = value;
        // Relaxed: nothing is published with the number.
        self.words.store(index, value, Ordering::Relaxed);
    }

    /// Adds to a counter of the group, wrapping.
    ///
    /// # Panics
    /// If the group has no such counter.
    #[inline]
    pub fn add(&mut self, index: usize, delta: u64) {
        self.set(index, self.values[index].wrapping_add(delta));
    }

    /// Value of a counter of the group.
    ///
    /// # Panics
    /// If the group has no such counter.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> u64 {
        self.values[index]
    }

    /// Reuses the slot of a counter for another one, which begins with 0. It stays in this group,
    /// whatever group `spec` has. Readers of the old counter get `None` from then on.
    ///
    /// # Panics
    /// If the group has no such counter.
    pub fn reuse(&mut self, index: usize, spec: &CounterSpec<'_>) {
        let generation = self.generations[index];
        debug_assert!(generation.is_multiple_of(2), "an entry is replaced twice at once");
        let word = index * ENTRY_WORDS + GENERATION;
        // Relaxed: the fence below orders it.
        self.entries.store(word, generation.wrapping_add(1), Ordering::Relaxed);
        // Release fence: pairs with the acquire fence before a second load of the generation. A
        // reader that sees any word written below sees there that the entry is being replaced, or
        // was.
        Leased::<M>::fence(Site::CounterBusy, Ordering::Release);
        self.describe(index, spec);
        self.set(index, 0);
        self.generations[index] = generation.wrapping_add(2);
        // Release: pairs with the acquire fence after the first load of the generation. Publishes
        // entry and first value.
        let done = M::ord(Site::CounterDone, Ordering::Release);
        self.entries.store(word, self.generations[index], done);
    }

    /// Writes all of an entry but its generation.
    fn describe(&self, index: usize, spec: &CounterSpec<'_>) {
        let word = index * ENTRY_WORDS;
        let slot = (self.first_slot + index) as u64;
        // Relaxed: ordered by the generation, or by the count.
        self.entries.store(word + SLOT_ID, slot << 32 | u64::from(spec.id), Ordering::Relaxed);
        self.entries.copy_in(word + KIND, &text::<CODE_MAX>(spec.kind));
        self.entries.copy_in(word + UNIT, &text::<CODE_MAX>(spec.unit));
        self.entries.copy_in(word + LABEL, &text::<LABEL_MAX>(spec.label));
        self.entries.copy_in(word + HELP, &text::<HELP_MAX>(spec.help));
    }
}

/// A text as it lies in an entry.
fn text<const MAX: usize>(text: &str) -> [u8; MAX] {
    let prefix = &text.as_bytes()[..text.floor_char_boundary(MAX)];
    let mut bytes = [0; MAX];
    bytes[..prefix.len()].copy_from_slice(prefix);
    bytes
}

/// A counter as a reader finds it. Invalid UTF-8 in its texts is replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CounterEntry {
    /// Number by which programs know it.
    pub id: u32,
    /// [`KIND_COUNTER`], [`KIND_GAUGE`] or a kind of a later version.
    pub kind: String,
    /// Its unit, as UCUM writes it.
    pub unit: String,
    /// Its name.
    pub label: String,
    /// What it counts.
    pub help: String,
    generation: u64,
    /// Word of its entry in the section.
    entry: usize,
    /// Word of its value in the section, checked.
    word: usize,
}

/// A reading side: any number, any process, read-only.
#[derive(Debug)]
pub struct CountersReader<M: Mem> {
    held: Leased<M>,
    words: usize,
}

impl<M: Mem> CountersReader<M> {
    /// Opens a reading side over the whole section.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M) -> Result<Self, SetupError> {
        let (have, need) = (mem.len_bytes(), DIRECTORY * WORD);
        if have < need {
            return Err(SetupError::Size { protocol: Protocol::Counters, need, have });
        }
        Ok(Self { held: Leased::new(mem, Protocol::Counters, Side::Watcher)?, words: have / WORD })
    }

    /// Copies the directory, without entries that are being replaced just now or point outside the
    /// section.
    #[must_use]
    pub fn list(&self) -> Vec<CounterEntry> {
        let count = self.held.load(COUNT, Ordering::Relaxed);
        // Acquire fence: pairs with the Release store of the count. The directory is complete.
        Leased::<M>::fence(Site::CounterCount, Ordering::Acquire);
        let room = self.words.saturating_sub(DIRECTORY) / ENTRY_WORDS;
        let count = usize::try_from(count).unwrap_or(0).min(room).min(COUNTERS_MAX);
        (0..count).filter_map(|index| self.entry(index, count)).collect()
    }

    fn entry(&self, index: usize, count: usize) -> Option<CounterEntry> {
        let entry = DIRECTORY + index * ENTRY_WORDS;
        // Relaxed: the fences below order it, and the words between them.
        let generation = self.held.load(entry + GENERATION, Ordering::Relaxed);
        if !generation.is_multiple_of(2) {
            return None;
        }
        // Acquire fence: pairs with the Release store of the generation. Entry and value are at
        // least as new.
        Leased::<M>::fence(Site::CounterOpen, Ordering::Acquire);
        let words: [u64; ENTRY_WORDS] =
            core::array::from_fn(|at| self.held.load(entry + at, Ordering::Relaxed));
        self.check(entry, generation)?;
        let slot = usize::try_from(words[SLOT_ID] >> 32).ok()?;
        let word = values_at(count) + slot;
        let text = |from: usize, to: usize| {
            let bytes = bytes_of(&words[from..to]);
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        (word < self.words).then(|| CounterEntry {
            id: words[SLOT_ID] as u32,
            kind: text(KIND, UNIT),
            unit: text(UNIT, LABEL),
            label: text(LABEL, HELP),
            help: text(HELP, ENTRY_WORDS),
            generation,
            entry,
            word,
        })
    }

    /// The value of a counter of [`CountersReader::list`], now; `None` if its slot was reused
    /// since: list them again.
    #[must_use]
    #[inline]
    pub fn value(&self, counter: &CounterEntry) -> Option<u64> {
        // A counter of another section may lie outside.
        if counter.word >= self.words || counter.entry >= self.words {
            return None;
        }
        // Relaxed: nothing is published with the number; the check shows whose it is.
        let value = self.held.load(counter.word, Ordering::Relaxed);
        self.check(counter.entry, counter.generation).map(|()| value)
    }

    /// Whether the entry still stood in `generation` when the last word was loaded.
    #[inline]
    fn check(&self, entry: usize, generation: u64) -> Option<()> {
        // Acquire fence: pairs with the release fence after the odd mark. If a word loaded before
        // was newer than the generation, the load below sees the mark or a later generation.
        Leased::<M>::fence(Site::CounterCheck, Ordering::Acquire);
        let now = self.held.load(entry + GENERATION, Ordering::Relaxed);
        (now == generation).then_some(())
    }
}
