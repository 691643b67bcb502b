//! Text that somebody else wrote, as one short line for people.
//!
//! Why: a name in a module, a key in a manifest or a payload may hold escape sequences, line breaks
//! and marks that turn the direction of writing; on a terminal or in a log file they would forge
//! what the kernel says. Whatever text of others an error or a message carries goes through here.

use core::fmt::{self, Write as _};

/// Characters that a name takes in an error, at most.
pub const NAME_CHARS_MAX: usize = 80;

/// A text as one line of at most so many characters, with everything that is not plain escaped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlainText<'a> {
    text: &'a str,
    chars_max: usize,
}

/// `text` as one line; what is beyond `chars_max` characters is left out, and said so.
#[must_use]
pub fn plain(text: &str, chars_max: usize) -> PlainText<'_> {
    PlainText { text, chars_max }
}

/// A name as errors show it.
#[must_use]
pub fn plain_name(text: &str) -> PlainText<'_> {
    plain(text, NAME_CHARS_MAX)
}

/// Whether a character can be shown as it is: it neither controls a terminal, ends a line, changes
/// the direction of writing, nor is invisible.
#[must_use]
pub fn is_plain(character: char) -> bool {
    let hidden = matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    !hidden && !character.is_control()
}

impl fmt::Display for PlainText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.chars_max;
        for character in self.text.chars() {
            let escaped = !is_plain(character) || character == '\\';
            let width = if escaped { character.escape_default().len() } else { 1 };
            let Some(rest) = left.checked_sub(width) else {
                return write!(f, "… ({} bytes)", self.text.len());
            };
            left = rest;
            if escaped {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::{String, ToString as _};

    use super::*;

    #[test]
    fn ordinary_text_stays() {
        for text in ["", "send", "größe/β 数", "a'b\"c`"] {
            assert_eq!(plain_name(text).to_string(), text);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let shown = plain("\u{1b}[2J\r\n\u{7}\u{9b}x\u{202e}\\", 80).to_string();
        assert_eq!(shown, "\\u{1b}[2J\\r\\n\\u{7}\\u{9b}x\\u{202e}\\\\");
        assert!(shown.chars().all(is_plain));
    }

    #[test]
    fn long_text_is_cut_whole_characters_at_a_time() {
        assert_eq!(plain("abcdef", 6).to_string(), "abcdef");
        assert_eq!(plain("abcdef", 5).to_string(), "abcde… (6 bytes)");
        assert_eq!(plain("ab\u{1b}", 7).to_string(), "ab… (3 bytes)");
        let long: String = "\u{1b}".repeat(100_000);
        assert!(plain_name(&long).to_string().chars().count() < NAME_CHARS_MAX + 20);
    }
}
