//! Streams: the different keys of a source, their names, and the topics that they have.
//!
//! ```text
//! stream = copy * keys + key         keys in the order in which the file first names them
//! name   = key, and behind a dot its copy unless that is 0 (EWR, EWR.1)
//! ```
//! A name becomes a part of topics and of agents' names, so what would end or match such a part is
//! written as the percent sign and two hexadecimal digits for each byte: white space, control
//! characters, `/`, `*`, `{`, `}`, and a percent sign in front of two such digits. So different
//! keys have different names, and each key can be read back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use wasm_engine_abi::limits::{AGENTS_MAX, NAME_BYTES_MAX};

use crate::sources::error::{DataFile, SourceError};

/// The streams of a source.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    pub(crate) id: String,
    /// The configured template of its topics.
    pub(crate) topic: String,
    /// Names of the keys.
    pub(crate) keys: Vec<String>,
    pub(crate) copies: u32,
    /// Handles by stream.
    pub(crate) topics: Vec<u32>,
}

impl Streams {
    /// The streams of keys whose names are given.
    pub(crate) fn new(data: DataFile<'_>, keys: Vec<String>) -> Result<Self, SourceError> {
        let config = data.config;
        let streams = Self {
            id: config.id.clone(),
            topic: config.topic.clone(),
            keys,
            copies: config.copies,
            topics: Vec::new(),
        };
        streams.check(data)?;
        Ok(streams)
    }

    /// Streams can be counted and distinguished.
    fn check(&self, data: DataFile<'_>) -> Result<(), SourceError> {
        let (keys, copies) = (self.keys.len() as u64, u64::from(self.copies));
        if keys * copies > u64::from(AGENTS_MAX) {
            return Err(data.whole(format!(
                "{keys} keys times {copies} copies are too many streams; lower source.{}.copies",
                self.id
            )));
        }
        let mut names = BTreeSet::new();
        match (0..self.count()).map(|s| self.name(s)).find(|n| !names.insert(n.clone())) {
            None => Ok(()),
            Some(name) => Err(data.whole(format!(
                "two streams are called `{name}`, a key and a copy of another; rename the key"
            ))),
        }
    }

    pub(crate) fn count(&self) -> u32 {
        self.keys.len() as u32 * self.copies
    }

    pub(crate) fn copy_of(&self, stream: u32) -> u32 {
        stream / self.keys.len() as u32
    }

    pub(crate) fn name(&self, stream: u32) -> String {
        let key = &self.keys[stream as usize % self.keys.len()];
        match self.copy_of(stream) {
            0 => key.clone(),
            copy => format!("{key}.{copy}"),
        }
    }

    /// `template` with `{key}` and `{copy}` of a stream filled in.
    pub(crate) fn expand(&self, template: &str, stream: u32) -> String {
        let copy = self.copy_of(stream).to_string();
        template.replace("{key}", &self.name(stream)).replace("{copy}", &copy)
    }

    /// The handle of a stream's topic.
    pub(crate) fn topic_of(&self, stream: u32) -> u32 {
        self.topics.get(stream as usize).copied().unwrap_or(0)
    }
}

/// The keys of a file, in the order in which it first names them.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    index: BTreeMap<String, u32>,
    pub(crate) names: Vec<String>,
}

impl Keys {
    /// The number that a key has.
    pub(crate) fn find(&self, key: &str) -> Option<u32> {
        self.index.get(key).copied()
    }

    /// The number of a key that has none yet, and the name that [`name_of`] gives it.
    pub(crate) fn add(&mut self, key: &str, name: String) -> u32 {
        let number = self.names.len() as u32;
        self.names.push(name);
        self.index.insert(key.to_owned(), number);
        number
    }
}

/// The name of a key; the error says what to do.
pub(crate) fn name_of(key: &str) -> Result<String, String> {
    if key.is_empty() {
        return Err("is no key; name what the row is about, it becomes part of names".to_owned());
    }
    let mut name = String::with_capacity(key.len());
    for (at, c) in key.char_indices() {
        let encoded = match c {
            '%' => escapes(&key[at + 1..]),
            c => c.is_whitespace() || c.is_control() || matches!(c, '/' | '*' | '{' | '}'),
        };
        if encoded {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(name, "%{byte:02X}");
            }
        } else {
            name.push(c);
        }
    }
    if name.len() > NAME_BYTES_MAX as usize {
        return Err(format!(
            "is a key whose name has {} bytes, at most {NAME_BYTES_MAX} are possible; shorten it",
            name.len()
        ));
    }
    Ok(name)
}

/// Whether a percent sign in front of this text would be read as the beginning of a byte.
fn escapes(rest: &str) -> bool {
    rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    /// The key that a name stands for.
    fn key_of(name: &str) -> String {
        let (mut bytes, mut at) = (Vec::new(), 0);
        while let Some(byte) = name.as_bytes().get(at) {
            let encoded = *byte == b'%' && name.get(at + 1..).is_some_and(escapes);
            if encoded {
                bytes.push(u8::from_str_radix(&name[at + 1..at + 3], 16).expect("two digits"));
            } else {
                bytes.push(*byte);
            }
            at += if encoded { 3 } else { 1 };
        }
        String::from_utf8(bytes).expect("a key")
    }

    #[test]
    fn keys_become_parts_of_names() {
        for (key, name) in [
            ("EWR", "EWR"),
            ("New York", "New%20York"),
            ("US/NY", "US%2FNY"),
            ("a*{b}", "a%2A%7Bb%7D"),
            ("50%", "50%"),
            ("%zz", "%zz"),
            ("%41", "%2541"),
            ("%/", "%%2F"),
            ("Z\u{fc}rich", "Z\u{fc}rich"),
            ("a\u{a0}b", "a%C2%A0b"),
        ] {
            assert_eq!(name_of(key).as_deref(), Ok(name), "{key}");
        }
        assert!(name_of("").is_err());
        assert!(name_of(&"x".repeat(128)).is_ok() && name_of(&"x".repeat(129)).is_err());
        assert!(name_of(&"/".repeat(43)).is_err(), "it counts as written");
    }

    fn cases() -> ProptestConfig {
        ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn every_key_is_read_back_and_fits_a_topic(
            key in any::<String>(),
            odd in "[%/0-9aA ]{1,9}",
        ) {
            for key in [key, odd] {
                let Ok(name) = name_of(&key) else { continue };
                prop_assert_eq!(key_of(&name), key);
                let topic = crate::config::check_topic_name(&format!("in/{name}"));
                prop_assert!(topic.is_ok(), "{}", name);
            }
        }
    }
}
