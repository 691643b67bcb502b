//! Whether a shared library is whole, from its own tables: the dynamic loader maps a file as its
//! tables say, and one that is shorter gives a signal (SIGBUS) when it is touched beyond its end.

/// Bytes of the header of a 64-bit ELF file.
const HEADER_BYTES: usize = 64;
/// A segment that is mapped.
const PT_LOAD: u32 = 1;

/// Bytes that a file which begins like this must have by its own tables; `None` if it is no ELF
/// file for 64-bit little-endian machines, or its tables lie outside it.
pub(super) fn whole_len(bytes: &[u8]) -> Option<u64> {
    let header = bytes.get(..HEADER_BYTES)?;
    // Class 2 is 64 bits, data 1 is little-endian.
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let [segments, sections] = [32, 40].map(|at| word(header, at));
    let [segment_len, segment_count, section_len, section_count] =
        [54, 56, 58, 60].map(|at| u64::from(half(header, at)));
    let mut len = sections.checked_add(section_len * section_count)?;
    for index in 0..segment_count {
        let at = usize::try_from(segments.checked_add(index * segment_len)?).ok()?;
        let segment = bytes.get(at..at.checked_add(usize::try_from(segment_len).ok()?)?)?;
        let kind =
            segment.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)?;
        let [offset, in_file] = [8, 32].map(|at| segment.get(at..).map(|rest| word(rest, 0)));
        if kind == PT_LOAD {
            len = len.max(offset?.checked_add(in_file?)?);
        }
    }
    Some(len)
}

/// The 64-bit number at `at`, 0 beyond the end.
fn word(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    found.map_or(0, u64::from_le_bytes)
}

/// The 16-bit number at `at`, 0 beyond the end.
fn half(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    found.map_or(0, u16::from_le_bytes)
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_cut_anywhere_is_too_short() {
        // The test itself is such a file.
        let exe = std::fs::read(std::env::current_exe().expect("it has a path")).expect("readable");
        let len = whole_len(&exe).expect("it is one");
        assert!(len <= exe.len() as u64 && len > exe.len() as u64 / 2, "{len} of {}", exe.len());
        for cut in [0, 1, 63, 64, 65, 1000, exe.len() / 4, exe.len() / 2, len as usize - 1] {
            let short = whole_len(&exe[..cut]).is_none_or(|len| len > cut as u64);
            assert!(short, "cut at {cut}");
        }
        // Tables that make no sense are no numbers to compute with.
        let mut wild = exe[..HEADER_BYTES].to_vec();
        wild[32..48].fill(0xff);
        assert_eq!(whole_len(&wild), None);
        assert_eq!(whole_len(b"\x7fELF\x01\x01"), None);
    }
}
