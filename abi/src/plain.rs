//! Text from outside, made fit for a terminal and for one line of a file.

use core::fmt::{Display, Formatter, Result, Write};

/// Shows a text without what a terminal would obey or a reader could not see: controls, line
/// breaks among them, marks of writing direction, and characters without width are written as
/// escapes (`\n`, `\u{1b}`). All else, quotation marks and backslashes too, stays as it is.
#[derive(Clone, Copy, Debug)]
pub struct PlainText<'a>(pub &'a str);

impl Display for PlainText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for character in self.0.chars() {
            if is_plain(character) {
                f.write_char(character)?;
            } else {
                // Of `\r`, `\n`, `\t` it makes these, of others `\u{..}`.
                write!(f, "{}", character.escape_default())?;
            }
        }
        Ok(())
    }
}

/// Shows a JSON document of one line without the characters that [`PlainText`] does not show: it
/// stays the same document, since they can stand only inside its texts.
#[derive(Clone, Copy, Debug)]
pub struct PlainJson<'a>(pub &'a str);

impl Display for PlainJson<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for character in self.0.chars() {
            if is_plain(character) {
                f.write_char(character)?;
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(f, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a character is shown as itself.
#[must_use]
pub const fn is_plain(character: char) -> bool {
    !matches!(character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' // C0, DEL, C1
        | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' // unseen, marks of direction
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' // line breaks, overrides, isolates
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' // unseen
    )
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn nothing_a_terminal_obeys_is_left() {
        let evil =
            "\x1b[31mRED\x1b]0;title\x07\r\nerror: \u{9b}2J \u{202e}dlrow\u{2066} a\u{200b}b";
        let plain = PlainText(evil).to_string();
        assert_eq!(
            plain,
            "\\u{1b}[31mRED\\u{1b}]0;title\\u{7}\\r\\nerror: \\u{9b}2J \\u{202e}dlrow\\u{2066} \
             a\\u{200b}b"
        );
        assert!(plain.chars().all(is_plain));
        let json = PlainJson("\"\u{7f}\u{9b}2J \u{202e}° 🌡 \u{e0041}\"").to_string();
        assert_eq!(json, "\"\\u007f\\u009b2J \\u202e° 🌡 \\udb40\\udc41\"");
        let fine = "13.1 °F \"at\" C:\\data — 気温 🌡";
        assert_eq!(PlainText(fine).to_string(), fine);
    }
}
