//! The key of a stream of observations, and the topics named after it.

use wasm_engine_agent::{Code, Host, Init, Status, Text, Topic};

use crate::code;

/// Longest key in bytes.
const KEY_BYTES_MAX: usize = 32;

/// A key: ASCII letters, digits, `.`, `-` and `_`, so that it needs no escape in JSON.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    text: Text<KEY_BYTES_MAX>,
}

impl Key {
    /// The key in an agent's arguments.
    ///
    /// # Errors
    /// [`code::BAD_KEY`] if the arguments are no key.
    pub fn from_args(init: &Init<'_>) -> Result<Self, Code> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
        let args =
            init.args_str().filter(|args| !args.is_empty() && args.as_bytes().iter().all(plain));
        let mut text = Text::new();
        text.str(args.ok_or(code::BAD_KEY)?);
        if text.is_cut() { Err(code::BAD_KEY) } else { Ok(Self { text }) }
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// The topic `subject/KEY`.
    ///
    /// # Errors
    /// The status of the host, if it is not configured.
    pub fn topic(&self, subject: &str, host: &mut Host) -> Result<Topic, Status> {
        let mut name = Text::<{ KEY_BYTES_MAX + 32 }>::new();
        host.topic(name.str(subject).str("/").str(self.as_str()).as_str())
    }

    /// A JSON object that begins with the station: `{"station":"KEY"`.
    #[must_use]
    pub fn json(&self) -> Text<256> {
        let mut json = Text::new();
        json.str("{\"station\":\"").str(self.as_str()).str("\"");
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_engine_agent::Context;

    #[test]
    fn keys_are_checked() {
        let key =
            |args: &str| Key::from_args(&Init::new(Context::default(), args.as_bytes())).is_ok();
        assert!(key("EWR") && key("EWR.443") && key("a-b_c"));
        assert!(!key("") && !key("a b") && !key("a\"") && !key("é") && !key(&"x".repeat(33)));
    }
}
