//! What a module asks to be allowed: named capabilities, some over a pattern of names.

use std::fmt;

use wasm_engine_abi::calls::Needs;
use wasm_engine_abi::manifest::CAPABILITY_BYTES_MAX;
use wasm_engine_abi::pattern;

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
        pattern::is_well_formed(text).then(|| Self(text.to_owned()))
    }

    /// Whether `name` is one of those the pattern stands for.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        pattern::covers(&self.0, name)
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

#[cfg(test)]
mod tests {
    use super::*;

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
