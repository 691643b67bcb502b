//! Text that somebody else wrote, as one short line: names of a module in an error, for example.

use core::fmt::{self, Write as _};

use crate::plain::{PlainText, is_plain};

/// Characters that a name takes in an error, at most.
pub const NAME_CHARS_MAX: usize = 80;

/// [`PlainText`] of at most so many characters; that something is left out is said.
#[derive(Clone, Copy, Debug)]
pub struct ShortText<'a> {
    text: &'a str,
    chars_max: usize,
}

/// `text` as one line of at most `chars_max` characters, and the number of its bytes if that is
/// not all of it.
#[must_use]
pub fn short(text: &str, chars_max: usize) -> ShortText<'_> {
    ShortText { text, chars_max }
}

/// A name as errors show it.
#[must_use]
pub fn short_name(text: &str) -> ShortText<'_> {
    short(text, NAME_CHARS_MAX)
}

impl fmt::Display for ShortText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.chars_max;
        for (at, character) in self.text.char_indices() {
            let width = if is_plain(character) { 1 } else { character.escape_default().len() };
            let Some(rest) = left.checked_sub(width) else {
                write!(f, "{}", PlainText(&self.text[..at]))?;
                f.write_char('…')?;
                return write!(f, " ({} bytes)", self.text.len());
            };
            left = rest;
        }
        write!(f, "{}", PlainText(self.text))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::{String, ToString as _};

    use super::*;

    #[test]
    fn long_text_is_cut_whole_characters_at_a_time() {
        assert_eq!(short_name("größe/β 数").to_string(), "größe/β 数");
        assert_eq!(short("abcdef", 6).to_string(), "abcdef");
        assert_eq!(short("abcdéf", 5).to_string(), "abcdé… (7 bytes)");
        assert_eq!(short("ab\u{1b}", 7).to_string(), "ab… (3 bytes)");
        assert_eq!(short("\r\n", 4).to_string(), "\\r\\n");
        let long: String = "\u{1b}".repeat(100_000);
        assert!(short_name(&long).to_string().chars().count() < NAME_CHARS_MAX + 20);
        assert!(short_name(&long).to_string().chars().all(is_plain));
    }
}
