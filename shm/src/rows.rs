//! Rows: a table of which readers see consistent snapshots, published in constant time.
//!
//! ```text
//!  byte 0    version: that of the last published snapshot                (own 128 bytes)
//!  byte 128  row i:  | seq A | words of A ... | seq B | words of B ... |  padded to 64 bytes
//! ```
//! Snapshots are numbered; the number is the snapshot's *version*. Every row has two copies.
//! Version `n` is written while `n - 1` is published: a row that changes goes into its older copy,
//! stamped `n`; a row that does not change costs nothing. Publishing is one store of `version`. A
//! reader of version `v` takes, of each row, the copy with the largest stamp not above `v`: all
//! rows together are the table as it was when `v` was published.
//!
//! A sequence is `2n` while the copy stamped `n` is written, `2n + 1` once it is complete, 0 if the
//! copy was never written.
//!
//! | word | written by | read by | ordering |
//! |---|---|---|---|
//! | version | writer | readers | Release store; Relaxed load, acquire fence |
//! | seq | writer | readers | Relaxed busy mark, release fence; Relaxed done mark; Relaxed loads, acquire fence |
//! | words | writer | readers | Relaxed |
//!
//! Why the done mark needs no Release: a reader only takes copies stamped at most `v`, all of which
//! were finished before the Release store of `v`. What can go wrong is that a copy is replaced
//! under the reader; the busy mark, the release fence behind it and the second load of the sequence
//! show that.
//!
//! A reader fails ([`RowError::Lapped`]) only if a row changed in two snapshots after the one it
//! reads; it then starts again with the newest snapshot.
//!
//! What this does not do: rows have one size, and no history beyond the previous snapshot.

use crate::lease::{Leased, Protocol, SetupError, Side, check_range};
use crate::mem::{ALIGN, Mem, Ordering, WORD, bytes_of, bytes_of_mut};
use crate::site::Site;

const VERSION: usize = 0;
const ROWS: usize = ALIGN / WORD;
const SEQ_WORDS: usize = 1;
/// Rows start at cache lines.
const LINE_WORDS: usize = 8;

/// Largest row in words.
pub const ROW_WORDS_MAX: usize = 1 << 16;

/// Most rows of a table.
pub const ROWS_MAX: usize = 1 << 28;

/// Attempts of [`RowsReader::read_newest`].
pub const ATTEMPTS: u32 = 8;

/// Words from row to row.
fn stride(row_words: usize) -> usize {
    (2 * (SEQ_WORDS + row_words)).next_multiple_of(LINE_WORDS)
}

/// Bytes of a table of `rows` rows of `row_words` words.
///
/// # Errors
/// [`SetupError::Parameter`] if the table is empty or too large.
pub fn layout(rows: usize, row_words: usize) -> Result<usize, SetupError> {
    let protocol = Protocol::Rows;
    check_range(protocol, "row in words", row_words as u64, 1, ROW_WORDS_MAX as u64)?;
    check_range(protocol, "number of rows", rows as u64, 1, ROWS_MAX as u64)?;
    Ok((ALIGN + rows * stride(row_words) * WORD).next_multiple_of(ALIGN))
}

#[derive(Clone, Copy, Debug)]
struct RowsShape {
    rows: usize,
    row_words: usize,
    stride: usize,
}

impl RowsShape {
    fn of(rows: usize, row_words: usize, have: usize) -> Result<Self, SetupError> {
        let need = layout(rows, row_words)?;
        if have < need {
            return Err(SetupError::Size { protocol: Protocol::Rows, need, have });
        }
        Ok(Self { rows, row_words, stride: stride(row_words) })
    }

    /// Sequence word of a copy.
    #[inline(always)]
    fn word(&self, row: usize, copy: usize) -> usize {
        ROWS + row * self.stride + copy * (SEQ_WORDS + self.row_words)
    }
}

/// The writing side.
#[derive(Debug)]
pub struct RowsWriter<M: Mem> {
    held: Leased<M>,
    shape: RowsShape,
    /// Version of the snapshot being written.
    version: u64,
    /// Stamps (versions) of both copies of each row; 0 if never written. Private.
    stamps: Vec<[u64; 2]>,
}

