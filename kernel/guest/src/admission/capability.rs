//! What a module asks to be allowed: named capabilities, some over a pattern of names.
//!
//! A name is segments between slashes. In a pattern `*` stands for exactly one segment and `**`,
//! only as the last one, for any number of them, none included.

use std::fmt;

use wasm_engine_abi::calls::Needs;
use wasm_engine_abi::manifest::CAPABILITY_BYTES_MAX;
use wasm_engine_abi::plain::is_plain;

use crate::admission::error::Refusal;

/// Capabilities without a pattern.
const PLAIN: [&str; 6] = ["lifecycle", "log", "random", "schedule", "send", "timer"];
/// Prefixes of capabilities that a pattern follows.
const PREFIXES: [&str; 5] = ["channel:", "infer:", "publish:", "spawn:", "subscribe:"];

/// A pattern over slash-separated names, well-formed by construction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Pattern(String);

impl Pattern {
    /// Checks the form of a pattern; `None` when it is malformed.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        is_well_formed(text).then(|| Self(text.to_owned()))
    }

    /// Whether `name` is one of those the pattern stands for.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        is_name(name) && covers(self.0.as_bytes(), name.as_bytes())
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One capability of a manifest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Capability {
    /// `send`, `timer`, `lifecycle`, `random`, `schedule` or `log`.
    Plain(&'static str),
    /// A prefix such as `publish:` and the names it covers.
    Over(&'static str, Pattern),
}

impl Capability {
    /// Reads a capability as manifests write it.
    ///
    /// # Errors
    /// An unknown capability or a malformed pattern.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = |problem| {
            let text = text.chars().take(CAPABILITY_BYTES_MAX).collect();
            Err(Refusal::UnknownCapability { text, problem })
        };
        if text.len() > CAPABILITY_BYTES_MAX {
            return refuse("it is longer than 256 bytes");
        }
        if let Some(plain) = PLAIN.into_iter().find(|plain| *plain == text) {
            return Ok(Self::Plain(plain));
        }
        for prefix in PREFIXES {
            let Some(rest) = text.strip_prefix(prefix) else { continue };
            return match Pattern::new(rest) {
                Some(pattern) => Ok(Self::Over(prefix, pattern)),
                None => refuse(
                    "a pattern is segments between single slashes, `*` a whole segment, `**` \
                     the last",
                ),
            };
        }
        refuse(
            "use send, timer, lifecycle, random, schedule, log, or publish:, subscribe:, channel:, \
             infer:, spawn: followed by a pattern",
        )
    }

    /// Whether this capability opens the host calls that need `needs`.
    #[must_use]
    pub fn opens(&self, needs: Needs) -> bool {
        match (needs, self) {
            (Needs::Nothing, _) => true,
            (Needs::Capability(name), Self::Plain(plain)) => name == *plain,
            (Needs::Pattern(wanted), Self::Over(prefix, _)) => wanted == *prefix,
            _ => false,
        }
    }

    /// Whether this capability covers `name` under `prefix` (`publish:` and so on).
    #[must_use]
    pub fn covers(&self, prefix: &str, name: &str) -> bool {
        matches!(self, Self::Over(own, pattern) if *own == prefix && pattern.matches(name))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(plain) => f.write_str(plain),
            Self::Over(prefix, pattern) => write!(f, "{prefix}{}", pattern.as_str()),
        }
    }
}

/// Whether `name` is one of those that `pattern` stands for.
///
/// Nothing matches a malformed pattern, and no pattern matches a name with an empty segment.
#[must_use]
pub fn pattern_matches(pattern: &str, name: &str) -> bool {
    is_well_formed(pattern) && is_name(name) && covers(pattern.as_bytes(), name.as_bytes())
}

/// Whether no segment of `name` is empty.
fn is_name(name: &str) -> bool {
    !name.split('/').any(str::is_empty)
}

/// Whether a well-formed pattern stands for a name without empty segments: one pass over both, at
/// most as long as the pattern.
fn covers(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    while let Some(&wanted) = pattern.get(at) {
        if wanted == b'*' {
            if pattern.get(at + 1) == Some(&b'*') {
                return true;
            }
            read += name[read..].iter().position(|&byte| byte == b'/').unwrap_or(name.len() - read);
        } else if name.get(read) == Some(&wanted) {
            read += 1;
        } else {
            // None of the segments that `**` stands for.
            return read == name.len() && pattern[at..] == *b"/**";
        }
        at += 1;
    }
    read == name.len()
}

fn is_well_formed(pattern: &str) -> bool {
    let mut segments = pattern.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let wildcard = segment == "*" || (segment == "**" && last);
        let control = segment.chars().any(|c| !is_plain(c) || c.is_whitespace());
        if segment.is_empty() || control || (segment.contains('*') && !wildcard) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_segment() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a", "a/b", false),
            ("a/b", "a", false),
            ("*", "a", true),
            ("*", "a/b", false),
            ("a/*", "a/b", true),
            ("a/*", "a", false),
            ("a/*/c", "a/b/c", true),
            ("a/*/c", "a/b/d", false),
            ("*/b", "a/b", true),
            ("**", "a", true),
            ("**", "a/b/c", true),
            ("a/**", "a", true),
            ("a/**", "a/b/c", true),
            ("a/**", "ab", false),
            ("a/*/**", "a", false),
            ("a/*/**", "a/b", true),
            ("**", "", false),
            ("*", "", false),
            ("a/**", "a//b", false),
            ("a/*", "a/", false),
            ("**/a", "b/a", false),
            ("a*", "ab", false),
            ("", "", false),
        ] {
            assert_eq!(pattern_matches(pattern, name), expected, "{pattern} against {name}");
        }
    }

    #[test]
    fn capabilities_are_read_by_name() {
        for text in ["send", "timer", "lifecycle", "random", "log", "publish:a/**", "infer:*"] {
            assert_eq!(Capability::parse(text).map(|c| c.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "Send", "send ", "publish", "publish:", "publish:a//b", "files:*", "*"] {
            let error = Capability::parse(text).unwrap_err();
            assert!(matches!(error, Refusal::UnknownCapability { text: t, .. } if t == text));
        }
        assert!(Capability::parse(&format!("infer:{}", "é".repeat(300))).is_err());
    }

    #[test]
    fn capabilities_open_their_own_calls_only() {
        let publish = Capability::parse("publish:a/*").expect("well-formed");
        assert!(publish.opens(Needs::Pattern("publish:")) && publish.opens(Needs::Nothing));
        assert!(!publish.opens(Needs::Pattern("subscribe:")));
        assert!(!publish.opens(Needs::Capability("send")));
        assert!(publish.covers("publish:", "a/b") && !publish.covers("publish:", "b"));
        assert!(!publish.covers("subscribe:", "a/b"));
    }

    #[test]
    fn every_call_can_be_opened() {
        for call in wasm_engine_abi::calls::CALLS {
            match call.needs {
                Needs::Nothing => {}
                Needs::Capability(name) => assert!(PLAIN.contains(&name), "{name}"),
                Needs::Pattern(prefix) => assert!(PREFIXES.contains(&prefix), "{prefix}"),
            }
        }
    }
}
