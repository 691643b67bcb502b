//! Which pages of a memory were ever written, asked of the system.
//!
//! Why: what an agent changed is found by comparing its memory with its module's image. Most of a
//! memory was never written and equals the image; reading it all would take longer than the turn.
//! Where the system does not tell, everything counts as dirty.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// Bytes of a page of the system, as `/proc/self/pagemap` counts them. Where pages are larger, the
/// file has other entries than expected and is not used.
pub(crate) const PAGE_BYTES: usize = 4 << 10;
/// Bytes of an entry of the page map.
const ENTRY_BYTES: usize = size_of::<u64>();
/// Set in the entry of a page that is in memory, or swapped out.
const DIRTY: u64 = 1 << 63 | 1 << 62;
/// Pages that are asked for at once.
const PAGES_AT_ONCE: usize = 512;

/// What tells which pages were written.
#[derive(Debug)]
pub(crate) struct DirtyPages {
    pagemap: Option<File>,
    entries: Box<[u8]>,
}

impl DirtyPages {
    pub(crate) fn new() -> Self {
        let pages_are_small = page_size::get() == PAGE_BYTES;
        let pagemap = pages_are_small.then(|| File::open("/proc/self/pagemap").ok()).flatten();
        let entries = vec![0; PAGES_AT_ONCE * ENTRY_BYTES].into_boxed_slice();
        let mut pages = Self { pagemap, entries };
        if !pages.lists_what_is_written() {
            pages.pagemap = None;
        }
        pages
    }

    /// Whether the map is one of this process: some emulators give another's, or nothing but zeros.
    fn lists_what_is_written(&mut self) -> bool {
        let mut memory = vec![0_u8; 3 * PAGE_BYTES];
        let first = memory.as_ptr().align_offset(PAGE_BYTES);
        let page = &mut memory[first..first + PAGE_BYTES];
        page.fill(1);
        let mut listed = 0;
        self.each(std::hint::black_box(page).as_ptr(), PAGE_BYTES, |run| listed += run.len());
        listed == PAGE_BYTES
    }

    /// Calls `each` with every run of dirty bytes among the `len` from `base`, in order, as
    /// ranges from `base`.
    pub(crate) fn each(&mut self, base: *const u8, len: usize, mut each: impl FnMut(Range<usize>)) {
        let mut from = 0;
        while from < len {
            let to = len.min(from + PAGES_AT_ONCE * PAGE_BYTES);
            self.among(base.addr() + from, from..to, &mut each);
            from = to;
        }
    }

    fn among(&mut self, address: usize, range: Range<usize>, each: &mut impl FnMut(Range<usize>)) {
        let pages = range.len().div_ceil(PAGE_BYTES);
        let entries = &mut self.entries[..pages * ENTRY_BYTES];
        let offset = (address / PAGE_BYTES * ENTRY_BYTES) as u64;
        let listed = self.pagemap.as_ref().map(|file| file.read_exact_at(entries, offset));
        if !matches!(listed, Some(Ok(()))) || !address.is_multiple_of(PAGE_BYTES) {
            return each(range);
        }
        let dirty = |entry: &[u8]| {
            entry.try_into().is_ok_and(|bytes| u64::from_ne_bytes(bytes) & DIRTY != 0)
        };
        let mut run: Option<Range<usize>> = None;
        for (page, entry) in entries.chunks_exact(ENTRY_BYTES).enumerate() {
            let start = range.start + page * PAGE_BYTES;
            let end = range.end.min(start + PAGE_BYTES);
            match (&mut run, dirty(entry)) {
                (Some(run), true) => run.end = end,
                (None, true) => run = Some(start..end),
                (Some(_), false) => run.take().into_iter().for_each(&mut *each),
                (None, false) => {}
            }
        }
        run.into_iter().for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(pages: &mut DirtyPages, memory: &[u8]) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        pages.each(memory.as_ptr(), memory.len(), |run| runs.push(run));
        runs
    }

    #[test]
    fn what_was_written_is_listed() {
        let mut map = memmap2::MmapMut::map_anon(1024 * PAGE_BYTES).expect("memory");
        for page in [0, 1, 7, 511, 512, 1000] {
            map[page * PAGE_BYTES + 5] = 1;
        }
        let mut pages = DirtyPages::new();
        assert!(pages.pagemap.is_some(), "this system has a map");
        let expected = [0..2, 7..8, 511..512, 512..513, 1000..1001];
        let expected = expected.map(|run| run.start * PAGE_BYTES..run.end * PAGE_BYTES);
        assert_eq!(runs(&mut pages, &map), expected);
        assert_eq!(
            runs(&mut pages, &map[..7 * PAGE_BYTES + 10]).last(),
            Some(&(7 * PAGE_BYTES..7 * PAGE_BYTES + 10))
        );
    }

    #[test]
    fn without_a_map_everything_is_dirty() {
        let mut pages = DirtyPages { pagemap: None, ..DirtyPages::new() };
        let memory = vec![0_u8; 3 * PAGES_AT_ONCE * PAGE_BYTES + 17];
        let runs = runs(&mut pages, &memory);
        assert_eq!(runs.iter().map(|run| run.len()).sum::<usize>(), memory.len());
        assert!(runs.windows(2).all(|pair| pair[0].end == pair[1].start));
    }
}