impl<M: Mem> RowsWriter<M> {
    /// Leases the writing side over zeroed memory of [`layout`]; the first version is 1. Allocates
    /// the private stamps, once.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M, rows: usize, row_words: usize) -> Result<Self, SetupError> {
        let shape = RowsShape::of(rows, row_words, mem.len_bytes())?;
        let held = Leased::new(mem, Protocol::Rows, Side::Writer)?;
        Ok(Self { held, shape, version: 1, stamps: vec![[0, 0]; rows] })
    }

    /// Writes a row into the snapshot being written. Call it when the row changed; a second call
    /// for the same row and snapshot replaces the first.
    ///
    /// # Panics
    /// If the row does not exist or has another number of words.
    #[inline]
    pub fn write(&mut self, row: usize, words: &[u64]) {
        assert!(words.len() == self.shape.row_words, "a row has a fixed number of words");
        let [a, b] = self.stamps[row];
        debug_assert!(a.max(b) <= self.version, "a copy of a later version");
        // The copy of this version if there is one, else the older.
        let copy = if a == self.version { 0 } else { usize::from(b == self.version || b < a) };
        self.stamps[row][copy] = self.version;
        let word = self.shape.word(row, copy);
        // Relaxed: the fence below orders it.
        self.held.store(word, 2 * self.version, Ordering::Relaxed);
        // Release fence: pairs with the acquire fence before the reader's second load. A reader
        // that sees any word written below sees the busy mark there; and one that sees this busy
        // mark sees every earlier one.
        Leased::<M>::fence(Site::RowBusy, Ordering::Release);
        self.held.copy_in(word + SEQ_WORDS, bytes_of(words));
        // Relaxed: nobody takes this copy before `publish`, which is a Release store.
        self.held.store(word, 2 * self.version + 1, Ordering::Relaxed);
    }

    /// Publishes all rows written so far as one snapshot, in one store, and begins the next;
    /// returns its version.
    #[inline]
    pub fn publish(&mut self) -> u64 {
        let version = self.version;
        // Release: pairs with the acquire fence in `RowsReader::version`. Publishes all copies
        // stamped at most `version`.
        self.held.store(VERSION, version, M::ord(Site::RowPublish, Ordering::Release));
        self.version = version + 1;
        version
    }

    /// Version of the snapshot being written.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// Why a row could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RowError {
    /// The row of that snapshot was replaced; begin again with the newest one.
    #[error("the row changed in two later snapshots; read again from the newest one")]
    Lapped,
    /// The table has no such row.
    #[error("the table has {rows} rows, not row {row}")]
    NoRow {
        /// Row asked for.
        row: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// The buffer has not the length of a row.
    #[error("a row has {row_words} words, the buffer {have}")]
    Buffer {
        /// Words of a row.
        row_words: usize,
        /// Words of the buffer.
        have: usize,
    },
}

/// A reading side: any number, any process, read-only.
#[derive(Debug)]
pub struct RowsReader<M: Mem> {
    held: Leased<M>,
    shape: RowsShape,
}

impl<M: Mem> RowsReader<M> {
    /// Opens a reading side; rows and words as the writer gave them (from the directory).
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M, rows: usize, row_words: usize) -> Result<Self, SetupError> {
        let shape = RowsShape::of(rows, row_words, mem.len_bytes())?;
        Ok(Self { held: Leased::new(mem, Protocol::Rows, Side::Watcher)?, shape })
    }

    /// Version of the newest snapshot; 0 before the first.
    #[must_use]
    #[inline]
    pub fn version(&self) -> u64 {
        let version = self.held.load(VERSION, Ordering::Relaxed);
        // Acquire fence: pairs with the Release store in `publish`. All copies stamped at most
        // `version` are visible from here on.
        Leased::<M>::fence(Site::RowVersion, Ordering::Acquire);
        version
    }

    /// Copies a row as it was in the snapshot of a version that [`RowsReader::version`] returned.
    /// Returns the version in which it was written, or `None` if it was not written up to then
    /// (`dst` is then unchanged).
    ///
    /// # Errors
    /// [`RowError`]; `dst` may then hold garbage.
    #[inline]
    pub fn read(&self, version: u64, row: usize, dst: &mut [u64]) -> Result<Option<u64>, RowError> {
        let shape = &self.shape;
        if row >= shape.rows {
            return Err(RowError::NoRow { row, rows: shape.rows });
        }
        if dst.len() != shape.row_words {
            return Err(RowError::Buffer { row_words: shape.row_words, have: dst.len() });
        }
        let words = [shape.word(row, 0), shape.word(row, 1)];
        let seqs = words.map(|word| self.held.load(word, Ordering::Relaxed));
        // The stamp of each copy, 0 if the copy is being written or newer than the snapshot.
        let stamps = seqs.map(|seq| if seq % 2 == 1 && seq / 2 <= version { seq / 2 } else { 0 });
        let copy = usize::from(stamps[1] > stamps[0]);
        let found = stamps[copy] > 0;
        if found {
            self.held.copy_out(words[copy] + SEQ_WORDS, bytes_of_mut(dst));
        }
        // Acquire fence: pairs with the release fence after the busy mark. If a word or a mark
        // above was newer than the snapshot, the loads below see all marks made before it.
        Leased::<M>::fence(Site::RowCheck, Ordering::Acquire);
        if found {
            let again = self.held.load(words[copy], Ordering::Relaxed);
            let whole = again == seqs[copy];
            return if whole { Ok(Some(stamps[copy])) } else { Err(RowError::Lapped) };
        }
        // Neither copy is of this snapshot: the row was not written yet if a copy was never
        // written, else it was replaced. The first loads may have seen the marks in any order, so
        // only the second ones decide.
        let again = words.map(|word| self.held.load(word, Ordering::Relaxed));
        if again.contains(&0) { Ok(None) } else { Err(RowError::Lapped) }
    }

    /// Copies a row of the newest snapshot, trying again when overtaken. Returns the snapshot's
    /// version and the one in which the row was written.
    ///
    /// # Errors
    /// [`RowError::Lapped`] after [`ATTEMPTS`] attempts, or what [`RowsReader::read`] refuses.
    pub fn read_newest(&self, row: usize, dst: &mut [u64]) -> Result<(u64, Option<u64>), RowError> {
        for _ in 1..ATTEMPTS {
            let version = self.version();
            match self.read(version, row, dst) {
                Err(RowError::Lapped) => M::spin(),
                Err(error) => return Err(error),
                Ok(written) => return Ok((version, written)),
            }
        }
        let version = self.version();
        self.read(version, row, dst).map(|written| (version, written))
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.rows
    }

    /// Words of a row.
    #[must_use]
    pub fn row_words(&self) -> usize {
        self.shape.row_words
    }
}
