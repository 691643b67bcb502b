//! A file as the model sees it: 1,024 bytes from its beginning, 1,024 from its end.
//!
//! ```text
//!  first block (at most 4,096 bytes)           last block (at most 4,096 bytes)
//!  white space | kept ...                      ... kept | white space
//!              |<- 1,024 ->|                |<- 1,024 ->|
//!               first, padded behind         last, padded before
//! ```
//! In a file of less than a block both blocks are the whole file. A byte is its number, padding is
//! 256. White space is what Python's `bytes.strip` removes.

use wasm_engine_agent::FilePart;

/// Bytes that a source has to give from each end of a file.
pub const BLOCK: usize = 4096;
/// Numbers made of each end.
pub const END: usize = 1024;
/// Numbers that the model is asked with.
pub const FEATURES: usize = 2 * END;
/// Fewer bytes than these, white space at the beginning left out, are not worth asking about.
pub const BYTES_MIN: usize = 8;
/// Stands for no byte.
const PADDING: i32 = 256;

/// What can be done with a file.
#[derive(Clone, PartialEq, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is no heap, and one at a time")]
pub enum Sight {
    /// It has no bytes.
    Empty,
    /// It is too short to ask about; whether what there is may be text.
    Short {
        /// Whether the first block is UTF-8.
        is_text: bool,
    },
    /// The model can be asked with these.
    Long([i32; FEATURES]),
}

impl Sight {
    /// What can be done with this file, of which both blocks are there.
    #[must_use]
    pub fn of(file: &FilePart<'_>) -> Self {
        if file.len == 0 {
            return Self::Empty;
        }
        let first = skip_front(file.head);
        // A text that a block cuts within a character is none, in the package too.
        if first.len().min(END) < BYTES_MIN {
            return Self::Short { is_text: core::str::from_utf8(file.head).is_ok() };
        }
        let first = &first[..first.len().min(END)];
        let last = skip_back(file.tail);
        let last = &last[last.len().saturating_sub(END)..];
        let mut features = [PADDING; FEATURES];
        fill(&mut features[..first.len()], first);
        fill(&mut features[FEATURES - last.len()..], last);
        Self::Long(features)
    }
}

fn fill(slots: &mut [i32], bytes: &[u8]) {
    for (slot, byte) in slots.iter_mut().zip(bytes) {
        *slot = i32::from(*byte);
    }
}

/// Blank, tab, line feed, vertical tab, form feed, carriage return.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn skip_front(bytes: &[u8]) -> &[u8] {
    let begin = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
    &bytes[begin..]
}

fn skip_back(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn sight(content: &[u8]) -> Sight {
        let block = content.len().min(BLOCK);
        Sight::of(&FilePart {
            name: b"f",
            len: content.len() as u64,
            head: &content[..block],
            tail: &content[content.len() - block..],
        })
    }

    fn long(content: &[u8]) -> [i32; FEATURES] {
        let Sight::Long(features) = sight(content) else { panic!("{content:?} is too short") };
        features
    }

    #[test]
    fn a_short_file_stands_at_both_ends() {
        let features = long(b" \t12345678\n\x0b\x0c\r");
        assert_eq!(features[..9], [49, 50, 51, 52, 53, 54, 55, 56, 10]);
        assert_eq!(features[12..14], [13, PADDING].map(|_| PADDING), "front padded behind");
        assert_eq!(features[FEATURES - 10..], [32, 9, 49, 50, 51, 52, 53, 54, 55, 56]);
        assert_eq!(features[FEATURES - 11], PADDING);
    }

    #[test]
    fn a_long_file_gives_its_ends_without_the_white_space_around_it() {
        let mut content: Vec<u8> = b"  ".to_vec();
        content.extend((0..6000_u32).map(|at| 97 + (at % 26) as u8));
        content.extend(b"\n\n");
        let features = long(&content);
        let letters = |range: core::ops::Range<u32>| range.map(|at| 97 + (at % 26) as i32);
        assert!(features[..END].iter().copied().eq(letters(0..1024)));
        assert!(features[END..].iter().copied().eq(letters(4976..6000)));
    }

    #[test]
    fn what_is_too_short_is_text_or_not() {
        assert_eq!(sight(b""), Sight::Empty);
        assert_eq!(sight(b"1234567"), Sight::Short { is_text: true });
        assert_eq!(sight(b"     1234567"), Sight::Short { is_text: true });
        assert_eq!(sight(&[0xff, 0, 1]), Sight::Short { is_text: false });
        assert_eq!(sight(&b" \n".repeat(3000)), Sight::Short { is_text: true });
        // White space at the end counts, as in the package.
        assert!(matches!(sight(b"1234567 "), Sight::Long(_)));
        // The block ends within a character.
        let spaces = [&b" ".repeat(BLOCK - 1)[..], "é".as_bytes(), b"text that nobody sees"];
        assert_eq!(sight(&spaces.concat()), Sight::Short { is_text: false });
    }
}
