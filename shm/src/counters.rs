//! Counters: labelled 64-bit numbers, each written by one thread, readable at any time.
//!
//! ```text
//!  byte 0     count of entries; stored last                               (own 128 bytes)
//!  byte 128   directory, 64 bytes per entry:
//!               word 0  kind << 32 | id         word 1  place << 32 | unit
//!               words 2-7  label, UTF-8, zero-padded
//!  then       values, one 128-byte block per 16 counters of a group
//! ```
//! A *group* is the counters of one writing thread. Groups never share a block, so threads never
//! write to each other's cache lines. The directory says which value belongs to which label; it is
//! written once.
//!
//! | word | written by | read by | ordering |
//! |---|---|---|---|
//! | directory | formatter, before the count | readers | Relaxed |
//! | count | formatter, once | readers | Release store; Relaxed load, acquire fence |
//! | value | the group's writer | readers | Relaxed: each number speaks for itself |
//!
//! What this does not do: numbers of different counters are not consistent with each other; what must
//! be goes into a page.

use crate::claim::{Held, Protocol, SetupError, Side, check_range};
use crate::mem::{ALIGN, Mem, Ordering, WORD, bytes_of};
use crate::site::Site;

const COUNT: usize = 0;
const ENTRIES: usize = ALIGN / WORD;
const ENTRY_WORDS: usize = 8;
const LABEL_WORDS: usize = 6;
const BLOCK_WORDS: usize = ALIGN / WORD;

/// Longest label in bytes; longer ones are cut at a character.
pub const LABEL_MAX: usize = LABEL_WORDS * WORD;

/// Most counters of a section.
pub const COUNTERS_MAX: usize = 1 << 16;

/// One counter to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CounterSpec<'a> {
    /// Number by which programs know it.
    pub id: u32,
    /// What kind of number it is (a total, a gauge); the user's code.
    pub kind: u32,
    /// Code of its unit; the user's.
    pub unit: u32,
    /// Which writing thread it belongs to.
    pub group: u32,
    /// Name for people.
    pub label: &'a str,
}

