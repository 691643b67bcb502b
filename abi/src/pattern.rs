//! Patterns over names: what capabilities, outputs and agents pick topics by.
//!
//! A name is segments between slashes. In a pattern `*` stands for exactly one segment and `**`,
//! only as the last one, for any number of them, none included.

use crate::plain::is_plain;

/// Whether a text is a pattern.
#[must_use]
pub fn is_well_formed(pattern: &str) -> bool {
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

/// Whether `name` is one of those that `pattern` stands for.
///
/// Nothing matches a malformed pattern, and no pattern matches a name with an empty segment.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    is_well_formed(pattern) && covers(pattern, name)
}

/// As [`matches()`], for a pattern that is well-formed: one pass over both, at most as long as they
/// are.
#[must_use]
pub fn covers(pattern: &str, name: &str) -> bool {
    let has_empty = name.split('/').any(str::is_empty);
    !has_empty && covers_bytes(pattern.as_bytes(), name.as_bytes())
}

fn covers_bytes(pattern: &[u8], name: &[u8]) -> bool {
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
            assert_eq!(matches(pattern, name), expected, "{pattern} against {name}");
        }
    }
}
