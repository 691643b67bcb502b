//! Rows: a table of which readers see consistent cuts, published in constant time.
//!
//! ```text
//!  byte 0    cut: number of the last published cut                       (own 128 bytes)
//!  byte 128  row i:  | seq A | words of A ... | seq B | words of B ... |  padded to 64 bytes
//! ```
//! Every row has two versions. Cut `n` is written while `n - 1` is published: a row that changes
//! goes into its older version, stamped `n`; a row that does not change costs nothing. Publishing is
//! one store of `cut`. A reader of cut `c` takes, of each row, the version with the largest stamp not
//! above `c`: all rows together are the table as it was when `c` was published.
//!
//! A stamp is `2n` while the version is written, `2n + 1` once it is, 0 if it never was.
//!
//! | word | written by | read by | ordering |
//! |---|---|---|---|
//! | cut | writer | readers | Release store; Relaxed load, acquire fence |
//! | seq | writer | readers | Relaxed busy mark, release fence; Relaxed done mark; Relaxed loads, acquire fence |
//! | words | writer | readers | Relaxed |
//!
//! Why the done mark needs no Release: a reader only takes versions stamped at most `c`, all of which
//! were finished before the Release store of `c`. What can go wrong is that a version is replaced
//! under the reader; the busy mark, the release fence behind it and the second look show that.
//!
//! A reader fails ([`RowError::Lapped`]) only if a row changed in two cuts after the one it reads;
//! it then starts again with the newest cut.
//!
//! What this does not do: rows have one size, and no history beyond the previous cut.

use crate::claim::{Held, Protocol, SetupError, Side, check_range};
use crate::mem::{ALIGN, Mem, Ordering, WORD, bytes_of, bytes_of_mut};
use crate::site::Site;

const CUT: usize = 0;
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
struct Shape {
    rows: usize,
    row_words: usize,
    stride: usize,
}

impl Shape {
    fn of(rows: usize, row_words: usize, have: usize) -> Result<Self, SetupError> {
        let need = layout(rows, row_words)?;
        if have < need {
            return Err(SetupError::Size { protocol: Protocol::Rows, need, have });
        }
        Ok(Self { rows, row_words, stride: stride(row_words) })
    }

    /// Sequence word of a version.
    #[inline(always)]
    fn word(&self, row: usize, version: usize) -> usize {
        ROWS + row * self.stride + version * (SEQ_WORDS + self.row_words)
    }
}

/// The writing side.
#[derive(Debug)]
pub struct RowsWriter<M: Mem> {
    held: Held<M>,
    shape: Shape,
    /// The cut being written.
    cut: u64,
    /// Of each row the stamps (cuts) of both versions; 0 if never written. Private.
    stamps: Vec<[u64; 2]>,
}

impl<M: Mem> RowsWriter<M> {
    /// Claims the writing side over zeroed memory of [`layout`]; the first cut is 1. Allocates the
    /// private stamps, once.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M, rows: usize, row_words: usize) -> Result<Self, SetupError> {
        let shape = Shape::of(rows, row_words, mem.len_bytes())?;
        let held = Held::claim(mem, Protocol::Rows, Side::Writer)?;
        Ok(Self { held, shape, cut: 1, stamps: vec![[0, 0]; rows] })
    }

    /// Writes a row into the cut being written. Call it when the row changed; a second call for the
    /// same row and cut replaces the first.
    ///
    /// # Panics
    /// If the row does not exist or has another number of words.
    #[inline]
    pub fn write(&mut self, row: usize, words: &[u64]) {
        assert!(words.len() == self.shape.row_words, "a row has a fixed number of words");
        let [a, b] = self.stamps[row];
        // The version of this cut if there is one, else the older.
        let version = if a == self.cut { 0 } else { usize::from(b == self.cut || b < a) };
        self.stamps[row][version] = self.cut;
        let word = self.shape.word(row, version);
        // Relaxed: the fence below orders it.
        self.held.store(word, 2 * self.cut, Ordering::Relaxed);
        // Release fence: pairs with the acquire fence before the reader's second look. A reader that
        // sees any word written below sees the busy mark there; and one that sees this busy mark
        // sees every earlier one.
        Held::<M>::fence(Site::RowBusy, Ordering::Release);
        self.held.copy_in(word + SEQ_WORDS, bytes_of(words));
        // Relaxed: nobody takes this version before `publish_cut`, which is a Release store.
        self.held.store(word, 2 * self.cut + 1, Ordering::Relaxed);
    }

    /// Publishes all rows written so far as one cut, in one store, and begins the next.
    #[inline]
    pub fn publish_cut(&mut self) -> u64 {
        let cut = self.cut;
        // Release: pairs with the acquire fence in `RowsReader::cut`. Publishes all versions stamped
        // at most `cut`.
        self.held.store(CUT, cut, M::ord(Site::RowPublish, Ordering::Release));
        self.cut = cut + 1;
        cut
    }

    /// Number of the cut being written.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut
    }
}