/// Blocks of the values before a counter's group, and the counter's place in its group.
fn place_of(specs: &[CounterSpec<'_>], index: usize) -> usize {
    let group = specs[index].group;
    let mut groups: Vec<u32> = specs.iter().map(|s| s.group).filter(|g| *g < group).collect();
    groups.sort_unstable();
    groups.dedup();
    let before: usize = groups.iter().map(|g| blocks_of(specs, *g)).sum();
    let inside = specs[..index].iter().filter(|s| s.group == group).count();
    before * BLOCK_WORDS + inside
}

fn blocks_of(specs: &[CounterSpec<'_>], group: u32) -> usize {
    specs.iter().filter(|s| s.group == group).count().div_ceil(BLOCK_WORDS)
}

/// First byte of the values.
fn values_at(count: usize) -> usize {
    (ENTRIES + count * ENTRY_WORDS).next_multiple_of(BLOCK_WORDS) * WORD
}

/// Bytes of a section of these counters.
///
/// # Errors
/// [`SetupError::Parameter`] if there are none or more than [`COUNTERS_MAX`].
pub fn layout(specs: &[CounterSpec<'_>]) -> Result<usize, SetupError> {
    let max = COUNTERS_MAX as u64;
    check_range(Protocol::Counters, "number of counters", specs.len() as u64, 1, max)?;
    let mut groups: Vec<u32> = specs.iter().map(|s| s.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let blocks: usize = groups.iter().map(|g| blocks_of(specs, *g)).sum();
    Ok(values_at(specs.len()) + blocks * ALIGN)
}

/// Writes the directory and gives one writer per group, in ascending order of the group's number.
/// The counters of a group are numbered from 0 in the order of `specs`.
///
/// # Errors
/// [`SetupError`] if the memory is smaller than [`layout`] or claimed.
pub fn format<M: Mem>(
    mem: &M,
    specs: &[CounterSpec<'_>],
) -> Result<Vec<CounterWriter<M>>, SetupError> {
    let need = layout(specs)?;
    let too_small = SetupError::Size { protocol: Protocol::Counters, need, have: mem.len_bytes() };
    let values = values_at(specs.len());
    let directory = mem.slice(0, values).filter(|_| mem.len_bytes() >= need).ok_or(too_small)?;
    let held = Held::claim(directory, Protocol::Counters, Side::Writer)?;
    for (index, spec) in specs.iter().enumerate() {
        let word = ENTRIES + index * ENTRY_WORDS;
        let place = place_of(specs, index) as u64;
        held.store(word, u64::from(spec.kind) << 32 | u64::from(spec.id), Ordering::Relaxed);
        held.store(word + 1, place << 32 | u64::from(spec.unit), Ordering::Relaxed);
        let label = &spec.label[..spec.label.floor_char_boundary(LABEL_MAX)];
        held.copy_in(word + 2, label.as_bytes());
    }
    // Release: pairs with the acquire fence in `CountersReader::list`. Publishes the directory.
    let publish = M::ord(Site::CounterPublish, Ordering::Release);
    held.store(COUNT, specs.len() as u64, publish);
    let mut groups: Vec<u32> = specs.iter().map(|s| s.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut at = values;
    let mut writers = Vec::with_capacity(groups.len());
    for group in groups {
        let len = blocks_of(specs, group) * ALIGN;
        let count = specs.iter().filter(|s| s.group == group).count();
        let block = mem.slice(at, len).ok_or(too_small)?;
        let held = Held::claim(block, Protocol::Counters, Side::Writer)?;
        writers.push(CounterWriter { held, group, values: vec![0; count] });
        at += len;
    }
    Ok(writers)
}

/// The writing side of one group.
#[derive(Debug)]
pub struct CounterWriter<M: Mem> {
    held: Held<M>,
    group: u32,
    /// The values; what lies in the region is a copy.
    values: Vec<u64>,
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
        // Relaxed: each number speaks for itself.
        self.held.store(index, value, Ordering::Relaxed);
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
}

/// A counter as a reader finds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counter {
    /// Number by which programs know it.
    pub id: u32,
    /// What kind of number it is.
    pub kind: u32,
    /// Code of its unit.
    pub unit: u32,
    /// Name for people; characters that are none are replaced.
    pub label: String,
    /// Word of its value in the section, checked.
    word: usize,
}

/// A reading side: any number, any process, read-only.
#[derive(Debug)]
pub struct CountersReader<M: Mem> {
    held: Held<M>,
    words: usize,
}

impl<M: Mem> CountersReader<M> {
    /// Opens a reading side over the whole section.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M) -> Result<Self, SetupError> {
        let (have, need) = (mem.len_bytes(), ENTRIES * WORD);
        if have < need {
            return Err(SetupError::Size { protocol: Protocol::Counters, need, have });
        }
        Ok(Self { held: Held::claim(mem, Protocol::Counters, Side::Watcher)?, words: have / WORD })
    }

    /// Copies the directory. Entries that point outside the section are left out.
    #[must_use]
    pub fn list(&self) -> Vec<Counter> {
        let count = self.held.load(COUNT, Ordering::Relaxed);
        // Acquire fence: pairs with the Release store of the count. The directory is complete.
        Held::<M>::fence(Site::CounterCount, Ordering::Acquire);
        let room = self.words.saturating_sub(ENTRIES) / ENTRY_WORDS;
        let count = usize::try_from(count).unwrap_or(0).min(room).min(COUNTERS_MAX);
        (0..count).filter_map(|index| self.entry(index, count)).collect()
    }

    fn entry(&self, index: usize, count: usize) -> Option<Counter> {
        let word = ENTRIES + index * ENTRY_WORDS;
        let [first, second] = [0, 1].map(|at| self.held.load(word + at, Ordering::Relaxed));
        let label: [u64; LABEL_WORDS] =
            core::array::from_fn(|at| self.held.load(word + 2 + at, Ordering::Relaxed));
        let bytes = bytes_of(&label);
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(LABEL_MAX);
        let place = usize::try_from(second >> 32).ok()?;
        let value = values_at(count) / WORD + place;
        (value < self.words).then(|| Counter {
            id: first as u32,
            kind: (first >> 32) as u32,
            unit: second as u32,
            label: String::from_utf8_lossy(&bytes[..end]).into_owned(),
            word: value,
        })
    }

    /// The value of a counter of [`CountersReader::list`], now.
    #[must_use]
    #[inline]
    pub fn value(&self, counter: &Counter) -> u64 {
        // Relaxed: each number speaks for itself. A counter of another section may lie outside.
        if counter.word < self.words { self.held.load(counter.word, Ordering::Relaxed) } else { 0 }
    }
}
