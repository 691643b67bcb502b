//! What a panic says: message and place, cut to what the kernel takes, without a heap.

use core::fmt::{Display, Write};
#[cfg(target_arch = "wasm32")]
use core::panic::Location;

/// Bytes of a message at most: a small part of a small stack, and within what the kernel takes.
const BYTES_MAX: usize = 512;

/// Text in a buffer of its own; what has no room is left out.
pub(crate) struct Words {
    bytes: [u8; BYTES_MAX],
    len: usize,
    full: bool,
}

impl Words {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; BYTES_MAX], len: 0, full: false }
    }

    pub(crate) fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    /// Appends what can be written of `value`.
    pub(crate) fn push(&mut self, value: &dyn Display) {
        let _ = write!(self, "{value}");
    }
}

impl Write for Words {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = if self.full { 0 } else { BYTES_MAX - self.len };
        let mut fits = text.len().min(room);
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        self.bytes[self.len..self.len + fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        self.full |= fits < text.len();
        if self.full { Err(core::fmt::Error) } else { Ok(()) }
    }
}

/// Tells the kernel of a panic.
#[cfg(target_arch = "wasm32")]
pub fn say(message: &dyn Display, location: Option<&Location<'_>>) {
    let mut words = Words::new();
    words.push(message);
    if let Some(location) = location {
        words.push(&", at ");
        words.push(location);
    }
    // Nothing can be done about a refusal: the module traps next.
    let _ = crate::Host::kernel().panic(words.as_str());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn a_message_is_cut_between_characters() {
        let mut words = Words::new();
        words.push(&"thirty: ");
        words.push(&12.9);
        assert_eq!(words.as_str(), "thirty: 12.9");
        let mut words = Words::new();
        words.push(&"x");
        words.push(&"é".repeat(400));
        words.push(&"more");
        assert_eq!(words.as_str().len(), 511, "one byte is too few for the next");
        assert_eq!(words.as_str(), String::from("x") + &"é".repeat(255));
    }
}
