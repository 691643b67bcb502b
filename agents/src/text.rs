//! Text without a heap: a buffer that numbers can be written into by integer arithmetic.

/// A text of at most `N` bytes. What does not fit is left out whole and [remembered](Text::is_cut).
///
/// ```
/// use wasm_engine_agent::Text;
///
/// let mut line = Text::<32>::new();
/// line.str("mean ").decimal(-1205, 3).str(" of ").integer(7);
/// assert_eq!(line.as_str(), "mean -1.205 of 7");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
    cut: bool,
}

impl<const N: usize> Text<N> {
    /// An empty text.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; N], len: 0, cut: false }
    }

    /// Adds a text, or nothing of it if it does not fit whole.
    pub fn str(&mut self, text: &str) -> &mut Self {
        self.push(text.as_bytes())
    }

    /// Adds whole characters, or nothing.
    fn push(&mut self, text: &[u8]) -> &mut Self {
        let end = self.len.saturating_add(text.len());
        match self.bytes.get_mut(self.len..end) {
            Some(slot) => {
                slot.copy_from_slice(text);
                self.len = end;
            }
            None => self.cut = true,
        }
        self
    }

    /// Adds a text as JSON has it, in quotes and with its escapes, or nothing of it if it does not
    /// fit whole.
    pub fn quoted(&mut self, text: &str) -> &mut Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let (begin, was_cut) = (self.len, self.cut);
        self.cut = false;
        self.push(b"\"");
        let mut rest = text.as_bytes();
        // Escapes are of single bytes, so what lies between them is whole characters.
        while let Some(at) = rest.iter().position(|byte| *byte < b' ' || b"\"\\".contains(byte)) {
            let byte = rest[at];
            self.push(&rest[..at]);
            match byte {
                b'"' | b'\\' => self.push(&[b'\\', byte]),
                _ => {
                    let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                    self.push(&[b'\\', b'u', b'0', b'0', high, low])
                }
            };
            rest = &rest[at + 1..];
        }
        self.push(rest).push(b"\"");
        if self.cut {
            self.len = begin;
        }
        self.cut |= was_cut;
        self
    }

    /// Adds a number.
    pub fn integer(&mut self, value: i64) -> &mut Self {
        self.decimal(value, 0)
    }

    /// Adds `value` divided by ten to the power of `decimals`, with exactly that many decimals:
    /// 1205 with 3 is `1.205`, -5 with 2 is `-0.05`. More than 18 decimals count as 18.
    pub fn decimal(&mut self, value: i64, decimals: u8) -> &mut Self {
        let decimals = decimals.min(18);
        // A sign, 19 digits of the largest number, a point.
        let mut digits = [b'0'; 21];
        let mut rest = value.unsigned_abs();
        let mut start = digits.len();
        let mut written = 0;
        while rest > 0 || written <= decimals {
            if decimals > 0 && written == decimals {
                start -= 1;
                digits[start] = b'.';
            }
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            written += 1;
        }
        if value < 0 {
            start -= 1;
            digits[start] = b'-';
        }
        self.push(&digits[start..])
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only whole texts were added.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The text as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len.min(N)]
    }

    /// Whether something did not fit.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.cut
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> core::fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.str(text);
        if self.cut { Err(core::fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let text = |value, decimals| {
            let mut text = Text::<32>::new();
            text.decimal(value, decimals);
            text
        };
        for (value, decimals, expected) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (-4310, 2, "-43.10"),
            (10_226, 4, "1.0226"),
            (i64::MIN, 0, "-9223372036854775808"),
            (i64::MAX, 4, "922337203685477.5807"),
        ] {
            assert_eq!(text(value, decimals).as_str(), expected);
        }
        assert_eq!(text(i64::MIN, 255).as_str(), "-9.223372036854775808");
        assert_eq!(text(-1, 255).as_str(), "-0.000000000000000001");
    }

    #[test]
    fn quoted_text_is_json_or_nothing() {
        let mut text = Text::<24>::new();
        text.quoted("a\"\\\u{1f}é").quoted("12345678").str(".");
        assert_eq!((text.as_str(), text.is_cut()), ("\"a\\\"\\\\\\u001fé\".", true));
        let mut all = Text::<16>::new();
        assert_eq!(all.quoted("").quoted("plain").as_str(), "\"\"\"plain\"");
        assert!(!all.is_cut());
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let mut text = Text::<4>::new();
        text.str("abc").str("de").str("f");
        assert_eq!((text.as_str(), text.is_cut()), ("abcf", true));
    }
}