/// Why a row could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RowError {
    /// The row of that cut was replaced; begin again with the newest cut.
    #[error("the row changed in two later cuts; read again from the newest cut")]
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
    held: Held<M>,
    shape: Shape,
}

impl<M: Mem> RowsReader<M> {
    /// Opens a reading side; rows and words as the writer gave them (from the directory).
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M, rows: usize, row_words: usize) -> Result<Self, SetupError> {
        let shape = Shape::of(rows, row_words, mem.len_bytes())?;
        Ok(Self { held: Held::claim(mem, Protocol::Rows, Side::Watcher)?, shape })
    }

    /// Number of the newest cut; 0 before the first.
    #[must_use]
    #[inline]
    pub fn cut(&self) -> u64 {
        let cut = self.held.load(CUT, Ordering::Relaxed);
        // Acquire fence: pairs with the Release store in `publish_cut`. All versions stamped at most
        // `cut` are visible from here on.
        Held::<M>::fence(Site::RowCut, Ordering::Acquire);
        cut
    }

    /// Copies a row as it was in a cut that [`RowsReader::cut`] gave. Gives the cut in which it was
    /// written, or `None` if it was not written up to then (`dst` is then unchanged).
    ///
    /// # Errors
    /// [`RowError`]; `dst` may then hold garbage.
    #[inline]
    pub fn read(&self, cut: u64, row: usize, dst: &mut [u64]) -> Result<Option<u64>, RowError> {
        let shape = &self.shape;
        if row >= shape.rows {
            return Err(RowError::NoRow { row, rows: shape.rows });
        }
        if dst.len() != shape.row_words {
            return Err(RowError::Buffer { row_words: shape.row_words, have: dst.len() });
        }
        let words = [shape.word(row, 0), shape.word(row, 1)];
        let seqs = words.map(|word| self.held.load(word, Ordering::Relaxed));
        // The cut in which a version was written, 0 if it is of no use for this cut.
        let stamps = seqs.map(|seq| if seq % 2 == 1 && seq / 2 <= cut { seq / 2 } else { 0 });
        let version = usize::from(stamps[1] > stamps[0]);
        let found = stamps[version] > 0;
        if found {
            self.held.copy_out(words[version] + SEQ_WORDS, bytes_of_mut(dst));
        }
        // Acquire fence: pairs with the release fence after the busy mark. If a word or a mark above
        // was newer than the cut, the loads below see all marks made before it.
        Held::<M>::fence(Site::RowCheck, Ordering::Acquire);
        if found {
            let again = self.held.load(words[version], Ordering::Relaxed);
            let whole = again == seqs[version];
            return if whole { Ok(Some(stamps[version])) } else { Err(RowError::Lapped) };
        }
        // Nothing of this cut: not there yet if a version was never written, else replaced. The
        // first look may have seen the marks in any order, so only a second one decides.
        let again = words.map(|word| self.held.load(word, Ordering::Relaxed));
        if again.contains(&0) { Ok(None) } else { Err(RowError::Lapped) }
    }

    /// Copies a row of the newest cut, trying again when overtaken. Gives that cut and the one in
    /// which the row was written.
    ///
    /// # Errors
    /// [`RowError::Lapped`] after [`ATTEMPTS`] attempts, or what [`RowsReader::read`] refuses.
    pub fn read_newest(&self, row: usize, dst: &mut [u64]) -> Result<(u64, Option<u64>), RowError> {
        for _ in 1..ATTEMPTS {
            let cut = self.cut();
            match self.read(cut, row, dst) {
                Err(RowError::Lapped) => M::spin(),
                Err(error) => return Err(error),
                Ok(written) => return Ok((cut, written)),
            }
        }
        let cut = self.cut();
        self.read(cut, row, dst).map(|written| (cut, written))
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
